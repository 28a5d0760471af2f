//! Members whose datagrams get lost, or whose link comes and goes, are left out of the ring for a while; nobody else is.

use std::time::Duration;

use annulus::config::timeouts::Given;

use super::detection::{SAID, setup};
use crate::cluster::{Cluster, Load};
use crate::network::Quality;

/// For how long a member may burden the ring.
const PATIENCE: Duration = Duration::from_secs(20);
/// For how long it is left out the first time.
const OUT: Duration = Duration::from_secs(60);

/// This many nodes on one ring, whose clients are at work.
fn at_work(seed: u64, nodes: u32) -> Cluster {
    let mut setup = setup(seed, nodes, Quality::good());
    let patience = PATIENCE.as_secs() as u32;
    setup.given = Given { loss_patience: Some(patience), ..setup.given };
    let mut c = setup.build();
    c.step_limit = 100_000_000;
    c.start_all();
    c.settle();
    c.run(SAID);
    c.work(Load {
        every: Duration::from_millis(8)..Duration::from_millis(20),
        sizes: vec![100..600, 600..1000],
        safe: 0.2,
        answers: 0.0,
        unruly: 0.0,
    });
    c
}

/// On the way from `from` to `to`, this share of datagrams is lost.
fn lose(c: &mut Cluster, from: &[u32], to: &[u32], share: f64) {
    for (a, b) in from.iter().flat_map(|a| to.iter().map(|b| (*a, *b))) {
        if a != b {
            c.network.links.insert((a, b), Quality::lossy(share));
        }
    }
}

#[test]
fn a_member_that_loses_datagrams_is_left_out_and_comes_back_when_it_is_mended() {
    let all = [1, 2, 3, 4];
    for (seed, into, out_of) in [(1, 0.3, 0.0), (2, 0.0, 0.3), (3, 0.35, 0.35)] {
        let mut c = at_work(seed, 4);
        let began = c.now;
        lose(&mut c, &all, &[3], into);
        lose(&mut c, &[3], &all, out_of);
        c.run_until_within(PATIENCE * 3, "without node 3", |c| {
            c.on_one_ring(&[1, 2, 4]) && c.on_one_ring(&[3])
        });
        let took = c.now.since(began);
        assert!(took >= PATIENCE, "{took:?}");
        let views = [1, 2, 4].map(|node| c.views(node).len());
        c.network.heal();
        c.run(OUT - PATIENCE);
        assert!(c.on_one_ring(&[1, 2, 4]) && c.on_one_ring(&[3]), "it is left out\n{}", c.report());
        assert_eq!([1, 2, 4].map(|node| c.views(node).len()), views, "it disturbs nobody meanwhile");
        c.run_until_within(PATIENCE * 2, "all again", |c| c.on_one_ring(&all));
        c.rest();
        c.finish_whole();
    }
}

/// The node is told by the ring that it joins. If the member that is left out starts anew, and so knows nothing, between
/// the first ring with the node and that message, it ends a few rings.
#[test]
fn a_node_that_starts_meanwhile_ignores_the_member_that_is_left_out() {
    for (seed, told, rings) in [(4, Duration::ZERO, 6), (5, Duration::from_secs(1), 0)] {
        a_node_and_the_member_that_is_left_out_start(seed, told, rings);
    }
}

fn a_node_and_the_member_that_is_left_out_start(seed: u64, told: Duration, most: usize) {
    let all = [1, 2, 3, 4, 5];
    let mut c = at_work(seed, 5);
    c.crash(5);
    c.run_until("four", |c| c.on_one_ring(&[1, 2, 3, 4]));
    lose(&mut c, &all, &[3], 0.3);
    c.run_until_within(PATIENCE * 3, "without node 3", |c| c.on_one_ring(&[1, 2, 4]) && c.on_one_ring(&[3]));
    c.network.heal();
    c.start(5);
    c.run_until_within(Duration::from_secs(20), "four with node 5", |c| c.on_one_ring(&[1, 2, 4, 5]));
    c.run(told);
    let views = c.views(1).len();
    c.crash(3);
    c.start(3);
    c.run(Duration::from_secs(2));
    let rings = c.views(1).len();
    assert!(rings <= views + 2 * most, "{}", c.report());
    c.run(Duration::from_secs(20));
    assert!(c.on_one_ring(&[1, 2, 4, 5]), "{}", c.report());
    assert_eq!(c.views(1).len(), rings, "{}", c.report());
    c.run_until_within(OUT, "all again", |c| c.on_one_ring(&all));
    c.rest();
    c.finish_whole();
}

#[test]
fn a_member_that_the_majority_needs_is_borne() {
    let mut c = at_work(5, 5);
    c.crash(4);
    c.crash(5);
    c.run_until("three", |c| c.on_one_ring(&[1, 2, 3]));
    lose(&mut c, &[1, 2], &[3], 0.3);
    c.run(PATIENCE * 5);
    assert!(c.on_one_ring(&[1, 2, 3]), "{}", c.report());
}

#[test]
fn losses_that_all_share_leave_nobody_out() {
    let all = [1, 2, 3, 4];
    let mut c = at_work(6, 4);
    lose(&mut c, &all, &all, 0.25);
    for _ in 0..PATIENCE.as_secs() * 4 {
        c.run(Duration::from_secs(1));
        assert!(!c.on_one_ring(&[1]) && c.members(1).len() >= 3, "{}", c.report());
    }
}

#[test]
fn a_member_whose_link_comes_and_goes_is_left_out() {
    let mut c = at_work(7, 4);
    let limit = PATIENCE * 5;
    let began = c.now;
    let mut cuts = 0;
    while c.now.since(began) < limit {
        c.network.cut(&[1, 2, 4], &[3]);
        c.run_until_within(Duration::from_secs(15), "without node 3", |c| c.on_one_ring(&[1, 2, 4]));
        c.network.heal();
        cuts += 1;
        c.run(Duration::from_secs(8));
        if c.members(3) == [3] {
            break;
        }
    }
    assert!((5..=8).contains(&cuts), "{cuts}");
    c.run(OUT / 2);
    assert!(c.on_one_ring(&[1, 2, 4]) && c.on_one_ring(&[3]), "{}", c.report());
    c.run_until_within(OUT, "all again", |c| c.on_one_ring(&[1, 2, 3, 4]));
}
