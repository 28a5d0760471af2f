//! Tests of engines that are connected by a simulated network with its own clock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::super::settings::{Host, LinkMode, LinkSettings};
use super::*;

mod faults;
mod hostile;
mod life;
mod settings;

const MS: Duration = Duration::from_millis(1);
const AES: Sizes = Sizes { salt: 16, mac: 32, block: 16 };
const TIMEOUT: Duration = Duration::from_millis(1500);

fn id(number: u32) -> NodeId {
    NodeId::new(number).unwrap()
}

fn address(host: u32, link: u8) -> IpAddr {
    Ipv4Addr::new(10, link, 0, host as u8).into()
}

fn path(host: u32, link: u8) -> Path {
    Path { host: id(host), link }
}

fn watch(link: u8) -> LinkSettings {
    LinkSettings {
        port: 5405 + u16::from(link),
        priority: 1,
        ping_interval: MS * 750,
        ping_timeout: TIMEOUT,
        ping_precision: 2048,
        pong_count: 2,
    }
}

fn settings(me: u32, hosts: u32, links: u8, mode: LinkMode) -> Settings {
    let host = |number| Host {
        id: id(number),
        addresses: std::array::from_fn(|link| {
            (link < usize::from(links)).then(|| address(number, link as u8))
        }),
    };
    Settings {
        hosts: (1..=hosts).map(host).collect(),
        links: std::array::from_fn(|link| (link < usize::from(links)).then(|| watch(link as u8))),
        mode,
        compression_threshold: 100,
        ..Settings::bare(id(me))
    }
}

/// A message of the ring to all nodes or to one, which contains `number`; at least 17 bytes long.
fn message(to: Destination, number: u32, len: usize) -> Bytes {
    let target = match to {
        Destination::All => 0,
        Destination::Node(node) => node.get(),
    };
    let mut message = vec![0x70, 0xc0, 3, 1, 0, 1, 0, 0, 0];
    message.extend(target.to_le_bytes());
    message.extend(number.to_le_bytes());
    message.resize(len.max(17), 0xa5);
    message.into()
}

/// A packet in transit.
#[derive(Debug)]
struct Flying {
    to: usize,
    from: IpAddr,
    link: u8,
    packet: Vec<u8>,
}

/// A message that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Got {
    at: Instant,
    number: u32,
    len: usize,
}

struct Net {
    engines: Vec<Engine>,
    now: Instant,
    flying: BTreeMap<(Instant, u64), Flying>,
    count: u64,
    /// Interrupted directions: from host, to host, link.
    cuts: BTreeSet<(u32, u32, u8)>,
    /// Largest IP packet for each link: of the interfaces, and of the path behind them.
    mtu: [(usize, usize); LINKS],
    delay: Duration,
    /// Packets lost per thousand.
    loss: u64,
    seed: u64,
    sizes: Sizes,
    got: Vec<Vec<Got>>,
    events: Vec<(Instant, u32, Event)>,
    /// Packets sent: from, path, kind, plain length.
    sent: Vec<(u32, Path, PacketKind, usize)>,
    wakes: u64,
}

impl Net {
    fn new(hosts: u32, links: u8, mode: LinkMode) -> Self {
        Self::with(hosts, |me| settings(me, hosts, links, mode))
    }

    fn with(hosts: u32, settings: impl Fn(u32) -> Settings) -> Self {
        let engine = |me| Engine::new(settings(me), AES, 77 + u64::from(me), Instant::ZERO).unwrap();
        Self {
            engines: (1..=hosts).map(engine).collect(),
            now: Instant::ZERO,
            flying: BTreeMap::new(),
            count: 0,
            cuts: BTreeSet::new(),
            mtu: [(1500, 1500); LINKS],
            delay: Duration::from_micros(100),
            loss: 0,
            seed: 1,
            sizes: AES,
            got: vec![Vec::new(); hosts as usize],
            events: Vec::new(),
            sent: Vec::new(),
            wakes: 0,
        }
    }

    /// A network in which all links are up, and the events about that are discarded.
    fn up(hosts: u32, links: u8, mode: LinkMode) -> Self {
        let mut net = Self::new(hosts, links, mode);
        net.settle();
        net
    }

    fn settle(&mut self) {
        self.run(MS * 2000);
        assert!(self.engines.iter().all(|engine| engine.links().iter().all(|link| link.connected)));
        self.events.clear();
        self.sent.clear();
    }

