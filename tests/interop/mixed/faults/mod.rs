//! Faults in random order, alone and on top of each other; after each, all must agree.
//!
//! A step is one to three [acts](act) in short order: a daemon killed, ended, started, stopped for less or more than the
//! token time-out; hosts parted and joined; all started anew at once; clients that come, leave and die. On each host a
//! libcpg client multicasts all the time. When a step is done, the state that must come is waited for: one ring and one
//! group of all that hear each other, told so by every client and by the quorum's tool. Then all that was delivered
//! since the last moment of rest is [looked at](check), and so are the daemons' [logs](signs).
//!
//! | variable | what |
//! |---|---|
//! | `ANNULUS_INTEROP_MIXES` | other mixes than those of every day |
//! | `ANNULUS_INTEROP_SEED` | what the steps are drawn from; it is printed by every run |
//! | `ANNULUS_INTEROP_STEPS` | steps of each mix |
//! | `ANNULUS_INTEROP_DEBUG=1` | daemons that log all they can |

pub(crate) mod act;
mod check;
mod field;
mod journal;
mod settle;
mod signs;

pub(crate) use act::Draw;
pub(crate) use field::Field;

use super::Mix;
use crate::{full, number, ready};
use act::Act;
use std::time::{Duration, Instant, SystemTime};

/// Steps of each mix on every day, and when the full counts are asked for.
const STEPS: u64 = 12;
const STEPS_FULL: u64 = 200;

/// How often a mix is tried on every day, with another seed. Debian's daemon has faults of its own that a run may hit: when
/// a ring is broken off at a bad moment it aborts, with none of ours about too.
const TRIES: usize = 2;

/// The pause of each client after each of its messages.
pub(crate) const PAUSE: Duration = Duration::from_millis(8);

/// The seed that is asked for, else another one each time.
pub(crate) fn seed() -> u64 {
    number("ANNULUS_INTEROP_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        // Few digits: somebody will have to type it.
        u64::from(now.subsec_nanos()) / 1000
    })
}

/// A step in words.
pub(crate) fn told(step: &[(Duration, Act)]) -> String {
    let acts = step.iter().map(|(pause, act)| match pause.as_millis() {
        0 => act.to_string(),
        ms => format!("after {ms} ms {act}"),
    });
    acts.collect::<Vec<_>>().join("; ")
}

fn faults(mix: &Mix, seed: u64, steps: u64) {
    println!("{mix}: seed {seed}, {steps} steps");
    let start = Instant::now();
    let mut field = Field::start(mix, seed, PAUSE);
    let mut draw = Draw::seeded(seed, field.token_ms());
    let rings = field.rest().unwrap_or_else(|why| panic!("{mix}: seed {seed}: at the start: {why}"));
    println!("{mix}: rings {rings:?}");
    for index in 1..=steps {
        let step = draw.step(field.cluster());
        let text = told(&step);
        println!("{mix}: step {index}: {text}");
        let begin = Instant::now();
        match field.step(&step) {
            Ok(rings) => println!("{mix}: rings {rings:?} after {:.1} s", begin.elapsed().as_secs_f64()),
            Err(why) => panic!("{mix}: seed {seed}: step {index}: {text}: {why}"),
        }
    }
    println!(
        "{mix}: seed {seed}: {steps} steps in {:.0} s; {:?}",
        start.elapsed().as_secs_f64(),
        field.counts()
    );
    for (line, times) in field.noticed() {
        println!("{mix}: {times} times: {line}");
    }
}

#[test]
fn random_faults() {
    if ready() {
        random(&Mix::chosen(&["AC/udpu", "CAC/udp", "ACACA/udpu", "ACA/knet2+aes256+sha256"]));
    }
}

/// Each of these mixes.
pub(super) fn random(mixes: &[Mix]) {
    let steps = number("ANNULUS_INTEROP_STEPS").unwrap_or(if full() { STEPS_FULL } else { STEPS });
    let tries = if full() { 1 } else { TRIES };
    let seed = seed();
    // As many side by side as the lab allows.
    std::thread::scope(|scope| {
        let holds = |mix: &Mix, seed| std::panic::catch_unwind(|| faults(mix, seed, steps)).is_ok();
        let runs: Vec<_> = mixes
            .iter()
            .map(|mix| (mix, scope.spawn(move || (seed..).take(tries).any(|seed| holds(mix, seed)))))
            .collect();
        let failed: Vec<String> = runs
            .into_iter()
            .filter_map(|(mix, run)| (!run.join().unwrap_or(false)).then(|| mix.to_string()))
            .collect();
        assert!(failed.is_empty(), "failed, for the reasons above: {failed:?}");
    });
}
