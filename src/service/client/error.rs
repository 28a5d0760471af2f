//! Why a call to a service failed.

use crate::error::Status;
use crate::service::channel::{ChannelError, End};
use crate::service::wire::read::Malformed;

/// What happened, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The daemon cannot be reached, or the connection ended.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The daemon refused.
    #[error("the daemon refused to {what}: {status}{hint}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Its answer.
        status: Status,
        /// Why that may be and what to do about it, as `. Sentence`, or nothing.
        hint: &'static str,
    },
    /// The daemon refused, and told why.
    #[error("the daemon refused to {what}: {status}\n{why}")]
    Told {
        /// What was asked.
        what: &'static str,
        /// The status that the daemon answered with.
        status: Status,
        /// Why, in its words; several lines if there are several reasons.
        why: String,
    },
    /// Nothing was asked: an argument is not what it must be.
    #[error("{0}")]
    Invalid(&'static str),
}

impl Error {
    /// The number that a C program would have got.
    ///
    /// Source: corosync `corotypes.h`.
    pub fn status(&self) -> Status {
        match self {
            Self::Channel(error) => error.status(),
            Self::Refused { status, .. } | Self::Told { status, .. } => *status,
            Self::Invalid(_) => Status::InvalidParam,
        }
    }

    /// Whether the daemon answered with this status.
    pub fn is_refusal(&self, with: Status) -> bool {
        matches!(self, Self::Refused { status, .. } | Self::Told { status, .. } if *status == with)
    }
}

impl From<End> for Error {
    fn from(end: End) -> Self {
        Self::Channel(ChannelError::Ended(end))
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        End::Protocol { what: malformed.0 }.into()
    }
}
