#![allow(unsafe_code, reason = "registering a descriptor with the runtime is unsafe in tokio")]
//! The epoll descriptor of the IPC server, watched by the tokio runtime: readable when the server has something to
//! do.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::ipc::Server;

/// A duplicate of the descriptor, so that the server can be borrowed while the runtime watches.
#[derive(Debug)]
pub(super) struct Doorbell(OwnedFd);

impl Doorbell {
    /// Registers the server's descriptor. Needs a tokio runtime with IO.
    ///
    /// # Errors
    /// The system has no more descriptors, or the runtime does not accept this one.
    pub(super) fn of(server: &Server) -> io::Result<AsyncFd<Self>> {
        let doorbell = Self(server.as_fd().try_clone_to_owned()?);
        // SAFETY: the descriptor is owned by what is registered with it, never handed out, and stays open
        // and the same until that is dropped, which deregisters it first.
        Ok(unsafe { AsyncFd::register_with_interest(doorbell, Interest::READABLE) }?)
    }
}

impl AsRawFd for Doorbell {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
