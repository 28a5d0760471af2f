//! Nodes in one virtual time: the outputs of each core become inputs of other nodes, disks are slow, processes pause,
//! crash and restart with nothing but their reserved ring ids.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use annulus::config::timeouts::{Given, Timeouts};
use annulus::ids::{Destination, Guarantee, NodeId, RingId, Seq};
use annulus::time::Instant;
use annulus::totem::{Group, Input, Message, Output, Params, Refused, StateName, Totem};
use annulus::transport::knet::{Engine, Fault, Path};
use annulus::view::{View, ViewKind};
use bytes::Bytes;

use crate::application::{Application, Register, Round, Step, Wish};
use crate::checkers::{self, End};
use crate::core::Core;
use crate::fabric::{Fabric, Knet};
use crate::network::{Network, Quality, id};
use crate::processors::Schedule;
use crate::random::Random;
use crate::sniffer::Sniffer;
use crate::trace::{Event, Msg, Phase, Process, Sent, Trace};
use crate::whole::node::Whole;
use crate::whole::record::Record;
use crate::whole::services::Services;

/// Datagrams that wait for a paused process; further ones are lost, as in a socket buffer.
const SOCKET_BUFFER: usize = 512;

/// Bytes that a node's queue holds; see `totem::srp::outbox`.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// Inputs that one instant may take: more means that the core is in an endless loop.
const SAME_INSTANT: u32 = 100_000;

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) nodes: Vec<u32>,
    pub(crate) given: Given,
    pub(crate) origin: Seq,
    pub(crate) netmtu: usize,
    pub(crate) quality: Quality,
    /// How long a write of the ring id takes.
    pub(crate) disk: Range<Duration>,
    /// Bytes that each node tells the others during a synchronisation; an empty range means none.
    pub(crate) told_in_sync: Range<u64>,
    /// Whether the rings know, without services, which nodes there may be.
    pub(crate) listed: bool,
    /// The processors that the nodes share and what an input costs; `None`: inputs cost no time.
    pub(crate) schedule: Option<Schedule>,
    /// The knet links below the rings. `None`: one plain link, on which a frame is a datagram.
    pub(crate) knet: Option<Knet>,
    /// What a host says that is asked whether a process receives there.
    pub(crate) hosts: Hosts,
    /// How the services of whole nodes are set up; `None`: the ring runs alone.
    pub(crate) services: Option<Services>,
}

impl Setup {
    /// A token time-out of one second for any number of nodes, a good network and a good disk.
    pub(crate) fn new(seed: u64, nodes: impl IntoIterator<Item = u32>) -> Self {
        Self {
            seed,
            nodes: nodes.into_iter().collect(),
            given: Given { token: Some(1000), token_coefficient: Some(0), ..Given::default() },
            origin: Seq(0),
            netmtu: 1500,
            quality: Quality::good(),
            disk: Duration::from_micros(500)..Duration::from_millis(5),
            told_in_sync: 0..0,
            listed: false,
            schedule: None,
            knet: None,
            hosts: Hosts::Silent,
            services: None,
        }
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        Timeouts::derive(&self.given, self.nodes.len())
    }

    pub(crate) fn build(self) -> Cluster {
        Cluster::new(self)
    }
}

/// What the host of a node says that is asked whether a process receives there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// Nothing, as if it ended with the process.
    Silent,
    /// No, if the process has ended.
    Truthful,
    /// No in any case, because of a firewall.
    Refusing,
}

/// Messages that every node submits by itself.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Time between two messages of one node.
    pub(crate) every: Range<Duration>,
    /// Ranges of sizes: one range is drawn for each message, then a size in it.
    pub(crate) sizes: Vec<Range<u64>>,
    /// Share of safe messages; the others are agreed.
    pub(crate) safe: f64,
    /// Share of messages that are submitted as soon as another is delivered, as an answer to it.
    pub(crate) answers: f64,
    /// Share of messages that are submitted even during synchronisations, as services do, until the node has said
    /// that its part is done.
    pub(crate) unruly: f64,
}

/// The ring id file of a node, which holds one number.
#[derive(Clone, Debug)]
struct Disk {
    /// The number that a restart reads.
    durable: u64,
    /// No write ends before this instant, whenever it began.
    stuck_until: Instant,
}

/// A node: what survives a crash, and the process if there is one.
pub(crate) struct Node {
    pub(crate) life: u32,
    disk: Disk,
    pub(crate) process: Option<Running>,
}

/// The running process of a node.
pub(crate) struct Running {
    pub(crate) core: Core,
    pub(crate) app: Application,
    /// The knet engine between the ring and the links.
    pub(crate) engine: Option<Engine>,
    /// The earliest pending call of the engine.
    pub(crate) engine_called_at: Option<Instant>,
    /// What arrived while the process was paused; `None` while it runs.
    paused: Option<VecDeque<Waiting>>,
    /// When it was paused.
    paused_at: Instant,
    /// When the core asks to be called.
    wake: Option<Instant>,
    /// The earliest pending call of the core.
    called_at: Option<Instant>,
    pub(crate) tokens_sent: u64,
    /// Whether a synchronisation was under way at the last input of the core, which decides the queue that it sends
    /// from.
    was_syncing: bool,
}

impl Running {
    /// The ring, for its counters and state.
    pub(crate) fn totem(&self) -> &Totem {
        self.core.totem()
    }
}

/// An input that a paused process has not read yet.
enum Waiting {
    Frame(Bytes),
    Packet(u8, IpAddr, Bytes),
}

