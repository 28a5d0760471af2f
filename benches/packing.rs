//! Packing and unpacking on a ring of one node: from `submit` to `Deliver`, including the token.

use std::time::Duration;

use annulus::config::timeouts::{Given, Timeouts};
use annulus::ids::{Guarantee, NodeId, Seq};
use annulus::time::Instant;
use annulus::totem::{Group, Input, Output, Params, Totem};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

struct Lone {
    totem: Totem,
    now: Instant,
}

impl Lone {
    fn new() -> Self {
        let params = Params {
            me: NodeId::new(1).expect("not 0"),
            timeouts: Timeouts::derive(&Given::default(), 1),
            netmtu: 1500,
            ring_seq: 1,
            stored: 1 << 20,
            life: 1,
            origin: Seq(0),
        };
        let mut lone = Self { totem: Totem::new(params, Instant::ZERO), now: Instant::ZERO };
        for _ in 0..50 {
            lone.turn();
        }
        assert_eq!(lone.totem.members().len(), 1, "no ring");
        lone.totem.synced();
        lone
    }

    /// Gives one input and takes all outputs. Returns the number of messages delivered.
    fn turn(&mut self) -> usize {
        self.now = self.now + Duration::from_micros(10);
        self.totem.handle_input(self.now, Input::Timeout);
        let mut delivered = 0;
        loop {
            match self.totem.poll_output() {
                Output::Deliver(_) => delivered += 1,
                Output::Wait(_) => return delivered,
                Output::Send(..)
                | Output::Store(_)
                | Output::Probe(_)
                | Output::View(_)
                | Output::TokenSent => {}
            }
        }
    }
}

fn packing(c: &mut Criterion) {
    let mut group = c.benchmark_group("packing");
    for (size, count) in [(64, 500), (1000, 100), (100_000, 2)] {
        let mut lone = Lone::new();
        let body = vec![5; size];
        group.throughput(Throughput::Bytes((size * count) as u64));
        group.bench_function(format!("{count} messages of {size} bytes"), |b| {
            b.iter(|| {
                for _ in 0..count {
                    lone.totem.submit(Group::App, Guarantee::Agreed, &[&body]).expect("room");
                }
                let mut delivered = 0;
                while delivered < count {
                    delivered += lone.turn();
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, packing);
criterion_main!(benches);
