//! Cold starts of large clusters, with the default timers, where handling a datagram costs time.

use std::time::Duration;

use annulus::config::timeouts::Given;

use crate::cluster::{Cluster, Setup};
use crate::processors::{Processors, Schedule};

/// What handling a datagram costs its node.
const COST: Duration = Duration::from_micros(20);

/// When the nodes of a cluster start.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// All within 20 ms.
    Together,
    /// All within a second.
    Second,
    /// Every other one 5 s after the first half.
    HalfLate,
}

impl Start {
    /// The start of the node with this number, of so many.
    fn of(self, node: u32, count: u32) -> Duration {
        // Not in the order of their ids.
        let place = u64::from(node * 37 % count);
        let of = |micros: u64| Duration::from_micros(micros * place / u64::from(count));
        match self {
            Self::Together => of(20_000),
            Self::Second => of(1_000_000),
            Self::HalfLate => of(20_000) + Duration::from_secs(5) * (node % 2),
        }
    }
}

/// What a cold start took.
#[derive(Debug)]
struct Cost {
    /// From the start of the last node to one ring of all; `None`: there was none in time.
    time: Option<Duration>,
    /// Rings that a node was on at most and in the mean, the last one included.
    views: (usize, f64),
    /// Join messages that a node multicast in the mean.
    joins: f64,
    /// Datagrams that were lost because their node was too busy.
    lost: u64,
}

/// A cluster with the default timers, whose nodes start at these times.
#[derive(Clone, Copy, Debug)]
struct Cold {
    count: u32,
    start: Start,
    /// Whether each node has the list of all.
    listed: bool,
    processors: Processors,
}

impl Cold {
    fn setup(self) -> Setup {
        Setup {
            given: Given::default(),
            listed: self.listed,
            schedule: Some(Schedule::new(self.processors, COST)),
            ..Setup::new(self.count.into(), 1..=self.count)
        }
    }

    /// Starts the nodes and runs until they are on one ring, for at most a minute.
    fn run(self) -> (Cluster, Cost) {
        let count = self.count;
        let mut c = self.setup().build();
        c.step_limit = u64::MAX;
        let mut order: Vec<(Duration, u32)> =
            (1..=count).map(|node| (self.start.of(node, count), node)).collect();
        order.sort_unstable();
        let begun = c.now;
        for (at, node) in order {
            c.run(at.saturating_sub(c.now.since(begun)));
            c.start(node);
        }
        let begun = c.now;
        while !c.one_ring() && c.now.since(begun) < Duration::from_secs(60) {
            c.run(Duration::from_millis(10));
        }
        let views: Vec<usize> = (1..=count).map(|node| c.views(node).len()).collect();
        let mean = |sum: u64| sum as f64 / f64::from(count);
        let cost = Cost {
            time: c.one_ring().then(|| c.now.since(begun)),
            views: (
                views.iter().copied().max().unwrap_or_default(),
                mean(views.iter().map(|views| *views as u64).sum()),
            ),
            joins: mean(c.alive().map(|(_, process)| process.totem().stats().memb_join_tx).sum()),
            lost: c.setup.schedule.as_ref().map_or(0, |schedule| schedule.lost),
        };
        (c, cost)
    }

    /// As [`Cold::run`], within `limit`, with at most so many rings and a few join messages at a node, and nothing lost.
    fn succeeds(self, limit: Duration, rings: usize) -> Cluster {
        let (c, cost) = self.run();
        assert!(cost.time.is_some_and(|time| time <= limit), "{self:?}: {cost:?}");
        assert!(cost.views.0 <= rings && cost.joins <= 24.0 && cost.lost == 0, "{self:?}: {cost:?}");
        c
    }
}

/// On two processors, as in a lab.
const LAB: Processors = Processors::Shared(2);

#[test]
fn thirty_two_hosts_become_one_ring_with_hardly_another_on_the_way() {
    for start in [Start::Together, Start::Second, Start::HalfLate] {
        let cold = Cold { count: 32, start, listed: true, processors: LAB };
        let mut c = cold.succeeds(Duration::from_secs(1), 3);
        c.finish();
    }
}

#[test]
fn sixty_four_hosts_on_two_processors_become_one_ring() {
    for start in [Start::Together, Start::HalfLate] {
        Cold { count: 64, start, listed: true, processors: LAB }.succeeds(Duration::from_secs(1), 3);
    }
}

/// Members that accepted the commit token of a ring that others will not accept must not wait until it counts as lost,
/// which takes 12 s here.
#[test]
fn nodes_without_a_list_that_agree_by_parts_do_not_wait_for_a_lost_token() {
    for (count, start) in [(16, Start::Together), (16, Start::HalfLate), (32, Start::Together)] {
        let cold = Cold { count, start, listed: false, processors: LAB };
        cold.succeeds(Duration::from_secs(1), usize::MAX);
    }
}

#[test]
fn a_host_of_a_large_ring_leaves_and_returns_with_one_ring_each() {
    let (mut c, _) = Cold { count: 32, start: Start::Together, listed: true, processors: LAB }.run();
    c.leave(16);
    c.run_until_within(Duration::from_secs(1), "one ring of the others", Cluster::one_ring);
    let before = c.views(1).len();
    c.start(16);
    c.run_until_within(Duration::from_secs(1), "one ring of all", Cluster::one_ring);
    assert_eq!(c.views(1).len(), before + 1);
    c.finish();
}

#[test]
fn a_hundred_and_twenty_eight_hosts_become_one_ring_though_half_of_them_start_late() {
    let cold = Cold { count: 128, start: Start::HalfLate, listed: true, processors: Processors::Each };
    cold.succeeds(Duration::from_secs(3), 3);
}

#[test]
#[ignore = "minutes"]
fn as_many_hosts_as_there_may_be_become_one_ring() {
    for start in [Start::Together, Start::HalfLate] {
        let cold = Cold { count: 384, start, listed: true, processors: Processors::Each };
        cold.succeeds(Duration::from_secs(10), 3);
    }
}

/// Prints what cold starts cost. `ANNULUS_SIM_SIZES=16,32` are other sizes.
#[test]
#[ignore = "a measurement"]
fn table() {
    let sizes = std::env::var("ANNULUS_SIM_SIZES").unwrap_or_else(|_| "4,8,16,32,64".to_owned());
    for count in sizes.split(',').map(|word| word.parse().expect("a number")) {
        let processors = if count <= 64 { LAB } else { Processors::Each };
        for start in [Start::Together, Start::Second, Start::HalfLate] {
            for listed in [true, false] {
                let cold = Cold { count, start, listed, processors };
                let wall = std::time::Instant::now();
                let (_, cost) = cold.run();
                println!("{cold:?}: {cost:?}, {:.1} s to simulate", wall.elapsed().as_secs_f64());
            }
        }
    }
}
