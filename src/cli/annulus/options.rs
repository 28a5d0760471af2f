//! The command line of `annulus`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cli::corosync::keygen::{KEY_FILE, SIZE, SIZES};
use crate::cli::deadline::seconds;
use crate::cli::quorum::options::{EXIT, Query};
use crate::config::DEFAULT_PATH;

/// The command line of `annulus`.
#[derive(Debug, Parser)]
#[command(
    name = "annulus",
    version,
    about = "Look after a cluster node that runs annulusd or Corosync",
    long_about = "Shows how the node and its cluster are, reads and sets the configuration database, and looks \
                  after configuration files. It talks to annulusd on this host, or to Corosync, whose clients \
                  speak the same.\n\nCalled by the name corosync-quorumtool, corosync-cmapctl, corosync-cfgtool, \
                  corosync-cpgtool or corosync-keygen, it is that tool.",
    after_help = "Exit status: 0; 1 if something went wrong; `quorum` and `health` 2 if not quorate; `check` as annulusd's."
)]
pub(super) struct Options {
    /// Write JSON instead of text, errors included
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// Talk to the daemon of this name, of several on this host [default: $ANNULUS_INSTANCE]
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) instance: Option<String>,

    /// Give up when the daemon has not answered for so long; 0: never [default: 5; reload, shutdown: 60]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(super) timeout: Option<Duration>,

    #[command(subcommand)]
    pub(super) command: Command,
}

/// The subcommand.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the node at a glance: ring, members, quorum, links, groups
    Status,

    /// Say in one line, and by the exit status, whether all is well
    #[command(
        after_help = "Exit status: 0 well; 2 the node's part of the cluster is not quorate; 1 the daemon cannot be reached."
    )]
    Health,

    /// Show the ring: its id, its members, its timers and counters
    Ring,

    /// Show the process groups and who is in them
    Groups {
        /// Show only these groups
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },

    /// Show and set quorum and votes, with the options of quorum-tool
    #[command(after_help = EXIT)]
    Quorum(Query),

    /// Read and set the configuration database and the statistics
    Confdb {
        #[command(subcommand)]
        action: Confdb,
    },

    /// Let all nodes read their configuration files again; all go over to them, or none does
    ///
    /// Every node reads its own file and says what it makes of it. If one cannot use its file, would change the id or the
    /// link-0 address of a running node, or has another node list or other settings of totem and quorum than the others,
    /// nothing changes anywhere, and each reason is told with the nodes that have it. Otherwise it is told which nodes
    /// went over, what changed here, and what waits for a restart, with file and line.
    ///
    /// With a daemon of Corosync, or nodes of Corosync on the ring, each node judges for itself.
    Reload,

    /// Close and open the log files of this node's daemon, after they were rotated
    ReopenLogs,

    /// End the daemon of this node, unless a program that uses it objects
    Shutdown {
        /// Ask the programs so that they can prepare, and end it whatever they say
        #[arg(long)]
        force: bool,
        /// End it at once and ask nobody
        #[arg(long, conflicts_with = "force")]
        now: bool,
    },

    /// End the daemon of a node at once, without a word to its clients
    Kill {
        /// The id of the node to end
        #[arg(value_name = "NODEID", value_parser = clap::value_parser!(u32).range(1..))]
        node: u32,
        /// The reason that the node writes into its log
        #[arg(long, default_value = "killed by administrator")]
        reason: String,
    },

    /// Check a configuration file and list the settings in effect, as annulusd --check does
    Check {
        /// The file to check: corosync.conf, or TOML if the name ends in .toml
        #[arg(value_name = "FILE", default_value = DEFAULT_PATH)]
        file: PathBuf,
        /// Print only what is wrong
        #[arg(short, long)]
        quiet: bool,
        /// Refuse also what is only warned of
        #[arg(long)]
        strict: bool,
    },

    /// Turn corosync.conf into TOML, or TOML into corosync.conf, without loss
    Convert {
        /// The file to convert; TOML if its name ends in .toml
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Write it here, where nothing may be yet, instead of to standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Take FILE for the other format, whatever its name
        #[arg(long, value_name = "FORMAT")]
        to: Option<Format>,
    },

    /// Make the key that the nodes of a cluster share
    Keygen(Keygen),

    /// Look after the key of the cluster
    Key {
        #[command(subcommand)]
        action: Key,
    },

    /// Write completions for a shell to standard output
    Completions {
        /// The shell that the completions are for
        shell: clap_complete::Shell,
        /// The program whose command line is completed: annulus, annulusd or quorum-tool
        #[arg(long, default_value = "annulus")]
        program: String,
    },

    /// Write the manual pages of all programs
    Man {
        /// The directory to write to, which must exist; man8 and man5 in it are used if they are there
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

/// The action of `annulus key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub(super) enum Key {
    /// Show which key each node uses
    ///
    /// Of each node on the ring: a fingerprint of its key, by which keys can be compared and which tells nothing of the
    /// key, its cipher and its hash. Nodes of the list that are not on the ring are shown, too. Nodes of Corosync cannot
    /// say what they use, and are waited for for 5 seconds.
    Status,

    /// Give all nodes a new key while the cluster runs
    ///
    /// The node makes a key and sends it to the others through the ring, encrypted with the old key. Each node stores it
    /// beside its key file. When all have, the ring goes over to it without losing a message, and each node puts it into
    /// the place of the old one. What each node uses then is shown.
    ///
    /// It is refused, and nothing changes, if packets are not encrypted, if a node of the node list is not on the ring, if
    /// a node uses another key than this one or cannot store the new one, or if there are nodes of Corosync, which cannot
    /// take part: give all nodes a new key file by hand then, and reload.
    Rotate,
}

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// corosync.conf
    Conf,
    /// corosync.toml
    Toml,
}

