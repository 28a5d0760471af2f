//! The way of a client's message through a whole node and back to the clients of its group: request, packing, ring,
//! router, desk, events. The node is alone on its ring, and nothing is sent.

use std::hint::black_box;

use annulus::config::timeouts::{Given, Timeouts};
use annulus::ids::{ConnId, NodeId, Seq, ServiceId};
use annulus::service::{Edge, Output, Request};
use annulus::stack::{Setup, Stack};
use annulus::time::Instant;
use annulus::totem::{Input, Params, RESERVE};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Messages that are multicast before the token comes.
const AT_ONCE: u64 = 64;

/// A world without statistics, links and users.
struct World;

impl Edge for World {}

/// A node with clients that are all members of one group.
struct Bench {
    stack: Stack,
    now: Instant,
    /// Number of messages that the clients have been told.
    told: u64,
    /// Number of all their events.
    events: u64,
}

impl Bench {
    fn new(clients: u64) -> Self {
        let params = Params {
            me: NodeId::new(1).expect("not 0"),
            timeouts: Timeouts::derive(&Given::default(), 1),
            netmtu: 1500,
            ring_seq: 1,
            stored: RESERVE,
            life: 1,
            origin: Seq(0),
        };
        let now = Instant::ZERO;
        let stack = Stack::new(params, Setup::default(), now).expect("the configuration is empty");
        let mut bench = Self { stack, now, told: 0, events: 0 };
        while !bench.stack.accepts_clients() {
            bench.turn();
        }
        for conn in 1..=clients {
            let conn = ConnId(conn);
            bench.stack.connected(bench.now, ServiceId::CPG, conn, &mut World).expect("it has the service");
            bench.carry_out();
            let before = bench.events;
            bench.request(conn, &join(conn.0 as u32));
            while bench.events < before + conn.0 {
                bench.turn();
            }
        }
        bench
    }

    /// Lets time pass until the node has something to do, and lets it do that.
    fn turn(&mut self) {
        self.now = self.now.max(self.stack.deadline().expect("a ring has timers"));
        self.stack.handle_input(self.now, Input::Timeout);
        self.carry_out();
    }

    /// Carries out what the node has put out. Nobody else is on the network.
    fn carry_out(&mut self) {
        let mut stored = None;
        while let Some(output) = self.stack.poll_output(&mut World) {
            match output {
                Output::Store(up_to) => stored = Some(up_to),
                Output::Event { head, payload, .. } => {
                    self.told += u64::from(!payload.is_empty());
                    self.events += 1;
                    black_box((head, payload));
                }
                Output::Reply { .. }
                | Output::Send(..)
                | Output::Refused(..)
                | Output::Order(_)
                | Output::View(_)
                | Output::Synced(_) => {}
            }
        }
        if let Some(up_to) = stored {
            self.stack.handle_input(self.now, Input::Stored(up_to));
            self.carry_out();
        }
    }

    fn request(&mut self, conn: ConnId, bytes: &[u8]) {
        self.stack.request(self.now, conn, Request { bytes, tail: &[] }, &mut World);
        self.carry_out();
    }

    /// Multicasts messages, and runs until all clients have been told all of them.
    fn multicast(&mut self, message: &[u8], clients: u64) {
        let until = self.told + AT_ONCE * clients;
        (0..AT_ONCE).for_each(|_| self.request(ConnId(1), message));
        while self.told < until {
            self.turn();
        }
    }
}

/// The header of a request: its id and the size of the whole.
fn header(id: u32, size: usize) -> Vec<u8> {
    let mut bytes = u64::from(id).to_ne_bytes().to_vec();
    bytes.extend_from_slice(&(size as u64).to_ne_bytes());
    bytes
}

/// The request of a process to join the group.
fn join(pid: u32) -> Vec<u8> {
    let mut bytes = header(0, 168);
    bytes.extend_from_slice(&5_u64.to_ne_bytes());
    bytes.extend_from_slice(b"bench");
    bytes.resize(152, 0);
    bytes.extend_from_slice(&u64::from(pid).to_ne_bytes());
    bytes.resize(168, 0);
    bytes
}

/// The request to multicast so many bytes.
fn multicast(length: usize) -> Vec<u8> {
    let mut bytes = header(2, 40 + length);
    bytes.resize(32, 0);
    bytes.extend_from_slice(&(length as u64).to_ne_bytes());
    bytes.resize(40 + length, 7);
    bytes
}

fn delivery(c: &mut Criterion) {
    let mut group = c.benchmark_group("delivery");
    group.throughput(Throughput::Elements(AT_ONCE));
    for clients in [1, 4] {
        let mut bench = Bench::new(clients);
        for length in [64, 1000, 16_000] {
            let message = multicast(length);
            group.bench_function(format!("{length} B, {clients} members"), |b| {
                b.iter(|| bench.multicast(&message, clients));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, delivery);
criterion_main!(benches);
