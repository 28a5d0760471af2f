//! A client's connection to one service of a daemon on this host (over IPC) or of a node in this process. The
//! client libraries of the services (such as `cpg::client`) are written against [`Channel`], so that both
//! kinds of client have one API.
//!
//! Requests, answers and events are the bytes of the IPC protocol in both cases. Inside the process the
//! payload of a request or event is passed separately from its header, so that it is not copied.

mod ipc_client;

use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use bytes::Bytes;

pub use ipc_client::{IpcChannel, IpcDial};

use crate::error::Status;
use crate::ids::ServiceId;

/// The result of a [`Channel`] operation that may take time. Dropping it stops waiting; a request that has
/// already been sent stays sent.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ChannelError>> + Send + 'a>>;

/// One connection to one service.
///
/// Dropping the last reference closes it; the service then sees that the client has disconnected.
pub trait Channel: Send + Sync + 'static {
    /// Sends a request and waits for its one answer. Requests are sent in the order in which the futures are
    /// first polled; a future that is dropped before its turn sends nothing.
    fn call(&self, request: Outgoing) -> Answer<'_, Bytes>;

    /// As [`Channel::call`], but blocks the calling thread. Not for use in asynchronous code.
    ///
    /// # Errors
    /// As [`Channel::call`].
    fn call_blocking(&self, request: Outgoing) -> Result<Bytes, ChannelError>;

    /// Sends a request that has no answer, if it can be sent at once.
    ///
    /// # Errors
    /// [`ChannelError::TryAgain`]: not sent; use [`Channel::post`] to wait. Any other error: the connection
    /// cannot be used any more.
    fn try_post(&self, request: &Outgoing) -> Result<(), ChannelError>;

    /// Sends a request that has no answer; waits until it can be sent. Dropping the future before it is done
    /// sends nothing.
    fn post(&self, request: Outgoing) -> Answer<'_, ()>;

    /// As [`Channel::post`], but blocks the calling thread. Not for use in asynchronous code.
    ///
    /// # Errors
    /// The connection cannot be used any more, or the request is too long.
    fn post_blocking(&self, request: Outgoing) -> Result<(), ChannelError>;

    /// Takes the next event. Only the waker of the latest call is kept.
    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<Result<Incoming, ChannelError>>;

    /// Takes the next event if there is one.
    ///
    /// # Errors
    /// The connection has ended, so there will be no further events.
    fn try_event(&self) -> Result<Option<Incoming>, ChannelError>;

    /// A descriptor that is readable while there are events or when the connection has ended. It may be
    /// polled but must not be read.
    ///
    /// # Errors
    /// The system has no free descriptors.
    fn descriptor(&self) -> io::Result<BorrowedFd<'_>>;
}

/// Opens channels to one daemon.
pub trait Dial: Send + Sync + 'static {
    /// Opens a connection to a service.
    fn dial(&self, service: ServiceId) -> Answer<'_, Arc<dyn Channel>>;

    /// As [`Dial::dial`], but blocks the calling thread.
    ///
    /// # Errors
    /// As [`Dial::dial`].
    fn dial_blocking(&self, service: ServiceId) -> Result<Arc<dyn Channel>, ChannelError>;
}

/// A request to a service: `head`, from the 16-byte request header on, then `payload`.
///
/// `header.size == head.len() + payload.len()`.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// Request header and fixed fields.
    pub head: Bytes,
    /// The remaining bytes of the request; never copied inside the process.
    pub payload: Bytes,
}

impl From<Vec<u8>> for Outgoing {
    fn from(head: Vec<u8>) -> Self {
        Self { head: head.into(), payload: Bytes::new() }
    }
}

/// An event from a service: `head`, then `payload`.
///
/// Either `head` holds everything up to the payload (in-process), or it is empty and the whole event is
/// in `payload` (IPC). Nothing in it has been checked.
#[derive(Clone, Debug, Default)]
pub struct Incoming {
    /// Response header and fixed fields; empty over IPC.
    pub head: Bytes,
    /// The payload; over IPC the whole event.
    pub payload: Bytes,
}

