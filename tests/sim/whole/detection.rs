//! The token time-out that follows from what the members measured: dead members are out soon on a fast network, and no
//! member is put out on a slow one.

use std::time::Duration;

use annulus::config::timeouts::Given;
use annulus::totem::StateName;
use annulus::totem::wire::Kind;

use super::services::{Rules, Services};
use crate::cluster::{Cluster, Hosts, Setup};
use crate::network::Quality;
use crate::random::Random;
use crate::swarm::each_seed;

/// Seeds of a run without `ANNULUS_SIM_SEEDS`.
const SEEDS: u64 = 60;
const FLOOR: Duration = Duration::from_millis(300);
/// Time in which the members say what they need.
pub(super) const SAID: Duration = Duration::from_secs(3);

/// Nodes with default timers and a floor, on a network of this quality.
pub(super) fn setup(seed: u64, nodes: u32, quality: Quality) -> Setup {
    let mut setup = Setup::new(seed, 1..=nodes);
    setup.given = Given { token_floor: Some(FLOOR.as_millis() as u32), ..Given::default() };
    setup.quality = quality;
    setup.services = Some(Services { rules: Rules::Majority });
    setup
}

fn token(c: &Cluster, node: u32) -> Duration {
    c.totem(node).timeouts().token
}

/// All nodes on one ring, having said what they need.
fn settled(setup: Setup) -> Cluster {
    let mut c = setup.build();
    c.step_limit = 50_000_000;
    c.start_all();
    c.settle();
    c.run(SAID);
    c
}

/// Crashes a node and returns how long it takes until the others are on a ring without it, at most `limit`.
fn crash(c: &mut Cluster, node: u32, limit: Duration) -> Duration {
    let began = c.now;
    c.crash(node);
    let left: Vec<u32> = c.alive().map(|(node, _)| node).collect();
    c.run_until_within(limit, "without the dead node", |c| c.on_one_ring(&left));
    c.now.since(began)
}

/// Stops these nodes one after the other for half of the time-out: all stay on the ring.
fn stop_each(c: &mut Cluster, nodes: &[u32], timers_first: bool) {
    let ring = c.ring(1);
    for node in nodes {
        c.pause(*node);
        c.run(FLOOR / 2);
        c.resume(*node, timers_first);
        c.run(Duration::from_secs(1));
    }
    assert_eq!(c.ring(1), ring, "{}", c.report());
}

#[test]
fn on_a_fast_network_a_dead_member_is_out_within_a_second() {
    for dead in [1, 3, 5] {
        let mut c = settled(setup(u64::from(dead), 5, Quality::good()));
        assert!((1..=5).all(|node| token(&c, node) == FLOOR), "{}", c.report());
        let took = crash(&mut c, dead, Duration::from_secs(1));
        assert!(took >= FLOOR, "{took:?}");
        // Those that are left need no more than before.
        assert!(c.alive().all(|(node, _)| token(&c, node) == FLOOR));
    }
}

#[test]
fn a_process_that_ended_is_out_before_the_token_is_lost_where_its_host_says_so() {
    for dead in [1, 3, 5] {
        for nodes in [2, 5] {
            let dead = dead.min(nodes);
            let mut c =
                settled(Setup { hosts: Hosts::Truthful, ..setup(u64::from(dead), nodes, Quality::good()) });
            let took = crash(&mut c, dead, Duration::from_secs(1));
            assert!(took < FLOOR, "{dead} of {nodes}: {took:?}");
            assert!(c.alive().all(|(node, _)| token(&c, node) == FLOOR), "it was no false alarm");
        }
    }
}

/// The second one is silent while the others form a ring without the first, and has the time in which members agree.
#[test]
fn two_processes_that_end_together_are_out_within_two_time_outs() {
    let mut c = settled(Setup { hosts: Hosts::Truthful, ..setup(7, 5, Quality::good()) });
    let began = c.now;
    c.crash(2);
    c.crash(4);
    c.run_until_within(Duration::from_secs(1), "the other three", |c| c.on_one_ring(&[1, 3, 5]));
    assert!(c.now.since(began) < FLOOR * 9 / 4, "{:?}", c.now.since(began));
}

/// Its port is there, so its host is silent.
#[test]
fn a_process_that_is_stopped_for_less_than_the_time_out_is_not_given_up() {
    let mut c = settled(Setup { hosts: Hosts::Truthful, ..setup(8, 3, Quality::good()) });
    stop_each(&mut c, &[1, 2, 3], false);
}

