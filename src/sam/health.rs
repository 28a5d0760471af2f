//! Health checks made by a thread of the library: it sends a sign of life every quarter of the interval, and after
//! every fourth asks the application whether it is healthy. If it is not, the signs of life stop.
//!
//! Source: `sam_hc_callback_register(3)`; that the question follows every fourth sign of life: libsam of Corosync
//! 3.1.7.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::Error;

/// Signs of life in one interval, and between two health checks.
const QUARTERS: u32 = 4;

/// Returns whether the application is healthy.
pub(super) type Check = Box<dyn FnMut() -> bool + Send>;

/// Counts rounds, one for each start and stop. A thread ends when its round is no longer the current one.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    current: Mutex<u64>,
    changed: Condvar,
}

impl Rounds {
    /// Ends the current round and returns the number of the next.
    pub(super) fn next(&self) -> u64 {
        let mut current = self.current();
        *current += 1;
        self.changed.notify_all();
        *current
    }

    /// Waits for `time`. Returns `false` if the round has ended.
    fn wait(&self, round: u64, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.current(), time, |current| *current == round);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == round
    }

    fn current(&self) -> MutexGuard<'_, u64> {
        // No code panics while it holds this lock.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Body of the thread: runs until its round ends, the supervisor is gone, or the application is not healthy.
pub(super) fn keep_alive(
    rounds: &Rounds,
    round: u64,
    interval: Duration,
    check: &Mutex<Check>,
    beat: impl Fn() -> Result<(), Error>,
) {
    // Only one thread at a time may check; that of an earlier round may still be in the callback.
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
    fn health_is_checked_after_every_fourth_sign_of_life() {
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
            rounds.next(); // makes the thread end
        });
        // The thread may have gone on before the number was read.
        assert!(asked[0] >= 4 && asked[2] >= 12, "{asked:?}");
    }

    #[test]
    fn signs_of_life_stop_when_the_check_fails() {
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
