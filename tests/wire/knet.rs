//! Packets that nobody should send to a knet transport: altered, truncated, spliced, replayed, encrypted with another
//! key.
//!
//! `ANNULUS_MUTATED` is the number of datagrams of each kind (default 20,000). The tests print the processor time of
//! one refused datagram.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use annulus::config::key::Key;
use annulus::ids::{Destination, NodeId};
use annulus::time::Instant;
use annulus::transport::knet::envelope::{Cipher, Envelope, Hash, Suite};
use annulus::transport::knet::{
    Arrival, Burst, Compression, Engine, Host, LINKS, LinkMode, LinkSettings, Output, Settings, Sizes,
};
use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Number of datagrams of each kind without `ANNULUS_MUTATED`.
const COUNT: usize = 20_000;

/// Number of datagrams that are made before their cost is measured together.
const BATCH: usize = 500;

/// Limit of a run's growth of memory, whatever it receives, in MiB.
const MEMORY: u64 = 64;

const SUITE: Suite = Suite { cipher: Cipher::Aes256, hash: Hash::Sha256 };

fn node(id: u32) -> NodeId {
    NodeId::new(id).unwrap()
}

fn address(node: u32, link: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, link as u8, 0, node as u8))
}

fn settings(me: u32, compression: Compression) -> Settings {
    let link = |number| LinkSettings {
        port: 5405 + number as u16,
        priority: 1,
        ping_interval: Duration::from_millis(750),
        ping_timeout: Duration::from_millis(1500),
        ping_precision: 2048,
        pong_count: 2,
    };
    Settings {
        me: node(me),
        hosts: [1, 2, 3]
            .map(|id| Host {
                id: node(id),
                addresses: std::array::from_fn(|number| (number < 2).then(|| address(id, number))),
            })
            .into(),
        links: std::array::from_fn::<_, LINKS, _>(|number| (number < 2).then(|| link(number))),
        mode: LinkMode::Active,
        pmtud_interval: Duration::from_secs(30),
        mtu: None,
        compression,
        compression_threshold: 0,
        compression_level: 0,
        block_unlisted: true,
    }
}

/// Two nodes that hear each other; the third one is silent.
struct Pair {
    now: Instant,
    /// Node 1, which is attacked, and node 2.
    engines: [Engine; 2],
    /// The packets that node 2 sent to node 1, each with its link.
    sent: Vec<(u8, Vec<u8>)>,
    /// The messages that node 1 received.
    got: Vec<Bytes>,
}

impl Pair {
    fn new(sizes: Sizes) -> Self {
        let now = Instant::from_micros(5_000_000);
        let engine =
            |me| Engine::new(settings(me, Compression::None), sizes, 77 * u64::from(me), now).unwrap();
        let mut pair = Self { now, engines: [engine(1), engine(2)], sent: Vec::new(), got: Vec::new() };
        pair.run(Duration::from_secs(10));
        assert!(
            pair.engines
                .iter()
                .all(|engine| engine.links().iter().filter(|link| link.connected).count() == 2)
        );
        pair
    }

