//! annulusd and Debian's Corosync in the same run, with the same client: messages, bytes, latency, and the ratios.
//!
//! `scripts/interop.sh side-by-side` runs it. `ANNULUS_BENCH_SECONDS` (2) is the length of one measurement,
//! `ANNULUS_BENCH_ROUNDS` (2) the number of rounds, in which the two daemons take turns (the mean counts), and
//! `ANNULUS_BENCH_JSON` a file for the figures.

use crate::lab::{Kind, Lab, Peer, Transport};
use crate::{number, ready};
use std::fmt::Write as _;
use std::time::Duration;

const SIZES: [usize; 7] = [64, 320, 1600, 8000, 40_000, 200_000, 1_000_000];
const SIZES_OF_THREE: [usize; 3] = [64, 1000, 16_000];
const PATIENCE: Duration = Duration::from_secs(120);

/// The results of one daemon for one message size.
#[derive(Clone, Copy, Default)]
struct Figures {
    messages: f64,
    megabytes: f64,
    p50: f64,
    p99: f64,
}

impl Figures {
    /// The mean of the rounds for each size.
    fn mean(rounds: &[Vec<Self>]) -> Vec<Self> {
        let count = rounds.len() as f64;
        (0..rounds[0].len())
            .map(|at| {
                let mean =
                    |of: fn(&Self) -> f64| rounds.iter().map(|round| of(&round[at])).sum::<f64>() / count;
                Self {
                    messages: mean(|f| f.messages),
                    megabytes: mean(|f| f.megabytes),
                    p50: mean(|f| f.p50),
                    p99: mean(|f| f.p99),
                }
            })
            .collect()
    }
}

/// Measures annulusd and Corosync by turns; returns the means in this order.
fn by_turns(measure: impl Fn(Kind) -> Vec<Figures>) -> (Vec<Figures>, Vec<Figures>) {
    let rounds = number("ANNULUS_BENCH_ROUNDS").unwrap_or(2).max(1);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        theirs.push(measure(Kind::Corosync));
        ours.push(measure(Kind::Annulus));
    }
    (Figures::mean(&ours), Figures::mean(&theirs))
}

/// The number after `"name":` in a line of JSON.
pub(crate) fn field(line: &str, name: &str) -> f64 {
    let key = format!("\"{name}\":");
    let rest = line.split_once(&key).unwrap_or_else(|| panic!("{line:?} has no {name}")).1;
    rest.split([',', '}'])
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("{line:?}: {name}"))
}

/// Length of one measurement, in seconds.
pub(crate) fn seconds() -> f64 {
    std::env::var("ANNULUS_BENCH_SECONDS")
        .map_or(2.0, |value| value.parse().expect("ANNULUS_BENCH_SECONDS: a number"))
}

/// The middle one of some values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Hosts whose daemons are in one ring.
pub(crate) fn ring(kind: Kind, transport: Transport, hosts: usize) -> Lab {
    let mut lab = Lab::new(hosts);
    lab.configure(transport, "");
    lab.start_all(kind);
    lab.wait_for_one_ring();
    lab
}

/// One sender on host 1; the other hosts are only members of the ring.
fn one_sender(kind: Kind, transport: Transport, hosts: usize) -> Vec<Figures> {
    let lab = ring(kind, transport, hosts);
    SIZES
        .iter()
        .map(|size| {
            let (size, seconds) = (size.to_string(), seconds().to_string());
            let options = ["--max", &size, "--seconds", &seconds, "--warmup", "0.5", "--retry-us", "20"];
            let speed = lab.peer(1, "speed", "throughput", &options).result(PATIENCE);
            let latency = lab.peer(1, "latency", "latency", &options).result(PATIENCE);
            Figures {
                messages: field(&speed, "msgs_per_s"),
                megabytes: field(&speed, "mb_per_s"),
                p50: field(&latency, "p50_us"),
                p99: field(&latency, "p99_us"),
            }
        })
        .collect()
}

/// A sender on each of three hosts; what is delivered to host 1 is counted.
fn three_senders(kind: Kind, transport: Transport) -> Vec<Figures> {
    let lab = ring(kind, transport, 3);
    SIZES_OF_THREE
        .iter()
        .map(|size| {
            let (size, seconds) = (size.to_string(), seconds().to_string());
            let options = [
                "--max",
                &size,
                "--members",
                "3",
                "--seconds",
                &seconds,
                "--warmup",
                "1",
                "--deadline",
                "60",
            ];
            let mut peers: Vec<Peer> =
                (1..=3).map(|k| lab.peer(k, "speed", "throughput", &options)).collect();
            let lines: Vec<String> = peers.iter_mut().map(|peer| peer.result(PATIENCE)).collect();
            Figures {
                messages: field(&lines[0], "msgs_per_s"),
                megabytes: field(&lines[0], "mb_per_s"),
                ..Figures::default()
            }
        })
        .collect()
}

