//! The four phases.

use super::commit::Commit;
use super::gather::Gather;
use super::io::StateName;
use super::recovery::Recovery;
use super::timers::{Timer, TimerTable};

/// The phase, with the facts that exist only while it lasts.
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

    /// That something ends the phase, whatever comes or does not come: no node waits for ever. Stays on in
    /// release: the others survive a node that stops, but wait for one that goes on and does nothing.
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

/// The timers that end a phase, or make it go on, if nothing is received any more: of each row, one runs.
///
/// What the token keeps alive has its own: while it turns, `Token` never expires, so a recovery also needs a
/// timer that only progress starts again.
pub(super) const fn ended_by(phase: StateName) -> &'static [&'static [Timer]] {
    match phase {
        StateName::Operational => &[&[Timer::Token]],
        // `Token`: all agree, and the representative's commit token is awaited.
        StateName::Gather => &[&[Timer::Consensus, Timer::Token], &[Timer::Join]],
        StateName::Commit => &[&[Timer::Token], &[Timer::TokenRetransmit]],
        StateName::Recovery => &[&[Timer::Token], &[Timer::TokenRetransmit], &[Timer::Recovery]],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_phase_is_without_a_timer_that_the_token_does_not_keep_alive() {
        let all = [StateName::Operational, StateName::Gather, StateName::Commit, StateName::Recovery];
        for phase in all {
            assert!(
                !ended_by(phase).is_empty() && ended_by(phase).iter().all(|row| !row.is_empty()),
                "{phase}"
            );
        }
        // On a ring the token means that it works; in a recovery it does not.
        assert!(ended_by(StateName::Recovery).contains(&&[Timer::Recovery][..]));
    }

    #[test]
    #[should_panic(expected = "OPERATIONAL: none of [Token] runs")]
    fn a_phase_that_nothing_may_end_is_found() {
        State::Operational.check(&TimerTable::default());
    }
}
