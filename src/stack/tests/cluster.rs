//! Whole nodes on a network in virtual time. A datagram takes a tenth of a millisecond and none is lost, except between
//! parts of the network that are cut off from each other, and tokens where the test says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::world::{Outcome, Told, World};
use crate::config::map::Map;
use crate::config::timeouts::{Given, Timeouts};
use crate::error::Status;
pub(super) use crate::ids::node as id;
use crate::ids::{ConnId, Destination, Endian, Guarantee, NodeId, RingId, Seq, ServiceId};
use crate::service::{Order, Output, Request};
use crate::stack::{Setup, Stack};
use crate::time::Instant;
use crate::totem::{Group, Input, Params, RESERVE, StateName};

/// How long a datagram is under way, unless the test sets another time.
const HOP: Duration = Duration::from_micros(100);

/// How long a network must have brought nothing new until it is at rest.
const REST: Duration = Duration::from_millis(300);

/// The longest time that anything may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A running node.
pub(super) struct Node {
    pub(super) stack: Stack,
    pub(super) world: World,
    pub(super) outcome: Outcome,
    due: Instant,
}

/// All nodes, their network and their time.
pub(super) struct Cluster {
    setup: Box<dyn Fn(u32) -> Setup>,
    /// The timers of nodes that are started.
    pub(super) timeouts: Timeouts,
    pub(super) nodes: BTreeMap<u32, Node>,
    /// The part of the network that each node is in; nodes that are not named are in part 0.
    parts: BTreeMap<u32, u8>,
    /// How long a datagram is under way.
    pub(super) hop: Duration,
    /// Datagrams under way: from, to.
    wire: VecDeque<(u32, u32, Bytes)>,
    /// `Some`: the datagrams that nodes have sent since the test set it, with their senders.
    pub(super) sent: Option<Vec<(u32, Bytes)>>,
    /// Parts of the network in which tokens are lost: what goes to one node alone. Their nodes come to no ring, except
    /// one node alone.
    pub(super) without_tokens: BTreeSet<u8>,
    /// Ring sequence numbers that each node has reserved.
    stored: BTreeMap<u32, u64>,
    /// The highest number of expected votes that each node has stored.
    kept_votes: BTreeMap<u32, u32>,
    /// The network passes nothing on, so that the token stands still.
    pub(super) held: bool,
    pub(super) now: Instant,
}

impl Cluster {
    /// Nobody runs yet. `setup`: the configuration of each node.
    pub(super) fn new(setup: impl Fn(u32) -> Setup + 'static) -> Self {
        let given = Given { token: Some(1000), token_coefficient: Some(0), ..Given::default() };
        Self {
            setup: Box::new(setup),
            timeouts: Timeouts::derive(&given, 3),
            nodes: BTreeMap::new(),
            parts: BTreeMap::new(),
            hop: HOP,
            wire: VecDeque::new(),
            sent: None,
            without_tokens: BTreeSet::new(),
            stored: BTreeMap::new(),
            kept_votes: BTreeMap::new(),
            held: false,
            now: Instant::ZERO,
        }
    }

    /// The nodes 1 to `size`, with this configuration database, on one ring.
    pub(super) fn running(size: u32, map: &Map) -> Self {
        let map = map.clone();
        let mut cluster = Self::new(move |_| Setup { map: map.clone(), ..Setup::default() });
        (1..=size).for_each(|node| cluster.start(node));
        cluster.settle();
        cluster
    }

    /// Starts a node that does not run.
    pub(super) fn start(&mut self, node: u32) {
        let stored = self.stored.get(&node).copied().unwrap_or(1);
        let (me, timeouts, ring_seq, origin) = (id(node), self.timeouts.clone(), stored, Seq(0));
        let (stored, life) = (stored + RESERVE, self.now.as_micros() + u64::from(node));
        let params = Params { me, timeouts, netmtu: 1500, ring_seq, stored, life, origin };
        self.stored.insert(node, stored);
        let mut setup = (self.setup)(node);
        setup.kept_votes = self.kept_votes.get(&node).copied().or(setup.kept_votes);
        let stack = Stack::new(params, setup, self.now).unwrap_or_else(|why| panic!("{why}"));
        let (world, outcome) = (World::default(), Outcome::default());
        let started = self.nodes.insert(node, Node { stack, world, outcome, due: self.now });
        assert!(started.is_none(), "{node} runs already");
    }

    /// Ends a node at once. Returns what it had put out.
    pub(super) fn kill(&mut self, node: u32) -> Outcome {
        self.wire.retain(|(from, to, _)| *from != node && *to != node);
        self.nodes.remove(&node).expect("it runs").outcome
    }

    /// Stops a node cleanly: its services end, then it leaves the ring.
    pub(super) fn leave(&mut self, node: u32) {
        self.tell(node, |node| node.stack.disconnect_all(&mut node.world));
        let settled = |cluster: &Self| cluster.nodes[&node].stack.settled();
        self.run_until("its services have ended", settled);
        self.tell(node, |node| node.stack.leave());
        self.pass();
        self.kill(node);
    }

