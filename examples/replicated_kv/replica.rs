//! One replica: a state machine that applies the group's messages in their total order.
//!
//! **The algorithm.** All replicas apply the same commands in the same order, because all receive the same
//! events. The order does not provide the past: a joining replica has none, and the two parts of a
//! partitioned network have different ones. So after every change of the membership
//!
//! 1. the first member of the view opens a round of comparison (`Compare`), and every member announces its
//!    position (`Here`);
//! 2. when all have done so, all choose the same source: the history with the highest epoch, then the longest
//!    one, then that of the first member. The source sends its state (`Snapshot`), and every replica with
//!    another history replaces it;
//! 3. a view with more than half of all replicas is *primary*: its epoch is one higher than any before, and
//!    it accepts commands. Any other view is read-only.
//!
//! Commands that are delivered between a change of the membership and the end of its round are refused by
//! all, and sent again by their writer. Any two primary views have a member in common, so the history of the
//! last primary view always has the highest epoch, and a part that was cut off and read-only adopts it: there
//! is no divergence.
//!
//! **What it does not guarantee.** A command delivered right before the view that cuts its writer off may
//! have reached only the smaller part; a member of a group cannot detect that (it would need the transitional
//! configuration). Such a command is undone when that part adopts the history of the primary, although it was
//! confirmed to its writer. A program that cannot accept this should have the other replicas confirm each
//! command.

use std::collections::{BTreeMap, HashMap};

use annulus::cpg::{Error, Event, Group, GroupView, Member};
use tokio::sync::{mpsc, oneshot, watch};

use crate::state::{Machine, Message, Op, Position, Round, decode, encode};

/// Number of requests that may wait for a replica.
const REQUESTS: usize = 64;

/// Why a command was not carried out. It was not applied by any replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// This part of the cluster has at most half of the replicas.
    ReadOnly,
    /// The replica has stopped.
    Stopped,
}

/// A running replica.
#[derive(Clone)]
pub(crate) struct Replica {
    requests: mpsc::Sender<(Op, oneshot::Sender<Outcome>)>,
    core: watch::Receiver<Core>,
}

enum Outcome {
    Applied(u64),
    Refused(Refusal),
    /// The membership was changing; no replica applied the command.
    Again,
}

impl Replica {
    /// Starts a replica in `group`, which has at most `replicas` members. The algorithm needs that number.
    pub(crate) fn start(group: Group, replicas: usize) -> Self {
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let (writer, core) = watch::channel(Core {
            me: group.me(),
            replicas,
            machine: Machine::default(),
            members: Vec::new(),
            phase: Phase::Waiting,
            rounds: 0,
            adopted: 0,
        });
        tokio::spawn(run(group, writer, inbox));
        Self { requests, core }
    }

