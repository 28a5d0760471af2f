//! Supervision with real processes: the scenarios that `tests/interop/sam.c` plays with Debian's libsam are played
//! with this crate, in both ways of starting a worker, and compared with libsam's transcript. Further tests cover
//! what libsam does not do.
//!
//! This program is test, supervisor and worker: a process that forks must have a single thread, so the tests have a
//! runner of their own. If its arguments begin with `role`, it is a supervisor or worker.
//!
//! | file | what |
//! |---|---|
//! | `runner` | runs tests side by side, as libtest would |
//! | `subject` | supervisors and workers |
//! | `paper` | a daemon made of files, for keys and quorum |
//! | `site` | a test's directory, its processes, and what they left |
//! | `transcript` | the scenarios against libsam's transcript |
//! | `stories` | everything else |

#![cfg(target_os = "linux")]

mod paper;
mod runner;
mod site;
mod stories;
mod subject;
mod transcript;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["role", role, scenario] => subject::play(role, scenario),
        _ => runner::run(&words, &[transcript::TESTS, stories::TESTS].concat()),
    }
}
