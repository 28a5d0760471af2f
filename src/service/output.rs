//! What a node wants done outside of its core, in the order in which it wants it.

use bytes::Bytes;

use super::order::Order;
use crate::ids::{ConnId, Destination, NodeId, Piece, RingId};
use crate::view::View;

/// One thing to be done by the program around the core. They are to be carried out in their order: a client must not
/// see a message before it is on the network, and a datagram that follows a change of keys is sealed with the new ones.
/// It borrows from the node, so it is to be carried out before the next is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// Send a datagram. One that cannot be sent is counted and lost, as on any network.
    Send(Destination, Bytes),
    /// Reserve ring sequence numbers up to this one on stable storage, without blocking; when it is done, the core must
    /// be given [`Input::Stored`](crate::totem::Input::Stored).
    Store(u64),
    /// Ask the host of a node whether a process receives there; if it says no, the core is to be given
    /// [`Input::Refused`](crate::totem::Input::Refused).
    Probe(NodeId),
    /// The answer to a request.
    Reply {
        /// The client that asked.
        conn: ConnId,
        /// The whole reply.
        bytes: Bytes,
    },
    /// An event for clients. It is never dropped: what does not fit is queued, and a client whose queue overflows is
    /// disconnected.
    Event {
        /// The clients that are told, in this order.
        to: &'a [Recipient],
        /// The event without its payload.
        head: &'a [u8],
        /// The rest of the event.
        payload: Bytes,
    },
    /// A request of this client was refused before it reached its service.
    Refused(ConnId, Turned),
    /// Only the program around the node can do this.
    Order(Order),
    /// The ring has changed. What follows is the services' reaction to it.
    View(View),
    /// The services of this ring are synchronised; requests are served again.
    Synced(RingId),
}

/// A client that is told of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The connection of the client.
    pub conn: ConnId,
    /// For a message that this client itself has multicast: which part of it this is. A client that leaves much of its
    /// own messages unread is kept from multicasting more; messages of others do not count for that. The pieces of a
    /// fragmented message count only when the last one has come, because the sender cannot stop in the middle.
    pub own: Option<Piece>,
}

impl From<ConnId> for Recipient {
    fn from(conn: ConnId) -> Self {
        Self { conn, own: None }
    }
}

/// Why a request was refused before it reached its desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// Its id or size is invalid.
    Invalid,
    /// A synchronisation was running, or the send queue was full.
    Overload,
}
