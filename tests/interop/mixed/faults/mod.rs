//! Random faults, alone and overlapping; after each step, all hosts and clients must agree.
//!
//! A step is one to three [acts](act) in quick succession: a daemon is killed, ended, started, or stopped for less or
//! more than the token time-out; hosts are separated and rejoined; all are restarted at once; clients start, leave
//! and die. On each host a libcpg client multicasts all the time. After a step, the test waits for the expected
//! state: all hosts that hear each other are one ring and one group, according to every client and to
//! corosync-quorumtool. Then everything that was delivered since the last moment of rest is [checked](check), and so
//! are the daemons' [logs](signs).
//!
//! | variable | what |
//! |---|---|
//! | `ANNULUS_INTEROP_MIXES` | other mixes than the default ones |
//! | `ANNULUS_INTEROP_SEED` | seed from which the steps are drawn; every run prints it |
//! | `ANNULUS_INTEROP_STEPS` | number of steps of each mix |
//! | `ANNULUS_INTEROP_DEBUG=1` | daemons log with debug level |

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

/// Number of steps of each mix, by default and with the full counts.
const STEPS: u64 = 12;
const STEPS_FULL: u64 = 200;

/// How often a mix is tried by default, each time with another seed. A run may hit a fault of Debian's daemon itself:
/// when a ring is broken off at a bad moment it aborts, even in a cluster without annulusd.
const TRIES: usize = 2;

/// Pause of each client after each of its messages.
pub(crate) const PAUSE: Duration = Duration::from_millis(8);

/// The seed that the environment asks for, or else a different one each time.
pub(crate) fn seed() -> u64 {
    number("ANNULUS_INTEROP_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        // The seed has few digits, as somebody may have to type it.
        u64::from(now.subsec_nanos()) / 1000
    })
}

/// Describes a step in words.
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

/// Runs the test on each of these mixes.
pub(super) fn random(mixes: &[Mix]) {
    let steps = number("ANNULUS_INTEROP_STEPS").unwrap_or(if full() { STEPS_FULL } else { STEPS });
    let tries = if full() { 1 } else { TRIES };
    let seed = seed();
    // As many run side by side as the lab permits.
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
