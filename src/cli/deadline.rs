//! How long a tool waits for a daemon that does not answer.
//!
//! A daemon may be stopped (SIGSTOP, a debugger) or too busy to answer anybody; its socket takes connections all the
//! same, and its shared memory takes requests. A tool waits in many places, and some of them, such as the look-up of a
//! name, can be given no limit. So one clock runs beside the whole command and ends the process.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a tool waits unless it is told otherwise.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// How long for what other programs or nodes must agree to.
pub(super) const ORDER_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest time that can be asked for.
const LONGEST: f64 = 86_400.0;
/// In such steps the clock runs. What it missed while the tool itself was stopped does not count.
const STEP: Duration = Duration::from_millis(100);

/// The clock of one command; without one a tool waits for as long as it takes.
pub(super) struct Deadline {
    clock: Option<Arc<Clock>>,
    /// What was asked for on the command line.
    given: Option<Duration>,
}

struct Clock {
    /// `None`: it stands still.
    left: Mutex<Option<Duration>>,
    changed: Condvar,
}

impl Deadline {
    /// No clock, as Corosync's tools have none.
    pub(super) const fn none() -> Self {
        Self { clock: None, given: None }
    }

    /// Starts the clock. When the time is up, `late` says so, given the time; the process ends with what it returns.
    /// `given`: the time that was asked for; zero is no limit.
    pub(super) fn start(given: Option<Duration>, late: impl FnOnce(Duration) -> u8 + Send + 'static) -> Self {
        let limit = given.unwrap_or(TIMEOUT);
        if limit.is_zero() {
            return Self { clock: None, given };
        }
        let clock = Arc::new(Clock { left: Mutex::new(Some(limit)), changed: Condvar::new() });
        let running = Arc::clone(&clock);
        let started = std::thread::Builder::new().name("deadline".to_owned()).spawn(move || {
            let _lock = running.wait();
            // The lock is held to the end, so that the command cannot write its answer beside this.
            std::process::exit(late(limit).into());
        });
        // Without a thread there is no limit, as with Corosync's tools.
        Self { clock: started.ok().map(|_| clock), given }
    }

    /// From now on the daemon may take as long again as at first.
    pub(super) fn restart(&self) {
        self.set(Some(self.given.unwrap_or(TIMEOUT)));
    }

    /// The daemon answers; now something is asked that takes other programs or nodes.
    pub(super) fn expect_order(&self) {
        self.set(Some(self.given.unwrap_or(ORDER_TIMEOUT)));
    }

    /// There is nothing to wait for, or something that may take any time.
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

/// A time on the command line: seconds, perhaps with a fraction; 0 is no limit.
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
    fn times_are_seconds() {
        assert_eq!(seconds("5"), Ok(Duration::from_secs(5)));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        for bad in ["", "-1", "x", "inf", "NaN", "1e9"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_clock_that_stands_still_is_never_up() {
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
