//! Opaque datagrams to and from the other nodes: batched, non-blocking, over UDP.
//!
//! Answers to Corosync's `exec/totemnet.c`. A transport knows addresses and sockets; it has never heard of Totem.
//! A datagram is one UDP payload, as it is. What fails is counted and logged, never fatal: datagrams may be lost
//! here as on any network, and the ring repairs that.
//!
//! | file | what it is for | in Corosync |
//! |---|---|---|
//! | `options.rs` | [`Options`]: what a transport is opened with, and what is refused | `totemconfig.c` |
//! | `error.rs` | [`TransportError`]: why it cannot be opened | |
//! | `udpu.rs` | the unicast ring: one socket, a datagram to each node | `totemudpu.c` |
//! | `udp.rs` | the multicast or broadcast ring: group, token and send socket | `totemudp.c` |
//! | `socket.rs` | options of a socket: buffers, priority, code point | |
//! | `addr.rs` | which address of which interface is meant | `totemip.c` |
//! | `peers.rs` | node ↔ address | |
//! | `gate.rs` | which received datagrams are handed up | |
//! | `source_port.rs` | from which port a peer sends | |
//! | `send.rs` | batches out, errors counted by destination | |
//! | `received.rs` | [`Received`]: batches in, reused buffers | |
//! | `stats.rs` | [`Stats`] | |
//! | `sys.rs` | the system calls that need pointers: `sendmmsg`, `recvmmsg`, `getifaddrs` | |

mod addr;
mod error;
mod gate;
pub mod knet;
mod options;
mod peers;
mod received;
mod send;
mod socket;
mod source_port;
mod stats;
mod sys;
mod udp;
mod udpu;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use socket2::Socket;

pub use error::TransportError;
pub use options::{Cast, Kind, Options, Peer};
pub use received::Received;
pub use source_port::Shows;
pub use stats::{DroppedIn, DroppedOut, Errors, PeerStats, Stats, Traffic};

use crate::ids::{Destination, NodeId};
use addr::Local;
use gate::{Gate, Sources};
use peers::Peers;
use send::{Leg, Outgoing, Target};
use stats::Logs;
use udp::Udp;
use udpu::Udpu;

/// Datagrams for this node itself that may wait for [`Transport::poll_recv`]; one ring of one node has one token.
const LOOP_LIMIT: usize = 1024;

/// Datagrams to and from the other nodes.
///
/// Lives in a tokio runtime with IO enabled, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Transport {
    options: Options,
    local: Local,
    up: bool,
    /// `None` only after the interface came back in a way that could not be bound (yet).
    sockets: Option<Sockets>,
    peers: Peers,
    stats: Stats,
    logs: Logs,
    /// What the kernel had dropped at sockets closed meanwhile.
    kernel_drops_before: u64,
    looped: VecDeque<Bytes>,
    legs: Vec<Leg>,
    waker: Option<Waker>,
    /// What a datagram shows about the port that its sender sends from.
    shows: fn(&[u8]) -> Shows,
}

#[derive(Debug)]
enum Sockets {
    Udpu(Udpu),
    Udp(Box<Udp>),
}

/// What [`Transport::check_interface`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterfaceChange {
    /// As before, up or down.
    None,
    /// The local address vanished, or its interface went down. Sending goes on and fails, receiving waits.
    Gone,
    /// The local address is there again (or was away between two checks), sockets and group are in order.
    Back,
}

impl Transport {
    /// Opens the sockets. Must be called inside a tokio runtime.
    ///
    /// Tries once; see [`TransportError::may_pass`] for what is worth another try.
    pub fn open(options: &Options) -> Result<Self, TransportError> {
        options.check()?;
        let local = addr::find(options.address, options.interface.as_deref())?;
        let mut stats = Stats::default();
        let sockets = Sockets::open(options, &local, &mut stats)?;
        let mut peers = Peers::new(options.me);
        peers.replace(&options.peers, options.port, &local, &mut stats.peers);
        tracing::info!(
            kind = ?options.kind, address = %local.addr, port = options.port, interface = local.interface,
            recv_buffer = stats.recv_buffer, send_buffer = stats.send_buffer, "transport is open"
        );
        Ok(Self {
            options: options.clone(),
            local,
            up: true,
            sockets: Some(sockets),
            peers,
            stats,
            logs: Logs::default(),
            kernel_drops_before: 0,
            looped: VecDeque::new(),
            legs: Vec::new(),
            waker: None,
            shows: |_| Shows::Nothing,
        })
    }

