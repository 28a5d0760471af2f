//! Keeps the ring ids that this node has used over restarts, so that it never takes part in two rings with the same
//! id.
//!
//! Corosync writes the number at each new ring, in the thread that runs the ring, so a slow disk can cost the token.
//! Here numbers are reserved ahead: at the start, and whenever the ring comes near the end of the reservation, a
//! helper thread writes the end of the next one while the ring goes on. The file is Corosync's, so that either
//! program can follow the other in a state directory.
//!
//! A number that cannot be read is not guessed: the start fails. Only a missing file counts as 0, as at a node's
//! first start; a node that lost its file learns the cluster's number from the other nodes before it forms a ring
//! with them.
//!
//! Source: corosync `exec/main.c`, the ring id file; Totem paper, membership (stable storage).

use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::info;

pub use super::file::StoreError;
use super::file::{AtomicFile, Disk, read};
use super::keeper::{Keeper, Kept, StartWatch, Words};
use crate::ids::NodeId;
use crate::totem::{RESERVE, RING_SEQ_LIMIT};

/// A node without a state directory begins below this number, which is far above that of any real cluster.
const CLOCK_LIMIT: u64 = 1 << 47;

const WORDS: Words = Words {
    what: "the reservation of ring ids up to",
    meanwhile: "The ring goes on, after the next hundreds of membership changes with higher numbers",
    bytes: |up_to| up_to.to_ne_bytes().to_vec(),
};

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
    File(Keeper),
    Memory { done: Option<u64> },
}

impl Store {
    /// Reads `<dir>/ringid_<me>`, reserves the next [`RESERVE`] numbers there and starts the helper thread. Blocks on
    /// the disk, so call it before the ring runs. A missing file counts as 0.
    ///
    /// # Errors
    /// The file cannot be read, holds no ring id, or the reservation cannot be written.
    pub fn open(dir: &Path, me: NodeId) -> Result<Self, StoreError> {
        let path = dir.join(format!("ringid_{me}"));
        let _watch = StartWatch::new(path.clone());
        let last = match load(&path)? {
            Some(last) => last,
            None => {
                info!(
                    target: "annulus::node",
                    "There is no stored ring id {}: counting from 0, as at a node's first start", path.display()
                );
                0
            }
        };
        let reserved = last + RESERVE;
        let mut file = AtomicFile::new(path)?;
        file.write(&reserved.to_ne_bytes())?;
        let keeper = Keeper::start("annulus-ringid", WORDS, file)?;
        Ok(Self { first: last + 1, reserved, place: Place::File(keeper), dir: Some(dir.to_owned()) })
    }

    /// Checks whether [`Store::open`] could read and may write the file. Changes nothing.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub fn probe(dir: &Path, me: NodeId) -> Result<(), StoreError> {
        let path = dir.join(format!("ringid_{me}"));
        load(&path)?;
        AtomicFile::new(path)?.may_write()
    }

    /// A store for a node without a state directory: nothing is stored, and the numbers begin at the wall clock in
    /// ms. They rise over restarts as long as the clock does and rings form less often than every 4 ms on average.
    pub fn memory() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let first = u64::try_from(now).unwrap_or(0) % CLOCK_LIMIT + 1;
        Self { first, reserved: first + RESERVE, place: Place::Memory { done: None }, dir: None }
    }

    /// The ring sequence number to begin with.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// The last number reserved at the start.
    pub const fn reserved(&self) -> u64 {
        self.reserved
    }

    /// The state directory, if there is one.
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// Reserves numbers up to `up_to` in the background; [`Store::poll_stored`] tells the result.
    pub fn reserve(&mut self, up_to: u64) {
        match &mut self.place {
            Place::File(keeper) => keeper.keep(up_to),
            Place::Memory { done } => *done = Some(up_to),
        }
    }

    /// The end of the next reservation that is on disk. `None`: it could not be written and will be retried. Ready
    /// only after [`Store::reserve`].
    pub fn poll_stored(&mut self, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        match &mut self.place {
            Place::File(keeper) => match keeper.told.poll_recv(cx) {
                Poll::Ready(Some(Kept::Stored(up_to))) => Poll::Ready(Some(up_to)),
                Poll::Ready(Some(Kept::Failed)) => Poll::Ready(None),
                Poll::Ready(None) | Poll::Pending => Poll::Pending,
            },
            // The driver polls in the turn that reserved, so no wake-up is needed.
            Place::Memory { done } => done.take().map_or(Poll::Pending, |up_to| Poll::Ready(Some(up_to))),
        }
    }

    /// Logs a disk that has not answered for long. Call it periodically.
    pub fn look(&mut self) {
        match &mut self.place {
            Place::File(keeper) => keeper.look(),
            Place::Memory { .. } => {}
        }
    }
}

