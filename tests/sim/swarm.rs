//! Faults drawn from a seed ("swarm"). Every seed is one cluster for a few simulated seconds: some load, some faults,
//! then a time without faults. Afterwards all properties must hold and everything due must have happened.
//!
//! `ANNULUS_SIM_SEEDS` is the number of seeds (default 300), `ANNULUS_SIM_SEED` the first one (default 1); set alone,
//! it runs just that seed. `ANNULUS_SIM_TRACE` prints every frame, for one seed.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use annulus::config::timeouts::Given;
use annulus::ids::Seq;
use annulus::totem::Input;
use annulus::totem::wire::Kind;

use crate::checkers::End;
use crate::cluster::{Cluster, Load, Setup};
use crate::network::Quality;
use crate::outsider::Outsider;
use crate::random::Random;

/// Seeds of a run without `ANNULUS_SIM_SEEDS`.
const SEEDS: u64 = 300;

#[test]
fn faults_from_many_seeds_break_no_property() {
    each_seed("faults_from_many_seeds", SEEDS, one);
}

/// Among other faults, an outsider who knows the protocol, the members and the ring forges frames: no node panics,
/// and when the outsider stops there is one ring again, on which messages flow.
#[test]
fn forgeries_from_many_seeds_leave_a_ring_that_works() {
    each_seed("forgeries_from_many_seeds", SEEDS, besieged);
}

/// Runs `life` for each seed that the environment asks for, or else for `usual` seeds, on all processors.
pub(crate) fn each_seed(name: &str, usual: u64, life: fn(u64)) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a whole number"));
    let first = number("ANNULUS_SIM_SEED");
    let count = number("ANNULUS_SIM_SEEDS").unwrap_or(if first.is_some() { 1 } else { usual });
    let first = first.unwrap_or(1);
    let next = AtomicU64::new(first);
    let failures: Mutex<Vec<(u64, String)>> = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| life(seed))) {
                        let text = panic.downcast_ref::<String>().cloned();
                        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                        let mut failures = failures.lock().expect("nobody panics while holding it");
                        failures.push((seed, text.unwrap_or_default()));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("nobody panics while holding it");
    failures.sort();
    let Some((seed, text)) = failures.first() else { return };
    let heads: Vec<&str> = failures.iter().filter_map(|(_, text)| text.lines().next()).collect();
    panic!(
        "{} of {count} seeds failed:\n{}\n\nthe first of them, {text}\nrepeat it with\n  \
         ANNULUS_SIM_SEED={seed} cargo test --test sim {name}",
        failures.len(),
        heads.join("\n")
    );
}

/// The life of one seed's cluster under an outsider's forgeries.
fn besieged(seed: u64) {
    let mut random = Random::seeded(seed ^ 0xf0f0);
    let mut c = setup(seed, &mut random).build();
    c.contents_may_change = true;
    let timeouts = c.setup.timeouts();
    c.besieged = Some(timeouts.token + timeouts.consensus);
    c.start_all();
    if random.chance(0.8) {
        c.settle();
    }
    if random.chance(0.7) {
        c.work(load(&mut random));
    }
    let mut outsider = Outsider::new(random.fork());
    let before = c.now;
    let bursts = random.number(1..6);
    for _ in 0..bursts {
        let pause = random.pick(&[50, 1000, 20_000, 200_000]);
        let frames = random.number(1..60);
        for _ in 0..frames {
            outsider.forge(&mut c);
            let time = random.duration(&(Duration::ZERO..Duration::from_micros(pause)));
            c.run(time);
        }
        if random.chance(0.4) {
            fault(&mut c, &mut random);
        }
    }
    peace(&mut c, &mut random);
    let siege = c.now.since(before);
    c.recover_from_siege(siege);
}

/// The whole life of one seed's cluster.
fn one(seed: u64) {
    let mut random = Random::seeded(seed ^ 0x5eed);
    let mut c = setup(seed, &mut random).build();
    c.network.two_sockets = random.chance(0.4);
    for node in c.setup.nodes.clone() {
        if random.chance(0.9) {
            c.start(node);
        }
        let apart = random.duration(&(Duration::ZERO..Duration::from_millis(30)));
        c.run(apart);
    }
    if random.chance(0.7) {
        // Some seeds begin with a whole ring, others with faults.
        c.settle();
    }
    c.work(load(&mut random));
    let faults = random.number(1..8);
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
    peace(&mut c, &mut random);
    c.finish();
}

pub(crate) fn setup(seed: u64, random: &mut Random) -> Setup {
    let nodes = random.pick(&[1, 2, 3, 3, 4, 5, 5, 6, 7]);
    let mut setup = Setup::new(seed, 1..=nodes);
    setup.given = Given {
        token: Some(random.pick(&[150, 300, 600])),
        seqno_unchanged_const: Some(random.pick(&[2, 8, 30])),
        window_size: random.pick(&[None, Some(10), Some(200)]),
        max_messages: random.pick(&[None, Some(3), Some(40)]),
        miss_count_const: random.pick(&[None, Some(1)]),
        fail_recv_const: random.pick(&[None, Some(50)]),
        send_join: random.pick(&[None, None, Some(20)]),
        cancel_token_hold_on_retransmit: Some(random.chance(0.3)),
        heartbeat_failures_allowed: random.pick(&[None, None, None, Some(2)]),
        ..setup.given
    };
    setup.netmtu = random.pick(&[1500, 1500, 1500, 600, 9000]);
    setup.origin =
        if random.chance(0.25) { Seq(0u32.wrapping_sub(random.number(1..400) as u32)) } else { Seq(0) };
    setup.quality = quality(random);
    if random.chance(0.2) {
        setup.disk = Duration::from_millis(1)..Duration::from_millis(400);
    }
    setup.told_in_sync = random.pick(&[(0, 0), (0, 0), (24, 300), (24, 9000)]).into_range();
    setup
}

