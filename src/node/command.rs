//! What code in this process may ask of the driver, and connections to its services without IPC.
//!
//! A [`Handle`] reaches the driver; [`Handle::connect`] gives a [`Local`], the twin of an IPC
//! connection: the same request and event bytes, but payloads travel beside the head, uncopied.
//! Three queues lead to the driver. Control commands are always read, and so are requests to services that
//! do without the ring, or keep what waits for it themselves. Requests to process groups are read only
//! while the ring can take one of any size, so that none is dropped; until then posting waits, or is
//! refused by [`Local::try_post`].

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, TryAcquireError, mpsc, oneshot};

use crate::config::Config;
use crate::config::key::Key;
use crate::config::system::Access;
use crate::config::timeouts::Timeouts;
use crate::error::Status as ServiceStatus;
use crate::ids::{ConnId, NodeId, RingId, ServiceId};
use crate::ipc;
use crate::totem::{self, StateName};
use crate::transport;
use crate::view::View;

use super::queue::{Limit, Sink, Source};

/// Control commands that may wait; then senders wait.
pub const CONTROL_LIMIT: usize = 64;
/// Connections that code in this process may have at once.
pub const CONNECTION_LIMIT: usize = 256;
/// Requests that may wait, over all connections to process groups, and again over all others; then posting
/// waits.
pub const REQUEST_LIMIT: usize = 1024;
/// Bytes of requests that may wait, likewise; then posting waits.
pub const REQUEST_BYTES: usize = 8 << 20;
/// Largest request, head and payload together, as over IPC.
pub const REQUEST_MAX: usize = 1 << 20;
/// What may wait for one connection to read it; then it is closed as too slow.
pub const EVENT_LIMIT: Limit = Limit { items: 1 << 16, bytes: 160 << 20 };
/// Views that may wait for one listener; then it is closed as too slow.
pub const VIEW_LIMIT: Limit = Limit { items: 1024, bytes: 16 << 20 };

/// Set in the id of every connection from inside the process, and in no other.
const LOCAL_BIT: u64 = 1 << 63;

/// The id of the `n`-th connection from inside the process.
pub(crate) const fn local_conn(n: u64) -> ConnId {
    ConnId(LOCAL_BIT | n)
}

/// Whether `conn` is a connection from inside the process.
pub const fn is_local(conn: ConnId) -> bool {
    conn.0 & LOCAL_BIT != 0
}

/// Something that a service sends to a client: `head` and then `payload` are one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// From the response header on; its size covers the payload too.
    pub head: Bytes,
    /// The rest.
    pub payload: Bytes,
}

/// What a node says of itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// This node.
    pub me: NodeId,
    /// The ring installed last.
    pub ring: RingId,
    /// Its members, ascending; empty before the first ring.
    pub members: Vec<NodeId>,
    /// Phase of the ring protocol.
    pub state: StateName,
    /// Whether the services of the ring have synchronised, so that requests are served.
    pub synced: bool,
    /// Clients over IPC, those included that are being closed.
    pub clients: usize,
    /// Connections from inside the process.
    pub local_clients: usize,
    /// Counters of the ring.
    pub totem: totem::Stats,
    /// Counters of the network.
    pub transport: transport::Stats,
    /// Counters of the IPC server; all zero in a node without one.
    pub ipc: ipc::Stats,
}

