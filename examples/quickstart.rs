//! Three nodes in one process, over real UDP on 127.0.0.1, 127.0.0.2 and 127.0.0.3: they form a ring, join a
//! group, and all multicast at once; then one is cut off and comes back. At the end the example verifies that
//! all nodes delivered the messages in the same order. Needs no root and no daemon, and takes a few seconds:
//!
//! ```sh
//! cargo run --example quickstart
//! ```
//!
//! Exits with 1, and shows the difference, if the orders differ.

mod common;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use annulus::cpg::{Event, Group, Reason};
use annulus::ids::Guarantee;
use common::Failure;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

const NODES: [u32; 3] = [1, 2, 3];
/// How many messages each node multicasts in a phase.
const MESSAGES: usize = 20;
const PATIENCE: Duration = Duration::from_secs(14);

/// A part of the story, in which each node multicasts [`MESSAGES`] messages.
#[derive(Clone, Copy)]
enum Phase {
    Together,
    Apart,
    Again,
}

impl Phase {
    /// The numbers of each node's messages. They go on from phase to phase.
    fn numbers(self) -> RangeInclusive<usize> {
        let before = self as usize * MESSAGES;
        before + 1..=before + MESSAGES
    }

    /// `1 to 20`, for the story.
    fn span(self) -> String {
        let numbers = self.numbers();
        format!("{} to {}", numbers.start(), numbers.end())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let start = Instant::now();
    match tokio::time::timeout(PATIENCE, demonstrate()).await {
        Ok(Ok(())) => {
            println!("\nDone in {:.1} s.", start.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Ok(Err(failure)) => {
            eprintln!("\nFAILED: {failure}");
            ExitCode::FAILURE
        }
        Err(_) => {
            eprintln!("\nFAILED: not done after {} s; the host may be overloaded", PATIENCE.as_secs());
            ExitCode::FAILURE
        }
    }
}

async fn demonstrate() -> Result<(), Failure> {
    let nodes = common::start(&NODES).await?;

    println!(
        "\nThey form a ring, and each joins the group. Every join is a new view of the group at each member."
    );
    let mut seats = BTreeMap::new();
    for (id, node) in &nodes {
        seats.insert(*id, Seat::new(*id, node.join("quickstart").await?));
    }
    for seat in seats.values() {
        seat.until("all three in the group", |log| log.last_view() == NODES).await?;
    }

    let all = NODES.len() * MESSAGES;
    println!("\nAll three multicast their messages {} at the same time.", Phase::Together.span());
    multicast(&seats, Phase::Together).await?;
    for seat in seats.values() {
        seat.until("all messages", |log| log.count(Phase::Together) == all).await?;
    }
    println!("  Each node has delivered all {all}.");

    println!("\nThe network is cut: node 3 on one side, 1 and 2 on the other. Each side goes on alone.");
    common::cut(&nodes, &[3]).await?;
    for (id, rest) in [(1, &NODES[..2]), (2, &NODES[..2]), (3, &NODES[2..])] {
        seats[&id].until("the view of its part", |log| log.last_view() == rest).await?;
    }
    println!("\nAll three multicast their messages {}; each side has only its own.", Phase::Apart.span());
    multicast(&seats, Phase::Apart).await?;
    for (id, members) in [(1, 2), (2, 2), (3, 1)] {
        let own = members * MESSAGES;
        seats[&id].until("the messages of its part", |log| log.count(Phase::Apart) == own).await?;
    }
    println!("  Nodes 1 and 2 have delivered {} each, node 3 has delivered {MESSAGES}.", 2 * MESSAGES);

    println!("\nThe network heals. All three are together again.");
    common::heal(&nodes).await?;
    for seat in seats.values() {
        seat.until("all three again", |log| log.last_view() == NODES).await?;
    }
    println!("\nAll three multicast their messages {} at the same time.", Phase::Again.span());
    multicast(&seats, Phase::Again).await?;
    for seat in seats.values() {
        seat.until("all messages", |log| log.count(Phase::Again) == all).await?;
    }
    println!("  Each node has delivered all {all}.");

    prove(&seats)?;

    for seat in seats.into_values() {
        seat.group.leave().await?;
        seat.recorder.await?; // the events end with the view without this member
    }
    for node in nodes.into_values() {
        node.leave().await?;
    }
    Ok(())
}

/// What a node delivered: views, and the messages between them.
#[derive(Clone, Default)]
struct Log {
    segments: Vec<Segment>,
}

#[derive(Clone, Default)]
struct Segment {
    view: Vec<u32>,
    messages: Vec<String>,
}

impl Log {
    fn last_view(&self) -> &[u32] {
        self.segments.last().map_or(&[], |segment| &segment.view)
    }

    fn messages(&self) -> impl Iterator<Item = &String> {
        self.segments.iter().flat_map(|segment| &segment.messages)
    }

    fn count(&self, phase: Phase) -> usize {
        let numbers = phase.numbers();
        let number = |message: &String| message.rsplit('.').next()?.parse().ok();
        self.messages().filter_map(number).filter(|number| numbers.contains(number)).count()
    }

    /// The messages delivered while all three nodes were together.
    fn together(&self) -> Vec<&String> {
        let together = self.segments.iter().filter(|segment| segment.view == NODES);
        together.flat_map(|segment| &segment.messages).collect()
    }
}

/// A member of the group, and the log that its own task writes.
struct Seat {
    id: u32,
    group: Group,
    log: watch::Receiver<Log>,
    recorder: JoinHandle<()>,
}

impl Seat {
    fn new(id: u32, group: Group) -> Self {
        let (writer, log) = watch::channel(Log::default());
        let mut events = group.events();
        let recorder = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                record(id, event, &writer);
            }
        });
        Self { id, group, log, recorder }
    }

