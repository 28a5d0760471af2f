//! Periodic checks of the node itself: whether its loop was late, and whether to look at the interface.

use std::time::Duration;

use crate::config::timeouts::Timeouts;
use crate::time::Instant;

/// Shortest time between two checks.
const SHORTEST: Duration = Duration::from_millis(50);

/// The timers of the checks; see the module.
#[derive(Debug)]
pub(super) struct Watch {
    every: Duration,
    /// Lateness that is logged: 0.8 of the token timeout, as in Corosync.
    threshold: Duration,
    interface_every: Duration,
    due: Instant,
    interface_due: Instant,
}

impl Watch {
    pub(super) fn new(timeouts: &Timeouts, now: Instant) -> Self {
        let every = (timeouts.token / 3).min(timeouts.downcheck).max(SHORTEST);
        Self {
            every,
            threshold: timeouts.token.mul_f64(0.8),
            interface_every: timeouts.downcheck,
            due: now + every,
            interface_due: now + timeouts.downcheck,
        }
    }

    /// When to check next.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due <= now
    }

    /// Checks the lateness of the loop and sets the next time.
    pub(super) fn tick(&mut self, now: Instant) -> Found {
        let late = now.since(self.due);
        let too_late = late > self.threshold;
        if too_late {
            tracing::warn!(
                target: "annulus::node",
                "This process was not scheduled for {:.1} ms (threshold is {:.1} ms); the others may have given this node \
                 up. The host is overloaded or was suspended; consider a longer token timeout",
                late.as_secs_f64() * 1e3,
                self.threshold.as_secs_f64() * 1e3
            );
        }
        self.due = now + self.every;
        let look = self.interface_due <= now;
        if look {
            self.interface_due = now + self.interface_every;
        }
        Found { look, late: too_late.then_some(late) }
    }
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether it is time to look at the interface too.
    pub(super) look: bool,
    /// By how much the loop was late, if that is above the threshold.
    pub(super) late: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::timeouts::Given;

    #[test]
    fn the_interface_is_looked_at_every_downcheck() {
        let given = Given { token: Some(900), downcheck: Some(1000), ..Given::default() };
        let mut watch = Watch::new(&Timeouts::derive(&given, 2), Instant::ZERO);
        let mut looks = 0;
        for _ in 0..20 {
            let now = watch.due();
            assert!(watch.is_due(now));
            let found = watch.tick(now);
            assert_eq!(found.late, None);
            looks += u32::from(found.look);
        }
        assert_eq!(watch.due(), Instant::from_micros(21 * 300_000));
        assert_eq!(looks, 5, "every fourth, as 1000 ms come between the third and the fourth");
        let late = Duration::from_millis(721);
        assert_eq!(watch.tick(watch.due() + late).late, Some(late), "later than 0.8 of the token time-out");
    }
}