/// To the driver; read at once, whatever the ring does.
#[derive(Debug)]
pub enum Command {
    /// Connect to a service. Answered once the first synchronisation is complete.
    Connect {
        /// Which.
        service: ServiceId,
        /// Where its events go.
        events: Sink<Event>,
        /// The connection's id.
        reply: oneshot::Sender<Result<ConnId, Refused>>,
    },
    /// Say when the first synchronisation is complete, or at once if it is.
    Ready {
        /// Where to.
        reply: oneshot::Sender<()>,
    },
    /// Report every configuration change from now on, beginning with the ring as it is.
    Views {
        /// Where to.
        sink: Sink<View>,
    },
    /// Say how the node is.
    Status {
        /// Where to.
        reply: oneshot::Sender<Status>,
    },
    /// Let these users and groups, besides root, connect over IPC from now on.
    Access {
        /// These.
        access: Box<Access>,
    },
    /// Leave the ring and end.
    Leave {
        /// Told when the leave message is out.
        reply: oneshot::Sender<()>,
    },
    /// Use other timers and limits from now on.
    Reconfigure {
        /// These.
        timeouts: Box<Timeouts>,
    },
    /// The configuration was read again, as was wanted.
    Reloaded {
        /// The new one, or why there is none.
        outcome: Result<Box<Config>, String>,
    },
    /// This key was stored, as was wanted.
    KeyStored {
        /// Which.
        key: Key,
        /// How it went.
        outcome: Result<(), String>,
    },
    /// The key file was replaced, as was wanted.
    KeyKept {
        /// How it went.
        outcome: Result<(), String>,
    },
    /// The log files were opened again, as was wanted.
    LogsReopened {
        /// How it went.
        status: ServiceStatus,
    },
    /// Fault injection: drop everything to and from exactly these nodes (an empty list heals).
    Cut {
        /// These.
        peers: Vec<NodeId>,
        /// Told when it is so.
        reply: oneshot::Sender<Result<(), Refused>>,
    },
}

/// To the driver, on behalf of one connection.
#[derive(Debug)]
pub enum Ask {
    /// A request to the connection's service.
    Request {
        /// Whose.
        conn: ConnId,
        /// From the request header on, at least 16 bytes; the header's size covers the payload too.
        head: Bytes,
        /// The rest.
        payload: Bytes,
        /// Where the answer goes; `None` for a request that has none (a CPG multicast).
        reply: Option<oneshot::Sender<Bytes>>,
    },
    /// Disconnect, after everything that was asked before.
    Close {
        /// Whom.
        conn: ConnId,
    },
}

/// Why the driver did not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The node has left the ring, or was dropped.
    #[error("the node has stopped")]
    Stopped,
    /// Another node ended this one; [`Handle::end`] tells why.
    #[error("the node was ended by node {0}")]
    Killed(NodeId),
    /// Requests wait to their limit because the ring is busy or forming. Wait, or try again later.
    #[error("the node's request queue is full; try again")]
    Full,
    /// Longer than [`REQUEST_MAX`].
    #[error("a request of {0} bytes is longer than the limit of {REQUEST_MAX}")]
    TooLong(usize),
    /// Shorter than a request header.
    #[error("a request of {0} bytes is shorter than its header")]
    TooShort(usize),
    /// [`CONNECTION_LIMIT`] connections exist.
    #[error("{CONNECTION_LIMIT} connections are open, which is the limit")]
    TooManyConnections,
    /// The node has no such service.
    #[error("the node has no service {}", .0.0)]
    NoService(ServiceId),
    /// Faults can only be injected into the transport udpu.
    #[error("traffic can be cut on the transport udpu only")]
    NotUnicast,
    /// The node closed the connection, usually because its events were not read in time.
    #[error("the connection was closed by the node")]
    Closed,
}

/// How a node ended of its own accord.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// It left the ring.
    Left,
    /// Another node ended it (`corosync-cfgtool -k`), without a word to the rest of the ring.
    Killed {
        /// Which node.
        by: NodeId,
        /// Why, in its words.
        reason: String,
    },
}

/// Reaches the driver from anywhere in the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    control: mpsc::Sender<Command>,
    /// To process groups.
    ring: Lane,
    /// To the other services.
    free: Lane,
    end: Arc<OnceLock<End>>,
}

/// A queue of requests, with room for so many bytes.
#[derive(Clone, Debug)]
struct Lane {
    requests: mpsc::Sender<Ask>,
    bytes: Arc<Semaphore>,
}

