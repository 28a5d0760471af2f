//! A desk for tests: router and database are real, the ring accepts every message, and the test sets the
//! statistics.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use crate::confdb::wire::{Notify, lib, track};
use crate::confdb::{Addresses, Desk, Store};
use crate::config::timeouts::{Given, Timeouts};
use crate::error::Status;
use crate::ids::{ConnId, Endian, Guarantee, NodeId, RingId, ServiceId};
use crate::service::router::{Ground, Router};
use crate::service::wire::HEADER_LEN;
use crate::service::{Database, Effects, Full, Notice, Order, Request, Service, Statistics};
use crate::time::Instant;
use crate::value::Value;
use crate::view::{View, ViewKind};

/// A tracker kind that listens to all events.
pub(super) const ALL: i32 = track::ADD | track::MODIFY | track::DELETE;

pub(super) fn node(id: u32) -> NodeId {
    NodeId::new(id).unwrap()
}

/// A reply or event to a client; in order of sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Reply(ConnId, Vec<u8>),
    Event(ConnId, Notify),
}

/// The ground under the router.
#[derive(Debug, Default)]
pub(super) struct Below {
    pub(super) now: Instant,
    pub(super) database: Store,
    pub(super) statistics: BTreeMap<String, Value>,
    pub(super) cleared: Vec<Statistics>,
    pub(super) told: Vec<Told>,
    pub(super) orders: Vec<Order>,
    pub(super) sent: VecDeque<(bool, Vec<u8>)>,
    pub(super) full: bool,
    /// How often all statistics were computed.
    pub(super) computed: Cell<u32>,
    /// The user ids of connections of users other than root.
    pub(super) users: BTreeMap<ConnId, u32>,
}

impl Effects for Below {
    fn me(&self) -> NodeId {
        node(1)
    }
    fn now(&self) -> Instant {
        self.now
    }
    fn database(&mut self) -> &mut dyn Database {
        &mut self.database
    }
    fn user(&self, conn: ConnId) -> u32 {
        self.users.get(&conn).copied().unwrap_or(0)
    }
    fn statistics(&self, prefix: &str) -> Vec<(String, Value)> {
        self.computed.set(self.computed.get() + u32::from(prefix == "stats."));
        let found =
            self.statistics.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
        found.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
    fn clear_statistics(&mut self, which: Statistics) {
        self.cleared.push(which);
    }
    fn announce(&mut self, notice: Notice) {
        unreachable!("the database announces nothing: {notice:?}")
    }
    fn order(&mut self, order: Order) {
        self.orders.push(order);
    }
    fn multicast(&mut self, _guarantee: Guarantee, pieces: &[&[u8]]) -> Result<(), Full> {
        if self.full {
            return Err(Full);
        }
        self.sent.push_back((false, pieces.concat()));
        Ok(())
    }
    fn reply(&mut self, conn: ConnId, reply: &[u8]) {
        let size = i32::from_ne_bytes(reply[8..12].try_into().unwrap());
        assert_eq!(usize::try_from(size), Ok(reply.len()), "the header says how long the reply is");
        self.told.push(Told::Reply(conn, reply.to_vec()));
    }
    fn event(&mut self, conn: ConnId, head: &[u8], payload: &Bytes) {
        let event = [head, payload].concat();
        let size = i32::from_ne_bytes(event[8..12].try_into().unwrap());
        assert_eq!(usize::try_from(size), Ok(event.len()), "the header says how long the event is");
        self.told.push(Told::Event(conn, lib::notify(&event).expect("a notification that can be read")));
    }
    fn buffer_open(&mut self, _: ConnId, _: &[u8], _: u64) -> Result<u64, Status> {
        unreachable!()
    }
    fn buffer_read(&mut self, _: ConnId, _: u64) -> Result<Bytes, Status> {
        unreachable!()
    }
    fn buffer_close(&mut self, _: ConnId, _: u64) {
        unreachable!()
    }
}

impl Ground for Below {
    fn multicast_sync(&mut self, message: &[u8]) -> Result<(), Full> {
        self.sent.push_back((true, message.to_vec()));
        Ok(())
    }
    fn want_token(&mut self) {}
    fn synced(&mut self, _ring: RingId) {}
    fn synced_in_transit(&mut self) {}
    fn take_notice(&mut self) -> Option<Notice> {
        self.database.take_change().map(Notice::Changed)
    }
    fn fits(&self, _bytes: usize) -> bool {
        !self.full
    }
}

/// A desk with its router and ground.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) desk: Desk,
    pub(super) router: Router,
    pub(super) below: Below,
    rings: u64,
}

