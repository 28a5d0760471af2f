//! Which nodes are on the ring: forming, joining, leaving, crashing, restarting, pausing.

use std::collections::BTreeSet;
use std::time::Duration;

use annulus::ids::{Guarantee, NodeId};
use annulus::totem::{Input, RING_SEQ_LIMIT, StateName};

use crate::cluster::{Cluster, Setup};

/// Totem, membership: nodes that start at the same time become one ring.
#[test]
fn nodes_that_start_together_form_one_ring() {
    let mut c = Cluster::seeded(1, 1..=3);
    c.settle();
    for node in 1..=3 {
        assert_eq!(c.members(node), [1, 2, 3]);
        c.wish(node, 100, Guarantee::Agreed);
    }
    c.finish();
}

/// A lone node forms a ring of its own, whose number is that on its disk plus one plus four.
#[test]
fn a_lone_node_forms_a_ring_of_its_own() {
    let mut c = Cluster::seeded(2, [7]);
    c.settle();
    assert_eq!(c.members(7), [7]);
    assert_eq!(c.ring(7).unwrap().seq, 5);
    c.wish(7, 5000, Guarantee::Safe);
    c.finish();
}

/// Totem, membership: the message of a node from outside breaks the ring, which forms again with that node.
#[test]
fn a_new_node_joins_a_running_ring() {
    let mut c = Setup::new(3, 1..=4).build();
    for node in 1..=3 {
        c.start(node);
    }
    c.settle();
    c.start(4);
    c.run_until("four on the ring", |c| c.members(1) == [1, 2, 3, 4]);
    assert_eq!(c.views(1).last().unwrap().joined, [NodeId::new(4).unwrap()]);
    c.finish();
}

/// Totem, token loss: the others go on without a node that crashed.
#[test]
fn a_crashed_node_is_given_up() {
    let mut c = Cluster::seeded(4, 1..=3);
    c.settle();
    let before = c.now;
    c.crash(2);
    c.run_until("two on the ring", |c| c.on_one_ring(&[1, 3]));
    let t = c.setup.timeouts();
    let took = c.now.since(before);
    assert!(took >= t.token, "noticed after {took:?}, before the token could count as lost");
    assert!(took < t.token + t.consensus + Duration::from_millis(200), "took {took:?}");
    c.finish();
}

/// A node that announces its leave is off the ring at once, without a time-out.
#[test]
fn a_node_that_leaves_is_not_waited_for() {
    let mut c = Cluster::seeded(5, 1..=3);
    c.settle();
    let before = c.now;
    c.leave(3);
    c.run_until("two on the ring", |c| c.on_one_ring(&[1, 2]));
    let took = c.now.since(before);
    assert!(took < Duration::from_millis(150), "took {took:?}");
    c.finish();
}

/// A node that restarts before anybody misses it has a new ring id, and is in both `left` and `joined` of the same
/// view.
#[test]
fn a_quick_restart_is_seen_as_leave_and_join() {
    let mut c = Cluster::seeded(6, 1..=3);
    c.settle();
    let before = c.ring(1).unwrap();
    c.crash(1);
    c.run(Duration::from_millis(5));
    c.start(1);
    c.run_until("one new ring", |c| c.one_ring() && c.ring(2) != Some(before));
    assert!(c.ring(1).unwrap().seq > before.seq);
    assert!(c.views(2).last().unwrap().joined.contains(&NodeId::new(1).unwrap()));
    c.finish();
}

/// The representative alone restarts many times: no ring id is used twice.
#[test]
fn no_ring_id_is_used_again_after_restarts() {
    let mut c = Cluster::seeded(7, [1]);
    for _ in 0..5 {
        c.settle();
        c.crash(1);
        c.run(Duration::from_millis(1));
        c.start(1);
    }
    c.finish();
}