/// The driver's end of one.
#[derive(Debug)]
pub(crate) struct Requests {
    queue: mpsc::Receiver<Ask>,
    /// Room for requests; what a request took is given back when it is read.
    bytes: Arc<Semaphore>,
}

fn lane() -> (Lane, Requests) {
    // Each connection keeps one place for its Close, so that dropping one never waits.
    let (requests, queue) = mpsc::channel(REQUEST_LIMIT + CONNECTION_LIMIT);
    let bytes = Arc::new(Semaphore::new(REQUEST_BYTES));
    (Lane { requests, bytes: Arc::clone(&bytes) }, Requests { queue, bytes })
}

impl Requests {
    /// The next one.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ask>> {
        let next = self.queue.poll_recv(cx);
        if let Poll::Ready(Some(Ask::Request { head, payload, .. })) = &next {
            self.bytes.add_permits(head.len() + payload.len());
        }
        next
    }

    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.bytes.close(); // whoever waits for room learns that the node has stopped
    }
}

/// The driver's end.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// To be read at any time.
    pub(crate) control: mpsc::Receiver<Command>,
    /// To be read while a request of any size is welcome.
    pub(crate) ring: Requests,
    /// To be read at any time.
    pub(crate) free: Requests,
    /// How the node ended.
    pub(crate) end: Arc<OnceLock<End>>,
}

/// The two ends.
pub(crate) fn channel() -> (Handle, Inbox) {
    let (control, control_rx) = mpsc::channel(CONTROL_LIMIT);
    let ((ring, ring_rx), (free, free_rx)) = (lane(), lane());
    let end = Arc::new(OnceLock::new());
    let inbox = Inbox { control: control_rx, ring: ring_rx, free: free_rx, end: Arc::clone(&end) };
    (Handle { control, ring, free, end }, inbox)
}

impl Handle {
    /// Connects to a service of the node; waits until its first synchronisation is complete.
    ///
    /// # Errors
    /// The node stopped, has no such service, or has too many connections.
    pub async fn connect(&self, service: ServiceId) -> Result<Local, Refused> {
        let (sink, events) = super::queue::bounded(EVENT_LIMIT);
        let (reply, answer) = oneshot::channel();
        self.command(Command::Connect { service, events: sink, reply }).await?;
        // The driver admits no more than CONNECTION_LIMIT, so the place is there or soon will be. If this
        // future is dropped in between, the driver finds that nobody listens and disconnects.
        let conn = answer.await.map_err(|_| self.gone())??;
        let lane = self.lane(service).requests.clone();
        let close = lane.reserve_owned().await.map_err(|_| self.gone())?;
        Ok(Local { conn, service, events, handle: self.clone(), close: Some(close) })
    }

    /// Reports configuration changes from now on, beginning with the ring as it is (as a regular view in
    /// which everybody has joined), if there is one.
    ///
    /// # Errors
    /// The node stopped.
    pub async fn views(&self) -> Result<Source<View>, Refused> {
        let (sink, source) = super::queue::bounded(VIEW_LIMIT);
        self.command(Command::Views { sink }).await?;
        Ok(source)
    }

    /// Waits until the node's first synchronisation is complete: it is on a ring, and clients may connect.
    ///
    /// # Errors
    /// The node stopped.
    pub async fn ready(&self) -> Result<(), Refused> {
        self.ask(|reply| Command::Ready { reply }).await
    }

    /// Lets these users and groups, besides root, connect over IPC from now on. Who is connected stays.
    ///
    /// # Errors
    /// The node stopped.
    pub async fn set_access(&self, access: Access) -> Result<(), Refused> {
        self.command(Command::Access { access: Box::new(access) }).await
    }

    /// How the node is.
    ///
    /// # Errors
    /// The node stopped.
    pub async fn status(&self) -> Result<Status, Refused> {
        self.ask(|reply| Command::Status { reply }).await
    }

