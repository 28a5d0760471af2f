//! Faults drawn from a seed over whole nodes, whose clients join, leave, die, stall, multicast, set keys and ask for reloads;
//! afterwards every property must hold at the clients. See `tests/sim/swarm.rs` for how to choose seeds.

use std::sync::Mutex;
use std::time::Duration;

use super::properties::Seen;
use super::services::{Rules, Services};
use crate::checkers::End;
use crate::random::Random;
use crate::swarm::{each_seed, fault, load, peace, setup};

/// Seeds of a run without `ANNULUS_SIM_SEEDS`.
const SEEDS: u64 = 200;

#[test]
fn faults_from_many_seeds_break_no_property_of_clients() {
    static ALL: Mutex<Seen> = Mutex::new(Seen::NOTHING);
    each_seed("faults_from_many_seeds_break_no_property_of_clients", SEEDS, |seed| {
        let seen = one(seed);
        ALL.lock().expect("nobody panics while holding it").add(seen);
    });
    let all = *ALL.lock().expect("nobody panics while holding it");
    println!("{all:?}");
    let chosen =
        ["ANNULUS_SIM_SEED", "ANNULUS_SIM_SEEDS"].into_iter().any(|name| std::env::var_os(name).is_some());
    // The usual seeds have something to check.
    assert!(
        chosen || all.messages > 100_000 && all.pairs > 1000 && all.reloads > 100 && all.quorate > 100,
        "{all:?}"
    );
}

/// A leave that was sent in two frames, with a new ring between them, was not delivered to those who came with that ring,
/// although they had learned of the process in the synchronisation: they kept it as a member for ever. These seeds found
/// it; `totem::pg::pack` has a test that shows why it cannot happen any more.
#[test]
fn newcomers_learn_of_leaves_that_are_under_way_when_they_come() {
    one(88);
    one(386);
}

/// The whole life of one seed's cluster, and what was compared in it.
fn one(seed: u64) -> Seen {
    let mut random = Random::seeded(seed ^ 0xc11e);
    let mut setup = setup(seed, &mut random);
    let rules = random.pick(&[Rules::Majority, Rules::Majority, Rules::WaitForAll, Rules::TieBreaker]);
    setup.services = Some(Services { rules });
    let mut c = setup.build();
    c.network.two_sockets = random.chance(0.4);
    for node in c.setup.nodes.clone() {
        if random.chance(0.9) {
            c.start(node);
        }
        let apart = random.duration(&(Duration::ZERO..Duration::from_millis(30)));
        c.run(apart);
    }
    if random.chance(0.7) {
        c.settle();
    }
    c.work(load(&mut random));
    let faults = random.number(1..8);
    for _ in 0..faults {
        let token = c.setup.timeouts().token;
        let time = if random.chance(0.3) { Duration::from_millis(20) } else { token * 3 };
        let time = random.duration(&(Duration::ZERO..time));
        c.run(time);
        fault(&mut c, &mut random);
    }
    let time = random.duration(&(Duration::ZERO..c.setup.timeouts().token * 2));
    c.run(time);
    c.check(End::Anywhere);
    c.check_clients();
    peace(&mut c, &mut random);
    // Clients work on while the cluster comes to rest, then for some time in peace.
    c.settle();
    c.run(Duration::from_millis(500));
    c.finish_whole()
}
