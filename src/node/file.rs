//! Small files that each keep a number over restarts: read at the start and replaced later.
//!
//! A file is replaced by renaming a new one to it. If that fails, for lack of disk space for example, the old content
//! is overwritten: a few bytes of an existing file need no space, and a disk writes them atomically. So a full disk
//! does not keep a node from storing its numbers.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Stack size of helper threads. Writing a number needs no more, and with locked memory all of it is resident.
pub(super) const HELPER_STACK: usize = 128 << 10;

/// Why a file in the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system returned an error.
    #[error(
        "cannot {what} {}: {error}; {}, or name another state directory (system.state_dir, --state-dir)",
        path.display(), remedy(error)
    )]
    Refused {
        /// The action that failed.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The content of the file is invalid.
    #[error("{} {why}; {remedy}", path.display())]
    Damaged {
        /// The file that is damaged.
        path: PathBuf,
        /// The fault in the content.
        why: String,
        /// The remedy for the operator.
        remedy: String,
    },
}

impl StoreError {
    /// The thread that writes the file cannot be started.
    pub(super) fn thread(path: &Path, error: io::Error) -> Self {
        Self::Refused { what: "start the thread that writes", path: path.to_owned(), error }
    }
}

/// The remedy for an error of the file system, for the operator.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on that file system",
        io::ErrorKind::ReadOnlyFilesystem => "mount that file system so that it can be written to",
        io::ErrorKind::PermissionDenied => "let the user that annulusd runs as write there",
        io::ErrorKind::NotFound => "create the directory",
        _ => "look after that file system and its disk (dmesg)",
    }
}

/// Reads the first `N` bytes of a file. `None`: there is no such file.
///
/// # Errors
/// A text for the operator: the file cannot be read, or is too short.
pub(super) fn read<const N: usize>(path: &Path) -> Result<Option<[u8; N]>, String> {
    // Without this, opening a FIFO or device in its place could block the start.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file = match OpenOptions::new().read(true).custom_flags(nonblocking).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    let mut bytes = [0; N];
    file.read_exact(&mut bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("is damaged: it is shorter than {N} bytes"),
        _ => format!("cannot be read: {error}"),
    })?;
    Ok(Some(bytes))
}

/// Storage for a number; tests replace it.
pub(super) trait Disk: Send + 'static {
    /// Writes the number durably: after a crash, the old or the new one is there. Blocks as long as the disk does.
    ///
    /// # Errors
    /// [`StoreError`]; the old number is still there.
    fn write(&mut self, content: &[u8]) -> Result<(), StoreError>;

    /// The path of the file.
    fn path(&self) -> &Path;
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::Refused { what, path: path.to_owned(), error }
}

/// A small file whose content is replaced as a whole.
#[derive(Clone, Debug)]
pub(super) struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    dir: PathBuf,
}

impl AtomicFile {
    pub(super) fn new(path: PathBuf) -> Result<Self, StoreError> {
        let dir = path.parent().unwrap_or(Path::new("/")).to_owned();
        let temporary = path.with_extension("new");
        // A relative path would change its meaning with the working directory.
        let dir = fs::canonicalize(&dir).map_err(failed("open", &dir))?;
        let inside = |path: &Path| path.file_name().map_or_else(|| path.to_owned(), |name| dir.join(name));
        Ok(Self { path: inside(&path), temporary: inside(&temporary), dir: dir.clone() })
    }

    /// Whether the permissions allow to write the file. Changes nothing.
    pub(super) fn may_write(&self) -> Result<(), StoreError> {
        use rustix::fs::{Access, access};
        let Err(error) = access(&self.dir, Access::WRITE_OK | Access::EXEC_OK) else { return Ok(()) };
        // A file that cannot be replaced is overwritten.
        access(&self.path, Access::WRITE_OK).map_err(|_| failed("create", &self.temporary)(error.into()))
    }