    /// Leaves the ring; the others re-form at once instead of after a timeout. The driver then ends.
    ///
    /// # Errors
    /// The node had stopped already.
    pub async fn leave(&self) -> Result<(), Refused> {
        self.ask(|reply| Command::Leave { reply }).await
    }

    /// Uses other timers and limits from now on; a running timer ends as it was.
    ///
    /// # Errors
    /// The node stopped.
    pub async fn reconfigure(&self, timeouts: Timeouts) -> Result<(), Refused> {
        self.command(Command::Reconfigure { timeouts: Box::new(timeouts) }).await
    }

    /// Fault injection, for tests and demonstrations: from now on everything to and from exactly these
    /// nodes is dropped. An empty list heals the network.
    ///
    /// # Errors
    /// The node stopped, or its transport is not udpu.
    pub async fn cut(&self, peers: &[NodeId]) -> Result<(), Refused> {
        let peers = peers.to_vec();
        self.ask(|reply| Command::Cut { peers, reply }).await?
    }

    /// Says that the configuration was read again, as [`Errands`](super::errands::Errands) wanted, or why it
    /// cannot be used. What becomes of it depends on what the other nodes say about theirs: it comes back as
    /// another errand, or the reload is over.
    ///
    /// # Errors
    /// The node stopped.
    pub async fn reloaded(&self, outcome: Result<Box<Config>, String>) -> Result<(), Refused> {
        self.command(Command::Reloaded { outcome }).await
    }

    /// Says how storing a key went, as [`Errands`](super::errands::Errands) wanted. The other nodes are told.
    ///
    /// # Errors
    /// The node stopped.
    pub async fn key_stored(&self, key: Key, outcome: Result<(), String>) -> Result<(), Refused> {
        self.command(Command::KeyStored { key, outcome }).await
    }

    /// Says how replacing the key file went, as [`Errands`](super::errands::Errands) wanted. The other nodes are told, if
    /// they wait for it.
    ///
    /// # Errors
    /// The node stopped.
    pub async fn key_kept(&self, outcome: Result<(), String>) -> Result<(), Refused> {
        self.command(Command::KeyKept { outcome }).await
    }

    /// Says how opening the log files again went, as [`Errands`](super::errands::Errands) wanted. Whoever
    /// asked for it is answered.
    ///
    /// # Errors
    /// The node stopped.
    pub async fn logs_reopened(&self, status: ServiceStatus) -> Result<(), Refused> {
        self.command(Command::LogsReopened { status }).await
    }

    /// How the node ended, if it did so of its own accord.
    pub fn end(&self) -> Option<&End> {
        self.end.get()
    }

    /// Resolves when the driver has ended, for whatever reason.
    pub async fn stopped(&self) {
        self.control.closed().await;
    }

    /// Why the driver is not there any more.
    fn gone(&self) -> Refused {
        match self.end.get() {
            Some(End::Killed { by, .. }) => Refused::Killed(*by),
            Some(End::Left) | None => Refused::Stopped,
        }
    }

    fn lane(&self, service: ServiceId) -> &Lane {
        if service == ServiceId::CPG { &self.ring } else { &self.free }
    }

    async fn command(&self, command: Command) -> Result<(), Refused> {
        self.control.send(command).await.map_err(|_| self.gone())
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        self.command(command(reply)).await?;
        answer.await.map_err(|_| self.gone())
    }
}

/// A connection to one service of the node in this process. Dropping it disconnects, after what was
/// asked before.
#[derive(Debug)]
pub struct Local {
    conn: ConnId,
    service: ServiceId,
    events: Source<Event>,
    handle: Handle,
    /// The place in the queue for [`Ask::Close`].
    close: Option<mpsc::OwnedPermit<Ask>>,
}

impl Local {
    /// Its id.
    pub const fn conn(&self) -> ConnId {
        self.conn
    }

    /// The service at the other end.
    pub const fn service(&self) -> ServiceId {
        self.service
    }

