//! How the links to a node are.
//!
//! Source: corosync `exec/cfg.c`, `include/corosync/cfg.h`; corosync-cfgtool(8), options `-s` and `-n`.

use crate::ids::NodeId;
use crate::service::Links;

/// Links that two nodes can have.
pub const LINKS: usize = 8;

/// What this node knows of the way to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// Which node.
    pub node: u32,
    /// Whether there is a way.
    pub reachable: bool,
    /// Whether the way leads over a third node. Never so here.
    pub remote: bool,
    /// Whether that way is somebody else's. Never so here.
    pub external: bool,
    /// Its links by number. One that is not configured is all zeros.
    pub links: [LinkStatus; LINKS],
}

/// One link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkStatus {
    /// Whether the configuration has it.
    pub enabled: bool,
    /// Whether something comes through.
    pub connected: bool,
    /// Whether the other end's address was learnt from what came.
    pub dynconnected: bool,
    /// Bytes of a message that one packet holds.
    pub mtu: u32,
    /// The address at this end; empty: not told.
    pub from: String,
    /// The address at the other end; empty: not told.
    pub to: String,
}

/// One of this node's own links, in the older form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnLink {
    /// Its number and this node's address on it.
    pub name: String,
    /// `OK`, or for knet a character for each node.
    pub status: String,
}

/// Bytes of a message that this node hands itself at once, as it is told of its link to itself.
///
/// Source: libknet, `KNET_PMTUD_SIZE_V4`, of its loopback link.
const LOOPBACK_MTU: u32 = 65535;

/// What is known of a node where links are watched; `None`: it is not configured. Of this node itself Corosync tells one
/// link that is always there.
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

/// This node's links in the older form: a character for each node, ascending. `n` is this node, `d` one that is not on
/// the link, else 1 for the link, and 2 more if it is connected.
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
