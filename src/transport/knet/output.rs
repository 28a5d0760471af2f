//! The engine's actions and events for its driver, and the faults and views of links.

use std::net::IpAddr;

use super::sizes;
use crate::ids::NodeId;
use crate::time::Instant;

/// The path to a host over one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The node id of the host.
    pub host: NodeId,
    /// The number of the link.
    pub link: u8,
}

/// Plain packets that go to the same paths, in this order. Each is sealed once and sent on every path.
#[derive(Debug, PartialEq, Eq)]
pub struct Burst {
    /// The packets, each behind [`Burst::ROOM`] unused bytes for the initialisation vector.
    pub packets: Vec<Vec<u8>>,
    /// The paths on which to send them.
    pub to: Vec<Path>,
    /// The kind of the packets. A [`PacketKind::Probe`] that is too long to send is expected, and must be
    /// reported with [`Engine::not_sent`](super::Engine::not_sent) like any other failure.
    pub kind: PacketKind,
}

/// The five kinds of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketKind {
    /// A message or a fragment of one.
    Data,
    /// A ping, which asks whether the link works.
    Ping,
    /// The answer to a ping.
    Pong,
    /// A probe of the path MTU, as large as the size to be tested.
    Probe,
    /// The answer to a probe.
    ProbeReply,
}

impl Burst {
    /// Number of unused bytes in front of each packet.
    pub const ROOM: usize = sizes::ROOM;
}

/// An action for the driver.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Seal these packets and send them.
    Send(Burst),
    /// Log a change that operators should know.
    Event(Event),
}

/// A change that operators should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The link has come up and can carry messages.
    LinkUp(Path),
    /// The link has gone down, and why.
    LinkDown(Path, Cause),
    /// The host became reachable (`true`), or no link to it is up any more (`false`).
    Host(NodeId, bool),
    /// Path MTU discovery has found another fragment size for a path, in user bytes.
    Mtu {
        /// The path that was measured.
        path: Path,
        /// The fragment size before.
        from: usize,
        /// The fragment size now.
        to: usize,
    },
    /// The size of all fragments, which is that of the narrowest path, has changed, in user bytes.
    Fragments {
        /// The fragment size before.
        from: usize,
        /// The fragment size now.
        to: usize,
    },
}

/// Why a link is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No pong arrived within the time-out.
    Silence,
    /// The host or a router reported that packets do not arrive (ICMP), and no pong arrived since.
    Unreachable,
    /// This host has lost its own address or interface.
    Interface,
    /// The link was removed from the settings.
    Removed,
}

impl Cause {
    /// A description of the cause for the log.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Silence => "no answer to pings",
            Self::Unreachable => "the network reports it unreachable, and no ping is answered",
            Self::Interface => "this host's address or interface is gone",
            Self::Removed => "not configured any more",
        }
    }
}

/// A failure of the driver on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The packet is longer than the path's MTU, which is given in bytes if the kernel knows it (EMSGSIZE).
    TooLong(Option<u16>),
    /// According to the socket's error queue, the host, its port or its network cannot be reached.
    Unreachable,
    /// Any other failure, with its errno.
    Other(i32),
}

/// The state of a link, for tools and statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkView {
    /// The host and the number of the link.
    pub path: Path,
    /// This host's own address on the link and the other host's, as configured.
    pub addresses: (Option<IpAddr>, Option<IpAddr>),
    /// Whether the link is up and can carry messages.
    pub connected: bool,
    /// Number of user bytes in a fragment on this link.
    pub mtu: u32,
    /// When the link last came up or went down.
    pub since: Instant,
    /// Why the link is down; `None` if it is up.
    pub cause: Option<Cause>,
    /// Latency in µs: minimum, mean, maximum, and number of pongs in the mean; `None` before the first pong.
    pub latency: Option<(u32, u32, u32, u32)>,
    /// How often the link went down and came up.
    pub changes: (u32, u32),
}
