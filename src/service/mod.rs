//! The interface between services and the rest of a node. The router and the synchronisation call the code of
//! each service (its "desk") through this interface; no desk knows the ring, a socket or another desk.
//!
//! Corosync's counterpart: `exec/service.c`, `exec/sync.c`, `exec/ipc_glue.c`, `include/corosync/coroapi.h`.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the interface of a service: `Service`, `Synchronised` |
//! | `context.rs` | what lies under the desks (`Ground`), and what a desk may do (`Context`) |
//! | `output.rs`, `outbox.rs`, `order.rs` | what a node wants done outside of its core |
//! | `edge.rs` | what a desk asks the world outside and must know at once |
//! | `database.rs` | the keys and values of the configuration database; every change is recorded |
//! | `notice.rs` | what desks of the same node tell each other |
//! | `traffic.rs`, `ring_statistics.rs` | counters of exec messages; the ring's counters under their names |
//! | `router.rs` | passes exec messages and client requests to their desk, runs the synchronisation |
//! | `sync.rs` | the barrier that all nodes pass after each new ring, as a pure state machine |
//! | `patience.rs` | how long silent members are waited for at the barrier, and what follows |
//! | `wire.rs` | message headers and the messages of the synchronisation; `wire/layout.rs`: how layouts
//! are written; `wire/read.rs`: parsing of answers and events in clients |
//! | `channel.rs` | a client's connection to a service, over IPC or inside the process |
//! | `client/` | what the client libraries of the services have in common |

use std::time::Duration;

use bytes::Bytes;

use crate::ids::{ConnId, Endian, NodeId, RingId, ServiceId};
use crate::time::Instant;
use crate::view::View;

pub mod channel;
pub mod client;
mod context;
pub(crate) mod database;
mod edge;
mod notice;
mod order;
mod outbox;
mod output;
mod patience;
mod ring_statistics;
pub mod router;
mod sync;
mod traffic;
pub mod wire;

pub(crate) use context::{Context, Exclude, Full, Ground};
pub(crate) use database::Database;
pub use edge::{Edge, LinkState, Links, Statistics};
pub(crate) use notice::{Change, Notice, Quorate};
pub use order::Order;
pub use output::{Output, Recipient, Turned};
pub(crate) use ring_statistics::OWN;
pub(crate) use traffic::Traffic;

/// An exec message as it came from the ring: header included, in its sender's byte order.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// The sending node.
    pub from: NodeId,
    /// Function number within the service.
    pub function: u16,
    /// The whole message, from its 16-byte request header on. Only the presence of the header has been
    /// checked.
    pub message: Bytes,
    /// Byte order of the sender, and so of the numbers in the message.
    pub order: Endian,
}

/// A client's request: `bytes` followed by `tail`, one message in two parts.
///
/// It is a private copy that the client can no longer change. Over IPC the whole message is in `bytes`; a
/// client inside this process passes its payload in `tail`, without a copy.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// From the request header on; at least 16 bytes, and `header.size == bytes.len() + tail.len()`.
    pub bytes: &'a [u8],
    /// The rest of the message; empty over IPC.
    pub tail: &'a [u8],
}

/// Whether requests of a service's clients are read. The IPC server enforces it and shows it to clients.
///
/// Source: corosync `exec/ipc_glue.c`, `cs_ipcs_check_for_flow_control`; libqb `qb_ipcs_rate_limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flow {
    /// Requests are read and handled.
    Open,
    /// Requests are not read: a synchronisation runs or the send queue is nearly full. The client's own
    /// library then refuses a CPG multicast; other calls wait. libqb's number for this state: 2.
    Held,
}

/// The membership that a synchronisation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyncView {
    /// The new ring.
    pub ring: RingId,
    /// The members of the new ring, ascending.
    pub members: Vec<NodeId>,
    /// Those members that come from the same old ring as this node.
    pub transitional: Vec<NodeId>,
}

/// Whether a desk has multicast everything that it has to in a synchronisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Everything has been sent: go to the barrier.
    Done,
    /// Call again after the next token.
    Again,
}

/// The desk of one service: its exec messages, its clients' requests, its part in the synchronisation.
pub(crate) trait Service {
    fn id(&self) -> ServiceId;

    /// Number of its exec functions; messages with higher function numbers never reach it.
    fn functions(&self) -> u16;

    /// Number of its library requests; requests with higher ids never reach it.
    fn requests(&self) -> u16;

    /// Whether a request must wait while a synchronisation runs or the send queue is full.
    fn needs_flow_control(&self, request: u16) -> bool;

    /// Whether a request has an answer. Every request but a CPG multicast has one, also when it is refused.
    fn answers(&self, request: u16) -> bool {
        let _ = request;
        true
    }

    /// Whether everything that this service had to multicast has been sent and received back. It is false,
    /// for example, while the end of a client has not been announced yet. A clean stop waits for this, up to
    /// a limit.
    fn settled(&self) -> bool {
        true
    }

    /// This node is about to leave the ring cleanly: multicast what the other nodes must know. [`Service::settled`]
    /// is false until those messages have come back.
    fn leaving(&mut self, effects: &mut Context<'_>) {
        let _ = effects;
    }

    /// Handles an exec message; they arrive in agreed order. Messages that cannot be used are dropped and
    /// counted.
    fn deliver(&mut self, delivery: Delivery, effects: &mut Context<'_>);

    /// A client connected.
    fn connected(&mut self, conn: ConnId, effects: &mut Context<'_>);

    /// A client sent request number `function`, in `0..requests()`.
    fn request(&mut self, conn: ConnId, function: u16, request: Request<'_>, effects: &mut Context<'_>);

    /// A client has disconnected or was disconnected. Called once for each client.
    fn disconnected(&mut self, conn: ConnId, effects: &mut Context<'_>);

    /// The token has visited this node, so there may be room for messages that were refused with [`Full`].
    fn retry(&mut self, effects: &mut Context<'_>);

    /// Handles a notice of a desk, which may be this one.
    fn noticed(&mut self, notice: &Notice, effects: &mut Context<'_>) {
        let _ = (notice, effects);
    }

    /// The time at which to call [`Service::expired`], if any; it may be in the past.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The deadline has passed.
    fn expired(&mut self, effects: &mut Context<'_>) {
        let _ = effects;
    }

    /// The ring reported a configuration change.
    fn view(&mut self, view: &View, effects: &mut Context<'_>);

    /// This service's part in the synchronisation; `None` if it takes no part.
    fn sync(&mut self) -> Option<&mut dyn Synchronised>;
}

/// The part of a service that exchanges state after each regular view.
///
/// Source: corosync `exec/sync.c`.
pub(crate) trait Synchronised {
    /// A new ring was installed; the exchange begins. Nothing can be multicast yet.
    fn begin(&mut self, view: &SyncView, effects: &mut Context<'_>);

    /// Multicasts what the other nodes must know. Called after each token until it returns
    /// [`Progress::Done`].
    fn process(&mut self, effects: &mut Context<'_>) -> Progress;

    /// How long this service, on any node, may delay the synchronisation without sending anything, because it
    /// waits for something itself. A member that is silent for much longer is regarded as faulty.
    fn may_be_silent(&self) -> Duration {
        Duration::ZERO
    }

    /// All nodes have sent everything: apply it and notify the clients.
    fn activate(&mut self, effects: &mut Context<'_>);

    /// The ring changed again before the end: discard what was received.
    fn abort(&mut self);
}
