//! Names of things: nodes, rings, sequence numbers, services, connections.

use std::fmt;
use std::num::NonZeroU32;

/// A node of the cluster; never 0 (a 0 on the wire means "nobody", or a leave message).
///
/// Source: corosync `totem.nodeid`, `nodelist.node.X.nodeid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(NonZeroU32);

impl NodeId {
    /// The id, or `None` for 0.
    pub const fn new(id: u32) -> Option<Self> {
        match NonZeroU32::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number as the wire carries it.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A ring: its representative (the member with the lowest node id when it formed) and a number that
/// only rises.
///
/// Shown as Corosync's logs and tools show it: both parts hexadecimal, `rep.seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingId {
    /// The representative.
    pub rep: NodeId,
    /// Ring sequence number, compared plainly.
    pub seq: u64,
}

impl fmt::Display for RingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}", self.rep.get(), self.seq)
    }
}

/// Message (or token) sequence number on one ring, modulo 2³².
///
/// No `Ord`: modular order is not transitive, so `sort()` or a `BTreeMap<Seq, _>` would lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// Whether `self` comes before `other`; exact while they are less than 2³¹ apart.
    ///
    /// Source: corosync `include/corosync/sq.h`, `sq_lt_compare`; the two agree for any two numbers
    /// that can meet on one ring.
    pub const fn is_before(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0) > u32::MAX / 2
    }

    /// The number `n` later.
    pub const fn plus(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }

    /// The number `n` earlier.
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

/// A service of the daemon, as exec message ids and IPC sockets number them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u16);

impl ServiceId {
    /// Configuration and statistics database (Corosync's cmap).
    pub const CMAP: Self = Self(0);
    /// Administration (Corosync's cfg).
    pub const CFG: Self = Self(1);
    /// Closed process groups.
    pub const CPG: Self = Self(2);
    /// Quorum notifications.
    pub const QUORUM: Self = Self(3);
    /// A load generator of Corosync's; named only.
    pub const PLOAD: Self = Self(4);
    /// Votequorum.
    pub const VOTEQUORUM: Self = Self(5);
    /// Resource monitor; named only.
    pub const MON: Self = Self(6);
    /// Watchdog; named only.
    pub const WD: Self = Self(7);
    /// Ids from here on do not exist; a C peer indexes a table of this size unchecked.
    pub const LIMIT: u16 = 64;

    /// Its short name, which is also that of its socket; `None` for a number that no service has.
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

/// A client's connection to one service: over IPC, or inside the process.
///
/// Unique for the life of the daemon; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// Every node that the transport knows but this one.
    All,
    /// One node.
    Node(NodeId),
}

/// When a message may be handed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guarantee {
    /// In the one order, as soon as everything before it is there.
    #[default]
    Agreed,
    /// In the one order, once every member of the ring is known to hold it.
    Safe,
}

/// Where an event stands in the message that it tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Piece {
    /// It holds all of it.
    Whole,
    /// One of several pieces, and not the last one.
    Part,
    /// The last one of several pieces.
    Last,
}

/// Byte order of a sender's machine. Messages travel in it; the receiver converts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endian {
    /// Least significant byte first; the only order a C cluster really works in.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_rolls_over() {
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