    fn engine(&mut self, host: u32) -> &mut Engine {
        &mut self.engines[host as usize - 1]
    }

    fn cut(&mut self, one: u32, other: u32, link: u8) {
        self.cuts.extend([(one, other, link), (other, one, link)]);
    }

    fn heal(&mut self) {
        self.cuts.clear();
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    fn send(&mut self, from: u32, to: Destination, number: u32, len: usize) {
        let now = self.now;
        self.engine(from).send(now, to, &message(to, number, len));
        self.pump(from);
    }

    /// Carries out the actions of an engine.
    fn pump(&mut self, host: u32) {
        let now = self.now;
        while let Some(output) = self.engine(host).poll_output() {
            match output {
                Output::Event(event) => self.events.push((now, host, event)),
                Output::Send(burst) => {
                    for packet in &burst.packets {
                        for &to in &burst.to {
                            self.fly(host, to, burst.kind, &packet[Burst::ROOM..]);
                        }
                    }
                    self.engine(host).recycle(burst);
                }
            }
        }
    }

    fn fly(&mut self, host: u32, to: Path, kind: PacketKind, packet: &[u8]) {
        self.sent.push((host, to, kind, packet.len()));
        let size = self.sizes.datagram(packet.len()) + 28;
        let (interface, beyond) = self.mtu[usize::from(to.link)];
        if size > interface {
            let now = self.now;
            let fault = Fault::TooLong(u16::try_from(interface).ok());
            self.engine(host).not_sent(now, to, kind, fault);
            return;
        }
        let lost = self.loss > 0 && self.random(1000) < self.loss;
        if size > beyond || lost || self.cuts.contains(&(host, to.host.get(), to.link)) {
            return;
        }
        self.count += 1;
        let flying = Flying {
            to: to.host.get() as usize - 1,
            from: address(host, to.link),
            link: to.link,
            packet: packet.to_vec(),
        };
        self.flying.insert((self.now + self.delay, self.count), flying);
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for host in 1..=self.engines.len() as u32 {
            self.pump(host);
        }
        loop {
            let arrival = self.flying.first_key_value().map(|(&(at, _), _)| at);
            let due = self.engines.iter().map(Engine::deadline).min();
            let Some(next) = arrival.into_iter().chain(due).min().filter(|&next| next <= end) else { break };
            self.now = self.now.max(next);
            let now = self.now;
            while let Some(first) = self.flying.first_entry().filter(|first| first.key().0 <= now) {
                let flying = first.remove();
                self.arrive(flying);
            }
            for host in 1..=self.engines.len() as u32 {
                if self.engine(host).deadline() <= now {
                    self.wakes += 1;
                    self.engine(host).handle_timeout(now);
                    assert!(self.engine(host).deadline() > now, "a busy loop at {now:?}");
                    self.pump(host);
                }
            }
        }
        self.now = end;
    }

    fn arrive(&mut self, flying: Flying) {
        let now = self.now;
        let Flying { to, from, link, packet } = flying;
        let message = match self.engines[to].receive(now, link, from, &packet) {
            Ok(Some(Arrival::Whole(message))) => Some(message.to_vec()),
            Ok(Some(Arrival::Assembled(message))) => Some(message.to_vec()),
            Ok(None) | Err(_) => None,
        };
        if let Some(message) = message {
            let number = u32::from_le_bytes(message[13..17].try_into().unwrap());
            self.got[to].push(Got { at: now, number, len: message.len() });
        }
        self.pump(to as u32 + 1);
    }

    /// Host 1 sends a message to all hosts every `every`, for `time`. Returns the longest time in which host
    /// 2 received none.
    fn stream(&mut self, time: Duration, every: Duration, len: usize) -> Duration {
        let end = self.now + time;
        let mut number = self.got[1].last().map_or(0, |got| got.number);
        let before = self.got[1].len();
        let begin = self.now;
        while self.now < end {
            number += 1;
            self.send(1, Destination::All, number, len);
            self.run(every);
        }
        let times: Vec<_> =
            [begin].into_iter().chain(self.got[1][before..].iter().map(|got| got.at)).chain([end]).collect();
        times.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap()
    }

    fn told(&self, event: &Event) -> Vec<(u32, Instant)> {
        self.events.iter().filter(|(.., told)| told == event).map(|&(at, host, _)| (host, at)).collect()
    }
}
