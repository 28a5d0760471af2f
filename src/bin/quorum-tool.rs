//! Shows and sets the votes of a cluster. All of it is in the library: [`annulus::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    annulus::cli::quorum_tool()
}
