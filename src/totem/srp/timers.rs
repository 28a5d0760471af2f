//! The timers of the protocol, each running at most once.

use std::time::Duration;

use crate::time::Instant;

/// A timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// No token for `token`: it counts as lost.
    Token,
    /// No token for `token_warning` percent of that: say so.
    TokenWarning,
    /// No token since ours was passed on: pass it on again.
    TokenRetransmit,
    /// The token turns, but the recovery does not get on.
    Recovery,
    /// The idle token was kept long enough.
    Hold,
    /// Time to repeat the join message.
    Join,
    /// A join message waits for its random delay (`send_join`).
    SendJoin,
    /// Agreement took too long.
    Consensus,
    /// The ring was idle: look for others.
    Merge,
    /// Proof that this process runs.
    Alive,
    /// No heartbeat.
    Heartbeat,
}

impl Timer {
    /// All timers, in the order in which those that are due at the same time are served.
    pub const ALL: [Self; 11] = [
        Self::Alive,
        Self::Token,
        Self::TokenWarning,
        Self::TokenRetransmit,
        Self::Recovery,
        Self::Hold,
        Self::SendJoin,
        Self::Join,
        Self::Consensus,
        Self::Merge,
        Self::Heartbeat,
    ];
}

/// When each running timer is due.
#[derive(Clone, Debug, Default)]
pub struct TimerTable([Option<Instant>; Timer::ALL.len()]);

impl TimerTable {
    /// Starts `timer`, or starts it again.
    pub fn start(&mut self, timer: Timer, now: Instant, delay: Duration) {
        self.0[timer as usize] = Some(now + delay);
    }

    /// Starts `timer` unless it runs.
    pub fn start_unless_running(&mut self, timer: Timer, now: Instant, delay: Duration) {
        self.0[timer as usize].get_or_insert(now + delay);
    }

    /// Stops `timer`.
    pub fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    /// Whether `timer` runs.
    pub fn runs(&self, timer: Timer) -> bool {
        self.0[timer as usize].is_some()
    }

    /// Takes a timer that is due; it no longer runs.
    pub fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let due = Timer::ALL.into_iter().find(|timer| self.0[*timer as usize].is_some_and(|at| at <= now))?;
        self.stop(due);
        Some(due)
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Moves all by the time that this process did not run: what was not heard in it proves nothing.
    pub fn postpone(&mut self, pause: Duration) {
        for at in self.0.iter_mut().flatten() {
            *at = *at + pause;
        }
    }
}
