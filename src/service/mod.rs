//! What a service of the daemon is, and what it may ask for. The router and the synchronisation
//! barrier call services ("desks") through this; no desk knows the ring, a socket or another desk.
//!
//! Corosync's counterpart: `exec/service.c`, `exec/sync.c`, `exec/ipc_glue.c`, `include/corosync/coroapi.h`.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | what a service is: [`Service`], [`Synchronised`], and what it may ask for: [`Effects`] |
//! | `router.rs` | exec messages and client requests to their desk; counters; runs the synchronisation |
//! | `sync.rs` | the barrier that all nodes pass after each new ring, as a pure state machine |
//! | `wire.rs` | message headers and the messages of the synchronisation |
//! | `channel.rs` | a client's connection to a service, wherever the daemon is |

use bytes::Bytes;

use crate::error::Status;
use crate::ids::{ConnId, Endian, Guarantee, NodeId, RingId, ServiceId};
use crate::view::View;

pub mod channel;
pub mod router;
mod sync;
pub mod wire;

/// An exec message as it came from the ring: header included, in its sender's byte order.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Who sent it.
    pub from: NodeId,
    /// Function number within the service.
    pub function: u16,
    /// The whole message, from its 16-byte request header on. Nothing in it has been checked but that
    /// the header is there.
    pub message: Bytes,
    /// Byte order of the numbers in it.
    pub order: Endian,
}

/// A client's request: `bytes` and then `tail`, one message in two parts.
///
/// A private copy: the client can no longer change it. Over IPC the whole message is in `bytes`; a
/// client in this process passes its payload as `tail`, uncopied.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// From the request header on; at least 16 bytes, and `header.size == bytes.len() + tail.len()`.
    pub bytes: &'a [u8],
    /// The rest.
    pub tail: &'a [u8],
}

/// What a desk may ask for while it handles something. Effects take place in the order asked for.
pub trait Effects {
    /// This node.
    fn me(&self) -> NodeId;

    /// Multicasts an exec message, given in pieces that begin with the 16-byte request header.
    ///
    /// # Errors
    /// [`Full`]: the send queue has no room, or a synchronisation runs (in which only
    /// [`Synchronised::process`] may speak); nothing was queued. [`Service::retry`] is called when it is
    /// worth another try.
    fn multicast(&mut self, guarantee: Guarantee, pieces: &[&[u8]]) -> Result<(), Full>;

    /// Answers the request of `conn` that is being handled. Exactly one answer a request (none for a
    /// CPG multicast).
    fn reply(&mut self, conn: ConnId, reply: &[u8]);

    /// Sends an event to a client: `head`, then `payload`. Never lost: what does not fit is queued, and
    /// a client that lets its queue overflow is disconnected.
    fn event(&mut self, conn: ConnId, head: &[u8], payload: &Bytes);

    /// Takes over the zero-copy buffer file that a client made. Returns the token that names it.
    ///
    /// # Errors
    /// What to answer: the path, owner or size is not what libcpg makes, or too many are open.
    fn buffer_open(&mut self, conn: ConnId, path: &[u8], size: u64) -> Result<u64, Status>;

    /// The request that stands in a zero-copy buffer (40-byte header and payload, private copy).
    ///
    /// # Errors
    /// What to answer: an unknown token, or lengths that do not fit the buffer.
    fn buffer_read(&mut self, conn: ConnId, token: u64) -> Result<Bytes, Status>;

    /// Gives a zero-copy buffer back; an unknown token does nothing.
    fn buffer_close(&mut self, conn: ConnId, token: u64);
}

/// The send queue has no room for the message now. Try again in [`Service::retry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the send queue is full")]
pub struct Full;

/// Whether a service's clients may send requests, as the edge is to enforce and tell them.
///
/// Source: corosync `exec/ipc_glue.c`, `cs_ipcs_check_for_flow_control`; libqb `qb_ipcs_rate_limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flow {
    /// Requests are read and handled.
    Open,
    /// Requests are not read: a synchronisation runs or the send queue is nearly full. A CPG multicast
    /// is refused by the client's own library; other calls wait. libqb's number for it: 2.
    Held,
}

/// What a synchronisation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncView {
    /// The new ring.
    pub ring: RingId,
    /// Its members, ascending.
    pub members: Vec<NodeId>,
    /// Those of them that came along from the last ring.
    pub transitional: Vec<NodeId>,
}

/// Whether a desk has said all it has to say in a synchronisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Done: go to the barrier.
    Done,
    /// Call again after the next token.
    Again,
}

/// One service: its exec messages, its clients' requests, its part in the synchronisation.
pub trait Service {
    /// Which service this is.
    fn id(&self) -> ServiceId;

    /// How many exec functions it has; higher numbers never reach it.
    fn functions(&self) -> u16;

    /// How many library requests it has; other ids never reach it.
    fn requests(&self) -> u16;

    /// Whether a request must wait while a synchronisation runs or the send queue is full.
    fn needs_flow_control(&self, request: u16) -> bool;

    /// Whether a request has an answer. All but a CPG multicast have one, also when they are refused.
    fn answers(&self, request: u16) -> bool {
        let _ = request;
        true
    }

    /// Whether everything this service had to multicast has been, and came back: false while the end
    /// of a client is still to be told. A clean stop waits for it, up to a limit.
    fn settled(&self) -> bool {
        true
    }

    /// An exec message arrived, in order. Unusable ones are dropped and counted.
    fn deliver(&mut self, delivery: Delivery, effects: &mut dyn Effects);

    /// A client connected.
    fn connected(&mut self, conn: ConnId, effects: &mut dyn Effects);

    /// A client sent request number `function`, in `0..requests()`.
    fn request(&mut self, conn: ConnId, function: u16, request: Request<'_>, effects: &mut dyn Effects);

    /// A client is gone. Called once, also for one that was thrown out.
    fn disconnected(&mut self, conn: ConnId, effects: &mut dyn Effects);

    /// A token visit has passed, so there may be room for what could not be multicast before.
    fn retry(&mut self, effects: &mut dyn Effects);

    /// The ring reported a configuration change.
    fn view(&mut self, view: &View, effects: &mut dyn Effects);

    /// This service's part in the synchronisation, if it takes part.
    fn sync(&mut self) -> Option<&mut dyn Synchronised>;
}

/// The part of a service that exchanges state after each regular view.
///
/// Source: corosync `exec/sync.c`.
pub trait Synchronised {
    /// A new ring was installed; the exchange begins.
    fn begin(&mut self, view: &SyncView);

    /// Multicast what the others must know. Called after each token until it is [`Progress::Done`].
    fn process(&mut self, effects: &mut dyn Effects) -> Progress;

    /// Everybody has said everything: act on it, tell the clients.
    fn activate(&mut self, effects: &mut dyn Effects);

    /// The ring changed again before the end: forget what was received.
    fn abort(&mut self);
}
