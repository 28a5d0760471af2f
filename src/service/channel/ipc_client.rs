//! Channels over IPC, to annulus' own daemon or Corosync's.
//!
//! Waiting for an answer means waiting for a semaphore in shared memory, which blocks a thread; so each
//! asynchronous call uses a thread of the runtime's blocking pool. Posting messages and taking events need no
//! such thread.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex as AsyncMutex;

use super::{Answer, BackOff, Channel, ChannelError, Dial, End, Incoming, Outgoing};
use crate::error::Status;
use crate::ids::ServiceId;
use crate::ipc::{ConnectError, Connection, FlowLimit, IpcError, Rendezvous};

/// Number of messages posted between two checks of how many notifications (bytes on the socket) the daemon
/// has not read yet. With 278 unread ones the next post would block; the check refuses from about 70 on.
const LOOK_EVERY: u32 = 64;

/// An event of at least this share of the buffer is handed out together with the buffer; smaller events are
/// copied out of it.
const HAND_OUT_SHARE: usize = 2;

/// A channel over IPC.
pub struct IpcChannel {
    connection: Arc<Connection>,
    /// Calls queue for this lock and not for the connection's own one, so that a call that is dropped while
    /// it waits is never sent.
    turn: Arc<AsyncMutex<()>>,
    posted: AtomicU32,
    /// The buffer for the next event.
    buffer: Mutex<Vec<u8>>,
    /// Registration with the runtime of the first asynchronous reader.
    readiness: OnceLock<AsyncFd<Descriptor>>,
}

impl IpcChannel {
    /// Makes a channel over this connection.
    pub fn new(connection: Connection) -> Self {
        Self {
            connection: Arc::new(connection),
            turn: Arc::default(),
            posted: AtomicU32::new(0),
            buffer: Mutex::default(),
            readiness: OnceLock::new(),
        }
    }

    fn readiness(&self) -> Result<&AsyncFd<Descriptor>, ChannelError> {
        if let Some(known) = self.readiness.get() {
            return Ok(known);
        }
        // Outside of a runtime the registration would panic.
        tokio::runtime::Handle::try_current().map_err(|_| ChannelError::NoRuntime)?;
        let made = register(Arc::clone(&self.connection))
            .map_err(|error| ChannelError::System(error.to_string()))?;
        Ok(self.readiness.get_or_init(|| made))
    }

    /// Whether the daemon reads its notifications fast enough; checked once in [`LOOK_EVERY`] messages.
    fn keeps_up(&self) -> bool {
        let posted = self.posted.fetch_add(1, Ordering::Relaxed);
        if !posted.is_multiple_of(LOOK_EVERY) {
            return true;
        }
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let keeps_up = poll(&mut [PollFd::new(&*self.connection, PollFlags::OUT)], Some(&now)) == Ok(1);
        if !keeps_up {
            self.posted.store(0, Ordering::Relaxed); // check again at the next post
        }
        keeps_up
    }
}

