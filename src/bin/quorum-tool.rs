//! Shows and sets the votes of a cluster. The code is in the library: [`annulus::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    annulus::cli::quorum_tool()
}
