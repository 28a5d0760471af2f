//! Limits how long a tool waits for a daemon that does not answer.
//!
//! A daemon may be stopped (SIGSTOP, a debugger) or too busy to answer; its socket still accepts connections, and its
//! shared memory accepts requests. A tool waits in many places, some of which, such as a name look-up, have no limit
//! of their own. So one clock runs for the whole command and ends the process.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Default limit.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// Default limit for a command that needs the consent of other programs or nodes.
pub(super) const ORDER_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest limit that can be given, in seconds.
const LONGEST: f64 = 86_400.0;
/// Step of the clock. Time that it misses while the tool itself is stopped does not count.
const STEP: Duration = Duration::from_millis(100);

/// The clock of one command; without it a tool waits without limit.
pub(super) struct Deadline {
    clock: Option<Arc<Clock>>,
    /// The limit given on the command line.
    given: Option<Duration>,
}

struct Clock {
    /// The time that is left; `None`: the clock is paused.
    left: Mutex<Option<Duration>>,
    changed: Condvar,
}

impl Deadline {
    /// No clock, as in Corosync's tools.
    pub(super) const fn none() -> Self {
        Self { clock: None, given: None }
    }

    /// Starts the clock. When the time is up, calls `late` with the limit, and ends the process with the status that
    /// it returns. `given` is the limit of the command line; zero means no limit.
    pub(super) fn start(given: Option<Duration>, late: impl FnOnce(Duration) -> u8 + Send + 'static) -> Self {
        let limit = given.unwrap_or(TIMEOUT);
        if limit.is_zero() {
            return Self { clock: None, given };
        }
        let clock = Arc::new(Clock { left: Mutex::new(Some(limit)), changed: Condvar::new() });
        let running = Arc::clone(&clock);
        let started = std::thread::Builder::new().name("deadline".to_owned()).spawn(move || {
            let _lock = running.wait();
            // The lock is held until the end, so that the command cannot write its answer at the same time.
            std::process::exit(late(limit).into());
        });
        // If there is no thread, there is no limit, as in Corosync's tools.
        Self { clock: started.ok().map(|_| clock), given }
    }

    /// Gives the daemon the whole limit again.
    pub(super) fn restart(&self) {
        self.set(Some(self.given.unwrap_or(TIMEOUT)));
    }

    /// Changes to the limit for commands that need the consent of other programs or nodes, after the daemon has
    /// answered.
    pub(super) fn expect_order(&self) {
        self.set(Some(self.given.unwrap_or(ORDER_TIMEOUT)));
    }

    /// Pauses the clock, for something that may take any time.
    pub(super) fn pause(&self) {
        self.set(None);
    }

    fn set(&self, left: Option<Duration>) {
        if let Some(clock) = &self.clock {
            *clock.lock() = left;
            clock.changed.notify_one();
        }
    }
}

impl Clock {
    fn lock(&self) -> MutexGuard<'_, Option<Duration>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the time is up.
    fn wait(&self) -> MutexGuard<'_, Option<Duration>> {
        let mut left = self.lock();
        loop {
            left = match *left {
                None => self.changed.wait(left).unwrap_or_else(PoisonError::into_inner),
                Some(time) if time.is_zero() => return left,
                Some(time) => {
                    let step = time.min(STEP);
                    let (mut left, waited) =
                        self.changed.wait_timeout(left, step).unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() {
                        *left = left.map(|left| left.saturating_sub(step));
                    }
                    left
                }
            };
        }
    }
}

/// Parses a limit from the command line: seconds, with or without a fraction; 0 is no limit.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected seconds from 0 to {LONGEST}, for example 5 or 0.5");
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if !(0.0..=LONGEST).contains(&seconds) {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_given_in_seconds() {
        assert_eq!(seconds("5"), Ok(Duration::from_secs(5)));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        for bad in ["", "-1", "x", "inf", "NaN", "1e9"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_paused_clock_never_expires() {
        let clock = Arc::new(Clock { left: Mutex::new(None), changed: Condvar::new() });
        let deadline = Deadline { clock: Some(Arc::clone(&clock)), given: Some(Duration::from_millis(1)) };
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            drop(clock.wait());
            sender.send(()).unwrap();
        });
        assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
        deadline.restart();
        receiver.recv_timeout(Duration::from_secs(60)).unwrap();
    }
}
