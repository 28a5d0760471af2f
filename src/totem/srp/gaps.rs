//! How long this node waited for the token.
//!
//! The time between two visits of the token is what the token time-out is compared with. It contains everything that
//! delays the token: the network, lost tokens that were sent again, and nodes that did not run. From its worst value
//! follows how short the time-out may be.

use std::time::Duration;

use super::spread::Spread;
use crate::time::Instant;

const MINUTE: u64 = 60_000_000;

/// The times between the visits of the token.
#[derive(Clone, Debug)]
pub(super) struct Gaps {
    /// The last visit on this ring.
    last: Option<Instant>,
    /// Those since [`Gaps::take`] was called.
    since: Waits,
    /// How often which time occurred.
    spread: Spread,
    /// The worst time of each of the last sixty minutes.
    worst: [Duration; 60],
    /// The minute that is running.
    minute: u64,
}

/// How often a node waited for the token, and how long at worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// The number of visits for which it waited.
    pub count: u32,
    /// The longest time between two visits, without the time for which an idle token was held.
    pub worst: Duration,
}

impl Waits {
    /// These and others.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { count: self.count.saturating_add(other.count), worst: self.worst.max(other.worst) }
    }
}

/// What a node waited for the token lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// The time that half of the visits did not exceed; it may be overstated by a quarter.
    pub median: Duration,
    /// The time that 99 of 100 visits did not exceed; it may be overstated by a quarter.
    pub most: Duration,
    /// The longest time of the last hour.
    pub worst: Duration,
}

impl Default for Gaps {
    fn default() -> Self {
        Self {
            last: None,
            since: Waits::default(),
            spread: Spread::default(),
            worst: [Duration::ZERO; 60],
            minute: 0,
        }
    }
}

impl Gaps {
    /// The time until the next token is no measure: a new ring is formed, or the token was held for an unknown time.
    pub(super) const fn skip(&mut self) {
        self.last = None;
    }

    /// The token has arrived. Since the last visit the representative may have held it for `held`, because the ring was
    /// idle.
    pub(super) fn arrived(&mut self, now: Instant, held: Duration) {
        if let Some(last) = self.last.replace(now) {
            let wait = now.since(last).saturating_sub(held);
            self.since = self.since.and(Waits { count: 1, worst: wait });
            self.spread.note(wait);
            let minute = now.as_micros() / MINUTE;
            if minute != self.minute {
                self.turn_to(minute);
            }
            let worst = &mut self.worst[minute as usize % 60];
            *worst = wait.max(*worst);
        }
    }

    /// Those since the last call.
    pub(super) const fn take(&mut self) -> Waits {
        std::mem::replace(&mut self.since, Waits { count: 0, worst: Duration::ZERO })
    }

    /// What this node waited lately: the shares of some minutes, the worst of an hour.
    pub(super) fn lately(&self, now: Instant) -> Waited {
        let gone = (now.as_micros() / MINUTE).saturating_sub(self.minute);
        let worst = (gone..60).map(|ago| self.worst[(self.minute + 60 - (ago - gone)) as usize % 60]).max();
        Waited {
            median: self.spread.below(500),
            most: self.spread.below(990),
            worst: worst.unwrap_or_default(),
        }
    }

    fn turn_to(&mut self, minute: u64) {
        for past in self.minute + 1..=minute.min(self.minute + 60) {
            self.worst[past as usize % 60] = Duration::ZERO;
            self.spread.age();
        }
        self.worst[minute as usize % 60] = Duration::ZERO;
        self.minute = minute;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1000 * ms)
    }

    #[test]
    fn the_worst_time_between_two_visits_on_one_ring_is_told_once() {
        let mut gaps = Gaps::default();
        gaps.arrived(at(500), Duration::ZERO);
        assert_eq!(gaps.take(), Waits::default(), "one visit is no gap");
        gaps.arrived(at(510), Duration::ZERO);
        gaps.arrived(at(590), Duration::ZERO);
        gaps.arrived(at(600), Duration::ZERO);
        gaps.arrived(at(700), MS * 60);
        assert_eq!((gaps.take(), gaps.take()), (Waits { count: 4, worst: MS * 80 }, Waits::default()));
        gaps.skip();
        gaps.arrived(at(2000), Duration::ZERO);
        assert_eq!(gaps.take(), Waits::default(), "another ring");
    }

    #[test]
    fn the_worst_time_of_an_hour_is_remembered_for_an_hour() {
        let mut gaps = Gaps::default();
        gaps.arrived(at(0), Duration::ZERO);
        gaps.arrived(at(200), Duration::ZERO);
        let minute = 60_000;
        for minutes in [1, 30, 59] {
            gaps.skip();
            gaps.arrived(at(minutes * minute), Duration::ZERO);
            gaps.arrived(at(minutes * minute + 10), Duration::ZERO);
            assert_eq!(gaps.lately(at(minutes * minute + 10)).worst, MS * 200, "{minutes}");
        }
        assert_eq!(gaps.lately(at(60 * minute)).worst, MS * 10);
        gaps.skip();
        gaps.arrived(at(60 * minute), Duration::ZERO);
        gaps.arrived(at(60 * minute + 20), Duration::ZERO);
        assert_eq!(gaps.lately(at(60 * minute + 20)).worst, MS * 20);
        assert_eq!(gaps.lately(at(119 * minute)).worst, MS * 20);
        assert_eq!(gaps.lately(at(1000 * minute)).worst, Duration::ZERO);
        gaps.skip();
        gaps.arrived(at(1000 * minute), Duration::ZERO);
        gaps.arrived(at(1000 * minute + 30), Duration::ZERO);
        assert_eq!(gaps.lately(at(1000 * minute + 30)).worst, MS * 30);
    }
}