    /// Lets both engines work for a time, each at its due instants.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.exchange();
            let due = self.engines.iter().map(Engine::deadline).min().unwrap();
            if due > end {
                self.now = self.now.max(end);
                return;
            }
            self.now = self.now.max(due) + Duration::from_micros(1);
            for engine in &mut self.engines {
                engine.handle_timeout(self.now);
            }
        }
    }

    /// Delivers what each sends to the other, until neither sends anything.
    fn exchange(&mut self) {
        loop {
            let mut quiet = true;
            for from in [0, 1] {
                while let Some(output) = self.engines[from].poll_output() {
                    let Output::Send(burst) = output else { continue };
                    quiet = false;
                    self.bring(from, burst);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn bring(&mut self, from: usize, burst: Burst) {
        let to = 1 - from;
        for path in &burst.to {
            for packet in &burst.packets {
                let packet = &packet[Burst::ROOM..];
                // The network is an Ethernet.
                if path.host != node(to as u32 + 1) || packet.len() > 1400 {
                    continue;
                }
                if from == 1 && self.sent.len() < 4000 {
                    self.sent.push((path.link, packet.to_vec()));
                }
                let source = address(from as u32 + 1, usize::from(path.link));
                let arrival = self.engines[to].receive(self.now, path.link, source, packet);
                if let (0, Ok(Some(arrival))) = (to, arrival) {
                    self.got.push(match arrival {
                        Arrival::Whole(message) => Bytes::copy_from_slice(message),
                        Arrival::Assembled(message) => message,
                    });
                }
            }
        }
    }

    /// Node 2 sends messages of all kinds to node 1.
    fn talk(&mut self) {
        let all =
            [Compression::None, Compression::Zlib, Compression::Lz4, Compression::Lz4Hc, Compression::Zstd];
        for compression in all {
            self.engines[1].reconfigure(self.now, settings(2, compression)).unwrap();
            for (len, to) in
                [(20, Destination::All), (900, Destination::Node(node(1))), (20_000, Destination::All)]
            {
                self.engines[1].send(self.now, to, &message(len));
                self.exchange();
            }
        }
    }
}

fn message(len: usize) -> Bytes {
    let mut message: Vec<u8> = (0..len).map(|i| (i / 3 * 7 + i / 256) as u8).collect();
    message[..2].copy_from_slice(&[0x70, 0xc0]);
    message[9..13].fill(0);
    message.into()
}

/// A packet with one to three faults (flipped bits, extreme values in the header, truncated, lengthened, spliced), or
/// noise.
fn mutated(random: &mut Pcg64Mcg, good: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = good.to_vec();
    for _ in 0..random.random_range(1..4) {
        let len = out.len();
        match random.random_range(0..8) {
            0 if len > 0 => out[random.random_range(0..len)] ^= 1 << random.random_range(0..8),
            1 | 2 if len > 0 => {
                let at = random.random_range(0..len.min(27));
                out[at] = [0, 1, 2, 8, 31, 32, 127, 128, 254, 255][random.random_range(0..10)];
            }
            3 => out.truncate(random.random_range(0..=len)),
            4 => out.resize(len + random.random_range(1..200), random.random()),
            5 => {
                let at = random.random_range(0..=len.min(other.len()));
                out.truncate(at);
                out.extend_from_slice(&other[at..]);
            }
            6 if len > 8 => {
                // The sequence number of another message.
                let number: u16 = random.random();
                out[6..8].copy_from_slice(&number.to_be_bytes());
            }
            _ if random.random_range(0..10) == 0 => out.iter_mut().for_each(|byte| *byte = random.random()),
            _ => out.truncate(random.random_range(0..=len.min(40))),
        }
    }
    out
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Resident memory of this process, in MiB.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096 / (1 << 20)
}

/// The encryption between the attacker and the engine.
trait Door {
    /// Makes a datagram of the attacker's packet.
    fn close(&mut self, random: &mut Pcg64Mcg, packet: &[u8]) -> Vec<u8>;
    /// The packet that the receiver finds in a datagram, or `None` if it refuses the datagram.
    fn open<'d>(&mut self, datagram: &'d mut [u8]) -> Option<&'d [u8]>;
    /// Whether any datagram of the attacker may reach the engine.
    fn lets_in(&self) -> bool;
}

/// The door of a cluster without encryption.
struct Clear;

impl Door for Clear {
    fn close(&mut self, _: &mut Pcg64Mcg, packet: &[u8]) -> Vec<u8> {
        packet.to_vec()
    }

    fn open<'d>(&mut self, datagram: &'d mut [u8]) -> Option<&'d [u8]> {
        Some(datagram)
    }

    fn lets_in(&self) -> bool {
        true
    }
}

/// The keys of the sender and of the receiver.
struct Sealed {
    theirs: Option<Envelope>,
    /// Whether the datagram is altered once more after it was encrypted.
    broken: bool,
    ours: Envelope,
    right: bool,
}

fn envelope(first: u8) -> Envelope {
    let key: Vec<u8> = (0..=255_u8).map(|byte| byte.wrapping_add(first)).collect();
    Envelope::new(SUITE, &Key::new(&key).unwrap()).unwrap()
}

impl Door for Sealed {
    fn close(&mut self, random: &mut Pcg64Mcg, packet: &[u8]) -> Vec<u8> {
        let Some(theirs) = &mut self.theirs else { return packet.to_vec() };
        let mut buffer = vec![0; Burst::ROOM];
        buffer.extend_from_slice(packet);
        let range = theirs.seal(&mut [&mut buffer]).remove(0);
        let mut datagram = buffer[range].to_vec();
        if self.broken {
            match random.random_range(0..3) {
                0 => datagram.truncate(datagram.len() - 1 - random.random_range(0..datagram.len())),
                1 => datagram.push(random.random()),
                _ => {
                    let at = random.random_range(0..datagram.len());
                    datagram[at] ^= 1 << random.random_range(0..8);
                }
            }
        }
        datagram
    }

    fn open<'d>(&mut self, datagram: &'d mut [u8]) -> Option<&'d [u8]> {
        let range = self.ours.open(&mut [datagram]).remove(0).ok()?;
        Some(&datagram[range])
    }

    fn lets_in(&self) -> bool {
        self.right
    }
}

