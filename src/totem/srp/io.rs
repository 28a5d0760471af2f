//! The inputs and actions of the ring protocol.

use std::time::Duration;

use bytes::Bytes;

use crate::config::timeouts::Timeouts;
use crate::ids::{Destination, Endian, NodeId, Seq};
use crate::view::View;

use super::outbox::Outbox;

/// Parameters of a new [`Totem`](crate::totem::Totem).
#[derive(Clone, Debug)]
pub struct Params {
    /// The id of this node.
    pub me: NodeId,
    /// Timers and limits.
    pub timeouts: Timeouts,
    /// `totem.netmtu` in bytes; a data frame carries at most 90 bytes less. Default 1500.
    pub netmtu: usize,
    /// Ring sequence number to start with; above all that this node has ever used.
    pub ring_seq: u64,
    /// Ring sequence numbers up to this one are reserved on stable storage, so a restart begins above it.
    pub stored: u64,
    /// A random number that is different each time this node starts. All pseudo-random numbers of this node
    /// are derived from it, including the ring sequence numbers that it has to use without having reserved
    /// them. So no two lives use the same ones, even if they begin with the same `ring_seq` because the file
    /// was restored or lost.
    pub life: u64,
    /// Number before the first frame of a new ring: always 0 on real rings, as the wire format assumes.
    /// Simulations begin shortly before the numbers wrap around.
    pub origin: Seq,
}

/// An event for the protocol to handle.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A whole datagram arrived.
    Datagram(&'a [u8]),
    /// Time has passed. Early or repeated time-outs are harmless. Only this input lets timers expire, so it is to be
    /// given after the datagrams that wait.
    Timeout,
    /// This process did not run for this long until now, because it was stopped, starved or suspended. To be given
    /// before what has waited meanwhile. The time of the inputs may have gone on or stood still.
    Paused(Duration),
    /// Ring sequence numbers up to this one are now reserved on stable storage.
    Stored(u64),
    /// Reserving them failed. It will be tried again; until it succeeds, the protocol does not wait for the
    /// disk.
    NotStored,
    /// This node's network interface disappeared or came back.
    Interface,
    /// The answer to a probe of this node ([`Output::Probe`](crate::totem::Output::Probe)): its host has said that no
    /// process receives there. To be given only if the answer quotes the probe, so that it cannot be forged by somebody
    /// who has not seen the probe.
    Refused(NodeId),
}

/// An action for the caller, to be carried out in the order given.
#[derive(Debug)]
pub(crate) enum Action {
    /// Send a datagram.
    Send(Destination, Bytes),
    /// Reserve ring sequence numbers up to this one on stable storage.
    Store(u64),
    /// Ask the host of a node whether its process is there.
    Probe(NodeId),
    /// A packet of messages whose place in the total order is final.
    Packet {
        /// The node that sent its messages.
        from: NodeId,
        /// The packed messages.
        payload: Bytes,
        /// Byte order of the numbers in `payload`.
        order: Endian,
    },
    /// Report a configuration change.
    View(View),
    /// The token visited this node and was passed on, as asked for.
    TokenSent,
}

/// The layer above, which provides the messages to send.
pub(crate) trait Feed {
    /// The token is here: put everything that is ready into the outbox.
    fn token_arrived(&mut self, outbox: &mut Outbox);
}

/// The phase of the ring protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateName {
    /// On a ring, ordering messages.
    Operational,
    /// Agreeing on the members of the next ring.
    Gather,
    /// Passing the commit token round the members.
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
