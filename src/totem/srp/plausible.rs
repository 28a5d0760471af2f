//! Implausible tokens: which are refused, and how wrong values in the others are repaired.
//!
//! Nothing proves who wrote a token. A forged one may replace the real one and circulate in its place, so
//! wrong values in it must not persist: this node either corrects them, or finds that the ring cannot
//! continue and gathers. Genuine tokens, Corosync's included, are never changed.

use super::excess::Excess;
use super::hold::Rotation;
use super::members::MemberSet;
use super::window::{Reception, WINDOW};
use crate::ids::Seq;
use crate::totem::wire::Token;

/// Whether the ring's highest number can be what `token` says: it never decreases, and no member can be a
/// whole window behind it.
pub(super) fn admits(token: &Token, passed: Seq, reception: &Reception) -> bool {
    let received = reception.aru.earlier(token.seq);
    !token.seq.is_before(passed) && token.seq.since(received) < WINDOW
}

/// What every member has, as far as this node can know: the minimum of two consecutive tokens' aru and this
/// node's own.
pub(super) fn everybody(token: &Token, before: Seq, reception: &Reception) -> Seq {
    token.aru.earlier(before).earlier(reception.aru)
}

/// Corrects wrong values in `token` that would otherwise persist for the life of the ring.
pub(super) fn mend(token: &mut Token, members: &MemberSet, last: &mut Rotation) {
    // Only the node that lowered the aru raises it again, so a node outside of the ring never would.
    token.aru_by = token.aru_by.filter(|by| members.contains(*by));

    // Genuine counts contain the frames sent since the last visit and retransmissions.
    let sent = token.seq.since(last.passed).wrapping_add(last.sent);
    let more = token.fcc.wrapping_sub(sent);
    if more > u32::MAX / 2 {
        token.fcc = sent;
        last.excess = Excess::NONE;
    } else if last.found_all_complete(token) {
        token.fcc -= last.excess.found(more);
    }

    // No node sends on an idle ring, so none has anything queued.
    if token.seq == last.passed && last.is_idle() {
        token.backlog = last.backlog;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{NodeId, RingId};
    use crate::totem::srp::excess::PATIENCE;

    fn node(id: u32) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn token(seq: u32) -> Token {
        Token {
            from: node(1),
            seq: Seq(seq),
            token_seq: Seq(9),
            aru: Seq(seq),
            aru_by: None,
            ring: RingId { rep: node(1), seq: 4 },
            backlog: 0,
            fcc: 0,
            retransmitting: false,
            missing: Vec::new(),
        }
    }

    #[test]
    fn a_token_seq_that_falls_or_exceeds_the_window_is_refused() {
        let reception = Reception::new(Seq(100));
        assert!(admits(&token(100), Seq(100), &reception));
        assert!(admits(&token(100 + WINDOW - 1), Seq(100), &reception));
        assert!(!admits(&token(100 + WINDOW), Seq(100), &reception));
        assert!(!admits(&token(99), Seq(100), &reception));
        assert!(!admits(&token(0x8000_0000), Seq(100), &reception));
    }

    /// What counts as safe and what is released never exceeds what this node has, even in a recovery.
    #[test]
    fn an_aru_beyond_what_this_node_has_releases_nothing_more() {
        let reception = Reception::new(Seq(100));
        let all = |aru, before| everybody(&Token { aru: Seq(aru), ..token(120) }, Seq(before), &reception);
        assert_eq!(all(120, 120), Seq(100));
        assert_eq!(all(90, 120), Seq(90));
        assert_eq!(all(120, 90), Seq(90), "one token says it, the last one did not");
    }

    #[test]
    fn an_unexplained_count_is_corrected() {
        let members = MemberSet::new([1, 2].map(node));
        let mut last = Rotation::new(Seq(0));
        for fcc in [50, 5000, u32::MAX / 2, u32::MAX / 2 + 1, u32::MAX] {
            let mut token = Token { fcc, backlog: 1000, ..token(0) };
            for _ in 0..PATIENCE {
                last.visited(Seq(0), true, 30);
                mend(&mut token, &members, &mut last);
            }
            assert_eq!((token.fcc, token.backlog), (0, 0));
        }
    }

    #[test]
    fn real_frames_and_retransmissions_stay_in_the_counts() {
        let members = MemberSet::new([1, 2].map(node));
        let mut last = Rotation::new(Seq(0));
        for visit in 0..10 * PATIENCE {
            // The others send five new frames in each rotation, and three retransmissions in most rotations.
            let fcc = if visit % 20 == 0 { 5 } else { 8 };
            let mut token = Token { fcc, backlog: 70, ..token(5 * (visit + 1)) };
            last.visited(token.seq, true, 30);
            mend(&mut token, &members, &mut last);
            assert_eq!((token.fcc, token.backlog), (fcc, 70));
            last.passed = token.seq;
        }
    }

    /// A path may lose every retransmission: the count is genuine for as long as that lasts.
    #[test]
    fn retransmissions_at_every_visit_stay_in_the_count() {
        let members = MemberSet::new([1, 2].map(node));
        let mut last = Rotation::new(Seq(0));
        for _ in 0..10 * PATIENCE {
            let mut token = Token { fcc: 8, aru: Seq(3), aru_by: Some(node(2)), ..token(5) };
            last.passed = token.seq;
            mend(&mut token, &members, &mut last);
            last.visited(token.seq, true, 30);
            last.aru = token.aru;
            assert_eq!(token.fcc, 8);
        }
    }

    #[test]
    fn a_node_outside_the_ring_cannot_hold_the_aru() {
        let members = MemberSet::new([1, 2].map(node));
        let mut last = Rotation::new(Seq(0));
        for (by, kept) in [(2, true), (3, false)] {
            let mut token = Token { aru_by: Some(node(by)), ..token(0) };
            mend(&mut token, &members, &mut last);
            assert_eq!(token.aru_by.is_some(), kept);
        }
    }
}
