//! The interface of a supervisor to the daemon: two small traits, for keys and for quorum, so that a supervisor can
//! be tested or embedded without a daemon.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use crate::error::Status;

/// The part of every key before the name.
const PREFIX: &str = "resources.process.";

/// The greatest length of a name, in bytes, so that every key fits into the database's 255 bytes.
const MAX_NAME: usize = 200;

/// Typed values by dotted names, as the daemon's configuration database keeps them.
pub trait Registry: Send {
    /// Writes a string.
    ///
    /// # Errors
    /// The database cannot be reached, or refuses.
    fn set_str(&mut self, key: &str, value: &str) -> Result<(), DeskError>;

    /// Writes an unsigned 64-bit number.
    ///
    /// # Errors
    /// The database cannot be reached, or refuses.
    fn set_u64(&mut self, key: &str, value: u64) -> Result<(), DeskError>;

    /// Removes every key that begins with `prefix`.
    ///
    /// # Errors
    /// The database cannot be reached, or refuses.
    fn remove(&mut self, prefix: &str) -> Result<(), DeskError>;

    /// A descriptor that hangs up when the connection ends, if there is one. It lets the supervisor write the keys
    /// again at once to a restarted daemon; without it, the loss is noticed at the next change.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A source of changes of quorum. Its descriptor is readable when there is something new.
pub trait QuorumWatch: AsFd + Send {
    /// Reads everything new, without blocking, and returns whether this part of the cluster is quorate now.
    ///
    /// # Errors
    /// This watch gives no more news. The supervisor treats that as quorum lost, and opens another watch.
    fn quorate(&mut self) -> Result<bool, DeskError>;
}

/// Opens connections to the daemon. Each connection is used by one thread; both calls may block while the daemon is
/// busy.
pub trait Desks: Send + Sync + 'static {
    /// Opens a connection to the configuration database.
    ///
    /// # Errors
    /// The daemon cannot be reached, or refuses.
    fn registry(&self) -> Result<Box<dyn Registry>, DeskError>;

    /// Opens a connection to the quorum service.
    ///
    /// # Errors
    /// The daemon cannot be reached, or refuses.
    fn quorum(&self) -> Result<Box<dyn QuorumWatch>, DeskError>;
}

/// Why the daemon could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DeskError {
    /// The error code that a C program would get.
    pub status: Status,
    /// The cause, and what to do about it.
    pub message: String,
}

impl DeskError {
    /// Makes an error with this text.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

/// The name of a worker in its keys, between `resources.process.` and the last part of the key. By default it is the
/// supervisor's process id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(String);

impl Name {
    /// The id of this process, as libsam uses it.
    pub fn of_this_process() -> Self {
        Self(std::process::id().to_string())
    }

    /// Makes a name of 1 to 200 letters, digits, `_`, `-`, `/` and `:`; `None` for any other text.
    pub fn new(name: &str) -> Option<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-/:".contains(c);
        ((1..=MAX_NAME).contains(&name.len()) && name.chars().all(fits)).then(|| Self(name.to_owned()))
    }

    /// The prefix of all keys of the worker, with the final dot.
    pub fn prefix(&self) -> String {
        format!("{PREFIX}{}.", self.0)
    }

    pub(super) fn key(&self, key: Key) -> String {
        format!("{PREFIX}{}.{}", self.0, key.word())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key of a worker.
///
/// Source: `sam_overview(3)`, Confdb integration; the types as Corosync 3.1.7's libsam writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// String: `quit` or `restart`.
    Recovery,
    /// u64: the interval in ms.
    PollPeriod,
    /// u64: when the worker was last heard of, in ns of the monotonic clock.
    LastUpdated,
    /// String: see [`WorkerState`].
    State,
}

impl Key {
    const fn word(self) -> &'static str {
        match self {
            Self::Recovery => "recovery",
            Self::PollPeriod => "poll_period",
            Self::LastUpdated => "last_updated",
            Self::State => "state",
        }
    }
}

/// The state of a worker, as in the key `state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkerState {
    /// Its health is not checked.
    Stopped,
    /// It has asked to start and waits for quorum.
    WaitingForQuorum,
    /// Its health is checked.
    Running,
    /// It failed, and is not started again.
    Failed,
}

impl WorkerState {
    /// The value of the key.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::WaitingForQuorum => "waiting for quorum",
            Self::Running => "running",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_libsams_names() {
        let name = Name::new("4711").unwrap();
        assert_eq!(name.prefix(), "resources.process.4711.");
        assert_eq!(name.key(Key::PollPeriod), "resources.process.4711.poll_period");
        assert_eq!(name.key(Key::LastUpdated), "resources.process.4711.last_updated");
        assert_eq!(Name::of_this_process().to_string(), std::process::id().to_string());
    }

    /// With a dot in a name, its prefix would match the keys of another name.
    #[test]
    fn names_that_would_match_other_keys_are_refused() {
        for wrong in ["", "a.b", "a b", "ä", &"x".repeat(201)] {
            assert_eq!(Name::new(wrong), None, "{wrong:?}");
        }
        assert!(Name::new(&"x".repeat(200)).is_some());
    }
}
