//! The configuration database of a whole node with many keys and trackers: changes with and without a matching tracker,
//! and an iteration over all keys, as requests of a client.

mod alone;

use std::hint::black_box;

use alone::Alone;
use annulus::error::Status;
use annulus::ids::{ConnId, ServiceId};
use annulus::service::Output;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const KEYS: usize = 100_000;
const TRACKERS: usize = 1000;
/// Number of keys with the same prefix.
const GROUP: usize = 100;
const CONN: ConnId = ConnId(1);

/// A node with one client of its database.
struct Bench {
    node: Alone,
    client: Client,
}

/// What the client was told.
#[derive(Default)]
struct Client {
    /// The handle in the last reply that has one.
    handle: u64,
    /// The status in the last reply.
    status: i32,
    /// Number of events.
    events: u64,
}

impl Client {
    fn told(&mut self, output: Output<'_>) {
        match output {
            Output::Reply { bytes, .. } => {
                self.status = bytes[16..20].try_into().map(i32::from_ne_bytes).expect("four bytes");
                if bytes.len() == 32 {
                    self.handle = bytes[24..].try_into().map(u64::from_ne_bytes).expect("eight bytes");
                }
            }
            Output::Event { to, head, payload } => {
                black_box((head, payload));
                self.events += to.len() as u64;
            }
            _ => {}
        }
    }
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self { node: Alone::new(), client: Client::default() };
        bench.node.connect(ServiceId::CMAP, CONN);
        for n in 0..KEYS {
            bench.set(n, 0);
        }
        for n in 0..TRACKERS / 2 {
            bench.ask(7, &[&name(&key(n)), &7_u64.to_ne_bytes(), &1_u64.to_ne_bytes()]);
            bench.ask(7, &[&name(&prefix(n * GROUP)), &15_u64.to_ne_bytes(), &1_u64.to_ne_bytes()]);
        }
        bench
    }

    fn ask(&mut self, function: u32, pieces: &[&[u8]]) {
        let size: usize = 16 + pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(&u64::from(function).to_ne_bytes());
        bytes.extend_from_slice(&(size as u64).to_ne_bytes());
        pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
        let Self { node, client } = self;
        node.request(CONN, &bytes, &mut |output| client.told(output));
    }

    fn set(&mut self, n: usize, value: u64) {
        self.ask(0, &[&name(&key(n)), &8_u64.to_ne_bytes(), &8_u64.to_ne_bytes(), &value.to_ne_bytes()]);
        assert_eq!(self.client.status, Status::Ok.code());
    }
}

fn prefix(n: usize) -> String {
    format!("load.{:05}.", n / GROUP)
}

fn key(n: usize) -> String {
    format!("{}{:02}.value", prefix(n), n % GROUP)
}

fn name(text: &str) -> [u8; 264] {
    let mut bytes = [0; 264];
    bytes[..2].copy_from_slice(&(text.len() as u16).to_ne_bytes());
    bytes[8..8 + text.len()].copy_from_slice(text.as_bytes());
    bytes
}

fn database(c: &mut Criterion) {
    let mut bench = Bench::new();
    let mut group = c.benchmark_group("confdb, 100,000 keys, 1000 trackers");
    group.throughput(Throughput::Elements(1));
    for (what, from, to, told) in
        [("set, two listeners", 0, TRACKERS / 2, 2), ("set, no listener", TRACKERS / 2 * GROUP, KEYS, 0)]
    {
        let mut value = 1;
        group.bench_function(what, |b| {
            b.iter(|| {
                let before = bench.client.events;
                bench.set(from + value as usize * 7919 % (to - from), value);
                assert_eq!(bench.client.events - before, told);
                value += 1;
            });
        });
    }
    group.throughput(Throughput::Elements(KEYS as u64));
    group.sample_size(10);
    group.bench_function("iterate over all", |b| {
        b.iter(|| {
            bench.ask(4, &[&name("load.")]);
            let handle = bench.client.handle;
            let mut keys = 0;
            loop {
                bench.ask(5, &[&handle.to_ne_bytes()]);
                if bench.client.status != Status::Ok.code() {
                    break;
                }
                keys += 1;
            }
            assert_eq!(keys, KEYS);
            bench.ask(6, &[&handle.to_ne_bytes()]);
        });
    });
    group.finish();
}

criterion_group!(benches, database);
criterion_main!(benches);
