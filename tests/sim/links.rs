//! The ring on knet: links are cut, lossy or narrow and come back, and the ring notices as little of this as
//! possible.
//!
//! `ANNULUS_SIM_SEEDS` and the other variables of `swarm.rs` also apply to the swarm here, whose default is fewer
//! seeds.

use std::time::Duration;

use annulus::config::timeouts::Given;
use annulus::ids::Seq;
use annulus::transport::knet::{Compression, DropReason, LinkMode, Sizes};

use crate::checkers::End;
use crate::cluster::{Cluster, Load, Setup};
use crate::fabric::Knet;
use crate::network::Quality;
use crate::random::Random;
use crate::swarm::{each_seed, load, peace, quality};
use crate::trace::Event;

const MODES: [LinkMode; 3] = [LinkMode::Passive, LinkMode::Active, LinkMode::RoundRobin];

/// Seeds of a run without `ANNULUS_SIM_SEEDS`.
const SEEDS: u64 = 150;

/// Three nodes on knet, with frames as long as Corosync makes them there.
fn setup(seed: u64, knet: Knet) -> Setup {
    Setup { netmtu: 65536, knet: Some(knet), ..Setup::new(seed, [1, 2, 3]) }
}

/// A cluster with all nodes started, on one ring, with every link up.
fn whole(setup: Setup) -> Cluster {
    let mut c = setup.build();
    c.start_all();
    c.settle();
    c.run_until("all links up", Cluster::links_are_whole);
    c
}

fn busy() -> Load {
    Load {
        every: Duration::from_micros(200)..Duration::from_millis(3),
        sizes: vec![24..200, 24..2000, 24..2000, 3000..30_000],
        safe: 0.1,
        answers: 0.0,
        unruly: 0.0,
    }
}

/// The longest time since `since` during which a node delivered nothing in its present life.
pub(crate) fn longest_silence(c: &Cluster, node: u32, since: annulus::time::Instant) -> Duration {
    let instants =
        c.events(node).iter().filter(|(at, event)| *at >= since && matches!(event, Event::Deliver(_)));
    let mut last = since;
    let mut longest = Duration::ZERO;
    for (at, _) in instants {
        longest = longest.max(at.since(last));
        last = *at;
    }
    longest.max(c.now.since(last))
}

/// Asserts that no packet counted as malformed, and that no fragments of different frames were put together.
fn nothing_was_malformed(c: &Cluster) {
    for (node, process) in c.alive() {
        let drops = process.engine.as_ref().expect("a cluster on knet").drops();
        for reason in [DropReason::Malformed, DropReason::Foreign, DropReason::Compression, DropReason::Flood]
        {
            assert_eq!(drops.of(reason), 0, "node {node}: {reason:?}\n{}", c.report());
        }
    }
}

#[test]
fn a_ring_works_on_any_number_of_links_in_every_mode() {
    let mut seed = 200;
    for links in 1..=3 {
        for mode in MODES {
            for compression in [Compression::None, Compression::Lz4] {
                seed += 1;
                let mut c = whole(setup(seed, Knet { mode, compression, ..Knet::new(links) }));
                let rings = c.views(1).len();
                c.work(busy());
                c.run(Duration::from_secs(2));
                c.finish();
                assert_eq!(c.views(1).len(), rings, "{links} {mode:?}");
                assert!(c.nodes[&1].process.as_ref().unwrap().app.delivered > 1000);
                nothing_was_malformed(&c);
            }
        }
    }
}

/// One of two links is cut, in one direction or both, while three nodes send; then the other one is.
#[test]
fn a_cut_link_of_two_changes_no_membership() {
    let mut seed = 220;
    for mode in MODES {
        for one_way in [false, true] {
            seed += 1;
            let mut c = whole(setup(seed, Knet { mode, ..Knet::new(2) }));
            let views: Vec<usize> = [1, 2, 3].map(|node| c.views(node).len()).to_vec();
            c.work(busy());
            c.run(Duration::from_millis(500));
            for link in [0, 1] {
                let since = c.now;
                for node in [1, 2, 3] {
                    let others: Vec<u32> = [1, 2, 3].into_iter().filter(|other| *other != node).collect();
                    if one_way {
                        c.fabric().cut_one_way(link, &[1], &others);
                    } else {
                        c.fabric().cut(link, &[node], &others);
                    }
                }
                c.run(Duration::from_secs(4));
                for node in [1, 2, 3] {
                    let silence = longest_silence(&c, node, since);
                    // In the simulation the token time-out is 1 s, and that of a ping 500 ms.
                    let limit = if mode == LinkMode::Active { 50 } else { 1000 };
                    assert!(
                        silence <= Duration::from_millis(limit),
                        "{mode:?} {one_way} {node}: {silence:?}"
                    );
                    // Both ends notice the cut, whichever direction it affects.
                    let others = if one_way && node != 1 { vec![1] } else { vec![1, 2, 3] };
                    for view in c.engine(node).links() {
                        let cut =
                            usize::from(view.path.link) == link && others.contains(&view.path.host.get());
                        assert_eq!(view.connected, !cut, "{mode:?} {one_way} node {node}: {view:?}");
                    }
                }
                c.fabric().heal();
                c.run_until("all links up", Cluster::links_are_whole);
            }
            c.finish();
            assert_eq!([1, 2, 3].map(|node| c.views(node).len()).to_vec(), views, "{mode:?} {one_way}");
            nothing_was_malformed(&c);
        }
    }
}