/// A disk that takes a minute delays neither the ring nor changes of membership (Corosync issue 520), because enough
/// ring ids are reserved ahead.
#[test]
fn a_slow_disk_does_not_stall_the_ring() {
    let mut c = Cluster::seeded(8, 1..=3);
    c.settle();
    for node in 1..=3 {
        c.stick_disk(node, Duration::from_secs(60));
    }
    let before = c.now;
    for _ in 0..100 {
        let rings = c.views(1).len();
        c.input(2, Input::Interface);
        c.run_until("a new ring", |c| c.views(1).len() > rings && c.one_ring());
    }
    c.leave(3);
    c.run_until("two on the ring", |c| c.on_one_ring(&[1, 2]));
    assert!(c.now.since(before) < Duration::from_secs(30), "the stuck disk was waited for");
    c.finish();
}

/// A node that restarts begins above all ids that it had reserved, past those of the others; a member whose disk is
/// stuck still joins the new ring.
#[test]
fn a_member_with_a_stuck_disk_joins_the_ring() {
    let mut c = Cluster::seeded(18, 1..=3);
    c.settle();
    c.stick_disk(2, Duration::from_secs(60));
    c.crash(3);
    c.run_until("two on the ring", |c| c.on_one_ring(&[1, 2]));
    let before = c.now;
    c.start(3);
    c.run_until("three on the ring", Cluster::one_ring);
    assert!(c.now.since(before) < Duration::from_secs(5), "the stuck disk was waited for");
    c.finish();
}

/// A representative whose disk does not reserve a ring id in time goes on nevertheless, with an id that it will not
/// use again after a restart: no node is absent, and the ring is not split.
#[test]
fn a_representative_with_a_stuck_disk_forms_the_ring() {
    let mut c = Cluster::seeded(19, 1..=3);
    c.settle();
    c.stick_disk(1, Duration::from_secs(60));
    c.crash(3);
    c.run_until("two on the ring", |c| c.on_one_ring(&[1, 2]));
    let before = c.now;
    c.start(3);
    c.run_until("three on the ring", Cluster::one_ring);
    assert!(c.now.since(before) < Duration::from_secs(4), "the stuck disk was waited for");
    assert!(c.ring(1).unwrap().seq > 1 << 20, "{:?}", c.ring(1));
    // From now on the disk is known to be stuck. A restart begins at the number on it; the others tell the node what
    // they know.
    for _ in 0..2 {
        let before = c.now;
        c.crash(2);
        c.run_until("two on the ring", |c| c.on_one_ring(&[1, 3]));
        c.start(2);
        c.run_until("three on the ring", Cluster::one_ring);
        assert!(c.now.since(before) < Duration::from_secs(4), "the stuck disk was waited for again");
    }
    c.crash(1);
    c.start(1);
    c.finish();
}

/// A disk that reports an error is not waited for at all.
#[test]
fn a_representative_whose_disk_fails_forms_the_ring_at_once() {
    let mut c = Cluster::seeded(20, 1..=3);
    c.settle();
    c.stick_disk(1, Duration::from_secs(60));
    c.crash(3);
    c.run_until("two on the ring", |c| c.on_one_ring(&[1, 2]));
    let before = c.now;
    c.start(3);
    c.input(1, Input::NotStored);
    c.run_until("three on the ring", Cluster::one_ring);
    assert!(c.now.since(before) < Duration::from_millis(100), "the disk was waited for");
    c.finish();
}

/// Where no such numbers are left, a representative that cannot reserve a ring id stands aside: the others form their
/// ring, and it joins when its disk works again.
#[test]
fn a_representative_that_cannot_reserve_a_ring_id_stands_aside() {
    let mut c = Setup::new(21, 1..=3).build();
    for node in 1..=3 {
        c.lose_disk(node, RING_SEQ_LIMIT / 2 - 1_000_000);
    }
    c.start_all();
    c.settle();
    c.stick_disk(1, Duration::from_secs(25));
    c.crash(3);
    c.run_until("two on the ring", |c| c.on_one_ring(&[1, 2]));
    let before = c.now;
    c.start(3);
    c.run_until("a ring without 1", |c| c.on_one_ring(&[2, 3]));
    assert!(c.now.since(before) < Duration::from_secs(15), "the stuck disk was waited for");
    c.run_until("three on the ring", Cluster::one_ring);
    c.finish();
}

