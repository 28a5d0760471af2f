//! The timers of the protocol; each runs at most once at a time.

use std::time::Duration;

use crate::time::{Instant, earliest};

/// The timers of the ring protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// No token arrived for `token`: it counts as lost.
    Token,
    /// No token arrived for `token_warning` percent of `token`: log a warning.
    TokenWarning,
    /// No token arrived since this node passed it on: send it again.
    TokenRetransmit,
    /// The token circulates, but the recovery makes no progress.
    Recovery,
    /// The idle token was held for long enough: pass it on.
    Hold,
    /// It is time to repeat the join message.
    Join,
    /// A join message waits for its random delay (at most `send_join`).
    SendJoin,
    /// The nodes did not agree on a membership in time.
    Consensus,
    /// Members of the old ring had the time to answer that held on it.
    Silence,
    /// No further node was heard for a while: the nodes that agree may form a ring.
    Settle,
    /// The ring has been idle: send a merge detect message to look for other rings.
    Merge,
    /// Nothing else has happened for a while: shows that this process runs. The first one after a pause ends the time
    /// in which the process catches up.
    Alive,
    /// No token arrived for the heartbeat time-out, which is shorter than `token`: it counts as lost.
    Heartbeat,
}

impl Timer {
    /// All timers, in the order in which those due at the same time are handled.
    pub const ALL: [Self; 13] = [
        Self::Alive,
        Self::Token,
        Self::TokenWarning,
        Self::TokenRetransmit,
        Self::Recovery,
        Self::Hold,
        Self::SendJoin,
        Self::Join,
        Self::Silence,
        Self::Consensus,
        Self::Settle,
        Self::Merge,
        Self::Heartbeat,
    ];

    /// Those whose expiry means that other nodes are silent.
    const ACCUSING: [Self; 6] =
        [Self::Token, Self::Heartbeat, Self::Silence, Self::Consensus, Self::Recovery, Self::TokenWarning];
}

/// The time at which each running timer is due.
#[derive(Clone, Debug, Default)]
pub struct TimerTable([Option<Instant>; Timer::ALL.len()]);

impl TimerTable {
    /// Starts or restarts `timer`.
    pub fn start(&mut self, timer: Timer, now: Instant, delay: Duration) {
        self.0[timer as usize] = Some(now + delay);
    }

    /// Starts `timer` unless it is running.
    pub fn start_unless_running(&mut self, timer: Timer, now: Instant, delay: Duration) {
        self.0[timer as usize].get_or_insert(now + delay);
    }

    /// Postpones `timer` if it is running.
    pub fn lengthen(&mut self, timer: Timer, more: Duration) {
        if let Some(at) = &mut self.0[timer as usize] {
            *at = *at + more;
        }
    }

    /// Stops `timer`; does nothing if it is not running.
    pub fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    /// Whether `timer` is running.
    pub fn runs(&self, timer: Timer) -> bool {
        self.0[timer as usize].is_some()
    }

    /// Takes one timer that is due; it is not running afterwards.
    pub fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let due = Timer::ALL.into_iter().find(|timer| self.0[*timer as usize].is_some_and(|at| at <= now))?;
        self.stop(due);
        Some(due)
    }

    /// When the next timer is due; `None` if none is running.
    pub fn next(&self) -> Option<Instant> {
        earliest(self.0)
    }

    /// Postpones the running timers that accuse others by the time for which this process was suspended, since it
    /// could receive nothing then; none of them expires before `least`. What this node itself is to do stays due.
    pub fn postpone(&mut self, pause: Duration, least: Instant) {
        for timer in Timer::ACCUSING {
            if let Some(at) = &mut self.0[timer as usize] {
                *at = least.max(*at + pause);
            }
        }
    }
}
