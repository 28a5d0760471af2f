//! The vote on a shutdown: one client asks for it, the subscribed clients answer, and no answer counts as an
//! objection.
//!
//! Pure: no clients, no clock. Source: corosync `exec/cfg.c`, `corosync_cfg_try_shutdown(3)`,
//! `corosync_cfg_replyto_shutdown(3)`.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::ConnId;
use crate::time::Instant;

/// The kind of shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Shut down if all agree.
    Request,
    /// Ask all, and shut down whatever they answer.
    Regardless,
    /// Shut down at once.
    Immediate,
}

impl Manner {
    /// The kind with this number; unknown numbers mean [`Manner::Request`], as in Corosync.
    pub(super) const fn from_flags(flags: u32) -> Self {
        match flags {
            1 => Self::Regardless,
            2 => Self::Immediate,
            _ => Self::Request,
        }
    }

    /// The number in the protocol.
    pub(super) const fn flags(self) -> u32 {
        match self {
            Self::Request => 0,
            Self::Regardless => 1,
            Self::Immediate => 2,
        }
    }
}

/// The result of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The client that asked for the shutdown.
    pub(super) initiator: ConnId,
    /// Whether the node shuts down.
    pub(super) agreed: bool,
}

/// A running vote.
#[derive(Clone, Debug)]
pub(super) struct Vote {
    initiator: ConnId,
    manner: Manner,
    /// Clients that were asked and are still connected.
    asked: BTreeSet<ConnId>,
    /// The answers by client: any client may answer, and change its answer.
    answers: BTreeMap<ConnId, bool>,
    /// Number of clients that were asked and disconnected, which counts as agreement.
    gone: usize,
    until: Instant,
}

impl Vote {
    /// Asks `trackers` except the initiator, until `until`. `None`: there is nobody to ask.
    pub(super) fn begin(
        initiator: ConnId,
        manner: Manner,
        trackers: &BTreeSet<ConnId>,
        until: Instant,
    ) -> Option<Self> {
        let asked: BTreeSet<_> = trackers.iter().copied().filter(|conn| *conn != initiator).collect();
        if asked.is_empty() {
            return None;
        }
        Some(Self { initiator, manner, asked, answers: BTreeMap::new(), gone: 0, until })
    }

    /// The clients that are asked.
    pub(super) fn asked(&self) -> impl Iterator<Item = ConnId> {
        self.asked.iter().copied()
    }

    pub(super) const fn initiator(&self) -> ConnId {
        self.initiator
    }

    /// The kind of shutdown.
    pub(super) const fn manner(&self) -> Manner {
        self.manner
    }

    /// The time at which [`Vote::expired`] ends the vote.
    pub(super) const fn until(&self) -> Instant {
        self.until
    }

    /// Adds a client that is asked. Returns whether it was not asked before.
    pub(super) fn ask(&mut self, conn: ConnId) -> bool {
        conn != self.initiator && self.asked.insert(conn)
    }

    /// Records an answer, which replaces an earlier one of the same client.
    pub(super) fn answer(&mut self, conn: ConnId, yes: bool) -> Option<Verdict> {
        self.answers.insert(conn, yes);
        self.count()
    }

    /// A client that may have been asked is no longer interested: its answer does not count, and it does not
    /// object.
    pub(super) fn forget(&mut self, conn: ConnId) -> Option<Verdict> {
        self.answers.remove(&conn);
        if self.asked.remove(&conn) {
            self.gone += 1;
        }
        self.count()
    }

    /// The time is up: clients that have not answered object.
    pub(super) fn expired(&self) -> Verdict {
        self.verdict()
    }

    fn count(&self) -> Option<Verdict> {
        (self.answers.len() + self.gone >= self.expected()).then(|| self.verdict())
    }

    fn verdict(&self) -> Verdict {
        let agreed = self.yes() >= self.expected() || self.manner == Manner::Regardless;
        Verdict { initiator: self.initiator, agreed }
    }

    fn yes(&self) -> usize {
        self.gone + self.answers.values().filter(|yes| **yes).count()
    }

