//! A daemon made of files in a test's directory: keys are lines of files, and quorum comes from a socket. Supervisors
//! in other processes use it. Like the real one, it treats a value that is written twice as no change.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use annulus::error::Status;
use annulus::sam::{DeskError, Desks, QuorumWatch, Registry};

/// The daemon in this directory. It is down while there is a file `down`.
#[derive(Clone)]
pub(crate) struct Paper(pub(crate) PathBuf);

impl Paper {
    fn check(&self) -> Result<(), DeskError> {
        if self.0.join("down").exists() { Err(DeskError::new(Status::Library, "down")) } else { Ok(()) }
    }

    fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// Appends a line to the list of changes, in one write.
    fn note(&self, line: &str) {
        let file = OpenOptions::new().append(true).create(true).open(self.0.join("changes"));
        file.unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn set(&self, key: &str, kind: &str, value: &str) -> Result<(), DeskError> {
        self.check()?;
        let file = self.keys().join(key);
        let known = fs::read_to_string(&file).ok();
        if known.as_deref() == Some(value) {
            return Ok(());
        }
        fs::write(&file, value).unwrap();
        let word = word(key);
        match (word, known) {
            ("last_updated", None) => self.note(&format!("{word} ({kind})")),
            ("last_updated", Some(_)) => {}
            _ => self.note(&format!("{word} ({kind}) = {value}")),
        }
        Ok(())
    }
}

/// The last part of a key's name.
pub(crate) fn word(key: &str) -> &str {
    key.rsplit('.').next().unwrap()
}

/// The names of all keys, in ascending order.
pub(crate) fn keys(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir.join("keys"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

struct Keys(Paper);

impl Registry for Keys {
    fn set_str(&mut self, key: &str, value: &str) -> Result<(), DeskError> {
        self.0.set(key, "str", value)
    }

    fn set_u64(&mut self, key: &str, value: u64) -> Result<(), DeskError> {
        self.0.set(key, "u64", &value.to_string())
    }

    fn remove(&mut self, prefix: &str) -> Result<(), DeskError> {
        self.0.check()?;
        for key in keys(&self.0.0).iter().filter(|key| key.starts_with(prefix)) {
            fs::remove_file(self.0.keys().join(key)).unwrap();
            self.0.note(&format!("{} deleted", word(key)));
        }
        Ok(())
    }
}

/// A connection to the test, which sends `1` or `0` for quorum at once and at each change.
struct Watch {
    socket: UnixStream,
    quorate: bool,
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl QuorumWatch for Watch {
    fn quorate(&mut self) -> Result<bool, DeskError> {
        let mut byte = [0];
        loop {
            match rustix::io::read(&self.socket, &mut byte) {
                Ok(0) => return Err(DeskError::new(Status::Library, "the test hung up")),
                Ok(_) => self.quorate = byte[0] == b'1',
                Err(rustix::io::Errno::AGAIN) => return Ok(self.quorate),
                Err(error) => return Err(DeskError::new(Status::Library, error.to_string())),
            }
        }
    }
}

impl Desks for Paper {
    fn registry(&self) -> Result<Box<dyn Registry>, DeskError> {
        self.check()?;
        Ok(Box::new(Keys(self.clone())))
    }

    fn quorum(&self) -> Result<Box<dyn QuorumWatch>, DeskError> {
        let socket = UnixStream::connect(self.0.join("quorum"))
            .map_err(|error| DeskError::new(Status::Library, error.to_string()))?;
        socket.set_nonblocking(true).unwrap();
        Ok(Box::new(Watch { socket, quorate: false }))
    }
}

/// The file to which a subject writes its output, a whole line at a time.
pub(crate) fn mouth(dir: &Path) -> File {
    let path = std::env::var_os("SAM_MOUTH").map_or_else(|| dir.join("said"), PathBuf::from);
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).unwrap()
}