/// An event that is scheduled for an instant of virtual time.
pub(crate) enum Happening {
    Arrive {
        to: u32,
        bytes: Bytes,
    },
    /// A processor is free for what happened at the instant.
    Turn {
        node: u32,
        at: Instant,
        what: Box<Self>,
    },
    Packet {
        to: u32,
        link: u8,
        from: IpAddr,
        bytes: Bytes,
    },
    Told {
        node: u32,
        path: Path,
        fault: Fault,
    },
    Engine {
        who: Process,
    },
    Wake {
        who: Process,
    },
    Stored {
        who: Process,
        up_to: u64,
    },
    /// The host of the other node says that no process receives there.
    Refused {
        who: Process,
        other: u32,
    },
    Work {
        node: u32,
    },
    Overdue {
        who: Process,
        ring: RingId,
    },
}

struct Due {
    at: Instant,
    number: u64,
    what: Happening,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// Reversed, so that the heap (a maximum heap) yields the earliest event first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// A cluster in virtual time.
pub(crate) struct Cluster {
    pub(crate) setup: Setup,
    pub(crate) now: Instant,
    pub(crate) nodes: BTreeMap<u32, Node>,
    pub(crate) network: Network,
    /// On knet, the links that are used instead of `network`.
    pub(crate) fabric: Option<Fabric>,
    pub(crate) trace: Trace,
    /// What clients of whole nodes asked and were told.
    pub(crate) record: Record,
    register: Register,
    sniffer: Sniffer,
    pub(crate) random: Random,
    load: Option<Load>,
    agenda: BinaryHeap<Due>,
    happenings: u64,
    in_this_instant: u32,
    steps: u64,
    /// Events that a run may take before it counts as a storm and fails.
    pub(crate) step_limit: u64,
    /// Whether frames may arrive changed, so that message contents prove nothing.
    pub(crate) contents_may_change: bool,
    /// Whether an outsider forges frames. If so, a process sends again what it received, so its datagrams do not show
    /// what it submitted; and a synchronisation that lost a message is given up after this time, as the services do.
    pub(crate) besieged: Option<Duration>,
    show: bool,
}

impl Cluster {
    /// Builds a cluster of `nodes` with the usual setup and starts all of them.
    pub(crate) fn seeded(seed: u64, nodes: impl IntoIterator<Item = u32>) -> Self {
        let mut cluster = Setup::new(seed, nodes).build();
        cluster.start_all();
        cluster
    }

    fn new(setup: Setup) -> Self {
        let mut random = Random::seeded(setup.seed);
        let network = Network::new(random.fork(), setup.quality.clone());
        let disk = Disk { durable: 0, stuck_until: Instant::ZERO };
        let fabric = setup.knet.clone().map(|knet| Fabric::new(knet, &setup.quality, random.fork()));
        let nodes = setup
            .nodes
            .iter()
            .map(|node| (*node, Node { life: 0, disk: disk.clone(), process: None }))
            .collect();
        Self {
            setup,
            now: Instant::from_micros(1_000_000),
            nodes,
            network,
            fabric,
            trace: Trace::default(),
            record: Record::default(),
            register: Register::default(),
            sniffer: Sniffer::default(),
            random,
            load: None,
            agenda: BinaryHeap::new(),
            happenings: 0,
            in_this_instant: 0,
            steps: 0,
            step_limit: 2_000_000,
            contents_may_change: false,
            besieged: None,
            show: std::env::var_os("ANNULUS_SIM_TRACE").is_some(),
        }
    }

    // ---- what a story does -------------------------------------------------------------------------

    pub(crate) fn start_all(&mut self) {
        for node in self.setup.nodes.clone() {
            self.start(node);
        }
    }

    /// Starts a node that is not running, with what its disk says.
    pub(crate) fn start(&mut self, id_of: u32) {
        let timeouts = self.setup.timeouts();
        let node = self.nodes.get_mut(&id_of).expect("a node of this cluster");
        assert!(node.process.is_none(), "node {id_of} runs already");
        node.life += 1;
        let who = Process { node: id_of, life: node.life };
        let params = Params {
            me: id(id_of),
            timeouts,
            netmtu: self.setup.netmtu,
            ring_seq: node.disk.durable + 1,
            stored: node.disk.durable,
            life: u64::from(node.life - 1),
            origin: self.setup.origin,
        };
        let nodes = &self.setup.nodes;
        let token = self.setup.timeouts().token;
        let engine = self.fabric.as_mut().map(|fabric| fabric.engine(id_of, nodes, token, self.now));
        self.trace.lives.entry(who).or_default();
        let core = match &self.setup.services {
            None => {
                let mut totem = Box::new(Totem::new(params, self.now));
                if self.setup.listed {
                    totem.admit_only(&nodes.iter().map(|node| id(*node)).collect::<Vec<_>>());
                }
                Core::Ring(totem)
            }
            Some(services) => Core::Whole(Box::new(Whole::new(
                params,
                services.setup(id_of, nodes, &self.setup.given),
                self.now,
            ))),
        };
        node.process = Some(Running {
            core,
            app: Application::new(who),
            engine,
            engine_called_at: None,
            paused: None,
            paused_at: self.now,
            wake: None,
            called_at: None,
            tokens_sent: 0,
            was_syncing: true,
        });
        self.note(id_of, "starts");
        if self.fabric.is_some() {
            self.drain_engine(id_of);
        }
        self.input(id_of, Input::Timeout);
    }

    /// Ends the process without notice to the others. Writes under way are lost.
    pub(crate) fn crash(&mut self, node: u32) {
        self.note(node, "crashes");
        self.end(node);
    }

