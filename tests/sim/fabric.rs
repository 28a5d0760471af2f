//! Several links between nodes, each a network of its own, and the knet engine between each node's ring and these
//! links.
//!
//! Packets are not encrypted here, but have the length that encryption would give them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use annulus::ids::Destination;
use annulus::time::Instant;
use annulus::totem::Input;
use annulus::transport::knet::{
    Arrival, Burst, Compression, Engine, Fault, Host, LINKS, LinkMode, LinkSettings, Output, PacketKind,
    Path, Settings, Sizes,
};
use bytes::Bytes;

use crate::cluster::{Cluster, Happening};
use crate::network::{Network, Quality, id};
use crate::random::Random;
use crate::trace::Process;

/// Bytes of the IPv4 and UDP headers together.
pub(crate) const HEADERS: usize = 28;

/// The knet settings that all nodes of a cluster share.
#[derive(Clone, Debug)]
pub(crate) struct Knet {
    pub(crate) links: usize,
    pub(crate) mode: LinkMode,
    pub(crate) sizes: Sizes,
    pub(crate) compression: Compression,
    /// MTU of every interface, in bytes.
    pub(crate) mtu: u16,
    pub(crate) pmtud_interval: Duration,
    /// Share of undeliverable packets about which the network notifies the sender.
    pub(crate) icmp: f64,
}

impl Knet {
    /// Sizes as with aes256 and sha256, on an Ethernet with an MTU of 1500 bytes.
    pub(crate) fn new(links: usize) -> Self {
        Self {
            links,
            mode: LinkMode::Passive,
            sizes: Sizes { salt: 16, mac: 32, block: 16 },
            compression: Compression::None,
            mtu: 1500,
            pmtud_interval: Duration::from_secs(5),
            icmp: 1.0,
        }
    }
}

/// All links of a cluster.
pub(crate) struct Fabric {
    pub(crate) knet: Knet,
    pub(crate) links: Vec<Network>,
    /// MTU of the interfaces of each link; a longer packet is refused when it is sent.
    pub(crate) interface: Vec<u16>,
    /// MTU on the way, by sender, receiver and link, where it is less than that of the interface; a longer packet is
    /// lost without notice.
    pub(crate) narrow: BTreeMap<(u32, u32, usize), u16>,
    random: Random,
}

/// What happened to a packet.
enum Carried {
    /// It arrives at each of these instants: more than one means duplicates, none that it is lost.
    At(Vec<Instant>),
    Refused(Fault),
    /// It does not arrive, and the sender is notified.
    Told(Fault),
}

/// The address of a node on a link.
pub(crate) fn address(node: u32, link: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, link as u8, 0, node as u8))
}

/// The node that has an address.
fn node_at(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => u32::from(address.octets()[3]),
        IpAddr::V6(_) => unreachable!("all addresses here are of IPv4"),
    }
}

impl Fabric {
    pub(crate) fn new(knet: Knet, quality: &Quality, mut random: Random) -> Self {
        let links = (0..knet.links).map(|_| Network::new(random.fork(), quality.clone())).collect();
        Self { links, interface: vec![knet.mtu; knet.links], narrow: BTreeMap::new(), knet, random }
    }

    /// Makes the engine of a node whose process starts now.
    pub(crate) fn engine(&mut self, me: u32, nodes: &[u32], token: Duration, now: Instant) -> Engine {
        let link = |number| LinkSettings {
            port: 5405 + number as u16,
            priority: 1,
            ping_interval: token / 4,
            ping_timeout: token / 2,
            ping_precision: 2048,
            pong_count: 2,
        };
        let on = |number: usize| number < self.knet.links;
        let settings = Settings {
            me: id(me),
            hosts: nodes
                .iter()
                .map(|node| Host {
                    id: id(*node),
                    addresses: std::array::from_fn(|number| on(number).then(|| address(*node, number))),
                })
                .collect(),
            links: std::array::from_fn::<_, LINKS, _>(|number| on(number).then(|| link(number))),
            mode: self.knet.mode,
            pmtud_interval: self.knet.pmtud_interval,
            mtu: None,
            compression: self.knet.compression,
            compression_threshold: 0,
            compression_level: 0,
            block_unlisted: true,
        };
        Engine::new(settings, self.knet.sizes, self.random.number(1..u64::MAX), now).expect("good settings")
    }

