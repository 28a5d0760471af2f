//! The ring ids this node has used, kept over restarts so that it never takes part in two rings of
//! one name.
//!
//! Corosync writes the number at each new ring, on the thread that runs the ring: a slow disk then
//! costs the token. Here numbers are reserved ahead. At the start, and whenever the ring comes near
//! the end of what is reserved, a helper thread writes the end of the next reservation; the ring goes
//! on meanwhile. The file is Corosync's: either program can follow the other in a state directory.
//!
//! Source: corosync `exec/main.c`, the ring id file; totem paper, membership (stable storage).

use std::path::{Path, PathBuf};
use std::sync::mpsc as std_mpsc;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tracing::{error, info, warn};

pub use super::file::StoreError;
use super::file::{AtomicFile, HELPER_STACK, read};
use crate::ids::NodeId;
use crate::totem::RESERVE;

/// A stored number above this was not written by this program or Corosync: the file is damaged.
const PLAUSIBLE: u64 = 1 << 56;

/// First wait after a failed write; doubled up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(1);
/// Longest wait between two attempts to write.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Reserves ring ids.
#[derive(Debug)]
pub struct Store {
    first: u64,
    reserved: u64,
    place: Place,
    dir: Option<PathBuf>,
}

#[derive(Debug)]
enum Place {
    File { ask: std_mpsc::Sender<u64>, done: mpsc::UnboundedReceiver<u64> },
    Memory { done: Option<u64> },
}

impl Store {
    /// Reads `<dir>/ringid_<me>`, reserves the next [`RESERVE`] numbers there and starts the helper.
    /// Blocks for the disk: for use before the ring runs.
    ///
    /// A file that is missing, unreadable or damaged counts as 0, with a warning: harmless, because the
    /// other nodes' join messages teach the higher number, unless every node lost its file at once.
    ///
    /// # Errors
    /// The reservation cannot be written.
    pub fn open(dir: &Path, me: NodeId) -> Result<Self, StoreError> {
        let path = dir.join(format!("ringid_{me}"));
        let last = match load(&path) {
            Ok(last) => last,
            Err(why) => {
                warn!(
                    target: "annulus::node",
                    "Stored ring id {}: {why}; counting from 0. This is right for a node's first start",
                    path.display()
                );
                0
            }
        };
        let reserved = last + RESERVE;
        let file = AtomicFile::new(path)?;
        file.write(&reserved.to_ne_bytes())?;
        let (ask, asked) = std_mpsc::channel();
        let (report, done) = mpsc::unbounded_channel();
        thread::Builder::new()
            .name("annulus-ringid".into())
            .stack_size(HELPER_STACK)
            .spawn({
                let file = file.clone();
                move || help(&file, &asked, &report)
            })
            .map_err(|error| StoreError::thread(file.path(), error))?;
        Ok(Self { first: last + 1, reserved, place: Place::File { ask, done }, dir: Some(dir.to_owned()) })
    }

    /// For a node without a state directory: nothing is stored, and the numbers begin at the wall clock
    /// in ms, so that they rise over restarts as long as the clock does and rings form less often than
    /// every 4 ms on average.
    pub fn memory() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let first = u64::try_from(now).unwrap_or(0) % PLAUSIBLE + 1;
        Self { first, reserved: first + RESERVE, place: Place::Memory { done: None }, dir: None }
    }

    /// The ring id to begin with.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// Ids up to this one were reserved at the start.
    pub const fn reserved(&self) -> u64 {
        self.reserved
    }

    /// The state directory, if there is one.
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// Reserves ids up to `up_to` in the background; [`Store::poll_stored`] tells when it is done.
    pub fn reserve(&mut self, up_to: u64) {
        match &mut self.place {
            // A helper that is gone was told so by a panic in it; there is nothing left to tell it.
            Place::File { ask, .. } => drop(ask.send(up_to)),
            Place::Memory { done } => *done = Some(up_to),
        }
    }

    /// The next reservation that is on disk. Ready only after [`Store::reserve`].
    pub fn poll_stored(&mut self, cx: &mut Context<'_>) -> Poll<u64> {
        match &mut self.place {
            Place::File { done, .. } => match done.poll_recv(cx) {
                Poll::Ready(Some(up_to)) => Poll::Ready(up_to),
                Poll::Ready(None) | Poll::Pending => Poll::Pending,
            },
            // Asked in the turn that reserved: a wake-up is not needed.
            Place::Memory { done } => done.take().map_or(Poll::Pending, Poll::Ready),
        }
    }
}

/// The number in the file.
///
/// # Errors
/// What is wrong with the file, for the operator.
fn load(path: &Path) -> Result<u64, String> {
    match u64::from_ne_bytes(read(path)?) {
        last if last <= PLAUSIBLE => Ok(last),
        last => Err(format!("is damaged: {last:#x} is no ring id")),
    }
}