    /// The process announces that it leaves, and ends.
    pub(crate) fn leave(&mut self, node: u32) {
        self.note(node, "leaves");
        if self.running(node).core.whole().is_some() {
            return self.leave_whole(node);
        }
        self.running(node).core.ring().leave();
        self.drain(node);
        self.end(node);
    }

    pub(crate) fn end(&mut self, node: u32) {
        let process = self.nodes.get_mut(&node).and_then(|n| n.process.take()).expect("a running node");
        self.record.crashed(process.app.who);
        self.trace.add(self.now, process.app.who, Event::Stop);
    }

    /// Pauses the process: no input reaches it, but its clock goes on.
    pub(crate) fn pause(&mut self, node: u32) {
        self.note(node, "pauses");
        let now = self.now;
        let process = self.running(node);
        if process.paused.is_none() {
            (process.paused, process.paused_at) = (Some(VecDeque::new()), now);
        }
    }

    /// Resumes the process: it learns of its pause if that was long, and the waiting inputs reach it, after its timers
    /// if `timers_first`, else before them.
    pub(crate) fn resume(&mut self, node: u32, timers_first: bool) {
        self.note(node, "resumes");
        let now = self.now;
        let process = self.running(node);
        let waiting = process.paused.take().unwrap_or_default();
        // As the driver of a node does.
        let ready = process.wake.unwrap_or(now).max(process.paused_at);
        let away = now.since(ready);
        if away > self.totem(node).timeouts().token / 2 {
            self.input(node, Input::Paused(away));
        }
        if timers_first {
            self.timers(node);
        }
        for datagram in waiting {
            match datagram {
                Waiting::Frame(bytes) => self.input(node, Input::Datagram(&bytes)),
                Waiting::Packet(link, from, bytes) => self.packet(node, link, from, &bytes),
            }
        }
        self.timers(node);
    }

    /// Runs the timers that fell due while the process was paused.
    fn timers(&mut self, node: u32) {
        self.input(node, Input::Timeout);
        if self.fabric.is_some() {
            let who = self.running(node).app.who;
            self.running(node).engine_called_at = None;
            self.engine_due(who);
        }
    }

    /// No write of this node's disk ends before `time` from now.
    pub(crate) fn stick_disk(&mut self, node: u32, time: Duration) {
        self.note(node, "disk is stuck");
        self.nodes.get_mut(&node).expect("a node of this cluster").disk.stuck_until = self.now + time;
    }

    /// Changes the ring id file of a node that is down to `durable`.
    pub(crate) fn lose_disk(&mut self, node: u32, durable: u64) {
        self.note(node, "disk is replaced");
        self.nodes.get_mut(&node).expect("a node of this cluster").disk.durable = durable;
    }

    /// Gives every running node these timers and limits from now on.
    pub(crate) fn reconfigure(&mut self, timeouts: &Timeouts) {
        for process in self.nodes.values_mut().filter_map(|node| node.process.as_mut()) {
            process.core.ring().reconfigure(timeouts.clone());
        }
    }

    /// Delivers a datagram that no node sent to a node now.
    pub(crate) fn inject(&mut self, to: u32, bytes: &[u8]) {
        self.arrive(to, Bytes::copy_from_slice(bytes));
    }

    /// From now on every node submits messages by itself, until [`Cluster::rest`].
    pub(crate) fn work(&mut self, load: Load) {
        self.load = Some(load);
        for node in self.setup.nodes.clone() {
            let at = self.next_work();
            self.plan(at, Happening::Work { node });
        }
    }

    /// Stops the load: no node submits messages by itself any more.
    pub(crate) fn rest(&mut self) {
        self.load = None;
    }

    /// Submits a message as soon as the services above the ring would.
    pub(crate) fn wish(&mut self, node: u32, size: usize, guarantee: Guarantee) {
        self.running(node).app.wishes.push_back(Wish { size, guarantee });
        self.grant(node);
        self.drain(node);
    }

    /// Submits a message at once, whatever the phase.
    pub(crate) fn submit(&mut self, node: u32, size: usize, guarantee: Guarantee) -> Result<Msg, Refused> {
        let result = self.submit_now(node, size, guarantee);
        self.drain(node);
        result
    }

    /// Runs for a time.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.agenda.peek().is_some_and(|due| due.at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Runs until `done`, which is asked before every event.
    ///
    /// # Panics
    /// If `done` does not become true within `limit`.
    pub(crate) fn run_until_within(&mut self, limit: Duration, what: &str, done: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        while !done(self) {
            if self.agenda.peek().is_none_or(|due| due.at > end) {
                panic!("seed {}: not {what} within {limit:?}\n{}", self.setup.seed, self.report());
            }
            self.step();
        }
    }

    /// Runs until `done`, for at most as long as any change of membership may take.
    pub(crate) fn run_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        self.run_until_within(self.patience(), what, done);
    }

    /// Runs until all running nodes are on one synchronised ring.
    pub(crate) fn settle(&mut self) {
        self.run_until("one ring", Self::one_ring);
    }

    /// Settles, waits until nothing more is due, and checks every property.
    pub(crate) fn finish(&mut self) {
        self.rest();
        self.settle();
        let limit = self.drains_within();
        self.run_until_within(limit, "everything delivered", |c| c.one_ring() && c.nothing_due());
        let timeouts = self.setup.timeouts();
        self.run(timeouts.hold * 4 + timeouts.token_retransmit * 4);
        self.run_until("one ring", |c| c.one_ring() && c.nothing_due());
        self.check(End::Quiet);
    }