    async fn until(&self, what: &str, reached: impl Fn(&Log) -> bool) -> Result<(), Failure> {
        let mut log = self.log.clone();
        match tokio::time::timeout(PATIENCE / 2, log.wait_for(reached)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(format!("node {} waited for {what} in vain", self.id).into()),
        }
    }
}

fn record(id: u32, event: Event, log: &watch::Sender<Log>) {
    match event {
        // Caused by this member's own leave at the end.
        Event::View(view) if view.left.iter().any(|c| c.reason == Reason::Leave) => {}
        Event::View(view) => {
            let members: Vec<u32> = view.members.iter().map(|member| member.node.get()).collect();
            let why = |reason: Reason| match reason {
                Reason::NodeDown => "lost",
                Reason::NodeUp => "back or met",
                Reason::Join => "joined",
                _ => "left",
            };
            let mut changes = Vec::new();
            changes.extend(view.joined.iter().map(|c| format!("+{} {}", c.member.node, why(c.reason))));
            changes.extend(view.left.iter().map(|c| format!("-{} {}", c.member.node, why(c.reason))));
            println!("  node {id}: view {members:?}  ({})", changes.join(", "));
            log.send_modify(|log| log.segments.push(Segment { view: members, messages: Vec::new() }));
        }
        Event::Message { payload, .. } => log.send_modify(|log| {
            if let Some(segment) = log.segments.last_mut() {
                segment.messages.push(String::from_utf8_lossy(&payload).into_owned());
            }
        }),
        // The views tell the same, and in the order of the messages.
        Event::Ring(_) => {}
        other => println!("  node {id}: {other:?}"),
    }
}

/// Multicasts the messages of a phase from all nodes at the same time, each as `SENDER.NUMBER`; the last message of
/// each is awaited until it has been delivered safely.
async fn multicast(seats: &BTreeMap<u32, Seat>, phase: Phase) -> Result<(), Failure> {
    let mut senders = JoinSet::new();
    for seat in seats.values() {
        let (id, group) = (seat.id, seat.group.clone());
        senders.spawn(async move {
            let last = *phase.numbers().end();
            for n in phase.numbers().take_while(|n| *n < last) {
                group.multicast(format!("{id}.{n}")).await?;
            }
            group.multicast_delivered(format!("{id}.{last}"), Guarantee::Safe).await
        });
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    Ok(())
}

/// Verifies that the nodes delivered the same messages in the same order wherever they were together.
fn prove(seats: &BTreeMap<u32, Seat>) -> Result<(), Failure> {
    let logs = NODES.map(|id| seats[&id].log.borrow().clone());
    println!(
        "\nThe order in which node 1 delivered what was sent while all three were together (sender.number):"
    );
    let sequence: Vec<&str> = logs[0].together().iter().map(|message| message.as_str()).collect();
    for line in sequence.chunks(20) {
        println!("  {}", line.join(" "));
    }
    println!("\nThe digests of what each node delivered, in its order:");
    for (log, id) in logs.iter().zip(NODES) {
        let digest = |messages: &[&String]| {
            let mut crc = crc32fast::Hasher::new();
            messages.iter().for_each(|message| crc.update(message.as_bytes()));
            crc.finalize()
        };
        let (together, all) = (log.together(), log.messages().collect::<Vec<_>>());
        println!(
            "  node {id}: {} messages, digest {:08x}; with the time apart {} messages, digest {:08x}",
            together.len(),
            digest(&together),
            all.len(),
            digest(&all)
        );
    }
    for (log, id) in logs.iter().zip(NODES).skip(1) {
        same(&logs[0].together(), &log.together())
            .map_err(|at| format!("node {id} differs from node 1 {at}"))?;
    }
    let (one, two) = (logs[0].messages().collect::<Vec<_>>(), logs[1].messages().collect::<Vec<_>>());
    same(&one, &two).map_err(|at| format!("nodes 1 and 2 were together all the time, but differ {at}"))?;
    if sequence.len() != 2 * NODES.len() * MESSAGES {
        return Err(format!("{} messages were delivered to all three", sequence.len()).into());
    }
    println!(
        "\nOne order at all nodes: nodes 1 and 2 agree on everything, node 3 on all but its time alone."
    );
    Ok(())
}

fn same(one: &[&String], other: &[&String]) -> Result<(), String> {
    match one.iter().zip(other).position(|(a, b)| a != b) {
        Some(at) => Err(format!("at message {at}: {:?} and {:?}", one[at], other[at])),
        None if one.len() != other.len() => Err(format!("in length: {} and {}", one.len(), other.len())),
        None => Ok(()),
    }
}