    /// What the service sends without being asked. Must be read: see [`EVENT_LIMIT`].
    pub const fn events(&self) -> &Source<Event> {
        &self.events
    }

    /// Asks and waits for the answer (the bytes from the response header on). Dropping the future does
    /// not take the request back.
    ///
    /// # Errors
    /// The request has an impossible length, the node stopped, or it closed the connection.
    pub async fn call(&self, head: Bytes, payload: Bytes) -> Result<Bytes, Refused> {
        let (reply, answer) = oneshot::channel();
        self.send(head, payload, Some(reply)).await?;
        answer.await.map_err(|_| Refused::Closed)
    }

    /// Posts a request that has no answer; waits while the queue is full. Dropping the future before it
    /// is done posts nothing.
    ///
    /// # Errors
    /// The request has an impossible length, or the node stopped.
    pub async fn post(&self, head: Bytes, payload: Bytes) -> Result<(), Refused> {
        self.send(head, payload, None).await
    }

    /// Posts a request that has no answer, if there is room now.
    ///
    /// # Errors
    /// [`Refused::Full`]; or the request has an impossible length, or the node stopped.
    pub fn try_post(&self, head: Bytes, payload: Bytes) -> Result<(), Refused> {
        let permit = self.lane().bytes.try_acquire_many(weight(&head, &payload)?).map_err(|e| match e {
            TryAcquireError::NoPermits => Refused::Full,
            TryAcquireError::Closed => self.handle.gone(),
        })?;
        self.lane().requests.try_send(Ask::Request { conn: self.conn, head, payload, reply: None }).map_err(
            |e| match e {
                TrySendError::Full(_) => Refused::Full,
                TrySendError::Closed(_) => self.handle.gone(),
            },
        )?;
        permit.forget();
        Ok(())
    }

    /// Waits until there is room for a request of `bytes`, without taking it: [`Local::try_post`] is then
    /// worth a try.
    ///
    /// # Errors
    /// The node stopped.
    pub async fn room(&self, bytes: usize) -> Result<(), Refused> {
        let bytes = u32::try_from(bytes.min(REQUEST_MAX)).unwrap_or(u32::MAX);
        let room = self.lane().bytes.acquire_many(bytes).await.map_err(|_| self.handle.gone())?;
        let place = self.lane().requests.reserve().await.map_err(|_| self.handle.gone())?;
        drop((place, room));
        Ok(())
    }

    fn lane(&self) -> &Lane {
        self.handle.lane(self.service)
    }

    async fn send(
        &self,
        head: Bytes,
        payload: Bytes,
        reply: Option<oneshot::Sender<Bytes>>,
    ) -> Result<(), Refused> {
        let weight = weight(&head, &payload)?;
        let permit = self.lane().bytes.acquire_many(weight).await.map_err(|_| self.handle.gone())?;
        let ask = Ask::Request { conn: self.conn, head, payload, reply };
        self.lane().requests.send(ask).await.map_err(|_| self.handle.gone())?;
        permit.forget(); // the driver gives it back when it takes the request
        Ok(())
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Some(place) = self.close.take() {
            place.send(Ask::Close { conn: self.conn });
        }
    }
}