    /// Checks a cluster after an outsider's siege has ended: one ring must form within [`Cluster::patience`] plus the
    /// length of the siege (during which ring numbers may have been driven apart), and messages must flow on it. All
    /// properties hold from there on.
    pub(crate) fn recover_from_siege(&mut self, siege: Duration) {
        self.rest();
        self.setup.told_in_sync = 0..0;
        self.run_until_within(self.patience() + siege, "one ring", Self::one_ring);
        // A ring may look whole and yet end soon, because of a forged frame that reached it last.
        let timeouts = self.setup.timeouts();
        self.run((timeouts.token + timeouts.consensus) * 2);
        self.settle();
        for (_, node) in self.nodes.iter_mut() {
            if let Some(process) = &mut node.process {
                // Messages accepted before may be lost, as a forged frame can take the place of a real one.
                process.app.due.clear();
                process.app.wishes.clear();
            }
        }
        let (first, rings) = (self.trace.sent.len(), self.rings());
        let nodes: Vec<u32> = self.alive().map(|(node, _)| node).collect();
        for size in [1, 100, 5000, 40_000] {
            for node in &nodes {
                self.wish(*node, size, if size < 5000 { Guarantee::Safe } else { Guarantee::Agreed });
            }
        }
        // These messages queue behind everything that is already waiting.
        let limit = self.drains_within();
        let all = |c: &Self| {
            c.nothing_due() && nodes.iter().all(|n| c.delivered_since(*n, first) == 4 * nodes.len())
        };
        self.run_until_within(limit, "every message everywhere", all);
        self.run(timeouts.token * 2);
        assert!(self.one_ring(), "seed {}: not one ring\n{}", self.setup.seed, self.report());
        assert_eq!(self.rings(), rings, "seed {}: another ring\n{}", self.setup.seed, self.report());
        let orders: BTreeSet<Vec<Msg>> = nodes.iter().map(|node| self.order_since(*node, first)).collect();
        assert_eq!(orders.len(), 1, "seed {}: two orders\n{}", self.setup.seed, self.report());
        if let Err(violation) = checkers::check_besieged(&self.trace) {
            panic!("seed {}: {violation}\n{}", self.setup.seed, self.report());
        }
    }

    /// The ring of each running node.
    fn rings(&self) -> Vec<Option<RingId>> {
        self.alive().map(|(node, _)| self.ring(node)).collect()
    }

    /// What `node` delivered of the messages from `first` on.
    fn order_since(&self, node: u32, first: Msg) -> Vec<Msg> {
        let delivered = self.events(node).iter().filter_map(|(_, event)| match event {
            Event::Deliver(msg) if *msg >= first => Some(*msg),
            _ => None,
        });
        delivered.collect()
    }

    fn delivered_since(&self, node: u32, first: Msg) -> usize {
        self.order_since(node, first).len()
    }

    /// Checks every property that can be checked now.
    pub(crate) fn check(&self, end: End) {
        if let Err(violation) = checkers::check(&self.trace, end) {
            panic!("seed {}: {violation}\n{}", self.setup.seed, self.report());
        }
        let window = self.setup.timeouts().window_size;
        assert!(
            self.contents_may_change || self.network.highest_fcc <= window,
            "seed {}: flow control count {} above the window of {window}",
            self.setup.seed,
            self.network.highest_fcc
        );
        assert!(self.network.most_missing <= 30, "retransmission request list too long");
    }

    // ---- what a story asks -------------------------------------------------------------------------

    /// How long a change of membership may take at worst, several attempts included.
    pub(crate) fn patience(&self) -> Duration {
        let timeouts = self.setup.timeouts();
        (timeouts.token + timeouts.consensus) * 12 + Duration::from_secs(2)
    }

    /// How long it may take until all queued and wished messages are delivered everywhere: several changes of
    /// membership, and rotations of two frames each at the network's slowest. A small window on a slow network needs
    /// long for long queues. The limit assumes two frames per rotation, so that a ring that only sends a frame now
    /// and then does not pass as working.
    pub(crate) fn drains_within(&self) -> Duration {
        let payload = self.setup.netmtu - 90;
        let wished = |wish: &Wish| wish.size.div_ceil(payload);
        let queued = |process: &Running| QUEUE_BYTES / payload - process.totem().queue_room();
        let waiting =
            |process: &Running| queued(process) + process.app.wishes.iter().map(wished).sum::<usize>();
        let frames: usize = self.alive().map(|(_, process)| waiting(process)).sum();
        let rotation = self.network.quality.delay.end * self.setup.nodes.len() as u32;
        self.patience() * 10 + rotation * (frames / 2) as u32
    }

    pub(crate) fn alive(&self) -> impl Iterator<Item = (u32, &Running)> {
        self.nodes.iter().filter_map(|(node, n)| n.process.as_ref().map(|process| (*node, process)))
    }

    /// Whether all running nodes are on one ring of exactly them, and synchronised.
    pub(crate) fn one_ring(&self) -> bool {
        let nodes: Vec<u32> = self.alive().map(|(node, _)| node).collect();
        self.on_one_ring(&nodes)
    }

    /// Whether `nodes` are on one ring of exactly them, and synchronised.
    pub(crate) fn on_one_ring(&self, nodes: &[u32]) -> bool {
        let mut ring = None;
        nodes.iter().all(|node| {
            let Some(process) = &self.nodes[node].process else { return false };
            let app = &process.app;
            let Some(view) = app.view.as_ref().filter(|_| app.synced) else { return false };
            view.members.len() == nodes.len()
                && view.members.iter().all(|member| nodes.contains(&member.get()))
                && process.totem().state() == StateName::Operational
                && *ring.get_or_insert(view.ring) == view.ring
        })
    }

