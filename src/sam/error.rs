//! Errors of the calls of this module.

use std::io;

use super::registry::DeskError;
use crate::error::Status;

/// Why a call failed; the text says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A fork would copy only the calling thread, so a process with several threads is refused.
    #[error(
        "this process has {count} threads: register before anything starts one (a runtime, a logger), or \
         supervise a program of its own with Supervisor"
    )]
    Threads {
        /// Number of threads of this process.
        count: usize,
    },
    /// A system call failed.
    #[error("cannot {what}: {source}")]
    System {
        /// The action that failed.
        what: &'static str,
        /// The error that the system returned.
        source: io::Error,
    },
    /// The program to supervise could not be started.
    #[error("cannot start {program}: {source}")]
    Launch {
        /// Name of the program.
        program: String,
        /// The error that the system returned.
        source: io::Error,
    },
    /// The policy needs keys or quorum, and the daemon could not be reached or refused.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// This process has no supervisor.
    #[error(
        "this process was not started by a supervisor ({0}); a worker behind a shell needs `exec` in front of it"
    )]
    NotSupervised(&'static str),
    /// The worker of this process was taken before, or the process has registered before.
    #[error("a process is supervised once: {0} was called before")]
    Twice(&'static str),
    /// The call is not allowed in the worker's present state.
    #[error("{call} needs a worker that {needs}")]
    State {
        /// The call that was refused.
        call: &'static str,
        /// The state that the call needs.
        needs: &'static str,
    },
    /// The supervisor refused a command.
    #[error("the supervisor refused to {what}: {status}")]
    Refused {
        /// The command that was refused.
        what: &'static str,
        /// The status that the supervisor returned.
        status: Status,
    },
    /// The data is longer than a supervisor stores.
    #[error("{got} bytes are more than a supervisor keeps; the limit is {limit}")]
    TooLong {
        /// Length of the data, in bytes.
        got: usize,
        /// The greatest length, in bytes.
        limit: usize,
    },
    /// There is no such signal, or it is a real-time signal.
    #[error("{0} is not the number of a signal with a name")]
    Signal(i32),
    /// A health check needs a policy with an interval.
    #[error("a health check needs an interval in the policy")]
    NoInterval,
    /// The supervisor has ended.
    #[error("the supervisor is gone: {0}")]
    Ended(io::Error),
    /// The supervisor sent an invalid message; it may be of another version.
    #[error("the supervisor answered nonsense; worker and supervisor do not fit together")]
    Protocol,
}

impl Error {
    /// The error code that a C program would get from libsam.
    ///
    /// Source: `sam_register(3)` and the other manual pages of libsam.
    pub fn status(&self) -> Status {
        match self {
            Self::Threads { .. }
            | Self::System { .. }
            | Self::Launch { .. }
            | Self::Ended(_)
            | Self::Protocol => Status::Library,
            Self::Desk(error) => error.status,
            Self::NotSupervised(_) | Self::Twice(_) | Self::State { .. } => Status::BadHandle,
            Self::Refused { status, .. } => *status,
            Self::TooLong { .. } => Status::NoMemory,
            Self::Signal(_) | Self::NoInterval => Status::InvalidParam,
        }
    }

    pub(super) fn system(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}
