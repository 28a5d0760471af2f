//! The lock file, which allows one daemon for each instance. It holds the process id, and a POSIX write lock on it
//! shows that the process lives, so that a file left behind by a crash has no effect.
//!
//! Source: corosync `exec/main.c`, the lock file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, fcntl_lock};
use rustix::io::Errno;

use super::exit::{Exit, Fatal};

/// How often the file is opened again because its holder removed it between opening and locking.
const ATTEMPTS: usize = 10;

/// Holds the lock. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    /// The only descriptor of the file, as closing any descriptor of it would release the lock.
    _file: File,
}

impl Lock {
    /// Takes the lock. Call it after forking, as locks are not inherited.
    ///
    /// # Errors
    /// [`Exit::AlreadyRunning`]: another process holds it; [`Exit::Lock`]: the file cannot be created.
    pub(super) fn take(path: &Path) -> Result<Self, Fatal> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Fatal::new(Exit::Lock, format!("Can't {what} lock file {}: {error}", path.display()))
        };
        for _ in 0..ATTEMPTS {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o640)
                .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
                .open(path)
                .map_err(|error| failed("open", &error))?;
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::AGAIN | Errno::ACCESS) => {
                    let mut holder = String::new();
                    // Only for the message.
                    let _ = Read::take(&file, 20).read_to_string(&mut holder);
                    return Err(Fatal::new(
                        Exit::AlreadyRunning,
                        format!(
                            "Another annulusd instance is already running (process {}, lock file {}). Use --instance to run \
                             several",
                            holder.trim(),
                            path.display()
                        ),
                    ));
                }
                Err(error) => return Err(failed("lock", &error)),
            }
            if !is_same(&file, path).map_err(|error| failed("examine", &error))? {
                continue; // its holder removed it just before it released the lock
            }
            file.set_len(0)
                .and_then(|()| writeln!(file, "{}", std::process::id()))
                .map_err(|error| failed("write to", &error))?;
            return Ok(Self { path: path.to_owned(), _file: file });
        }
        Err(failed("keep", &"it is removed again and again"))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed before the lock is released, so that it is certainly this process's file. If this fails, the file
        // does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

fn is_same(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The refusal of a second process is tested with the daemon itself, since the POSIX locks of one process never
    // conflict.

    #[test]
    fn the_file_holds_the_process_id_and_is_removed_with_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("annulusd.pid");
        let lock = Lock::take(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777 & !0o640, 0);
        drop(lock);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_left_by_a_crash_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("annulusd.pid");
        fs::write(&path, "4294967294 and more\n").unwrap();
        let _lock = Lock::take(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn links_and_missing_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("annulusd.pid");
        std::os::unix::fs::symlink(dir.path().join("target"), &path).unwrap();
        assert_eq!(Lock::take(&path).unwrap_err().exit, Exit::Lock);
        assert!(!dir.path().join("target").exists());
        let error = Lock::take(&dir.path().join("no/annulusd.pid")).unwrap_err();
        assert!(error.exit == Exit::Lock && error.message.contains("no/annulusd.pid"), "{error}");
    }
}
