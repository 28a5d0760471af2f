//! What a transport is opened with, and which combinations are refused.

use std::net::IpAddr;

use super::TransportError;
use super::knet;
use crate::ids::NodeId;

/// Everything a [`Transport`](super::Transport) needs to know, as plain data.
///
/// [`Options::new`] gives the defaults. Reload: `peers` through
/// [`Transport::set_peers`](super::Transport::set_peers) and `dscp` through
/// [`Transport::set_dscp`](super::Transport::set_dscp); everything else needs a new transport.
///
/// Source: `corosync.conf(5)`, sections totem, interface and nodelist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How datagrams for everybody travel. Source: `totem.transport`, `totem.interface.mcastaddr`,
    /// `totem.interface.broadcast`, `totem.interface.ttl`.
    pub kind: Kind,
    /// This node. Datagrams for it never touch the network.
    pub me: NodeId,
    /// The local address to bind, or the address of a local network (host part zero), in which case the
    /// first address of this host in that network is bound. Its interface must be up.
    ///
    /// Source: `nodelist.node.ring0_addr` of this node, `totem.interface.bindnetaddr`.
    pub address: IpAddr,
    /// The interface on which the address is looked for, by name; several may have the same link-local one. All
    /// link-local addresses of peers are taken to be on the interface that is found.
    ///
    /// Default: `None`, the first that has it. Source: what stands behind `%` in `ring0_addr` or `bindnetaddr`.
    pub interface: Option<String>,
    /// The UDP port of every node. Not 0; at least 2 with [`Kind::Udp`], which also binds the port below it.
    ///
    /// Default: [`Options::DEFAULT_PORT`]. Source: `totem.interface.mcastport`.
    pub port: u16,
    /// The nodes in node-list order; this node may be among them. One address family, ids
    /// unique, at most [`Options::MAX_PEERS`]. Source: `nodelist.node.nodeid`, `nodelist.node.ring0_addr`.
    pub peers: Vec<Peer>,
    /// Drop datagrams whose source address belongs to no peer. Corosync filters on udpu only; here udp does
    /// it too, because a node outside the list can never complete a ring anyway.
    ///
    /// Default: yes. Source: `totem.block_unlisted_ips`.
    pub block_unlisted: bool,
    /// Largest packet that the ring builds, in bytes; sizes the socket buffers only, datagrams of any size are
    /// sent and received. Range: 576 to 65507. Default: 1500. Source: `totem.netmtu`.
    pub netmtu: usize,
    /// Frames that one sender may multicast in one rotation of the token; sizes the socket buffers.
    ///
    /// Range: 1 to 16384. Default: 50. Source: `totem.window_size`.
    pub window: u32,
    /// Differentiated services code point for everything sent, 0 to 63; `None` leaves the system's.
    ///
    /// Default: `None`. Source: `totem.ip_dscp`.
    pub dscp: Option<u8>,
}

/// How datagrams for everybody travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One datagram to each peer. Source: transport `udpu`.
    Udpu,
    /// One datagram to a multicast group or to the local network's broadcast address. Source: transport `udp`.
    Udp(Cast),
    /// Several links to each peer, watched and encrypted. Of the options above [`Options::address`],
    /// [`Options::interface`], [`Options::port`], [`Options::peers`] and [`Options::block_unlisted`] are not used:
    /// these settings say it by link. Source: transport `knet`.
    Knet(Box<knet::Options>),
}

impl Kind {
    /// The transport's name in `corosync.conf(5)`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Udpu => "udpu",
            Self::Udp(_) => "udp",
            Self::Knet(_) => "knet",
        }
    }

    /// Where a transport that has one socket address sends what is for everybody, if it is not to each alone.
    pub(super) const fn cast(&self) -> Option<Cast> {
        match self {
            Self::Udp(cast) => Some(*cast),
            Self::Udpu | Self::Knet(_) => None,
        }
    }
}

/// Where [`Kind::Udp`] sends datagrams for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// To a multicast group, joined on the interface of [`Options::address`].
    Multicast {
        /// The group, of the family of the local address. Source: `totem.interface.mcastaddr`.
        group: IpAddr,
        /// Routers it may pass plus one; not 0. Default: 1. Source: `totem.interface.ttl`.
        ttl: u8,
    },
    /// To 255.255.255.255; IPv4 only. Source: `totem.interface.broadcast`.
    Broadcast,
}

/// A node and where it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The node.
    pub id: NodeId,
    /// Its address. The port is [`Options::port`] for all.
    pub addr: IpAddr,
}

impl Options {
    /// The port when none is configured.
    pub const DEFAULT_PORT: u16 = 5405;
    /// Peers that fit in a cluster. Source: totem.md 5, compile-time constants (`PROCESSOR_COUNT_MAX`).
    pub const MAX_PEERS: usize = 384;

    /// Defaults for all that is not named here.
    pub fn new(kind: Kind, me: NodeId, address: IpAddr, peers: Vec<Peer>) -> Self {
        Self {
            kind,
            me,
            address,
            interface: None,
            port: Self::DEFAULT_PORT,
            peers,
            block_unlisted: true,
            netmtu: 1500,
            window: 50,
            dscp: None,
        }
    }