impl Channel for IpcChannel {
    fn call(&self, request: Outgoing) -> Answer<'_, Bytes> {
        Box::pin(async move {
            let turn = Arc::clone(&self.turn).lock_owned().await;
            let connection = Arc::clone(&self.connection);
            let runtime = tokio::runtime::Handle::try_current().map_err(|_| ChannelError::NoRuntime)?;
            let answer = runtime.spawn_blocking(move || {
                let answer = connection.call(&[&request.head, &request.payload]);
                // Held until the answer has come, even if the caller no longer waits for it.
                drop(turn);
                answer
            });
            match answer.await {
                Ok(answer) => Ok(answer?.into()),
                Err(_) => Err(ChannelError::Ended(End::Stopped)), // the runtime is shutting down
            }
        })
    }

    fn call_blocking(&self, request: Outgoing) -> Result<Bytes, ChannelError> {
        Ok(self.connection.call(&[&request.head, &request.payload])?.into())
    }

    fn try_post(&self, request: &Outgoing) -> Result<(), ChannelError> {
        if !self.keeps_up() {
            return Err(ChannelError::TryAgain);
        }
        Ok(self.connection.post(&[&request.head, &request.payload], FlowLimit::Multicast)?)
    }

    fn post(&self, request: Outgoing) -> Answer<'_, ()> {
        Box::pin(async move {
            for tries in 0.. {
                match self.try_post(&request) {
                    Err(ChannelError::TryAgain) => {}
                    done => return done,
                }
                tokio::runtime::Handle::try_current().map_err(|_| ChannelError::NoRuntime)?;
                tokio::time::sleep(BackOff::after(tries)).await;
            }
            Err(ChannelError::TryAgain)
        })
    }

    fn post_blocking(&self, request: Outgoing) -> Result<(), ChannelError> {
        for tries in 0.. {
            match self.try_post(&request) {
                Err(ChannelError::TryAgain) => std::thread::sleep(BackOff::after(tries)),
                done => return done,
            }
        }
        Err(ChannelError::TryAgain)
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<Result<Incoming, ChannelError>> {
        let readiness = self.readiness()?;
        loop {
            // Tried first: readiness is reported only on arrival, and several events may have arrived at
            // once.
            if let Some(event) = self.try_event()? {
                return Poll::Ready(Ok(event));
            }
            let mut guard = ready!(readiness.poll_read_ready(cx))
                .map_err(|error| ChannelError::Ended(End::Failed { cause: error.to_string() }))?;
            if let Some(event) = self.try_event()? {
                return Poll::Ready(Ok(event));
            }
            guard.clear_ready();
        }
    }

    fn try_event(&self) -> Result<Option<Incoming>, ChannelError> {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.connection.try_event(&mut buffer)? {
            return Ok(None);
        }
        let payload = if buffer.len() >= buffer.capacity() / HAND_OUT_SHARE {
            std::mem::take(&mut *buffer).into()
        } else {
            Bytes::copy_from_slice(&buffer)
        };
        Ok(Some(Incoming { head: Bytes::new(), payload }))
    }

    fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.connection.as_fd())
    }
}

/// Registers the descriptor with the runtime, which then reports when events can be read.
#[allow(
    deprecated,
    reason = "newer tokio asks for an unsafe form because of types that do not own their descriptor; Descriptor owns it"
)]
fn register(connection: Arc<Connection>) -> io::Result<AsyncFd<Descriptor>> {
    AsyncFd::with_interest(Descriptor(connection), Interest::READABLE)
}

/// The connection's descriptor, kept open for as long as the runtime polls it.
struct Descriptor(Arc<Connection>);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Opens channels to the daemon on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpcDial {
    instance: Option<String>,
    rendezvous: Rendezvous,
    trusted: Vec<u32>,
}

impl Default for IpcDial {
    fn default() -> Self {
        Self { instance: None, rendezvous: Rendezvous::of_this_host(), trusted: Vec::new() }
    }
}

impl IpcDial {
    /// Connects to the named instance of annulusd instead of the default one; its sockets are
    /// `annulus-NAME-cpg` and so on.
    pub fn instance(name: impl Into<String>) -> Self {
        Self { instance: Some(name.into()), ..Self::default() }
    }

    /// Looks for the daemon's sockets in the given way instead of the way that this host is configured for.
    pub fn at(self, rendezvous: Rendezvous) -> Self {
        Self { rendezvous, ..self }
    }

    /// Also trusts a daemon that runs as the user `uid`. By default the daemon must run as root or as the user of
    /// this process, because any other process could have bound the name of the socket.
    pub fn trusting(mut self, uid: u32) -> Self {
        self.trusted.push(uid);
        self
    }

    /// The process id of the listener of this service, whether or not it answers; `None` if there is none, or if it
    /// is not visible from this process.
    pub fn listener(&self, service: ServiceId) -> Option<u32> {
        self.rendezvous.listener(&self.socket(service).ok()?)
    }

