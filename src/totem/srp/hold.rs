//! What a visit of the token leaves for the next: whether the ring is idle, and what was seen.
//!
//! An idle ring's token would spin; its representative keeps it for a while instead, until somebody
//! has something to send (hold cancel). Source: corosync `totem.hold`, `seqno_unchanged_const`.

use super::plausible::Excess;
use super::retransmit::Unanswered;
use crate::ids::Seq;
use crate::totem::wire::{Missing, Token};

/// What the last visit of the token left.
#[derive(Clone, Debug)]
pub(super) struct Rotation {
    /// `token_seq` of the last token taken; a later one is new.
    pub(super) token_seq: Seq,
    /// The token's aru as it came.
    pub(super) aru: Seq,
    /// The token's seq as it came.
    seq: Seq,
    /// Visits in a row that found it unchanged.
    idle: u32,
    /// The ring is idle; its representative keeps the token.
    pub(super) held: bool,
    /// Visits in a row at which this node kept the ring's aru from rising.
    pub(super) aru_stuck: u32,
    /// Frames that this node multicast in its last visit.
    pub(super) sent: u32,
    /// Frames that this node had queued at its last visit.
    pub(super) backlog: u32,
    /// The token's seq as it was passed on.
    pub(super) passed: Seq,
    /// The token's retransmission requests as it was passed on.
    pub(super) requests: Vec<Missing>,
    /// Visits at which the request for the first frame that is missing here had come round unanswered.
    pub(super) unanswered: Unanswered,
    /// What of the flow control count nothing explains.
    pub(super) excess: Excess,
}

impl Rotation {
    /// No visit yet on a ring whose first message is `origin + 1`.
    pub(super) const fn new(origin: Seq) -> Self {
        Self {
            token_seq: origin.minus(1),
            aru: origin,
            seq: origin,
            idle: 0,
            held: false,
            aru_stuck: 0,
            sent: 0,
            backlog: 0,
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

    /// Notes that a token came with `seq`. Returns whether the ring was idle since the last.
    pub(super) fn visited(&mut self, seq: Seq, representative: bool, unchanged_const: u32) -> bool {
        let idle = seq == self.seq;
        self.idle = if idle { self.idle.saturating_add(1) } else { 0 };
        self.seq = seq;
        self.held = if representative { self.idle > unchanged_const } else { self.idle >= unchanged_const };
        idle
    }

    /// How many visits in a row found that nothing new was sent, whatever the token counts.
    pub(super) const fn idle(&self) -> u32 {
        self.idle
    }

    /// Whether `token`, and the last one, found that all had everything: nobody asked for a retransmission meanwhile,
    /// as who lacks a frame keeps the aru below the seq. To be asked before the visit is noted.
    pub(super) fn found_all_complete(&self, token: &Token) -> bool {
        token.aru == token.seq && self.aru == self.seq
    }

    /// Somebody has something to send.
    pub(super) const fn cancel(&mut self) {
        self.idle = 0;
        self.held = false;
    }
}
