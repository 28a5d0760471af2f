//! Limits the processor time of the loop by making clients wait.
//!
//! The daemon's loop runs with real-time priority. Linux stops a real-time thread for the rest of each second in
//! which it has used 95 % (`sched_rt_runtime_us`): for 50 ms nobody looks at the ring's sockets. Local clients with
//! endless requests could cause that at any time, so they wait before the limit is reached; the ring does not.

use std::time::Duration;

use crate::time::Instant;

/// Length of a window; clients wait at most for the rest of it.
const WINDOW: Duration = Duration::from_millis(100);
/// Work in one window after which clients wait for the next. The rest up to 95 % is left for the ring, and for other
/// real-time threads on this processor.
const WORK: Duration = Duration::from_millis(80);

/// The work of the loop in the present window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    /// When the window began.
    begun: Instant,
    work: Duration,
    /// Since when the loop works, until that time is added to `work`.
    awake: Option<Instant>,
}

impl Share {
    /// The loop starts to work.
    pub(super) fn works(&mut self, now: Instant) {
        self.count(now);
        self.awake = Some(now);
        if now.since(self.begun) >= WINDOW {
            (self.begun, self.work) = (now, Duration::ZERO);
        }
    }

    /// The loop goes to sleep.
    pub(super) fn sleeps(&mut self, now: Instant) {
        self.count(now);
        self.awake = None;
    }

    fn count(&mut self, now: Instant) {
        if let Some(awake) = self.awake {
            self.work += now.since(awake);
        }
    }

    /// Until when clients wait; `None` if they need not.
    pub(super) fn clients_wait(&self, now: Instant) -> Option<Instant> {
        let until = self.begun + WINDOW;
        (self.work >= WORK && now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn clients_wait_at_the_end_of_each_window_if_the_loop_never_sleeps() {
        let mut share = Share::default();
        for window in [1_000, 1_100, 1_200] {
            for ms in 0..100 {
                share.works(at(window + ms));
                let expected = (ms >= 80).then(|| at(window + 100));
                assert_eq!(share.clients_wait(at(window + ms)), expected, "{window} + {ms}");
            }
        }
    }

    #[test]
    fn clients_never_wait_if_the_loop_sleeps_in_between() {
        let mut share = Share::default();
        for ms in (0..1_000).step_by(10) {
            share.works(at(ms));
            assert_eq!(share.clients_wait(at(ms)), None, "{ms}");
            share.sleeps(at(ms + 7));
        }
    }

    #[test]
    fn clients_wait_no_longer_than_the_rest_of_the_window() {
        let mut share = Share::default();
        share.works(at(200));
        share.sleeps(at(285));
        assert_eq!(share.clients_wait(at(285)), Some(at(300)));
        assert_eq!(share.clients_wait(at(300)), None);
    }
}
