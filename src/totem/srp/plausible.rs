//! What a token cannot say, and what is made of one that says it all the same.
//!
//! Nothing proves who wrote a token. A forged one may take the place of the real one and go on as the ring's,
//! so what it says wrongly must not last: either this node mends it, or it finds that the ring cannot go on and
//! gathers. Real tokens, Corosync's included, are never changed by this.

use super::hold::Rotation;
use super::members::MemberSet;
use super::window::{Reception, WINDOW};
use crate::ids::Seq;
use crate::totem::wire::Token;

/// Visits after which a count that nothing explains is taken for wrong.
pub(super) const PATIENCE: u32 = 50;

/// The part of the token's flow control count that nothing explained, over some visits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Excess {
    least: u32,
    visits: u32,
}

impl Excess {
    pub(super) const NONE: Self = Self { least: u32::MAX, visits: 0 };
}

/// Whether the ring's highest number may be what `token` says: it never goes back, and nobody may be a window
/// behind it.
pub(super) fn admits(token: &Token, passed: Seq, reception: &Reception) -> bool {
    let received = reception.aru.earlier(token.seq);
    !token.seq.is_before(passed) && token.seq.since(received) < WINDOW
}

/// What every member has, as far as this node can know: as two tokens say, but not more than it has itself.
pub(super) fn everybody(token: &Token, before: Seq, reception: &Reception) -> Seq {
    token.aru.earlier(before).earlier(reception.aru)
}

/// Takes out of `token` what would otherwise stay in it as long as the ring lasts.
pub(super) fn mend(token: &mut Token, members: &MemberSet, last: &mut Rotation) {
    // Only who lowered the aru raises it again: a stranger never would.
    token.aru_by = token.aru_by.filter(|by| members.contains(*by));

    // Frames sent since the last visit are in the count, and so are retransmissions.
    let sent = token.seq.since(last.passed).wrapping_add(last.sent);
    let more = token.fcc.wrapping_sub(sent);
    if more > u32::MAX / 2 {
        token.fcc = sent;
        last.excess = Excess::NONE;
    } else if last.found_all_complete(token) {
        let excess = &mut last.excess;
        excess.least = excess.least.min(more);
        excess.visits += 1;
        if excess.visits >= PATIENCE {
            token.fcc -= excess.least;
            *excess = Excess::NONE;
        }
    }

    // Nobody sends on an idle ring, so nobody has anything queued.
    if token.seq == last.passed && last.is_idle() {
        token.backlog = last.backlog;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{NodeId, RingId};

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
    fn the_highest_number_neither_falls_nor_outruns_the_window() {
        let reception = Reception::new(Seq(100));
        assert!(admits(&token(100), Seq(100), &reception));
        assert!(admits(&token(100 + WINDOW - 1), Seq(100), &reception));
        assert!(!admits(&token(100 + WINDOW), Seq(100), &reception));
        assert!(!admits(&token(99), Seq(100), &reception));
        assert!(!admits(&token(0x8000_0000), Seq(100), &reception));
    }

    /// What is safe, and what is released, is at most what this node has: also in a recovery.
    #[test]
    fn a_token_that_counts_what_is_missing_here_releases_nothing_of_it() {
        let reception = Reception::new(Seq(100));
        let all = |aru, before| everybody(&Token { aru: Seq(aru), ..token(120) }, Seq(before), &reception);
        assert_eq!(all(120, 120), Seq(100));
        assert_eq!(all(90, 120), Seq(90));
        assert_eq!(all(120, 90), Seq(90), "one token says it, the last one did not");
    }

    #[test]
    fn a_count_that_nothing_explains_goes() {
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
    fn retransmissions_and_work_are_left_in_the_counts() {
        let members = MemberSet::new([1, 2].map(node));
        let mut last = Rotation::new(Seq(0));
        for visit in 0..10 * PATIENCE {
            // Others send five frames in each rotation, and three of old in most of them.
            let fcc = if visit % 20 == 0 { 5 } else { 8 };
            let mut token = Token { fcc, backlog: 70, ..token(5 * (visit + 1)) };
            last.visited(token.seq, true, 30);
            mend(&mut token, &members, &mut last);
            assert_eq!((token.fcc, token.backlog), (fcc, 70));
            last.passed = token.seq;
        }
    }

    /// As where a path loses what is sent again, each time: the count is real for as long as that lasts.
    #[test]
    fn retransmissions_at_every_visit_are_left_in_the_count() {
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
    fn a_stranger_does_not_hold_the_aru() {
        let members = MemberSet::new([1, 2].map(node));
        let mut last = Rotation::new(Seq(0));
        for (by, kept) in [(2, true), (3, false)] {
            let mut token = Token { aru_by: Some(node(by)), ..token(0) };
            mend(&mut token, &members, &mut last);
            assert_eq!(token.aru_by.is_some(), kept);
        }
    }
}
