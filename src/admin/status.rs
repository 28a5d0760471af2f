//! The state of the links to a node.
//!
//! Source: corosync `exec/cfg.c`, `include/corosync/cfg.h`; corosync-cfgtool(8), options `-s` and `-n`.

use crate::ids::NodeId;
use crate::service::Links;

/// Largest number of links between two nodes.
pub const LINKS: usize = 8;

/// The state of the connection to another node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// The id of the node.
    pub node: u32,
    /// Whether any link to it is up.
    pub reachable: bool,
    /// Whether it is reached through a third node. Always false here.
    pub remote: bool,
    /// Whether it is reached through an external route. Always false here.
    pub external: bool,
    /// The links by number. One that is not configured is all zeros.
    pub links: [LinkStatus; LINKS],
}

/// The state of one link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkStatus {
    /// Whether the link is configured.
    pub enabled: bool,
    /// Whether the link is up.
    pub connected: bool,
    /// Whether the other end's address was learned from received packets.
    pub dynconnected: bool,
    /// Number of bytes of a message that one packet holds.
    pub mtu: u32,
    /// This node's address; empty: not known.
    pub from: String,
    /// The other node's address; empty: not known.
    pub to: String,
}

/// One of this node's own links, in the older form of Corosync.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnLink {
    /// The link number and this node's address on the link.
    pub name: String,
    /// `OK`, or for knet a character for each node.
    pub status: String,
}

/// MTU of a node's link to itself, as Corosync reports it.
///
/// Source: libknet, `KNET_PMTUD_SIZE_V4`, of its loopback link.
const LOOPBACK_MTU: u32 = 65535;

/// The status of a node where links are watched; `None`: the node is not configured. For this node itself Corosync
/// reports one link that is always up.
pub(super) fn watched(node: u32, me: NodeId, links: &Links) -> Option<NodeStatus> {
    let mut status = NodeStatus { node, ..NodeStatus::default() };
    if node == me.get() {
        status.reachable = true;
        for (link, address) in links.own.iter().take(1) {
            let Some(own) = status.links.get_mut(usize::from(*link)) else { continue };
            let (from, to) = (address.to_string(), address.to_string());
            *own = LinkStatus {
                enabled: true,
                connected: true,
                dynconnected: false,
                mtu: LOOPBACK_MTU,
                from,
                to,
            };
        }
        return Some(status);
    }
    let mut states = links.others.iter().filter(|state| state.node.get() == node).peekable();
    states.peek()?;
    for state in states {
        let Some(link) = status.links.get_mut(usize::from(state.link)) else { continue };
        let from = links.own.iter().find(|(own, _)| *own == state.link);
        *link = LinkStatus {
            enabled: true,
            connected: state.connected,
            dynconnected: false,
            mtu: state.mtu,
            from: from.map(|(_, address)| address.to_string()).unwrap_or_default(),
            to: state.to.map(|address| address.to_string()).unwrap_or_default(),
        };
        status.reachable |= state.connected;
    }
    Some(status)
}

/// This node's links in the older form: one character for each node, ascending: `n` for this node, `d` for one that
/// is not on the link, otherwise `1`, or `3` if it is connected.
pub(super) fn own_watched(me: NodeId, links: &Links) -> Vec<OwnLink> {
    let mut nodes: Vec<NodeId> = links.others.iter().map(|state| state.node).chain([me]).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let digit = |link: u8, node: NodeId| {
        if node == me {
            return 'n';
        }
        match links.others.iter().find(|state| (state.node, state.link) == (node, link)) {
            Some(state) if state.connected => '3',
            Some(_) => '1',
            None => 'd',
        }
    };
    let own = links.own.iter();
    own.map(|(link, address)| OwnLink {
        name: format!("{link} {address}"),
        status: nodes.iter().map(|node| digit(*link, *node)).collect(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::LinkState;

    #[test]
    fn a_node_without_any_link_is_unknown_where_links_are_watched() {
        let id = |node| NodeId::new(node).expect("not 0");
        let state = |node, connected| LinkState { node: id(node), link: 1, connected, mtu: 1400, to: None };
        let own = vec![(0, [10, 0, 0, 1].into()), (1, [10, 0, 1, 1].into())];
        let links = Links { own, others: vec![state(2, true), state(3, false)] };
        let status = |node| watched(node, id(1), &links);
        assert_eq!(status(1).map(|own| (own.reachable, own.links[0].mtu)), Some((true, LOOPBACK_MTU)));
        assert_eq!(status(2).map(|other| (other.reachable, other.links[1].mtu)), Some((true, 1400)));
        assert_eq!(status(3).map(|other| (other.reachable, other.links[1].enabled)), Some((false, true)));
        assert_eq!((status(4), status(0)), (None, None));
    }
}
