//! The configuration database under load, of annulusd and of Corosync in the same run: many keys, many trackers and
//! many sets per second by Debian's libcmap, while the ring carries messages.
//!
//! `scripts/interop.sh confdb-load` runs it. Variables with their defaults: `ANNULUS_LOAD_KEYS` (100,000),
//! `ANNULUS_LOAD_TRACKERS` (1000), `ANNULUS_LOAD_RATE` (10,000 sets per second) and `ANNULUS_LOAD_SECONDS` (5).

use crate::lab::{Kind, Lab, PATIENCE, Transport};
use crate::usage::{processor_time, resident};
use crate::{number, ready};
use std::time::Duration;

/// Measures one kind of daemon on a ring of two; the database client and the sender run on host 1.
fn measure(kind: Kind) -> String {
    let setting = |name: &str, default: u64| number(name).unwrap_or(default).to_string();
    let seconds = setting("ANNULUS_LOAD_SECONDS", 5);
    let mut lab = Lab::new(2);
    lab.configure(Transport::Udpu, "");
    lab.start_all(kind);
    lab.wait_for_one_ring();
    let pid = lab.daemon_pid(1);
    let (before, _) = resident(pid);
    let send = |name: &str, seconds: &str| {
        lab.peer(1, name, "throughput", &["--max", "1000", "--pause-us", "200", "--seconds", seconds])
    };
    let quiet = send("quiet", &seconds).result(PATIENCE);
    let _sender = send("busy", "600");
    std::thread::sleep(Duration::from_secs(1)); // the sender has joined and sends
    let used = processor_time(pid);
    let options = [
        "--keys",
        &setting("ANNULUS_LOAD_KEYS", 100_000),
        "--trackers",
        &setting("ANNULUS_LOAD_TRACKERS", 1000),
        "--rate",
        &setting("ANNULUS_LOAD_RATE", 10_000),
        "--seconds",
        &seconds,
    ];
    let result = lab.peer(1, "database", "database", &options).result(Duration::from_secs(600));
    let used = processor_time(pid) - used;
    let (after, highest) = resident(pid);
    lab.assert_alive(1);
    lab.assert_alive(2);
    format!(
        "{kind:?}: {result}\n  memory: {before} KiB before, {after} after, {highest} at the highest; \
         processor time {:.1} s; the ring alone: {quiet}",
        used.as_secs_f64()
    )
}

#[test]
#[ignore = "takes minutes; scripts/interop.sh confdb-load runs it"]
fn many_keys_and_trackers() {
    if !ready() {
        return;
    }
    for kind in [Kind::Corosync, Kind::Annulus] {
        println!("{}", measure(kind));
    }
}
