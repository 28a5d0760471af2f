//! Keeps the newest of a series of numbers on disk, in a helper thread, however slow the disk is and however often it
//! fails.
//!
//! Every failure is retried. The log reports the failure with file and remedy when it begins, at growing intervals
//! while it lasts, and when it ends; the same for a disk that does not answer at all.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc as tokio_mpsc;
use tracing::{error, info, warn};

use super::file::{Disk, HELPER_STACK, StoreError};

/// First wait after a failed write; doubled each time up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(1);
/// Longest wait between two attempts to write.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// A write that takes longer is logged, and again each time its duration has doubled.
const SLOW: Duration = Duration::from_secs(5);

/// The result of an attempt to store a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// This number is on disk.
    Stored(u64),
    /// The number could not be written; it will be retried.
    Failed,
}

/// The texts for log lines about the number, and its encoding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    /// The name of the number, such as "ring ids up to".
    pub(super) what: &'static str,
    /// The consequence while it cannot be stored.
    pub(super) meanwhile: &'static str,
    /// Encodes the number as in the file.
    pub(super) bytes: fn(u64) -> Vec<u8>,
}

/// Hands numbers to the helper thread; see the module.
#[derive(Debug)]
pub(super) struct Keeper {
    ask: mpsc::Sender<u64>,
    pub(super) told: tokio_mpsc::UnboundedReceiver<Kept>,
    clock: SlowClock,
}

impl Keeper {
    /// Starts the helper thread under this name.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(name: &str, words: Words, disk: impl Disk) -> Result<Self, StoreError> {
        let (ask, asked) = mpsc::channel();
        let (tell, told) = tokio_mpsc::unbounded_channel();
        let path = disk.path().to_owned();
        let clock = SlowClock { path: path.clone(), since: Arc::default(), next: SLOW };
        let helper = Helper { disk, words, asked, tell, since: Arc::clone(&clock.since) };
        thread::Builder::new()
            .name(name.into())
            .stack_size(HELPER_STACK)
            .spawn(move || helper.run())
            .map_err(|error| StoreError::thread(&path, error))?;
        Ok(Self { ask, told, clock })
    }

    /// Stores this number in place of the earlier one, in the background.
    pub(super) fn keep(&self, number: u64) {
        // A helper that is gone has panicked; there is nothing to report to it.
        let _ = self.ask.send(number);
    }

    /// Logs a disk that has not answered for long. Call it periodically.
    pub(super) fn look(&mut self) {
        self.clock.look();
    }
}

/// Notices a write that does not end.
#[derive(Debug)]
struct SlowClock {
    path: PathBuf,
    /// When the write in progress began.
    since: Arc<Mutex<Option<Instant>>>,
    /// The duration of the write at which the next line is logged.
    next: Duration,
}

impl SlowClock {
    fn look(&mut self) -> bool {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(taken) = since.map(|since| since.elapsed()) else {
            if self.next > SLOW {
                info!(target: "annulus::node", "The disk answers again, for {}", self.path.display());
            }
            self.next = SLOW;
            return false;
        };
        if taken < self.next {
            return false;
        }
        self.next = taken * 2;
        warn!(
            target: "annulus::node",
            "Writing {} has taken {} s and goes on; the ring does not wait for it. The disk is slow or stuck (dmesg), \
             or its server does not answer",
            self.path.display(),
            taken.as_secs()
        );
        true
    }
}

struct Helper<D> {
    disk: D,
    words: Words,
    asked: mpsc::Receiver<u64>,
    tell: tokio_mpsc::UnboundedSender<Kept>,
    since: Arc<Mutex<Option<Instant>>>,
}

impl<D: Disk> Helper<D> {
    /// Writes the newest requested number, until the sender is gone.
    fn run(mut self) {
        while let Ok(number) = self.asked.recv() {
            let Some(number) = self.write(number) else { return };
            if self.tell.send(Kept::Stored(number)).is_err() {
                return;
            }
        }
    }