pub(crate) fn quality(random: &mut Random) -> Quality {
    let slow = random.pick(&[50, 100, 100, 400, 1500]);
    Quality {
        delay: Duration::from_micros(slow / 4)..Duration::from_micros(slow),
        loss: random.pick(&[0.0, 0.0, 0.001, 0.01, 0.05]),
        duplicate: random.pick(&[0.0, 0.0, 0.01, 0.1]),
        reorder: random.pick(&[0.0, 0.0, 0.01, 0.2]),
    }
}

pub(crate) fn load(random: &mut Random) -> Load {
    let sizes = random.pick(&[
        &[1..2, 24..80][..],
        &[24..400, 24..3000],
        &[1..2, 24..200, 24..200, 24..200, 1000..30_000],
        &[24..2000, 24..2000, 24..2000, 100_000..400_000],
    ]);
    let longest = sizes.iter().map(|range| range.end).max().unwrap_or(0);
    let often = if longest > 100_000 { 200 } else { random.pick(&[5, 20, 60]) };
    Load {
        every: Duration::from_micros(200)..Duration::from_millis(often),
        sizes: sizes.to_vec(),
        safe: random.pick(&[0.0, 0.1, 0.5, 1.0]),
        answers: random.pick(&[0.0, 0.0, 0.02]),
        unruly: random.pick(&[0.0, 0.0, 0.1]),
    }
}

/// Causes one fault.
pub(crate) fn fault(c: &mut Cluster, random: &mut Random) {
    let all = c.setup.nodes.clone();
    let up: Vec<u32> = c.alive().map(|(node, _)| node).collect();
    let down: Vec<u32> = all.iter().copied().filter(|node| !up.contains(node)).collect();
    match random.index(12) {
        0 | 1 => {
            let (one, other): (Vec<u32>, Vec<u32>) = all.iter().copied().partition(|_| random.chance(0.5));
            c.network.cut(&one, &other);
        }
        2 => {
            let (one, other): (Vec<u32>, Vec<u32>) = all.iter().copied().partition(|_| random.chance(0.5));
            c.network.cut_one_way(&one, &other);
        }
        3 => c.network.heal(),
        4 if !up.is_empty() => {
            let node = random.pick(&up);
            if random.chance(0.3) { c.leave(node) } else { c.crash(node) }
        }
        5 if !down.is_empty() => c.start(random.pick(&down)),
        6 if !up.is_empty() => {
            // The node restarts before anybody can notice.
            let node = random.pick(&up);
            c.crash(node);
            let time = random.duration(&(Duration::ZERO..Duration::from_millis(50)));
            c.run(time);
            c.start(node);
        }
        7 if !up.is_empty() => {
            let node = random.pick(&up);
            c.pause(node);
            let time = c.setup.timeouts().token * 3;
            let time = random.duration(&(Duration::ZERO..time));
            c.run(time);
            if c.nodes[&node].process.is_some() {
                c.resume(node, random.chance(0.5));
            }
        }
        8 => {
            let (from, to) = (random.pick(&all), random.pick(&all));
            c.network.links.insert((from, to), Quality::lossy(random.pick(&[0.2, 0.5, 0.9])));
        }
        9 => {
            let kind = random.pick(&[Kind::Token, Kind::Commit, Kind::Join, Kind::Mcast, Kind::HoldCancel]);
            let count = random.pick(&[1, 3, 10]);
            c.network.lose_first(count, move |parcel| parcel.kind == Some(kind));
        }
        10 => {
            let time = random.duration(&(Duration::ZERO..Duration::from_secs(2)));
            let node = random.pick(&all);
            c.stick_disk(node, time);
            if up.contains(&node) && random.chance(0.3) {
                c.input(node, Input::NotStored);
            }
        }
        11 if !up.is_empty() => c.input(random.pick(&up), Input::Interface),
        _ => c.network.quality = quality(random),
    }
}

/// Ends all faults: the network and the processes work again, but some nodes may stay down.
pub(crate) fn peace(c: &mut Cluster, random: &mut Random) {
    c.network.heal();
    c.network.filter = None;
    c.network.quality.loss = c.network.quality.loss.min(0.001);
    let all = c.setup.nodes.clone();
    for node in all {
        if c.nodes[&node].process.is_none() && random.chance(0.7) {
            c.start(node);
        }
    }
    if c.alive().next().is_none() {
        c.start(1);
    }
}

trait IntoRange {
    fn into_range(self) -> std::ops::Range<u64>;
}

impl IntoRange for (u64, u64) {
    fn into_range(self) -> std::ops::Range<u64> {
        self.0..self.1
    }
}