    /// Says how a datagram is recognised that only this implementation sends from the ring's port. Until it is called,
    /// peers of a unicast ring may send from any port.
    pub fn recognise(&mut self, shows: fn(&[u8]) -> Shows) {
        self.shows = shows;
    }

    /// Says which nodes are in a ring with this one. What is known of the port that they send from is kept.
    pub fn set_members(&mut self, members: &[NodeId]) {
        self.peers.set_members(members);
    }

    /// Whether the sockets could be opened now, in the words of [`Transport::open`]. Nothing stays open; needs no
    /// runtime.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn probe(options: &Options) -> Result<(), TransportError> {
        options.check()?;
        let local = addr::find(options.address, options.interface.as_deref())?;
        for (port, purpose) in Sockets::ports(options) {
            let address = peers::target(local.addr, port, &local);
            socket::bind(&socket::open(address)?, address, purpose)?;
        }
        Ok(())
    }

    /// Sends every datagram of `batch`, in order, and empties it.
    ///
    /// [`Destination::All`] is every peer but this node: one datagram each in node-list order on udpu, one to the
    /// group on udp. A datagram for this node itself comes back from [`Transport::poll_recv`] without touching the
    /// network. Nothing here is fatal: what could not be sent is counted in [`Stats`] by reason and peer. A full
    /// socket buffer is waited for, blocking the thread, 2 ms in all and 2 ms more for the first datagram that is for
    /// a single node (a token); what does not fit then is dropped.
    pub fn send(&mut self, batch: &mut Vec<(Destination, Bytes)>) {
        self.legs.clear();
        for (frame, (destination, bytes)) in batch.iter().enumerate() {
            match (destination, &self.sockets) {
                (Destination::Node(id), _) if *id == self.options.me => self.loop_back(bytes.clone()),
                (_, None) => self.stats.dropped_out.no_socket += 1,
                (Destination::Node(id), Some(_)) => match self.peers.position(*id) {
                    Some(position) => self.legs.push(Leg { frame, to: Target::Peer(position) }),
                    None => {
                        self.stats.dropped_out.unknown_node += 1;
                        if let Some(held_back) = self.logs.unknown.may_speak() {
                            tracing::warn!(node = %id, held_back, "datagram dropped: its node is not in the node list");
                        }
                    }
                },
                (Destination::All, Some(Sockets::Udp(_))) => self.legs.push(Leg { frame, to: Target::Group }),
                (Destination::All, Some(Sockets::Udpu(_))) => {
                    self.legs.extend(self.peers.others().map(|to| Leg { frame, to: Target::Peer(to) }));
                }
            }
        }
        if let Some(sockets) = &self.sockets {
            let (socket, group) = match sockets {
                Sockets::Udpu(udpu) => (udpu.sender(), None),
                Sockets::Udp(udp) => (udp.sender(), Some(udp.group())),
            };
            Outgoing {
                socket,
                group,
                batch,
                legs: &self.legs,
                peers: &mut self.peers,
                stats: &mut self.stats,
                logs: &mut self.logs,
            }
            .send();
        }
        batch.clear();
    }

    /// Receives what is there, at most a batch; ready once there is at least one datagram.
    ///
    /// Datagrams of one sender keep their order. On udp all data that had arrived before a token was taken is handed
    /// up before it, so no token overtakes data. What is refused (sender not in the node list, own multicast come
    /// back, truncated) is counted and never wakes the caller for nothing. An error means that the runtime is
    /// shutting down; everything else is counted in [`Stats::recv_errors`].
    pub fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut Received) -> Poll<io::Result<()>> {
        batch.clear();
        while !batch.is_full()
            && let Some(datagram) = self.looped.pop_front()
        {
            self.stats.received.add(datagram.len());
            batch.push(&datagram);
        }
        if !batch.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        let Some(sockets) = &mut self.sockets else { return Poll::Pending };
        let mut gate = Gate {
            peers: &mut self.peers,
            stats: &mut self.stats,
            logs: &mut self.logs,
            block_unlisted: self.options.block_unlisted,
            own: sockets.own_source(),
            sources: match self.options.kind {
                Kind::Udpu => Sources::Shown(self.options.port, self.shows),
                Kind::Udp(_) => Sources::Always(self.options.port - 1),
            },
        };
        match sockets {
            Sockets::Udpu(udpu) => udpu.poll_recv(cx, batch, &mut gate),
            Sockets::Udp(udp) => udp.poll_recv(cx, batch, &mut gate),
        }
    }

    /// [`Transport::poll_recv`] as a future. Dropping it loses nothing.
    pub async fn recv(&mut self, batch: &mut Received) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_recv(cx, batch)).await
    }

    /// What was counted so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Where this node receives what is for it alone.
    pub fn local(&self) -> SocketAddr {
        peers::target(self.local.addr, self.options.port, &self.local)
    }

    /// Whether the local address was there at the last look.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Whether this would be a node list for [`Transport::set_peers`].
    ///
    /// # Errors
    /// [`TransportError::Setting`] names the setting and the reason.
    pub fn check_peers(&self, peers: &[Peer]) -> Result<(), TransportError> {
        options::check_peers(peers, self.options.address)
    }

    /// Takes a new node list; refused as a whole, with nothing changed, if it is not one.
    ///
    /// The list is a set: naming a node again does not make it receive twice. Buffer sizes stay as opened.
    pub fn set_peers(&mut self, peers: &[Peer]) -> Result<(), TransportError> {
        options::check_peers(peers, self.options.address)?;
        self.options.peers = peers.to_vec();
        self.peers.replace(peers, self.options.port, &self.local, &mut self.stats.peers);
        Ok(())
    }

    /// Whether datagrams from addresses outside of the node list are dropped from now on.
    pub fn set_block_unlisted(&mut self, block: bool) {
        self.options.block_unlisted = block;
    }

    /// Sends with another code point from now on; `None` means the system's default, 0.
    pub fn set_dscp(&mut self, dscp: Option<u8>) -> Result<(), TransportError> {
        options::check_dscp(dscp)?;
        if let Some(sockets) = &self.sockets {
            let applied = socket::mark(sockets.sender(), self.local.addr.is_ipv4(), Some(dscp.unwrap_or(0)))?;
            self.stats.dscp = dscp.and(applied);
        }
        self.options.dscp = dscp;
        Ok(())
    }

    /// Looks whether the local address is still there, and puts sockets and group in order when it came back.
    ///
    /// Call it every `downcheck` (1 s) and after a token loss; it also brings
    /// [`DroppedIn::kernel`] up to date. The sockets are kept unless the interface became another one.
    pub fn check_interface(&mut self) -> InterfaceChange {
        self.count_kernel_drops();
        match addr::find(self.options.address, self.options.interface.as_deref()) {
            Ok(local) if self.sockets.is_some() && local == self.local => {
                let was_up = std::mem::replace(&mut self.up, true);
                self.keep_joined(!was_up);
                if was_up { InterfaceChange::None } else { self.back() }
            }
            Ok(local) => self.reopen(local),
            Err(error @ (TransportError::NotLocal { .. } | TransportError::InterfaceDown { .. })) => {
                if std::mem::replace(&mut self.up, false) {
                    tracing::warn!(%error, "the ring's interface is gone; waiting for it to come back");
                    InterfaceChange::Gone
                } else {
                    InterfaceChange::None
                }
            }
            Err(error) => {
                if let Some(held_back) = self.logs.interface.may_speak() {
                    tracing::warn!(%error, held_back, "cannot tell whether the ring's interface is there");
                }
                InterfaceChange::None
            }
        }
    }

    /// The address is on another interface, or that has another number: sockets hold the old number.
    fn reopen(&mut self, local: Local) -> InterfaceChange {
        // The old ones go first, they have the ports.
        self.sockets = None;
        self.kernel_drops_before = self.stats.dropped_in.kernel;
        match Sockets::open(&self.options, &local, &mut self.stats) {
            Ok(sockets) => {
                self.sockets = Some(sockets);
                self.local = local;
                self.up = true;
                self.peers.replace(
                    &self.options.peers,
                    self.options.port,
                    &self.local,
                    &mut self.stats.peers,
                );
                // Whoever waits in poll_recv waits on sockets that are closed.
                if let Some(waker) = self.waker.take() {
                    waker.wake();
                }
                self.back()
            }
            Err(error) => {
                if let Some(held_back) = self.logs.interface.may_speak() {
                    tracing::error!(%error, held_back, "the ring's interface is back but its sockets are not; trying again");
                }
                if std::mem::replace(&mut self.up, false) {
                    InterfaceChange::Gone
                } else {
                    InterfaceChange::None
                }
            }
        }
    }

    fn back(&self) -> InterfaceChange {
        tracing::info!(interface = self.local.interface, address = %self.local.addr, "the ring's interface is back");
        InterfaceChange::Back
    }

    /// An interface that went and came back has forgotten its groups, even if no check saw it go.
    fn keep_joined(&mut self, came_back: bool) {
        let (Some(Sockets::Udp(udp)), Kind::Udp(Cast::Multicast { group, .. })) =
            (&self.sockets, self.options.kind)
        else {
            return;
        };
        if !came_back && addr::is_joined(group, self.local.index) {
            return;
        }
        match udp.rejoin(group, &self.local) {
            Ok(()) => {
                tracing::info!(%group, interface = self.local.interface, "joined the multicast group again");
            }
            Err(error) => {
                if let Some(held_back) = self.logs.interface.may_speak() {
                    tracing::error!(%error, held_back, "trying again at the next check");
                }
            }
        }
    }

    fn count_kernel_drops(&mut self) {
        let Some(sockets) = &self.sockets else { return };
        let now: u64 = sockets
            .receivers()
            .filter_map(|socket| sys::kernel_drops(socket.as_fd()).ok())
            .map(u64::from)
            .sum::<u64>()
            + self.kernel_drops_before;
        let new = now.saturating_sub(self.stats.dropped_in.kernel);
        self.stats.dropped_in.kernel = now;
        if new > 0
            && let Some(held_back) = self.logs.overflow.may_speak()
        {
            tracing::warn!(
                new,
                recv_buffer = self.stats.recv_buffer,
                held_back,
                "the receive buffer overflowed, frames were lost and must be sent again; this node is too slow for what \
                 the others send (starved of CPU?), or the buffer too small (sysctl net.core.rmem_max)"
            );
        }
    }

    fn loop_back(&mut self, datagram: Bytes) {
        if self.looped.len() == LOOP_LIMIT || datagram.len() > usize::from(u16::MAX) {
            self.stats.dropped_out.loop_full += 1;
            return;
        }
        self.stats.looped.add(datagram.len());
        self.looped.push_back(datagram);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Sockets {
    fn open(options: &Options, local: &Local, stats: &mut Stats) -> Result<Self, TransportError> {
        match options.kind {
            Kind::Udpu => Udpu::open(options, local, stats).map(Self::Udpu),
            Kind::Udp(cast) => Udp::open(options, cast, local, stats).map(|udp| Self::Udp(Box::new(udp))),
        }
    }

    /// The ports that are bound for this node alone, and what for.
    fn ports(options: &Options) -> Vec<(u16, &'static str)> {
        match options.kind {
            Kind::Udpu => vec![(options.port, udpu::PURPOSE)],
            Kind::Udp(_) => vec![(options.port - 1, udp::SEND), (options.port, udp::TOKEN)],
        }
    }

    fn sender(&self) -> &Socket {
        match self {
            Self::Udpu(udpu) => udpu.sender(),
            Self::Udp(udp) => udp.sender(),
        }
    }

    /// What this node's own multicasts come from, if the network may bring them back.
    fn own_source(&self) -> Option<SocketAddr> {
        match self {
            Self::Udpu(_) => None,
            Self::Udp(udp) => Some(udp.source()),
        }
    }

    fn receivers(&self) -> Box<dyn Iterator<Item = &Socket> + '_> {
        match self {
            Self::Udpu(udpu) => Box::new(udpu.receivers()),
            Self::Udp(udp) => Box::new(udp.receivers()),
        }
    }
}
