//! When to make the periodic checks of the node itself, and when to look at its interface too.

use std::time::Duration;

use crate::config::timeouts::Timeouts;
use crate::time::Instant;

/// Shortest time between two checks.
const SHORTEST: Duration = Duration::from_millis(50);
/// Shortest time between two looks at the interface. Hosts of containers change interfaces all the time.
const CALM: Duration = Duration::from_millis(100);

/// The timers of the checks; see the module.
#[derive(Debug)]
pub(super) struct Watch {
    every: Duration,
    interface_every: Duration,
    due: Instant,
    interface_due: Instant,
    looked: Instant,
}

impl Watch {
    pub(super) fn new(timeouts: &Timeouts, now: Instant) -> Self {
        let every = (timeouts.token / 3).min(timeouts.downcheck).max(SHORTEST);
        Self {
            every,
            interface_every: timeouts.downcheck,
            due: now + every,
            interface_due: now + timeouts.downcheck,
            looked: now,
        }
    }

    /// Something has changed: look at the interface soon.
    pub(super) fn hurry(&mut self) {
        self.interface_due = self.interface_due.min(self.looked + CALM);
        self.due = self.due.min(self.interface_due);
    }

    /// When to check next.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due <= now
    }

    /// Sets the time of the next check. Returns whether to look at the interface now.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        self.due = now + self.every;
        let look = self.interface_due <= now;
        if look {
            self.interface_due = now + self.interface_every;
            self.looked = now;
        }
        look
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::timeouts::Given;

    #[test]
    fn the_interface_is_looked_at_when_it_has_changed_but_not_all_the_time() {
        let mut watch = Watch::new(&Timeouts::derive(&Given::default(), 2), Instant::ZERO);
        let at = |ms: u64| Instant::from_micros(1000 * ms);
        assert!(!watch.is_due(at(500)));
        watch.hurry();
        assert!(watch.is_due(at(500)) && watch.tick(at(500)));
        watch.hurry();
        assert!(!watch.is_due(at(510)), "it was looked at a moment ago");
        assert!(watch.is_due(at(600)) && watch.tick(at(600)));
        assert!(!watch.is_due(at(1500)), "that was the change");
    }

    #[test]
    fn the_interface_is_looked_at_every_downcheck() {
        let given = Given { token: Some(900), downcheck: Some(1000), ..Given::default() };
        let mut watch = Watch::new(&Timeouts::derive(&given, 2), Instant::ZERO);
        let mut looks = 0;
        for _ in 0..20 {
            let now = watch.due();
            assert!(watch.is_due(now));
            looks += u32::from(watch.tick(now));
        }
        assert_eq!(watch.due(), Instant::from_micros(21 * 300_000));
        assert_eq!(looks, 5, "every fourth, as 1000 ms come between the third and the fourth");
    }
}
