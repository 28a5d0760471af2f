//! Detects that this node has been in no operating ring for longer than a change of membership takes.
//!
//! A node that leaves its ring to form another keeps its state: its clients still see the last ring and whether that
//! was quorate, because the next ring is usually formed within a moment. But the other nodes may have formed theirs
//! without it and be quorate. So this must not last.

use std::time::Duration;

use crate::config::timeouts::Timeouts;
use crate::time::Instant;

/// The state of the node's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// In an operating ring, whose services are synchronised.
    Working,
    /// In an operating ring whose services are being synchronised, which may take this much longer.
    Syncing(Duration),
    /// The node is in no operating ring.
    Apart,
}

/// A change that is to be reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The node has been in no operating ring for this long; reported first.
    Out(Duration),
    /// The node is still in no operating ring, after this time in all.
    StillOut(Duration),
    /// The node is in an operating ring again, after this time.
    Back(Duration),
}

/// Measures the time in no operating ring.
#[derive(Debug)]
pub(super) struct Outage {
    bound: Duration,
    since: Option<Instant>,
    /// When the outage is to be reported for the first or the second time.
    due: Option<Instant>,
    told: bool,
}

/// The longest time without an operating ring in an ordinary change of membership: one node is given up after
/// `consensus`, then the commit token is lost with another node (`token`), which is given up too (`consensus`).
pub(super) fn bound(timeouts: &Timeouts) -> Duration {
    timeouts.token + timeouts.consensus * 2
}

impl Outage {
    /// Starts in the state of a node that is in no ring.
    pub(super) fn new(timeouts: &Timeouts) -> Self {
        Self { bound: bound(timeouts), since: None, due: None, told: false }
    }

    pub(super) fn reconfigure(&mut self, timeouts: &Timeouts) {
        self.bound = bound(timeouts);
    }

    /// How long a node that could not form a ring with the others stays in a ring of its own before it tries
    /// again.
    pub(super) fn alone(&self) -> Duration {
        self.bound * 2
    }

    /// The time of the next check, if there is no input before.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Updates the state; returns a change that is to be reported.
    pub(super) fn look(&mut self, now: Instant, standing: Standing) -> Option<Turn> {
        let longer = match standing {
            Standing::Working => {
                let since = self.since.take();
                self.due = None;
                let told = std::mem::take(&mut self.told);
                return since.filter(|_| told).map(|since| Turn::Back(now.since(since)));
            }
            Standing::Syncing(longer) => longer,
            Standing::Apart => Duration::ZERO,
        };
        let since = *self.since.get_or_insert(now);
        let due = if self.told { self.due } else { Some(since + self.bound + longer) };
        self.due = due;
        if due.is_none_or(|due| now < due) {
            return None;
        }
        self.due = Some(now + self.bound);
        let out = now.since(since);
        Some(if std::mem::replace(&mut self.told, true) { Turn::StillOut(out) } else { Turn::Out(out) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::timeouts::Given;

    fn ms(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    fn outage() -> Outage {
        let given = Given { token: Some(1000), token_coefficient: Some(0), ..Given::default() };
        Outage::new(&Timeouts::derive(&given, 3))
    }

    #[test]
    fn an_outage_is_reported_after_a_token_and_two_consensus_time_outs() {
        let mut outage = outage();
        assert_eq!(outage.look(ms(0), Standing::Apart), None);
        assert_eq!(outage.deadline(), Some(ms(3400)));
        assert_eq!(outage.look(ms(3399), Standing::Apart), None);
        assert_eq!(outage.look(ms(3400), Standing::Apart), Some(Turn::Out(Duration::from_millis(3400))));
        assert_eq!(outage.look(ms(3401), Standing::Apart), None, "once");
        let again = Some(Turn::StillOut(Duration::from_millis(6800)));
        assert_eq!(outage.look(outage.deadline().unwrap(), Standing::Apart), again);
        let back = Some(Turn::Back(Duration::from_millis(7000)));
        assert_eq!(outage.look(ms(7000), Standing::Working), back);
        assert_eq!((outage.look(ms(7001), Standing::Working), outage.deadline()), (None, None));
    }

    #[test]
    fn a_ring_formed_in_time_is_not_reported() {
        let mut outage = outage();
        outage.look(ms(0), Standing::Apart);
        assert_eq!(outage.look(ms(3300), Standing::Working), None);
        assert_eq!(outage.look(ms(3400), Standing::Apart), None);
        assert_eq!(outage.deadline(), Some(ms(6800)), "counted anew");
    }

    /// A synchronisation that waits for a quorum device has the device's time; one that is interrupted does not.
    #[test]
    fn a_synchronisation_may_take_longer_than_a_membership_change() {
        let mut outage = outage();
        outage.look(ms(0), Standing::Apart);
        let syncing = Standing::Syncing(Duration::from_secs(30));
        assert_eq!(outage.look(ms(3300), syncing), None);
        assert_eq!(outage.look(ms(33_000), syncing), None);
        assert_eq!(outage.look(ms(33_100), Standing::Apart), Some(Turn::Out(Duration::from_millis(33_100))));
    }
}
