//! The world around a node in a test: what desks may ask it, and what it was told to do.

use std::cell::Cell;
use std::collections::BTreeMap;

use bytes::Bytes;

use crate::error::Status;
use crate::ids::{ConnId, Piece, RingId};
use crate::service::{Edge, Links, Order, Output, Recipient, Statistics, Turned};
use crate::value::Value;
use crate::view::View;

/// What a client was told, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Reply(ConnId, Bytes),
    /// An event with its payload; `Some`: it is a message of this client itself.
    Event(ConnId, Bytes, Option<Piece>),
}

/// What desks may ask, as the test sets it.
#[derive(Debug, Default)]
pub(super) struct World {
    /// The user ids of clients of users other than root.
    pub(super) users: BTreeMap<ConnId, u32>,
    pub(super) statistics: BTreeMap<String, Value>,
    /// How often all statistics were computed.
    pub(super) computed: Cell<u32>,
    /// The groups of statistics that were reset.
    pub(super) cleared: Vec<Statistics>,
    /// The zero-copy buffers by their tokens.
    pub(super) buffers: BTreeMap<u64, Bytes>,
    /// The paths of buffer files that can be opened, with the tokens that they get.
    pub(super) buffer_files: BTreeMap<Vec<u8>, u64>,
    pub(super) links: Option<Links>,
}

impl Edge for World {
    fn user(&self, conn: ConnId) -> u32 {
        self.users.get(&conn).copied().unwrap_or(0)
    }

    fn buffer_open(&mut self, _conn: ConnId, path: &[u8], _size: u64) -> Result<u64, Status> {
        self.buffer_files.get(path).copied().ok_or(Status::InvalidParam)
    }

    fn buffer_read(&mut self, _conn: ConnId, token: u64) -> Result<Bytes, Status> {
        self.buffers.get(&token).cloned().ok_or(Status::BadHandle)
    }

    fn buffer_close(&mut self, _conn: ConnId, token: u64) {
        self.buffers.remove(&token);
    }

    fn statistics(&self, prefix: &str) -> Vec<(String, Value)> {
        self.computed.set(self.computed.get() + u32::from(prefix == "stats."));
        let from = self.statistics.range(prefix.to_owned()..);
        let found = from.take_while(|(name, _)| name.starts_with(prefix));
        found.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn clear_statistics(&mut self, which: Statistics) {
        self.cleared.push(which);
    }

    fn links(&self) -> Option<Links> {
        self.links.clone()
    }
}

/// What a node put out, apart from datagrams and ring ids.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) told: Vec<Told>,
    pub(super) orders: Vec<Order>,
    pub(super) refused: Vec<(ConnId, Turned)>,
    pub(super) views: Vec<View>,
    /// The ring whose services were synchronised last; `None` from the next view on.
    pub(super) synced: Option<RingId>,
}

impl Outcome {
    /// Notes an output that is about neither datagrams nor ring ids.
    pub(super) fn note(&mut self, output: Output<'_>) {
        match output {
            Output::Send(..) | Output::Store(_) | Output::Probe(_) => {
                unreachable!("the cluster carries them out")
            }
            Output::Reply { conn, bytes } => {
                assert_eq!(size(&bytes), bytes.len(), "the header says how long the reply is");
                self.told.push(Told::Reply(conn, bytes));
            }
            Output::Event { to, head, payload } => {
                assert_eq!(size(head), head.len() + payload.len(), "the header says how long the event is");
                let event = Bytes::from([head, &payload[..]].concat());
                let told = to.iter().map(|&Recipient { conn, own }| Told::Event(conn, event.clone(), own));
                self.told.extend(told);
            }
            Output::Refused(conn, why) => self.refused.push((conn, why)),
            Output::Order(order) => self.orders.push(order),
            Output::View(view) => {
                self.synced = None;
                self.views.push(view);
            }
            Output::Synced(ring) => self.synced = Some(ring),
        }
    }
}

/// The size that the header of a reply or event says.
fn size(bytes: &[u8]) -> usize {
    let size = i32::from_ne_bytes(bytes[8..12].try_into().expect("four bytes"));
    usize::try_from(size).expect("not negative")
}
