//! The node list as a transport needs it: the address of a node, and the node that has an address.

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

use socket2::SockAddr;

use super::Peer;
use super::addr::Local;
use super::source_port::SourcePort;
use super::stats::{PeerStats, Quiet, Traffic};
use crate::ids::NodeId;

/// The nodes in node-list order, with their socket addresses prepared for the kernel.
///
/// The position of a node here is also its position in [`Stats::peers`](super::Stats::peers).
#[derive(Debug)]
pub(super) struct Peers {
    me: NodeId,
    list: Vec<Known>,
    /// Positions of the nodes, sorted by address.
    by_addr: Vec<(IpAddr, usize)>,
    /// Where the last search ended; datagrams of one sender tend to arrive in sequence.
    last: usize,
}

#[derive(Debug)]
struct Known {
    id: NodeId,
    addr: SockAddr,
    /// Whether this node or an earlier one has the same address, so that datagrams for all nodes go there
    /// already.
    repeated: bool,
    log: Quiet,
    port: SourcePort,
}

impl Peers {
    pub(super) fn new(me: NodeId) -> Self {
        Self { me, list: Vec::new(), by_addr: Vec::new(), last: 0 }
    }

    /// Adopts a checked node list. Statistics of nodes that keep their id and address are kept.
    pub(super) fn replace(&mut self, peers: &[Peer], port: u16, local: &Local, stats: &mut Vec<PeerStats>) {
        let mut old = std::mem::take(stats);
        let before = std::mem::take(&mut self.list);
        self.by_addr.clear();
        for (index, peer) in peers.iter().enumerate() {
            let addr = SockAddr::from(target(peer.addr, port, local));
            let known = before.iter().find(|known| known.id == peer.id && known.addr == addr);
            let port = known.map_or_else(SourcePort::default, |known| known.port);
            let mut others = peers[..index].iter().chain(peers.iter().filter(|other| other.id == self.me));
            let repeated = others.any(|other| other.id != peer.id && other.addr == peer.addr);
            self.list.push(Known { id: peer.id, addr, repeated, log: Quiet::default(), port });
            self.by_addr.push((peer.addr, index));
            let kept = old.iter().position(|kept| kept.id == peer.id && kept.addr == peer.addr);
            stats.push(match kept {
                Some(kept) => old.swap_remove(kept),
                None => PeerStats {
                    id: peer.id,
                    addr: peer.addr,
                    sent: Traffic::default(),
                    received: Traffic::default(),
                    errors: Default::default(),
                },
            });
        }
        // If several nodes have one address, the first one in the list counts as the sender.
        self.by_addr.sort_unstable();
        self.by_addr.dedup_by_key(|&mut (addr, _)| addr);
        self.last = 0;
    }

    /// The positions of all nodes except this one, in node-list order, each address once.
    pub(super) fn others(&self) -> impl Iterator<Item = usize> + Clone {
        let others = self.list.iter().enumerate().filter(|(_, known)| known.id != self.me && !known.repeated);
        others.map(|(index, _)| index)
    }

    /// The position of the node with this id.
    pub(super) fn position(&self, id: NodeId) -> Option<usize> {
        self.list.iter().position(|known| known.id == id)
    }

    /// The socket address of the node at a position.
    pub(super) fn addr(&self, position: usize) -> &SockAddr {
        &self.list[position].addr
    }

    /// The rate limit of log lines about the node at a position.
    pub(super) fn log(&mut self, position: usize) -> &mut Quiet {
        &mut self.list[position].log
    }

    /// The port from which the node at a position sends.
    pub(super) fn source_port(&mut self, position: usize) -> &mut SourcePort {
        &mut self.list[position].port
    }

    /// Sets which nodes are in a ring with this one.
    pub(super) fn set_members(&mut self, members: &[NodeId]) {
        for known in &mut self.list {
            known.port.set_member(members.contains(&known.id));
        }
    }

    /// The position of the node with this address.
    pub(super) fn from(&mut self, source: IpAddr) -> Option<usize> {
        if let Some(&(addr, position)) = self.by_addr.get(self.last)
            && addr == source
        {
            return Some(position);
        }
        let place = self.by_addr.binary_search_by_key(&source, |&(addr, _)| addr).ok()?;
        self.last = place;
        Some(self.by_addr[place].1)
    }
}

/// The socket address for `addr`. A link-local IPv6 address gets the scope of the local interface.
pub(super) fn target(addr: IpAddr, port: u16, local: &Local) -> SocketAddr {
    match addr {
        IpAddr::V4(addr) => SocketAddrV4::new(addr, port).into(),
        IpAddr::V6(addr) => {
            let scoped = addr.is_unicast_link_local() || addr.is_multicast();
            SocketAddrV6::new(addr, port, 0, if scoped { local.index } else { 0 }).into()
        }
    }
}
