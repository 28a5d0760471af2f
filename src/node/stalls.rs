//! Measures how long the ring's sockets were not looked at.

use std::time::Duration;

use crate::time::Instant;

/// Time counted as a stall: a fifteenth of a short token timeout of 300 ms.
const STALL: Duration = Duration::from_millis(20);

/// The times between two looks of a busy loop at its sockets. Time asleep is not counted, as any datagram wakes the
/// loop; neither is the delay until a woken thread runs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stalls {
    /// When the loop last looked, unless it has slept since.
    looked: Option<Instant>,
    longest: Duration,
    count: u64,
}

impl Stalls {
    /// The loop looks at its sockets.
    pub(super) fn looks(&mut self, now: Instant) {
        self.note(now);
        self.looked = Some(now);
    }

    /// The loop goes to sleep and waits for its sockets.
    pub(super) fn sleeps(&mut self, now: Instant) {
        self.note(now);
        self.looked = None;
    }

    fn note(&mut self, now: Instant) {
        let Some(looked) = self.looked else { return };
        let away = now.since(looked);
        self.longest = self.longest.max(away);
        self.count += u64::from(away >= STALL);
    }

    /// The longest such time since the start or since [`Stalls::clear`].
    pub(super) const fn longest(&self) -> Duration {
        self.longest
    }

    /// Number of such times of 20 ms or longer.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// Resets both values.
    pub(super) fn clear(&mut self) {
        self.longest = Duration::ZERO;
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_between_two_looks_is_counted() {
        let at = Instant::from_micros;
        let mut stalls = Stalls::default();
        stalls.looks(at(0));
        stalls.looks(at(5_000));
        stalls.sleeps(at(6_000));
        stalls.looks(at(900_000));
        assert_eq!((stalls.longest(), stalls.count()), (Duration::from_millis(5), 0));
        stalls.sleeps(at(930_000));
        assert_eq!((stalls.longest(), stalls.count()), (Duration::from_millis(30), 1));
        stalls.clear();
        stalls.looks(at(940_000));
        assert_eq!((stalls.longest(), stalls.count()), (Duration::ZERO, 0));
    }
}
