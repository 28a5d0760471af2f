//! What goes into the protocol and what comes out.

use bytes::Bytes;

use crate::config::timeouts::Timeouts;
use crate::ids::{Destination, Endian, NodeId, Seq};
use crate::view::View;

use super::outbox::Outbox;

/// What a ring is made from.
#[derive(Clone, Debug)]
pub struct Params {
    /// This node.
    pub me: NodeId,
    /// Timers and limits.
    pub timeouts: Timeouts,
    /// `totem.netmtu`, bytes; a data frame carries at most 90 less than this. Default 1500.
    pub netmtu: usize,
    /// Ring sequence number to start with: above all that this node ever used.
    pub ring_seq: u64,
    /// Ring sequence numbers up to this one are reserved on stable storage: a restart begins above it.
    pub stored: u64,
    /// Another number in each life of this node: a random one. What this node draws comes from it, ring sequence
    /// numbers among it that it has to use without having reserved them; so no two lives use the same, also if they
    /// begin with the same `ring_seq`, as when a file is restored or lost.
    pub life: u64,
    /// Where message numbers of a new ring begin: 0, which the wire takes for granted. Simulations begin
    /// shortly before the roll-over.
    pub origin: Seq,
}

/// Something happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A datagram came, whole.
    Datagram(&'a [u8]),
    /// Time passed. Early or repeated ones are harmless.
    Timeout,
    /// Ring sequence numbers up to this one are now reserved on stable storage.
    Stored(u64),
    /// Reserving them failed. It is tried again; what is known of the disk is that it need not be waited for.
    NotStored,
    /// This node's network interface came or went.
    Interface,
}

/// Something to do outside, in the order given.
#[derive(Debug)]
pub(crate) enum Action {
    /// Send a datagram.
    Send(Destination, Bytes),
    /// Reserve ring sequence numbers up to this one.
    Store(u64),
    /// A packet whose place in the order is final.
    Packet {
        /// Whom its messages come from.
        from: NodeId,
        /// The packet.
        payload: Bytes,
        /// Byte order of the numbers in it.
        order: Endian,
    },
    /// A configuration change.
    View(View),
    /// The token was here and went on, as asked for.
    TokenSent,
}

/// The layer above, as the ring asks for what it has to send.
pub(crate) trait Feed {
    /// The token is here: put what is ready into the outbox.
    fn token_arrived(&mut self, outbox: &mut Outbox);
}

/// The phase of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateName {
    /// On a ring, ordering messages.
    Operational,
    /// Finding out who is there.
    Gather,
    /// Passing the commit token round.
    Commit,
    /// Exchanging messages of the old rings.
    Recovery,
}

impl std::fmt::Display for StateName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Operational => "OPERATIONAL",
            Self::Gather => "GATHER",
            Self::Commit => "COMMIT",
            Self::Recovery => "RECOVERY",
        })
    }
}
