//! Datagrams per second sent and received by a node, by batch size: one frame, a token visit (17), a window
//! (50).
//!
//! All on loopback, so the results include the kernel's whole path for one host. In `out` nobody reads and
//! the receivers' queues are full; in `through` two other nodes read everything.

use std::hint::black_box;

use annulus::ids::{Destination, NodeId};
use annulus::transport::{Cast, Kind, Options, Peer, Received, Transport};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::{Builder, Runtime};

const BATCHES: [usize; 3] = [1, 17, 50];

/// Length of the largest plain data frame. Source: docs/protocol/ring.md, "Packet sizes".
const FRAME: usize = 1455;

fn open(runtime: &Runtime, kind: Kind, port: u16, id: u32) -> Transport {
    let node = |id| NodeId::new(id).expect("not 0");
    let peers = (1..=3).map(|id| Peer { id: node(id), addr: [127, 0, 0, id as u8].into() }).collect();
    let options = Options { port, ..Options::new(kind, node(id), [127, 0, 0, id as u8].into(), peers) };
    let _inside = runtime.enter();
    Transport::open(&options).expect("loopback is there and the port free")
}

/// Receives `count` datagrams.
async fn take(transport: &mut Transport, batch: &mut Received, count: usize) {
    let mut left = count;
    while left > 0 {
        transport.recv(batch).await.expect("the runtime is up");
        left -= batch.iter().map(|datagram| black_box(datagram).len() / FRAME).sum::<usize>();
    }
}

fn transports(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let multicast = Kind::Udp(Cast::Multicast { group: [239, 192, 78, 2].into(), ttl: 1 });
    for (name, kind, port) in [("udpu", Kind::Udpu, 26_405), ("udp", multicast, 26_407)] {
        let frame = Bytes::from(vec![7; FRAME]);
        let mut nodes: Vec<_> = (1..=3).map(|id| open(&runtime, kind.clone(), port, id)).collect();
        let mut received = Received::new();

        let mut group = c.benchmark_group(format!("transport/{name}/through"));
        for size in BATCHES {
            group.throughput(Throughput::Elements(size as u64));
            group.bench_function(BenchmarkId::from_parameter(size), |b| {
                let mut batch = Vec::with_capacity(size);
                b.iter(|| {
                    batch.extend((0..size).map(|_| (Destination::All, frame.clone())));
                    nodes[0].send(&mut batch);
                    runtime.block_on(async {
                        take(&mut nodes[1], &mut received, size).await;
                        take(&mut nodes[2], &mut received, size).await;
                    });
                });
            });
        }
        group.finish();

        let mut group = c.benchmark_group(format!("transport/{name}/out"));
        for size in BATCHES {
            group.throughput(Throughput::Elements(size as u64));
            group.bench_function(BenchmarkId::from_parameter(size), |b| {
                let mut batch = Vec::with_capacity(size);
                b.iter(|| {
                    batch.extend((0..size).map(|_| (Destination::All, frame.clone())));
                    nodes[0].send(&mut batch);
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, transports);
criterion_main!(benches);