    fn expected(&self) -> usize {
        self.gone + self.asked.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INITIATOR: ConnId = ConnId(1);

    enum Step {
        Yes(u64),
        No(u64),
        Gone(u64),
        New(u64),
        Late,
    }
    use Step::*;

    /// The verdict, with the number of steps until it; `None`: the vote is still open.
    fn run(manner: Manner, trackers: &[u64], steps: &[Step]) -> Option<(bool, usize)> {
        let trackers = trackers.iter().copied().map(ConnId).collect();
        let mut vote = Vote::begin(INITIATOR, manner, &trackers, Instant::ZERO).unwrap();
        for (at, step) in steps.iter().enumerate() {
            let verdict = match *step {
                Yes(conn) => vote.answer(ConnId(conn), true),
                No(conn) => vote.answer(ConnId(conn), false),
                Gone(conn) => vote.forget(ConnId(conn)),
                New(conn) => {
                    vote.ask(ConnId(conn));
                    None
                }
                Late => Some(vote.expired()),
            };
            if let Some(verdict) = verdict {
                assert_eq!(verdict.initiator, INITIATOR);
                return Some((verdict.agreed, at + 1));
            }
        }
        None
    }

    /// The kind of shutdown, the clients asked, and their answers; the verdict, and the number of answers
    /// until it.
    type Case = (Manner, &'static [u64], &'static [Step], Option<(bool, usize)>);

    /// docs/protocol/services.md, "Shutdown", line by line.
    #[test]
    fn votes_end_with_the_documented_verdict() {
        use Manner::{Regardless, Request};
        let table: [Case; 16] = [
            (Request, &[2], &[Yes(2)], Some((true, 1))),
            (Request, &[2], &[No(2)], Some((false, 1))),
            (Request, &[2, 3], &[Yes(2)], None),
            (Request, &[2, 3], &[Yes(2), Yes(3)], Some((true, 2))),
            (Request, &[2, 3], &[No(2), Yes(3)], Some((false, 2))),
            (Regardless, &[2, 3], &[No(2), No(3)], Some((true, 2))),
            (Regardless, &[2, 3], &[No(2)], None),
            // No answer is an objection.
            (Request, &[2, 3], &[Yes(2), Late], Some((false, 2))),
            (Regardless, &[2, 3], &[Yes(2), Late], Some((true, 2))),
            // Disconnecting is agreement, also after an objection.
            (Request, &[2, 3], &[Gone(2), Yes(3)], Some((true, 2))),
            (Request, &[2, 3], &[No(2), Gone(2), Yes(3)], Some((true, 3))),
            (Request, &[2, 3], &[Yes(2), Gone(2), No(3)], Some((false, 3))),
            // A client that subscribes during the vote is asked as well.
            (Request, &[2], &[New(3), Yes(2)], None),
            (Request, &[2], &[New(3), Yes(2), Yes(3)], Some((true, 3))),
            // A client that answers twice has one vote, and the later answer counts.
            (Request, &[2, 3], &[Yes(2), Yes(2)], None),
            (Request, &[2, 3], &[No(2), Yes(2), Yes(3)], Some((true, 3))),
        ];
        for (case, (manner, trackers, steps, expected)) in table.into_iter().enumerate() {
            assert_eq!(run(manner, trackers, steps), expected, "case {case}");
        }
    }

    #[test]
    fn the_initiator_is_not_asked() {
        let trackers = [INITIATOR].into();
        assert!(Vote::begin(INITIATOR, Manner::Request, &trackers, Instant::ZERO).is_none());
        let trackers = [INITIATOR, ConnId(2)].into();
        let mut vote = Vote::begin(INITIATOR, Manner::Request, &trackers, Instant::ZERO).unwrap();
        assert_eq!(vote.asked().collect::<Vec<_>>(), [ConnId(2)]);
        assert!(!vote.ask(INITIATOR) && !vote.ask(ConnId(2)) && vote.ask(ConnId(3)));
    }

    #[test]
    fn manners_have_corosyncs_numbers() {
        for manner in [Manner::Request, Manner::Regardless, Manner::Immediate] {
            assert_eq!(Manner::from_flags(manner.flags()), manner);
        }
        assert_eq!(Manner::from_flags(77), Manner::Request);
    }
}
