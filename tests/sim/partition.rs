//! Rings that are cut and healed: evenly, unevenly, in one direction, and again while they recover.

use std::time::Duration;

use annulus::ids::Guarantee;
use annulus::totem::wire::Kind;

use crate::cluster::{Cluster, Load};

fn steady() -> Load {
    Load {
        every: Duration::from_millis(1)..Duration::from_millis(30),
        sizes: vec![24..400, 24..400, 1000..9000],
        safe: 0.5,
        answers: 0.02,
        unruly: 0.0,
    }
}

/// Totem, membership: a ring that is cut becomes two rings, and one again when the cut heals.
#[test]
fn a_cut_ring_becomes_one_again() {
    let mut c = Cluster::seeded(7, 1..=4);
    c.settle();
    c.network.cut(&[1, 2], &[3, 4]);
    c.run_until("two rings", |c| c.on_one_ring(&[1, 2]) && c.on_one_ring(&[3, 4]));
    c.wish(1, 1000, Guarantee::Safe);
    c.wish(3, 1000, Guarantee::Agreed);
    c.run(Duration::from_millis(50));
    assert!(c.nothing_due(), "each side goes on by itself");
    c.network.heal();
    c.run_until("one ring", |c| c.on_one_ring(&[1, 2, 3, 4]));
    c.finish();
}

/// A lone node is cut off under load, and comes back.
#[test]
fn a_node_cut_off_under_load_comes_back() {
    let mut c = Cluster::seeded(21, 1..=5);
    c.settle();
    c.work(steady());
    c.run(Duration::from_millis(300));
    c.network.cut(&[1], &[2, 3, 4, 5]);
    c.run_until("two rings", |c| c.on_one_ring(&[1]) && c.on_one_ring(&[2, 3, 4, 5]));
    c.run(Duration::from_millis(300));
    c.network.heal();
    c.run_until("one ring", |c| c.on_one_ring(&[1, 2, 3, 4, 5]));
    c.finish();
}

/// Under load, messages are split across packets. A node that joins a ring lacks at most one message of each sender:
/// the one that began before the node joined.
#[test]
fn a_newcomer_lacks_only_messages_that_began_before_it_joined() {
    let mut torn = 0;
    for seed in 70..80 {
        let mut c = Cluster::seeded(seed, 1..=3);
        c.settle();
        c.work(Load {
            every: Duration::from_micros(50)..Duration::from_micros(100),
            sizes: vec![900..1100, 1100..1300],
            safe: 0.0,
            answers: 0.0,
            unruly: 0.0,
        });
        c.run(Duration::from_millis(100));
        c.network.cut(&[1, 2], &[3]);
        c.run_until("two rings", |c| c.on_one_ring(&[1, 2]) && c.on_one_ring(&[3]));
        c.run(Duration::from_millis(20));
        c.network.heal();
        c.run_until("one ring", |c| c.on_one_ring(&[1, 2, 3]));
        c.run(Duration::from_millis(100));
        c.finish();
        torn += c.torn_rows().into_iter().inspect(|(_, count)| assert!(*count <= 1, "seed {seed}")).count();
    }
    assert_ne!(torn, 0, "no message was split over a view");
}

/// EVS: the cut moves again and again while the ring recovers.
#[test]
fn cuts_during_recovery_break_no_property() {
    for seed in 30..50 {
        let mut c = Cluster::seeded(seed, 1..=5);
        c.settle();
        c.work(steady());
        c.run(Duration::from_millis(200));
        let sides: [&[u32]; 5] = [&[1, 2], &[1, 3, 5], &[5], &[2, 3], &[1]];
        for side in sides {
            let before = c.totem(3).stats().recovery_entered;
            let rest: Vec<u32> = (1..=5).filter(|node| !side.contains(node)).collect();
            c.network.heal();
            c.network.cut(side, &rest);
            c.run_until("a recovery", |c| c.totem(3).stats().recovery_entered > before);
        }
        c.network.heal();
        c.finish();
    }
}

/// A node that is heard but cannot hear keeps breaking the ring until the path is healed, and no property breaks
/// meanwhile.
#[test]
fn a_node_that_cannot_hear_breaks_no_property() {
    let mut c = Cluster::seeded(60, 1..=4);
    c.settle();
    c.work(steady());
    c.run(Duration::from_millis(200));
    c.network.cut_one_way(&[1, 2, 3], &[4]);
    c.run(c.setup.timeouts().token * 8);
    c.check(crate::checkers::End::Anywhere);
    c.network.heal();
    c.finish();
}

/// Only data is lost in one direction, so the token goes round: retransmission requests bring what is missing.
#[test]
fn a_node_that_loses_data_requests_it_until_it_arrives() {
    let mut c = Cluster::seeded(61, 1..=3);
    c.settle();
    c.work(steady());
    c.network.filter = Some(Box::new(|p| p.kind == Some(Kind::Mcast) && p.to == 3 && p.from == 1));
    c.run(Duration::from_millis(500));
    c.network.filter = None;
    c.finish();
    assert_ne!(c.totem(1).stats().mcast_retx + c.totem(2).stats().mcast_retx, 0);
    assert_eq!(c.views(1).len(), c.views(2).len(), "nobody was given up");
}