    /// Members of the last regular view of `node`.
    pub(crate) fn members(&self, node: u32) -> Vec<u32> {
        let process = self.nodes[&node].process.as_ref().expect("a running node");
        process.app.view.iter().flat_map(|view| view.members.iter().map(|member| member.get())).collect()
    }

    /// The member of its ring from which `node` gets the token.
    pub(crate) fn before(&self, node: u32) -> u32 {
        let members = self.members(node);
        let before = members.iter().copied().filter(|member| *member < node).max();
        before.or_else(|| members.into_iter().max()).unwrap_or(node)
    }

    /// The ring of the last regular view of `node`.
    pub(crate) fn ring(&self, node: u32) -> Option<RingId> {
        self.nodes[&node].process.as_ref().and_then(|p| p.app.view.as_ref()).map(|view| view.ring)
    }

    /// Whether every message accepted from a running node came back to it, except for late ones.
    pub(crate) fn nothing_due(&self) -> bool {
        self.alive().all(|(_, process)| process.app.due.is_empty() && process.app.wishes.is_empty())
    }

    /// Whether `node` has delivered `msg` in its present life.
    pub(crate) fn has_delivered(&self, node: u32, msg: Msg) -> bool {
        self.events(node).iter().any(|(_, event)| *event == Event::Deliver(msg))
    }

    /// By sender and ring, the number of messages of that ring that are linked by split packets to a packet of an
    /// earlier ring.
    pub(crate) fn torn_rows(&self) -> BTreeMap<(Process, RingId), usize> {
        let mut rows = BTreeMap::new();
        for sent in &self.trace.sent {
            if let (Some(on), Some(began)) = (sent.on, sent.row_began_on)
                && on != began
            {
                *rows.entry((sent.by, on)).or_default() += 1;
            }
        }
        rows
    }

    /// The events that `node` saw in its present life.
    pub(crate) fn events(&self, node: u32) -> &[(Instant, Event)] {
        &self.trace.lives[&Process { node, life: self.nodes[&node].life }]
    }

