//! How much of the processor the loop may use before clients wait for a moment.
//!
//! The daemon's loop runs with real-time priority. Linux stops a real-time thread for the rest of each second of which
//! it has used 95 % (`sched_rt_runtime_us`): 50 ms in which nobody looks at the ring's sockets. Local clients that ask
//! without end could bring that about at any time, so they wait before it comes to that; the ring does not.

use std::time::Duration;

use crate::time::Instant;

/// What is looked at as a whole: clients never wait longer than for what is left of it.
const WINDOW: Duration = Duration::from_millis(100);
/// Work in one window after which clients wait for the next. What is left of 95 % is for the ring meanwhile, and for other
/// real-time threads of this processor.
const WORK: Duration = Duration::from_millis(80);

/// The work of a loop in the window that runs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    /// When the window began.
    begun: Instant,
    work: Duration,
    /// Since when the loop works, as far as that is not counted yet.
    awake: Option<Instant>,
}

impl Share {
    /// The loop works.
    pub(super) fn works(&mut self, now: Instant) {
        self.count(now);
        self.awake = Some(now);
        if now.since(self.begun) >= WINDOW {
            (self.begun, self.work) = (now, Duration::ZERO);
        }
    }

    /// It has nothing to do.
    pub(super) fn sleeps(&mut self, now: Instant) {
        self.count(now);
        self.awake = None;
    }

    fn count(&mut self, now: Instant) {
        if let Some(awake) = self.awake {
            self.work += now.since(awake);
        }
    }

    /// Until when clients wait, if they do.
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
    fn clients_of_a_loop_that_never_sleeps_wait_at_the_end_of_each_window() {
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
    fn clients_of_a_loop_that_sleeps_now_and_then_never_wait() {
        let mut share = Share::default();
        for ms in (0..1_000).step_by(10) {
            share.works(at(ms));
            assert_eq!(share.clients_wait(at(ms)), None, "{ms}");
            share.sleeps(at(ms + 7));
        }
    }

    #[test]
    fn they_wait_for_no_more_than_the_rest_of_the_window() {
        let mut share = Share::default();
        share.works(at(200));
        share.sleeps(at(285));
        assert_eq!(share.clients_wait(at(285)), Some(at(300)));
        assert_eq!(share.clients_wait(at(300)), None);
    }
}
