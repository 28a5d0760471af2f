//! `annulusd`: a node with its clients, as a daemon.
//!
//! Corosync's counterpart: `exec/main.c`, `exec/logsys.c`.
//!
//! | file | what |
//! |---|---|
//! | `run.rs` | the daemon from its options to its exit status |
//! | `signals.rs` | the signals and their meaning |
//! | `options.rs` | the command line |
//! | `dev.rs` `nodes.rs` | `--dev`: one node on loopback, or several |
//! | `place.rs` | lock file, state directory and socket names, by user and instance |
//! | `lock.rs` | the lock file: one daemon for each instance |
//! | `fork.rs` | putting the daemon into the background |
//! | `os.rs` | locked memory, real-time scheduling |
//! | `log/` | log lines in Corosync's formats |
//! | `key_file.rs` | storing a new key beside the key file, then in its place |
//! | `reload.rs` | reading the configuration again |
//! | `exit.rs` | exit statuses |

mod dev;
mod exit;
mod fork;
mod key_file;
mod lock;
mod log;
mod nodes;
mod options;
mod os;
mod place;
mod reload;
mod run;
mod signals;

use std::process::ExitCode;

use clap::Parser;

pub use self::exit::Exit;
pub use self::options::{Instance, Options};
pub use self::run::run;

/// The whole program: reads the command line and runs the daemon. An invalid command line ends with status 1, as with
/// Corosync.
pub fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            // Help goes to standard output and is no error. Failing to print it cannot be reported.
            let _ = error.print();
            return if error.use_stderr() { Exit::Options.status() } else { Exit::Done.status() }.into();
        }
    };
    if options.version {
        print!("{}", options::version());
        return ExitCode::SUCCESS;
    }
    run(&options).into()
}
