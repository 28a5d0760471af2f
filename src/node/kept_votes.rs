//! The highest number of expected votes that this node has ever seen, kept over restarts for
//! `expected_votes_tracking`.
//!
//! The file is Corosync's: four bytes in the order of this host. Corosync means to write it whenever the number
//! rises; here it is, by a helper thread, so that a slow disk never holds up the ring.
//!
//! Source: corosync `exec/votequorum.c`; `votequorum(5)`, `expected_votes_tracking`.

use std::path::Path;
use std::sync::mpsc;
use std::thread;

use tracing::{error, info, warn};

use super::file::{AtomicFile, HELPER_STACK, StoreError, read};

const NAME: &str = "ev_tracking";

/// The number, and where it goes.
#[derive(Debug)]
pub(crate) struct KeptVotes {
    first: u32,
    ask: mpsc::Sender<u32>,
}

impl KeptVotes {
    /// Reads `<dir>/ev_tracking`, or creates it with 0 in it, and starts the helper. Blocks for the disk: for use
    /// before the ring runs.
    ///
    /// # Errors
    /// There is no number in the file, and none can be written.
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(NAME);
        let file = AtomicFile::new(path.clone())?;
        let first = match read(&path) {
            Ok(votes) => u32::from_ne_bytes(votes),
            Err(why) => {
                info!(target: "annulus::node", "{} {why}; it begins with 0", path.display());
                file.write(&0u32.to_ne_bytes())?;
                0
            }
        };
        let (ask, asked) = mpsc::channel();
        thread::Builder::new()
            .name("annulus-votes".into())
            .stack_size(HELPER_STACK)
            .spawn(move || help(&file, &asked))
            .map_err(|error| StoreError::thread(&path, error))?;
        Ok(Self { first, ask })
    }

    /// What was kept at the start.
    pub(super) const fn first(&self) -> u32 {
        self.first
    }

    /// Keeps a new number, in the background.
    pub(super) fn keep(&self, votes: u32) {
        // A helper that is gone was told so by a panic in it; there is nothing left to tell it.
        let _ = self.ask.send(votes);
    }
}

/// The helper: writes the newest number. What could not be written is written with the next one.
fn help(file: &AtomicFile, asked: &mpsc::Receiver<u32>) {
    while let Ok(votes) = asked.recv() {
        let votes = asked.try_iter().fold(votes, |_, newer| newer);
        match file.write(&votes.to_ne_bytes()) {
            Ok(()) => info!(target: "annulus::node", votes, "expected votes are kept"),
            Err(error) => {
                warn!(target: "annulus::node", "Unable to update ev_tracking_barrier on disk data!!!");
                error!(target: "annulus::node", votes, "{error}; a restart would begin with fewer expected votes");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
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
    fn a_damaged_file_begins_anew_and_a_missing_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), [1, 2]).unwrap();
        assert_eq!(KeptVotes::open(dir.path()).unwrap().first(), 0);
        assert_eq!(stored(dir.path()), [0; 4]);
        assert!(KeptVotes::open(&dir.path().join("missing")).is_err());
    }
}
