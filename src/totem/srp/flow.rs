//! Flow control: how many frames a node may multicast in one visit of the token.
//!
//! Totem paper, flow control; corosync `exec/totemsrp.c`, `fcc_calculate`.

use crate::config::timeouts::Timeouts;
use crate::totem::wire::Token;

use super::excess::PATIENCE;
use super::hold::Rotation;
use super::window::{Reception, WINDOW};

/// Number of consecutive visits without a new frame on the ring after which a full flow control count must be
/// wrong, if all members have all frames. If a member lacks frames it takes [`PATIENCE`] visits.
const IDLE: u32 = 3;

/// A node's share of the window is counted in this fraction of a frame. What it could not send of its share, because
/// it was a part of a frame or because the window was full, is added to the share of the next visit: six nodes with a
/// window of ten frames send more than nine frames a rotation, not six.
const PARTS: u64 = 1 << 8;

/// The most that is added, in frames.
const OWED: u64 = 2;

/// Number of frames that may be multicast in this visit, retransmissions included. `backlog` is what this
/// node has queued now; `complete` says whether all members have had all frames for a rotation.
pub(super) fn allowance(
    limits: &Timeouts,
    token: &Token,
    last: &mut Rotation,
    backlog: u32,
    complete: bool,
) -> u32 {
    // What the others have sent since the last visit. The token's count still contains what this node sent then.
    let others = token.fcc.saturating_sub(last.sent);
    // A member whose window is larger than this node's may have filled the token past it; allowing one frame
    // keeps this node from starving.
    let left = match limits.window_size.checked_sub(others) {
        // According to the count, the ring has just sent as much as it may, yet no new frame was sent for a
        // while. If all members have had everything for a rotation, nothing was retransmitted either: so the
        // count is wrong, because of a changed or forged datagram, and would stay wrong. If a member lacks
        // frames, the count may consist of retransmissions that are lost again and again, or be wrong and
        // prevent them.
        Some(0) if complete && last.idle() >= IDLE || last.idle() >= PATIENCE => 1,
        Some(left) => left,
        None => 1,
    };
    let allowed = limits.max_messages.min(left);

    let ring_backlog = token.backlog.wrapping_add(backlog).wrapping_sub(last.backlog);
    if ring_backlog == 0 {
        return allowed;
    }
    let whole = PARTS * u64::from(limits.window_size);
    let parts = whole * u64::from(last.backlog) / u64::from(ring_backlog) + u64::from(last.owed);
    let allowed = match u32::try_from(parts / PARTS) {
        Ok(share) if share > 0 => allowed.min(share),
        _ => allowed,
    };
    let owed = parts.saturating_sub(PARTS * u64::from(allowed));
    last.owed = owed.min(OWED * PARTS) as u16;
    allowed
}

/// How many of `allowed` more frames fit into every member's window: the slowest member may still need all
/// frames that were not released.
///
/// The last `window_size` numbers stay free, as in Corosync. All numbers before them must be usable: a ring
/// that stopped earlier could not retransmit in a recovery everything that it had sent before.
pub(super) fn fitting(reception: &Reception, token: &Token, allowed: u32, window_size: u32) -> u32 {
    let end = reception.last_released.plus(WINDOW - window_size.min(WINDOW / 2));
    if end.is_before(token.seq) { 0 } else { allowed.min(end.since(token.seq)) }
}

/// Updates the token's counts for this visit.
pub(super) fn settle(token: &mut Token, last: &mut Rotation, sent: u32, backlog: u32) {
    token.fcc = token.fcc.wrapping_add(sent).wrapping_sub(last.sent);
    token.backlog = token.backlog.wrapping_add(backlog).wrapping_sub(last.backlog);
    last.sent = sent;
    last.backlog = backlog;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::timeouts::Given;
    use crate::ids::Seq;
    use crate::totem::srp::sample;

    fn idle(visits: u32) -> Rotation {
        let mut last = Rotation::new(Seq(0));
        for _ in 0..visits {
            last.visited(Seq(0), true, 30);
        }
        last
    }

    /// A count as large as the window keeps every node from sending, so no node would ever lower it. If
    /// nothing was sent for a while, the count is wrong.
    #[test]
    fn a_full_window_of_an_idle_ring_lets_one_frame_through() {
        let limits = Timeouts::derive(&Given::default(), 2);
        let ring = sample::ring(2).current;
        let full = Token { fcc: limits.window_size, ..sample::token(ring, 9, Seq(0)) };
        assert_eq!(allowance(&limits, &full, &mut idle(2), 10, true), 0, "it may have been sent just now");
        assert_eq!(allowance(&limits, &full, &mut idle(3), 10, true), 1);
        assert_eq!(
            allowance(&limits, &full, &mut idle(PATIENCE - 1), 10, false),
            0,
            "retransmissions count, too"
        );
        assert_eq!(allowance(&limits, &full, &mut idle(PATIENCE), 10, false), 1, "they must go on");
        let fuller = Token { fcc: limits.window_size + 1, ..full };
        assert_eq!(allowance(&limits, &fuller, &mut idle(0), 10, true), 1, "a window is larger elsewhere");
    }

    /// Frames that each of `nodes` nodes sends in `rotations`, all with the same long queue.
    fn rotate(nodes: u32, window: u32, rotations: u32) -> Vec<u32> {
        let limits = Timeouts {
            window_size: window,
            max_messages: window,
            ..Timeouts::derive(&Given::default(), nodes as usize)
        };
        let mut token = sample::token(sample::ring(2).current, 9, Seq(0));
        let mut all: Vec<Rotation> = (0..nodes).map(|_| Rotation::new(Seq(0))).collect();
        let mut sent = vec![0; nodes as usize];
        for _ in 0..rotations {
            for (last, sent) in all.iter_mut().zip(&mut sent) {
                let allowed = allowance(&limits, &token, last, 1000, false);
                settle(&mut token, last, allowed, 1000);
                *sent += allowed;
                assert!(token.fcc <= window, "no rotation carries more than the window");
            }
        }
        sent
    }

    #[test]
    fn busy_nodes_use_nine_tenths_of_the_window_in_even_shares() {
        for (nodes, window) in [(6, 10), (3, 50), (7, 50), (32, 50)] {
            let sent = rotate(nodes, window, 1000);
            let (all, least, most) = (sent.iter().sum::<u32>(), sent.iter().min(), sent.iter().max());
            assert!(all >= window * 1000 * 9 / 10, "{nodes} nodes, window {window}: {sent:?}");
            let (Some(least), Some(most)) = (least, most) else { panic!("there are nodes") };
            assert!(most - least <= most / 20, "{nodes} nodes, window {window}: {sent:?}");
        }
    }
}
