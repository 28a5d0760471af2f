//! A whole node, and what it asks of the program around it.

use std::collections::VecDeque;

use annulus::error::Status;
use annulus::ids::{ConnId, Destination, RingId};
use annulus::service::router::Turned;
use annulus::service::{Order, Statistics};
use annulus::stack::{Edge, Setup, Stack};
use annulus::time::Instant;
use annulus::totem::Params;
use annulus::value::Value;
use annulus::view::View;
use bytes::Bytes;

/// One thing that the stack asked for, in the order in which it asked.
#[derive(Debug)]
pub(crate) enum Act {
    Send(Destination, Bytes),
    Store(u64),
    Reply(ConnId, Vec<u8>),
    Event(ConnId, Vec<u8>, Bytes),
    Order(Order),
    Refused(ConnId, Turned),
    View(View),
    Synced(RingId),
}

/// What the stack asked for and nobody has carried out yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) acts: VecDeque<Act>,
}

impl Edge for Outbox {
    fn send(&mut self, to: Destination, frame: Bytes) {
        self.acts.push_back(Act::Send(to, frame));
    }

    fn flush(&mut self) {}

    fn store(&mut self, up_to: u64) {
        self.acts.push_back(Act::Store(up_to));
    }

    fn reply(&mut self, conn: ConnId, bytes: &[u8]) {
        self.acts.push_back(Act::Reply(conn, bytes.to_vec()));
    }

    fn event(&mut self, conn: ConnId, head: &[u8], payload: &Bytes) {
        self.acts.push_back(Act::Event(conn, head.to_vec(), payload.clone()));
    }

    fn buffer_open(&mut self, _conn: ConnId, _path: &[u8], _size: u64) -> Result<u64, Status> {
        Err(Status::NoResources)
    }

    fn buffer_read(&mut self, _conn: ConnId, _token: u64) -> Result<Bytes, Status> {
        Err(Status::BadHandle)
    }

    fn buffer_close(&mut self, _conn: ConnId, _token: u64) {}

    fn statistics(&self, _prefix: &str) -> Vec<(String, Value)> {
        Vec::new()
    }

    fn clear_statistics(&mut self, _which: Statistics) {}

    fn order(&mut self, order: Order) {
        self.acts.push_back(Act::Order(order));
    }

    fn refused(&mut self, conn: ConnId, why: Turned) {
        self.acts.push_back(Act::Refused(conn, why));
    }

    fn view(&mut self, view: &View) {
        self.acts.push_back(Act::View(view.clone()));
    }

    fn synced(&mut self, ring: RingId) {
        self.acts.push_back(Act::Synced(ring));
    }
}

/// A whole node.
pub(crate) struct Whole {
    pub(crate) stack: Stack,
    pub(crate) edge: Outbox,
    /// It leaves, and its clients are gone.
    pub(crate) leaving: bool,
}

impl Whole {
    /// A node that knows nobody yet.
    pub(crate) fn new(params: Params, setup: Setup, now: Instant) -> Self {
        let stack = Stack::new(params, setup, now).unwrap_or_else(|why| panic!("{why}"));
        Self { stack, edge: Outbox::default(), leaving: false }
    }
}