    /// Replaces the file by a new one.
    fn replace(&self, content: &[u8]) -> Result<(), StoreError> {
        // A leftover of a crash is removed first, so that nothing is written through a link or to a foreign file.
        match fs::remove_file(&self.temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", self.temporary.as_path())(error));
            }
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.temporary)
            .map_err(failed("create", &self.temporary))?;
        let written = file
            .write_all(content)
            .map_err(failed("write", &self.temporary))
            .and_then(|()| file.sync_all().map_err(failed("sync", &self.temporary)))
            .and_then(|()| fs::rename(&self.temporary, &self.path).map_err(failed("replace", &self.path)));
        if written.is_err() {
            // The file is useless and takes space; failing to remove it is not reported.
            let _ = fs::remove_file(&self.temporary);
        }
        written?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", &self.dir))
    }

    /// Overwrites the content of the file, which needs no disk space.
    fn overwrite(&self, content: &[u8]) -> io::Result<()> {
        let nofollow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let file =
            OpenOptions::new().write(true).custom_flags(nofollow.bits().cast_signed()).open(&self.path)?;
        let found = file.metadata()?;
        if !found.is_file() || found.len() < content.len() as u64 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // In one write: a number that is half old and half new would be neither.
        if file.write_at(content, 0)? != content.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        file.sync_all()
    }
}

impl Disk for AtomicFile {
    fn write(&mut self, content: &[u8]) -> Result<(), StoreError> {
        let Err(error) = self.replace(content) else { return Ok(()) };
        // The directory was removed while the node runs; it is made again.
        if !self.dir.exists()
            && DirBuilder::new().mode(0o755).create(&self.dir).is_ok()
            && self.replace(content).is_ok()
        {
            tracing::warn!(
                target: "annulus::node",
                "State directory {} was removed under this node; it was made again", self.dir.display()
            );
            return Ok(());
        }
        self.overwrite(content).map_err(|_| error)
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &Path) -> AtomicFile {
        AtomicFile::new(dir.join("number")).unwrap()
    }

    #[test]
    fn a_file_that_cannot_be_replaced_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = file(dir.path());
        file.write(b"one").unwrap();
        // Unlike missing permissions, a directory in place of the new file makes the write fail for root too.
        fs::create_dir(dir.path().join("number.new")).unwrap();
        file.write(b"two").unwrap();
        assert_eq!(fs::read(dir.path().join("number")).unwrap(), b"two");
        let error = file.write(b"longer").unwrap_err().to_string();
        assert!(error.contains("number.new") && error.contains("--state-dir"), "{error}");
        assert_eq!(fs::read(dir.path().join("number")).unwrap(), b"two", "nothing is half written");
    }

    #[test]
    fn a_link_is_not_followed_when_writing() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = file(dir.path());
        fs::create_dir(dir.path().join("number.new")).unwrap();
        fs::write(dir.path().join("other"), b"mine").unwrap();
        std::os::unix::fs::symlink(dir.path().join("other"), dir.path().join("number")).unwrap();
        assert!(file.write(b"two").is_err());
        assert_eq!(fs::read(dir.path().join("other")).unwrap(), b"mine");
    }

    #[test]
    fn a_removed_directory_is_created_again() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("state");
        fs::create_dir(&dir).unwrap();
        let mut file = file(&dir);
        file.write(b"one").unwrap();
        fs::remove_dir_all(&dir).unwrap();
        file.write(b"two").unwrap();
        assert_eq!(fs::read(dir.join("number")).unwrap(), b"two");
        fs::remove_dir_all(parent.path()).unwrap();
        let error = file.write(b"three").unwrap_err().to_string();
        assert!(error.contains("create the directory"), "{error}");
    }

    #[test]
    fn errors_name_a_remedy() {
        for (error, what) in [
            (libc::ENOSPC, "make room"),
            (libc::EDQUOT, "make room"),
            (libc::EROFS, "mount that file system"),
            (libc::EACCES, "let the user"),
            (libc::EIO, "dmesg"),
        ] {
            let text = failed("write", Path::new("/x"))(io::Error::from_raw_os_error(error)).to_string();
            assert!(text.contains("cannot write /x: ") && text.contains(what), "{text}");
        }
    }
}
