//! Knet in the clear and encrypted, annulusd and Debian's Corosync by turns: three hosts, one sender and three,
//! medians of three rounds.
//!
//! `scripts/interop.sh side-by-side knet` runs it. `ANNULUS_BENCH_SECONDS` (2) is the length of one measurement,
//! `ANNULUS_BENCH_ROUNDS` (3) the number of rounds; `ANNULUS_BENCH_TRANSPORTS` names other transports than the
//! default ones.

use crate::lab::{Kind, Peer, Transport};
use crate::side_by_side::{self, field, ratio, ring, seconds};
use crate::usage::resident;
use crate::{number, ready};
use std::time::Duration;

const SIZES: [usize; 3] = [64, 1000, 16_000];
const PATIENCE: Duration = Duration::from_secs(120);

/// The results of one daemon for one message size.
#[derive(Clone, Copy)]
struct Row {
    /// Messages per second, of one sender and of three.
    one: f64,
    three: f64,
    /// Latency with one message in flight, in microseconds.
    p50: f64,
    p99: f64,
}

/// The results of one daemon in one round, and the largest memory of one of its processes in MiB.
type Round = ([Row; SIZES.len()], f64);

fn round(kind: Kind, transport: Transport) -> Round {
    let lab = ring(kind, transport, 3);
    // The path MTU is discovered once the links are up.
    std::thread::sleep(Duration::from_secs(3));
    let seconds = seconds().to_string();
    let rows = SIZES.map(|size| {
        let size = size.to_string();
        let mut options = vec!["--max", &size, "--seconds", &seconds, "--warmup", "0.5", "--deadline", "60"];
        options.extend(["--retry-us", "20"]);
        let alone = lab.peer(1, "speed", "throughput", &options).result(PATIENCE);
        let latency = lab.peer(1, "latency", "latency", &options).result(PATIENCE);
        options.extend(["--members", "3"]);
        let mut peers: Vec<Peer> = (1..=3).map(|k| lab.peer(k, "speeds", "throughput", &options)).collect();
        let lines: Vec<String> = peers.iter_mut().map(|peer| peer.result(PATIENCE)).collect();
        Row {
            one: field(&alone, "msgs_per_s"),
            three: field(&lines[0], "msgs_per_s"),
            p50: field(&latency, "p50_us"),
            p99: field(&latency, "p99_us"),
        }
    });
    let held = (1..=3).map(|k| resident(lab.daemon_pid(k)).0).max().unwrap_or_default();
    (rows, held as f64 / 1024.0)
}

fn median(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    side_by_side::median(rounds.iter().map(of).collect())
}

/// Prints the table; every ratio is annulusd divided by Corosync.
#[test]
#[ignore = "a measurement of minutes: scripts/interop.sh side-by-side knet"]
fn knet_side_by_side() {
    if !ready() {
        return;
    }
    let list =
        std::env::var("ANNULUS_BENCH_TRANSPORTS").unwrap_or_else(|_| "knet,knet+aes256+sha256".to_owned());
    let rounds = number("ANNULUS_BENCH_ROUNDS").unwrap_or(3).max(1);
    println!("| transport | what | bytes | ours | Corosync | ratio |\n|---|---|---|---|---|---|");
    for word in list.split(',') {
        let transport: Transport = word.parse().unwrap_or_else(|why| panic!("{why}"));
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            theirs.push(round(Kind::Corosync, transport));
            ours.push(round(crate::both::ours(), transport));
        }
        let print = |what: &str, size: &str, of: &dyn Fn(&Round) -> f64| {
            let (ours, theirs) = (median(&ours, of), median(&theirs, of));
            assert!(ours > 0.0 && theirs > 0.0, "{transport}: {what} of {size} bytes: {ours} {theirs}");
            println!("| {transport} | {what} | {size} | {ours:.0} | {theirs:.0} | {} |", ratio(ours, theirs));
        };
        for (at, bytes) in SIZES.iter().enumerate() {
            let size = bytes.to_string();
            let megabytes = *bytes as f64 / 1e6;
            print("one sender, messages/s", &size, &|round| round.0[at].one);
            print("one sender, MB/s", &size, &|round| round.0[at].one * megabytes);
            print("three senders, messages/s", &size, &|round| round.0[at].three);
            print("three senders, MB/s", &size, &|round| round.0[at].three * megabytes);
            print("p50, us", &size, &|round| round.0[at].p50);
            print("p99, us", &size, &|round| round.0[at].p99);
        }
        print("resident memory, MiB", "-", &|round| round.1);
    }
}
