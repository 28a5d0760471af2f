//! The decisions of a knet transport: which packets leave on which links, which messages come in, which links work.
//!
//! Whoever drives it passes the time, sends what [`Engine::poll_output`] gives, sealed, and brings what came,
//! opened. It works on plain packets: of encryption it knows only the [`Sizes`].

use std::net::IpAddr;

use bytes::Bytes;

use super::arrival::{Arrival, DropReason};
use super::settings::Settings;
use super::sizes::{self, Sizes};
use crate::ids::{Destination, NodeId};
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
    /// This is a probe of the path's MTU: a failure to send it is expected, and told with
    /// [`Engine::not_sent`] without being counted as an error.
    pub probe: bool,
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
    /// The size of fragments changed, in user bytes.
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
    /// No packet of the least size gets through.
    Mtu,
    /// This host's own address or interface is gone.
    Interface,
    /// The settings do not have it any more.
    Removed,
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

/// Why settings are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// See the module.
#[derive(Debug)]
pub struct Engine {}

impl Engine {
    /// An engine in which no link is up yet. `epoch`: a number that was never used before, such as a random one;
    /// a pong that answers a ping of an earlier life is told from ours by it.
    ///
    /// # Errors
    /// The settings contradict themselves.
    pub fn new(settings: Settings, sizes: Sizes, epoch: u64, now: Instant) -> Result<Self, Refused> {
        todo!("{settings:?} {sizes:?} {epoch} {now:?}")
    }

    /// Sends a message to the other hosts; [`Destination::All`] is all that are reachable. A message for this node
    /// itself must not be given.
    pub fn send(&mut self, now: Instant, to: Destination, message: &Bytes) {
        todo!("{now:?} {to:?} {message:?}")
    }

    /// Takes a plain packet that came from this address on this link's socket. `Ok(None)`: it was understood, and
    /// no message is complete by it.
    ///
    /// # Errors
    /// Why it was dropped; it is counted.
    pub fn receive<'p>(
        &mut self,
        now: Instant,
        link: u8,
        from: IpAddr,
        packet: &'p [u8],
    ) -> Result<Option<Arrival<'p>>, DropReason> {
        todo!("{now:?} {link} {from} {packet:?}")
    }

    /// A packet could not be sent on this path, or the kernel reported an error of it later.
    pub fn not_sent(&mut self, now: Instant, path: Path, fault: Fault) {
        todo!("{now:?} {path:?} {fault:?}")
    }

    /// This host's address on a link is gone, or back.
    pub fn set_interface(&mut self, now: Instant, link: u8, up: bool) {
        todo!("{now:?} {link} {up}")
    }

    /// Encryption changed.
    pub fn set_sizes(&mut self, now: Instant, sizes: Sizes) {
        todo!("{now:?} {sizes:?}")
    }

    /// Whether [`Engine::reconfigure`] would take these settings.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, settings: &Settings) -> Result<(), Refused> {
        todo!("{settings:?}")
    }

    /// Goes over to other settings: hosts and links come and go, links that stay keep their state.
    ///
    /// # Errors
    /// Refused as a whole.
    pub fn reconfigure(&mut self, now: Instant, settings: Settings) -> Result<(), Refused> {
        todo!("{now:?} {settings:?}")
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        todo!("{now:?}")
    }

    /// When something is due.
    pub fn deadline(&self) -> Instant {
        todo!()
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        todo!()
    }

    /// Whether any link to the host works.
    pub fn reaches(&self, host: NodeId) -> bool {
        todo!("{host}")
    }

    /// User bytes of a fragment now.
    pub fn fragment_size(&self) -> usize {
        todo!()
    }

    /// How each link to each other host is, by host and link.
    pub fn links(&self) -> Vec<LinkView> {
        todo!()
    }

    /// The counters of a link under the names of `stats.knet.nodeN.linkL.`, and of the handle under
    /// `stats.knet.handle.`, come from here too; see `stats.rs`.
    pub fn settings(&self) -> &Settings {
        todo!()
    }
}