    /// Returns the number that was written: the given one or a newer one. `None`: the sender is gone.
    fn write(&mut self, mut number: u64) -> Option<u64> {
        let what = self.words.what;
        let began = Instant::now();
        let mut wait = RETRY_MIN;
        let mut failures = 0u32;
        let mut last = String::new();
        loop {
            number = self.asked.try_iter().last().unwrap_or(number);
            let Err(error) = self.attempt(number) else { break };
            failures += 1;
            let why = error.to_string();
            // Logs a new error, and the first, second, fourth, eighth and so on of the same.
            if why != last || failures.is_power_of_two() {
                error!(
                    target: "annulus::node",
                    "Storing {what} {number:x} failed ({failures}): {why}. {}; it is tried again in {} s",
                    self.words.meanwhile,
                    wait.as_secs()
                );
                last = why;
            }
            self.tell.send(Kept::Failed).ok()?;
            match self.asked.recv_timeout(wait) {
                Ok(newer) => number = newer,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
        if failures > 0 {
            info!(
                target: "annulus::node",
                "Storing works again: {what} {number:x} are in {} ({failures} failures in {} s)",
                self.disk.path().display(),
                began.elapsed().as_secs()
            );
        }
        Some(number)
    }

    fn attempt(&mut self, number: u64) -> Result<(), StoreError> {
        let mark = |at| *self.since.lock().unwrap_or_else(PoisonError::into_inner) = at;
        mark(Some(Instant::now()));
        let outcome = self.disk.write(&(self.words.bytes)(number));
        mark(None);
        outcome
    }
}

/// Logs that opening a file takes long at the start, until it is dropped.
pub(super) struct StartWatch {
    _end: mpsc::Sender<()>,
}

impl StartWatch {
    pub(super) fn new(path: PathBuf) -> Self {
        let (end, ended) = mpsc::channel();
        // Without this thread the start works too, but is not reported as slow.
        let _ = thread::Builder::new().name("annulus-start".into()).stack_size(HELPER_STACK).spawn(move || {
            let mut wait = SLOW;
            while ended.recv_timeout(wait) == Err(mpsc::RecvTimeoutError::Timeout) {
                warn!(
                    target: "annulus::node",
                    "The start waits for the disk: reading and writing {} takes long (dmesg)", path.display()
                );
                wait *= 2;
            }
        });
        Self { _end: end }
    }
}

/// A disk that fails on demand, for tests.
#[cfg(test)]
pub(super) mod fake {
    use super::*;
    use std::collections::VecDeque;
    use std::path::Path;

    /// The behaviour of one write.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in crate::node) enum Does {
        /// Fails with this errno.
        Fail(i32),
        /// Succeeds after this time.
        Take(Duration),
    }

    /// A disk whose writes behave as planned, and succeed once the plan is used up.
    #[derive(Clone, Debug, Default)]
    pub(in crate::node) struct Fake {
        pub(in crate::node) plan: Arc<Mutex<VecDeque<Does>>>,
        pub(in crate::node) written: Arc<Mutex<Vec<Vec<u8>>>>,
    }

    impl Disk for Fake {
        fn write(&mut self, content: &[u8]) -> Result<(), StoreError> {
            let next = self.plan.lock().unwrap().pop_front();
            match next {
                Some(Does::Fail(errno)) => {
                    return Err(StoreError::Refused {
                        what: "write",
                        path: self.path().to_owned(),
                        error: std::io::Error::from_raw_os_error(errno),
                    });
                }
                Some(Does::Take(time)) => thread::sleep(time),
                None => {}
            }
            self.written.lock().unwrap().push(content.to_vec());
            Ok(())
        }

        fn path(&self) -> &Path {
            Path::new("/fake/number")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::{Does, Fake};
    use super::*;

    const WORDS: Words =
        Words { what: "numbers up to", meanwhile: "Nothing waits", bytes: |n| n.to_ne_bytes().to_vec() };

    async fn told(keeper: &mut Keeper) -> Kept {
        tokio::time::timeout(Duration::from_secs(60), keeper.told.recv()).await.unwrap().unwrap()
    }

    /// Every kind of failure is reported, and the newest number is written when the disk works again.
    #[tokio::test]
    async fn a_disk_that_fails_is_tried_again() {
        let disk = Fake::default();
        disk.plan.lock().unwrap().extend([Does::Fail(libc::EIO), Does::Fail(libc::EROFS)]);
        let mut keeper = Keeper::start("test", WORDS, disk.clone()).unwrap();
        keeper.keep(5);
        assert_eq!(told(&mut keeper).await, Kept::Failed);
        keeper.keep(9);
        assert_eq!(told(&mut keeper).await, Kept::Failed);
        assert_eq!(told(&mut keeper).await, Kept::Stored(9));
        assert_eq!(*disk.written.lock().unwrap(), [9u64.to_ne_bytes().to_vec()]);
    }

    /// A write that does not end is logged once and then at growing intervals, and so is its end.
    #[tokio::test]
    async fn a_slow_disk_is_noticed() {
        let disk = Fake::default();
        disk.plan.lock().unwrap().push_back(Does::Take(Duration::from_millis(800)));
        let mut keeper = Keeper::start("test", WORDS, disk).unwrap();
        keeper.clock.next = Duration::from_millis(50);
        assert!(!keeper.clock.look(), "nothing is written");
        keeper.clock.next = Duration::from_millis(50);
        keeper.keep(5);
        let began = Instant::now();
        while !keeper.clock.look() {
            assert!(began.elapsed() < Duration::from_secs(60));
            keeper.clock.next = Duration::from_millis(50);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!keeper.clock.look(), "it was said just now");
        assert_eq!(told(&mut keeper).await, Kept::Stored(5));
        assert!(!keeper.clock.look());
        assert_eq!(keeper.clock.next, SLOW);
    }
}
