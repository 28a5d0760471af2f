//! Datagrams that nobody of this ring sent in that form: mutated, replayed, foreign, or of the other byte order.

use std::time::Duration;

use annulus::ids::{Guarantee, RingId, Seq};
use annulus::totem::Input;
use annulus::totem::wire::{CommitToken, HoldCancel, Join, LittleEndian, MergeDetect, Token};

use crate::cluster::{Cluster, Load, Setup};
use crate::network::id;

fn steady() -> Load {
    Load {
        every: Duration::from_millis(2)..Duration::from_millis(30),
        sizes: vec![24..400, 1000..9000],
        safe: 0.3,
        answers: 0.0,
        unruly: 0.0,
    }
}

/// Old datagrams of this ring and of earlier ones arrive again: no property breaks.
#[test]
fn replayed_datagrams_change_nothing() {
    for seed in 501..511 {
        let mut c = Cluster::seeded(seed, 1..=4);
        c.network.replay = 0.05;
        c.settle();
        c.work(steady());
        c.run(Duration::from_millis(300));
        c.crash(2);
        c.run_until("three on the ring", |c| c.on_one_ring(&[1, 3, 4]));
        c.start(2);
        c.run(Duration::from_secs(2));
        c.network.replay = 0.0;
        c.finish();
    }
}

/// Frames with every class of mutation: no node panics, and once they stop there is one ring that works. Contents
/// prove nothing here, as the protocol has no checksum of its own. A changed synchronisation message may even leave
/// the services waiting until the next ring, and half a message that was never sent may cost one more ring.
#[test]
fn mutated_datagrams_never_panic() {
    for seed in 520..540 {
        let mut c = Cluster::seeded(seed, 1..=3);
        c.contents_may_change = true;
        c.settle();
        c.work(steady());
        c.network.mutate = 0.02;
        c.run(Duration::from_secs(3));
        c.network.mutate = 0.0;
        c.rest();
        c.input(1, Input::Interface);
        c.run(c.patience() / 2);
        c.input(1, Input::Interface);
        c.settle();
    }
}

/// Datagrams of other protocols, truncated ones and those of an attacker are counted and dropped.
#[test]
fn foreign_datagrams_are_counted() {
    let mut c = Cluster::seeded(541, 1..=3);
    c.settle();
    let ring = c.ring(1);
    let knet = [3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let version_2 = [0x70, 0xc0, 2, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    let unknown = [0x70, 0xc0, 3, 9, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    for bytes in [&[][..], &[0x70], &knet, &version_2, &unknown, &[0x70, 0xc0, 3, 0], &[0xff; 1400]] {
        c.inject(1, bytes);
    }
    c.run(Duration::from_secs(2));
    assert_eq!(c.ring(1), ring, "the ring was broken");
    c.finish();
}

/// A node of another cluster is heard once and never again: the ring forms anew without it and loses no message.
#[test]
fn a_foreign_node_that_falls_silent_does_not_stop_the_ring() {
    let mut c = Cluster::seeded(542, 1..=3);
    c.settle();
    let stranger = RingId { rep: id(99), seq: 400 };
    for node in 1..=3 {
        c.wish(node, 4000, Guarantee::Safe);
        c.inject(node, &MergeDetect { from: id(99), ring: stranger }.encode::<LittleEndian>());
    }
    c.finish();
    assert_eq!(c.members(1), [1, 2, 3]);
}

/// Well-formed frames with impossible contents: no node believes any of them.
#[test]
fn forged_frames_do_no_harm() {
    let mut c = Cluster::seeded(543, 1..=3);
    c.settle();
    c.work(steady());
    c.run(Duration::from_millis(100));
    let ring = c.ring(1).unwrap();
    let join = Join {
        from: id(2),
        leave: false,
        ring_seq: u64::MAX,
        proc: (1..=300).map(id).collect(),
        failed: vec![id(1)],
    };
    c.inject(1, &join.encode::<LittleEndian>());
    let token = Token {
        from: id(3),
        seq: Seq(1_000_000),
        token_seq: Seq(1 << 30),
        aru: Seq(5),
        aru_by: Some(id(3)),
        ring,
        backlog: u32::MAX,
        fcc: u32::MAX,
        retransmitting: true,
        missing: Vec::new(),
    };
    c.inject(1, &token.encode::<LittleEndian>());
    let commit = CommitToken {
        from: id(1),
        token_seq: 77,
        ring: RingId { rep: id(1), seq: ring.seq + 4 },
        filled: 1,
        members: vec![(id(1), None), (id(2), None)],
    };
    c.inject(2, &commit.encode::<LittleEndian>());
    c.inject(3, &HoldCancel { from: id(9), ring }.encode::<LittleEndian>());
    c.run(Duration::from_millis(300));
    assert_eq!(c.ring(1), Some(ring), "the ring was broken");
    c.finish();
}

/// Frames of every kind from a machine of the other byte order are understood.
#[test]
fn nodes_of_both_byte_orders_form_a_ring() {
    for seed in 550..555 {
        let mut setup = Setup::new(seed, 1..=4);
        setup.quality.loss = 0.01;
        let mut c = setup.build();
        c.network.big_endian.extend([2, 4]);
        c.start_all();
        c.settle();
        c.work(steady());
        c.run(Duration::from_millis(300));
        c.crash(1);
        c.run_until("three on the ring", |c| c.on_one_ring(&[2, 3, 4]));
        c.run(Duration::from_millis(100));
        c.start(1);
        c.network.quality.loss = 0.0;
        c.finish();
    }
}
