//! Why a call of the configuration database library failed.

use crate::error::Status;
use crate::service::channel::ChannelError;
use crate::service::client;

/// What happened, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The daemon cannot be reached, the connection ended, or it refused for a reason not listed here.
    #[error(transparent)]
    Service(#[from] client::Error),
    /// There is no such key.
    #[error("there is no key {key}; set it first")]
    NoKey {
        /// Which.
        key: String,
    },
    /// The daemon lets no client change the key.
    #[error(
        "key {key} may only be read: it is the daemon's own or comes from its configuration file. Change the \
         file, and reload it"
    )]
    ReadOnly {
        /// Which.
        key: String,
    },
    /// It is no name of a key, or no beginning of one.
    #[error("{key:?} names no key: a name has 3 to 255 characters of A-Z a-z 0-9 . _ - / :")]
    BadKey {
        /// What was given.
        key: String,
    },
    /// The value cannot be stored.
    #[error("the value for {key} cannot be stored: {why}")]
    BadValue {
        /// Where to.
        key: String,
        /// Why not.
        why: &'static str,
    },
    /// The key holds something else than was asked for.
    #[error("key {key} holds {found}, which is not {wanted}; get_value() gives it as it is")]
    WrongType {
        /// Which.
        key: String,
        /// What it holds: type and value.
        found: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// The key holds no integer, so nothing can be added to it.
    #[error("key {key} holds no integer, so nothing can be added to it; set it")]
    NotInteger {
        /// Which.
        key: String,
    },
}

impl Error {
    /// The number that a C program would have got.
    ///
    /// Source: corosync `corotypes.h`, and the manual pages of `cmap_get` and others.
    pub fn status(&self) -> Status {
        match self {
            Self::Service(error) => error.status(),
            Self::NoKey { .. } => Status::NotExist,
            Self::ReadOnly { .. } => Status::Access,
            Self::BadKey { .. } => Status::NameTooLong,
            Self::BadValue { .. } | Self::WrongType { .. } | Self::NotInteger { .. } => Status::InvalidParam,
        }
    }
}

impl From<ChannelError> for Error {
    fn from(error: ChannelError) -> Self {
        Self::Service(error.into())
    }
}
