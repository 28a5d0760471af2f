//! The command line of `annulusd`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;

use crate::config::DEFAULT_PATH;

/// Longest name of an instance, so that socket names made from it fit into a socket address.
pub(super) const INSTANCE_LIMIT: usize = 32;

/// Most nodes that `--dev` runs.
pub(super) const NODES_LIMIT: u32 = 32;

/// The command line. `-c`, `-f`, `-t` and `-v` are Corosync's.
#[derive(Clone, Debug, Default, Parser)]
#[command(
    name = "annulusd",
    about = "Ordered group communication for a cluster: the annulus daemon",
    disable_version_flag = true,
    after_help = "Without --dev, the configuration names the nodes of the cluster; one of them must be this host.\n\
                  Signals: TERM, INT, QUIT leave the cluster and end; HUP reopens log files and reads logging and uidgid again; USR2 logs the state."
)]
pub struct Options {
    /// Read this configuration: corosync.conf, or TOML if the name ends in .toml [default:
    /// /etc/corosync/corosync.conf]
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Stay in the foreground and log to standard error
    #[arg(short = 'f', long)]
    pub foreground: bool,

    /// Check the configuration, say what it amounts to, and end
    #[arg(short = 't', long)]
    pub check: bool,

    /// Refuse also what --check and the log only warn of
    #[arg(long)]
    pub strict: bool,

    /// Keep the ring id in this directory, which must exist, but for --dev, which makes it [default: system.state_dir, or below
    /// the user's runtime directory when not root or with --dev]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Run beside other daemons on this host, with client sockets, lock file and state of its own
    #[arg(long, value_name = "NAME")]
    pub instance: Option<Instance>,

    /// Run one node on the loopback interface without any configuration, in the foreground, to develop
    /// against
    #[arg(long, conflicts_with_all = ["config", "check"])]
    pub dev: bool,

    /// With --dev: run so many nodes, on 127.0.0.1, 127.0.0.2 and so on, each a process of its own. Tools find the
    /// first as without this option, the others with --instance dev-2, dev-3 and so on (NAME-2 with --instance NAME)
    #[arg(
        long, value_name = "COUNT", requires = "dev",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_LIMIT))
    )]
    pub nodes: Option<u32>,

    /// With --nodes: run only this one of them, from 1, for example again after it was killed
    #[arg(long, value_name = "NUMBER", requires = "nodes", value_parser = clap::value_parser!(u32).range(1..))]
    pub node: Option<u32>,

    /// Print the version and end
    #[arg(short = 'v', long)]
    pub version: bool,
}

/// The name of one of several daemons on a host: letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance(String);

impl Instance {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Instance {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > INSTANCE_LIMIT || !name.chars().all(allowed) {
            return Err(format!("an instance name has 1 to {INSTANCE_LIMIT} letters, digits, '-' or '_'"));
        }
        Ok(Self(name.to_owned()))
    }
}

impl Options {
    /// The path of the configuration file.
    pub fn config(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| DEFAULT_PATH.into())
    }
}

/// The output of `-v`.
pub(super) fn version() -> String {
    format!(
        "annulusd, version '{}'\nSpeaks the ring protocol, the client IPC and reads the configuration of Corosync 3.1\n\n\
         Built-in features: udp udpu toml\n",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(args: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from(std::iter::once(&"annulusd").chain(args))
    }

    #[test]
    fn the_clap_definition_is_valid() {
        Options::command().debug_assert();
    }

    #[test]
    fn corosyncs_options_are_accepted() {
        let options = parse(&["-f", "-c", "/tmp/corosync.conf"]).unwrap();
        assert!(options.foreground && !options.check && !options.version);
        assert_eq!(options.config(), PathBuf::from("/tmp/corosync.conf"));
        let options = parse(&["-t"]).unwrap();
        assert!(options.check);
        assert_eq!(options.config(), PathBuf::from(DEFAULT_PATH));
        assert!(parse(&["-t", "--strict"]).unwrap().strict && !options.strict);
        assert!(parse(&["-v"]).unwrap().version);
    }

    #[test]
    fn invalid_options_are_refused() {
        let bad: [&[&str]; 6] =
            [&["--dev", "-c", "x"], &["--dev", "-t"], &["-x"], &["stray"], &["-c"], &["--instance"]];
        for args in [
            &["--nodes", "3"][..],
            &["--dev", "--nodes", "0"],
            &["--dev", "--nodes", "33"],
            &["--dev", "--node", "1"],
        ] {
            assert!(parse(args).is_err(), "{args:?}");
        }
        for args in bad {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn instance_names_cannot_contain_a_path() {
        for bad in ["", ".", "a/b", "a b", "ä", &"x".repeat(INSTANCE_LIMIT + 1)] {
            assert!(bad.parse::<Instance>().is_err(), "{bad:?}");
            assert!(parse(&["--instance", bad]).is_err(), "{bad:?}");
        }
        let options = parse(&["--dev", "--instance", "a-1_B"]).unwrap();
        assert_eq!(options.instance.unwrap().as_str(), "a-1_B");
    }
}
