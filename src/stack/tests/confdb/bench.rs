//! A node with clients of its database. It is alone on its ring until a test starts other nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::admin::Facts;
use crate::confdb::Desk;
use crate::confdb::wire::{Notify, lib, track, value_from};
use crate::config::map::{Map, Origin};
use crate::config::timeouts::{Given, Timeouts};
use crate::error::Status;
use crate::ids::{ConnId, ServiceId};
use crate::service::{Database, Order, Service};
use crate::stack::Setup;
use crate::stack::tests::cluster::{Cluster, id};
use crate::stack::tests::world::{self, World};
use crate::totem::Input;
use crate::value::Value;

/// A tracker kind that listens to all events.
pub(super) const ALL: i32 = track::ADD | track::MODIFY | track::DELETE;

/// The node with the clients.
pub(super) const HERE: u32 = 1;

/// A reply or event to a client; in order of sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Reply(ConnId, Bytes),
    Event(ConnId, Notify),
}

/// Node 1 with clients of its database, and the other nodes, if there are any.
pub(super) struct Bench {
    pub(super) cluster: Cluster,
}

impl Bench {
    /// A node with the default time-outs, on a ring of its own. `keys`: the configuration of each node that runs or is
    /// started later.
    pub(super) fn each(keys: impl Fn(u32) -> Vec<(&'static str, Value)> + 'static) -> Self {
        let addresses: BTreeMap<_, _> = [
            (id(1), vec!["10.0.0.1".parse().unwrap()]),
            (id(2), vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()]),
        ]
        .into();
        let mut cluster = Cluster::new(move |node| {
            let mut map = Map::default();
            for (name, value) in keys(node) {
                map.set(name.as_bytes(), value, Origin::Derived).unwrap();
            }
            let facts = Facts { addresses: addresses.clone(), ..Facts::default() };
            Setup { map, facts, ..Setup::default() }
        });
        cluster.timeouts = Timeouts::derive(&Given::default(), 2);
        cluster.start(HERE);
        cluster.settle();
        Self { cluster }
    }

    /// A node with this configuration, on a ring of its own.
    pub(super) fn with(keys: &[(&'static str, Value)]) -> Self {
        let keys = keys.to_vec();
        Self::each(move |_| keys.clone())
    }

    pub(super) fn new() -> Self {
        Self::with(&[])
    }

    /// Starts another node and waits until it is on the ring.
    pub(super) fn start(&mut self, node: u32) {
        self.cluster.start(node);
        self.cluster.settle();
    }

    pub(super) fn desk(&self) -> &Desk {
        &self.cluster.nodes[&HERE].stack.desks.confdb
    }

    pub(super) fn database(&self) -> &Database {
        self.cluster.nodes[&HERE].stack.database()
    }

    pub(super) fn world(&mut self) -> &mut World {
        &mut self.cluster.node(HERE).world
    }

    /// What the node has ordered since the orders were last taken.
    pub(super) fn orders(&self) -> &[Order] {
        &self.cluster.nodes[&HERE].outcome.orders
    }

    pub(super) fn take_orders(&mut self) -> Vec<Order> {
        self.cluster.take_orders(HERE)
    }

    /// Number of exec messages that the desk has handed to the ring.
    pub(super) fn sent(&self) -> u64 {
        let services = self.cluster.nodes[&HERE].stack.ground.traffic.services().iter();
        let own = services.filter(|(service, _)| *service == ServiceId::CMAP);
        own.flat_map(|(_, functions)| functions).map(|count| count.tx).sum()
    }

    fn take_told(&mut self) -> Vec<Told> {
        let told = self.cluster.take_told(HERE).into_iter();
        told.map(|told| match told {
            world::Told::Reply(conn, bytes) => Told::Reply(conn, bytes),
            world::Told::Event(conn, bytes, own) => {
                assert_eq!(own, None, "it is no client's message");
                Told::Event(conn, lib::notify(&bytes).expect("a notification that can be read"))
            }
        })
        .collect()
    }

    // ---- clients ---------------------------------------------------------------------------------------------------

    /// Opens a connection.
    pub(super) fn connect(&mut self, n: u64) -> ConnId {
        self.cluster.connect(HERE, ServiceId::CMAP, ConnId(n));
        ConnId(n)
    }

    /// Closes a connection; returns the replies and events that result at once.
    pub(super) fn disconnect(&mut self, conn: ConnId) -> Vec<Told> {
        self.take_told();
        self.cluster.disconnect(HERE, conn);
        self.take_told()
    }

    /// Sends a request; returns all replies and events that result from it.
    pub(super) fn ask(&mut self, conn: ConnId, request: &[u8]) -> Vec<Told> {
        let mut told = self.begin(conn, request);
        while self.desk().is_telling() {
            told.extend(self.go_on());
        }
        told
    }

    /// Sends a request; returns the replies and events that result at once.
    pub(super) fn begin(&mut self, conn: ConnId, request: &[u8]) -> Vec<Told> {
        self.take_told();
        self.cluster.request(HERE, conn, request);
        self.take_told()
    }

    /// Lets time pass until the desk has something to do, and lets it do that once; returns the replies and events.
    pub(super) fn go_on(&mut self) -> Vec<Told> {
        self.take_told();
        let due = self.desk().deadline().expect("something is to be done");
        self.cluster.now = self.cluster.now.max(due);
        self.expire();
        self.take_told()
    }

    fn expire(&mut self) {
        let now = self.cluster.now;
        self.cluster.tell(HERE, |node| node.stack.handle_input(now, Input::Timeout));
    }

    /// Sends a request and returns its one reply.
    pub(super) fn reply(&mut self, conn: ConnId, request: &[u8]) -> Bytes {
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
        Ok(value_from(kind, bytes).unwrap())
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

    // ---- the node itself -------------------------------------------------------------------------------------------

    /// Changes the database as the node itself does; returns the events that result at once.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut Database)) -> Vec<Told> {
        self.take_told();
        self.cluster.tell(HERE, |node| node.stack.write(&mut node.world, write));
        self.take_told()
    }

    /// Lets this time pass, and the desk do what is due at its end; returns the replies and events.
    pub(super) fn wait(&mut self, time: Duration) -> Vec<Told> {
        self.take_told();
        self.cluster.run(time);
        if self.desk().deadline().is_some_and(|due| due <= self.cluster.now) {
            self.expire();
        }
        self.take_told()
    }
}
