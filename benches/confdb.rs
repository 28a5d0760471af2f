//! The configuration database with many keys and trackers: changes with and without a matching tracker, and
//! an iteration over all keys, through the router like a client's requests.

use std::hint::black_box;

use annulus::confdb::{Addresses, Desk, Store};
use annulus::error::Status;
use annulus::ids::{ConnId, Guarantee, NodeId, RingId, ServiceId};
use annulus::service::router::{Ground, Router};
use annulus::service::{Database, Effects, Full, Notice, Order, Request, Statistics};
use annulus::time::Instant;
use annulus::value::Value;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const KEYS: usize = 100_000;
const TRACKERS: usize = 1000;
/// Number of keys with the same prefix.
const GROUP: usize = 100;
const CONN: ConnId = ConnId(1);

/// Receives the output of the desk and counts it.
#[derive(Default)]
struct Below {
    database: Store,
    handle: u64,
    status: i32,
    events: u64,
}

impl Effects for Below {
    fn me(&self) -> NodeId {
        NodeId::new(1).expect("not 0")
    }
    fn now(&self) -> Instant {
        Instant::ZERO
    }
    fn database(&mut self) -> &mut dyn Database {
        &mut self.database
    }
    fn statistics(&self, _: &str) -> Vec<(String, Value)> {
        Vec::new()
    }
    fn clear_statistics(&mut self, _: Statistics) {}
    fn announce(&mut self, _: Notice) {}
    fn order(&mut self, _: Order) {}
    fn multicast(&mut self, _: Guarantee, _: &[&[u8]]) -> Result<(), Full> {
        Ok(())
    }
    fn reply(&mut self, _: ConnId, reply: &[u8]) {
        self.status = reply[16..20].try_into().map(i32::from_ne_bytes).expect("four bytes");
        if reply.len() == 32 {
            self.handle = reply[24..].try_into().map(u64::from_ne_bytes).expect("eight bytes");
        }
    }
    fn event(&mut self, _: ConnId, head: &[u8], payload: &Bytes) {
        black_box((head, payload));
        self.events += 1;
    }
    fn buffer_open(&mut self, _: ConnId, _: &[u8], _: u64) -> Result<u64, Status> {
        Err(Status::NotSupported)
    }
    fn buffer_read(&mut self, _: ConnId, _: u64) -> Result<Bytes, Status> {
        Err(Status::NotSupported)
    }
    fn buffer_close(&mut self, _: ConnId, _: u64) {}
}

impl Ground for Below {
    fn multicast_sync(&mut self, _: &[u8]) -> Result<(), Full> {
        Ok(())
    }
    fn want_token(&mut self) {}
    fn synced(&mut self, _: RingId) {}
    fn synced_in_transit(&mut self) {}
    fn take_notice(&mut self) -> Option<Notice> {
        self.database.take_change().map(Notice::Changed)
    }
    fn fits(&self, _: usize) -> bool {
        true
    }
}

struct Bench {
    desk: Desk,
    router: Router,
    below: Below,
}

impl Bench {
    fn new() -> Self {
        let mut desk = Desk::new(NodeId::new(1).expect("not 0"), Addresses::new());
        let mut router = Router::new(&mut [&mut desk]);
        let mut below = Below::default();
        router.connected(&mut [&mut desk], ServiceId::CMAP, CONN, &mut below).expect("it has the service");
        let mut bench = Self { desk, router, below };
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
        let request = Request { bytes: &bytes, tail: &[] };
        self.router.request(&mut [&mut self.desk], CONN, request, &mut self.below);
    }

    fn set(&mut self, n: usize, value: u64) {
        self.ask(0, &[&name(&key(n)), &8_u64.to_ne_bytes(), &8_u64.to_ne_bytes(), &value.to_ne_bytes()]);
        assert_eq!(self.below.status, Status::Ok.code());
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
                let before = bench.below.events;
                bench.set(from + value as usize * 7919 % (to - from), value);
                assert_eq!(bench.below.events - before, told);
                value += 1;
            });
        });
    }
    group.throughput(Throughput::Elements(KEYS as u64));
    group.sample_size(10);
    group.bench_function("iterate over all", |b| {
        b.iter(|| {
            bench.ask(4, &[&name("load.")]);
            let handle = bench.below.handle;
            let mut keys = 0;
            loop {
                bench.ask(5, &[&handle.to_ne_bytes()]);
                if bench.below.status != Status::Ok.code() {
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
