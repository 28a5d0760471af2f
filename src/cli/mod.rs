//! The command-line tools: `annulus`, `quorum-tool`, and Corosync's tools under their own names.
//!
//! They are ordinary clients: they query the daemon of this host, annulus' own or Corosync's, and print the answers.
//!
//! | file | what |
//! |---|---|
//! | `annulus/` | `annulus` and its subcommands, one in each file |
//! | `quorum/` | the state of quorum; `quorum-tool` |
//! | `corosync/` | Corosync's tools, one in each file |
//! | `links.rs` | the links between nodes |
//! | `site.rs` `deadline.rs` | the daemon that a tool queries, and how long it waits |
//! | `streams.rs` `failure.rs` | the outputs of a tool; errors as text or JSON |
//! | `getopt.rs` | command lines as Corosync's tools read them |
//! | `date.rs` | the date for people |

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

/// Runs `annulus`, or the tool of Corosync by whose name the program was called. `others` are the command lines of
/// the other programs, for manual pages and completions.
pub fn main(others: Vec<clap::Command>) -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let tool = args.first().and_then(|name| Tool::called(Path::new(name)));
    with_streams(|streams| match tool {
        Some(tool) => tool.run(args, &Site::patient(), streams),
        None => annulus::run(args, others, streams),
    })
}

/// Runs `quorum-tool` with the arguments of this process.
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