/// This holds whether or not the network reports it, and whether the path or the interface becomes narrow.
#[test]
fn a_link_that_becomes_narrow_while_it_is_used_breaks_no_ring() {
    let mut seed = 240;
    for icmp in [1.0, 0.0] {
        for interface in [false, true] {
            for links in [1, 2] {
                seed += 1;
                let mut c = whole(setup(seed, Knet { icmp, mtu: 9000, ..Knet::new(links) }));
                let views: Vec<usize> = [1, 2, 3].map(|node| c.views(node).len()).to_vec();
                c.work(busy());
                for mtu in [1500, 1280, 600, 9000, 1400] {
                    c.run(Duration::from_millis(700));
                    if interface {
                        c.fabric().interface[0] = mtu;
                    } else {
                        c.fabric().narrow.insert((1, 2, 0), mtu);
                        c.fabric().narrow.insert((3, 1, 0), mtu);
                    }
                    c.run_until("the size is found", Cluster::links_are_whole);
                }
                c.finish();
                let after = [1, 2, 3].map(|node| c.views(node).len()).to_vec();
                assert_eq!(after, views, "icmp {icmp} interface {interface} links {links}");
                nothing_was_malformed(&c);
            }
        }
    }
}

/// A process that is restarted before any link goes down is admitted to the ring and heard.
#[test]
fn a_node_that_restarts_at_once_is_heard_again() {
    for seed in 260..266 {
        let mut c = whole(setup(seed, Knet::new(2)));
        c.work(busy());
        for _ in 0..3 {
            c.run(Duration::from_millis(1500));
            c.crash(2);
            c.run(Duration::from_millis(20));
            c.start(2);
            c.settle();
        }
        c.finish();
        c.run_until("all links up", Cluster::links_are_whole);
        nothing_was_malformed(&c);
    }
}

#[test]
fn an_interface_that_goes_and_comes_back_on_one_link_changes_no_membership() {
    let mut c = whole(setup(270, Knet::new(2)));
    let views = c.views(2).len();
    c.work(busy());
    for link in [0, 1, 0] {
        c.set_interface(2, link, false);
        c.run(Duration::from_secs(3));
        c.set_interface(2, link, true);
        c.run_until("all links up", Cluster::links_are_whole);
    }
    c.finish();
    assert_eq!(c.views(2).len(), views);
}

/// Faults of links and nodes are drawn from a seed; then the faults end, the ring forms and every link comes back.
#[test]
fn faults_of_links_from_many_seeds_break_no_property() {
    each_seed("faults_of_links_from_many_seeds", SEEDS, one);
}

fn drawn(seed: u64, random: &mut Random) -> Setup {
    let nodes = random.pick(&[2, 3, 3, 4, 5]);
    let knet = Knet {
        mode: random.pick(&MODES),
        sizes: random.pick(&[Sizes::CLEAR, Knet::new(1).sizes]),
        compression: random.pick(&[
            Compression::None,
            Compression::None,
            Compression::Zlib,
            Compression::Lz4,
        ]),
        mtu: random.pick(&[1500, 1500, 1500, 9000]),
        pmtud_interval: Duration::from_secs(random.number(1..10)),
        icmp: random.pick(&[0.0, 0.5, 1.0]),
        ..Knet::new(random.pick(&[1, 2, 2, 3]))
    };
    let mut setup = Setup::new(seed, 1..=nodes);
    setup.given = Given {
        token: Some(random.pick(&[300, 600, 1000])),
        window_size: random.pick(&[None, None, Some(10)]),
        ..setup.given
    };
    setup.netmtu = random.pick(&[65536, 65536, 65536, 9000, 1500]);
    setup.origin =
        if random.chance(0.25) { Seq(0u32.wrapping_sub(random.number(1..400) as u32)) } else { Seq(0) };
    setup.quality = quality(random);
    let (least, most) = random.pick(&[(0, 0), (24, 300), (24, 9000)]);
    setup.told_in_sync = least..most;
    setup.knet = Some(knet);
    setup
}

