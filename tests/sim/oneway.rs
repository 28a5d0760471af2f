//! Paths on which datagrams arrive in one direction only.

use std::time::Duration;

use annulus::totem::StateName;

use crate::cluster::Cluster;

/// All datagrams of one node are lost, but it hears the others. It goes on alone, and does not leave its ring again
/// and again because of what it hears; when the others hear it again, all are on one ring at once.
#[test]
fn a_node_that_nobody_hears_stays_on_its_own_ring() {
    for unheard in [1, 2, 3] {
        let mut c = Cluster::seeded(11, [1, 2, 3]);
        c.settle();
        let others: Vec<u32> = [1, 2, 3].into_iter().filter(|node| *node != unheard).collect();
        c.network.cut_one_way(&[unheard], &others);
        c.run_until("two rings", |c| c.on_one_ring(&others) && c.on_one_ring(&[unheard]));
        // The node still hears messages of the others and the probes of their representative.
        c.run(Duration::from_secs(20));
        let before = c.views(unheard).len();
        let mut apart = 0;
        for _ in 0..600 {
            c.run(Duration::from_millis(100));
            apart += u32::from(c.totem(unheard).state() != StateName::Operational);
        }
        let rings = c.views(unheard).len() - before;
        assert!(rings <= 8, "node {unheard}: {rings} rings in a minute");
        assert!(apart <= 120, "node {unheard}: {apart} of 600 times in no operating ring");
        assert_eq!(c.members(unheard), [unheard]);

        c.network.heal();
        c.run_until_within(Duration::from_secs(3), "one ring again", Cluster::one_ring);
        c.finish();
    }
}

/// The report says which direction is lost. It tells three cases apart: a node is heard but does not hear this one; a
/// node is not heard; a node hears this node's join messages but sends no token.
#[test]
fn the_report_names_the_lost_direction() {
    let why = |c: &Cluster, node: u32| c.totem(node).why_no_ring(c.now);
    let mut c = Cluster::seeded(12, [1, 2, 3]);
    c.settle();
    c.network.cut_one_way(&[1], &[2]);
    c.network.cut(&[1], &[3]);
    c.run_until("the others' ring", |c| c.on_one_ring(&[2, 3]));
    c.run_until("gathering alone", |c| {
        c.totem(1).state() == StateName::Gather && why(c, 1).contains("does not arrive: node 2 is heard")
    });
    c.network.heal();
    c.settle();

    c.network.cut(&[1, 2], &[3]);
    c.run_until("gathering", |c| c.totem(1).state() == StateName::Gather);
    c.run_until("the silence is noticed", |c| why(c, 1).contains("nothing is heard from node 3"));
    c.network.heal();
    c.settle();

    // Tokens of both kinds are lost, but join messages arrive.
    c.network.filter = Some(Box::new(|parcel| {
        matches!(parcel.kind, Some(annulus::totem::wire::Kind::Token | annulus::totem::wire::Kind::Commit))
    }));
    c.run_until("nobody on a ring", |c| c.totem(1).state() != StateName::Operational);
    c.run(Duration::from_secs(5));
    assert!(why(&c, 1).contains("node 2 3 and this node hear each other's join messages"), "{}", why(&c, 1));
    c.network.filter = None;
    c.finish();
}