    /// Cuts the network into parts: `parts` has the part of node 1, of node 2 and so on.
    pub(super) fn part(&mut self, parts: &[u8]) {
        self.parts = (1..).zip(parts.iter().copied()).collect();
    }

    pub(super) fn part_of(&self, node: u32) -> u8 {
        self.parts.get(&node).copied().unwrap_or(0)
    }

    pub(super) fn node(&mut self, node: u32) -> &mut Node {
        self.nodes.get_mut(&node).expect("it runs")
    }

    pub(super) fn ring(&self, node: u32) -> RingId {
        self.nodes[&node].stack.totem().ring()
    }

    // ---- clients ---------------------------------------------------------------------------------------------------

    pub(super) fn connect(&mut self, node: u32, service: ServiceId, conn: ConnId) {
        let now = self.now;
        let connected = self.tell(node, |node| node.stack.connected(now, service, conn, &mut node.world));
        connected.expect("it has the service");
    }

    pub(super) fn disconnect(&mut self, node: u32, conn: ConnId) {
        let now = self.now;
        self.tell(node, |node| node.stack.disconnected(now, conn, &mut node.world));
    }

    /// Sends a request and carries out what follows at that node at once. Returns the answer, if it came at once.
    pub(super) fn request(&mut self, node: u32, conn: ConnId, bytes: &[u8]) -> Option<Bytes> {
        self.request_in_two(node, conn, bytes, &[])
    }

    /// As `request`, for a client inside the process, which passes its payload apart.
    pub(super) fn request_in_two(
        &mut self,
        node: u32,
        conn: ConnId,
        bytes: &[u8],
        tail: &[u8],
    ) -> Option<Bytes> {
        let before = self.replies(node, conn).len();
        let now = self.now;
        let request = Request { bytes, tail };
        self.tell(node, |node| node.stack.request(now, conn, request, &mut node.world));
        let replies = self.replies(node, conn);
        assert!(replies.len() <= before + 1, "more than one answer");
        replies.get(before).cloned()
    }

    /// The replies that a client has got, since they were last taken.
    pub(super) fn replies(&self, node: u32, conn: ConnId) -> Vec<Bytes> {
        let told = self.nodes[&node].outcome.told.iter();
        told.filter_map(|told| match told {
            Told::Reply(to, bytes) if *to == conn => Some(bytes.clone()),
            Told::Reply(..) | Told::Event(..) => None,
        })
        .collect()
    }

    /// Takes what the clients of a node were told.
    pub(super) fn take_told(&mut self, node: u32) -> Vec<Told> {
        std::mem::take(&mut self.node(node).outcome.told)
    }

    /// Takes the events of one client; what others were told, and replies, stay.
    pub(super) fn take_events(&mut self, node: u32, conn: ConnId) -> Vec<Bytes> {
        let told = &mut self.node(node).outcome.told;
        let taken = told.extract_if(.., |told| matches!(told, Told::Event(to, ..) if *to == conn));
        taken
            .map(|told| match told {
                Told::Event(_, bytes, _) | Told::Reply(_, bytes) => bytes,
            })
            .collect()
    }

    pub(super) fn take_orders(&mut self, node: u32) -> Vec<Order> {
        std::mem::take(&mut self.node(node).outcome.orders)
    }

    // ---- other nodes' messages -------------------------------------------------------------------------------------

    /// Multicasts bytes on the ring in the name of a node, past its services.
    pub(super) fn say(&mut self, node: u32, message: &[u8]) -> bool {
        self.tell(node, |node| {
            node.stack.ground.totem.submit(Group::App, Guarantee::Agreed, &[message]).is_ok()
        })
    }

    /// Delivers an exec message at one node alone, as if it came from the ring.
    pub(super) fn deliver(&mut self, node: u32, from: u32, message: &[u8], order: Endian) {
        let message = Bytes::copy_from_slice(message);
        self.tell(node, |node| {
            node.stack.route(&mut node.world, |router, desks, context| {
                router.deliver(desks, id(from), message, order, context);
            });
        });
    }

    /// The exec messages that a node was delivered, its own included, with their senders.
    pub(super) fn take_delivered(&mut self, node: u32) -> Vec<(NodeId, Bytes)> {
        std::mem::take(&mut self.node(node).stack.delivered)
    }

    // ---- time ------------------------------------------------------------------------------------------------------

