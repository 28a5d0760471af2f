//! Health checks that a thread of the library makes: a sign of life every quarter of the interval, and after every
//! fourth the question to the application whether it is well. If not, there are no more signs of life.
//!
//! Source: `sam_hc_callback_register(3)`; that it is after every fourth, Corosync 3.1.7's libsam.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::Error;

/// Signs of life in one interval, and between two questions.
const QUARTERS: u32 = 4;

/// Whether the application is well.
pub(super) type Check = Box<dyn FnMut() -> bool + Send>;

/// Says when the thread has to end: its round is not the current one any more.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    current: Mutex<u64>,
    changed: Condvar,
}

impl Rounds {
    /// Ends the round; the number of the next.
    pub(super) fn next(&self) -> u64 {
        let mut current = self.current();
        *current += 1;
        self.changed.notify_all();
        *current
    }

    /// Waits. `false`: the round is over.
    fn wait(&self, round: u64, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.current(), time, |current| *current == round);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == round
    }

    fn current(&self) -> MutexGuard<'_, u64> {
        // Nothing panics while it is held.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread does until its round is over, the supervisor is gone, or the application is not well.
pub(super) fn keep_alive(
    rounds: &Rounds,
    round: u64,
    interval: Duration,
    check: &Mutex<Check>,
    beat: impl Fn() -> Result<(), Error>,
) {
    // One thread at a time: that of an earlier round may still be asking.
    let Ok(mut check) = check.lock() else { return };
    loop {
        for _ in 0..QUARTERS {
            if !rounds.wait(round, interval / QUARTERS) {
                return;
            }
            if let Err(error) = beat() {
                tracing::warn!("no more signs of life: {error}");
                return;
            }
        }
        if !check() {
            tracing::error!("the health check says no: no more signs of life");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn every_fourth_sign_of_life_is_followed_by_the_question() {
        let rounds = Rounds::default();
        let round = rounds.next();
        let beats = AtomicU32::new(0);
        let mut asked = Vec::new();
        let beats_now = &beats;
        let (sender, receiver) = std::sync::mpsc::channel();
        let check: Mutex<Check> = Mutex::new(Box::new(move || {
            sender.send(()).unwrap();
            true
        }));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                keep_alive(&rounds, round, Duration::from_millis(4), &check, || {
                    beats_now.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                });
            });
            for _ in 0..3 {
                receiver.recv().unwrap();
                asked.push(beats.load(Ordering::SeqCst));
            }
            rounds.next(); // ends the thread
        });
        // The thread may have gone on by the time that the number was read.
        assert!(asked[0] >= 4 && asked[2] >= 12, "{asked:?}");
    }

    #[test]
    fn who_is_not_well_falls_silent() {
        let rounds = Rounds::default();
        let round = rounds.next();
        let beats = AtomicU32::new(0);
        let check: Mutex<Check> = Mutex::new(Box::new(|| false));
        keep_alive(&rounds, round, Duration::from_millis(4), &check, || {
            beats.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        assert_eq!(beats.into_inner(), QUARTERS);
    }
}
