//! Common part of udp and udpu: one socket address for the ring, and clear datagrams.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use bytes::Bytes;
use socket2::Socket;

use super::addr::{self, Local};
use super::fan::Fan;
use super::gate::{Gate, Sources};
use super::looped::Looped;
use super::options;
use super::peers::{self, Peers};
use super::probes::Route;
use super::received::Received;
use super::run::{Offload, Run};
use super::send::{self, Leg, Outgoing, Target};
use super::socket;
use super::source_port::Shows;
use super::stats::{Logs, Stats, count_kernel_drops};
use super::sys;
use super::udp::{self, Udp};
use super::udpu::{self, Udpu};
use super::{Cast, InterfaceChange, Options, Peer, TransportError};
use crate::ids::{Destination, NodeId};

/// A transport with one socket address and clear datagrams: udp or udpu.
#[derive(Debug)]
pub(super) struct Plain {
    options: Options,
    local: Local,
    up: bool,
    /// `None` only after the interface returned in a way that could not be bound (yet).
    sockets: Option<Sockets>,
    peers: Peers,
    stats: Stats,
    logs: Logs,
    /// Datagrams that the kernel had dropped at sockets that are closed by now.
    kernel_drops_before: u64,
    looped: Looped,
    legs: Vec<Leg>,
    fan: Fan,
    /// Whether the kernel cuts messages into frames when sending.
    cuts: bool,
    /// What a datagram shows about the port from which its sender sends.
    shows: fn(&[u8]) -> Shows,
}

#[derive(Debug)]
enum Sockets {
    Udpu(Udpu),
    Udp(Box<Udp>),
}

