//! `annulusd`: a node with its clients, as a daemon of this host.
//!
//! Corosync's counterpart: `exec/main.c`, `exec/logsys.c`.
//!
//! | file | what |
//! |---|---|
//! | `run.rs` | the daemon's life, from options to exit status |
//! | `signals.rs` | the signals, and what each asks for |
//! | `options.rs` | the command line |
//! | `dev.rs` `nodes.rs` | `--dev`: a node on loopback, or several |
//! | `place.rs` | lock file, state directory and socket names, by user and instance |
//! | `lock.rs` | one daemon an instance |
//! | `fork.rs` | into the background |
//! | `os.rs` | locked memory, real-time scheduling, wall-clock time |
//! | `log/` | log lines in Corosync's formats |
//! | `key_file.rs` | a new key beside the key file, then in its place |
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

/// The whole program: reads the command line and runs. A bad command line ends with status 1, as
/// Corosync's does.
pub fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            // Help goes to standard output and is no error. If nobody reads it, there is nobody to tell.
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
