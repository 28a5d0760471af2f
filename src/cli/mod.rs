//! The command-line tools: `annulus`, `quorum-tool`, and Corosync's tools under their own names.
//!
//! They are clients like any other: they ask the daemon of this host, annulus' own or Corosync's, and show
//! what it says.
//!
//! | file | what |
//! |---|---|
//! | `annulus/` | `annulus` and its subcommands, one a file |
//! | `quorum/` | what there is to know of quorum; `quorum-tool` |
//! | `corosync/` | Corosync's tools, one a file |
//! | `links.rs` | the links between nodes |
//! | `site.rs` `deadline.rs` | the daemon that a tool talks to; how long it waits for it |
//! | `streams.rs` `failure.rs` | where a tool writes; why it failed, as text or JSON |
//! | `getopt.rs` | command lines as Corosync's tools read them |
//! | `date.rs` | the date |

mod annulus;
mod corosync;
mod date;
mod deadline;
mod failure;
mod getopt;
mod links;
mod quorum;
mod site;
mod streams;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use self::corosync::Tool;
use self::failure::Form;
use self::site::Site;
use self::streams::{Held, Streams};

/// Runs `annulus`, or the tool of Corosync's by whose name it was called. `others` are the command lines of
/// the other programs, of which it makes manual pages and completions.
pub fn main(others: Vec<clap::Command>) -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let tool = args.first().and_then(|name| Tool::called(Path::new(name)));
    with_streams(|streams| match tool {
        Some(tool) => tool.run(args, &Site::patient(), streams),
        None => annulus::run(args, others, streams),
    })
}

/// Runs `quorum-tool`.
pub fn quorum_tool() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    with_streams(|streams| {
        let json = failure::wants_json(&args);
        let options = match quorum::options::Options::try_parse_from(args) {
            Ok(options) => options,
            Err(error) => return failure::usage(&error, json, streams),
        };
        if options.version {
            streams.out(format!("quorum-tool {}\n", env!("CARGO_PKG_VERSION")));
            return 0;
        }
        let form = Form { json: options.json, prefix: "", is_answer: false };
        let site = Site::new(options.instance.as_deref(), options.timeout, form);
        quorum::tool::run(&options.query.request(options.json), &site, streams)
    })
}

fn with_streams(run: impl FnOnce(&mut Streams<'_>) -> u8) -> ExitCode {
    let mut out = Held::new(io::stdout());
    let mut err = io::stderr();
    let mut streams = Streams::new(&mut out, &mut err);
    streams.colour = streams::colours();
    let status = run(&mut streams);
    streams.flush();
    status.into()
}