/// The first reservation must be on disk before a ring may use its ids.
#[test]
fn no_ring_forms_before_its_id_is_reserved() {
    let mut c = Setup::new(9, 1..=2).build();
    c.stick_disk(1, Duration::from_secs(5));
    c.start_all();
    c.run(Duration::from_secs(1));
    assert!(c.views(1).is_empty(), "a ring id was used that a restart would use again");
    c.run(Duration::from_secs(3));
    let first = c.views(1).first().map(|view| view.ring.seq);
    assert!(
        first.is_none_or(|seq| seq > 1 << 20),
        "a ring id was used that a restart would use again: {first:?}"
    );
    c.settle();
    c.finish();
}

/// Each life begins with the same ring id file, because all writes hang: even so, no ring id is used in two lives.
#[test]
fn restarts_with_an_unchanged_ring_id_file_repeat_no_ring_id() {
    for nodes in [1, 2, 3] {
        let mut c = Setup::new(22, 1..=nodes).build();
        let mut used = BTreeSet::new();
        for life in 0..30 {
            for node in 1..=nodes {
                c.stick_disk(node, Duration::from_secs(600));
            }
            c.start_all();
            c.settle();
            let ring = c.ring(1).unwrap();
            assert!(used.insert(ring), "{nodes} nodes: {ring} again in life {life}");
            for node in 1..=nodes {
                c.crash(node);
            }
        }
        c.start_all();
        c.finish();
    }
}

/// A pause shorter than the token time-out changes nothing.
#[test]
fn a_short_pause_goes_unnoticed() {
    let mut c = Cluster::seeded(10, 1..=3);
    c.settle();
    let ring = c.ring(1);
    c.pause(2);
    c.run(c.setup.timeouts().token * 8 / 10);
    c.resume(2, true);
    c.run(c.setup.timeouts().token * 2);
    assert_eq!(c.ring(1), ring, "the ring was broken");
    c.finish();
}

/// A node that did not run for long does not take the others for dead when it wakes up: it is the one that was given
/// up. It does not act on old join messages in its sockets.
#[test]
fn a_node_that_paused_long_does_not_give_up_the_others() {
    for timers_first in [true, false] {
        let mut c = Cluster::seeded(11, 1..=3);
        c.settle();
        c.pause(2);
        c.run_until("two on the ring", |c| c.on_one_ring(&[1, 3]));
        let others = c.ring(1);
        c.resume(2, timers_first);
        assert_ne!(c.totem(2).stats().pauses, 0, "the pause was not noticed");
        let (accused, at) = (c.totem(2).stats().consensus_timeouts, c.now);
        c.run_until("three on the ring", |c| c.on_one_ring(&[1, 2, 3]));
        assert_eq!(c.totem(2).stats().consensus_timeouts, accused, "the paused node gave others up");
        assert!(c.now.since(at) < c.setup.timeouts().token * 3);
        assert_ne!(c.ring(1), others);
        let last = c.views(1).last().unwrap().joined.clone();
        assert_eq!(last, [NodeId::new(2).unwrap()]);
        c.finish();
    }
}

/// A membership change without a cause ends with the same members, and no message is lost.
#[test]
fn an_interface_that_comes_back_causes_only_a_new_ring() {
    let mut c = Cluster::seeded(12, 1..=3);
    c.settle();
    for _ in 0..20 {
        c.wish(1, 3000, Guarantee::Safe);
    }
    c.input(2, Input::Interface);
    assert_eq!(c.totem(2).state(), StateName::Gather);
    c.finish();
    assert_eq!(c.members(1), [1, 2, 3]);
    assert!(c.views(1).last().unwrap().joined.is_empty());
}