/// It answers the token that the others send again while they miss it.
#[test]
fn a_node_whose_host_refuses_though_it_runs_is_not_given_up_while_another_is_late() {
    for seed in 1..=20 {
        let mut c = settled(Setup { hosts: Hosts::Refusing, ..setup(seed, 4, Quality::good()) });
        stop_each(&mut c, &[1, 2, 3, 4], seed % 2 == 0);
    }
}

/// Each next member was tried out while its host told the truth, so that its refusal is believed until it is heard.
#[test]
fn a_host_that_begins_to_refuse_puts_nobody_out() {
    for seed in 1..=20 {
        let mut c = settled(setup(seed, 4, Quality::good()));
        c.setup.hosts = Hosts::Refusing;
        stop_each(&mut c, &[3, 1, 4, 2], seed % 2 == 0);
    }
}

#[test]
fn a_process_that_starts_again_at_once_is_taken_back() {
    for after in [1, 5, 10, 20, 40] {
        let mut c = settled(Setup { hosts: Hosts::Truthful, ..setup(after, 3, Quality::good()) });
        c.crash(2);
        c.run(Duration::from_millis(after));
        c.start(2);
        c.run_until_within(Duration::from_secs(12), "all three", |c| c.on_one_ring(&[1, 2, 3]));
    }
}

#[test]
fn on_a_slow_network_the_time_out_is_a_multiple_of_the_slowest_rotation() {
    let ms = Duration::from_millis;
    let mut c = settled(setup(1, 3, Quality { delay: ms(20)..ms(40), ..Quality::good() }));
    let soon = token(&c, 1);
    c.run(Duration::from_secs(15 * 60));
    let at = token(&c, 1);
    assert!(at < soon && (ms(300)..ms(1000)).contains(&at), "{soon:?}, {at:?}");
    assert!((1..=3).all(|node| token(&c, node) == at), "the same everywhere");
    assert_eq!(c.views(1).len(), c.views(2).len());
    assert!(c.on_one_ring(&[1, 2, 3]));
}

#[test]
fn a_node_that_joins_gets_the_configured_time_and_a_member_that_returns_too() {
    let mut c = setup(1, 3, Quality::good()).build();
    c.start(1);
    c.start(2);
    c.run_until("two", |c| c.on_one_ring(&[1, 2]));
    c.run(SAID);
    assert_eq!(token(&c, 1), FLOOR);
    c.start(3);
    c.run_until("three", |c| c.on_one_ring(&[1, 2, 3]));
    let joined = c.views(1).last().expect("a view").ring;
    assert!((1..=3).all(|node| c.ring(node) == Some(joined)));
    c.run(SAID);
    assert!((1..=3).all(|node| token(&c, node) == FLOOR));
    crash(&mut c, 3, Duration::from_secs(1));
    c.run(Duration::from_secs(10));
    c.start(3);
    let configured = c.setup.timeouts().token;
    c.run_until("gathering with the third", |c| {
        c.totem(1).state() == StateName::Gather && c.totem(1).timeouts().token == configured
    });
    c.settle();
    c.run(SAID);
    assert!((1..=3).all(|node| token(&c, node) == FLOOR));
}

/// A minority that is cut off and meets a new node at the same moment has left the old ring soon: if it waited for the new
/// node, it would count on its quorum for seconds in which the others have formed a ring that has it.
#[test]
fn a_minority_that_meets_a_new_node_when_it_is_cut_off_leaves_its_ring_in_time() {
    for seed in 1..=20 {
        let mut c = setup(seed, 6, Quality::good()).build();
        c.network.cut(&[1, 2, 3, 4, 5], &[6]);
        c.start_all();
        c.run_until("five and one", |c| c.on_one_ring(&[1, 2, 3, 4, 5]) && c.on_one_ring(&[6]));
        c.run(SAID);
        assert!((1..=5).all(|node| token(&c, node) == FLOOR), "{}", c.report());
        let old = c.ring(4);
        c.network.heal();
        c.network.cut(&[1, 2, 3], &[4, 5, 6]);
        let began = c.now;
        c.run_until_within(Duration::from_millis(1200), "the majority and others", |c| {
            c.on_one_ring(&[1, 2, 3]) && (4..=5).all(|node| c.ring(node) != old)
        });
        c.run_until_within(Duration::from_secs(20), "the minority with the new node", |c| {
            c.on_one_ring(&[4, 5, 6])
        });
        assert!(c.on_one_ring(&[1, 2, 3]), "{:?}", c.now.since(began));
    }
}

