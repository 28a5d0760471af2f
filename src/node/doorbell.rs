#![allow(unsafe_code, reason = "registering a descriptor with the runtime is unsafe in tokio")]
//! A descriptor that is watched by the tokio runtime: readable when the driver has something to do.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::ipc::Server;

/// See the module.
#[derive(Debug)]
pub(super) struct Doorbell(OwnedFd);

impl Doorbell {
    /// Registers a duplicate of the epoll descriptor of the IPC server, so that the server can be borrowed while the runtime
    /// watches. Needs a tokio runtime with IO.
    ///
    /// # Errors
    /// The system has no more descriptors, or the runtime does not accept this one.
    pub(super) fn of(server: &Server) -> io::Result<AsyncFd<Self>> {
        Self::watch(server.as_fd().try_clone_to_owned()?)
    }

    /// Registers a descriptor. Needs a tokio runtime with IO.
    ///
    /// # Errors
    /// The runtime does not accept it.
    pub(super) fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<Self>> {
        let doorbell = Self(descriptor);
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

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
