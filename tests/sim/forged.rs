//! Datagrams of an outsider who knows the protocol, the members and the current ring, and may be believed: the
//! transports are not authenticated. What such a one breaks while it goes on is its own; when it stops, the
//! nodes are on one ring again within [`Cluster::patience`], and no ring id was used twice.

use std::time::Duration;

use annulus::totem::RING_SEQ_LIMIT;
use annulus::totem::wire::{Join, LittleEndian};

use crate::cluster::{Cluster, Setup};
use crate::network::id;

/// A join message of node 2, which proposes the whole cluster of `count` nodes.
fn join(count: u32, ring_seq: u64) -> bytes::Bytes {
    let proc = (1..=count).map(id).collect();
    Join { from: id(2), leave: false, ring_seq, proc, failed: Vec::new() }.encode::<LittleEndian>()
}

fn inject_all(c: &mut Cluster, bytes: &[u8]) {
    for node in c.setup.nodes.clone() {
        c.inject(node, bytes);
    }
}

/// One join message with the highest number that is accepted, or any other, ends no cluster: rings are formed
/// afterwards, and after restarts of each node, under numbers that nobody has used.
#[test]
fn no_ring_number_in_a_join_ends_the_cluster() {
    for seq in (40..64).map(|bit| (1 << bit) - 1).chain([
        u64::MAX,
        RING_SEQ_LIMIT,
        RING_SEQ_LIMIT - 4,
        RING_SEQ_LIMIT / 2 - 1,
        1 << 56,
    ]) {
        let mut c = Cluster::seeded(600, 1..=3);
        c.settle();
        inject_all(&mut c, &join(3, seq));
        c.run(Duration::from_millis(100));
        for node in 1..=3 {
            c.settle();
            assert!(c.ring(node).unwrap().seq < RING_SEQ_LIMIT / 2 + 100, "{seq:x}");
            c.crash(node);
            c.run(Duration::from_millis(20));
            c.start(node);
        }
        c.finish();
        assert_eq!(c.members(1), [1, 2, 3], "{seq:x}");
    }
}

/// A stream of join messages, each with a number as far above the last as is believed: when it stops, a ring is
/// formed at once; a node that was down meanwhile joins it, and one whose ring id file was lost.
#[test]
fn a_stream_of_rising_ring_numbers_leaves_room_for_real_ones() {
    for raise in [4, 4000, 1 << 40, 1 << 60] {
        let mut c = Cluster::seeded(601, 1..=4);
        c.settle();
        c.crash(4);
        let mut highest = 0;
        for _ in 0..3000 {
            let known = c.alive().map(|(_, process)| process.totem.ring().seq).max().unwrap();
            highest = known.max(highest).saturating_add(raise);
            inject_all(&mut c, &join(4, highest));
            c.run(Duration::from_millis(1));
        }
        c.settle();
        assert!(c.ring(1).unwrap().seq < RING_SEQ_LIMIT / 2, "raised to {:x}", c.ring(1).unwrap().seq);
        c.start(4);
        c.settle();
        for node in [1, 3] {
            c.crash(node);
            c.run_until("a ring without it", Cluster::one_ring);
            c.lose_disk(node, 0);
            c.start(node);
            c.settle();
        }
        c.finish();
        assert_eq!(c.members(4), [1, 2, 3, 4]);
    }
}

/// Nodes whose numbers are years apart, as when one of them lost its file or counts from its clock, form a ring.
#[test]
fn ring_numbers_far_apart_merge() {
    for (far, near) in [(1 << 34, 0), (1 << 41, 0), (1 << 47, 1 << 20), (1 << 48, 7)] {
        for ahead in [1, 3] {
            let mut c = Setup::new(602, 1..=3).build();
            for node in 1..=3 {
                c.lose_disk(node, if node == ahead { far } else { near });
            }
            // The others first have a ring of their own.
            for node in (1..=3).filter(|node| *node != ahead) {
                c.start(node);
            }
            c.settle();
            c.start(ahead);
            c.run(Duration::from_millis(100));
            c.settle();
            assert!(c.ring(1).unwrap().seq > far);
            c.finish();
        }
    }
}
