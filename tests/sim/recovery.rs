//! What happens to the old ring's messages when the ring changes.

use std::time::Duration;

use annulus::ids::{Guarantee, Seq};
use annulus::totem::Input;
use annulus::totem::wire::{Encapsulated, Frame, Kind};
use annulus::view::ViewKind;

use crate::cluster::{Cluster, Setup};
use crate::network::Parcel;
use crate::trace::{Event, Msg};

/// The kind of configuration in which `node` delivered `msg`, or `None` if it did not: that of the last view before
/// it.
fn delivered_in(c: &Cluster, node: u32, msg: Msg) -> Option<ViewKind> {
    let mut kind = None;
    for (_, event) in c.events(node) {
        match event {
            Event::View(view) => kind = Some(view.kind),
            Event::Deliver(delivered) if *delivered == msg => return kind,
            _ => {}
        }
    }
    None
}

fn is_plain(parcel: &Parcel<'_>) -> bool {
    matches!(parcel.frame(), Some(Frame::Mcast(mcast)) if mcast.encapsulated == Encapsulated::Plain)
}

/// The last rotations of a recovery exchange nothing, they only show all members that all have everything. The token
/// is not held in them, even if the ring is configured to hold it after the second idle rotation. Found by seeds whose
/// slow networks then needed longer for a ring than they were given.
#[test]
fn the_token_is_not_held_in_the_last_rotations_of_a_recovery() {
    let mut setup = Setup::new(200, 1..=3);
    setup.given.seqno_unchanged_const = Some(2);
    let mut c = setup.build();
    let hold = c.setup.timeouts().hold;
    c.start_all();
    c.settle();
    let ring = c.ring(1);
    c.input(2, Input::Interface);
    let before = c.now;
    c.run_until("another ring", |c| c.one_ring() && c.ring(1) != ring);
    assert!(c.now.since(before) < hold, "{:?}", c.now.since(before));
    c.finish();
}

/// Totem, recovery: a message that only one of the survivors holds reaches all of them. Only node 3 receives it from
/// node 1, which crashes at once.
#[test]
fn a_message_held_by_one_survivor_reaches_all() {
    for origin in [Seq(0), Seq(0).minus(5)] {
        let mut setup = Setup::new(201, 1..=4);
        setup.origin = origin;
        let mut c = setup.build();
        c.start_all();
        c.settle();
        c.network.filter = Some(Box::new(|p| is_plain(p) && p.from == 1 && p.to != 3));
        let msg = c.submit(1, 300, Guarantee::Agreed).unwrap();
        c.run_until("multicast", |c| c.has_delivered(3, msg));
        c.network.filter = None;
        c.crash(1);
        c.run_until("the others on a ring", |c| c.on_one_ring(&[2, 3, 4]));
        for node in 2..=4 {
            assert_eq!(delivered_in(&c, node, msg), Some(ViewKind::Regular), "node {node}");
        }
        assert_ne!(c.totem(3).stats().recovery_entered, 0);
        c.finish();
    }
}

/// EVS: messages of a departed member after a hole that nobody can fill are dropped by all survivors;
/// those of survivors are delivered in the transitional configuration.
#[test]
fn after_a_hole_only_messages_of_survivors_are_delivered() {
    let mut c = Cluster::seeded(202, 1..=4);
    c.settle();
    // Node 4's first message reaches nobody, and it crashes before anybody can ask for it.
    let mut lost = false;
    c.network.filter = Some(Box::new(move |p| {
        let Some(Frame::Mcast(mcast)) = p.frame() else { return false };
        let seq = mcast.seq;
        lost |= mcast.from.get() == 4;
        lost && mcast.from.get() == 4 && seq.0 % 2 == 1
    }));
    let mut messages = Vec::new();
    for _ in 0..6 {
        messages.push(c.submit(4, 1390, Guarantee::Agreed).unwrap());
    }
    c.run_until("multicast", |c| c.trace.sent[messages[5]].on.is_some());
    let survivor = c.submit(2, 200, Guarantee::Agreed).unwrap();
    c.run_until("multicast", |c| c.trace.sent[survivor].on.is_some());
    c.crash(4);
    c.network.filter = None;
    c.run_until("the others on a ring", |c| c.on_one_ring(&[1, 2, 3]));
    let dropped = messages.iter().filter(|msg| !c.has_delivered(1, **msg)).count();
    assert!(dropped >= 3, "{dropped} of node 4's messages are missing");
    let last = *messages.last().unwrap();
    for node in 1..=3 {
        assert!(!c.has_delivered(node, last), "node {node} delivers what may depend on what is lost");
        assert_eq!(delivered_in(&c, node, survivor), Some(ViewKind::Transitional), "node {node}");
    }
    c.finish();
}

