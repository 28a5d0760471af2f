//! Three senders at full speed, first on a clean network and then on ones that lose, double and reorder datagrams: no
//! change of membership, and no more frames sent again than the network explains. Corosync beside it, by turns.
//!
//! `scripts/interop.sh bad-network` runs it. `ANNULUS_NETWORK_SECONDS` (60) is the length of each phase; that on the
//! clean network is ten times as long.

use crate::counts::{Counts, grown};
use crate::lab::{Impairment, Kind, Lab, Peer, Transport};
use crate::side_by_side::{field, ring};
use crate::{number, ready};
use std::fmt;
use std::time::Duration;

/// Hosts, each with a sender.
const HOSTS: usize = 3;
/// Frames that a lost or late datagram may cause to be sent again. A frame is asked for by each node that lacks it, but
/// sent again to all of them; what is sent again is lost with the same chance.
const AGAIN: f64 = 2.0;
/// Time by which a late datagram is late: some rotations of the token.
const LATE_BY: Duration = Duration::from_millis(1);
/// Time beyond the phase after which a client gives up, in seconds, and after which it must have ended.
const DEADLINE: u64 = 30;
const PATIENCE: Duration = Duration::from_secs(60);

/// What happens to so many of 100 datagrams on their way to each host.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Lost(u32),
    Doubled(u32),
    Late(u32),
}

/// The phases, after the one without trouble.
const PHASES: [Trouble; 5] =
    [Trouble::Lost(1), Trouble::Lost(5), Trouble::Lost(20), Trouble::Doubled(10), Trouble::Late(10)];

impl Trouble {
    /// The share of datagrams that are not there when they are expected.
    fn missed(self) -> f64 {
        match self {
            Self::Lost(percent) | Self::Late(percent) => f64::from(percent) / 100.0,
            Self::Doubled(_) => 0.0,
        }
    }

    /// Does something on networks with this trouble.
    fn during<T>(self, lab: &Lab, work: impl FnOnce() -> T) -> T {
        let impairment = match self {
            Self::Lost(percent) => return lab.while_losing(percent, work),
            Self::Doubled(percent) => Impairment { doubled: f64::from(percent), ..Impairment::default() },
            Self::Late(percent) => {
                Impairment { late: f64::from(percent), late_by: LATE_BY, ..Impairment::default() }
            }
        };
        let _impaired = lab.impair(impairment);
        work()
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(percent) => write!(f, "{percent} % lost"),
            Self::Doubled(percent) => write!(f, "{percent} % doubled"),
            Self::Late(percent) => write!(f, "{percent} % late by {LATE_BY:?}"),
        }
    }
}

/// What happened in one phase.
struct Phase {
    /// Messages a second, or `None` if a client gave up.
    messages: Option<f64>,
    /// Frames sent again, for each sent frame.
    again: f64,
    /// Rings that were installed, by all hosts.
    rings: u64,
}

/// Clients on so many hosts that send messages of 1000 bytes at full speed; each gives up `deadline` seconds after its
/// time.
pub(crate) fn senders(lab: &Lab, hosts: usize, seconds: u64, deadline: u64) -> Vec<Peer> {
    let (members, deadline) = (hosts.to_string(), (seconds + deadline).to_string());
    let seconds = seconds.to_string();
    let common = ["--max", "1000", "--seconds", &seconds, "--warmup", "1"];
    let options = [&common[..], &["--members", &members, "--deadline", &deadline]].concat();
    (1..=hosts).map(|k| lab.peer(k, "speed", "throughput", &options)).collect()
}

fn phase(lab: &Lab, seconds: u64) -> Phase {
    let patience = Duration::from_secs(seconds) + PATIENCE;
    let before = Counts::of_all(lab);
    let mut peers = senders(lab, HOSTS, seconds, DEADLINE);
    let lines: Vec<_> = peers.iter_mut().map(|peer| peer.result_if_any(patience)).collect();
    let after = Counts::of_all(lab);
    let grown = |of: fn(&Counts) -> u64| grown(&before, &after, of);
    Phase {
        messages: lines[0].as_ref().map(|line| field(line, "msgs_per_s")),
        again: grown(|counts| counts.again) as f64 / grown(|counts| counts.sent).max(1) as f64,
        rings: grown(|counts| counts.rings),
    }
}

#[test]
#[ignore = "a measurement of many minutes: scripts/interop.sh bad-network runs it"]
fn a_loaded_ring_stays_together_on_bad_networks() {
    if !ready() {
        return;
    }
    let seconds = number("ANNULUS_NETWORK_SECONDS").unwrap_or(60);
    println!("| daemon | network | msg/s | sent again, of 1000 | rings |\n|---|---|---|---|---|");
    for kind in [Kind::Annulus, Kind::Corosync] {
        let lab = ring(kind, Transport::Udpu, HOSTS);
        for trouble in std::iter::once(None).chain(PHASES.map(Some)) {
            let (name, Phase { messages, again, rings }) = match trouble {
                None => ("clean".to_owned(), phase(&lab, 10 * seconds)),
                Some(trouble) => (trouble.to_string(), trouble.during(&lab, || phase(&lab, seconds))),
            };
            let speed = messages.map_or_else(|| "none".to_owned(), |messages| format!("{messages:.0}"));
            println!("| {kind:?} | {name} | {speed} | {:.1} | {rings} |", 1000.0 * again);
            if kind == Kind::Annulus {
                assert_eq!(rings, 0, "{name}: the ring was formed anew\n{}", lab.log_tail(1));
                // Each frame goes to every other host, and is missed there by chance.
                let missed = trouble.map_or(0.0, Trouble::missed) * (HOSTS - 1) as f64;
                assert!(again <= AGAIN * missed + 0.001, "{name}: {again} frames sent again for each frame");
            }
        }
    }
}