    /// MTU from one node to another on a link, in bytes.
    pub(crate) fn mtu(&self, from: u32, to: u32, link: usize) -> u16 {
        let interface = self.interface[link];
        self.narrow.get(&(from, to, link)).map_or(interface, |narrow| interface.min(*narrow))
    }

    fn carry(&mut self, now: Instant, from: u32, path: Path, packet: &Bytes) -> Carried {
        let (to, link) = (path.host.get(), usize::from(path.link));
        let size = self.knet.sizes.datagram(packet.len()) + HEADERS;
        if size > usize::from(self.interface[link]) {
            return Carried::Refused(Fault::TooLong(Some(self.interface[link])));
        }
        let mtu = self.mtu(from, to, link);
        if size > usize::from(mtu) {
            if self.random.chance(self.knet.icmp) {
                return Carried::Told(Fault::TooLong(Some(mtu)));
            }
            return Carried::At(Vec::new());
        }
        let arrivals = self.links[link].send(now, from, to, packet, true);
        Carried::At(arrivals.into_iter().map(|(at, _)| at).collect())
    }

    /// Every link again passes all packets up to the MTU of its interfaces.
    pub(crate) fn heal(&mut self) {
        self.narrow.clear();
        for link in &mut self.links {
            link.heal();
        }
    }

    pub(crate) fn cut(&mut self, link: usize, one: &[u32], other: &[u32]) {
        self.links[link].cut(one, other);
    }

    pub(crate) fn cut_one_way(&mut self, link: usize, from: &[u32], to: &[u32]) {
        self.links[link].cut_one_way(from, to);
    }
}

impl Cluster {
    pub(crate) fn fabric(&mut self) -> &mut Fabric {
        self.fabric.as_mut().expect("a cluster on knet")
    }

    /// The engine of a running node.
    pub(crate) fn engine(&mut self, node: u32) -> &mut Engine {
        self.running(node).engine.as_mut().expect("a cluster on knet")
    }

    /// Sends a frame of the ring over the links.
    pub(crate) fn send_on_links(&mut self, from: u32, to: Destination, bytes: &Bytes) {
        let now = self.now;
        if to == Destination::Node(id(from)) {
            let (to, bytes) = (from, bytes.clone());
            return self.plan(now + Duration::from_micros(20), Happening::Arrive { to, bytes });
        }
        self.engine(from).send(now, to, bytes);
        self.drain_engine(from);
    }

    /// Passes a packet that arrived at a node from this address on this link to the engine.
    pub(crate) fn packet(&mut self, to: u32, link: u8, from: IpAddr, packet: &Bytes) {
        let now = self.now;
        let engine = self.engine(to);
        let message = match engine.receive(now, link, from, packet) {
            Ok(Some(Arrival::Whole(message))) => Some(Bytes::copy_from_slice(message)),
            Ok(Some(Arrival::Assembled(message))) => Some(message),
            Ok(None) | Err(_) => None,
        };
        self.drain_engine(to);
        if let Some(message) = message {
            self.input(to, Input::Datagram(&message));
        }
    }

    /// A packet came to an address where nobody listens.
    pub(crate) fn nobody(&mut self, to: u32, link: u8, from: IpAddr) {
        let fabric = self.fabric();
        if fabric.random.chance(fabric.knet.icmp) {
            let path = Path { host: id(to), link };
            self.tell(node_at(from), path, Fault::Unreachable);
        }
    }

    /// Schedules the network's notice to a node about a packet that it sent.
    fn tell(&mut self, node: u32, path: Path, fault: Fault) {
        let (link, back) = (usize::from(path.link), path.host.get());
        let now = self.now;
        let word = Bytes::from_static(b"icmp");
        for (at, _) in self.fabric().links[link].send(now, back, node, &word, true) {
            self.plan(at, Happening::Told { node, path, fault });
        }
    }

