//! The exit statuses of the daemon, and the error that carries one.

use std::fmt;

/// Exit status of the daemon. The numbers are Corosync's, so that units and scripts keep working.
///
/// Source: corosync `exec/util.h`, `enum e_corosync_done`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Normal end; `--check` found no error.
    Done = 0,
    /// Invalid option on the command line.
    Options = 1,
    /// The process cannot be put into the background.
    Fork = 4,
    /// The section `logging` is invalid, or a log file cannot be opened.
    LoggingConfig = 7,
    /// The configuration is invalid.
    Config = 8,
    /// The log cannot be installed, or its thread cannot be started.
    LogSetup = 9,
    /// The ring cannot be started (for example, its sockets cannot be bound or there is no event loop), or failed later.
    Totem = 15,
    /// The state directory is missing or cannot be used.
    StateDir = 16,
    /// The lock file cannot be created.
    Lock = 17,
    /// Another instance runs.
    AlreadyRunning = 18,
    /// Standard input and output cannot be redirected.
    Stdio = 19,
    /// The section `quorum` cannot be used, or the sockets for clients cannot be bound.
    Services = 20,
    /// The stored ring id cannot be read or written.
    RingId = 21,
    /// Another node ended this one.
    Killed = 255,
}

impl Exit {
    /// The exit status as a number.
    pub const fn status(self) -> u8 {
        self as u8
    }

    /// The exit status with this number, if there is one.
    pub(super) const fn from_status(status: u8) -> Option<Self> {
        Some(match status {
            0 => Self::Done,
            1 => Self::Options,
            4 => Self::Fork,
            7 => Self::LoggingConfig,
            8 => Self::Config,
            9 => Self::LogSetup,
            15 => Self::Totem,
            16 => Self::StateDir,
            17 => Self::Lock,
            18 => Self::AlreadyRunning,
            19 => Self::Stdio,
            20 => Self::Services,
            21 => Self::RingId,
            255 => Self::Killed,
            _ => return None,
        })
    }
}

/// An error that ends the daemon.
#[derive(Debug)]
pub(super) struct Fatal {
    /// The exit status.
    pub(super) exit: Exit,
    /// What happened, where, and the remedy.
    pub(super) message: String,
}

impl Fatal {
    /// Makes an error with this status and text.
    pub(super) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }

    /// For `map_err`: adds the status to any error.
    pub(super) fn with<E: fmt::Display>(exit: Exit) -> impl FnOnce(E) -> Self {
        move |error| Self::new(exit, error)
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fatal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_survive_conversion_to_numbers() {
        for status in 0..=u8::MAX {
            if let Some(exit) = Exit::from_status(status) {
                assert_eq!(exit.status(), status);
            }
        }
        assert_eq!(Exit::from_status(21), Some(Exit::RingId));
        assert_eq!(Exit::from_status(22), None);
    }
}
