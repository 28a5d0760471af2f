//! Whether a node of annulusd is a good neighbour at full speed: the throughput of mixed rings, the share of
//! retransmissions, and how nodes share the ring, compared with rings of one kind in the same run.
//!
//! `scripts/interop.sh neighbours` runs it. `ANNULUS_BENCH_SECONDS` (2) is the length of one measurement,
//! `ANNULUS_BENCH_ROUNDS` (1) the number of rounds; `ANNULUS_INTEROP_SIZES` names the message sizes, and
//! `ANNULUS_INTEROP_MIXES` the mixes.

use super::Mix;
use crate::counts::{Counts, grown};
use crate::lab::{Lab, Peer};
use crate::{number, ready};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);

/// The rings of one kind come first, as the others are compared with them.
const MIXES: [&str; 12] = [
    "CCC/udpu", "AAA/udpu", "ACC/udpu", "CAC/udpu", "CAA/udpu", "ACA/udpu", "CCC/udp", "AAA/udp", "ACC/udp",
    "CAC/udp", "CAA/udp", "ACA/udp",
];

fn sizes() -> Vec<usize> {
    let list = std::env::var("ANNULUS_INTEROP_SIZES").unwrap_or_else(|_| "64,1000,16000,100000".to_owned());
    list.split(',').map(|size| size.parse().expect("a size in bytes")).collect()
}

/// Makes one measurement, which is a line of the table.
fn measure(mix: &Mix, lab: &Lab, size: usize) -> String {
    let hosts = 1..=lab.len();
    let seconds = number("ANNULUS_BENCH_SECONDS").unwrap_or(2).to_string();
    let (text, members) = (size.to_string(), lab.len().to_string());
    let options =
        ["--max", &text, "--members", &members, "--seconds", &seconds, "--warmup", "1", "--deadline", "60"];
    let before = Counts::of_all(lab);
    let mut peers: Vec<Peer> = hosts.map(|k| lab.peer(k, "speed", "throughput", &options)).collect();
    let lines: Vec<String> = peers.iter_mut().map(|peer| peer.result(PATIENCE)).collect();
    let after = Counts::of_all(lab);
    let per_host = |of: &dyn Fn(&Counts, &Counts) -> String| {
        before.iter().zip(&after).map(|(was, is)| of(was, is)).collect::<Vec<_>>().join(" ")
    };
    let frames = grown(&before, &after, |counts| counts.sent);
    let again = grown(&before, &after, |counts| counts.again);
    let rings = grown(&before, &after, |counts| counts.rings);
    assert!(frames > 0, "{mix}: nothing was sent");
    format!(
        "| {mix} | {size} | {:.0} | {:.1} | {} | {:.1} | {} | {rings} |",
        crate::side_by_side::field(&lines[0], "msgs_per_s"),
        crate::side_by_side::field(&lines[0], "mb_per_s"),
        per_host(&|was, is| format!("{:.0}", 100.0 * (is.sent - was.sent) as f64 / frames as f64)),
        1000.0 * again as f64 / frames as f64,
        per_host(&|was, is| (is.again - was.again).to_string()),
    )
}

#[test]
#[ignore = "a measurement of minutes: scripts/interop.sh neighbours runs it"]
fn throughput_of_mixed_rings() {
    if !ready() {
        return;
    }
    println!(
        "| mix | bytes | msg/s | MB/s | share of the frames, by host, % | sent again, of 1000 | by host | rings |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for _ in 0..number("ANNULUS_BENCH_ROUNDS").unwrap_or(1) {
        for mix in Mix::chosen(&MIXES) {
            let mut lab = Lab::new(mix.len());
            lab.configure(mix.transport, "token: 3000");
            mix.start(&mut lab);
            lab.wait_for_one_ring();
            for size in sizes() {
                println!("{}", measure(&mix, &lab, size));
            }
        }
    }
}