    /// Passes the network's notice to the node's engine.
    pub(crate) fn told(&mut self, node: u32, path: Path, fault: Fault) {
        let now = self.now;
        self.engine(node).reported(now, path, fault);
        self.drain_engine(node);
    }

    /// A node's own address on a link disappears (`up` is false) or comes back.
    pub(crate) fn set_interface(&mut self, node: u32, link: usize, up: bool) {
        let now = self.now;
        self.engine(node).set_interface(now, link as u8, up);
        self.drain_engine(node);
    }

    /// Runs the timers of a node's engine that are due.
    pub(crate) fn engine_due(&mut self, who: Process) {
        let now = self.now;
        let process = self.running(who.node);
        if process.engine_called_at.is_some_and(|at| at > now) {
            return;
        }
        process.engine_called_at = None;
        self.engine(who.node).handle_timeout(now);
        self.drain_engine(who.node);
    }

    /// Carries out what a node's engine asks for.
    pub(crate) fn drain_engine(&mut self, node: u32) {
        while let Some(output) = self.engine(node).poll_output() {
            match output {
                Output::Send(burst) => self.transmit(node, burst),
                Output::Event(event) => self.note(node, &format!("{event:?}")),
            }
        }
        let now = self.now;
        let process = self.running(node);
        let who = process.app.who;
        let due = process.engine.as_ref().expect("a cluster on knet").deadline().max(now);
        if due < Instant::from_micros(u64::MAX) && process.engine_called_at.is_none_or(|at| due < at) {
            process.engine_called_at = Some(due);
            self.plan(due, Happening::Engine { who });
        }
    }

    fn transmit(&mut self, node: u32, burst: Burst) {
        let now = self.now;
        for &path in &burst.to {
            for packet in &burst.packets {
                let packet = Bytes::copy_from_slice(&packet[Burst::ROOM..]);
                let from = address(node, usize::from(path.link));
                match self.fabric().carry(now, node, path, &packet) {
                    Carried::At(instants) => {
                        for at in instants {
                            let bytes = packet.clone();
                            let to = path.host.get();
                            self.plan(at, Happening::Packet { to, link: path.link, from, bytes });
                        }
                    }
                    Carried::Refused(fault) => {
                        assert!(
                            matches!(burst.kind, PacketKind::Data | PacketKind::Probe),
                            "seed {}: a {:?} of {} bytes is too long",
                            self.setup.seed,
                            burst.kind,
                            packet.len()
                        );
                        self.engine(node).not_sent(now, path, burst.kind, fault);
                    }
                    Carried::Told(fault) => self.tell(node, path, fault),
                }
            }
        }
        self.engine(node).recycle(burst);
    }

    /// Whether every link between running nodes is up at both ends, with fragments of the size that fits.
    pub(crate) fn links_are_whole(&self) -> bool {
        self.alive().all(|(node, process)| {
            let engine = process.engine.as_ref().expect("a cluster on knet");
            let fabric = self.fabric.as_ref().expect("a cluster on knet");
            engine.links().iter().all(|link| {
                let (peer, number) = (link.path.host.get(), usize::from(link.path.link));
                let running = self.nodes[&peer].process.is_some();
                let mtu = usize::from(fabric.mtu(node, peer, number));
                let fits = fabric.knet.sizes.fragment(mtu - HEADERS);
                link.connected == running && (!running || link.mtu as usize == fits)
            })
        })
    }

    /// The state of the links of all running nodes, for failure reports.
    pub(crate) fn report_links(&self) -> String {
        let mut out = String::new();
        for (node, process) in self.alive() {
            let Some(engine) = &process.engine else { continue };
            out +=
                &format!("  {node}: fragments of {}, dropped {:?}\n", engine.fragment_size(), engine.drops());
            for link in engine.links() {
                out += &format!(
                    "    to {} on {}: {} mtu {} since {:.3} {:?} changes {:?}\n",
                    link.path.host,
                    link.path.link,
                    if link.connected { "up" } else { "down" },
                    link.mtu,
                    link.since.as_micros() as f64 / 1e3,
                    link.cause,
                    link.changes
                );
            }
        }
        out
    }
}
