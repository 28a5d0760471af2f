//! The settings of a transport, and their validation.

use std::net::IpAddr;

use super::TransportError;
use super::knet;
use crate::ids::NodeId;

/// All settings of a [`Transport`](super::Transport), as plain data.
///
/// [`Options::new`] gives the defaults. On a reload, `peers` can be changed with
/// [`Transport::set_peers`](super::Transport::set_peers) and `dscp` with
/// [`Transport::set_dscp`](super::Transport::set_dscp); all other changes need a new transport.
///
/// Source: `corosync.conf(5)`, sections totem, interface and nodelist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How datagrams for all nodes are sent. Source: `totem.transport`, `totem.interface.mcastaddr`,
    /// `totem.interface.broadcast`, `totem.interface.ttl`.
    pub kind: Kind,
    /// The id of this node. Datagrams for it never reach the network.
    pub me: NodeId,
    /// The local address to bind, or the address of a local network (host part zero), in which case the
    /// first address of this host in that network is bound. Its interface must be up.
    ///
    /// Source: `nodelist.node.ring0_addr` of this node, `totem.interface.bindnetaddr`.
    pub address: IpAddr,
    /// The name of the interface that must have the address, because several may have the same link-local
    /// one. All link-local addresses of peers are taken to be on the interface that is found.
    ///
    /// Default: `None`, the first that has it. Source: the part after `%` in `ring0_addr` or `bindnetaddr`.
    pub interface: Option<String>,
    /// The UDP port of every node. Not 0; at least 2 with [`Kind::Udp`], which also binds the port below it.
    ///
    /// Default: [`Options::DEFAULT_PORT`]. Source: `totem.interface.mcastport`.
    pub port: u16,
    /// The nodes in node-list order; this node may be among them. One address family, ids
    /// unique, at most [`Options::MAX_PEERS`]. Source: `nodelist.node.nodeid`, `nodelist.node.ring0_addr`.
    pub peers: Vec<Peer>,
    /// Whether to drop datagrams whose source address belongs to no peer. Corosync does so on udpu only; here
    /// udp does it too, because a node outside of the list can never complete a ring anyway.
    ///
    /// Default: yes. Source: `totem.block_unlisted_ips`.
    pub block_unlisted: bool,
    /// Largest packet that the ring builds, in bytes. Only determines the socket buffers; datagrams of any
    /// size are sent and received. Range: 576 to 65507. Default: 1500. Source: `totem.netmtu`.
    pub netmtu: usize,
    /// Frames that one sender may multicast in one rotation of the token; determines the socket buffers.
    ///
    /// Range: 1 to 16384. Default: 50. Source: `totem.window_size`.
    pub window: u32,
    /// Differentiated services code point of sent packets, 0 to 63; `None` means the system's default.
    ///
    /// Default: `None`. Source: `totem.ip_dscp`.
    pub dscp: Option<u8>,
}

/// How datagrams for all nodes are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One datagram to each peer. Source: transport `udpu`.
    Udpu,
    /// One datagram to a multicast group or to the local network's broadcast address. Source: transport `udp`.
    Udp(Cast),
    /// Several links to each peer, which are monitored and encrypted. [`Options::address`],
    /// [`Options::interface`], [`Options::port`], [`Options::peers`] and [`Options::block_unlisted`] are not
    /// used, because these settings have them for each link. Source: transport `knet`.
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

    /// The destination of datagrams for all nodes, on a transport that does not send them to each node
    /// separately.
    pub(super) const fn cast(&self) -> Option<Cast> {
        match self {
            Self::Udp(cast) => Some(*cast),
            Self::Udpu | Self::Knet(_) => None,
        }
    }
}

/// Where [`Kind::Udp`] sends datagrams for all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// To a multicast group, joined on the interface of [`Options::address`].
    Multicast {
        /// The group, of the family of the local address. Source: `totem.interface.mcastaddr`.
        group: IpAddr,
        /// Time to live: number of routers that may be passed, plus one; not 0. Default: 1. Source:
        /// `totem.interface.ttl`.
        ttl: u8,
    },
    /// To 255.255.255.255; IPv4 only. Source: `totem.interface.broadcast`.
    Broadcast,
}

/// A node and the address at which it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The node's id.
    pub id: NodeId,
    /// The node's address. The port is [`Options::port`] for all.
    pub addr: IpAddr,
}

impl Options {
    /// The port that is used if none is configured.
    pub const DEFAULT_PORT: u16 = 5405;
    /// Maximum number of nodes in a cluster. Source: corosync `PROCESSOR_COUNT_MAX`.
    pub const MAX_PEERS: usize = 384;

    /// Creates options with these settings and defaults for all others.
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

    /// Checks the options. An error names the setting as `corosync.conf(5)` does.
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
        // Every IPv4 host accepts 576 bytes, and UDP over IPv4 carries at most 65507. Links cut frames into
        // fragments.
        let most = if let Kind::Knet(_) = self.kind { 65536 } else { 65507 };
        if !(576..=most).contains(&self.netmtu) {
            return refuse("netmtu", format!("it is {}; give 576 to {most}", self.netmtu));
        }
        if !(1..=16384).contains(&self.window) {
            return refuse("window_size", format!("it is {}; give 1 to 16384", self.window));
        }
        check_dscp(self.dscp)
    }

    /// Checks a node list; part of [`Options::check`], and of
    /// [`Transport::set_peers`](super::Transport::set_peers). `local` is the local address.
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

/// Checks that a code point fits into its six bits.
pub(super) fn check_dscp(dscp: Option<u8>) -> Result<(), TransportError> {
    match dscp {
        Some(dscp) if dscp > 63 => refuse("ip_dscp", format!("it is {dscp}; give 0 to 63")),
        Some(_) | None => Ok(()),
    }
}

/// Checks a node list: every destination and every sender must be identifiable.
///
/// An address that is given twice is accepted: as with Corosync, the ring forms without the node that is not
/// there.
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
