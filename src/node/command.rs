//! Commands from code in this process to the driver, and connections to its services without IPC.
//!
//! A [`Handle`] reaches the driver. [`Handle::connect`] gives a [`Local`], the counterpart of an IPC connection: the
//! bytes of requests and events are the same, but payloads are passed beside the head, without a copy. Three queues
//! lead to the driver. Control commands are always read, and so are requests to services that do not use the ring or
//! queue what waits for it themselves. Requests to CPG are read only while the ring can take one of any size, so that
//! none is dropped; until then posting waits, or [`Local::try_post`] refuses.

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

/// Most control commands in the queue; further senders wait.
pub const CONTROL_LIMIT: usize = 64;
/// Most connections from code in this process at a time.
pub const CONNECTION_LIMIT: usize = 256;
/// Most requests in the queue for CPG, and as many in the queue for all other services; further ones wait.
pub const REQUEST_LIMIT: usize = 1024;
/// Most bytes of requests in each of these two queues; further ones wait.
pub const REQUEST_BYTES: usize = 8 << 20;
/// Largest request in bytes, head and payload together, as over IPC.
pub const REQUEST_MAX: usize = 1 << 20;
/// Most unread events of one connection; beyond that it is closed as too slow.
pub const EVENT_LIMIT: Limit = Limit { items: 1 << 16, bytes: 160 << 20 };
/// Most unread views of one listener; beyond that it is closed as too slow.
pub const VIEW_LIMIT: Limit = Limit { items: 1024, bytes: 16 << 20 };

/// Set in the id of every connection from code in this process, and in no other.
const LOCAL_BIT: u64 = 1 << 63;

/// The id of the `n`-th connection from code in this process.
pub(crate) const fn local_conn(n: u64) -> ConnId {
    ConnId(LOCAL_BIT | n)
}

/// Whether `conn` is a connection from code in this process.
pub const fn is_local(conn: ConnId) -> bool {
    conn.0 & LOCAL_BIT != 0
}

/// An event or reply of a service to a client: `head` followed by `payload` is one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The bytes from the response header on. The size in the header covers the payload too.
    pub head: Bytes,
    /// The remaining bytes of the message.
    pub payload: Bytes,
}

/// The state of a node, for display.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The id of this node.
    pub me: NodeId,
    /// The id of the ring installed last.
    pub ring: RingId,
    /// The members of that ring, ascending; empty before the first ring.
    pub members: Vec<NodeId>,
    /// The phase of the ring protocol.
    pub state: StateName,
    /// Whether the services have synchronised on this ring, so that requests are served.
    pub synced: bool,
    /// Number of clients over IPC, including those that are being closed.
    pub clients: usize,
    /// Number of connections from code in this process.
    pub local_clients: usize,
    /// Counters of the ring.
    pub totem: totem::Stats,
    /// Counters of the network.
    pub transport: transport::Stats,
    /// Counters of the IPC server; all zero in a node without one.
    pub ipc: ipc::Stats,
}

/// A control command to the driver; read at once, whatever the state of the ring.
#[derive(Debug)]
pub enum Command {
    /// Connect to a service. Answered once the first synchronisation is complete.
    Connect {
        /// The service.
        service: ServiceId,
        /// Receives the events of the service.
        events: Sink<Event>,
        /// Gets the connection's id.
        reply: oneshot::Sender<Result<ConnId, Refused>>,
    },
    /// Answer when the first synchronisation is complete, or at once if it is.
    Ready {
        /// Gets the answer.
        reply: oneshot::Sender<()>,
    },
    /// Report every configuration change, beginning with the present ring.
    Views {
        /// Receives the views.
        sink: Sink<View>,
    },
    /// Report the state of the node.
    Status {
        /// Gets the state.
        reply: oneshot::Sender<Status>,
    },
    /// From now on, let these users and groups connect over IPC besides root.
    Access {
        /// The users and groups.
        access: Box<Access>,
    },
    /// Leave the ring and end.
    Leave {
        /// Answered when the leave message has been sent.
        reply: oneshot::Sender<()>,
    },
    /// Use other timers and limits from now on.
    Reconfigure {
        /// The new timers and limits.
        timeouts: Box<Timeouts>,
    },
    /// The configuration was read again, as ordered.
    Reloaded {
        /// The new configuration, or why there is none.
        outcome: Result<Box<Config>, String>,
    },
    /// A new key was stored beside the one in use, as ordered.
    KeyStored {
        /// The key.
        key: Key,
        /// Success, or why it was not stored.
        outcome: Result<(), String>,
    },
    /// The key file was replaced, as ordered.
    KeyKept {
        /// Success, or why it was not replaced.
        outcome: Result<(), String>,
    },
    /// The log files were opened again, as ordered.
    LogsReopened {
        /// The result, for the client that asked.
        status: ServiceStatus,
    },
    /// Fault injection: drop all datagrams to and from exactly these nodes. An empty list ends it.
    Cut {
        /// The nodes.
        peers: Vec<NodeId>,
        /// Answered when it is in effect.
        reply: oneshot::Sender<Result<(), Refused>>,
    },
}

