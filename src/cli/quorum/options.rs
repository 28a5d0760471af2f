//! The command line of `quorum-tool`: the letters of `corosync-quorumtool`, and long names for them.

use std::time::Duration;

use clap::{Args, Parser};

use super::report::Order;
use super::text::Style;
use super::tool::{Action, Request};
use crate::cli::deadline::seconds;

/// The command line of `quorum-tool`.
#[derive(Debug, Parser)]
#[command(
    name = "quorum-tool",
    about = "Show and set the votes of a cluster",
    long_about = "Shows whether this node's part of the cluster may act, and who votes; sets votes. The letters and \
                  the exit status are those of corosync-quorumtool(8).",
    disable_version_flag = true,
    after_help = EXIT
)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    pub(in crate::cli) query: Query,

    /// Write JSON, errors included: one object for a status or a change, a list of members with -l
    #[arg(long)]
    pub(in crate::cli) json: bool,

    /// Talk to the daemon of this name, of several on this host [default: $ANNULUS_INSTANCE]
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) instance: Option<String>,

    /// Give up when the daemon has not answered for so long; 0: never [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(in crate::cli) timeout: Option<Duration>,

    /// Print the version and end
    #[arg(short = 'V', long)]
    pub(in crate::cli) version: bool,
}

/// The text printed after the options.
pub(in crate::cli) const EXIT: &str =
    "Exit status: 0; 2 after a status if not quorate; 1 if something went wrong.";

/// The options of a query. Of several actions the last one is used.
#[derive(Debug, Args)]
pub(in crate::cli) struct Query {
    /// Show how it stands with quorum (the default)
    #[arg(short = 's', long, overrides_with_all = ["list", "monitor", "votes", "expected", "unregister"])]
    status: bool,

    /// List the members of the ring
    #[arg(short = 'l', long, overrides_with_all = ["status", "monitor", "votes", "expected", "unregister"])]
    list: bool,

    /// Show the same as -s, again at each change
    #[arg(short = 'm', long, overrides_with_all = ["status", "list", "votes", "expected", "unregister"])]
    monitor: bool,

    /// Set the votes of this node or of -n, until its daemon is started anew
    #[arg(
        short = 'v', long, value_name = "VOTES",
        overrides_with_all = ["status", "list", "monitor", "expected", "unregister"]
    )]
    votes: Option<u32>,

    /// Set the expected votes of the cluster
    #[arg(
        short = 'e', long, value_name = "VOTES", value_parser = clap::value_parser!(u32).range(1..),
        overrides_with_all = ["status", "list", "monitor", "votes", "unregister"]
    )]
    expected: Option<u32>,

    /// Unregister the quorum device, whatever it says; dangerous
    #[arg(short = 'f', long, overrides_with_all = ["status", "list", "monitor", "votes", "expected"])]
    unregister: bool,

    /// Set the votes of this node with -v [default: this one]
    #[arg(short = 'n', long, value_name = "NODEID", value_parser = clap::value_parser!(u32).range(1..))]
    node: Option<u32>,

    /// Print node ids in hexadecimal
    #[arg(short = 'H', long)]
    hex: bool,

    /// Print addresses instead of names
    #[arg(short = 'i', long)]
    addresses: bool,

    /// Print all addresses of each node, not the first alone
    #[arg(short = 'a', long)]
    all: bool,

    /// Print the column of the quorum device always, with -s and -l
    #[arg(short = 'p', long)]
    machine: bool,

    /// Order the members by address (as on the ring), name or node id
    #[arg(short = 'o', long, value_name = "ORDER", default_value = "a")]
    order: Order,
}

impl Query {
    /// The request that the options make up.
    pub(in crate::cli) fn request(&self, json: bool) -> Request {
        let action = match (self.votes, self.expected) {
            (Some(votes), _) => Action::Vote(votes),
            (None, Some(votes)) => Action::Expect(votes),
            (None, None) if self.list => Action::List,
            (None, None) if self.monitor => Action::Monitor,
            (None, None) if self.unregister => Action::Unregister,
            (None, None) => Action::Status,
        };
        Request {
            action,
            node: self.node,
            order: self.order,
            style: Style { hex: self.hex, machine: self.machine },
            addresses: self.addresses,
            all_addresses: self.all,
            json,
            helpful: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn action(args: &[&str]) -> Option<Action> {
        let parsed = Options::try_parse_from(std::iter::once(&"quorum-tool").chain(args));
        parsed.ok().map(|options| options.query.request(false).action)
    }

    #[test]
    fn the_last_action_counts() {
        Options::command().debug_assert();
        assert_eq!(action(&[]), Some(Action::Status));
        assert_eq!(action(&["-sl"]), Some(Action::List));
        assert_eq!(action(&["-l", "-v", "1", "-s"]), Some(Action::Status));
        assert_eq!(action(&["-l", "-e3"]), Some(Action::Expect(3)));
        assert_eq!(action(&["-v1", "-n", "2", "-p"]), Some(Action::Vote(1)));
        for bad in [&["-e", "0"][..], &["-n", "0"], &["-v", "x"], &["-o", "x"], &["-x"], &["stray"]] {
            assert_eq!(action(bad), None, "{bad:?}");
        }
    }
}