/// The action of `annulus confdb`.
#[derive(Debug, Subcommand)]
pub(super) enum Confdb {
    /// Print the values of keys
    Get {
        #[command(flatten)]
        map: Which,
        /// Print the values alone
        #[arg(short, long)]
        quiet: bool,
        /// The keys to read, for example totem.token
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Set a key
    #[command(
        after_help = "Types: i8 u8 i16 u16 i32 u32 i64 u64 flt dbl str bin. The value of a bin is the name of a \
                            file, or - for standard input."
    )]
    Set {
        /// The key to set, for example my.key
        #[arg(value_name = "KEY")]
        key: String,
        /// The type of the value: i8 u8 i16 u16 i32 u32 i64 u64 flt dbl str bin
        #[arg(value_name = "TYPE")]
        kind: String,
        /// The value; that of a bin is the name of a file, or - for standard input
        #[arg(value_name = "VALUE", allow_hyphen_values = true)]
        value: String,
    },
    /// Delete keys
    Delete {
        /// Delete all keys that begin with KEY
        #[arg(long)]
        prefix: bool,
        /// The keys to delete
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// List all keys, or those that begin with one of the prefixes
    List {
        #[command(flatten)]
        map: Which,
        /// The beginning of the keys to list
        #[arg(value_name = "PREFIX")]
        prefixes: Vec<String>,
    },
    /// Show changes as they happen
    Watch {
        #[command(flatten)]
        map: Which,
        /// The beginning of the keys to watch; without it all are watched
        #[arg(value_name = "PREFIX")]
        prefixes: Vec<String>,
    },
}

/// Selects one of the two databases.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Which {
    /// Use the statistics instead of configuration and state
    #[arg(short, long)]
    pub(super) statistics: bool,
}

/// Options for making a key.
#[derive(Debug, Args)]
pub(super) struct Keygen {
    /// Write the key to this file; one that is there is replaced only with --force
    #[arg(short, long, value_name = "FILE", default_value = KEY_FILE)]
    pub(super) output: PathBuf,
    /// Make a key of so many bytes
    #[arg(
        short, long, default_value_t = SIZE as u16,
        value_parser = clap::value_parser!(u16).range(*SIZES.start() as i64..=*SIZES.end() as i64)
    )]
    pub(super) size: u16,
    /// Replace the key that is there
    #[arg(long)]
    pub(super) force: bool,
}