/// A message to the driver from one connection.
#[derive(Debug)]
pub enum Ask {
    /// A request to the connection's service.
    Request {
        /// The connection.
        conn: ConnId,
        /// The bytes from the request header on, at least 16. The size in the header covers the payload too.
        head: Bytes,
        /// The remaining bytes of the request.
        payload: Bytes,
        /// Gets the reply; `None` for a request without one (a CPG multicast).
        reply: Option<oneshot::Sender<Bytes>>,
    },
    /// Disconnect, after all earlier requests.
    Close {
        /// The connection.
        conn: ConnId,
    },
}

/// Why the driver did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The node has left the ring, or was dropped.
    #[error("the node has stopped")]
    Stopped,
    /// Another node ended this one; [`Handle::end`] gives the reason.
    #[error("the node was ended by node {0}")]
    Killed(NodeId),
    /// The queue is full because the ring is busy or forming. Wait, or try again later.
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

/// How a node ended, unless it failed or was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// It left the ring.
    Left,
    /// Another node ended it (`corosync-cfgtool -k`). It did not tell the ring that it leaves.
    Killed {
        /// The node that sent the order.
        by: NodeId,
        /// The reason given with the order.
        reason: String,
    },
}

/// Sends commands and requests to the driver from anywhere in the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    control: mpsc::Sender<Command>,
    /// Requests to CPG.
    ring: Lane,
    /// Requests to the other services.
    free: Lane,
    end: Arc<OnceLock<End>>,
}

/// The sending end of a request queue, limited in requests and bytes.
#[derive(Clone, Debug)]
struct Lane {
    requests: mpsc::Sender<Ask>,
    bytes: Arc<Semaphore>,
}

/// The driver's end of a request queue.
#[derive(Debug)]
pub(crate) struct Requests {
    queue: mpsc::Receiver<Ask>,
    /// The bytes left; those of a request are given back when the driver takes it.
    bytes: Arc<Semaphore>,
}

fn lane() -> (Lane, Requests) {
    // Each connection reserves one place for its Close, so that dropping it never waits.
    let (requests, queue) = mpsc::channel(REQUEST_LIMIT + CONNECTION_LIMIT);
    let bytes = Arc::new(Semaphore::new(REQUEST_BYTES));
    (Lane { requests, bytes: Arc::clone(&bytes) }, Requests { queue, bytes })
}

impl Requests {
    /// Takes the next message.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ask>> {
        let next = self.queue.poll_recv(cx);
        if let Poll::Ready(Some(Ask::Request { head, payload, .. })) = &next {
            self.bytes.add_permits(head.len() + payload.len());
        }
        next
    }

    /// Whether no message waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.bytes.close(); // wakes senders that wait, with the error that the node has stopped
    }
}

/// The driver's end of all queues.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// May be read at any time.
    pub(crate) control: mpsc::Receiver<Command>,
    /// Read only while the ring can take a request of any size.
    pub(crate) ring: Requests,
    /// May be read at any time.
    pub(crate) free: Requests,
    /// Set by the driver to tell how the node ended.
    pub(crate) end: Arc<OnceLock<End>>,
}

/// Makes the two ends.
pub(crate) fn channel() -> (Handle, Inbox) {
    let (control, control_rx) = mpsc::channel(CONTROL_LIMIT);
    let ((ring, ring_rx), (free, free_rx)) = (lane(), lane());
    let end = Arc::new(OnceLock::new());
    let inbox = Inbox { control: control_rx, ring: ring_rx, free: free_rx, end: Arc::clone(&end) };
    (Handle { control, ring, free, end }, inbox)
}

impl Handle {
    /// Connects to a service of the node, after its first synchronisation.
    ///
    /// # Errors
    /// The node stopped, has no such service, or has too many connections.
    pub async fn connect(&self, service: ServiceId) -> Result<Local, Refused> {
        let (sink, events) = super::queue::bounded(EVENT_LIMIT);
        let (reply, answer) = oneshot::channel();
        self.command(Command::Connect { service, events: sink, reply }).await?;
        // The driver admits at most CONNECTION_LIMIT connections, so a place is free or soon will be. If this future
        // is dropped in between, the driver notices that nobody listens and disconnects.
        let conn = answer.await.map_err(|_| self.gone())??;
        let lane = self.lane(service).requests.clone();
        let close = lane.reserve_owned().await.map_err(|_| self.gone())?;
        Ok(Local { conn, service, events, handle: self.clone(), close: Some(close) })
    }

    /// Reports configuration changes from now on. If there is a ring, the first report is a regular view of it in
    /// which every member has joined.
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

    /// From now on, lets these users and groups connect over IPC besides root. Existing connections stay.
    ///
    /// # Errors
    /// The node stopped.
    pub async fn set_access(&self, access: Access) -> Result<(), Refused> {
        self.command(Command::Access { access: Box::new(access) }).await
    }

    /// Returns the state of the node.
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

