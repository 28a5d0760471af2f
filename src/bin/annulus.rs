//! The `annulus` command line; called by the name of one of Corosync's tools, it behaves as that tool. The code is in
//! the library: [`annulus::cli`].

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
