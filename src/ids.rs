//! Identifiers: nodes, rings, sequence numbers, services, connections.

use std::fmt;
use std::num::NonZeroU32;

/// The id of a cluster node; never 0 (on the wire, 0 means "no node" or marks a leave message).
///
/// Source: corosync `totem.nodeid`, `nodelist.node.X.nodeid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(NonZeroU32);

impl NodeId {
    /// The node id `id`; `None` for 0.
    pub const fn new(id: u32) -> Option<Self> {
        match NonZeroU32::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The id as a number, as on the wire.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a ring: its representative (the member with the lowest node id when it formed) and a sequence
/// number that only rises.
///
/// Displayed as in Corosync's logs and tools: both parts hexadecimal, `rep.seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingId {
    /// The representative's node id.
    pub rep: NodeId,
    /// Ring sequence number; it does not wrap around.
    pub seq: u64,
}

impl fmt::Display for RingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}", self.rep.get(), self.seq)
    }
}

/// Sequence number of a frame (or token) on one ring, modulo 2³².
///
/// Does not implement `Ord`: modular order is not transitive, so `sort()` or a `BTreeMap<Seq, _>` would be
/// wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// Whether `self` comes before `other` in modular order; exact while they are less than 2³¹ apart.
    ///
    /// Source: corosync `include/corosync/sq.h`, `sq_lt_compare`, which gives the same result for any two
    /// numbers that occur on one ring.
    pub const fn is_before(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0) > u32::MAX / 2
    }

    /// The number that is `n` later.
    pub const fn plus(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }

    /// The number that is `n` earlier.
    pub const fn minus(self, n: u32) -> Self {
        Self(self.0.wrapping_sub(n))
    }

    /// How far `self` is past `earlier`, modulo 2³².
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// The later of the two.
    pub const fn later(self, other: Self) -> Self {
        if self.is_before(other) { other } else { self }
    }

    /// The earlier of the two.
    pub const fn earlier(self, other: Self) -> Self {
        if other.is_before(self) { other } else { self }
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a daemon's service, as used in exec message ids and for IPC sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u16);

impl ServiceId {
    /// The configuration and statistics database (Corosync's cmap).
    pub const CMAP: Self = Self(0);
    /// Administration of the cluster (Corosync's cfg).
    pub const CFG: Self = Self(1);
    /// Closed process groups.
    pub const CPG: Self = Self(2);
    /// Notifications about quorum.
    pub const QUORUM: Self = Self(3);
    /// Corosync's load generator; its number is reserved, the service is not implemented.
    pub const PLOAD: Self = Self(4);
    /// Votes, quorum devices and quorum calculation.
    pub const VOTEQUORUM: Self = Self(5);
    /// Corosync's resource monitor; not implemented.
    pub const MON: Self = Self(6);
    /// Corosync's watchdog; not implemented.
    pub const WD: Self = Self(7);
    /// No service has this id or a higher one; a C peer uses ids as an unchecked index into a table of this
    /// size.
    pub const LIMIT: u16 = 64;

    /// The service's short name, which is also the name of its socket; `None` if no service has this number.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::CMAP => "cmap",
            Self::CFG => "cfg",
            Self::CPG => "cpg",
            Self::QUORUM => "quorum",
            Self::PLOAD => "pload",
            Self::VOTEQUORUM => "votequorum",
            Self::MON => "mon",
            Self::WD => "wd",
            _ => return None,
        })
    }
}

/// A client's connection to one service, over IPC or inside of the process.
///
/// Unique during the life of the daemon; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// The receivers of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// All nodes that the transport knows, except this one.
    All,
    /// The named node only.
    Node(NodeId),
}

/// The condition for delivering a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guarantee {
    /// Delivered in the total order, as soon as every message before it is there.
    #[default]
    Agreed,
    /// Delivered in the total order, once every member of the ring is known to have it.
    Safe,
}

/// The part of a message that an event carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Piece {
    /// The whole message.
    Whole,
    /// One of several pieces, but not the last one.
    Part,
    /// The last of several pieces.
    Last,
}

/// Byte order of a machine. A sender writes in its own byte order; the receiver converts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endian {
    /// Least significant byte first; the only order in which Corosync clusters work reliably.
    Little,
    /// Most significant byte first.
    Big,
}

impl Endian {
    /// Reads a `u16` written in this order.
    pub const fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    /// Reads a `u32` written in this order.
    pub const fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// Reads a `u64` written in this order.
    pub const fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }
}

/// The node with this id, which is not 0; for tests.
#[cfg(test)]
pub(crate) fn node(id: u32) -> NodeId {
    NodeId::new(id).expect("not 0")
}

/// The nodes with these ids; for tests.
#[cfg(test)]
pub(crate) fn nodes(ids: &[u32]) -> Vec<NodeId> {
    ids.iter().map(|id| node(*id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_order_wraps_around() {
        assert!(Seq(u32::MAX).is_before(Seq(0)));
        assert!(Seq(u32::MAX).is_before(Seq(0xffff)));
        assert!(Seq(1).is_before(Seq(2)));
        assert!(!Seq(2).is_before(Seq(2)));
        assert!(!Seq(0).is_before(Seq(u32::MAX)));
        assert_eq!(Seq(3).since(Seq(u32::MAX)), 4);
        assert_eq!(Seq(u32::MAX).later(Seq(0)), Seq(0));
        assert_eq!(Seq(u32::MAX).earlier(Seq(0)), Seq(u32::MAX));
    }

    #[test]
    fn ring_ids_are_shown_in_hexadecimal() {
        let ring = RingId { rep: NodeId::new(17).unwrap(), seq: 13 };
        assert_eq!(ring.to_string(), "11.d");
    }
}
