//! A chat in a process group: lines from stdin go to all members, in the same order for all.
//!
//! Needs a running `annulusd` (or Corosync) on this host, and the permission to use it:
//!
//! ```sh
//! cargo run --example cpg_chat -- [--instance NAME] [--safe] [GROUP]
//! ```
//!
//! Start it several times, on one node or on several, and all instances show the same lines and views. Two
//! instances on one node work, because a member is a process. End it with Ctrl-D, which leaves the group, or
//! Ctrl-C, which does not: the others are told the difference.

use std::process::ExitCode;

use annulus::client::Client;
use annulus::cpg::{Change, Event, Group};
use annulus::ids::Guarantee;
use tokio::io::{AsyncBufReadExt, BufReader};

struct Options {
    instance: Option<String>,
    guarantee: Guarantee,
    group: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("cpg_chat: {message}\nusage: cpg_chat [--instance NAME] [--safe] [GROUP]");
            return ExitCode::from(2);
        }
    };
    match chat(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cpg_chat: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options { instance: None, guarantee: Guarantee::Agreed, group: "chat".to_owned() };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--instance" => options.instance = Some(args.next().ok_or("--instance needs a name")?),
            "--safe" => options.guarantee = Guarantee::Safe,
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg}")),
            _ => options.group = arg,
        }
    }
    Ok(options)
}

async fn chat(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let client = match &options.instance {
        None => Client::connect().await?,
        Some(name) => Client::instance(name).connect().await?,
    };
    let group = client.join(&options.group).await?;
    println!("-- you are {} in group {}", group.me(), group.name());
    let mut events = group.events();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut typing = true;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Disconnected { reason }) => return Err(reason.into()),
                Some(event) => show(&group, event),
                None => return Ok(()),
            },
            line = lines.next_line(), if typing => match line? {
                // Waits while the membership changes.
                Some(line) => group.multicast_with(options.guarantee, line).await?,
                None => {
                    typing = false;
                    group.leave().await?;
                }
            },
        }
    }
}

fn show(group: &Group, event: Event) {
    let list = |changes: &[Change]| -> Vec<String> {
        changes.iter().map(|change| format!("{} ({})", change.member, change.reason)).collect()
    };
    match event {
        Event::Message { from, payload } => {
            let whose = if from == group.me() { "me" } else { "" };
            println!("{from}{whose:>3}> {}", String::from_utf8_lossy(&payload));
        }
        Event::View(view) => {
            let members: Vec<String> = view.members.iter().map(ToString::to_string).collect();
            println!("-- here: {}", members.join(", "));
            for (what, changes) in [("came", &view.joined), ("went", &view.left)] {
                if !changes.is_empty() {
                    println!("--   {what}: {}", list(changes).join(", "));
                }
            }
        }
        Event::Ring(ring) => {
            let nodes: Vec<String> = ring.members.iter().map(ToString::to_string).collect();
            println!("-- ring {} of nodes {}", ring.ring, nodes.join(", "));
        }
        Event::Undelivered { from, bytes, why } => println!("-- {bytes} bytes of {from} were lost: {why}"),
        other => println!("-- {other:?}"),
    }
}
