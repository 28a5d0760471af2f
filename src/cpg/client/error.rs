//! Errors of the process group library.

use crate::cpg::name::{GroupName, NameTooLong};
use crate::error::Status;
use crate::service::channel::{ChannelError, End};
use crate::service::client;

/// Why a call failed, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The daemon cannot be reached, or the connection has ended.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The name of a group is too long.
    #[error(transparent)]
    Name(#[from] NameTooLong),
    /// This process is a member of the group already.
    #[error(
        "process {pid} of this node is in group {group} already; a process may be in a group once. \
         Leave it first, or join with another JoinOptions::pid"
    )]
    Exists {
        /// The name of the group.
        group: GroupName,
        /// The process id.
        pid: u32,
    },
    /// This member has left the group.
    #[error("not a member of the group (any more); join it first")]
    NotMember,
    /// The message is too long.
    #[error("a message of {got} bytes is too long; the limit is {limit}{hint}")]
    TooLong {
        /// Its length in bytes.
        got: usize,
        /// The limit in bytes.
        limit: usize,
        /// How it could be sent, if there is a way.
        hint: &'static str,
    },
    /// There is no room now; nothing was sent.
    #[error("no room for the message now; nothing was sent. Try again, or let multicast() wait for room")]
    TryAgain,
    /// The membership changed repeatedly while the pieces of a long message were sent.
    #[error(
        "the message was not sent: the membership changed {tries} times while its pieces were sent; send it again"
    )]
    Interrupted {
        /// The number of attempts.
        tries: u32,
    },
    /// Very many own messages have been sent whose delivery nobody has read.
    #[error(
        "nothing was sent: {limit} own messages were delivered or are on their way, and nobody reads the events"
    )]
    Unread {
        /// The limit in messages.
        limit: usize,
    },
    /// The message was accepted, but its delivery could not be awaited because events were not read.
    #[error(
        "the message was taken, but its delivery cannot be awaited: {limit} events, or as many bytes as may \
         wait, are unread. Read the events of the group while awaiting deliveries"
    )]
    Overrun {
        /// The limit in events.
        limit: usize,
    },
    /// The message was accepted and later ones of this member were delivered, but it was not. Only a daemon
    /// that drops messages causes this, as Corosync does when its queue is full.
    #[error("the daemon took the message but did not order it; send it again")]
    Lost,
    /// The daemon refused.
    #[error("the daemon refused to {what}: {status}")]
    Refused {
        /// The call, as the end of the sentence "the daemon refused to ...".
        what: &'static str,
        /// The status that the daemon answered.
        status: Status,
    },
}

impl Error {
    /// The status that libcpg would return for this error.
    ///
    /// Source: corosync `corotypes.h`, and the manual pages of `cpg_join` and others.
    pub fn status(&self) -> Status {
        match self {
            Self::Channel(error) => error.status(),
            Self::TryAgain | Self::Unread { .. } => Status::TryAgain,
            Self::Refused { status, .. } => *status,
            Self::TooLong { .. } => Status::TooBig,
            Self::Name(_) => Status::NameTooLong,
            Self::Exists { .. } => Status::Exist,
            Self::NotMember => Status::NotExist,
            Self::Interrupted { .. } => Status::Interrupt,
            Self::Overrun { .. } => Status::NoResources,
            Self::Lost => Status::MessageError,
        }
    }
}

impl From<End> for Error {
    fn from(end: End) -> Self {
        Self::Channel(ChannelError::Ended(end))
    }
}

impl From<client::Error> for Error {
    fn from(error: client::Error) -> Self {
        match error {
            client::Error::Channel(error) => Self::Channel(error),
            client::Error::Refused { what, status, .. } | client::Error::Told { what, status, .. } => {
                Self::Refused { what, status }
            }
            // Not caused by this library, because [`GroupName`] accepts valid names only.
            client::Error::Invalid(what) => Self::Refused { what, status: Status::InvalidParam },
        }
    }
}
