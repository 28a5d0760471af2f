//! The way of a client's message through a whole node and back to the clients of its group: request, packing, ring,
//! router, desk, events. The node is alone on its ring, and nothing is sent.

mod alone;

use std::hint::black_box;

use alone::Alone;
use annulus::ids::{ConnId, ServiceId};
use annulus::service::Output;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Messages that are multicast before the token comes.
const AT_ONCE: u64 = 64;

/// A node with clients that are all members of one group.
struct Bench {
    node: Alone,
    clients: Clients,
}

/// What all clients together were told.
#[derive(Default)]
struct Clients {
    /// Number of messages.
    messages: u64,
    /// Number of all events.
    events: u64,
}

impl Clients {
    fn told(&mut self, output: Output<'_>) {
        if let Output::Event { to, head, payload } = output {
            self.events += to.len() as u64;
            if !payload.is_empty() {
                self.messages += to.len() as u64;
            }
            black_box((head, payload));
        }
    }
}

impl Bench {
    fn new(clients: u64) -> Self {
        let mut bench = Self { node: Alone::new(), clients: Clients::default() };
        for conn in 1..=clients {
            bench.node.connect(ServiceId::CPG, ConnId(conn));
            // All members are told of each that joins.
            let until = bench.clients.events + conn;
            bench.request(ConnId(conn), &join(conn as u32));
            while bench.clients.events < until {
                bench.turn();
            }
        }
        bench
    }

    fn turn(&mut self) {
        let Self { node, clients } = self;
        node.turn(&mut |output| clients.told(output));
    }

    fn request(&mut self, conn: ConnId, bytes: &[u8]) {
        let Self { node, clients } = self;
        node.request(conn, bytes, &mut |output| clients.told(output));
    }

    /// Multicasts messages, and runs until all clients have been told all of them.
    fn multicast(&mut self, message: &[u8], clients: u64) {
        let until = self.clients.messages + AT_ONCE * clients;
        (0..AT_ONCE).for_each(|_| self.request(ConnId(1), message));
        while self.clients.messages < until {
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
