//! Small files that outlast the process: a number each, read at the start and replaced as a whole later, by a
//! helper thread.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A helper that writes a number needs no more, and with locked memory all of it is resident.
pub(super) const HELPER_STACK: usize = 128 << 10;

/// Why the number could not be stored before the start.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot {what} {}: {error}; the node needs a state directory that it may write to (system.state_dir, --state-dir)",
    path.display()
)]
pub struct StoreError {
    what: &'static str,
    path: PathBuf,
    error: io::Error,
}

impl StoreError {
    /// The thread that writes the file cannot be started.
    pub(super) fn thread(path: &Path, error: io::Error) -> Self {
        Self { what: "start the thread that writes", path: path.to_owned(), error }
    }
}

/// The first `N` bytes of a file.
///
/// # Errors
/// What is wrong with the file, for the operator.
pub(super) fn read<const N: usize>(path: &Path) -> Result<[u8; N], String> {
    // A FIFO or device in its place must not stop the start.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)
        .map_err(|error| format!("cannot be read: {error}"))?;
    let mut bytes = [0; N];
    file.read_exact(&mut bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("is shorter than {N} bytes"),
        _ => format!("cannot be read: {error}"),
    })?;
    Ok(bytes)
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError { what, path: path.to_owned(), error }
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
        // Relative names would follow a later change of directory.
        let dir = fs::canonicalize(&dir).map_err(|error| StoreError { what: "open", path: dir, error })?;
        let inside = |path: &Path| path.file_name().map_or_else(|| path.to_owned(), |name| dir.join(name));
        Ok(Self { path: inside(&path), temporary: inside(&temporary), dir: dir.clone() })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the content; after a crash at any point the file holds the old or the new one.
    pub(super) fn write(&self, content: &[u8]) -> Result<(), StoreError> {
        // What a crash left behind goes first, so that no link or foreign file is written through.
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
        file.write_all(content).map_err(failed("write", &self.temporary))?;
        file.sync_all().map_err(failed("sync", &self.temporary))?;
        fs::rename(&self.temporary, &self.path).map_err(failed("replace", &self.path))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", &self.dir))
    }
}