impl Plain {
    /// Implements [`Transport::open`](super::Transport::open).
    pub(super) fn open(options: &Options) -> Result<Self, TransportError> {
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
            looped: Looped::default(),
            legs: Vec::new(),
            fan: Fan::default(),
            cuts: true,
            shows: |_| Shows::Nothing,
        })
    }

    /// Implements [`Transport::recognise`](super::Transport::recognise).
    pub(super) fn recognise(&mut self, shows: fn(&[u8]) -> Shows) {
        self.shows = shows;
    }

    /// Implements [`Transport::set_members`](super::Transport::set_members).
    pub(super) fn set_members(&mut self, members: &[NodeId]) {
        self.peers.set_members(members);
    }

    /// Implements [`Transport::probe`](super::Transport::probe).
    pub(super) fn probe(options: &Options) -> Result<(), TransportError> {
        options.check()?;
        let local = addr::find(options.address, options.interface.as_deref())?;
        for (port, purpose) in Sockets::ports(options) {
            let address = peers::target(local.addr, port, &local);
            socket::bind(&socket::open(address)?, address, purpose)?;
        }
        Ok(())
    }

    /// Implements [`Transport::send`](super::Transport::send).
    pub(super) fn send(&mut self, batch: &mut Vec<(Destination, Bytes)>) {
        self.legs.clear();
        let mut next = 0;
        while let Some((destination, bytes)) = batch.get(next) {
            let frame = next;
            next += 1;
            match (destination, &self.sockets) {
                (Destination::Node(id), _) if *id == self.options.me => {
                    self.looped.push(bytes.clone(), &mut self.stats);
                }
                (_, None) => self.stats.dropped_out.no_socket += 1,
                (Destination::Node(id), Some(_)) => match self.peers.position(*id) {
                    Some(position) => {
                        let others = self.peers.others();
                        self.fan.spread_around(Run::one(frame), position, others, &mut self.legs);
                    }
                    None => {
                        self.stats.dropped_out.unknown_node += 1;
                        if let Some(held_back) = self.logs.unknown.may_speak() {
                            tracing::warn!(node = %id, held_back, "datagram dropped: its node is not in the node list");
                        }
                    }
                },
                (Destination::All, Some(sockets)) => {
                    let to_all = batch[next..].iter().take_while(|(to, _)| *to == Destination::All).count();
                    next += if self.cuts { to_all } else { 0 };
                    let runs = Run::divide(frame..next, |position| batch[position].1.len());
                    match sockets {
                        Sockets::Udp(_) => {
                            self.legs.extend(runs.map(|run| Leg { run, to: Target::Group }));
                        }
                        Sockets::Udpu(_) => self.fan.add(runs),
                    }
                }
            }
        }
        self.fan.spread(self.peers.others(), &mut self.legs);
        if let Some(sockets) = &self.sockets {
            let (socket, group) = match sockets {
                Sockets::Udpu(udpu) => (udpu.sender(), None),
                Sockets::Udp(udp) => (udp.sender(), Some(udp.group())),
            };
            let mut outgoing = Outgoing {
                group,
                batch,
                legs: &mut self.legs,
                cuts: &mut self.cuts,
                peers: &mut self.peers,
                stats: &mut self.stats,
                logs: &mut self.logs,
            };
            send::send_all(socket, &mut outgoing);
        }
        batch.clear();
    }

    /// Implements [`Transport::poll_recv`](super::Transport::poll_recv).
    pub(super) fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut Received) -> Poll<io::Result<()>> {
        batch.clear();
        self.looped.take(batch, &mut self.stats);
        if !batch.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.looped.wait(cx);
        let Some(sockets) = &mut self.sockets else { return Poll::Pending };
        let mut gate = Gate {
            peers: &mut self.peers,
            stats: &mut self.stats,
            logs: &mut self.logs,
            block_unlisted: self.options.block_unlisted,
            own: sockets.own_source(),
            sources: match self.options.kind.cast() {
                None => Sources::Shown(self.options.port, self.shows),
                Some(_) => Sources::Always(self.options.port - 1),
            },
        };
        match sockets {
            Sockets::Udpu(udpu) => udpu.poll_recv(cx, batch, &mut gate),
            Sockets::Udp(udp) => udp.poll_recv(cx, batch, &mut gate),
        }
    }

    /// The address of this node from which a node is reached, and that of the node.
    pub(super) fn routes(&self, node: NodeId) -> Vec<Route> {
        let to = self.peers.position(node).and_then(|position| self.peers.addr(position).as_socket());
        let from = peers::target(self.local.addr, 0, &self.local);
        to.filter(|_| node != self.options.me).map(|to| Route { from, to }).into_iter().collect()
    }

    /// Implements [`Transport::offload`](super::Transport::offload).
    pub(super) fn offload(&self) -> Offload {
        Offload { sending: self.cuts, receiving: self.sockets.as_ref().is_some_and(Sockets::coalesces) }
    }

    /// Implements [`Transport::stats`](super::Transport::stats).
    pub(super) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Implements [`Transport::local`](super::Transport::local).
    pub(super) fn local(&self) -> SocketAddr {
        peers::target(self.local.addr, self.options.port, &self.local)
    }

    /// Implements [`Transport::is_up`](super::Transport::is_up).
    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    /// Implements [`Transport::check_peers`](super::Transport::check_peers).
    pub(super) fn check_peers(&self, peers: &[Peer]) -> Result<(), TransportError> {
        options::check_peers(peers, self.options.address)
    }

    /// Implements [`Transport::set_peers`](super::Transport::set_peers).
    pub(super) fn set_peers(&mut self, peers: &[Peer]) -> Result<(), TransportError> {
        options::check_peers(peers, self.options.address)?;
        self.options.peers = peers.to_vec();
        self.peers.replace(peers, self.options.port, &self.local, &mut self.stats.peers);
        Ok(())
    }

    /// Implements [`Transport::set_block_unlisted`](super::Transport::set_block_unlisted).
    pub(super) fn set_block_unlisted(&mut self, block: bool) {
        self.options.block_unlisted = block;
    }

    /// Implements [`Transport::set_dscp`](super::Transport::set_dscp).
    pub(super) fn set_dscp(&mut self, dscp: Option<u8>) -> Result<(), TransportError> {
        options::check_dscp(dscp)?;
        if let Some(sockets) = &self.sockets {
            let applied = socket::mark(sockets.sender(), self.local.addr.is_ipv4(), Some(dscp.unwrap_or(0)))?;
            self.stats.dscp = dscp.and(applied);
        }
        self.options.dscp = dscp;
        Ok(())
    }

    /// Implements [`Transport::check_interface`](super::Transport::check_interface).
    pub(super) fn check_interface(&mut self) -> InterfaceChange {
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

    /// The address is on another interface, or its interface has another number, and the sockets hold the old
    /// number.
    fn reopen(&mut self, local: Local) -> InterfaceChange {
        // The old sockets must be closed first, because they have the ports.
        self.sockets = None;
        self.kernel_drops_before = self.stats.dropped_in.kernel;
        match Sockets::open(&self.options, &local, &mut self.stats) {
            Ok(sockets) => {
                self.sockets = Some(sockets);
                self.cuts = true;
                self.local = local;
                self.up = true;
                self.peers.replace(
                    &self.options.peers,
                    self.options.port,
                    &self.local,
                    &mut self.stats.peers,
                );
                // A task that waits in poll_recv may wait on sockets that are closed by now.
                self.looped.wake();
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

    /// Rejoins the group if needed: an interface that disappeared and returned has left its groups, even if
    /// no check noticed.
    fn keep_joined(&mut self, came_back: bool) {
        let (Some(Sockets::Udp(udp)), Some(Cast::Multicast { group, .. })) =
            (&self.sockets, self.options.kind.cast())
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
        count_kernel_drops(now, &mut self.stats, &mut self.logs);
    }
}

impl Sockets {
    fn open(options: &Options, local: &Local, stats: &mut Stats) -> Result<Self, TransportError> {
        match options.kind.cast() {
            None => Udpu::open(options, local, stats).map(Self::Udpu),
            Some(cast) => Udp::open(options, cast, local, stats).map(|udp| Self::Udp(Box::new(udp))),
        }
    }

    /// The ports that are bound for this node alone, and their purposes.
    fn ports(options: &Options) -> Vec<(u16, &'static str)> {
        match options.kind.cast() {
            None => vec![(options.port, udpu::PURPOSE)],
            Some(_) => vec![(options.port - 1, udp::SEND), (options.port, udp::TOKEN)],
        }
    }

    fn sender(&self) -> &Socket {
        match self {
            Self::Udpu(udpu) => udpu.sender(),
            Self::Udp(udp) => udp.sender(),
        }
    }

    fn coalesces(&self) -> bool {
        match self {
            Self::Udpu(udpu) => udpu.coalesces(),
            Self::Udp(udp) => udp.coalesces(),
        }
    }

    /// The source address of this node's own multicasts, if the network may return them.
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