impl Bench {
    /// A desk with the keys that exist from the start and those in `map`.
    pub(super) fn with(map: &[(&str, Value)]) -> Self {
        let addresses: Addresses = [
            (node(1), vec!["10.0.0.1".parse().unwrap()]),
            (node(2), vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()]),
        ]
        .into();
        let mut desk = Desk::new(node(1), addresses);
        let router = Router::new(&mut [&mut desk]);
        let mut below = Below::default();
        for (name, value) in map {
            below.database.set(name, value.clone());
        }
        let timeouts = Timeouts::derive(&Given::default(), 2);
        desk.begin(&mut below.database, &timeouts, [(ServiceId::CMAP, 1), (ServiceId::CPG, 7)]);
        while below.database.take_change().is_some() {}
        Self { desk, router, below, rings: 0 }
    }

    pub(super) fn new() -> Self {
        Self::with(&[])
    }

    /// Opens a connection.
    pub(super) fn connect(&mut self, n: u64) -> ConnId {
        let conn = ConnId(n);
        self.router.connected(&mut [&mut self.desk], ServiceId::CMAP, conn, &mut self.below).unwrap();
        conn
    }

    pub(super) fn disconnect(&mut self, conn: ConnId) {
        self.router.disconnected(&mut [&mut self.desk], conn, &mut self.below);
    }

    /// Sends a request; returns all replies and events that result from it.
    pub(super) fn ask(&mut self, conn: ConnId, request: &[u8]) -> Vec<Told> {
        let mut told = self.begin(conn, request);
        while self.desk.is_telling() {
            told.extend(self.go_on());
        }
        told
    }

    /// Sends a request; returns the replies and events that result at once.
    pub(super) fn begin(&mut self, conn: ConnId, request: &[u8]) -> Vec<Told> {
        self.below.told.clear();
        let request = Request { bytes: request, tail: &[] };
        self.router.request(&mut [&mut self.desk], conn, request, &mut self.below);
        std::mem::take(&mut self.below.told)
    }

    /// Runs one further pass of the queued notifications; returns the replies and events.
    pub(super) fn go_on(&mut self) -> Vec<Told> {
        self.wait(Duration::from_micros(1))
    }

    /// Sends a request and returns its one reply.
    pub(super) fn reply(&mut self, conn: ConnId, request: &[u8]) -> Vec<u8> {
        let mut replies = self.ask(conn, request).into_iter().filter_map(|told| match told {
            Told::Reply(to, reply) if to == conn => Some(reply),
            Told::Reply(to, _) => panic!("a reply to {to:?}, who did not ask"),
            Told::Event(..) => None,
        });
        let reply = replies.next().expect("a reply");
        assert_eq!(replies.next(), None, "one reply to one request");
        reply
    }

    pub(super) fn status(&mut self, conn: ConnId, request: &[u8]) -> Status {
        lib::status(&self.reply(conn, request)).unwrap()
    }

    pub(super) fn set(&mut self, conn: ConnId, key: &str, value: Value) -> Status {
        self.status(conn, &lib::set(key, &value))
    }

    /// The value of a key as a client reads it.
    pub(super) fn get(&mut self, conn: ConnId, key: &str) -> Result<Value, Status> {
        let probe = self.reply(conn, &lib::get(key, 0));
        assert_eq!(probe.len(), 40);
        match lib::status(&probe).unwrap() {
            Status::Ok => {}
            status => return Err(status),
        }
        let (kind, len, _) = lib::get_reply(&probe).unwrap();
        let reply = self.reply(conn, &lib::get(key, len));
        let (again, _, bytes) = lib::get_reply(&reply).unwrap();
        assert_eq!(again, kind);
        Ok(crate::confdb::wire::value_from(kind, bytes).unwrap())
    }

    pub(super) fn track(&mut self, conn: ConnId, key: &str, kind: i32, inst: u64) -> Result<u64, Status> {
        let reply = self.reply(conn, &lib::track_add(key, kind, inst));
        match lib::status(&reply).unwrap() {
            Status::Ok => Ok(lib::handle_reply(&reply).unwrap()),
            status => Err(status),
        }
    }

    pub(super) fn iterate(&mut self, conn: ConnId, prefix: &str) -> u64 {
        let reply = self.reply(conn, &lib::iter_init(prefix));
        assert_eq!(lib::status(&reply), Some(Status::Ok));
        lib::handle_reply(&reply).unwrap()
    }

    pub(super) fn next(&mut self, conn: ConnId, handle: u64) -> Result<String, Status> {
        let reply = self.reply(conn, &lib::iter_next(handle));
        match lib::status(&reply).unwrap() {
            Status::Ok => Ok(lib::next_reply(&reply).unwrap().0),
            status => Err(status),
        }
    }

    /// All keys of a new iteration.
    pub(super) fn keys(&mut self, conn: ConnId, prefix: &str) -> Vec<String> {
        let handle = self.iterate(conn, prefix);
        let mut keys = Vec::new();
        loop {
            match self.next(conn, handle) {
                Ok(key) => keys.push(key),
                Err(status) => {
                    assert_eq!(status, Status::NoSections);
                    assert_eq!(self.status(conn, &lib::iter_finalize(handle)), Status::Ok);
                    return keys;
                }
            }
        }
    }

    /// Changes the database as the daemon itself does.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut Store)) -> Vec<Told> {
        self.below.told.clear();
        write(&mut self.below.database);
        self.router.tell(&mut [&mut self.desk], &mut self.below);
        std::mem::take(&mut self.below.told)
    }

    /// Advances the clock and runs what is due.
    pub(super) fn wait(&mut self, time: Duration) -> Vec<Told> {
        self.below.told.clear();
        let end = self.below.now + time;
        while let Some(due) = self.desk.deadline().filter(|due| *due <= end) {
            self.below.now = self.below.now.max(due);
            self.router.expired(&mut [&mut self.desk], &mut self.below);
        }
        self.below.now = end;
        std::mem::take(&mut self.below.told)
    }

    /// Forms a new ring and completes its synchronisation, in which the other members send the messages in
    /// `others`.
    pub(super) fn ring(&mut self, came_along: &[u32], members: &[u32], others: &[(u32, Vec<u8>)]) {
        self.rings += 1;
        let ring = RingId { rep: node(members[0]), seq: self.rings };
        let list = |ids: &[u32]| -> Vec<NodeId> { ids.iter().map(|id| node(*id)).collect() };
        let before = self.members();
        let left = before.into_iter().filter(|id| !came_along.contains(&id.get())).collect();
        let view = |kind, members: Vec<NodeId>, joined, left| View { kind, ring, members, joined, left };
        let transitional = view(ViewKind::Transitional, list(came_along), Vec::new(), left);
        let joined = list(members).into_iter().filter(|id| !came_along.contains(&id.get())).collect();
        let regular = view(ViewKind::Regular, list(members), joined, Vec::new());
        let Self { desk, router, below, .. } = self;
        router.view(&mut [desk], &transitional, below);
        router.view(&mut [desk], &regular, below);
        let mut told = false;
        while router.syncing() {
            router.token_sent(&mut [desk], below);
            while let Some((sync, message)) = below.sent.pop_front() {
                for id in members {
                    let body = Bytes::from(message.clone());
                    if sync {
                        router.deliver_sync(&mut [desk], node(*id), &body, Endian::Little, below);
                    } else if *id == 1 {
                        router.deliver(&mut [desk], node(*id), body, Endian::Little, below);
                    }
                }
                // The messages of the other members lie between their lists and their barriers.
                if sync && !std::mem::replace(&mut told, true) {
                    for (id, message) in others {
                        assert!(message.len() >= HEADER_LEN);
                        let body = Bytes::from(message.clone());
                        router.deliver(&mut [desk], node(*id), body, Endian::Little, below);
                    }
                }
            }
        }
    }

    fn members(&mut self) -> Vec<NodeId> {
        let joined = self
            .below
            .database
            .range("runtime.members.")
            .filter(|(name, value)| name.ends_with(".status") && **value == Value::text("joined"));
        let id = |name: &str| name.split('.').nth(2).and_then(|id| id.parse().ok()).and_then(NodeId::new);
        joined.filter_map(|(name, _)| id(name)).collect()
    }
}