    /// Uses other timers and limits from now on. Timers that run already are not changed.
    ///
    /// # Errors
    /// The node stopped.
    pub async fn reconfigure(&self, timeouts: Timeouts) -> Result<(), Refused> {
        self.command(Command::Reconfigure { timeouts: Box::new(timeouts) }).await
    }

    /// Fault injection, for tests and demonstrations: from now on all datagrams to and from exactly these nodes are
    /// dropped. An empty list ends it.
    ///
    /// # Errors
    /// The node stopped, or its transport is not udpu.
    pub async fn cut(&self, peers: &[NodeId]) -> Result<(), Refused> {
        let peers = peers.to_vec();
        self.ask(|reply| Command::Cut { peers, reply }).await?
    }

    /// Reports that the configuration was read again, as [`Errands`](super::errands::Errands) asked, or why it cannot
    /// be used. The other nodes' reports decide what follows: another errand to adopt it, or the end of the reload.
    ///
    /// # Errors
    /// The node stopped.
    pub async fn reloaded(&self, outcome: Result<Box<Config>, String>) -> Result<(), Refused> {
        self.command(Command::Reloaded { outcome }).await
    }

    /// Reports the result of storing a key, as [`Errands`](super::errands::Errands) asked. The other nodes are told.
    ///
    /// # Errors
    /// The node stopped.
    pub async fn key_stored(&self, key: Key, outcome: Result<(), String>) -> Result<(), Refused> {
        self.command(Command::KeyStored { key, outcome }).await
    }

    /// Reports the result of replacing the key file, as [`Errands`](super::errands::Errands) asked. The other nodes
    /// are told if they wait for it.
    ///
    /// # Errors
    /// The node stopped.
    pub async fn key_kept(&self, outcome: Result<(), String>) -> Result<(), Refused> {
        self.command(Command::KeyKept { outcome }).await
    }

    /// Reports the result of opening the log files again, as [`Errands`](super::errands::Errands) asked. The client
    /// that asked for it gets its reply.
    ///
    /// # Errors
    /// The node stopped.
    pub async fn logs_reopened(&self, status: ServiceStatus) -> Result<(), Refused> {
        self.command(Command::LogsReopened { status }).await
    }

    /// How the node ended; `None` if it runs, failed or was dropped.
    pub fn end(&self) -> Option<&End> {
        self.end.get()
    }

    /// Resolves when the driver has ended, for whatever reason.
    pub async fn stopped(&self) {
        self.control.closed().await;
    }

    /// The error for a driver that has ended.
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

/// A connection to one service of the node in this process. Dropping it disconnects, after its earlier requests.
#[derive(Debug)]
pub struct Local {
    conn: ConnId,
    service: ServiceId,
    events: Source<Event>,
    handle: Handle,
    /// The reserved place in the queue for [`Ask::Close`].
    close: Option<mpsc::OwnedPermit<Ask>>,
}

impl Local {
    /// The connection's id.
    pub const fn conn(&self) -> ConnId {
        self.conn
    }

    /// The service at the other end.
    pub const fn service(&self) -> ServiceId {
        self.service
    }

    /// The events of the service. They must be read in time: see [`EVENT_LIMIT`].
    pub const fn events(&self) -> &Source<Event> {
        &self.events
    }

    /// Sends a request and waits for the reply (the bytes from the response header on). Dropping the future does not
    /// withdraw the request.
    ///
    /// # Errors
    /// The request has an impossible length, the node stopped, or it closed the connection.
    pub async fn call(&self, head: Bytes, payload: Bytes) -> Result<Bytes, Refused> {
        let (reply, answer) = oneshot::channel();
        self.send(head, payload, Some(reply)).await?;
        answer.await.map_err(|_| Refused::Closed)
    }

    /// Posts a request that has no reply; waits while the queue is full. Dropping the future before it is done posts
    /// nothing.
    ///
    /// # Errors
    /// The request has an impossible length, or the node stopped.
    pub async fn post(&self, head: Bytes, payload: Bytes) -> Result<(), Refused> {
        self.send(head, payload, None).await
    }

    /// Posts a request that has no reply, if the queue has room now.
    ///
    /// # Errors
    /// [`Refused::Full`]: the queue is full. Also: the request has an impossible length, or the node stopped.
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

    /// Waits until the queue has room for a request of `bytes`, without taking it, so that [`Local::try_post`] is
    /// likely to succeed.
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
        permit.forget(); // the driver returns it when it takes the request
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

/// The bytes of a request that count towards [`REQUEST_BYTES`].
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

    /// A connection as the driver makes it.
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

    /// Eight requests of 1 MiB fill the byte limit; taking one makes room for one.
    #[test]
    fn requests_are_limited_in_bytes_until_they_are_taken() {
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
    async fn posting_waits_for_room_and_dropping_closes_after_it() {
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
    async fn a_stopped_driver_is_reported_as_stopped() {
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
    async fn a_killed_node_reports_its_end() {
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

    /// Requests to CPG that wait for the ring do not hold up those to other services.
    #[test]
    fn services_without_the_ring_have_their_own_queue() {
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