    /// Tells a node something and carries out what follows; what it sends is under way then.
    pub(super) fn tell<R>(&mut self, node: u32, what: impl FnOnce(&mut Node) -> R) -> R {
        let others: Vec<u32> = self.nodes.keys().copied().filter(|other| *other != node).collect();
        let tokens_lost = self.without_tokens.contains(&self.part_of(node));
        let found = self.nodes.get_mut(&node).expect("it runs");
        let told = what(found);
        let mut stored = Vec::new();
        while let Some(output) = found.stack.poll_output(&mut found.world) {
            if let (Some(sent), Output::Send(_, frame)) = (&mut self.sent, &output) {
                sent.push((node, frame.clone()));
            }
            match output {
                Output::Send(Destination::Node(_), _) if tokens_lost => {}
                Output::Send(Destination::Node(to), frame) => self.wire.push_back((node, to.get(), frame)),
                Output::Send(Destination::All, frame) => {
                    self.wire.extend(others.iter().map(|other| (node, *other, frame.clone())));
                }
                Output::Store(up_to) => stored.push(up_to),
                Output::Probe(_) => {}
                other => {
                    if let Output::Order(Order::KeepVotes(votes)) = &other {
                        self.kept_votes.insert(node, *votes);
                    }
                    found.outcome.note(other);
                }
            }
        }
        found.due = found.stack.deadline().unwrap_or(self.now + LIMIT);
        for up_to in stored {
            self.stored.insert(node, up_to);
            self.give(node, Input::Stored(up_to));
        }
        told
    }

    fn give(&mut self, node: u32, input: Input<'_>) {
        let now = self.now;
        self.tell(node, |node| node.stack.handle_input(now, input));
    }

    /// Loses the datagrams that are under way.
    pub(super) fn lose(&mut self) {
        self.wire.clear();
    }

    /// Delivers the datagrams that are under way.
    fn pass(&mut self) {
        for _ in 0..self.wire.len() {
            let Some((from, to, frame)) = self.wire.pop_front() else { return };
            if self.part_of(from) == self.part_of(to) && self.nodes.contains_key(&to) {
                self.give(to, Input::Datagram(&frame));
            }
        }
    }

    /// Lets time pass: up to the next datagram or timer, but not beyond `end`.
    fn step(&mut self, end: Instant) {
        let due: Vec<u32> =
            self.nodes.iter().filter(|(_, node)| node.due <= self.now).map(|(node, _)| *node).collect();
        due.into_iter().for_each(|node| self.give(node, Input::Timeout));
        if !self.held {
            self.pass();
        }
        let soon = self.now + self.hop;
        let next = self.nodes.values().map(|node| node.due).min().unwrap_or(end);
        let waits = self.held || self.wire.is_empty();
        self.now = if waits { next.max(soon).min(end.max(soon)) } else { soon };
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step(end);
        }
    }

    /// Runs until something is so.
    pub(super) fn run_until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let end = self.now + LIMIT;
        while !is_so(self) {
            assert!(self.now < end, "it does not come to pass that {what}");
            self.step(end);
        }
    }

    /// Runs until the nodes of each part of the network are on one synchronised ring, and nothing new comes of it.
    pub(super) fn settle(&mut self) {
        self.run_until("all nodes are on one ring a part", Self::is_whole);
        let mut before = usize::MAX;
        while std::mem::replace(&mut before, self.noted()) != self.noted() {
            self.run(REST);
        }
    }

    fn is_whole(&self) -> bool {
        self.nodes.iter().all(|(node, running)| {
            let part = self.part_of(*node);
            let mates =
                self.nodes.keys().filter(|other| self.part_of(**other) == part).map(|id_of| id(*id_of));
            let totem = running.stack.totem();
            totem.state() == StateName::Operational
                && totem.members().iter().copied().eq(mates)
                && running.outcome.synced == Some(totem.ring())
                && !running.stack.router().syncing()
        })
    }

    /// How much all nodes have put out and been delivered.
    fn noted(&self) -> usize {
        let of = |node: &Node| {
            let Outcome { told, orders, views, .. } = &node.outcome;
            told.len() + orders.len() + views.len() + node.stack.delivered.len()
        };
        self.nodes.values().map(of).sum()
    }
}

/// The status that a reply begins with.
pub(super) fn status(reply: &[u8]) -> Status {
    let code = i32::from_ne_bytes(reply[16..20].try_into().expect("a reply has a header"));
    Status::from_code(code)
}

/// The network of these tests itself: rings form, part, and meet again, a node comes back, and another leaves.
#[test]
fn rings_form_part_and_meet_again() {
    let mut cluster = Cluster::running(3, &Map::default());
    let first = cluster.ring(1);
    assert!([2, 3].iter().all(|node| cluster.ring(*node) == first));
    cluster.part(&[0, 0, 1]);
    cluster.settle();
    assert_eq!(cluster.ring(1), cluster.ring(2));
    assert_eq!(cluster.nodes[&3].stack.totem().members(), [id(3)]);
    cluster.part(&[0, 0, 0]);
    cluster.settle();
    assert_eq!(cluster.nodes[&3].stack.totem().members(), [id(1), id(2), id(3)]);
    cluster.kill(2);
    cluster.settle();
    cluster.start(2);
    cluster.leave(1);
    cluster.settle();
    assert_eq!(cluster.nodes[&3].stack.totem().members(), [id(2), id(3)]);
}
