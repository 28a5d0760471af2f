//! State kept from one visit of the token to the next, and detection of an idle ring.
//!
//! On an idle ring the token would circulate without pause. So the representative holds it for a while, or
//! until a node has something to send (token hold cancel). Source: corosync `totem.hold`,
//! `seqno_unchanged_const`.

use super::excess::Excess;
use super::retransmit::Unanswered;
use crate::ids::{NodeId, Seq};
use crate::totem::wire::{Missing, Token};

/// State left by the last visit of the token.
#[derive(Clone, Debug)]
pub(super) struct Rotation {
    /// `token_seq` of the last token taken; only a later one is new.
    pub(super) token_seq: Seq,
    /// The token's aru when it arrived.
    pub(super) aru: Seq,
    /// The member that the token then named as the one that holds the aru back.
    pub(super) aru_by: Option<NodeId>,
    /// The token's seq when it arrived.
    seq: Seq,
    /// Consecutive visits at which `seq` was unchanged.
    idle: u32,
    /// The ring is idle, so its representative holds the token.
    pub(super) held: bool,
    /// Consecutive visits at which the ring's aru was held back.
    pub(super) aru_stuck: u32,
    /// Frames that this node multicast in its last visit.
    pub(super) sent: u32,
    /// Frames that this node had queued at its last visit.
    pub(super) backlog: u32,
    /// What this node could not send of its share of the window at its last visit, in 256ths of a frame.
    pub(super) owed: u16,
    /// The token's seq when it was passed on.
    pub(super) passed: Seq,
    /// The token's retransmission requests when it was passed on.
    pub(super) requests: Vec<Missing>,
    /// Visits at which a request for a frame missing here returned unanswered.
    pub(super) unanswered: Unanswered,
    /// The part of the flow control count that cannot be explained.
    pub(super) excess: Excess,
}

impl Rotation {
    /// State before the first visit, on a ring whose first frame is `origin + 1`.
    pub(super) const fn new(origin: Seq) -> Self {
        Self {
            token_seq: origin.minus(1),
            aru: origin,
            aru_by: None,
            seq: origin,
            idle: 0,
            held: false,
            aru_stuck: 0,
            sent: 0,
            backlog: 0,
            owed: 0,
            passed: origin,
            requests: Vec::new(),
            unanswered: Unanswered::none(origin),
            excess: Excess::NONE,
        }
    }

    /// Whether the last two visits found the ring's highest number unchanged.
    pub(super) const fn is_idle(&self) -> bool {
        self.idle >= 2
    }

    /// Records the token's `seq` on arrival. Returns whether the ring was idle since the last visit.
    pub(super) fn visited(&mut self, seq: Seq, representative: bool, unchanged_const: u32) -> bool {
        let idle = seq == self.seq;
        self.idle = if idle { self.idle.saturating_add(1) } else { 0 };
        self.seq = seq;
        self.held = if representative { self.idle > unchanged_const } else { self.idle >= unchanged_const };
        idle
    }

    /// Number of consecutive visits which found that no new frame was sent, whatever the token's counts say.
    pub(super) const fn idle(&self) -> u32 {
        self.idle
    }

    /// Whether both `token` and the last one showed that all members have all frames. Then no retransmission
    /// was requested in between, because a member that lacks a frame keeps the aru below the seq. Must be
    /// called before the visit is recorded.
    pub(super) fn found_all_complete(&self, token: &Token) -> bool {
        token.aru == token.seq && self.aru == self.seq
    }

    /// The idle visits are counted anew.
    pub(super) const fn busy(&mut self) {
        self.idle = 0;
    }

    /// A node has something to send: the ring is no longer idle.
    pub(super) const fn cancel(&mut self) {
        self.idle = 0;
        self.held = false;
    }
}
