//! Nodes with their quorum desks, on rings without a network: nodes that are connected form a ring at once,
//! and its messages reach all members in one order. Messages that are under way when a ring changes are
//! delivered in the next one, as by Totem; messages of an old synchronisation are ignored there.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::arithmetic::id;
use super::keys::Keys;
use crate::error::Status;
use crate::ids::{ConnId, Endian, Guarantee, NodeId, RingId, ServiceId};
use crate::quorum::votes::Wrong;
use crate::quorum::{self, votequorum};
use crate::service::router::{Ground, Router};
use crate::service::{Database, Effects, Full, Notice, Order, Request, Statistics};
use crate::time::Instant;
use crate::value::Value;
use crate::view::{View, ViewKind};

/// The ground under a node's desks.
#[derive(Debug)]
pub(super) struct Below {
    me: NodeId,
    pub(super) now: Instant,
    database: Keys,
    announced: VecDeque<Notice>,
    /// Messages to be multicast: whether it belongs to the synchronisation, and the message.
    queue: VecDeque<(bool, Bytes)>,
    wants_token: bool,
    pub(super) replies: Vec<(ConnId, Vec<u8>)>,
    pub(super) events: Vec<(ConnId, Vec<u8>)>,
    pub(super) orders: Vec<Order>,
}

impl Effects for Below {
    fn me(&self) -> NodeId {
        self.me
    }
    fn now(&self) -> Instant {
        self.now
    }
    fn database(&mut self) -> &mut dyn Database {
        &mut self.database
    }
    fn statistics(&self, _prefix: &str) -> Vec<(String, Value)> {
        Vec::new()
    }
    fn clear_statistics(&mut self, _which: Statistics) {}
    fn announce(&mut self, notice: Notice) {
        self.announced.push_back(notice);
    }
    fn order(&mut self, order: Order) {
        self.orders.push(order);
    }
    fn multicast(&mut self, guarantee: Guarantee, pieces: &[&[u8]]) -> Result<(), Full> {
        assert_eq!(guarantee, Guarantee::Agreed);
        self.queue.push_back((false, pieces.concat().into()));
        Ok(())
    }
    fn reply(&mut self, conn: ConnId, reply: &[u8]) {
        self.replies.push((conn, reply.to_vec()));
    }
    fn event(&mut self, conn: ConnId, head: &[u8], payload: &Bytes) {
        self.events.push((conn, [head, payload].concat()));
    }
    fn buffer_open(&mut self, _conn: ConnId, _path: &[u8], _size: u64) -> Result<u64, Status> {
        Err(Status::NotSupported)
    }
    fn buffer_read(&mut self, _conn: ConnId, _token: u64) -> Result<Bytes, Status> {
        Err(Status::NotSupported)
    }
    fn buffer_close(&mut self, _conn: ConnId, _token: u64) {}
}

impl Ground for Below {
    fn multicast_sync(&mut self, message: &[u8]) -> Result<(), Full> {
        self.queue.push_back((true, Bytes::copy_from_slice(message)));
        Ok(())
    }
    fn want_token(&mut self) {
        self.wants_token = true;
    }
    fn synced(&mut self, _ring: RingId) {}
    fn synced_in_transit(&mut self) {}
    fn take_notice(&mut self) -> Option<Notice> {
        self.database.take_change().map(Notice::Changed).or_else(|| self.announced.pop_front())
    }
    fn fits(&self, _bytes: usize) -> bool {
        true
    }
}

/// A running node.
pub(super) struct Node {
    router: Router,
    quorum: quorum::Desk,
    pub(super) votequorum: votequorum::Desk,
    pub(super) below: Below,
    ring: Option<(RingId, Vec<NodeId>)>,
}

macro_rules! route {
    ($node:expr, $method:ident $(, $argument:expr)*) => {{
        let node = $node;
        node.router.$method(&mut [&mut node.quorum, &mut node.votequorum], $($argument,)* &mut node.below)
    }};
}

