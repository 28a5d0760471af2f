//! The driver's side of connections from code in this process.

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use super::command::{CONNECTION_LIMIT, Event, Refused, local_conn};
use super::queue::{Closed, Sink};
use crate::ids::{ConnId, ServiceId};

/// Size in bytes of the allocations that event heads share.
const HEADS: usize = 16 << 10;

/// A request to connect that waits for the first synchronisation.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) service: ServiceId,
    pub(super) events: Sink<Event>,
    pub(super) reply: oneshot::Sender<Result<ConnId, Refused>>,
}

/// All connections from code in this process.
#[derive(Debug, Default)]
pub(super) struct Locals {
    conns: HashMap<ConnId, Conn>,
    waiting: Vec<Waiting>,
    next: u64,
    /// The connection whose request is being handled, until its first reply.
    current: Option<(ConnId, Kind)>,
    /// Connections whose event queue overflowed; they will be disconnected.
    doomed: Vec<ConnId>,
    heads: BytesMut,
}

/// The kind of the request that is being handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A request with a reply.
    Call,
    /// A request without a reply.
    Post,
}

#[derive(Debug)]
struct Conn {
    events: Sink<Event>,
    service: ServiceId,
    /// The callers that wait for replies, in the order of their requests.
    calls: VecDeque<oneshot::Sender<Bytes>>,
}

impl Locals {
    /// Queues a request to connect, or refuses it at the limit.
    pub(super) fn wait(&mut self, waiting: Waiting) {
        if self.conns.len() + self.waiting.len() >= CONNECTION_LIMIT {
            // The receiver may be gone.
            let _ = waiting.reply.send(Err(Refused::TooManyConnections));
        } else {
            self.waiting.push(waiting);
        }
    }