/// EVS 7: a safe message waits until all members have it, and agreed messages behind it wait too.
#[test]
fn a_safe_message_waits_until_all_members_have_it() {
    let mut c = Cluster::seeded(203, 1..=3);
    c.settle();
    c.network.filter = Some(Box::new(|p| p.kind == Some(Kind::Mcast) && p.to == 3));
    let safe = c.submit(1, 100, Guarantee::Safe).unwrap();
    c.run_until("multicast", |c| c.trace.sent[safe].on.is_some());
    let agreed = c.submit(2, 100, Guarantee::Agreed).unwrap();
    c.run(Duration::from_millis(300));
    for node in 1..=3 {
        assert!(!c.has_delivered(node, safe), "node {node} does not know that node 3 has it");
        assert!(!c.has_delivered(node, agreed), "node {node} lets a message overtake it");
    }
    c.network.filter = None;
    c.run_until("delivered", |c| (1..=3).all(|node| c.has_delivered(node, agreed)));
    assert_eq!(delivered_in(&c, 3, safe), Some(ViewKind::Regular));
    c.finish();
}

/// EVS: a safe message that one member never had is delivered by the others in the transitional
/// configuration, without that member.
#[test]
fn a_safe_message_that_one_member_lacks_is_delivered_in_the_transitional_view() {
    let mut c = Cluster::seeded(204, 1..=3);
    c.settle();
    c.network.filter = Some(Box::new(|p| p.kind == Some(Kind::Mcast) && p.to == 3));
    let safe = c.submit(1, 100, Guarantee::Safe).unwrap();
    c.run_until("multicast", |c| c.trace.sent[safe].on.is_some());
    c.run(Duration::from_millis(50));
    c.crash(3);
    c.network.filter = None;
    c.run_until("two on the ring", |c| c.on_one_ring(&[1, 2]));
    for node in 1..=2 {
        assert_eq!(delivered_in(&c, node, safe), Some(ViewKind::Transitional), "node {node}");
    }
    c.finish();
}

/// If one member knows that a message is safe, all members that move to the new ring with it deliver the message in
/// the old regular configuration. Found by the swarm (`swarm.rs`).
#[test]
fn a_message_known_safe_to_one_member_is_delivered_as_safe_by_all() {
    for seed in 205..245 {
        let mut c = Cluster::seeded(seed, 1..=4);
        c.settle();
        for node in 1..=4 {
            c.wish(node, 500, Guarantee::Safe);
        }
        // The cut may fall anywhere in the rotations that make the messages safe.
        c.run(Duration::from_micros(40 * (seed - 205)));
        c.network.cut(&[1, 2], &[3, 4]);
        c.run_until("two rings", |c| c.on_one_ring(&[1, 2]) && c.on_one_ring(&[3, 4]));
        c.network.heal();
        c.finish();
    }
}

/// A node gives up a recovery that others completed: it still keeps the messages that the recovery brought. Found by
/// the swarm (`swarm.rs`).
#[test]
fn messages_of_an_abandoned_recovery_are_kept() {
    for seed in 250..280 {
        let mut c = Cluster::seeded(seed, 1..=4);
        c.settle();
        c.network.filter = Some(Box::new(|p| is_plain(p) && p.from == 4 && p.to == 3));
        c.submit(4, 27_000, Guarantee::Safe).unwrap();
        c.run(Duration::from_millis(5));
        c.network.filter = None;
        c.crash(4);
        c.run_until("a recovery", |c| c.totem(3).stats().recovery_entered > 1);
        // Node 3 is cut off at some point of the recovery.
        c.run(Duration::from_micros(100 * (seed - 250)));
        c.network.cut(&[3], &[1, 2]);
        c.run_until("two rings", |c| c.on_one_ring(&[3]) && c.on_one_ring(&[1, 2]));
        c.network.heal();
        c.finish();
    }
}

/// The ring changes in the middle of a long message, with a synchronisation in between: nodes that stay receive the
/// message whole, and a node that joins meanwhile does not receive it at all.
#[test]
fn a_long_message_continues_after_a_synchronisation() {
    let mut setup = Setup::new(281, 1..=4);
    setup.told_in_sync = 24..5000;
    let mut c = setup.build();
    for node in 1..=3 {
        c.start(node);
    }
    c.settle();
    let long = c.submit(2, 900_000, Guarantee::Agreed).unwrap();
    let short = c.submit(2, 100, Guarantee::Agreed).unwrap();
    c.run(Duration::from_millis(2));
    c.start(4);
    c.run_until("delivered", |c| (1..=3).all(|node| c.has_delivered(node, short)));
    assert_eq!(c.members(2), [1, 2, 3, 4]);
    assert!((1..=3).all(|node| c.has_delivered(node, long)));
    assert!(!c.has_delivered(4, long));
    c.finish();
}
