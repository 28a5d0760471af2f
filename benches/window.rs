//! The window of received frames: stored in order and with gaps, and released.

use annulus::ids::{Endian, Guarantee, NodeId, Seq};
use annulus::totem::srp::window::{Reception, Stored};
use annulus::totem::wire::Encapsulated;
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const FRAMES: u32 = 1000;

fn stored(frame: &Bytes) -> Stored {
    let node = NodeId::new(1).expect("not 0");
    Stored {
        frame: frame.clone(),
        from: node,
        system_from: node,
        encapsulated: Encapsulated::Plain,
        guarantee: Guarantee::Agreed,
        order: Endian::Little,
    }
}

fn window(c: &mut Criterion) {
    let frame = Bytes::from(vec![0; 1455]);
    let mut group = c.benchmark_group("window");
    group.throughput(Throughput::Elements(FRAMES.into()));
    for (name, stride) in [("in order", 1), ("every third first", 3)] {
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || Reception::new(Seq(u32::MAX - 500)),
                |reception| {
                    let first = reception.aru.plus(1);
                    for start in 0..stride {
                        for distance in (start..FRAMES).step_by(stride as usize) {
                            assert!(reception.take(first.plus(distance), stored(&frame)), "a duplicate");
                        }
                    }
                    assert!(reception.has_all(), "a gap");
                    reception.release(reception.aru);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, window);
criterion_main!(benches);
