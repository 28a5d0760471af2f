//! The command line of annulus, and under their names Corosync's tools. All of it is in the library:
//! [`annulus::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "daemon")]
    let others = {
        use clap::CommandFactory;
        vec![annulus::daemon::Options::command()]
    };
    #[cfg(not(feature = "daemon"))]
    let others = Vec::new();
    annulus::cli::main(others)
}
