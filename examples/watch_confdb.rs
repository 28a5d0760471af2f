//! The configuration database: keys change, and programs that watch them are notified. Two nodes in one
//! process, over real UDP on 127.0.0.1 and 127.0.0.2: a program sets its own keys, and the cluster's keys
//! show that node 2 leaves and comes back. Needs no root and no daemon, and takes a few seconds:
//!
//! ```sh
//! cargo run --example watch_confdb
//! ```
//!
//! `--daemon` instead watches the running daemon of this host, annulusd or Corosync, until it ends: all keys,
//! or those that begin with a prefix:
//!
//! ```sh
//! cargo run --example watch_confdb -- --daemon runtime.members.
//! ```
//!
//! Exits with 1 if a notification is missing.

mod common;

use std::process::ExitCode;
use std::time::Duration;

use annulus::client::{Client, Events};
use annulus::confdb::{Change, ChangeKind};
use common::Failure;

/// Much longer than the example takes, because the host may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let done = match arguments.next().as_deref() {
        None => demonstrate().await,
        Some("--daemon") => watch_daemon(&arguments.next().unwrap_or_default()).await,
        Some(other) => Err(format!("unknown argument {other}; there is only --daemon").into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("FAILED: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn watch_daemon(prefix: &str) -> Result<(), Failure> {
    let client = Client::connect().await?;
    let mut changes = client.confdb().watch(prefix).await?;
    let mut entries = client.confdb().list(prefix).await?;
    while let Some(entry) = entries.next().await {
        let entry = entry?;
        println!("{} ({}) = {}", entry.key, entry.value.type_name(), entry.value);
    }
    while let Some(change) = changes.next().await {
        print(&change?);
    }
    Ok(())
}

async fn demonstrate() -> Result<(), Failure> {
    let nodes = common::start(&[1, 2]).await?;
    let confdb = nodes[&1].confdb();

    println!("\nA program's own keys:");
    let mut changes = confdb.watch("example.").await?;
    confdb.set("example.colour", "blue").await?;
    confdb.set("example.colour", "green").await?;
    confdb.set("example.count", 41u32).await?;
    confdb.increment("example.count").await?;
    confdb.remove("example.colour").await?;
    for _ in 0..5 {
        print(&next(&mut changes).await?);
    }
    println!("  and now the count is {:?}", confdb.get::<u32>("example.count").await?);
    let refused = confdb.set("totem.version", 3u32).await;
    println!("  what clients may not set: {}", refused.expect_err("read-only"));

    println!("\nThe cluster's own keys:");
    let mut changes = confdb.watch_key("runtime.members.2.status").await?;
    if confdb.get::<String>("runtime.members.2.status").await?.as_deref() != Some("joined") {
        until(&mut changes, "joined").await?;
    }
    common::cut(&nodes, &[2]).await?;
    until(&mut changes, "left").await?;
    common::heal(&nodes).await?;
    until(&mut changes, "joined").await?;

    println!("\nAll that is known of the members:");
    let mut members = confdb.list("runtime.members.").await?;
    while let Some(entry) = members.next().await {
        let entry = entry?;
        println!("  {} ({}) = {}", entry.key, entry.value.type_name(), entry.value);
    }
    for node in nodes.into_values() {
        node.leave().await?;
    }
    Ok(())
}

async fn next(changes: &mut Events<Change>) -> Result<Change, Failure> {
    match tokio::time::timeout(PATIENCE, changes.next()).await {
        Ok(Some(change)) => Ok(change?),
        Ok(None) => Err("the node has stopped".into()),
        Err(_) => Err("waited for a change in vain".into()),
    }
}

/// Reads notifications until a key has this text.
async fn until(changes: &mut Events<Change>, text: &str) -> Result<(), Failure> {
    loop {
        let change = next(changes).await?;
        print(&change);
        if change.new.and_then(|value| value.as_text().map(|text| text.into_owned())).as_deref() == Some(text)
        {
            return Ok(());
        }
    }
}

fn print(change: &Change) {
    let text = |value: &Option<annulus::value::Value>| match value {
        Some(value) => format!("{value} ({})", value.type_name()),
        None => "-".to_owned(),
    };
    let what = match change.kind {
        ChangeKind::Added => "added",
        ChangeKind::Modified => "modified",
        ChangeKind::Removed => "removed",
    };
    println!("  {} {what}: {} -> {}", change.key, text(&change.old), text(&change.new));
}