    /// Regular views that `node` has seen in its present life.
    pub(crate) fn views(&self, node: u32) -> Vec<&View> {
        self.events(node)
            .iter()
            .filter_map(|(_, event)| match event {
                Event::View(view) if view.kind == ViewKind::Regular => Some(view),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn totem(&self, node: u32) -> &Totem {
        self.nodes[&node].process.as_ref().expect("a running node").totem()
    }

    /// The state of every node and the last events, for failure reports.
    pub(crate) fn report(&self) -> String {
        let mut out = self.report_links();
        for (node, n) in &self.nodes {
            out += &match &n.process {
                None => format!("  {node}.{}: down, disk {}\n", n.life, n.disk.durable),
                Some(p) => format!(
                    "  {node}.{}: {} {} {:?} ring {}{}, due {:?}, {} wishes, round {:?}, disk {}\n",
                    n.life,
                    if p.paused.is_some() { "paused," } else { "" },
                    p.totem().state(),
                    p.app.view.as_ref().map(|view| view.members.iter().map(|m| m.get()).collect::<Vec<_>>()),
                    p.totem().ring(),
                    if p.app.synced { ", synced" } else { "" },
                    p.app.due.iter().take(3).map(|msg| self.trace.name(*msg)).collect::<Vec<_>>(),
                    p.app.wishes.len(),
                    p.app.round.as_ref().map(|r| (
                        r.ring,
                        r.members.difference(&r.here).collect::<Vec<_>>(),
                        r.done.len(),
                        r.said_done
                    )),
                    n.disk.durable,
                ),
            };
        }
        format!(
            "at {:.3} ms, frames {:?}:\n{out}{}",
            self.now.as_micros() as f64 / 1e3,
            self.network.sent,
            self.trace.tail(60)
        )
    }

    // ---- time --------------------------------------------------------------------------------------

    pub(crate) fn plan(&mut self, at: Instant, what: Happening) {
        self.happenings += 1;
        self.agenda.push(Due { at, number: self.happenings, what });
    }

    fn step(&mut self) {
        let Some(due) = self.agenda.pop() else { return };
        self.in_this_instant = if due.at == self.now { self.in_this_instant + 1 } else { 0 };
        assert!(
            self.in_this_instant < SAME_INSTANT,
            "seed {}: goes in circles\n{}",
            self.setup.seed,
            self.report()
        );
        self.steps += 1;
        assert!(
            self.steps < self.step_limit,
            "seed {}: {} steps, a storm\n{}",
            self.setup.seed,
            self.steps,
            self.report()
        );
        self.now = self.now.max(due.at);
        if let Some(due) = self.schedule(due) {
            self.happen(due);
        }
    }

    /// Lets an input wait for a processor. Returns what needs none, or has one now.
    fn schedule(&mut self, due: Due) -> Option<Due> {
        let Some(schedule) = &mut self.setup.schedule else { return Some(due) };
        let (node, datagram) = match &due.what {
            Happening::Arrive { to, .. } => (*to, true),
            Happening::Wake { who } => (who.node, false),
            _ => return Some(due),
        };
        if let Some(at) = schedule.queue(self.now, node, datagram) {
            self.plan(at, Happening::Turn { node, at: due.at, what: Box::new(due.what) });
        }
        None
    }

    fn happen(&mut self, due: Due) {
        match due.what {
            Happening::Turn { node, at, what } => {
                if let Some(schedule) = &mut self.setup.schedule {
                    schedule.handled(node);
                }
                self.happen(Due { at, number: due.number, what: *what });
            }
            Happening::Arrive { to, bytes } => self.arrive(to, bytes),
            Happening::Packet { to, link, from, bytes } => self.packet_comes(to, link, from, bytes),
            Happening::Told { node, path, fault } => {
                // A pause delays what the kernel reports; once it is over, the report has no meaning any more.
                if self.is_awake(node) {
                    self.told(node, path, fault);
                }
            }
            Happening::Engine { who } => {
                if self.is_awake(who.node) && self.running(who.node).app.who == who {
                    self.engine_due(who);
                }
            }
            Happening::Wake { who } => self.called(who, due.at),
            Happening::Stored { who, up_to } => self.written(who, up_to),
            Happening::Refused { who, other } => self.told_refused(who, other),
            Happening::Work { node } => self.worked(node),
            Happening::Overdue { who, ring } => self.overdue(who, ring),
        }
    }

    fn arrive(&mut self, to: u32, bytes: Bytes) {
        let Some(process) = self.nodes.get_mut(&to).and_then(|node| node.process.as_mut()) else { return };
        if let Some(waiting) = &mut process.paused {
            if waiting.len() < SOCKET_BUFFER {
                waiting.push_back(Waiting::Frame(bytes));
            }
            return;
        }
        self.input(to, Input::Datagram(&bytes));
    }

    fn packet_comes(&mut self, to: u32, link: u8, from: IpAddr, bytes: Bytes) {
        let Some(process) = self.nodes.get_mut(&to).and_then(|node| node.process.as_mut()) else {
            return self.nobody(to, link, from);
        };
        if let Some(waiting) = &mut process.paused {
            if waiting.len() < SOCKET_BUFFER {
                waiting.push_back(Waiting::Packet(link, from, bytes));
            }
            return;
        }
        self.packet(to, link, from, &bytes);
    }

    fn is_awake(&self, node: u32) -> bool {
        self.nodes[&node].process.as_ref().is_some_and(|process| process.paused.is_none())
    }

    fn called(&mut self, who: Process, at: Instant) {
        let Some(process) = self.nodes.get_mut(&who.node).and_then(|node| node.process.as_mut()) else {
            return;
        };
        if process.app.who != who || process.called_at != Some(at) {
            return;
        }
        process.called_at = None;
        if process.paused.is_some() {
            return;
        }
        match process.wake {
            Some(wake) if wake <= self.now => self.input(who.node, Input::Timeout),
            Some(_) => self.call_again(who.node),
            None => {}
        }
    }

    /// Makes sure that the core is called when it wants to be.
    fn call_again(&mut self, node: u32) {
        let now = self.now;
        let process = self.running(node);
        let Some(wake) = process.wake.map(|wake| wake.max(now)) else { return };
        if process.called_at.is_some_and(|at| at <= wake) {
            return;
        }
        process.called_at = Some(wake);
        let who = process.app.who;
        self.plan(wake, Happening::Wake { who });
    }

    fn written(&mut self, who: Process, up_to: u64) {
        let Some(node) = self.nodes.get_mut(&who.node) else { return };
        let Some(process) = node.process.as_ref().filter(|process| process.app.who == who) else { return };
        if node.disk.stuck_until > self.now || process.paused.is_some() {
            let again = node.disk.stuck_until.max(self.now + Duration::from_millis(10));
            return self.plan(again, Happening::Stored { who, up_to });
        }
        node.disk.durable = node.disk.durable.max(up_to);
        self.input(who.node, Input::Stored(up_to));
    }

    fn told_refused(&mut self, who: Process, other: u32) {
        let Some(process) = self.nodes.get(&who.node).and_then(|node| node.process.as_ref()) else { return };
        // A process that does not run learns of it later, or not at all.
        if process.app.who == who && process.paused.is_none() {
            self.input(who.node, Input::Refused(id(other)));
        }
    }

    // ---- a process ---------------------------------------------------------------------------------

    pub(crate) fn running(&mut self, node: u32) -> &mut Running {
        self.nodes.get_mut(&node).and_then(|n| n.process.as_mut()).expect("a running node")
    }

    pub(crate) fn input(&mut self, node: u32, input: Input<'_>) {
        let now = self.now;
        let process = self.running(node);
        process.was_syncing = !process.app.synced;
        match &mut process.core {
            Core::Ring(totem) => totem.handle_input(now, input),
            Core::Whole(whole) => whole.stack.handle_input(now, input),
        }
        self.drain(node);
    }

    /// Carries out what a node's core has decided, until it has nothing more.
    pub(crate) fn drain(&mut self, node: u32) {
        match self.running(node).core {
            Core::Ring(_) => self.drain_ring(node),
            Core::Whole(_) => self.drain_whole(node),
        }
    }

    fn drain_ring(&mut self, node: u32) {
        loop {
            match self.running(node).core.ring().poll_output() {
                Output::Send(to, bytes) => self.sent(node, to, &bytes),
                Output::Store(up_to) => self.store(node, up_to),
                Output::Probe(other) => self.asked(node, other.get()),
                Output::Deliver(message) => self.delivered(node, &message),
                Output::View(view) => self.viewed(node, view),
                Output::TokenSent => self.token_sent(node),
                Output::Wait(wake) => return self.wake_at(node, wake),
            }
        }
    }

    /// The core wants to be called then.
    pub(crate) fn wake_at(&mut self, node: u32, wake: Option<Instant>) {
        self.running(node).wake = wake;
        self.call_again(node);
    }

    /// A write of reserved ring ids begins.
    pub(crate) fn store(&mut self, node: u32, up_to: u64) {
        let who = self.running(node).app.who;
        let at = self.now + self.random.duration(&self.setup.disk.clone());
        self.plan(at, Happening::Stored { who, up_to });
    }

    /// A process asks whether that of another node is there.
    pub(crate) fn asked(&mut self, by: u32, other: u32) {
        let who = self.running(by).app.who;
        let ended = self.nodes.get(&other).is_some_and(|node| node.process.is_none());
        let refuses = match self.setup.hosts {
            Hosts::Silent => false,
            Hosts::Truthful => ended,
            Hosts::Refusing => true,
        };
        if refuses && self.fabric.is_none() {
            let probe = Bytes::from_static(b"a probe and its answer");
            for (there, _) in self.network.send(self.now, by, other, &probe, true) {
                for (at, _) in self.network.send(there, other, by, &probe, true) {
                    self.plan(at, Happening::Refused { who, other });
                }
            }
        }
    }

    pub(crate) fn sent(&mut self, from: u32, to: Destination, bytes: &Bytes) {
        if self.show {
            let frame = annulus::totem::wire::parse(bytes).map(|(frame, _)| frame);
            eprintln!(
                "{:>10.3} {from} -> {to:?}: {}",
                self.now.as_micros() as f64 / 1e3,
                brief(frame.as_ref().ok())
            );
        }
        let who = self.running(from).app.who;
        let syncing = self.running(from).was_syncing;
        // What whole nodes send is compressed into frames by their services: nobody here knows its messages.
        if self.besieged.is_none() && self.setup.services.is_none() {
            self.sniffer.look_at(who, syncing, bytes, &self.register, &mut self.trace);
        }
        if self.fabric.is_some() {
            self.network.hear(bytes);
            return self.send_on_links(from, to, bytes);
        }
        let targets: Vec<u32> = match to {
            Destination::All => self.nodes.keys().copied().filter(|node| *node != from).collect(),
            Destination::Node(node) => self.nodes.keys().copied().filter(|n| *n == node.get()).collect(),
        };
        for target in targets {
            let unicast = matches!(to, Destination::Node(_));
            for (at, bytes) in self.network.send(self.now, from, target, bytes, unicast) {
                self.plan(at, Happening::Arrive { to: target, bytes });
            }
        }
    }

    fn submit_now(&mut self, node: u32, size: usize, guarantee: Guarantee) -> Result<Msg, Refused> {
        let now = self.now;
        let process = self.nodes.get_mut(&node).and_then(|n| n.process.as_mut()).expect("a running node");
        let app = &mut process.app;
        let body = self.register.write(app.who, app.next_number, size);
        // Head and client's bytes are passed separately, as the services do.
        let (head, rest) = body.split_at(body.len().min(16));
        process.core.ring().submit(Group::App, guarantee, &[head, rest])?;
        let msg = self.trace.sent.len();
        let phase = if app.synced { Phase::Working } else { Phase::Syncing };
        self.trace.sent.push(Sent {
            by: app.who,
            number: app.next_number,
            guarantee,
            size: body.len(),
            phase,
            at: now,
            after: self.trace.seen(app.who),
            on: None,
            row_began_on: None,
        });
        app.next_number += 1;
        app.due.insert(msg);
        self.register.accept(app.who, &body, msg);
        if self.show {
            eprintln!("{:>10.3} {node} submits {}", now.as_micros() as f64 / 1e3, self.trace.name(msg));
        }
        Ok(msg)
    }

    /// Submits the messages that the application wishes to send, as far as the ring takes them and no synchronisation
    /// runs.
    fn grant(&mut self, node: u32) {
        loop {
            let process = self.running(node);
            let app = &process.app;
            let Some(wish) = app.wishes.front().copied().filter(|_| app.synced) else { return };
            if !process.totem().fits(wish.size) || self.submit_now(node, wish.size, wish.guarantee).is_err() {
                return;
            }
            self.running(node).app.wishes.pop_front();
        }
    }

    fn delivered(&mut self, node: u32, message: &Message) {
        match message.group {
            Group::Sync => self.synchronise(node, message),
            Group::App => {
                let from = message.from.get();
                let msg = match self.register.identify(from, &message.body) {
                    Ok(msg) => msg,
                    Err(_) if self.contents_may_change => return,
                    Err(what) => panic!("seed {}: node {node}: {what}\n{}", self.setup.seed, self.report()),
                };
                let process = self.running(node);
                process.app.due.remove(&msg);
                process.app.delivered += 1;
                let who = process.app.who;
                self.trace.add(self.now, who, Event::Deliver(msg));
                let answers = self.load.as_ref().map_or(0.0, |load| load.answers);
                if self.random.chance(answers) {
                    self.submit_drawn(node);
                }
            }
        }
        self.grant(node);
    }

    fn viewed(&mut self, node: u32, view: View) {
        if self.show {
            eprintln!("{:>10.3} {node} {view:?}", self.now.as_micros() as f64 / 1e3);
        }
        let now = self.now;
        let process = self.running(node);
        let who = process.app.who;
        let app = &mut process.app;
        app.synced = false;
        app.in_transit = view.kind == ViewKind::Transitional;
        let regular = (view.kind == ViewKind::Regular).then_some(view.ring);
        if regular.is_some() {
            app.round = Some(Round {
                ring: view.ring,
                members: view.members.iter().copied().collect(),
                here: BTreeSet::new(),
                done: BTreeSet::new(),
                said_done: false,
            });
            app.view = Some(view.clone());
        }
        if let Some(ring) = regular {
            let step = Step { done: false, ring }.encode();
            let result = process.core.ring().submit(Group::Sync, Guarantee::Agreed, &[&step]);
            assert!(result.is_ok(), "node {node}: no room for the synchronisation: {result:?}");
        }
        if let (Some(ring), Some(bound)) = (regular, self.besieged) {
            self.plan(now + bound, Happening::Overdue { who, ring });
        }
        self.trace.add(now, who, Event::View(view));
    }

    /// The time limit for the synchronisation of `ring` has passed: if it is not complete, the services ask for
    /// another ring.
    fn overdue(&mut self, who: Process, ring: RingId) {
        let Some(process) = self.nodes.get(&who.node).and_then(|node| node.process.as_ref()) else { return };
        let waits = process.app.who == who && process.app.round.as_ref().is_some_and(|r| r.ring == ring);
        if waits && process.paused.is_none() {
            self.note(who.node, "gives the synchronisation up");
            self.input(who.node, Input::Interface);
        }
    }

    fn synchronise(&mut self, node: u32, message: &Message) {
        let Some(step) = Step::decode(&message.body) else {
            assert!(self.contents_may_change, "a synchronisation message came changed");
            return;
        };
        let from: NodeId = message.from;
        let process = self.running(node);
        let Some(round) = process.app.round.as_mut().filter(|round| round.ring == step.ring) else { return };
        if step.done {
            round.done.insert(from);
        } else {
            round.here.insert(from);
        }
        if round.here == round.members && !round.said_done && !process.app.in_transit {
            // The part of this node begins once the token has gone on, as in the services.
            process.core.ring().want_token();
        }
        if process.app.round.as_ref().is_some_and(|round| round.done == round.members) {
            process.app.round = None;
            if process.app.in_transit {
                process.core.ring().synced_in_transit();
            } else {
                process.app.synced = true;
                process.core.ring().synced();
            }
        }
    }

    fn token_sent(&mut self, node: u32) {
        self.running(node).tokens_sent += 1;
        let told = self.setup.told_in_sync.clone();
        let ready = |process: &Running| {
            process
                .app
                .round
                .as_ref()
                .filter(|r| r.here == r.members && !r.said_done && !process.app.in_transit)
                .map(|r| r.ring)
        };
        let Some(ring) = ready(self.running(node)) else { return };
        if !told.is_empty() {
            let size = self.random.number(told) as usize;
            // A full queue is no failure: the services would try again, while the simulation simply omits the data.
            let _ = self.submit_now(node, size, Guarantee::Agreed);
        }
        let process = self.running(node);
        let step = Step { done: true, ring }.encode();
        let result = process.core.ring().submit(Group::Sync, Guarantee::Agreed, &[&step]);
        if result.is_ok() {
            process.app.round.as_mut().expect("still there").said_done = true;
        } else {
            process.core.ring().want_token();
        }
    }

    // ---- load --------------------------------------------------------------------------------------

    fn next_work(&mut self) -> Instant {
        let every = self.load.as_ref().map_or(Duration::ZERO..Duration::ZERO, |load| load.every.clone());
        self.now + self.random.duration(&every)
    }

    fn worked(&mut self, node: u32) {
        if self.load.is_none() {
            return;
        }
        if self.is_awake(node) {
            if self.running(node).core.whole().is_some() {
                self.clients_work(node);
            } else {
                self.submit_drawn(node);
                self.drain(node);
            }
        }
        let at = self.next_work();
        self.plan(at, Happening::Work { node });
    }

    fn submit_drawn(&mut self, node: u32) {
        let Some(load) = self.load.clone() else { return };
        let sizes = load.sizes[self.random.index(load.sizes.len())].clone();
        let size = self.random.number(sizes) as usize;
        let guarantee = if self.random.chance(load.safe) { Guarantee::Safe } else { Guarantee::Agreed };
        let in_between =
            |app: &Application| app.in_transit || app.round.as_ref().is_none_or(|r| !r.said_done);
        if self.random.chance(load.unruly) && in_between(&self.running(node).app) {
            // The message is refused when the queue is full, and then counts as never sent.
            let _ = self.submit_now(node, size, guarantee);
        } else {
            let wishes = &mut self.running(node).app.wishes;
            if wishes.len() < 64 {
                wishes.push_back(Wish { size, guarantee });
            }
            self.grant(node);
        }
    }

    pub(crate) fn note(&self, node: u32, what: &str) {
        if self.show {
            eprintln!("{:>10.3} {node} {what}", self.now.as_micros() as f64 / 1e3);
        }
    }
}

/// Formats a frame as one line.
fn brief(frame: Option<&annulus::totem::wire::Frame<'_>>) -> String {
    use annulus::totem::wire::Frame;
    match frame {
        None => "no frame".to_owned(),
        Some(Frame::Token(t)) => format!(
            "token {} seq {} ts {} aru {} by {:?} fcc {} backlog {} retrans {} missing {:?}",
            t.ring,
            t.seq,
            t.token_seq,
            t.aru,
            t.aru_by.map(NodeId::get),
            t.fcc,
            t.backlog,
            t.retransmitting,
            t.missing.iter().map(|m| m.seq.0).collect::<Vec<_>>()
        ),
        Some(Frame::Mcast(m)) => {
            format!(
                "data {} seq {} from {} {:?} {} B",
                m.ring,
                m.seq,
                m.from,
                m.encapsulated,
                m.payload.len()
            )
        }
        Some(other) => format!("{other:?}"),
    }
}