/// Members that have had the commit token are silent until it comes again: nobody gives them up for that.
#[test]
fn a_commit_token_lost_while_a_new_node_is_taken_in_splits_nobody() {
    for to in 2..=6 {
        let mut c = setup(u64::from(to), 6, Quality::good()).build();
        (1..=5).for_each(|node| c.start(node));
        c.run_until("five", |c| c.on_one_ring(&[1, 2, 3, 4, 5]));
        c.run(SAID);
        assert_eq!(token(&c, 1), FLOOR);
        let views: Vec<usize> = (1..=5).map(|node| c.views(node).len()).collect();
        c.network.lose_first(1, move |p| p.kind == Some(Kind::Commit) && p.to == to);
        c.start(6);
        c.run_until("six", |c| c.on_one_ring(&[1, 2, 3, 4, 5, 6]));
        for node in 1..=5 {
            let new = &c.views(node)[views[node as usize - 1]..];
            assert!(new.iter().all(|view| view.members.len() >= 5), "to {to}: {new:?}");
        }
    }
}

/// The network becomes slower than the time-out from one moment to the next: the ring is formed again with longer
/// times, and the members need more time from then on.
#[test]
fn a_network_that_is_suddenly_slow_gets_a_ring_and_a_longer_time_out() {
    let ms = Duration::from_millis;
    for seed in 1..=5 {
        let mut c = settled(setup(seed, 3, Quality::good()));
        c.run(Duration::from_secs(60));
        assert_eq!(token(&c, 1), FLOOR);
        c.network.quality = Quality { delay: ms(110)..ms(130), ..Quality::good() };
        c.run_until_within(Duration::from_secs(15), "one ring on the slow network", |c| {
            c.one_ring() && c.totem(1).timeouts().token >= ms(800)
        });
        let views = c.views(1).len();
        c.run(Duration::from_secs(60));
        assert_eq!(c.views(1).len(), views, "seed {seed}: the ring stays\n{}", c.report());
    }
}

/// One network: no member that runs is put out, and each dead one is out in time.
fn one(seed: u64) {
    let mut random = Random::seeded(seed ^ 0xde7e);
    let nodes = random.number(2..8) as u32;
    let base = random.duration(&(Duration::from_micros(20)..Duration::from_millis(30)));
    let jitter = random.duration(&(Duration::from_micros(20)..Duration::from_millis(30)));
    let loss = random.pick(&[0.0, 0.0, 0.01, 0.05]);
    let quality = Quality {
        delay: base..base + jitter,
        loss,
        duplicate: random.pick(&[0.0, 0.02]),
        reorder: random.pick(&[0.0, 0.02]),
    };
    let hosts = [Hosts::Silent, Hosts::Truthful, Hosts::Refusing][seed as usize % 3];
    let mut c = settled(Setup { hosts, ..setup(seed, nodes, quality) });
    let views: Vec<usize> = (1..=nodes).map(|node| c.views(node).len()).collect();
    for _ in 0..6 {
        // An idle token is held for a fifth of the time-out, and one that is lost then is sent again a rotation later: a
        // node that is stopped besides that would be late, with any time-out.
        let pause = token(&c, 1).mul_f64(if loss > 0.0 { 0.0 } else { 0.5 });
        let paused = random.number(1..u64::from(nodes) + 1) as u32;
        c.pause(paused);
        c.run(pause);
        c.resume(paused, random.chance(0.5));
        c.run(Duration::from_secs(5));
    }
    let after: Vec<usize> = (1..=nodes).map(|node| c.views(node).len()).collect();
    assert_eq!(views, after, "seed {seed}: a member was put out\n{}", c.report());
    let timeouts = c.totem(1).timeouts().clone();
    let limit = (timeouts.token + timeouts.consensus) * 2 + Duration::from_secs(1);
    let dead = random.number(1..u64::from(nodes) + 1) as u32;
    crash(&mut c, dead, limit);
}

#[test]
fn members_that_run_stay_and_dead_ones_are_out_in_time_on_many_networks() {
    each_seed("members_that_run_stay_and_dead_ones_are_out_in_time_on_many_networks", SEEDS, one);
}
