//! Flow control: how many frames a node may multicast in one visit of the token.
//!
//! Totem paper, flow control; corosync `exec/totemsrp.c`, `fcc_calculate`.

use crate::config::timeouts::Timeouts;
use crate::totem::wire::Token;

use super::hold::Rotation;
use super::window::{Reception, WINDOW};

/// Frames that may be multicast in this visit, retransmissions included. `backlog` is what this node
/// has queued now.
pub(super) fn allowance(limits: &Timeouts, token: &Token, last: &Rotation, backlog: u32) -> u32 {
    // A member whose window is larger than ours may have filled the token past our window; one frame
    // keeps us from starving.
    let left = match limits.window_size.checked_sub(token.fcc) {
        // The count says that the ring has just sent all that it may, and it has sent nothing for a while: it is
        // wrong, by a datagram that was changed or forged, and would stay so.
        Some(0) if last.has_been_idle() && token.missing.is_empty() => 1,
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
