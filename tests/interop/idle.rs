//! The processor time and memory of a daemon that has nothing to do.

use crate::lab::{Kind, Lab, PATIENCE, Transport};
use crate::usage::{processor_time, resident};
use crate::{number, ready};
use std::time::{Duration, Instant};

/// Share of one core and resident KiB of each daemon of an idle ring of three.
fn measure(kind: Kind, transport: Transport, seconds: u64) -> Vec<(f64, u64)> {
    let mut lab = Lab::new(3);
    // The defaults of corosync.conf, as most operators use them.
    lab.configure(transport, "");
    lab.start_all(kind);
    let options = ["--members", "3", "--count", "1", "--deadline", "120"];
    let mut peers: Vec<_> = (1..=3).map(|k| lab.peer(k, "peer", "order", &options)).collect();
    for peer in &mut peers {
        peer.succeed(PATIENCE);
    }
    std::thread::sleep(Duration::from_secs(2));
    let before: Vec<_> = (1..=3).map(|k| processor_time(lab.daemon_pid(k))).collect();
    let start = Instant::now();
    std::thread::sleep(Duration::from_secs(seconds));
    let elapsed = start.elapsed().as_secs_f64();
    (1..=3)
        .map(|k| {
            lab.assert_alive(k);
            let used = processor_time(lab.daemon_pid(k)) - before[k - 1];
            (used.as_secs_f64() / elapsed, resident(lab.daemon_pid(k)).0)
        })
        .collect()
}

/// Each daemon uses less than 1 % of a core and less than 32 MB. `ANNULUS_IDLE_SECONDS` (default 10) is the measured
/// time.
#[test]
fn an_idle_daemon_costs_little() {
    if !ready() {
        return;
    }
    let seconds = number("ANNULUS_IDLE_SECONDS").unwrap_or(10);
    for transport in [Transport::Udpu, Transport::Udp] {
        for kind in [Kind::Annulus, Kind::Corosync] {
            for (index, (share, kib)) in measure(kind, transport, seconds).into_iter().enumerate() {
                println!(
                    "idle {} {kind:?} host {}: {:.2} % of a core, {:.1} MB resident, over {seconds} s",
                    transport.word(),
                    index + 1,
                    share * 100.0,
                    kib as f64 * 1024.0 / 1e6
                );
                if kind == Kind::Annulus {
                    assert!(share < 0.01, "{:.2} % of a core", share * 100.0);
                    assert!(kib * 1024 < 32_000_000, "{kib} KiB resident");
                }
            }
        }
    }
}
