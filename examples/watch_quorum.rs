//! Quorum when the network is cut. Three nodes in one process, over real UDP on 127.0.0.1 to 127.0.0.3: node
//! 3 is cut off and loses quorum, while the other two keep it; when the cut is removed, node 3 is quorate
//! again. Needs no root and no daemon, and takes a few seconds:
//!
//! ```sh
//! cargo run --example watch_quorum
//! ```
//!
//! `--daemon` instead watches the running daemon of this host, annulusd or Corosync, until it ends:
//!
//! ```sh
//! cargo run --example watch_quorum -- --daemon
//! ```
//!
//! Exits with 1 if quorum is not lost and regained as expected.

mod common;

use std::process::ExitCode;
use std::time::Duration;

use annulus::client::{Client, Events};
use annulus::quorum::{QuorumChange, QuorumInfo};
use common::Failure;
use tokio::sync::watch;

/// Much longer than the example takes, because the host may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> ExitCode {
    let done = match std::env::args().nth(1).as_deref() {
        None => demonstrate().await,
        Some("--daemon") => watch_daemon().await,
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

async fn watch_daemon() -> Result<(), Failure> {
    let client = Client::connect().await?;
    println!("node {}", client.local_id().await?);
    print_info(&client.quorum().info().await?);
    let mut changes = client.quorum().changes().await?;
    while let Some(change) = changes.next().await {
        println!("{}", describe(&change?));
    }
    Ok(())
}

async fn demonstrate() -> Result<(), Failure> {
    let nodes = common::start(&[1, 2, 3]).await?;
    let mut seats = Vec::new();
    for (id, node) in &nodes {
        seats.push(Seat::new(*id, node.quorum().changes().await?));
    }
    for seat in &seats {
        seat.until("all three, quorate", |last| last.quorate && last.members.len() == 3).await?;
    }
    print_info(&nodes[&1].quorum().info().await?);

    println!("\nThe network is cut: node 3 on one side, 1 and 2 on the other.");
    common::cut(&nodes, &[3]).await?;
    for seat in &seats[..2] {
        seat.until("two of three, quorate", |last| last.quorate && last.members.len() == 2).await?;
    }
    seats[2].until("one of three, not quorate", |last| !last.quorate && last.members.len() == 1).await?;

    println!("\nThe network heals.");
    common::heal(&nodes).await?;
    for seat in &seats {
        seat.until("all three, quorate", |last| last.quorate && last.members.len() == 3).await?;
    }
    println!("\nWhile the cluster was cut, only one part of it could act.");
    for node in nodes.into_values() {
        node.leave().await?;
    }
    Ok(())
}

/// The last notification of a node, received and printed by its own task.
struct Seat {
    id: u32,
    last: watch::Receiver<Option<QuorumChange>>,
}

impl Seat {
    fn new(id: u32, mut changes: Events<QuorumChange>) -> Self {
        let (writer, last) = watch::channel(None);
        tokio::spawn(async move {
            // An error is the last item: the node was stopped.
            while let Some(Ok(change)) = changes.next().await {
                println!("  node {id}: {}", describe(&change));
                writer.send_replace(Some(change));
            }
        });
        Self { id, last }
    }

    async fn until(&self, what: &str, reached: impl Fn(&QuorumChange) -> bool) -> Result<(), Failure> {
        let mut last = self.last.clone();
        let wait = last.wait_for(|last| last.as_ref().is_some_and(&reached));
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(format!("node {} waited for {what} in vain", self.id).into()),
        }
    }
}

fn describe(change: &QuorumChange) -> String {
    let ids = |nodes: &[annulus::ids::NodeId]| nodes.iter().map(|id| id.get()).collect::<Vec<_>>();
    let mut line = format!(
        "{}, ring {} of {:?}",
        if change.quorate { "QUORATE" } else { "no quorum" },
        change.ring,
        ids(&change.members)
    );
    if !change.joined.is_empty() {
        line.push_str(&format!(", joined {:?}", ids(&change.joined)));
    }
    if !change.left.is_empty() {
        line.push_str(&format!(", left {:?}", ids(&change.left)));
    }
    line
}

fn print_info(info: &QuorumInfo) {
    let Some(votes) = &info.votes else {
        println!("  nobody votes here: always quorate");
        return;
    };
    println!(
        "  {} of {} votes are there, {} are needed",
        votes.total_votes, votes.highest_expected, votes.quorum
    );
}