    /// Refuses what cannot work, naming the setting as `corosync.conf(5)` does.
    pub fn check(&self) -> Result<(), TransportError> {
        match &self.kind {
            Kind::Knet(_) => return self.check_sizes(),
            Kind::Udpu if self.port == 0 => {
                return refuse("mcastport", "it is 0; give a port from 1 to 65535");
            }
            Kind::Udp(_) if self.port < 2 => {
                return refuse(
                    "mcastport",
                    format!(
                        "it is {}; transport udp also binds the port below it, give 2 or more",
                        self.port
                    ),
                );
            }
            Kind::Udpu | Kind::Udp(_) => {}
        }
        if self.address.is_unspecified() || self.address.is_multicast() {
            return refuse(
                "ring0_addr",
                format!("{} is not the address of a host; give this node's own", self.address),
            );
        }
        match self.kind.cast() {
            Some(Cast::Multicast { group, ttl }) => self.check_group(group, ttl)?,
            Some(Cast::Broadcast) if self.address.is_ipv6() => {
                return refuse("broadcast", "IPv6 has no broadcast; give a mcastaddr instead");
            }
            Some(Cast::Broadcast) | None => {}
        }
        self.check_sizes()?;
        check_peers(&self.peers, self.address)
    }

    fn check_sizes(&self) -> Result<(), TransportError> {
        // Every IPv4 host takes 576 bytes, and UDP over IPv4 carries no more than 65507. Links cut frames up to fit.
        let most = if let Kind::Knet(_) = self.kind { 65536 } else { 65507 };
        if !(576..=most).contains(&self.netmtu) {
            return refuse("netmtu", format!("it is {}; give 576 to {most}", self.netmtu));
        }
        if !(1..=16384).contains(&self.window) {
            return refuse("window_size", format!("it is {}; give 1 to 16384", self.window));
        }
        check_dscp(self.dscp)
    }

    /// Refuses nodes of which a destination or a sender could not be told; part of [`Options::check`], and what
    /// [`Transport::set_peers`](super::Transport::set_peers) refuses. `local`: the local address.
    pub fn check_peers(peers: &[Peer], local: IpAddr) -> Result<(), TransportError> {
        check_peers(peers, local)
    }

    fn check_group(&self, group: IpAddr, ttl: u8) -> Result<(), TransportError> {
        if !group.is_multicast() {
            return refuse(
                "mcastaddr",
                format!("{group} is not a multicast address; give one of 224.0.0.0/4 or ff00::/8"),
            );
        }
        if group.is_ipv4() != self.address.is_ipv4() {
            return refuse(
                "mcastaddr",
                format!(
                    "{group} is not of the same IP version as the local address {}; give both in one",
                    self.address
                ),
            );
        }
        if ttl == 0 {
            return refuse("ttl", "it is 0, nothing would leave this host; give 1 to 255");
        }
        Ok(())
    }
}

/// Refuses a code point that does not fit in its six bits.
pub(super) fn check_dscp(dscp: Option<u8>) -> Result<(), TransportError> {
    match dscp {
        Some(dscp) if dscp > 63 => refuse("ip_dscp", format!("it is {dscp}; give 0 to 63")),
        Some(_) | None => Ok(()),
    }
}

/// Refuses a node list in which a destination or a sender could not be told.
///
/// An address that is given twice is no reason: as with Corosync, the ring forms without whoever is not there.
pub(super) fn check_peers(peers: &[Peer], local: IpAddr) -> Result<(), TransportError> {
    if peers.len() > Options::MAX_PEERS {
        return refuse(
            "nodelist",
            format!("it has {} nodes; at most {} can form a ring", peers.len(), Options::MAX_PEERS),
        );
    }
    for (index, peer) in peers.iter().enumerate() {
        if peer.addr.is_unspecified() || peer.addr.is_multicast() {
            return refuse_node(
                "ring0_addr",
                peer.id,
                format!("{} of node {} is not the address of a host", peer.addr, peer.id),
            );
        }
        if peer.addr.is_ipv4() != local.is_ipv4() {
            return refuse_node(
                "ring0_addr",
                peer.id,
                format!(
                    "{} of node {} is not of the same IP version as the local address {local}; give all nodes one",
                    peer.addr, peer.id
                ),
            );
        }
        if let Some(earlier) = peers[..index].iter().find(|earlier| earlier.id == peer.id) {
            return refuse_node(
                "nodeid",
                peer.id,
                format!("{} is given to both {} and {}", peer.id, earlier.addr, peer.addr),
            );
        }
    }
    Ok(())
}

fn refuse(setting: &'static str, why: impl Into<String>) -> Result<(), TransportError> {
    Err(TransportError::Setting { setting, node: None, why: why.into() })
}

fn refuse_node(setting: &'static str, node: NodeId, why: String) -> Result<(), TransportError> {
    Err(TransportError::Setting { setting, node: Some(node), why })
}