/// The number in the file, if there is one.
fn load(path: &Path) -> Result<Option<u64>, StoreError> {
    let why = match read(path) {
        Ok(None) => return Ok(None),
        Ok(Some(bytes)) => match u64::from_ne_bytes(bytes) {
            last if last < RING_SEQ_LIMIT - RESERVE => return Ok(Some(last)),
            last => format!("is damaged: {last:#x} is no ring id"),
        },
        Err(why) => why,
    };
    let remedy = format!(
        "a ring id must not be used twice, so it is not guessed. Put the file back from a backup of this host, or, \
         while another node of the cluster is up and this one can reach it, remove it (rm {}) and start again: this \
         node then takes the number from the others",
        path.display()
    );
    Err(StoreError::Damaged { path: path.to_owned(), why, remedy })
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

    async fn told(store: &mut Store) -> Option<u64> {
        std::future::poll_fn(|cx| store.poll_stored(cx)).await
    }

    async fn wait(store: &mut Store) -> u64 {
        loop {
            if let Some(up_to) = told(store).await {
                return up_to;
            }
        }
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

    /// A file as Corosync stores it after ring 1.2b.
    #[test]
    fn a_file_of_corosync_is_continued() {
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

    /// Whatever the file contains, the number is continued or the start fails: it never counts from 0 again, and the
    /// content stays for an operator to look at.
    #[test]
    fn no_stored_content_leads_to_a_number_used_twice() {
        let numbers = [0, 1, 5, RESERVE, 1 << 40, RING_SEQ_LIMIT - RESERVE - 1];
        let beyond = [RING_SEQ_LIMIT - RESERVE, RING_SEQ_LIMIT - 1, RING_SEQ_LIMIT, 1 << 63, u64::MAX];
        let whole = numbers.into_iter().chain(beyond).map(|n: u64| n.to_ne_bytes().to_vec());
        let cut = (0..8).map(|length| vec![0xa5; length]);
        let long = [b"12345678 and more".to_vec(), b"0\n".to_vec(), vec![0; 4096]];
        for content in whole.chain(cut).chain(long) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("ringid_7");
            fs::write(&path, &content).unwrap();
            let held = content.first_chunk::<8>().map(|bytes| u64::from_ne_bytes(*bytes));
            match held.filter(|last| *last < RING_SEQ_LIMIT - RESERVE) {
                Some(mut last) => {
                    for _ in 0..3 {
                        let Ok(store) = Store::open(dir.path(), me()) else {
                            assert!(last >= RING_SEQ_LIMIT - RESERVE, "{last:#x}");
                            break;
                        };
                        assert!(store.first() > last, "{:#x} after {last:#x}", store.first());
                        last = store.reserved();
                        assert_eq!(stored(dir.path()), last);
                    }
                }
                None => {
                    for _ in 0..2 {
                        let error = Store::open(dir.path(), me()).unwrap_err().to_string();
                        let rm = format!("rm {}", path.display());
                        assert!(error.contains("is damaged: ") && error.contains(&rm), "{error}");
                        assert_eq!(fs::read(&path).unwrap(), content);
                    }
                }
            }
        }
    }

    #[test]
    fn a_path_that_is_not_a_file_does_not_count_as_zero() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("ringid_7")).unwrap();
        let error = Store::open(dir.path(), me()).unwrap_err().to_string();
        assert!(error.contains("cannot be read: Is a directory"), "{error}");
        let loops = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("ringid_7", loops.path().join("ringid_7")).unwrap();
        let error = Store::open(loops.path(), me()).unwrap_err().to_string();
        assert!(error.contains("cannot be read: "), "{error}");
    }

    #[test]
    fn an_unwritable_directory_is_an_error_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let error = Store::open(&missing, me()).unwrap_err().to_string();
        assert!(error.contains("missing") && error.contains("No such file"), "{error}");
        // Unlike missing permissions, a directory in place of the temporary file makes the write fail for root too.
        fs::create_dir(dir.path().join("ringid_7.new")).unwrap();
        let error = Store::open(dir.path(), me()).unwrap_err().to_string();
        assert!(error.contains("ringid_7.new") && error.contains("--state-dir"), "{error}");
    }

    /// There is no space for a new file, but an old one exists: the start goes on.
    #[test]
    fn a_node_starts_on_a_full_disk() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ringid_7"), 99u64.to_ne_bytes()).unwrap();
        fs::create_dir(dir.path().join("ringid_7.new")).unwrap();
        assert_eq!(Store::open(dir.path(), me()).unwrap().first(), 100);
        assert_eq!(stored(dir.path()), 99 + RESERVE);
    }

    #[tokio::test]
    async fn later_reservations_are_written_by_the_helper() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), me()).unwrap();
        store.reserve(10_000);
        assert_eq!(wait(&mut store).await, 10_000);
        assert_eq!(stored(dir.path()), 10_000);
    }

    /// The disk fails after the start: the old number stays, the failure is reported, and the helper retries until it
    /// works.
    #[tokio::test]
    async fn a_failed_reservation_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), me()).unwrap();
        let (file, obstacle) = (dir.path().join("ringid_7"), dir.path().join("ringid_7.new"));
        fs::create_dir(&obstacle).unwrap();
        fs::rename(&file, dir.path().join("moved")).unwrap();
        store.reserve(10_000);
        assert_eq!(told(&mut store).await, None);
        assert!(!file.exists());
        fs::remove_dir(&obstacle).unwrap();
        assert_eq!(wait(&mut store).await, 10_000);
        assert_eq!(stored(dir.path()), 10_000);
    }

    #[tokio::test]
    async fn numbers_in_memory_rise_over_restarts() {
        let mut store = Store::memory();
        assert!(store.first() > 1_700_000_000_000);
        store.reserve(store.reserved() + 5);
        assert_eq!(wait(&mut store).await, store.reserved() + 5);
        assert!(Store::memory().first() >= store.first());
    }
}
