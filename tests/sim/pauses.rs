//! Nodes that did not run for a while: they accuse nobody, ask, and are taken back.

use std::time::Duration;

use annulus::ids::Guarantee;
use annulus::time::Instant;
use annulus::view::View;

use crate::cluster::Cluster;
use crate::network::id;

/// What follows from a pause of a node.
struct Seen {
    /// From the end of the pause until all are on one ring.
    time: Duration,
    /// The members in the regular views of the node that paused, since it began.
    own: Vec<Vec<u32>>,
    /// Those of another node.
    other: Vec<Vec<u32>>,
}

fn members(views: &[&View]) -> Vec<Vec<u32>> {
    views.iter().map(|view| view.members.iter().map(|node| node.get()).collect()).collect()
}

/// In a ring of so many nodes, one does not run for so many token time-outs.
fn pause(nodes: u32, paused: u32, times: f64, timers_first: bool, busy: bool) -> Seen {
    let mut c = Cluster::seeded(1200 + u64::from(paused), 1..=nodes);
    c.settle();
    c.run(Duration::from_millis(330));
    let other = paused % nodes + 1;
    let before = (c.views(paused).len(), c.views(other).len());
    if busy {
        for node in 1..=nodes {
            c.wish(node, 5000, Guarantee::Safe);
        }
    }
    c.pause(paused);
    c.run(c.setup.timeouts().token.mul_f64(times));
    if busy {
        c.wish(other, 5000, Guarantee::Agreed);
    }
    let woke: Instant = c.now;
    c.resume(paused, timers_first);
    c.run_until("one ring", Cluster::one_ring);
    let time = c.now.since(woke);
    c.finish();
    let (own, others) = (c.views(paused), c.views(other));
    Seen { time, own: members(&own[before.0..]), other: members(&others[before.1..]) }
}

fn each(check: impl Fn(u32, f64, Seen)) {
    for nodes in [2, 3] {
        for paused in 1..=nodes {
            for times in [0.5, 0.75, 2.0, 10.0] {
                for (timers_first, busy) in [(false, false), (false, true), (true, false), (true, true)] {
                    check(nodes, times, pause(nodes, paused, times, timers_first, busy));
                }
            }
        }
    }
}

/// However long it did not run, a node that wakes installs no ring without a node that is reachable.
#[test]
fn a_node_that_paused_forms_no_ring_without_the_others() {
    each(|nodes, times, seen| {
        let all: Vec<u32> = (1..=nodes).collect();
        assert!(seen.own.iter().all(|view| *view == all), "{times} of {nodes}: {:?}", seen.own);
        assert!(seen.own.len() <= 1, "{times} of {nodes}: one ring is enough, not {:?}", seen.own);
    });
}

/// The others see it leave at most once, and come back; a pause that is shorter than the token time-out they do not
/// see.
#[test]
fn the_others_see_at_most_one_ring_without_the_node_that_paused() {
    each(|nodes, times, seen| {
        let all: Vec<u32> = (1..=nodes).collect();
        let (last, between) = seen.other.split_last().unwrap_or((&all, &[]));
        assert_eq!(*last, all);
        // By 2.2 token time-outs, and a little more, nobody is given up.
        let expected = usize::from(times > 2.0);
        assert_eq!(between.len(), expected, "{times} of {nodes}: {:?}", seen.other);
        if times < 1.0 {
            assert_eq!(seen.other.len(), 0, "{times} of {nodes}: the ring was broken: {:?}", seen.other);
        }
    });
}

/// It is back long before a token could be missed: the others' messages that waited tell it what has happened.
#[test]
fn a_node_that_paused_is_back_at_once() {
    each(|nodes, times, seen| {
        assert!(seen.time < Duration::from_millis(300), "{times} of {nodes}: {:?}", seen.time);
    });
}

/// A member that went away while the node paused is missed in due time, not sooner and not much later.
#[test]
fn a_member_that_is_gone_is_given_up_after_a_pause_in_due_time() {
    for timers_first in [false, true] {
        let mut c = Cluster::seeded(1210, 1..=2);
        c.settle();
        let timeouts = c.setup.timeouts();
        c.pause(1);
        c.run(timeouts.token * 3);
        c.crash(2);
        c.run(timeouts.token * 3);
        let woke = c.now;
        c.resume(1, timers_first);
        c.run_until("alone", |c| c.members(1) == [1]);
        let took = c.now.since(woke);
        let fair =
            timeouts.token_retransmit..timeouts.token + timeouts.consensus + Duration::from_millis(100);
        assert!(fair.contains(&took), "{took:?}");
        c.finish();
    }
}

/// A node that pauses again and again, as a starved one does, does not break the ring that waits for it each time.
#[test]
fn a_starved_node_stays_on_the_ring() {
    let mut c = Cluster::seeded(1211, 1..=3);
    c.settle();
    let (ring, token) = (c.ring(2), c.setup.timeouts().token);
    for turn in 0..30 {
        c.pause(2);
        c.run(token.mul_f64(0.7));
        c.resume(2, turn % 2 == 0);
        c.run(Duration::from_millis(10));
    }
    assert_eq!(c.ring(2), ring);
    c.finish();
}

/// A whole host stops with all nodes on it: nobody has given up anybody, and the ring goes on.
#[test]
fn nodes_that_paused_together_go_on_together() {
    let mut c = Cluster::seeded(1212, 1..=3);
    c.settle();
    let ring = c.ring(1);
    (1..=3).for_each(|node| c.pause(node));
    c.run(c.setup.timeouts().token * 20);
    (1..=3).for_each(|node| c.resume(node, node != 2));
    c.run(c.setup.timeouts().token * 3);
    assert!((1..=3).all(|node| c.ring(node) == ring && c.members(node).contains(&id(node).get())));
    c.finish();
}