/// `ours / theirs`, formatted for the table.
pub(crate) fn ratio(ours: f64, theirs: f64) -> String {
    if theirs > 0.0 { format!("{:.2}", ours / theirs) } else { "-".to_owned() }
}

struct Report {
    table: String,
    json: String,
}

impl Report {
    fn add(
        &mut self,
        hosts: usize,
        senders: usize,
        transport: Transport,
        size: usize,
        ours: Figures,
        theirs: Figures,
    ) {
        let mut line = format!(
            "| {hosts} | {senders} | {transport} | {size} | {:.0} | {:.0} | {} | {:.1} | {:.1} |",
            ours.messages,
            theirs.messages,
            ratio(ours.messages, theirs.messages),
            ours.megabytes,
            theirs.megabytes,
        );
        if ours.p50 > 0.0 {
            let _ = write!(
                line,
                " {:.0} | {:.0} | {} | {:.0} | {:.0} | {} |",
                ours.p50,
                theirs.p50,
                ratio(ours.p50, theirs.p50),
                ours.p99,
                theirs.p99,
                ratio(ours.p99, theirs.p99)
            );
        } else {
            line.push_str(" - | - | - | - | - | - |");
        }
        println!("{line}");
        self.table.push_str(&line);
        for (name, figures) in [("annulus", ours), ("corosync", theirs)] {
            let comma = if self.json.is_empty() { "" } else { ",\n" };
            let _ = write!(
                self.json,
                "{comma}{{\"daemon\":\"{name}\",\"hosts\":{hosts},\"senders\":{senders},\"transport\":\"{transport}\",\"size\":{size},\
                 \"msgs_per_s\":{:.1},\"mb_per_s\":{:.3},\"p50_us\":{:.1},\"p99_us\":{:.1}}}",
                figures.messages, figures.megabytes, figures.p50, figures.p99
            );
        }
    }
}

/// The whole comparison; about ten minutes.
#[test]
#[ignore = "a measurement of minutes: scripts/interop.sh side-by-side runs it"]
fn side_by_side() {
    if !ready() {
        return;
    }
    println!(
        "| hosts | senders | transport | bytes | msg/s ours | msg/s Corosync | ratio | MB/s ours | MB/s Corosync | p50 us ours | p50 Corosync | ratio | p99 us ours | p99 Corosync | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let mut report = Report { table: String::new(), json: String::new() };
    for hosts in [1, 3] {
        for transport in [Transport::Udpu, Transport::Udp] {
            let (ours, theirs) = by_turns(|kind| one_sender(kind, transport, hosts));
            for ((size, ours), theirs) in SIZES.into_iter().zip(ours).zip(theirs) {
                report.add(hosts, 1, transport, size, ours, theirs);
            }
        }
    }
    for transport in [Transport::Udpu, Transport::Udp] {
        let (ours, theirs) = by_turns(|kind| three_senders(kind, transport));
        for ((size, ours), theirs) in SIZES_OF_THREE.into_iter().zip(ours).zip(theirs) {
            report.add(3, 3, transport, size, ours, theirs);
        }
    }
    if let Some(path) = std::env::var_os("ANNULUS_BENCH_JSON") {
        std::fs::write(&path, format!("[\n{}\n]\n", report.json)).expect("write ANNULUS_BENCH_JSON");
    }
    assert_eq!(report.table.matches("| udp").count(), 4 * SIZES.len() + 2 * SIZES_OF_THREE.len());
}

/// A short measurement of Debian's daemon must give plausible figures.
#[test]
fn the_measurement_gives_plausible_figures() {
    if !ready() {
        return;
    }
    let mut lab = Lab::new(1);
    lab.configure(Transport::Udpu, "");
    lab.start_all(Kind::Corosync);
    let options = ["--max", "320", "--seconds", "0.5", "--warmup", "0.2", "--deadline", "30"];
    let speed = lab.peer(1, "speed", "throughput", &options).result(PATIENCE);
    let (messages, megabytes) = (field(&speed, "msgs_per_s"), field(&speed, "mb_per_s"));
    assert!((megabytes - messages * 320.0 / 1e6).abs() < 0.1, "{speed}");
    let latency = lab.peer(1, "latency", "latency", &options).result(PATIENCE);
    let (p50, p99, samples) =
        (field(&latency, "p50_us"), field(&latency, "p99_us"), field(&latency, "samples"));
    assert!(p50 > 1.0 && p50 <= p99, "{latency}");
    // With one message in flight, there cannot be more messages than their latency permits.
    assert!(samples * p50 / 1e6 < 1.0, "{latency}");
}
