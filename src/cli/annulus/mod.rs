//! `annulus`: one program to inspect and control a node.
//!
//! | file | what |
//! |---|---|
//! | `options.rs` | the command line |
//! | `status.rs` `ring.rs` `groups.rs` `encryption.rs` | the state of the node |
//! | `health.rs` | whether the node is healthy |
//! | `confdb.rs` | the configuration database |
//! | `control.rs` | reload, shutdown, kill |
//! | `key.rs` | the keys that the nodes use; a new one |
//! | `files.rs` | check and convert configurations; make a key |
//! | `pages.rs` | manual pages and completions |
//! | `manual.rs` `settings.rs` | sections of the pages besides the options; the page of the configuration |
//! | `paths.rs` | the links to each other node |
//! | `table.rs` | columns, colours |

mod confdb;
mod control;
mod encryption;
mod files;
mod groups;
mod health;
mod key;
mod manual;
mod options;
mod pages;
mod paths;
mod ring;
mod settings;
mod status;
mod table;

use std::ffi::OsString;

use clap::Parser;

use super::failure::{self, Failure, Form};
use super::quorum;
use super::site::Site;
use super::streams::Streams;
use options::{Command, Options};

type Outcome = Result<(), Failure>;

/// Runs the command; `args` begin with the program's name.
pub(super) fn run(args: Vec<OsString>, others: Vec<clap::Command>, streams: &mut Streams<'_>) -> u8 {
    let json = failure::wants_json(&args);
    let options = match Options::try_parse_from(args) {
        Ok(options) => options,
        Err(error) => return failure::usage(&error, json, streams),
    };
    let json = options.json;
    let form = Form { json, prefix: "annulus: ", is_answer: matches!(options.command, Command::Health) };
    let outcome = match &options.command {
        Command::Check { file, quiet, strict } => files::check(file, *quiet, *strict, json, streams),
        Command::Convert { file, output, to } => files::convert(file, output.as_deref(), *to, streams),
        Command::Keygen(keygen) => files::keygen(keygen, json, streams),
        Command::Completions { shell, program } => pages::completions(*shell, program, others, streams),
        Command::Man { dir } => pages::man(dir, others, streams),
        asked => {
            let site = Site::new(options.instance.as_deref(), options.timeout, form);
            let outcome = ask(asked, &site, json, streams);
            site.deadline.pause();
            match outcome {
                Ok(status) => return status,
                Err(failure) => Err(failure),
            }
        }
    };
    match outcome {
        Ok(()) => 0,
        Err(failure) => form.say(&failure, streams),
    }
}

/// Runs a command that needs the daemon.
fn ask(command: &Command, site: &Site, json: bool, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    match command {
        Command::Status => status::run(site, json, streams),
        Command::Health => return health::run(site, json, streams),
        Command::Ring => ring::run(site, json, streams),
        Command::Groups { names } => groups::run(names, site, json, streams),
        Command::Quorum(query) => return Ok(quorum::tool::run(&query.request(json), site, streams)),
        Command::Confdb { action } => confdb::run(action, site, json, streams),
        Command::Reload => control::reload(site, json, streams),
        Command::ReopenLogs => control::reopen_logs(site, json, streams),
        Command::Shutdown { force, now } => control::shutdown(*force, *now, site, json, streams),
        Command::Key { action } => key::run(*action, site, json, streams),
        Command::Kill { node, reason } => control::kill(*node, reason, site, json, streams),
        Command::Check { .. }
        | Command::Convert { .. }
        | Command::Keygen(_)
        | Command::Completions { .. }
        | Command::Man { .. } => Err(Failure::new("no daemon is asked for this")),
    }
    .map(|()| 0)
}
