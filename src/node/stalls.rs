//! How long the ring's sockets were not looked at.

use std::time::Duration;

use crate::time::Instant;

/// What is called a stall: a fifteenth of a short token time-out of 300 ms.
const STALL: Duration = Duration::from_millis(20);

/// The times between two looks of a busy loop at its sockets. Time spent asleep, in which any datagram would wake the
/// loop, is not counted; neither is time in which a thread that was woken did not run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stalls {
    /// When it looked last, unless it slept since.
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

    /// It has nothing to do and waits for its sockets.
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

    /// The longest time since the start, or since it was cleared.
    pub(super) const fn longest(&self) -> Duration {
        self.longest
    }

    /// How often it was 20 ms or longer.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// Forgets what was.
    pub(super) fn clear(&mut self) {
        self.longest = Duration::ZERO;
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_between_two_looks_counts() {
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
