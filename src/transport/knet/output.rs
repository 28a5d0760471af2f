//! What the engine asks its driver for, and what it tells and is told of links.

use std::net::IpAddr;

use super::sizes;
use crate::ids::NodeId;
use crate::time::Instant;

/// A link to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The host.
    pub host: NodeId,
    /// The link's number.
    pub link: u8,
}

/// Plain packets that go to the same paths, in this order. Each is sealed once and sent to each path.
#[derive(Debug, PartialEq, Eq)]
pub struct Burst {
    /// Each packet with [`Burst::ROOM`] unused bytes in front, for the initialisation vector.
    pub packets: Vec<Vec<u8>>,
    /// Where they go.
    pub to: Vec<Path>,
    /// What they are. That a [`PacketKind::Probe`] is too long to send is expected, and told with
    /// [`Engine::not_sent`](super::Engine::not_sent) as any failure.
    pub kind: PacketKind,
}

/// The five packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketKind {
    /// A message or a fragment of one.
    Data,
    /// Asks whether the link works.
    Ping,
    /// Says so.
    Pong,
    /// As large as the path may carry.
    Probe,
    /// Says that a probe came.
    ProbeReply,
}

impl Burst {
    /// Unused bytes in front of each packet.
    pub const ROOM: usize = sizes::ROOM;
}

/// What the driver is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Seal and send.
    Send(Burst),
    /// Something changed that operators should know.
    Event(Event),
}

/// Something that operators should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A link carries messages now.
    LinkUp(Path),
    /// A link carries none any more.
    LinkDown(Path, Cause),
    /// Messages reach the host (`true`), or no link to it works any more.
    Host(NodeId, bool),
    /// What a path carries was found out anew: user bytes of a fragment on it.
    Mtu {
        /// Which.
        path: Path,
        /// Before.
        from: usize,
        /// Now.
        to: usize,
    },
    /// The size of fragments, which is that of the narrowest path, changed, in user bytes.
    Fragments {
        /// Before.
        from: usize,
        /// Now.
        to: usize,
    },
}

/// Why a link is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No pong came for as long as the settings allow.
    Silence,
    /// The host or a router said that nothing arrives (ICMP), and no pong came since.
    Unreachable,
    /// This host's own address or interface is gone.
    Interface,
    /// The settings do not have it any more.
    Removed,
}

impl Cause {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Silence => "no answer to pings",
            Self::Unreachable => "the network reports it unreachable, and no ping is answered",
            Self::Interface => "this host's address or interface is gone",
            Self::Removed => "not configured any more",
        }
    }
}

/// A failure that the driver met on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Longer than the path's MTU, which is this many bytes if the kernel knows it (EMSGSIZE).
    TooLong(Option<u16>),
    /// The kernel reported from the socket's error queue that the host, its port or its network cannot be reached.
    Unreachable,
    /// Anything else; the errno.
    Other(i32),
}

/// How a link is, for tools and statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkView {
    /// Which.
    pub path: Path,
    /// Its own address and the host's, as configured.
    pub addresses: (Option<IpAddr>, Option<IpAddr>),
    /// Whether it carries messages.
    pub connected: bool,
    /// User bytes of a fragment on it.
    pub mtu: u32,
    /// When it came up or went down last.
    pub since: Instant,
    /// Why it is down, if it is.
    pub cause: Option<Cause>,
    /// Latency in µs: least, mean, most, and over how many pongs; `None` before the first.
    pub latency: Option<(u32, u32, u32, u32)>,
    /// How often it went down and up.
    pub changes: (u32, u32),
}