impl Node {
    /// Whether the node is quorate; `None` while its ring is being synchronised.
    pub(super) fn quorate(&self) -> Option<bool> {
        if self.router.syncing() {
            return None;
        }
        let quorate = self.votequorum.quorate();
        assert_eq!(self.quorum.quorate(), quorate, "both desks say the same");
        Some(quorate)
    }

    pub(super) fn connect(&mut self, service: ServiceId, conn: ConnId) {
        route!(self, connected, service, conn).unwrap();
    }

    pub(super) fn disconnect(&mut self, conn: ConnId) {
        route!(self, disconnected, conn);
    }

    pub(super) fn request(&mut self, conn: ConnId, bytes: &[u8]) {
        route!(self, request, conn, Request { bytes, tail: &[] });
    }

    /// The node has been in no operating ring for too long.
    pub(super) fn lose_ring(&mut self) {
        self.below.announced.push_back(Notice::NoRing);
        route!(self, tell);
    }

    /// Sets a key, as a client of the database would.
    pub(super) fn set(&mut self, key: &str, value: Value) {
        self.below.database.set(key, value);
        route!(self, tell);
    }

    pub(super) fn key(&self, key: &str) -> Option<Value> {
        self.below.database.get(key).cloned()
    }
}

/// All nodes of a cluster.
pub(super) struct Cluster {
    /// Makes a node's configuration.
    database: Box<dyn Fn(u32) -> Keys>,
    pub(super) nodes: BTreeMap<u32, Node>,
    /// The network partition of each node.
    parts: BTreeMap<u32, u8>,
    /// The highest number of expected votes that each node has stored.
    kept: BTreeMap<u32, u32>,
    now: Instant,
    seq: u64,
    wrong: Option<Wrong>,
}

impl Cluster {
    /// `size` nodes, all stopped and in one network partition; `wrong` is a wrong rule for tests of the
    /// search, if given.
    pub(super) fn new(size: u32, wrong: Option<Wrong>, database: impl Fn(u32) -> Keys + 'static) -> Self {
        Self {
            database: Box::new(database),
            nodes: BTreeMap::new(),
            parts: (1..=size).map(|node| (node, 0)).collect(),
            kept: BTreeMap::new(),
            now: Instant::ZERO,
            seq: 0,
            wrong,
        }
    }

    /// Whether a node with this configuration starts.
    pub(super) fn starts(configuration: &Keys) -> bool {
        votequorum::Desk::new(id(1), &mut configuration.clone(), Some(0)).is_ok()
    }

    pub(super) fn node(&mut self, node: u32) -> &mut Node {
        self.nodes.get_mut(&node).expect("it is up")
    }

    /// The ring that a node is on.
    pub(super) fn ring(&self, node: u32) -> RingId {
        self.nodes[&node].ring.as_ref().expect("it is up").0
    }

    /// Starts a stopped node.
    pub(super) fn start(&mut self, node: u32) {
        if self.nodes.contains_key(&node) {
            return;
        }
        let mut database = (self.database)(node);
        let kept = self.kept.get(&node).copied().unwrap_or(0);
        let mut votequorum = votequorum::Desk::new(id(node), &mut database, Some(kept)).unwrap();
        if let Some(wrong) = self.wrong {
            votequorum.break_a_rule(wrong);
        }
        let mut quorum = quorum::Desk::new(true);
        let router = Router::new(&mut [&mut quorum, &mut votequorum]);
        while database.take_change().is_some() {}
        let below = Below {
            me: id(node),
            now: self.now,
            database,
            announced: VecDeque::new(),
            queue: VecDeque::new(),
            wants_token: false,
            replies: Vec::new(),
            events: Vec::new(),
            orders: Vec::new(),
        };
        self.nodes.insert(node, Node { router, quorum, votequorum, below, ring: None });
        self.form_rings();
    }

    /// Stops a node without an announcement.
    pub(super) fn kill(&mut self, node: u32) {
        self.nodes.remove(&node);
        self.form_rings();
    }

    /// Stops a node cleanly.
    pub(super) fn leave(&mut self, node: u32) {
        if let Some(found) = self.nodes.get_mut(&node) {
            route!(found, stop, ServiceId::VOTEQUORUM);
            self.settle();
            self.kill(node);
        }
    }