/// Why something could not be asked of a daemon, or its connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// Nothing listens at the daemon's socket.
    #[error(
        "{daemon} is not running on this host (or in this network namespace): no listener at {socket} \
         ({cause}). Start it, or check the instance name"
    )]
    NoDaemon {
        /// The daemon that was expected, for example `annulusd (or corosync)` or `annulusd instance "blue"`.
        daemon: String,
        /// The name of its socket, for example `@cpg`.
        socket: String,
        /// The text of the system's error.
        cause: String,
    },
    /// The daemon refuses this process, for ever or for the moment.
    #[error("{socket} refused the connection: {status}. {hint}")]
    Refused {
        /// The name of the daemon's socket.
        socket: String,
        /// The status that the daemon answered.
        status: Status,
        /// A hint for the user: what to do about it.
        hint: &'static str,
    },
    /// The send queue is full or the ring is changing; nothing was sent.
    #[error(
        "the daemon takes no messages at the moment (its queue is full, or the ring is changing); try again"
    )]
    TryAgain,
    /// The request is longer than the daemon accepts.
    #[error("a request of {got} bytes is too long: the daemon takes {limit}")]
    TooLong {
        /// Length of the request in bytes.
        got: usize,
        /// The daemon's limit in bytes.
        limit: usize,
    },
    /// The connection has ended.
    #[error("the connection to the daemon has ended: {0}")]
    Ended(End),
    /// The asynchronous call was made outside of a tokio runtime.
    #[error("called outside of a tokio runtime with IO and time enabled; use the blocking API there")]
    NoRuntime,
    /// The system refused a resource, such as a descriptor; with the text of its error.
    #[error("no resources for the connection: {0}. Check the limits on open files and the room in /dev/shm")]
    System(String),
}

impl ChannelError {
    /// The status that a C client library would return for this error.
    ///
    /// Source: corosync `corotypes.h`.
    pub fn status(&self) -> Status {
        match self {
            Self::TryAgain => Status::TryAgain,
            Self::Refused { status, .. } => *status,
            Self::TooLong { .. } => Status::TooBig,
            Self::System(_) => Status::NoResources,
            Self::NoDaemon { .. } | Self::Ended(_) | Self::NoRuntime => Status::Library,
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum End {
    /// The daemon closed it: it stopped, crashed, or disconnected this client. The daemon's log says which.
    #[error("the daemon stopped or died, or closed the connection (its log says why)")]
    Lost,
    /// This client did not read its events, and its queue overflowed.
    #[error("this client read its events too slowly: more than {events} events or {bytes} bytes were unread")]
    Evicted {
        /// The limit of the queue in events.
        events: usize,
        /// The limit of the queue in bytes.
        bytes: usize,
    },
    /// The node in this process was stopped.
    #[error("the node was stopped")]
    Stopped,
    /// Reading from the connection failed.
    #[error("it cannot be read: {cause}")]
    Failed {
        /// The text of the error.
        cause: String,
    },
    /// The daemon sent something that violates the protocol.
    #[error("the daemon sent a malformed {what}; client and daemon do not fit together")]
    Protocol {
        /// The part that was malformed.
        what: &'static str,
    },
}

/// Growing delays between repeated attempts, for conditions whose end is not announced.
#[derive(Clone, Copy, Debug)]
pub struct BackOff;

impl BackOff {
    /// The longest delay.
    pub const LONGEST: Duration = Duration::from_millis(16);

    /// The delay after `tries` failures in a row: 1 ms, doubled with each failure, up to
    /// [`BackOff::LONGEST`].
    pub fn after(tries: u32) -> Duration {
        Duration::from_millis(1 << tries.min(4)).min(Self::LONGEST)
    }
}

/// Runs a future on this thread, which sleeps while the future waits.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_the_limit() {
        let waits: Vec<u128> = [0, 1, 4, 5, 1000].map(|tries| BackOff::after(tries).as_millis()).into();
        assert_eq!(waits, [1, 2, 16, 16, 16]);
    }

    #[test]
    fn block_on_wakes_the_blocked_thread() {
        let (tx, rx) = tokio::sync::oneshot::channel();
        let sender = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            tx.send(7)
        });
        assert_eq!(block_on(rx), Ok(7));
        sender.join().unwrap().unwrap();
    }
}
