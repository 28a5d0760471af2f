//! A long run of a mixed ring: clients that stream, join and leave, a fault every now and then, and memory that must
//! not grow.
//!
//! The faults are the random [faults](super::faults), with the same checks after each. Hosts 1 and 2 are stopped and
//! cut off like the others, but their daemons live as long as the run, so that their memory can be compared.
//!
//! | variable | what |
//! |---|---|
//! | `ANNULUS_INTEROP_SOAK_SECONDS` | length of the run, default 1800 |
//! | `ANNULUS_INTEROP_MIXES`, `ANNULUS_INTEROP_SEED` | as for the faults |

use super::Mix;
use super::faults::{Draw, Field, PAUSE, seed, told};
use crate::lab::Kind;
use crate::usage::{processor_time, resident};
use crate::{number, ready};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Time from one fault to the next.
const FAULT: Duration = Duration::from_secs(20);
/// Time from one client that joins or leaves to the next.
const CLIENT: Duration = Duration::from_secs(4);
/// Time from one sample to the next.
const SAMPLE: Duration = Duration::from_secs(30);
/// After this time a daemon should have all the memory that it needs.
const WARM: Duration = Duration::from_secs(300);
/// The daemons of these hosts are never ended.
const SPARED: [usize; 2] = [1, 2];

/// Resources that one daemon held and had used at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    rss_kib: u64,
    /// Processor time used so far.
    busy: Duration,
}

/// The samples of all daemons, by host and process id.
#[derive(Debug, Default)]
struct Samples(BTreeMap<(usize, u32), Vec<Sample>>);

impl Samples {
    fn take(&mut self, field: &Field, at: Duration) {
        for k in (1..=field.cluster().len()).filter(|k| field.cluster().host(*k).up) {
            let pid = field.lab.daemon_pid(k);
            let sample = Sample { at, rss_kib: resident(pid).0, busy: processor_time(pid) };
            self.0.entry((k, pid)).or_default().push(sample);
        }
    }

    /// Prints the memory and processor time of each daemon that lived to the end.
    fn print(&self, mix: &Mix, end: Duration) {
        println!();
        println!("| host | daemon | lived s | RSS MiB after 5 min | RSS MiB at the end | highest | CPU % |");
        println!("|---|---|---|---|---|---|---|");
        for ((k, _), samples) in &self.0 {
            let (Some(first), Some(last)) = (samples.first(), samples.last()) else { continue };
            if last.at + 2 * SAMPLE < end {
                continue;
            }
            let warm = samples.iter().find(|sample| sample.at >= WARM).unwrap_or(first);
            let highest = samples.iter().map(|sample| sample.rss_kib).max().unwrap_or_default();
            let span = (last.at - first.at).as_secs_f64().max(1.0);
            let percent = 100.0 * (last.busy - first.busy).as_secs_f64() / span;
            println!(
                "| {k} | {:?} | {span:.0} | {:.1} | {:.1} | {:.1} | {percent:.1} |",
                mix.kind(*k),
                mib(warm.rss_kib),
                mib(last.rss_kib),
                mib(highest)
            );
        }
    }

    /// Checks that each daemon of annulusd that lived through the last two thirds of the run held no more memory in
    /// the last third than in the one before.
    fn assert_flat(&self, mix: &Mix, end: Duration) {
        let mut looked_at = 0;
        for ((k, pid), samples) in self.0.iter().filter(|((k, _), _)| mix.kind(*k) == Kind::Annulus) {
            let median = |from: u32, to: u32| {
                let mut held: Vec<u64> = samples
                    .iter()
                    .filter(|sample| sample.at * 3 >= end * from && sample.at * 3 < end * to)
                    .map(|sample| sample.rss_kib)
                    .collect();
                held.sort_unstable();
                held.get(held.len() / 2).copied()
            };
            // The daemon must have existed all that time.
            if samples.first().is_none_or(|first| first.at * 3 > end) {
                continue;
            }
            if let (Some(before), Some(after)) = (median(1, 2), median(2, 4)) {
                looked_at += 1;
                assert!(
                    after <= before + before / 10 + 2048,
                    "host {k}, process {pid}: {before} KiB in the second third, {after} KiB in the last: {samples:?}"
                );
            }
        }
        assert!(looked_at > 0, "none of our daemons lived through the last two thirds");
    }
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn soak(mix: &Mix, length: Duration) {
    let seed = seed();
    println!("{mix}: seed {seed}, {} s", length.as_secs());
    let mut field = Field::start(mix, seed, PAUSE);
    let mut draw = Draw::seeded(seed, field.token_ms()).sparing(&SPARED);
    field.rest().unwrap_or_else(|why| panic!("{mix}: seed {seed}: at the start: {why}"));
    let start = Instant::now();
    let mut samples = Samples::default();
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut next_fault, mut next_client, mut next_sample) = (FAULT, CLIENT, Duration::ZERO);
    let mut steps = 0;
    while start.elapsed() < length {
        if start.elapsed() >= next_sample {
            samples.take(&field, start.elapsed());
            next_sample += SAMPLE;
        }
        if start.elapsed() >= next_client {
            next_client = start.elapsed() + CLIENT;
            if let Some(act) = draw.client(field.cluster()) {
                *faults.entry(act.kind()).or_default() += 1;
                field.carry_out(&act).unwrap_or_else(|why| panic!("{mix}: seed {seed}: {act}: {why}"));
            }
        }
        if start.elapsed() >= next_fault {
            next_fault = start.elapsed() + FAULT;
            steps += 1;
            let step = draw.step(field.cluster());
            println!("{mix}: {:.0} s: step {steps}: {}", start.elapsed().as_secs_f64(), told(&step));
            for (_, act) in &step {
                *faults.entry(act.kind()).or_default() += 1;
            }
            if let Err(why) = field.step(&step) {
                panic!("{mix}: seed {seed}: step {steps}: {}: {why}", told(&step));
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    field.rest().unwrap_or_else(|why| panic!("{mix}: seed {seed}: at the end: {why}"));
    let end = start.elapsed();
    samples.take(&field, end);
    println!("{mix}: seed {seed}: {:.0} s, {steps} steps; acts: {faults:?}", end.as_secs_f64());
    println!("{mix}: {:?}", field.counts());
    samples.print(mix, end);
    for (line, times) in field.noticed() {
        println!("{mix}: {times} times: {line}");
    }
    samples.assert_flat(mix, end);
}

#[test]
#[ignore = "half an hour; scripts/interop.sh soak runs it"]
fn a_long_run() {
    if !ready() {
        return;
    }
    let length = Duration::from_secs(number("ANNULUS_INTEROP_SOAK_SECONDS").unwrap_or(1800));
    let mixes = Mix::chosen(&["ACACA/udpu"]);
    std::thread::scope(|scope| {
        let runs: Vec<_> = mixes.iter().map(|mix| (mix, scope.spawn(move || soak(mix, length)))).collect();
        let failed: Vec<String> =
            runs.into_iter().filter_map(|(mix, run)| run.join().is_err().then(|| mix.to_string())).collect();
        assert!(failed.is_empty(), "failed, for the reasons above: {failed:?}");
    });
}
