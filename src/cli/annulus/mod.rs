//! `annulus`: one program for all that is to be seen and done at a node.
//!
//! | file | what |
//! |---|---|
//! | `options.rs` | the command line |
//! | `status.rs` `ring.rs` `groups.rs` | how things are |
//! | `confdb.rs` | the configuration database |
//! | `control.rs` | reload, shutdown, kill |
//! | `files.rs` | check and convert configurations; make a key |
//! | `pages.rs` | manual pages and completions |
//! | `table.rs` | columns, colours |

mod confdb;
mod control;
mod files;
mod groups;
mod options;
mod pages;
mod ring;
mod status;
mod table;

use std::ffi::OsString;
use std::fmt::Display;

use clap::Parser;

use super::site::Site;
use super::streams::Streams;
use super::{quorum, usage};
use options::{Command, Options};

/// Why a command failed: an exit status, and what to say.
#[derive(Debug)]
struct Failure {
    status: u8,
    message: String,
}

impl Failure {
    fn new(message: impl Display) -> Self {
        Self { status: 1, message: message.to_string() }
    }
}

/// Any error is said as it is: they say what to do.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

type Outcome = Result<(), Failure>;

/// Runs it; `args` begin with the program's name.
pub(super) fn run(args: Vec<OsString>, others: Vec<clap::Command>, streams: &mut Streams<'_>) -> u8 {
    let options = match Options::try_parse_from(args) {
        Ok(options) => options,
        Err(error) => return usage(&error),
    };
    let site = Site::new(options.instance.as_deref());
    let json = options.json;
    let outcome = match &options.command {
        Command::Status => status::run(&site, json, streams),
        Command::Ring => ring::run(&site, json, streams),
        Command::Groups { names } => groups::run(names, &site, json, streams),
        Command::Quorum(query) => return quorum::tool::run(&query.request(json), &site, streams),
        Command::Confdb { action } => confdb::run(action, &site, json, streams),
        Command::Reload => control::reload(&site, json, streams),
        Command::ReopenLogs => control::reopen_logs(&site, json, streams),
        Command::Shutdown { force, now } => control::shutdown(*force, *now, &site, json, streams),
        Command::Kill { node, reason } => control::kill(*node, reason, &site, json, streams),
        Command::Check { file, quiet, strict } => files::check(file, *quiet, *strict, json, streams),
        Command::Convert { file, output, to } => files::convert(file, output.as_deref(), *to, streams),
        Command::Keygen(keygen) => files::keygen(keygen, json, streams),
        Command::Completions { shell, program } => pages::completions(*shell, program, others, streams),
        Command::Man { dir } => pages::man(dir, others, streams),
    };
    match outcome {
        Ok(()) => 0,
        Err(failure) => {
            streams.err(format!("annulus: {}\n", failure.message));
            failure.status
        }
    }
}
