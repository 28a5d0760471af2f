//! Keeps the highest number of expected votes that this node has ever seen over restarts, for
//! `expected_votes_tracking`.
//!
//! The file has Corosync's format: four bytes in this host's byte order. Corosync intends to write it whenever the
//! number rises; here a helper thread does so, so that a slow disk never delays the ring.
//!
//! Source: corosync `exec/votequorum.c`; `votequorum(5)`, `expected_votes_tracking`.

use std::path::Path;

use tracing::info;

use super::file::{AtomicFile, Disk, StoreError, read};
use super::keeper::{Keeper, StartWatch, Words};

const NAME: &str = "ev_tracking";

const WORDS: Words = Words {
    what: "the expected votes, in hexadecimal",
    meanwhile: "A restart would begin with fewer expected votes",
    // The number was a u32 when it was handed over.
    bytes: |votes| (votes as u32).to_ne_bytes().to_vec(),
};

/// The stored number, and the keeper that writes new ones.
#[derive(Debug)]
pub(crate) struct KeptVotes {
    first: u32,
    keeper: Keeper,
}

impl KeptVotes {
    /// Reads `<dir>/ev_tracking`, or creates it with 0, and starts the helper thread. Blocks on the disk, so call it
    /// before the ring runs.
    ///
    /// # Errors
    /// The content of the file is invalid, or it does not exist and cannot be created. A lost number is not taken for
    /// 0: with fewer expected votes, a partition without quorum would count itself quorate.
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(NAME);
        let _watch = StartWatch::new(path.clone());
        let mut file = AtomicFile::new(path.clone())?;
        let first = match read(&path) {
            Ok(Some(votes)) => u32::from_ne_bytes(votes),
            Ok(None) => {
                info!(target: "annulus::node", "{} is not there yet; it begins with 0", path.display());
                file.write(&0u32.to_ne_bytes())?;
                0
            }
            Err(why) => {
                let remedy = format!(
                    "the highest number of expected votes is not guessed. Put the file back from a backup of this \
                     host, or, if all nodes of the cluster are up, remove it (rm {}) and start again: this node then \
                     takes the number from the others",
                    path.display()
                );
                return Err(StoreError::Damaged { path, why, remedy });
            }
        };
        let keeper = Keeper::start("annulus-votes", WORDS, file)?;
        Ok(Self { first, keeper })
    }

    /// The number read at the start.
    pub(super) const fn first(&self) -> u32 {
        self.first
    }

    /// Stores a new number, in the background.
    pub(super) fn keep(&self, votes: u32) {
        self.keeper.keep(votes.into());
    }

    /// Logs a disk that has not answered for long, and discards the results of writes, which nobody needs. Call it
    /// periodically.
    pub(super) fn look(&mut self) {
        while self.keeper.told.try_recv().is_ok() {}
        self.keeper.look();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    fn stored(dir: &Path) -> Vec<u8> {
        fs::read(dir.join(NAME)).unwrap()
    }

    #[test]
    fn the_file_is_created_read_and_rewritten() {
        let dir = tempfile::tempdir().unwrap();
        let kept = KeptVotes::open(dir.path()).unwrap();
        assert_eq!((kept.first(), stored(dir.path())), (0, vec![0; 4]));
        kept.keep(7);
        let patience = Instant::now() + Duration::from_secs(30);
        while stored(dir.path()) != 7u32.to_ne_bytes() {
            assert!(Instant::now() < patience, "never written");
            thread::sleep(Duration::from_millis(5));
        }
        drop(kept);
        assert_eq!(KeptVotes::open(dir.path()).unwrap().first(), 7);
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        for content in [&b""[..], b"\x01", b"\x01\x02\x03"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(NAME);
            fs::write(&path, content).unwrap();
            let error = KeptVotes::open(dir.path()).unwrap_err().to_string();
            assert!(error.contains("is damaged: ") && error.contains("rm "), "{error}");
            assert_eq!(stored(dir.path()), content);
        }
        assert!(KeptVotes::open(Path::new("/nonexistent")).is_err());
    }

    /// With a full disk, the number is written over the old one.
    #[test]
    fn votes_are_stored_on_a_full_disk() {
        let dir = tempfile::tempdir().unwrap();
        let kept = KeptVotes::open(dir.path()).unwrap();
        fs::create_dir(dir.path().join("ev_tracking.new")).unwrap();
        kept.keep(9);
        let patience = Instant::now() + Duration::from_secs(30);
        while stored(dir.path()) != 9u32.to_ne_bytes() {
            assert!(Instant::now() < patience, "never written");
            thread::sleep(Duration::from_millis(5));
        }
    }
}
