//! One rotation of the token over four nodes in one process: on an idle ring, and with a full window.

use std::time::Duration;

use annulus::config::timeouts::{Given, Timeouts};
use annulus::ids::{Destination, Guarantee, NodeId, Seq};
use annulus::time::Instant;
use annulus::totem::{Group, Input, Output, Params, Totem};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const NODES: u32 = 4;

/// Nodes that are connected by queues without loss and delay.
struct Ring {
    nodes: Vec<Totem>,
    now: Instant,
    wire: std::collections::VecDeque<(usize, Bytes)>,
    delivered: u64,
    rotations: u64,
}

impl Ring {
    fn new() -> Self {
        let nodes = (1..=NODES)
            .map(|node| {
                let params = Params {
                    me: NodeId::new(node).expect("not 0"),
                    // The token is never held, because the benchmark measures its circulation.
                    timeouts: Timeouts::derive(
                        &Given { seqno_unchanged_const: Some(u32::MAX), ..Given::default() },
                        NODES as usize,
                    ),
                    netmtu: 1500,
                    ring_seq: 1,
                    stored: 1 << 20,
                    life: 1,
                    origin: Seq(0),
                };
                Totem::new(params, Instant::ZERO)
            })
            .collect();
        let wire = std::collections::VecDeque::new();
        let mut ring = Self { nodes, now: Instant::ZERO, wire, delivered: 0, rotations: 0 };
        for _ in 0..1000 {
            if ring.nodes.iter().all(|node| node.members().len() == NODES as usize) {
                break;
            }
            for node in 0..ring.nodes.len() {
                ring.nodes[node].handle_input(ring.now, Input::Timeout);
                ring.drain(node);
            }
            ring.now = ring.now + Duration::from_millis(5);
            for _ in 0..200 {
                ring.step();
            }
        }
        assert!(ring.nodes.iter().all(|node| node.members().len() == NODES as usize), "no ring");
        for node in &mut ring.nodes {
            node.synced();
        }
        ring.rotate();
        ring
    }

    fn drain(&mut self, node: usize) {
        loop {
            match self.nodes[node].poll_output() {
                Output::Send(Destination::All, frame) => {
                    let others = (0..self.nodes.len()).filter(|to| *to != node);
                    self.wire.extend(others.map(|to| (to, frame.clone())));
                }
                Output::Send(Destination::Node(to), frame) => {
                    let to = to.get() as usize - 1;
                    self.rotations += u64::from(to == 0);
                    self.wire.push_back((to, frame));
                }
                Output::Deliver(_) => self.delivered += 1,
                Output::Wait(_) => return,
                Output::Store(_) | Output::Probe(_) | Output::View(_) | Output::TokenSent => {}
            }
        }
    }

    /// Delivers one datagram.
    fn step(&mut self) {
        let Some((to, frame)) = self.wire.pop_front() else { return };
        self.now = self.now + Duration::from_micros(1);
        self.nodes[to].handle_input(self.now, Input::Datagram(&frame));
        self.drain(to);
    }

    fn rotate(&mut self) {
        let end = self.rotations + 1;
        while self.rotations < end {
            assert!(!self.wire.is_empty(), "the token is gone");
            self.step();
        }
    }
}

fn token_visit(c: &mut Criterion) {
    let mut group = c.benchmark_group("token_visit");
    group.throughput(Throughput::Elements(NODES.into()));
    let mut ring = Ring::new();
    group.bench_function("idle rotation of 4", |b| b.iter(|| ring.rotate()));

    // Twelve frames of each node in a rotation, close to the window of fifty.
    group.throughput(Throughput::Bytes(u64::from(NODES) * 12 * 1395));
    let mut ring = Ring::new();
    let body = vec![7; 1395];
    group.bench_function("full rotation of 4", |b| {
        b.iter(|| {
            for node in &mut ring.nodes {
                for _ in 0..12 {
                    // If the queue is full, the next rotations empty it.
                    let _ = node.submit(Group::App, Guarantee::Agreed, &[&body]);
                }
            }
            ring.rotate();
        });
    });
    assert!(ring.delivered > 0, "nothing was delivered");
    group.finish();
}

criterion_group!(benches, token_visit);
criterion_main!(benches);
