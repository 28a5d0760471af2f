//! Counters of the protocol, with Corosync's names (`stats.srp.*`).

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Instant;
use crate::totem::wire::{Kind, WireError};

/// Counters since the start. "rx" counts frames with a valid header, including looped-back own ones; "tx"
/// counts sends, without retransmissions of a token.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "the names are those of corosync's stats map")]
pub struct Stats {
    pub orf_token_tx: u64,
    pub orf_token_rx: u64,
    pub memb_merge_detect_tx: u64,
    pub memb_merge_detect_rx: u64,
    pub memb_join_tx: u64,
    pub memb_join_rx: u64,
    pub mcast_tx: u64,
    pub mcast_retx: u64,
    pub mcast_rx: u64,
    pub memb_commit_token_tx: u64,
    pub memb_commit_token_rx: u64,
    pub token_hold_cancel_tx: u64,
    pub token_hold_cancel_rx: u64,
    pub operational_entered: u64,
    pub operational_token_lost: u64,
    pub gather_entered: u64,
    pub gather_token_lost: u64,
    pub commit_entered: u64,
    pub commit_token_lost: u64,
    pub recovery_entered: u64,
    pub recovery_token_lost: u64,
    /// Recoveries given up because the token circulated without progress.
    pub recovery_stalled: u64,
    pub consensus_timeouts: u64,
    /// Consecutive gather phases that ended without a commit.
    pub continuous_gather: u32,
    /// Frames of an unknown type, or of a foreign ring while a ring is being formed.
    pub rx_msg_dropped: u64,
    /// Datagrams refused, by reason.
    pub refused: Refused,
    /// How often this process did not run for so long that its timers had to wait.
    pub pauses: u64,
    /// Tokens refused because their seq went back or is a whole window past what this node has received.
    pub token_out_of_window: u64,
    /// Tokens refused because they do not come from the member before this node.
    pub token_misdirected: u64,
    /// Tokens received more than once.
    pub token_duplicates: u64,
    /// Rings given up because of a message or token that no member can have sent.
    pub forged: u64,
    /// The most recent visits of the token.
    pub visits: Visits,
}

/// Datagrams refused, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Wrong magic number: sent by another program, or by version 1 or 2 of the protocol.
    pub magic: u64,
    /// Another version of the protocol.
    pub version: u64,
    /// An unknown frame type.
    pub kind: u64,
    /// Shorter than the frame type or a count in it requires.
    pub short: u64,
    /// Longer than the frame type allows.
    pub long: u64,
    /// A count that is out of range.
    pub count: u64,
    /// Node id 0 where a node must be named.
    pub node_zero: u64,
    /// Another field with an invalid value.
    pub value: u64,
}

impl Refused {
    /// The number of refused datagrams of all reasons.
    pub const fn total(&self) -> u64 {
        self.magic
            + self.version
            + self.kind
            + self.short
            + self.long
            + self.count
            + self.node_zero
            + self.value
    }
}

impl Stats {
    pub(super) fn refuse(&mut self, error: WireError) {
        let refused = &mut self.refused;
        *match error {
            WireError::Magic(_) => &mut refused.magic,
            WireError::Version(_) => &mut refused.version,
            WireError::Unknown(_) => {
                self.rx_msg_dropped += 1;
                &mut refused.kind
            }
            WireError::Short { .. } => &mut refused.short,
            WireError::Long { .. } => &mut refused.long,
            WireError::Count { .. } => &mut refused.count,
            WireError::NodeZero(_) => &mut refused.node_zero,
            WireError::Value(..) => &mut refused.value,
        } += 1;
    }

    pub(super) fn received(&mut self, kind: Kind) {
        *match kind {
            Kind::Token => &mut self.orf_token_rx,
            Kind::Mcast => &mut self.mcast_rx,
            Kind::MergeDetect => &mut self.memb_merge_detect_rx,
            Kind::Join => &mut self.memb_join_rx,
            Kind::Commit => &mut self.memb_commit_token_rx,
            Kind::HoldCancel => &mut self.token_hold_cancel_rx,
        } += 1;
    }
}

/// The most recent visits of the token, for the averages that operators watch.
#[derive(Clone, Debug, Default)]
pub struct Visits {
    last: Option<Instant>,
    recent: VecDeque<(Duration, u32)>,
}

impl Visits {
    /// Number of visits over which the averages are taken.
    const KEPT: usize = 99;

    pub(super) fn note(&mut self, now: Instant, backlog: u32) {
        if let Some(last) = self.last {
            if self.recent.len() == Self::KEPT {
                self.recent.pop_front();
            }
            self.recent.push_back((now.since(last), backlog));
        }
        self.last = Some(now);
    }

    /// When the token last visited this node.
    pub const fn last(&self) -> Option<Instant> {
        self.last
    }

    /// Mean time between visits; `None` before the second.
    pub fn mean_rotation(&self) -> Option<Duration> {
        let count = u32::try_from(self.recent.len()).ok().filter(|count| *count > 0)?;
        Some(self.recent.iter().map(|visit| visit.0).sum::<Duration>() / count)
    }

    /// Mean backlog of the whole ring, in frames; `None` before the second visit.
    pub fn mean_backlog(&self) -> Option<u32> {
        let count = u64::try_from(self.recent.len()).ok().filter(|count| *count > 0)?;
        let sum: u64 = self.recent.iter().map(|visit| u64::from(visit.1)).sum();
        u32::try_from(sum / count).ok()
    }
}
