//! Errors of the configuration database library.

use crate::error::Status;
use crate::service::channel::ChannelError;
use crate::service::client;

/// Why a call failed, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The daemon cannot be reached, the connection has ended, or the daemon refused for a reason not listed
    /// here.
    #[error(transparent)]
    Service(#[from] client::Error),
    /// The key does not exist.
    #[error("there is no key {key}; set it first")]
    NoKey {
        /// The name of the key.
        key: String,
    },
    /// The key is read-only for clients.
    #[error(
        "key {key} may only be read: it is the daemon's own or comes from its configuration file. Change the \
         file, and reload it"
    )]
    ReadOnly {
        /// The name of the key.
        key: String,
    },
    /// The name of the key, or the prefix, is invalid.
    #[error("{key:?} names no key: a name has 3 to 255 characters of A-Z a-z 0-9 . _ - / :")]
    BadKey {
        /// The name or prefix as given.
        key: String,
    },
    /// The value cannot be stored.
    #[error("the value for {key} cannot be stored: {why}")]
    BadValue {
        /// The name of the key.
        key: String,
        /// The reason.
        why: &'static str,
    },
    /// The key holds a value of another type than requested.
    #[error("key {key} holds {found}, which is not {wanted}; get_value() gives it as it is")]
    WrongType {
        /// The name of the key.
        key: String,
        /// Its type and value.
        found: String,
        /// The requested type.
        wanted: &'static str,
    },
    /// The key does not hold an integer, so nothing can be added to it.
    #[error("key {key} holds no integer, so nothing can be added to it; set it")]
    NotInteger {
        /// The name of the key.
        key: String,
    },
}

impl Error {
    /// The status that libcmap would return for this error.
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
