//! The daemon as a supervisor needs it: a place for keys, and somebody who knows about quorum. Two small
//! traits, so that a supervisor can be tested, or embedded, without a daemon.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use crate::error::Status;

/// What stands before the name in every key.
const PREFIX: &str = "resources.process.";

/// The name's last byte is at most here, so that every key fits into the database's 255 bytes.
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

    /// Removes every key that begins so.
    ///
    /// # Errors
    /// The database cannot be reached, or refuses.
    fn remove(&mut self, prefix: &str) -> Result<(), DeskError>;

    /// A descriptor that hangs up when the connection ends, if there is one: what was written is written again to
    /// a daemon that was started anew. Without it, that is noticed at the next change.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Somebody who knows whether this part of the cluster has quorum. The descriptor is readable when there is
/// news.
pub trait QuorumWatch: AsFd + Send {
    /// Takes all news there is, without waiting, and says whether there is quorum now.
    ///
    /// # Errors
    /// There will be no more news. The supervisor counts that as quorum lost, and opens another watch.
    fn quorate(&mut self) -> Result<bool, DeskError>;
}

/// Opens connections to the daemon. Every one is used by one thread; both calls may block while the daemon
/// is busy.
pub trait Desks: Send + Sync + 'static {
    /// A connection to the configuration database.
    ///
    /// # Errors
    /// The daemon cannot be reached, or refuses.
    fn registry(&self) -> Result<Box<dyn Registry>, DeskError>;

    /// A connection to the quorum service.
    ///
    /// # Errors
    /// The daemon cannot be reached, or refuses.
    fn quorum(&self) -> Result<Box<dyn QuorumWatch>, DeskError>;
}

/// Why the daemon could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DeskError {
    /// The number that a C program would have got.
    pub status: Status,
    /// What happened, and what to do about it.
    pub message: String,
}

impl DeskError {
    /// An error with this text.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

/// What a worker's keys are called by, between `resources.process.` and the key's own word: usually the
/// supervisor's process id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(String);

impl Name {
    /// This process's id, as libsam has it.
    pub fn of_this_process() -> Self {
        Self(std::process::id().to_string())
    }

    /// A name of 1 to 200 letters, digits, `_`, `-`, `/` and `:`; `None` if it is not one.
    pub fn new(name: &str) -> Option<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-/:".contains(c);
        ((1..=MAX_NAME).contains(&name.len()) && name.chars().all(fits)).then(|| Self(name.to_owned()))
    }

    /// What all keys of the worker begin with; ends with a dot.
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

/// The keys of one worker.
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

/// What the key `state` says of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkerState {
    /// Its health is not looked at.
    Stopped,
    /// It is to be started as soon as there is quorum.
    WaitingForQuorum,
    /// Its health is looked at.
    Running,
    /// It failed, and nobody starts it again.
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
    fn keys_are_named_as_libsam_names_them() {
        let name = Name::new("4711").unwrap();
        assert_eq!(name.prefix(), "resources.process.4711.");
        assert_eq!(name.key(Key::PollPeriod), "resources.process.4711.poll_period");
        assert_eq!(name.key(Key::LastUpdated), "resources.process.4711.last_updated");
        assert_eq!(Name::of_this_process().to_string(), std::process::id().to_string());
    }

    /// A dot would let one name's prefix cover another's keys.
    #[test]
    fn names_that_would_be_other_keys_are_refused() {
        for wrong in ["", "a.b", "a b", "ä", &"x".repeat(201)] {
            assert_eq!(Name::new(wrong), None, "{wrong:?}");
        }
        assert!(Name::new(&"x".repeat(200)).is_some());
    }
}
