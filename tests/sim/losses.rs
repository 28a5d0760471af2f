//! Members that lose frames: the counts of the others, and of themselves, tell which.

use std::time::Duration;

use annulus::ids::Guarantee;
use annulus::totem::Tally;
use annulus::totem::wire::Kind;

use crate::cluster::Cluster;
use crate::network::Parcel;

/// A ring of four that each send for two seconds, while each tenth data frame that `affected` names is lost. Returns
/// what each node has counted of each, in ascending order.
fn counted(seed: u64, affected: impl Fn(&Parcel<'_>) -> bool + 'static) -> Vec<Vec<Tally>> {
    let mut c = Cluster::seeded(seed, 1..=4);
    c.settle();
    let (ring, mut frames) = (c.ring(1), 0);
    c.network.filter = Some(Box::new(move |p| {
        let counts = p.kind == Some(Kind::Mcast) && affected(p);
        frames += u32::from(counts);
        counts && frames % 10 == 0
    }));
    for _ in 0..400 {
        (1..=4).for_each(|node| c.wish(node, 1000, Guarantee::Agreed));
        c.run(Duration::from_millis(5));
    }
    c.network.filter = None;
    assert_eq!(c.ring(1), ring, "the ring goes on");
    let all = (1..=4).map(|node| c.totem(node).tallies().map(|(_, tally)| tally).collect()).collect();
    c.finish();
    all
}

fn share(part: u64, all: impl Iterator<Item = u64>) -> f64 {
    part as f64 / all.sum::<u64>().max(1) as f64
}

#[test]
fn all_members_see_which_one_lacks_frames() {
    for (node, tallies) in (1..).zip(counted(1300, |p| p.to == 3)) {
        let lacked = tallies[2].lacked;
        assert!(lacked >= 35, "node {node}: {tallies:?}");
        let of_all = share(lacked, tallies.iter().map(|tally| tally.lacked));
        assert!(of_all > 0.95, "node {node}: {tallies:?}");
        let senders = [0, 1, 3].map(|sender| share(tallies[sender].lost, tallies.iter().map(|t| t.lost)));
        assert!(senders.iter().all(|share| (0.1..0.6).contains(share)), "node {node}: {tallies:?}");
    }
}

#[test]
fn all_members_see_whose_frames_are_lacked() {
    let seen = counted(1301, |p| p.from == 2);
    for (node, tallies) in (1..).zip(&seen) {
        assert!(tallies[1].lost >= 35, "node {node}: {tallies:?}");
        let of_all = share(tallies[1].lost, tallies.iter().map(|tally| tally.lost));
        assert!(of_all > 0.95, "node {node}: {tallies:?}");
    }
    // Each lacks some of them, which it knows itself at least.
    for node in [0, 2, 3] {
        assert!(seen[node][node].lacked >= 10, "node {}: {:?}", node + 1, seen[node]);
        assert!(
            share(seen[node][node].lacked, seen[node].iter().map(|tally| tally.lacked)) < 0.8,
            "{seen:?}"
        );
    }
}

#[test]
fn nothing_is_lost_on_a_good_network() {
    for tallies in counted(1302, |_| false) {
        assert!(
            tallies.iter().all(|tally| tally.sent > 300 && tally.lost + tally.lacked == 0),
            "{tallies:?}"
        );
    }
}
