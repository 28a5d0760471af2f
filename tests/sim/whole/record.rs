//! What each client asked and was told, from the first to the last moment of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use annulus::ids::{ConnId, NodeId, RingId, ServiceId};
use annulus::time::Instant;

use super::speech::Member;
use crate::trace::Process;

/// One thing that a client of the groups was told, or that its node saw at that place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A membership event of a group, with the reason of each who left or joined.
    Membership { group: String, members: Vec<Member>, left: Vec<(Member, u32)>, joined: Vec<(Member, u32)> },
    /// The message of this number.
    Message { group: String, from: Member, number: u64 },
    /// The node installed a ring.
    Regular(RingId),
    /// The synchronisation of that ring was completed, in which these are the members.
    Settled(RingId, Vec<NodeId>),
}

impl Seen {
    /// The group that it is about.
    pub(crate) fn group(&self) -> Option<&str> {
        match self {
            Self::Membership { group, .. } | Self::Message { group, .. } => Some(group),
            Self::Regular(_) | Self::Settled(..) => None,
        }
    }
}

/// Where a client of the groups stands, as it knows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Out,
    /// Its join was accepted.
    In,
    /// Its leave was accepted, and it has not been told of it yet.
    Leaving,
}

/// A client of the groups.
#[derive(Clone, Debug)]
pub(crate) struct Participant {
    pub(crate) pid: u32,
    pub(crate) group: &'static str,
    pub(crate) standing: Standing,
    /// Numbers of the messages that the node accepted from it, in its order.
    pub(crate) sent: Vec<u64>,
    pub(crate) told: Vec<Seen>,
    /// It reads nothing until then.
    pub(crate) stalled_until: Instant,
    /// Events that wait for it.
    pub(crate) unread: usize,
}

/// What a connection is for.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    Participant(Box<Participant>),
    /// Is told whether this part of the cluster may act.
    Voter,
    /// Sets keys, in the order of these values, and is told of every change: of these.
    Keeper {
        set: Vec<(String, String)>,
        told: Vec<(String, String)>,
    },
    /// Asks for reloads; how many have had no answer.
    Operator {
        unanswered: usize,
    },
}

/// A connection.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) role: Role,
    /// Its process and its node run, and the node has not thrown it out.
    pub(crate) alive: bool,
}

impl Client {
    pub(crate) fn service(&self) -> ServiceId {
        match self.role {
            Role::Participant(_) => ServiceId::CPG,
            Role::Voter => ServiceId::QUORUM,
            Role::Keeper { .. } => ServiceId::CMAP,
            Role::Operator { .. } => ServiceId::CFG,
        }
    }
}

/// That a node told its clients whether they may act.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) at: Instant,
    pub(crate) by: Process,
    pub(crate) quorate: bool,
    pub(crate) members: BTreeSet<NodeId>,
}

/// A run as clients saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) clients: BTreeMap<(Process, ConnId), Client>,
    /// Who accepted each message, and on which ring.
    pub(crate) sent_on: BTreeMap<u64, (Process, RingId)>,
    pub(crate) verdicts: Vec<Verdict>,
    /// The rings that each process installed, in their order, each with the number of synchronisations that the process
    /// had completed by then.
    pub(crate) installed: BTreeMap<Process, Vec<(RingId, u64)>>,
    /// Reloads that were answered.
    pub(crate) reloads: u64,
    last_conn: u64,
    last_pid: u32,
    last_number: u64,
}

impl Record {
    pub(crate) fn next_conn(&mut self) -> ConnId {
        self.last_conn += 1;
        ConnId(self.last_conn)
    }

    pub(crate) fn next_pid(&mut self) -> u32 {
        self.last_pid += 1;
        self.last_pid
    }

    pub(crate) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// A message of the groups, `size` bytes if it can hold its number.
    pub(crate) fn payload(number: u64, size: usize) -> Vec<u8> {
        let mut payload = number.to_le_bytes().to_vec();
        payload.extend((8..size).map(|at| (number as usize * 31 + at) as u8));
        payload
    }

    /// The number in a message.
    ///
    /// # Panics
    /// If the message is not what was sent under that number.
    pub(crate) fn number(payload: &[u8]) -> u64 {
        let number = payload.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        assert_eq!(Self::payload(number, payload.len()), payload, "a message came changed");
        number
    }

    /// Connections of a process that are alive.
    pub(crate) fn alive(&self, who: Process) -> impl Iterator<Item = (ConnId, &Client)> {
        self.clients
            .range(all_of(who))
            .filter(|(_, client)| client.alive)
            .map(|((_, conn), client)| (*conn, client))
    }

    pub(crate) fn get(&mut self, who: Process, conn: ConnId) -> &mut Client {
        self.clients.get_mut(&(who, conn)).expect("a connection that was made")
    }

    /// The node of these clients is gone, and they with it.
    pub(crate) fn crashed(&mut self, who: Process) {
        for (_, client) in self.clients.range_mut(all_of(who)) {
            client.alive = false;
        }
    }

    /// All clients of the groups, dead ones included.
    pub(crate) fn participants(&self) -> impl Iterator<Item = (Process, ConnId, &Participant)> {
        self.clients.iter().filter_map(|((who, conn), client)| match &client.role {
            Role::Participant(participant) => Some((*who, *conn, &**participant)),
            Role::Voter | Role::Keeper { .. } | Role::Operator { .. } => None,
        })
    }

    /// A mark in the order of every client of the groups at this node.
    pub(crate) fn mark(&mut self, who: Process, seen: &Seen) {
        for (_, client) in self.clients.range_mut(all_of(who)) {
            if let (true, Role::Participant(participant)) = (client.alive, &mut client.role) {
                participant.told.push(seen.clone());
            }
        }
    }
}

/// The places of all connections of a process.
fn all_of(who: Process) -> RangeInclusive<(Process, ConnId)> {
    (who, ConnId(0))..=(who, ConnId(u64::MAX))
}
