//! Three senders at full speed, first on a clean network and then on ones that lose datagrams: no change of membership,
//! and no more frames sent again than the loss explains. Corosync beside it, on the same machine by turns.
//!
//! `scripts/interop.sh loss` runs it. `ANNULUS_LOSS_SECONDS` (60) is the length of each phase.

use super::counts::Counts;
use crate::lab::{Kind, Lab, Peer, Transport};
use crate::side_by_side::{field, ring};
use crate::{number, ready};
use std::time::Duration;

/// The phases: how many of 100 datagrams are lost at each host.
const PHASES: [u32; 4] = [0, 1, 5, 20];
/// Hosts, each with a sender.
const HOSTS: usize = 3;
/// Frames that a loss of one datagram may cause to be sent again. A frame is asked for by each node that lacks it, but
/// sent again to all of them; what is sent again is lost with the same chance.
const AGAIN: f64 = 2.0;
/// Time beyond the phase after which a client gives up, in seconds, and after which it must have ended.
const DEADLINE: u64 = 30;
const PATIENCE: Duration = Duration::from_secs(60);

/// What happened in one phase.
struct Phase {
    /// Messages a second, or `None` if a client gave up.
    messages: Option<f64>,
    /// Frames sent again, for each sent frame.
    again: f64,
    /// Rings that were installed, by all hosts.
    rings: u64,
}

fn phase(lab: &Lab, loss: u32, seconds: u64) -> Phase {
    let hosts = || 1..=lab.len();
    if loss > 0 {
        hosts().for_each(|k| lab.lose(k, loss));
    }
    let patience = Duration::from_secs(seconds) + PATIENCE;
    let (members, deadline) = (HOSTS.to_string(), (seconds + DEADLINE).to_string());
    let seconds = seconds.to_string();
    let common = ["--max", "1000", "--seconds", &seconds, "--warmup", "1"];
    let options = [&common[..], &["--members", &members, "--deadline", &deadline]].concat();
    let before: Vec<Counts> = hosts().map(|k| Counts::of(lab, k)).collect();
    let mut peers: Vec<Peer> = hosts().map(|k| lab.peer(k, "speed", "throughput", &options)).collect();
    let lines: Vec<_> = peers.iter_mut().map(|peer| peer.result_if_any(patience)).collect();
    let after: Vec<Counts> = hosts().map(|k| Counts::of(lab, k)).collect();
    if loss > 0 {
        hosts().for_each(|k| lab.unfilter(k));
    }
    let grown =
        |of: fn(&Counts) -> u64| after.iter().map(of).sum::<u64>() - before.iter().map(of).sum::<u64>();
    Phase {
        messages: lines[0].as_ref().map(|line| field(line, "msgs_per_s")),
        again: grown(|counts| counts.again) as f64 / grown(|counts| counts.sent).max(1) as f64,
        rings: grown(|counts| counts.rings),
    }
}

#[test]
#[ignore = "a measurement of many minutes: scripts/interop.sh loss runs it"]
fn a_loaded_ring_stays_together_while_datagrams_are_lost() {
    if !ready() {
        return;
    }
    let seconds = number("ANNULUS_LOSS_SECONDS").unwrap_or(60);
    println!("| daemon | lost, % | msg/s | sent again, of 1000 | rings |\n|---|---|---|---|---|");
    for kind in [Kind::Annulus, Kind::Corosync] {
        let lab = ring(kind, Transport::Udpu, HOSTS);
        for loss in PHASES {
            let Phase { messages, again, rings } = phase(&lab, loss, seconds);
            let speed = messages.map_or_else(|| "none".to_owned(), |messages| format!("{messages:.0}"));
            println!("| {kind:?} | {loss} | {speed} | {:.1} | {rings} |", 1000.0 * again);
            if kind == Kind::Annulus {
                assert_eq!(rings, 0, "{loss} %: the ring was formed anew\n{}", lab.log_tail(1));
                // Each frame goes to every other host, and is lost there by chance.
                let lost = f64::from(loss) / 100.0 * (HOSTS - 1) as f64;
                assert!(again <= AGAIN * lost + 0.001, "{loss} %: {again} frames sent again for each frame");
            }
        }
    }
}
