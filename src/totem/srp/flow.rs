//! Flow control: how many frames a node may multicast in one visit of the token.
//!
//! Totem paper, flow control; corosync `exec/totemsrp.c`, `fcc_calculate`.

use crate::config::timeouts::Timeouts;
use crate::totem::wire::Token;

use super::hold::Rotation;
use super::plausible;
use super::window::{Reception, WINDOW};

/// Visits in a row that find nothing new on the ring, after which a full count is wrong where all have everything. Where
/// somebody lacks something it takes [`plausible::PATIENCE`].
const IDLE: u32 = 3;

/// Frames that may be multicast in this visit, retransmissions included. `backlog` is what this node
/// has queued now, `complete` whether all have had everything for a rotation.
pub(super) fn allowance(
    limits: &Timeouts,
    token: &Token,
    last: &Rotation,
    backlog: u32,
    complete: bool,
) -> u32 {
    // A member whose window is larger than ours may have filled the token past our window; one frame
    // keeps us from starving.
    let left = match limits.window_size.checked_sub(token.fcc) {
        // The count says that the ring has just sent all that it may, and it has sent nothing for a while, nor had it
        // anything to send again, as all have everything for a rotation: the count is wrong, by a datagram that was
        // changed or forged, and would stay so. Where somebody lacks something, it may be all retransmissions, which
        // are lost again and again; or it is wrong, and keeps them back.
        Some(0) if complete && last.idle() >= IDLE || last.idle() >= plausible::PATIENCE => 1,
        Some(left) => left,
        None => 1,
    };
    let allowed = limits.max_messages.min(left);

    let ring_backlog = token.backlog.wrapping_add(backlog).wrapping_sub(last.backlog);
    if ring_backlog == 0 {
        return allowed;
    }
    let share = u64::from(limits.window_size) * u64::from(last.backlog) / u64::from(ring_backlog);
    match u32::try_from(share) {
        Ok(share) if share > 0 => allowed.min(share),
        _ => allowed,
    }
}

/// How many of `allowed` more frames fit into everybody's window: the slowest member may still need all
/// that was not released.
///
/// The last `window_size` numbers stay free, as in Corosync. Up to there each number is given out: a ring
/// that stopped earlier could not send again, in a recovery, all that it had sent before.
pub(super) fn fitting(reception: &Reception, token: &Token, allowed: u32, window_size: u32) -> u32 {
    let end = reception.last_released.plus(WINDOW - window_size.min(WINDOW / 2));
    if end.is_before(token.seq) { 0 } else { allowed.min(end.since(token.seq)) }
}

/// Writes this visit into the token's counts.
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
    use crate::totem::srp::plausible::PATIENCE;
    use crate::totem::srp::sample;

    fn idle(visits: u32) -> Rotation {
        let mut last = Rotation::new(Seq(0));
        for _ in 0..visits {
            last.visited(Seq(0), true, 30);
        }
        last
    }

    /// A count as large as the window keeps everybody from sending, so nobody would ever lower it; if nothing was
    /// sent for a while, it is wrong.
    #[test]
    fn a_full_window_of_an_idle_ring_lets_one_frame_through() {
        let limits = Timeouts::derive(&Given::default(), 2);
        let ring = sample::ring(2).current;
        let full = Token { fcc: limits.window_size, ..sample::token(ring, 9, Seq(0)) };
        assert_eq!(allowance(&limits, &full, &idle(2), 10, true), 0, "it may have been sent just now");
        assert_eq!(allowance(&limits, &full, &idle(3), 10, true), 1);
        assert_eq!(
            allowance(&limits, &full, &idle(PATIENCE - 1), 10, false),
            0,
            "retransmissions count, too"
        );
        assert_eq!(allowance(&limits, &full, &idle(PATIENCE), 10, false), 1, "they must go on");
        let fuller = Token { fcc: limits.window_size + 1, ..full };
        assert_eq!(allowance(&limits, &fuller, &idle(0), 10, true), 1, "a window is larger elsewhere");
    }
}
