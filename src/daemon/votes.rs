//! The highest number of expected votes, kept over restarts (`quorum.expected_votes_tracking`).
//!
//! Source: corosync `exec/votequorum.c`, the file `ev_tracking`: four bytes in the host's order.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file in the state directory.
#[derive(Clone, Debug)]
pub(super) struct KeptVotes(PathBuf);

impl KeptVotes {
    pub(super) fn in_dir(dir: &Path) -> Self {
        Self(dir.join("ev_tracking"))
    }

    /// The number; `None` if there is no file, or not one of four bytes.
    pub(super) fn load(&self) -> Option<u32> {
        // A FIFO in its place must not stop the start.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut file = OpenOptions::new().read(true).custom_flags(nonblocking).open(&self.0).ok()?;
        let mut bytes = [0; 4];
        file.read_exact(&mut bytes).ok()?;
        Some(u32::from_ne_bytes(bytes))
    }

    /// Replaces the number; after a crash at any point the file holds the old or the new one.
    pub(super) fn store(&self, votes: u32) -> io::Result<()> {
        let new = self.0.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&votes.to_ne_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.0)?;
        let dir = self.0.parent().unwrap_or(Path::new("/"));
        File::open(dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let kept = KeptVotes::in_dir(dir.path());
        assert_eq!(kept.load(), None);
        kept.store(5).unwrap();
        kept.store(7).unwrap();
        assert_eq!(kept.load(), Some(7));
        assert_eq!(fs::read(dir.path().join("ev_tracking")).unwrap(), 7_u32.to_ne_bytes());
        fs::write(dir.path().join("ev_tracking"), b"abc").unwrap();
        assert_eq!(kept.load(), None, "too short");
    }
}