/// The whole life of one seed's cluster.
fn one(seed: u64) {
    let mut random = Random::seeded(seed ^ 0x11e7);
    let mut c = drawn(seed, &mut random).build();
    c.step_limit = 8_000_000;
    for node in c.setup.nodes.clone() {
        if random.chance(0.9) {
            c.start(node);
        }
        let apart = random.duration(&(Duration::ZERO..Duration::from_millis(200)));
        c.run(apart);
    }
    if random.chance(0.7) {
        c.settle();
    }
    c.work(load(&mut random));
    let faults = random.number(1..10);
    for _ in 0..faults {
        let time = c.setup.timeouts().token * 2;
        let time = if random.chance(0.3) { Duration::from_millis(20) } else { time };
        let time = random.duration(&(Duration::ZERO..time));
        c.run(time);
        fault(&mut c, &mut random);
    }
    let time = random.duration(&(Duration::ZERO..c.setup.timeouts().token * 2));
    c.run(time);
    c.check(End::Anywhere);
    let running: Vec<u32> = c.alive().map(|(node, _)| node).collect();
    for node in running {
        for link in 0..c.fabric().knet.links {
            c.set_interface(node, link, true);
        }
    }
    let fabric = c.fabric();
    fabric.heal();
    let links = fabric.links.len();
    fabric.interface = vec![random.pick(&[1500, 9000]); links];
    for link in &mut fabric.links {
        link.quality.loss = link.quality.loss.min(0.001);
    }
    peace(&mut c, &mut random);
    c.finish();
    // A link that failed often must first answer 24 pings in a row, and MTU probes wait for their interval.
    let limit = c.setup.timeouts().token * 10 + c.fabric().knet.pmtud_interval * 3;
    c.run_until_within(limit, "all links up", Cluster::links_are_whole);
    nothing_was_malformed(&c);
}

/// Causes one fault, of a link in most cases.
fn fault(c: &mut Cluster, random: &mut Random) {
    let all = c.setup.nodes.clone();
    let up: Vec<u32> = c.alive().map(|(node, _)| node).collect();
    let down: Vec<u32> = all.iter().copied().filter(|node| !up.contains(node)).collect();
    let link = random.index(c.fabric().links.len());
    let (one, other): (Vec<u32>, Vec<u32>) = all.iter().copied().partition(|_| random.chance(0.5));
    match random.index(14) {
        0 | 1 => c.fabric().cut(link, &one, &other),
        2 | 3 => c.fabric().cut_one_way(link, &one, &other),
        4 => {
            for link in &mut c.fabric().links {
                link.cut(&one, &other);
            }
        }
        5 => c.fabric().links[link].heal(),
        6 => c.fabric().heal(),
        7 => c.fabric().links[link].quality = quality(random),
        8 => {
            let quality = Quality::lossy(random.pick(&[0.2, 0.5, 0.9]));
            let (from, to) = (random.pick(&all), random.pick(&all));
            c.fabric().links[link].links.insert((from, to), quality);
        }
        9 => c.fabric().interface[link] = random.pick(&[600, 1280, 1400, 1500, 9000]),
        10 => {
            let mtu = random.pick(&[576, 700, 1280, 1450]);
            let (from, to) = (random.pick(&all), random.pick(&all));
            c.fabric().narrow.insert((from, to, link), mtu);
        }
        11 if !up.is_empty() => {
            // The node restarts: sooner than anybody can notice, or later, or not at all.
            let node = random.pick(&up);
            if random.chance(0.2) {
                c.leave(node);
            } else {
                c.crash(node);
            }
            let time = random.pick(&[1, 50, 1000]);
            let time = random.duration(&(Duration::ZERO..Duration::from_millis(time)));
            c.run(time);
            if random.chance(0.8) {
                c.start(node);
            }
        }
        12 if !up.is_empty() => {
            let node = random.pick(&up);
            if random.chance(0.5) {
                c.set_interface(node, link, random.chance(0.3));
            } else {
                c.pause(node);
                let time = c.setup.timeouts().token * 2;
                let time = random.duration(&(Duration::ZERO..time));
                c.run(time);
                c.resume(node, random.chance(0.5));
            }
        }
        _ if !down.is_empty() => c.start(random.pick(&down)),
        _ => c.fabric().links[link].quality = quality(random),
    }
}
