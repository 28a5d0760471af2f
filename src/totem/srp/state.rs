//! The four phases of the protocol.

use super::commit::Commit;
use super::gather::Gather;
use super::io::StateName;
use super::recovery::Recovery;
use super::timers::{Timer, TimerTable};

/// The current phase, with the state that exists only while it lasts.
#[derive(Debug)]
pub(super) enum State {
    Operational,
    Gather(Gather),
    Commit(Commit),
    Recovery(Box<Recovery>),
}

impl State {
    pub(super) const fn name(&self) -> StateName {
        match self {
            Self::Operational => StateName::Operational,
            Self::Gather(_) => StateName::Gather,
            Self::Commit(_) => StateName::Commit,
            Self::Recovery(_) => StateName::Recovery,
        }
    }

    /// Asserts that a timer is running which ends the phase even if no datagram arrives: no node may wait for
    /// ever. Enabled in release builds, because the other nodes survive one that stops, but would wait for
    /// one that runs and does nothing.
    pub(super) fn check(&self, timers: &TimerTable) {
        for one_of in ended_by(self.name()) {
            assert!(
                one_of.iter().any(|timer| timers.runs(*timer)),
                "{}: none of {one_of:?} runs, so nothing may ever end it",
                self.name()
            );
        }
    }
}

/// The timers that end a phase, or make it continue, if nothing is received any more: of each row, at least
/// one runs.
///
/// While the token circulates, `Token` never expires, so a recovery also needs a timer that only progress
/// restarts.
pub(super) const fn ended_by(phase: StateName) -> &'static [&'static [Timer]] {
    match phase {
        StateName::Operational => &[&[Timer::Token]],
        // `Token` runs once all nodes agree and the representative's commit token is awaited.
        StateName::Gather => &[&[Timer::Consensus, Timer::Token], &[Timer::Join]],
        StateName::Commit => &[&[Timer::Token], &[Timer::TokenRetransmit]],
        StateName::Recovery => &[&[Timer::Token], &[Timer::TokenRetransmit], &[Timer::Recovery]],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_a_timer_that_a_circulating_token_does_not_restart() {
        let all = [StateName::Operational, StateName::Gather, StateName::Commit, StateName::Recovery];
        for phase in all {
            assert!(
                !ended_by(phase).is_empty() && ended_by(phase).iter().all(|row| !row.is_empty()),
                "{phase}"
            );
        }
        // On an operational ring a circulating token means that the ring works; in a recovery it does not.
        assert!(ended_by(StateName::Recovery).contains(&&[Timer::Recovery][..]));
    }

    #[test]
    #[should_panic(expected = "OPERATIONAL: none of [Token] runs")]
    fn a_phase_without_a_running_timer_is_detected() {
        State::Operational.check(&TimerTable::default());
    }
}
