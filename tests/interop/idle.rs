//! The processor time and memory of a daemon that has nothing to do.

use crate::lab::{Kind, Lab, PATIENCE, Transport};
use crate::usage::{processor_time, resident};
use crate::{number, ready};
use std::time::{Duration, Instant};

/// What a daemon used in some time.
pub(crate) struct Usage {
    /// Share of one core.
    pub(crate) share: f64,
    /// Resident memory at the end, in bytes.
    pub(crate) resident: u64,
}

/// What each daemon of a lab uses in this time.
pub(crate) fn usage(lab: &Lab, time: Duration) -> Vec<Usage> {
    let pids: Vec<u32> = (1..=lab.len()).map(|k| lab.daemon_pid(k)).collect();
    let before: Vec<Duration> = pids.iter().map(|pid| processor_time(*pid)).collect();
    let start = Instant::now();
    std::thread::sleep(time);
    let elapsed = start.elapsed().as_secs_f64();
    pids.iter()
        .zip(before)
        .map(|(pid, before)| Usage {
            share: (processor_time(*pid) - before).as_secs_f64() / elapsed,
            resident: resident(*pid).0 * 1024,
        })
        .collect()
}

/// What each daemon of an idle ring of three uses.
fn measure(kind: Kind, transport: Transport, seconds: u64) -> Vec<Usage> {
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
    let usage = usage(&lab, Duration::from_secs(seconds));
    (1..=3).for_each(|k| lab.assert_alive(k));
    usage
}

/// Each daemon uses less than 1 % of a core, also when it is not optimised, and less than 32 MB.
/// `ANNULUS_IDLE_SECONDS` (default 10) is the measured time.
#[test]
fn an_idle_daemon_costs_little() {
    if !ready() {
        return;
    }
    let seconds = number("ANNULUS_IDLE_SECONDS").unwrap_or(10);
    for transport in [Transport::Udpu, Transport::Udp] {
        for kind in [Kind::Annulus, Kind::Corosync] {
            for (index, Usage { share, resident }) in
                measure(kind, transport, seconds).into_iter().enumerate()
            {
                println!(
                    "idle {} {kind:?} host {}: {:.2} % of a core, {:.1} MB resident, over {seconds} s",
                    transport.word(),
                    index + 1,
                    share * 100.0,
                    resident as f64 / 1e6
                );
                if kind == Kind::Annulus {
                    assert!(share < 0.01, "{:.2} % of a core", share * 100.0);
                    assert!(resident < 32_000_000, "{resident} bytes resident");
                }
            }
        }
    }
}