    fn socket(&self, service: ServiceId) -> Result<String, ChannelError> {
        let short = match service {
            ServiceId::CMAP => "cmap",
            ServiceId::CFG => "cfg",
            ServiceId::CPG => "cpg",
            ServiceId::QUORUM => "quorum",
            ServiceId::VOTEQUORUM => "votequorum",
            ServiceId(id) => {
                return Err(ChannelError::Refused {
                    socket: format!("service {id}"),
                    status: Status::NotExist,
                    hint: "It has no socket",
                });
            }
        };
        Ok(match &self.instance {
            None => short.to_owned(),
            Some(instance) => format!("annulus-{instance}-{short}"),
        })
    }

    fn open(&self, service: ServiceId) -> Result<IpcChannel, ChannelError> {
        let socket = self.socket(service)?;
        match Connection::connect_trusting(&self.rendezvous, &socket, &self.trusted) {
            Ok(connection) => Ok(IpcChannel::new(connection)),
            Err(error) => Err(self.refusal(error)),
        }
    }

    fn refusal(&self, error: ConnectError) -> ChannelError {
        let status = error.status();
        match error {
            ConnectError::Unreachable { address, source } => ChannelError::NoDaemon {
                daemon: match &self.instance {
                    None => "annulusd (or corosync)".to_owned(),
                    Some(instance) => format!("annulusd instance {instance:?}"),
                },
                socket: address,
                cause: source.to_string(),
            },
            ConnectError::Untrusted { address, listener } => ChannelError::Refused {
                socket: format!("{address} (held by {listener})"),
                status,
                hint: "Whoever listens there is neither root nor this user, and may be anybody who took the name of the \
                       daemon's socket: nothing was sent. If that user is meant to run the daemon, trust it by its id \
                       (IpcDial::trusting; for the tools, ANNULUS_TRUST_UID)",
            },
            ConnectError::Refused { address, reason } => {
                let hint = match status {
                    Status::Access => {
                        "This user or group may not use the daemon; allow it with uidgid.uid.<uid>=1 or \
                         uidgid.gid.<gid>=1"
                    }
                    Status::TryAgain => "The daemon is not ready yet: it has not joined a ring. Try again",
                    Status::NotSupported => "The daemon does not offer this service",
                    _ => "The daemon's log says why",
                };
                ChannelError::Refused { socket: format!("{address} ({reason})"), status, hint }
            }
            other => ChannelError::System(other.to_string()),
        }
    }
}

impl Dial for IpcDial {
    fn dial(&self, service: ServiceId) -> Answer<'_, Arc<dyn Channel>> {
        let dial = self.clone();
        Box::pin(async move {
            let runtime = tokio::runtime::Handle::try_current().map_err(|_| ChannelError::NoRuntime)?;
            match runtime.spawn_blocking(move || dial.open(service)).await {
                Ok(opened) => opened.map(|channel| -> Arc<dyn Channel> { Arc::new(channel) }),
                Err(_) => Err(ChannelError::Ended(End::Stopped)), // the runtime is shutting down
            }
        })
    }

    fn dial_blocking(&self, service: ServiceId) -> Result<Arc<dyn Channel>, ChannelError> {
        Ok(Arc::new(self.open(service)?))
    }
}

impl From<IpcError> for ChannelError {
    fn from(error: IpcError) -> Self {
        match error {
            IpcError::TryAgain => Self::TryAgain,
            IpcError::TooLong { bytes, limit } => Self::TooLong { got: bytes, limit },
            IpcError::Disconnected => Self::Ended(End::Lost),
            other => Self::Ended(End::Failed { cause: other.to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_daemon_the_error_says_what_to_do() {
        let dial = IpcDial::instance("no-such");
        let error = dial.dial_blocking(ServiceId::CPG).err().unwrap().to_string();
        assert!(error.contains("annulusd instance \"no-such\" is not running"), "{error}");
        assert!(error.contains("annulus-no-such-cpg"), "{error}");
    }

    #[test]
    fn services_without_a_socket_are_refused() {
        assert!(matches!(
            IpcDial::default().dial_blocking(ServiceId(4)).err().unwrap(),
            ChannelError::Refused { status: Status::NotExist, .. }
        ));
    }
}
