//! Errors of calls to a service.

use crate::error::Status;
use crate::service::channel::{ChannelError, End};
use crate::service::wire::read::Malformed;

/// Why a call failed, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The daemon cannot be reached, or the connection has ended.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The daemon refused the call without a reason.
    #[error("the daemon refused to {what}: {status}{hint}")]
    Refused {
        /// The call, as the end of the sentence "the daemon refused to ...".
        what: &'static str,
        /// The status that the daemon answered.
        status: Status,
        /// A possible reason and remedy, in the form `. Sentence`, or empty.
        hint: &'static str,
    },
    /// The daemon refused the call and gave a reason.
    #[error("the daemon refused to {what}: {status}\n{why}")]
    Told {
        /// The call, as the end of the sentence "the daemon refused to ...".
        what: &'static str,
        /// The status that the daemon answered.
        status: Status,
        /// The daemon's reasons, one a line.
        why: String,
    },
    /// An argument is invalid; nothing was sent.
    #[error("{0}")]
    Invalid(&'static str),
}

impl Error {
    /// The status that a C client library would return for this error.
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