/// What a request takes of [`REQUEST_BYTES`].
fn weight(head: &Bytes, payload: &Bytes) -> Result<u32, Refused> {
    let total = head.len().saturating_add(payload.len());
    if head.len() < 16 {
        return Err(Refused::TooShort(head.len()));
    }
    match u32::try_from(total) {
        Ok(weight) if total <= REQUEST_MAX => Ok(weight),
        _ => Err(Refused::TooLong(total)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Bytes {
        Bytes::from_static(&[0; 16])
    }

    /// A connection as the driver would have made it.
    fn connected(handle: &Handle) -> Local {
        connected_to(handle, ServiceId::CPG)
    }

    fn connected_to(handle: &Handle, service: ServiceId) -> Local {
        let (_sink, events) = super::super::queue::bounded(EVENT_LIMIT);
        let close = handle.lane(service).requests.clone().try_reserve_owned().unwrap();
        Local { conn: local_conn(1), service, events, handle: handle.clone(), close: Some(close) }
    }

    #[test]
    fn impossible_lengths_are_refused() {
        let (handle, _inbox) = channel();
        let local = connected(&handle);
        let huge = Bytes::from(vec![0; REQUEST_MAX]);
        assert_eq!(local.try_post(head(), huge), Err(Refused::TooLong(REQUEST_MAX + 16)));
        assert_eq!(local.try_post(Bytes::from_static(b"short"), Bytes::new()), Err(Refused::TooShort(5)));
    }

    /// Eight requests of 1 MiB fill the byte budget; reading one makes room for one.
    #[test]
    fn bytes_are_limited_and_come_back() {
        let (handle, mut inbox) = channel();
        let local = connected(&handle);
        let payload = Bytes::from(vec![0; REQUEST_MAX - 16]);
        for _ in 0..REQUEST_BYTES / REQUEST_MAX {
            local.try_post(head(), payload.clone()).unwrap();
        }
        assert_eq!(local.try_post(head(), payload.clone()), Err(Refused::Full));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(matches!(inbox.ring.poll_next(&mut cx), Poll::Ready(Some(Ask::Request { .. }))));
        local.try_post(head(), payload).unwrap();
    }

    #[tokio::test]
    async fn posting_waits_for_room_and_dropping_closes_behind_it() {
        let (handle, mut inbox) = channel();
        let local = connected(&handle);
        let mut posted = 0;
        while local.try_post(head(), Bytes::new()).is_ok() {
            posted += 1;
        }
        assert_eq!(posted, REQUEST_LIMIT + CONNECTION_LIMIT - 1, "one place is kept for the Close");
        let waiting = tokio::spawn(async move { local.post(head(), Bytes::from_static(b"last")).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let mut last = Bytes::new();
        loop {
            match std::future::poll_fn(|cx| inbox.ring.poll_next(cx)).await.unwrap() {
                Ask::Request { payload, .. } => last = payload,
                Ask::Close { conn } => {
                    assert!(is_local(conn));
                    break;
                }
            }
        }
        assert_eq!(last, "last");
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_stopped_driver_is_told_apart() {
        let (handle, inbox) = channel();
        let local = connected(&handle);
        drop(inbox);
        assert_eq!(local.try_post(head(), Bytes::new()), Err(Refused::Stopped));
        assert_eq!(local.call(head(), Bytes::new()).await, Err(Refused::Stopped));
        assert_eq!(handle.status().await.unwrap_err(), Refused::Stopped);
        handle.stopped().await;
        assert_eq!(handle.end(), None);
    }

    #[tokio::test]
    async fn a_killed_node_says_so() {
        let (handle, inbox) = channel();
        let local = connected(&handle);
        let by = NodeId::new(3).unwrap();
        let end = End::Killed { by, reason: "because".to_owned() };
        inbox.end.set(end.clone()).unwrap();
        drop(inbox);
        assert_eq!(local.try_post(head(), Bytes::new()), Err(Refused::Killed(by)));
        assert_eq!(local.call(head(), Bytes::new()).await, Err(Refused::Killed(by)));
        assert_eq!(handle.leave().await, Err(Refused::Killed(by)));
        assert_eq!(handle.end(), Some(&end));
    }

    /// What waits for the ring does not keep the other services' requests waiting.
    #[test]
    fn services_that_do_without_the_ring_have_a_queue_of_their_own() {
        let (handle, mut inbox) = channel();
        let group = connected(&handle);
        while group.try_post(head(), Bytes::new()).is_ok() {}
        let quorum = connected_to(&handle, ServiceId::QUORUM);
        quorum.try_post(head(), Bytes::new()).unwrap();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(inbox.free.poll_next(&mut cx).is_ready());
        assert!(inbox.free.is_empty() && !inbox.ring.is_empty());
    }
}
