//! A client of Debian's unmodified libcpg, through the crate `rust-corosync`, for tests and side-by-side benchmarks.
//!
//! The same program runs against annulusd and against Corosync's daemon, so that their outputs can be compared. Exit
//! codes: 0, everything succeeded; 2, wrong command line; 3, the daemon or libcpg refused, with the reason on
//! standard error.

mod calls;
mod database;
mod link;
mod message;
mod options;
mod order;
mod speed;

use options::{Mode, Options};
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("cpg-peer: {why}");
            return ExitCode::from(2);
        }
    };
    let result = match options.mode {
        Mode::Order => order::run(&options),
        Mode::Throughput => speed::throughput(&options),
        Mode::Latency => speed::latency(&options),
        Mode::Database => database::run(&options),
        Mode::Calls => calls::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("cpg-peer: {why}");
            ExitCode::from(3)
        }
    }
}
