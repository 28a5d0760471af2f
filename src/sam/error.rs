//! Why a call failed.

use std::io;

use super::registry::DeskError;
use crate::error::Status;

/// What happened, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A process with several threads would be copied with one of them.
    #[error(
        "this process has {count} threads: register before anything starts one (a runtime, a logger), or \
         supervise a program of its own with Supervisor"
    )]
    Threads {
        /// How many there are.
        count: usize,
    },
    /// The system refused something.
    #[error("cannot {what}: {source}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The program to supervise could not be started.
    #[error("cannot start {program}: {source}")]
    Launch {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// Keys or quorum are part of the policy, and the daemon cannot be asked.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// This process has no supervisor.
    #[error(
        "this process was not started by a supervisor ({0}); a worker behind a shell needs `exec` in front of it"
    )]
    NotSupervised(&'static str),
    /// The one worker of this process has been taken, or the one registration was made.
    #[error("a process is supervised once: {0} was called before")]
    Twice(&'static str),
    /// The call does not fit what the worker does now.
    #[error("{call} needs a worker that {needs}")]
    State {
        /// What was called.
        call: &'static str,
        /// When it may be.
        needs: &'static str,
    },
    /// The supervisor said no.
    #[error("the supervisor refused to {what}: {status}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Its answer.
        status: Status,
    },
    /// More data than a supervisor keeps.
    #[error("{got} bytes are more than a supervisor keeps; the limit is {limit}")]
    TooLong {
        /// The bytes.
        got: usize,
        /// The most.
        limit: usize,
    },
    /// There is no such signal, or it is a real-time signal.
    #[error("{0} is not the number of a signal with a name")]
    Signal(i32),
    /// A health check without an interval would never be asked.
    #[error("a health check needs an interval in the policy")]
    NoInterval,
    /// The supervisor is gone.
    #[error("the supervisor is gone: {0}")]
    Ended(io::Error),
    /// What came from the supervisor makes no sense; it is of another version.
    #[error("the supervisor answered nonsense; worker and supervisor do not fit together")]
    Protocol,
}

impl Error {
    /// The number that a C program would have got.
    ///
    /// Source: `sam_register(3)` and its neighbours.
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
