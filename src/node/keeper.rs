//! A number that is kept on disk by a helper thread: the newest one, however long the disk takes, however often it
//! fails.
//!
//! Each failure is tried again. The log says what failed, where and what can be done when it begins, less and less
//! often while it lasts, and when all is well again; also of a disk that does not answer at all.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc as tokio_mpsc;
use tracing::{error, info, warn};

use super::file::{Disk, HELPER_STACK, StoreError};

/// First wait after a failed write; doubled up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(1);
/// Longest wait between two attempts to write.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// A write that takes longer is worth a line, and again after each time twice as long.
const SLOW: Duration = Duration::from_secs(5);

/// What became of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// This one is on disk.
    Stored(u64),
    /// It could not be written; it is tried again.
    Failed,
}

/// The words for a number, and its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    /// What is kept: "ring ids up to", say.
    pub(super) what: &'static str,
    /// What it means that it cannot be kept.
    pub(super) meanwhile: &'static str,
    /// The number as the file holds it.
    pub(super) bytes: fn(u64) -> Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Keeper {
    ask: mpsc::Sender<u64>,
    pub(super) told: tokio_mpsc::UnboundedReceiver<Kept>,
    clock: SlowClock,
}

impl Keeper {
    /// Starts the helper, whose thread has this name.
    ///
    /// # Errors
    /// There cannot be another thread.
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

    /// Keeps this number from now on.
    pub(super) fn keep(&self, number: u64) {
        // A helper that is gone was told so by a panic in it; there is nothing left to tell it.
        let _ = self.ask.send(number);
    }

    /// Says so if the disk has not answered for long. To be called now and then.
    pub(super) fn look(&mut self) {
        self.clock.look();
    }
}

/// Notices writes that do not end.
#[derive(Debug)]
struct SlowClock {
    path: PathBuf,
    /// When the write that goes on now began.
    since: Arc<Mutex<Option<Instant>>>,
    /// How long it may take until the next line.
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
    /// Writes the newest number asked for, until it succeeds or nobody asks any more.
    fn run(mut self) {
        while let Ok(number) = self.asked.recv() {
            let Some(number) = self.write(number) else { return };
            if self.tell.send(Kept::Stored(number)).is_err() {
                return;
            }
        }
    }

    /// The number that was written: this one or a newer. `None`: nobody asks any more.
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
            // Something new, or the first, second, fourth, eighth … time.
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

/// Says so while opening a file at the start takes long. Ends when it is dropped.
pub(super) struct StartWatch {
    _end: mpsc::Sender<()>,
}

impl StartWatch {
    pub(super) fn new(path: PathBuf) -> Self {
        let (end, ended) = mpsc::channel();
        // Without the thread the start is as good, but says less.
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

/// Disks that fail, for tests.
#[cfg(test)]
pub(super) mod fake {
    use super::*;
    use std::collections::VecDeque;
    use std::path::Path;

    /// What a write does.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in crate::node) enum Does {
        /// It fails with this errno.
        Fail(i32),
        /// It succeeds after this time.
        Take(Duration),
    }

    /// A disk whose writes do what is in the plan, then succeed.
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

    /// EIO, no room, read-only: each is told, and the newest number is written when it works.
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

    /// A write that does not end is noticed from outside, once and then ever less often, and its end too.
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