/// The helper: writes the newest number asked for, until it succeeds or nobody asks any more.
fn help(file: &AtomicFile, asked: &std_mpsc::Receiver<u64>, report: &mpsc::UnboundedSender<u64>) {
    while let Ok(mut up_to) = asked.recv() {
        let mut wait = RETRY_MIN;
        let mut failures = 0u32;
        loop {
            up_to = asked.try_iter().fold(up_to, u64::max);
            match file.write(&up_to.to_ne_bytes()) {
                Ok(()) => break,
                Err(error) => {
                    failures += 1;
                    error!(
                        target: "annulus::node",
                        "Reserving ring ids up to {up_to:x} failed ({failures}): {error}. Trying again in {} s; \
                         the ring goes on",
                        wait.as_secs()
                    );
                }
            }
            match asked.recv_timeout(wait) {
                Ok(more) => up_to = up_to.max(more),
                Err(std_mpsc::RecvTimeoutError::Timeout) => {}
                Err(std_mpsc::RecvTimeoutError::Disconnected) => return,
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
        if failures > 0 {
            info!(target: "annulus::node", "Ring ids up to {up_to:x} are reserved in {}", file.path().display());
        }
        if report.send(up_to).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn me() -> NodeId {
        NodeId::new(7).unwrap()
    }

    fn stored(dir: &Path) -> u64 {
        u64::from_ne_bytes(fs::read(dir.join("ringid_7")).unwrap().try_into().unwrap())
    }

    async fn wait(store: &mut Store) -> u64 {
        std::future::poll_fn(|cx| store.poll_stored(cx)).await
    }

    #[test]
    fn a_first_start_counts_from_zero_and_reserves_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), me()).unwrap();
        assert_eq!((store.first(), store.reserved()), (1, RESERVE));
        assert_eq!(stored(dir.path()), RESERVE);
        let mode = fs::metadata(dir.path().join("ringid_7")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    /// Annex A.12 of the notes on the file: what Corosync stored after ring 1.2b.
    #[test]
    fn corosyncs_file_is_continued() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ringid_7"), [0x2b, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        let store = Store::open(dir.path(), me()).unwrap();
        assert_eq!((store.first(), store.reserved()), (0x2c, 0x2b + RESERVE));
        drop(store);
        let again = Store::open(dir.path(), me()).unwrap();
        assert_eq!(again.first(), 0x2b + RESERVE + 1, "nothing reserved before is used again");
    }

    #[test]
    fn extra_bytes_are_ignored() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ringid_7"), [5, 0, 0, 0, 0, 0, 0, 0, 99]).unwrap();
        assert_eq!(Store::open(dir.path(), me()).unwrap().first(), 6);
        assert_eq!(stored(dir.path()), 5 + RESERVE);
    }

    #[test]
    fn damage_is_named_and_counts_as_zero() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ringid_7");
        for (content, why) in [
            (&b"\x01\x02\x03"[..], "is shorter than 8 bytes"),
            (b"", "is shorter than 8 bytes"),
            (&[0xff; 8], "is damaged: 0xffffffffffffffff is no ring id"),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(load(&path), Err(why.to_owned()));
            assert_eq!(Store::open(dir.path(), me()).unwrap().first(), 1);
            assert_eq!(stored(dir.path()), RESERVE, "repaired");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_error_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let error = Store::open(&missing, me()).unwrap_err().to_string();
        assert!(error.contains("missing") && error.contains("No such file"), "{error}");
        // A directory where the temporary file belongs fails for root too, unlike permissions.
        fs::create_dir(dir.path().join("ringid_7.new")).unwrap();
        let error = Store::open(dir.path(), me()).unwrap_err().to_string();
        assert!(error.contains("ringid_7.new") && error.contains("--state-dir"), "{error}");
    }

    #[tokio::test]
    async fn later_reservations_are_written_by_the_helper() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), me()).unwrap();
        store.reserve(10_000);
        assert_eq!(wait(&mut store).await, 10_000);
        assert_eq!(stored(dir.path()), 10_000);
    }

    /// The disk fails after the start: the old number stays, and the helper tries until it works.
    #[tokio::test]
    async fn a_failed_reservation_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), me()).unwrap();
        let obstacle = dir.path().join("ringid_7.new");
        fs::create_dir(&obstacle).unwrap();
        store.reserve(9_000);
        store.reserve(10_000);
        let waited = tokio::time::timeout(Duration::from_millis(100), wait(&mut store)).await;
        assert!(waited.is_err(), "reported before it was written");
        assert_eq!(stored(dir.path()), RESERVE);
        fs::remove_dir(&obstacle).unwrap();
        // The helper may have been about to try the first number when the obstacle went.
        while wait(&mut store).await != 10_000 {}
        assert_eq!(stored(dir.path()), 10_000);
    }

    #[tokio::test]
    async fn memory_rises_over_restarts() {
        let mut store = Store::memory();
        assert!(store.first() > 1_700_000_000_000);
        store.reserve(store.reserved() + 5);
        assert_eq!(wait(&mut store).await, store.reserved() + 5);
        assert!(Store::memory().first() >= store.first());
    }
}
