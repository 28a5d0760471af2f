//! Cases that the Totem paper describes, one frame at a time: lost tokens, lost commit tokens, lost join messages.

use std::time::Duration;

use annulus::ids::Guarantee;
use annulus::totem::wire::{Frame, Kind};

use crate::cluster::{Cluster, Load, Setup};
use crate::links::longest_silence;

/// Totem, token retransmission: a lost token is sent again before it counts as lost.
#[test]
fn a_lost_token_is_sent_again() {
    let mut c = Cluster::seeded(301, 1..=3);
    c.settle();
    let ring = c.ring(1);
    for _ in 0..5 {
        c.network.lose_first(1, |p| p.kind == Some(Kind::Token));
        c.wish(2, 500, Guarantee::Agreed);
        c.run(c.setup.timeouts().token / 2);
        assert!(c.nothing_due(), "nothing came in half a token time-out");
    }
    assert_eq!(c.ring(1), ring, "one lost token broke the ring");
    c.finish();
}

/// While a ring turns, its nodes know how long a rotation takes, and do not wait for `token_retransmit` (238 ms here).
#[test]
fn a_lost_token_of_a_turning_ring_costs_milliseconds() {
    let mut c = Cluster::seeded(303, 1..=3);
    c.settle();
    c.work(Load {
        every: Duration::from_micros(200)..Duration::from_micros(400),
        sizes: vec![24..50, 50..100],
        safe: 0.0,
        answers: 0.0,
        unruly: 0.0,
    });
    c.run(Duration::from_millis(100));
    for _ in 0..20 {
        let since = c.now;
        c.network.lose_first(1, |p| p.kind == Some(Kind::Token));
        c.run(Duration::from_millis(60));
        for node in 1..=3 {
            let silence = longest_silence(&c, node, since);
            assert!(silence < Duration::from_millis(12), "node {node} was told nothing for {silence:?}");
        }
    }
    let repeated: u64 = (1..=3).map(|node| c.totem(node).stats().token_duplicates).sum();
    assert!(repeated < 20 * 20, "{repeated} tokens came twice for twenty that were lost");
    c.finish();
}

/// Totem, token loss: when no retransmission passes either, a new ring is formed.
#[test]
fn a_token_lost_for_good_makes_a_new_ring() {
    let mut c = Cluster::seeded(302, 1..=3);
    c.settle();
    let before = c.ring(1);
    c.network.filter = Some(Box::new(|p| p.kind == Some(Kind::Token) && p.to == 2));
    c.run(c.setup.timeouts().token + Duration::from_millis(100));
    // The node that saw it the longest time ago.
    assert_ne!(c.totem(2).stats().operational_token_lost, 0);
    c.network.filter = None;
    c.finish();
    assert_ne!(c.ring(1), before);
    assert_eq!(c.members(1), [1, 2, 3]);
}

/// Totem, membership: commit tokens are lost in either of their two rotations, and the attempt is repeated.
#[test]
fn lost_commit_tokens_are_sent_again() {
    for count in 1..8 {
        let mut c = Setup::new(310 + count, 1..=4).build();
        c.network.lose_first(count as usize, |p| p.kind == Some(Kind::Commit));
        c.start_all();
        c.settle();
        c.finish();
    }
}

/// All commit tokens to one node are lost for a while: the others do not wait for it for ever.
#[test]
fn a_node_without_commit_tokens_is_not_awaited_for_ever() {
    let mut c = Setup::new(320, 1..=3).build();
    c.network.filter = Some(Box::new(|p| p.kind == Some(Kind::Commit) && p.to == 3));
    c.start_all();
    c.run(Duration::from_secs(5));
    c.network.filter = None;
    c.settle();
    c.finish();
}

/// The first token of the new ring is lost: no view is installed twice, and no message is lost.
#[test]
fn a_lost_first_token_loses_no_message() {
    let mut c = Cluster::seeded(321, 1..=3);
    c.settle();
    c.wish(2, 5000, Guarantee::Safe);
    c.network.lose_first(1, |p| matches!(p.frame(), Some(Frame::Token(token)) if token.token_seq.0 == 0));
    c.crash(3);
    c.run_until("two on the ring", |c| c.on_one_ring(&[1, 2]));
    c.finish();
}

/// Totem, membership: three of four join messages are lost, and all are on one ring in the end.
#[test]
fn lost_join_messages_only_delay_the_ring() {
    for seed in 330..340 {
        let mut c = Setup::new(seed, 1..=5).build();
        let mut state = seed as u32;
        c.network.filter = Some(Box::new(move |p| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            p.kind == Some(Kind::Join) && state >> 30 != 0
        }));
        c.start_all();
        c.settle();
        c.network.filter = None;
        c.finish();
    }
}

/// Nodes that have given each other up in a circle still agree in the end: a join message that is not believed must
/// not restart the consensus timer. Found by the swarm (`swarm.rs`).
#[test]
fn nodes_that_gave_each_other_up_agree_in_the_end() {
    for seed in 340..350 {
        let mut c = Cluster::seeded(seed, 1..=4);
        c.settle();
        c.network.cut_one_way(&[1], &[4]);
        c.network.cut_one_way(&[4], &[1]);
        c.network.cut_one_way(&[2], &[3]);
        c.network.cut_one_way(&[3], &[2]);
        c.run(c.setup.timeouts().consensus * 4);
        c.network.heal();
        c.finish();
    }
}
