//! Errors of this module, and the status that Corosync's libraries return for each.

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
        /// The name of the service.
        name: String,
        /// The fault in the name.
        reason: &'static str,
    },
    /// Listening at the address failed.
    #[error("cannot listen on {address}: {source} (is another corosync or annulusd running?)")]
    Listen {
        /// The address, as `/proc/net/unix` shows it.
        address: String,
        /// The error of the system.
        source: io::Error,
    },
    /// Another process listens at the address.
    #[error("cannot listen on {address}: {holder} has it. {advice}")]
    Taken {
        /// The address, as `/proc/net/unix` shows it.
        address: String,
        /// The process that has taken the name.
        holder: Holder,
        /// The remedy for the operator.
        advice: &'static str,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// The action that failed.
        what: &'static str,
        /// The error of the system.
        source: io::Error,
    },
    /// The daemon has ended, or has disconnected this client (its log says why).
    #[error("the daemon closed the connection")]
    Disconnected,
    /// The request was not sent, because the ring buffer is full or because of flow control. Try again later.
    #[error("the daemon takes no more requests now")]
    TryAgain,
    /// The message is longer than the connection allows, and was not sent.
    #[error("message of {bytes} bytes, where {limit} are allowed")]
    TooLong {
        /// Length of the message, in bytes.
        bytes: usize,
        /// Length of the longest message, in bytes.
        limit: usize,
    },
    /// The daemon violated the rules of the shared ring buffers. The connection is unusable.
    #[error("shared ring: {0}")]
    Ring(#[from] RingError),
}

impl IpcError {
    /// The status that Corosync's libraries return for this error.
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
    /// Nobody listens, or too many connections wait to be accepted.
    #[error("cannot reach the daemon at {address}: {source} (is it running?)")]
    Unreachable {
        /// The address, as `/proc/net/unix` shows it.
        address: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The listening process belongs neither to root, nor to the user of this program, nor to a trusted user. Nothing
    /// was sent.
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
    /// The daemon refused the connection.
    #[error("the daemon at {address} refused: {reason}")]
    Refused {
        /// The address, as `/proc/net/unix` shows it.
        address: String,
        /// The error that the daemon returned, with its errno.
        reason: io::Error,
    },
    /// The daemon did not answer in time.
    #[error("the daemon at {address} did not answer")]
    Silent {
        /// The address, as `/proc/net/unix` shows it.
        address: String,
    },
    /// The daemon closed the connection before it answered.
    #[error("the daemon at {address} closed the connection")]
    Closed {
        /// The address, as `/proc/net/unix` shows it.
        address: String,
    },
    /// The daemon's answer is not one of a libqb server.
    #[error("the daemon at {address} answered nonsense: {what}")]
    Protocol {
        /// The address, as `/proc/net/unix` shows it.
        address: String,
        /// The fault in the answer.
        what: &'static str,
    },
    /// A shared ring buffer could not be mapped.
    #[error("cannot map {path}: {source} (are /dev/shm and the network namespace shared with the daemon?)")]
    Files {
        /// The path of the file.
        path: String,
        /// The error of the system.
        source: io::Error,
    },
}

impl ConnectError {
    /// The status that Corosync's libraries return for this error.
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