    /// Takes all requests to connect.
    pub(super) fn take_waiting(&mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.waiting)
    }

    /// Makes a connection. Events may be sent to it from now on.
    pub(super) fn open(&mut self, events: Sink<Event>, service: ServiceId) -> ConnId {
        self.next += 1;
        let conn = local_conn(self.next);
        self.conns.insert(conn, Conn { events, service, calls: VecDeque::new() });
        conn
    }

    /// Whether the connection exists.
    pub(super) fn has(&self, conn: ConnId) -> bool {
        self.conns.contains_key(&conn)
    }

    /// All connections, each with its service.
    pub(super) fn all(&self) -> impl Iterator<Item = (ConnId, ServiceId)> {
        self.conns.iter().map(|(id, conn)| (*id, conn.service))
    }

    /// Number of connections.
    pub(super) fn len(&self) -> usize {
        self.conns.len()
    }

    /// Marks the begin of handling a request of `conn`; `reply` gets its reply.
    pub(super) fn begin(&mut self, conn: ConnId, reply: Option<oneshot::Sender<Bytes>>) {
        let kind = if reply.is_some() { Kind::Call } else { Kind::Post };
        if let (Some(reply), Some(found)) = (reply, self.conns.get_mut(&conn)) {
            found.calls.push_back(reply);
        }
        self.current = Some((conn, kind));
    }

    /// Marks the end of handling a request.
    pub(super) fn end(&mut self) {
        self.current = None;
    }

    /// Passes on a reply of a service. It belongs to the request being handled if it is the first to that connection;
    /// otherwise to the earliest request that still waits.
    pub(super) fn reply(&mut self, conn: ConnId, bytes: &[u8]) {
        let current = self.current.take_if(|(current, _)| *current == conn).map(|(_, kind)| kind);
        let Some(found) = self.conns.get_mut(&conn) else { return };
        let call = match current {
            Some(Kind::Post) => return,
            Some(Kind::Call) => found.calls.pop_back(),
            None => found.calls.pop_front(),
        };
        if let Some(call) = call {
            // The receiver may be gone.
            let _ = call.send(Bytes::copy_from_slice(bytes));
        }
    }

    /// Passes on an event of a service. A connection whose queue overflows is marked for disconnection.
    pub(super) fn event(&mut self, conn: ConnId, head: &[u8], payload: &Bytes) {
        let Some(found) = self.conns.get_mut(&conn) else { return };
        if self.heads.capacity() < head.len() {
            self.heads.reserve(HEADS.max(head.len()));
        }
        self.heads.extend_from_slice(head);
        let head = self.heads.split().freeze();
        let bytes = head.len() + payload.len();
        if let Err(Closed::Overflow { items, bytes }) =
            found.events.push(Event { head, payload: payload.clone() }, bytes)
            && !self.doomed.contains(&conn)
        {
            tracing::warn!(
                conn = conn.0 & 0xffff_ffff,
                items,
                bytes,
                "disconnecting a client in this process: it does not read its events"
            );
            self.doomed.push(conn);
        }
    }

    /// Takes the connections to disconnect because they do not read.
    pub(super) fn take_doomed(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.doomed)
    }

    /// Connections whose other end is gone. If the request queues are empty, these were never received by the code
    /// that asked for them.
    pub(super) fn deserted(&self) -> Vec<ConnId> {
        self.conns.iter().filter(|(_, conn)| !conn.events.has_listener()).map(|(id, _)| *id).collect()
    }

    /// Removes a connection; its event queue ends with `reason`.
    pub(super) fn close(&mut self, conn: ConnId, reason: Closed) {
        if let Some(found) = self.conns.remove(&conn) {
            found.events.close(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::{Limit, bounded};
    use super::*;

    #[test]
    fn replies_go_to_calls_and_not_to_posts() {
        let mut locals = Locals::default();
        let (events, _source) = bounded(Limit { items: 1, bytes: 1000 });
        let conn = locals.open(events, ServiceId::CPG);
        let (first, mut first_answer) = oneshot::channel();
        let (second, mut second_answer) = oneshot::channel();
        locals.begin(conn, Some(first)); // answered later
        locals.end();
        locals.begin(conn, None);
        locals.reply(conn, b"to a post");
        locals.end();
        locals.begin(conn, Some(second));
        locals.reply(conn, b"two");
        assert!(first_answer.try_recv().is_err(), "its answer comes later");
        locals.end();
        locals.reply(conn, b"one");
        locals.reply(conn, b"nobody asked");
        assert_eq!(first_answer.try_recv().unwrap(), "one");
        assert_eq!(second_answer.try_recv().unwrap(), "two");
    }

    #[test]
    fn a_connection_is_doomed_by_a_full_event_queue_but_not_by_a_dropped_one() {
        let mut locals = Locals::default();
        let (events, source) = bounded(Limit { items: 1, bytes: 1000 });
        let conn = locals.open(events, ServiceId::CPG);
        let payload = Bytes::from_static(b"payload");
        for _ in 0..3 {
            locals.event(conn, b"head", &payload);
        }
        assert_eq!(locals.take_doomed(), [conn]);
        let event = source.try_next().unwrap().unwrap();
        assert_eq!((&event.head[..], &event.payload[..]), (&b"head"[..], &b"payload"[..]));

        let (events, source) = bounded(Limit { items: 1, bytes: 1000 });
        let other = locals.open(events, ServiceId::CPG);
        drop(source);
        locals.event(other, b"head", &payload);
        assert!(locals.take_doomed().is_empty());
        assert_eq!(locals.deserted(), [other]);
        locals.close(other, Closed::Evicted);
        assert!(!locals.has(other));
    }

    #[test]
    fn too_many_connections_are_refused() {
        let mut locals = Locals::default();
        let mut answers = Vec::new();
        for _ in 0..=CONNECTION_LIMIT {
            let (reply, answer) = oneshot::channel();
            let (events, _) = bounded(Limit { items: 1, bytes: 1 });
            locals.wait(Waiting { service: ServiceId::CPG, events, reply });
            answers.push(answer);
        }
        assert_eq!(answers.pop().unwrap().try_recv().unwrap(), Err(Refused::TooManyConnections));
        assert!(answers.pop().unwrap().try_recv().is_err(), "waits");
    }
}
