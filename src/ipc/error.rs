//! What goes wrong in this room, and the status number that a library would make of it.

use std::io;

use super::holder::Holder;
use super::ring::RingError;
use crate::error::Status;

/// Why the server could not start, or an exchange over a connection failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IpcError {
    /// A service cannot be offered under its name.
    #[error("service name {name:?}: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The rendezvous address cannot be listened on.
    #[error("cannot listen on {address}: {source} (is another corosync or annulusd running?)")]
    Listen {
        /// The address, as `/proc/net/unix` shows it.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else has the rendezvous address already.
    #[error("cannot listen on {address}: {holder} has it. {advice}")]
    Taken {
        /// The address, as `/proc/net/unix` shows it.
        address: String,
        /// The process that has taken the name.
        holder: Holder,
        /// What to do.
        advice: &'static str,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon is gone, or threw this client out (its log says why).
    #[error("the daemon closed the connection")]
    Disconnected,
    /// Nothing was sent: the ring is full, or the daemon holds requests back. Try again later.
    #[error("the daemon takes no more requests now")]
    TryAgain,
    /// Nothing was sent: the message is longer than the connection allows.
    #[error("message of {bytes} bytes, where {limit} are allowed")]
    TooLong {
        /// Length of the message.
        bytes: usize,
        /// Longest message.
        limit: usize,
    },
    /// The daemon broke the rules of the shared rings. The connection is unusable.
    #[error("shared ring: {0}")]
    Ring(#[from] RingError),
}

impl IpcError {
    /// The number that Corosync's libraries return in this case.
    pub fn status(&self) -> Status {
        match self {
            Self::TryAgain => Status::TryAgain,
            Self::TooLong { .. } => Status::TooBig,
            Self::Name { .. } => Status::InvalidParam,
            Self::Ring(_) => Status::MessageError,
            Self::Listen { .. } | Self::Taken { .. } | Self::System { .. } | Self::Disconnected => {
                Status::Library
            }
        }
    }
}

/// Why a client could not connect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody listens, or too many wait to be accepted.
    #[error("cannot reach the daemon at {address}: {source} (is it running?)")]
    Unreachable {
        /// The address, as `/proc/net/unix` shows it.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Who listens there is neither root, nor the user who runs this program, nor one that is trusted. Nothing was sent.
    #[error(
        "{listener} listens at {address}, who is neither root nor the user of this program: it may be anybody who took \
         the name of the daemon's socket. End that process, or name its user as trusted if it is meant to run the daemon"
    )]
    Untrusted {
        /// The socket's name, as `ss -xl` shows it.
        address: String,
        /// The process that listens there.
        listener: Holder,
    },
    /// The daemon said no.
    #[error("the daemon at {address} refused: {reason}")]
    Refused {
        /// The address.
        address: String,
        /// What it said, with the errno in it.
        reason: io::Error,
    },
    /// The daemon did not answer within the time given.
    #[error("the daemon at {address} did not answer")]
    Silent {
        /// The address.
        address: String,
    },
    /// The daemon closed the connection before it answered.
    #[error("the daemon at {address} closed the connection")]
    Closed {
        /// The address.
        address: String,
    },
    /// The daemon's answer is not one that a libqb server gives.
    #[error("the daemon at {address} answered nonsense: {what}")]
    Protocol {
        /// The address.
        address: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A shared ring could not be mapped.
    #[error("cannot map {path}: {source} (are /dev/shm and the network namespace shared with the daemon?)")]
    Files {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl ConnectError {
    /// The number that Corosync's libraries return in this case.
    pub fn status(&self) -> Status {
        match self {
            Self::Refused { reason: error, .. }
            | Self::Unreachable { source: error, .. }
            | Self::Files { source: error, .. } => status_of(error.raw_os_error().unwrap_or(0)),
            Self::Untrusted { .. } => Status::Access,
            Self::Silent { .. } => Status::Timeout,
            Self::Closed { .. } | Self::Protocol { .. } => Status::Library,
        }
    }
}

/// Source: corosync `common_lib`, `qb_to_cs_error`.
fn status_of(errno: i32) -> Status {
    match errno {
        libc::EAGAIN | libc::ETIMEDOUT | libc::ENOBUFS | libc::ENOMSG => Status::TryAgain,
        libc::EBADF => Status::BadHandle,
        libc::ENOMEM => Status::NoMemory,
        libc::EINVAL => Status::InvalidParam,
        libc::EBUSY => Status::Busy,
        libc::EACCES => Status::Access,
        libc::EOVERFLOW => Status::NameTooLong,
        libc::EBADE => Status::FailedOperation,
        libc::EEXIST => Status::Exist,
        libc::ENOSPC => Status::NoSpace,
        libc::EINTR => Status::Interrupt,
        libc::ENOENT | libc::ENODEV => Status::NotExist,
        libc::ENOSYS | libc::ENOTSUP => Status::NotSupported,
        libc::EBADMSG => Status::MessageError,
        libc::EMSGSIZE | libc::E2BIG => Status::TooBig,
        libc::ETIME => Status::Timeout,
        _ => Status::Library,
    }
}
