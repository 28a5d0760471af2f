//! The `annulusd` daemon. The code is in the library: [`annulus::daemon`].

use std::process::ExitCode;

fn main() -> ExitCode {
    annulus::daemon::main()
}