    /// Applies a command on all replicas. Returns its number in the history.
    pub(crate) async fn submit(&self, op: Op) -> Result<u64, Refusal> {
        loop {
            let (reply, outcome) = oneshot::channel();
            self.requests.send((op.clone(), reply)).await.map_err(|_| Refusal::Stopped)?;
            match outcome.await.map_err(|_| Refusal::Stopped)? {
                Outcome::Applied(number) => return Ok(number),
                Outcome::Refused(why) => return Err(why),
                Outcome::Again => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
    }

    pub(crate) async fn put(&self, key: impl Into<String>, value: impl Into<String>) -> Result<u64, Refusal> {
        self.submit(Op::Put { key: key.into(), value: value.into() }).await
    }

    /// Reads the state of this replica, which may be a little behind others, or cut off.
    pub(crate) fn read<T>(&self, f: impl FnOnce(&Core) -> T) -> T {
        f(&self.core.borrow())
    }

    /// Waits until the state is as wanted; `None` if the replica has stopped.
    pub(crate) async fn until(&self, wanted: impl FnMut(&Core) -> bool) -> Option<()> {
        self.core.clone().wait_for(wanted).await.ok().map(drop)
    }
}

/// The state of a replica, which depends only on the events, so that all replicas make the same decisions.
pub(crate) struct Core {
    me: Member,
    replicas: usize,
    machine: Machine,
    members: Vec<Member>,
    phase: Phase,
    rounds: u64,
    adopted: u64,
}

enum Phase {
    /// The membership has changed; no round is open.
    Waiting,
    /// A round is open; `heard` contains the positions announced so far.
    Comparing { round: Round, heard: BTreeMap<Member, Position> },
    /// This replica has another history than the chosen one; commands since the end of the round are kept in
    /// `commands`.
    Copying { round: Round, source: Member, commands: Vec<(Member, u64, Op)> },
    /// This replica has the common state.
    Settled,
}

/// An action of the core.
enum Act {
    Send(Message),
    /// Tell the local writer of this command the outcome.
    Tell(u64, Outcome),
}

async fn run(
    group: Group,
    core: watch::Sender<Core>,
    mut inbox: mpsc::Receiver<(Op, oneshot::Sender<Outcome>)>,
) {
    let mut events = group.events();
    let mut writers = HashMap::new();
    let mut next_id = 0;
    loop {
        let acts = tokio::select! {
            event = events.next() => match event {
                Some(event) => {
                    let mut acts = Vec::new();
                    core.send_modify(|core| acts = core.handle(event));
                    acts
                }
                None => return,
            },
            Some((op, writer)) = inbox.recv() => {
                next_id += 1;
                writers.insert(next_id, writer);
                vec![Act::Send(Message::Command { id: next_id, op })]
            }
            () = core.closed() => return, // the replica is not used any more
        };
        for act in acts {
            match act {
                Act::Send(message) => {
                    if let Err(error) = send(&group, &message).await {
                        eprintln!("replica {}: {error}", group.me());
                        return;
                    }
                }
                Act::Tell(id, outcome) => {
                    if let Some(writer) = writers.remove(&id) {
                        let _ = writer.send(outcome); // the writer may have stopped waiting
                    }
                }
            }
        }
    }
}

/// Sends a message to the group. Commands are sent safe, so they are delivered once every node has them.
async fn send(group: &Group, message: &Message) -> Result<(), Error> {
    match message {
        Message::Command { .. } => group.multicast_safe(encode(message)).await,
        _ => group.multicast(encode(message)).await,
    }
}

impl Core {
    fn handle(&mut self, event: Event) -> Vec<Act> {
        match event {
            Event::View(view) => self.view(&view),
            Event::Message { from, payload } => match decode(&payload) {
                Some(message) => self.message(from, message),
                None => Vec::new(),
            },
            // A snapshot that was not received in full, or a command: compare again.
            Event::Undelivered { .. } => self.open_round(),
            Event::Disconnected { reason } => {
                eprintln!("replica {}: {reason}", self.me);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn view(&mut self, view: &GroupView) -> Vec<Act> {
        self.members.clone_from(&view.members);
        self.phase = Phase::Waiting;
        if self.members.first() == Some(&self.me) { self.open_round() } else { Vec::new() }
    }

    fn open_round(&mut self) -> Vec<Act> {
        self.rounds += 1;
        let Member { node, pid } = self.me;
        let round = Round { node: node.get(), pid, number: self.rounds };
        vec![Act::Send(Message::Compare { round })]
    }

    fn message(&mut self, from: Member, message: Message) -> Vec<Act> {
        match message {
            Message::Command { id, op } => self.command(from, id, op),
            Message::Compare { round } => {
                self.phase = Phase::Comparing { round, heard: BTreeMap::new() };
                vec![Act::Send(Message::Here { round, position: self.machine.position() })]
            }
            Message::Here { round: of, position } => {
                let Phase::Comparing { round, heard } = &mut self.phase else { return Vec::new() };
                if *round == of {
                    heard.insert(from, position);
                }
                if self.members.iter().all(|member| heard.contains_key(member)) {
                    let (round, heard) = (*round, std::mem::take(heard));
                    return self.end_round(round, &heard);
                }
                Vec::new()
            }
            Message::Snapshot { round, crc, machine } => self.snapshot(from, round, crc, &machine),
        }
    }

    /// All members get here at the same place in the order, with the same `heard`.
    fn end_round(&mut self, round: Round, heard: &BTreeMap<Member, Position>) -> Vec<Act> {
        // `max_by` takes the last of equal elements; reversed, that is the first member.
        let best = heard.iter().rev().max_by_key(|(_, position)| (position.epoch, position.applied));
        let Some((&source, &chosen)) = best else { return Vec::new() };
        if !self.machine.position().is_same_history(&chosen) {
            self.phase = Phase::Copying { round, source, commands: Vec::new() };
            return Vec::new();
        }
        self.machine.epoch = chosen.epoch + u64::from(self.is_majority());
        self.phase = Phase::Settled;
        let needed = heard.values().any(|position| !position.is_same_history(&chosen));
        if !needed || source != self.me {
            return Vec::new();
        }
        let machine = encode(&self.machine);
        vec![Act::Send(Message::Snapshot { round, crc: crc32fast::hash(&machine), machine })]
    }

    fn snapshot(&mut self, from: Member, of: Round, crc: u32, machine: &[u8]) -> Vec<Act> {
        let Phase::Copying { round, source, commands } = &mut self.phase else { return Vec::new() };
        if from != *source || of != *round {
            return Vec::new(); // belongs to an earlier round
        }
        let whole = crc32fast::hash(machine) == crc;
        let Some(machine) = decode(machine).filter(|_| whole) else {
            eprintln!("replica {}: the snapshot of {from} is damaged; asking again", self.me);
            return self.open_round();
        };
        let commands = std::mem::take(commands);
        self.machine = machine;
        self.adopted += 1;
        self.phase = Phase::Settled;
        commands.into_iter().flat_map(|(from, id, op)| self.command(from, id, op)).collect()
    }

    fn command(&mut self, from: Member, id: u64, op: Op) -> Vec<Act> {
        let majority = self.is_majority();
        let outcome = match &mut self.phase {
            Phase::Waiting | Phase::Comparing { .. } => Outcome::Again,
            Phase::Copying { commands, .. } => {
                commands.push((from, id, op));
                return Vec::new();
            }
            Phase::Settled if !majority => Outcome::Refused(Refusal::ReadOnly),
            Phase::Settled => {
                self.machine.apply(&op);
                Outcome::Applied(self.machine.applied)
            }
        };
        if from == self.me { vec![Act::Tell(id, outcome)] } else { Vec::new() }
    }

    fn is_majority(&self) -> bool {
        self.members.len() * 2 > self.replicas
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Whether the histories were compared since the last view, and this replica has the common state.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Settled)
    }

    /// Whether commands are accepted; never while histories are compared.
    pub(crate) fn is_primary(&self) -> bool {
        self.is_settled() && self.is_majority()
    }

    /// How many snapshots this replica has adopted.
    pub(crate) fn adopted(&self) -> u64 {
        self.adopted
    }
}