    /// Partitions the network: `parts` has the partition of each node.
    pub(super) fn part(&mut self, parts: &[u8]) {
        for (part, new) in self.parts.values_mut().zip(parts) {
            *part = *new;
        }
        self.form_rings();
    }

    /// Advances the clock.
    pub(super) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        for node in self.nodes.values_mut() {
            node.below.now = self.now;
            route!(node, expired);
        }
    }

    /// The running nodes by network partition.
    pub(super) fn components(&self) -> BTreeMap<u8, Vec<u32>> {
        let mut components: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
        for node in self.nodes.keys() {
            components.entry(self.parts[node]).or_default().push(*node);
        }
        components
    }

    /// Nodes that are connected and not on a common ring form one.
    fn form_rings(&mut self) {
        for component in self.components().into_values() {
            let members: Vec<NodeId> = component.iter().map(|node| id(*node)).collect();
            let settled = component.iter().all(|node| {
                let ring = self.nodes[node].ring.as_ref();
                ring.is_some_and(|(ring, old)| *old == members && self.all_on(*ring, &component))
            });
            if settled {
                continue;
            }
            self.seq += 4;
            let ring = RingId { rep: members[0], seq: self.seq };
            let old: BTreeMap<u32, Option<RingId>> = component
                .iter()
                .map(|node| (*node, self.nodes[node].ring.as_ref().map(|(ring, _)| *ring)))
                .collect();
            for node in &component {
                let mates = component
                    .iter()
                    .filter(|other| *other == node || old[node].is_some() && old[other] == old[node]);
                let together: Vec<NodeId> = mates.map(|other| id(*other)).collect();
                let found = self.nodes.get_mut(node).expect("it is up");
                let before = found.ring.take().map(|(_, members)| members).unwrap_or_default();
                let left = before.into_iter().filter(|node| !together.contains(node)).collect();
                let joined = members.iter().filter(|node| !together.contains(node)).copied().collect();
                let first = old[node].is_none();
                let transitional = View {
                    kind: ViewKind::Transitional,
                    ring,
                    members: if first { Vec::new() } else { together },
                    joined: Vec::new(),
                    left,
                };
                let regular = View {
                    kind: ViewKind::Regular,
                    ring,
                    members: members.clone(),
                    joined,
                    left: Vec::new(),
                };
                found.ring = Some((ring, members.clone()));
                route!(&mut *found, view, &transitional);
                route!(found, view, &regular);
            }
        }
    }

    fn all_on(&self, ring: RingId, component: &[u32]) -> bool {
        component.iter().all(|node| self.nodes[node].ring.as_ref().is_some_and(|(other, _)| *other == ring))
    }

    /// Delivers one message of each ring or, if there is none, rotates the token. Returns false if there is nothing
    /// to do.
    fn step(&mut self) -> bool {
        let mut busy = false;
        for component in self.components().into_values() {
            let next = component
                .iter()
                .find_map(|node| Some((*node, self.nodes.get_mut(node)?.below.queue.pop_front()?)));
            if let Some((from, (sync, message))) = next {
                busy = true;
                for node in &component {
                    let node = self.nodes.get_mut(node).expect("it is up");
                    if sync {
                        route!(node, deliver_sync, id(from), &message, Endian::Little);
                    } else {
                        route!(node, deliver, id(from), message.clone(), Endian::Little);
                    }
                }
                continue;
            }
            for node in &component {
                let node = self.nodes.get_mut(node).expect("it is up");
                if std::mem::take(&mut node.below.wants_token) {
                    busy = true;
                    route!(node, token_sent);
                }
            }
        }
        for (id, node) in &mut self.nodes {
            for order in node.below.orders.drain(..) {
                if let Order::KeepVotes(votes) = order {
                    self.kept.insert(*id, votes);
                }
            }
        }
        busy
    }

    /// Runs `count` steps.
    pub(super) fn steps(&mut self, count: u32) {
        for _ in 0..count {
            self.step();
        }
    }

    /// Runs until nothing is left to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the rings never come to rest");
    }
}
