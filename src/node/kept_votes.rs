//! The highest number of expected votes that this node has ever seen, kept over restarts for
//! `expected_votes_tracking`.
//!
//! The file is Corosync's: four bytes in the order of this host. Corosync means to write it whenever the number
//! rises; here it is, by a helper thread, so that a slow disk never holds up the ring.
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
    // It was a u32 when it was asked for.
    bytes: |votes| (votes as u32).to_ne_bytes().to_vec(),
};

/// The number, and where it goes.
#[derive(Debug)]
pub(crate) struct KeptVotes {
    first: u32,
    keeper: Keeper,
}

impl KeptVotes {
    /// Reads `<dir>/ev_tracking`, or creates it with 0 in it, and starts the helper. Blocks for the disk: for use
    /// before the ring runs.
    ///
    /// # Errors
    /// What is in the file is no number, or there is none and none can be written. A number that was lost is not
    /// taken for 0: with fewer expected votes, a part of the cluster that must not act would.
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

    /// What was kept at the start.
    pub(super) const fn first(&self) -> u32 {
        self.first
    }

    /// Keeps a new number, in the background.
    pub(super) fn keep(&self, votes: u32) {
        self.keeper.keep(votes.into());
    }

    /// Says so if the disk has not answered for long, and forgets what became of numbers: nobody waits for that. To
    /// be called now and then.
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
    fn the_file_is_made_read_and_rewritten() {
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
    fn a_damaged_file_does_not_begin_anew() {
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

    /// No room and no new file: the number is written over the old one.
    #[test]
    fn a_full_disk_does_not_keep_votes_from_being_kept() {
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