/// Attacks node 1 with many datagrams while both nodes work normally; afterwards everything must be as before.
fn attack(name: &str, sizes: Sizes, door: &mut impl Door) {
    let count = std::env::var("ANNULUS_MUTATED").map_or(COUNT, |text| text.parse().expect("a whole number"));
    let mut random = Pcg64Mcg::seed_from_u64(count as u64);
    let mut pair = Pair::new(sizes);
    pair.talk();
    let good = std::mem::take(&mut pair.sent);
    let links: Vec<_> =
        pair.engines[0].links().iter().map(|link| (link.path, link.connected, link.changes)).collect();
    let memory = resident();
    let (mut refused, mut taken) = (0_u64, 0_u64);
    let (mut for_refused, mut for_all) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..count.div_ceil(BATCH) {
        let batch: Vec<(u8, Vec<u8>)> = (0..BATCH)
            .map(|_| {
                let (link, packet) = &good[random.random_range(0..good.len())];
                let other = &good[random.random_range(0..good.len())].1;
                let packet = mutated(&mut random, packet, other);
                (*link, door.close(&mut random, &packet))
            })
            .collect();
        let mut batch_refused = 0;
        let before = processor_time();
        for (link, mut datagram) in batch {
            let from = address(2, usize::from(link));
            let Some(packet) = door.open(&mut datagram) else {
                batch_refused += 1;
                continue;
            };
            match pair.engines[0].receive(pair.now, link, from, packet) {
                Ok(_) => taken += 1,
                Err(_) => batch_refused += 1,
            }
        }
        let cost = processor_time() - before;
        for_all += cost;
        refused += batch_refused;
        if batch_refused == BATCH as u64 {
            for_refused += cost;
        }
        // Answers go to node 2, which did not ask for them, and to no other node.
        pair.run(Duration::from_millis(random.random_range(0..20)));
        pair.got.clear();
    }
    let grown = resident().saturating_sub(memory);
    let each = |time: Duration, count: u64| time.as_nanos() / u128::from(count.max(1));
    println!(
        "{name}: {refused} refused, {taken} taken; {} ns a datagram{}; memory grew by {grown} MiB",
        each(for_all, refused + taken),
        if taken == 0 { format!(" ({} ns refused)", each(for_refused, refused)) } else { String::new() }
    );
    assert!(grown <= MEMORY, "memory grew by {grown} MiB");
    assert!(refused > 0);
    assert_eq!(taken > 0, door.lets_in());
    let after: Vec<_> =
        pair.engines[0].links().iter().map(|link| (link.path, link.connected, link.changes)).collect();
    assert_eq!(after, links, "a link changed");
    // A forger can advance the window arbitrarily; a host that goes on sending is heard again after two of its pings.
    for _ in 0..4 {
        pair.engines[1].send(pair.now, Destination::All, &message(500));
        pair.run(Duration::from_secs(1));
    }
    pair.got.clear();
    for len in [100, 5000, 60_000] {
        pair.engines[1].send(pair.now, Destination::All, &message(len));
        pair.run(Duration::from_millis(1));
    }
    let lens: Vec<usize> = pair.got.iter().map(Bytes::len).collect();
    assert_eq!(lens, [100, 5000, 60_000], "{name}");
}

/// Without encryption, anybody who can use a node's address can send in its name.
#[test]
fn mutated_packets_in_a_cluster_without_encryption_do_no_lasting_harm() {
    attack("clear", Sizes::CLEAR, &mut Clear);
}

#[test]
fn packets_mutated_before_encryption_do_no_lasting_harm() {
    let (theirs, ours) = (Some(envelope(0)), envelope(0));
    let sizes = ours.sizes();
    attack("right key", sizes, &mut Sealed { theirs, broken: false, ours, right: true });
}

#[test]
fn datagrams_encrypted_with_another_key_are_all_refused() {
    let (theirs, ours) = (Some(envelope(1)), envelope(0));
    let sizes = ours.sizes();
    attack("wrong key", sizes, &mut Sealed { theirs, broken: false, ours, right: false });
}

#[test]
fn datagrams_without_any_key_are_all_refused() {
    let ours = envelope(0);
    let sizes = ours.sizes();
    attack("no key", sizes, &mut Sealed { theirs: None, broken: false, ours, right: false });
}

#[test]
fn datagrams_mutated_after_encryption_are_all_refused() {
    let (theirs, ours) = (Some(envelope(0)), envelope(0));
    let sizes = ours.sizes();
    attack("changed on the way", sizes, &mut Sealed { theirs, broken: true, ours, right: false });
}
