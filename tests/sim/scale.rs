//! Clusters of 32 and 100 nodes.

use std::time::Duration;

use annulus::config::timeouts::Given;
use annulus::ids::Guarantee;

use crate::cluster::{Cluster, Setup};

/// `count` nodes with the default timers, all started within a second.
fn cold_start(count: u32, seed: u64) -> Cluster {
    let mut setup = Setup::new(seed, 1..=count);
    setup.given = Given { send_join: Some(80), ..Given::default() };
    let mut c = setup.build();
    c.step_limit = 20_000_000;
    for node in 1..=count {
        c.start(node);
        c.run(Duration::from_millis(u64::from(node * 7 % 20)));
    }
    c
}

/// 32 nodes that all start within a second form one ring.
#[test]
fn thirty_two_nodes_become_one_ring() {
    let mut c = cold_start(32, 401);
    c.settle();
    assert_eq!(c.members(32).len(), 32);
    for node in [1, 17, 32] {
        c.wish(node, 20_000, Guarantee::Safe);
    }
    c.finish();
}

/// A hundred nodes that all start within a second form one ring, and another one when a node is lost.
#[test]
fn a_hundred_nodes_become_one_ring() {
    let mut c = cold_start(100, 402);
    c.settle();
    assert_eq!(c.members(100).len(), 100);
    c.wish(50, 20_000, Guarantee::Agreed);
    c.leave(77);
    c.run_until("ninety-nine on the ring", Cluster::one_ring);
    c.finish();
}
