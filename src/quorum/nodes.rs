//! The table of nodes: their states and votes.

use std::collections::BTreeMap;

use super::wire::exec::flag;
pub(super) use super::wire::votequorum::State;
use crate::ids::NodeId;

/// Largest number of nodes in the table, as in a ring. Nodes that are gone are removed for new ones.
///
/// Source: corosync `PROCESSOR_COUNT_MAX`.
pub(crate) const NODES_MAX: usize = 384;

/// The known data of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// The state of the node.
    pub state: State,
    /// The votes of the node.
    pub votes: u32,
    /// The number of votes that it expects of the whole cluster.
    pub expected: u32,
    /// The flags that it sent; unknown bits are kept.
    pub flags: u32,
}

impl Node {
    /// Whether all of these flags are set.
    pub(crate) const fn has(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }

    pub(super) const fn set(&mut self, flags: u32, on: bool) {
        if on {
            self.flags |= flags;
        } else {
            self.flags &= !flags;
        }
    }
}

/// All nodes ever heard of, at most [`NODES_MAX`]. This node is always in the table.
#[derive(Clone, Debug)]
pub(crate) struct Nodes {
    me: NodeId,
    table: BTreeMap<NodeId, Node>,
}

impl Nodes {
    /// A table with this node alone.
    pub(super) fn new(me: NodeId) -> Self {
        let us = Node { state: State::Member, votes: 1, expected: 0, flags: flag::FIRST };
        Self { me, table: BTreeMap::from([(me, us)]) }
    }

    /// The data of this node.
    pub(crate) fn us(&self) -> &Node {
        &self.table[&self.me]
    }

    /// The data of this node.
    pub(super) fn us_mut(&mut self) -> &mut Node {
        // `insert` removes dead nodes only, and nothing declares this node dead.
        self.table.get_mut(&self.me).expect("this node is never removed")
    }

    /// The data of a node.
    pub(crate) fn get(&self, id: NodeId) -> Option<&Node> {
        self.table.get(&id)
    }

    /// The data of a node.
    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.table.get_mut(&id)
    }

    /// Adds a node or replaces its data. Returns false if the table is full of nodes on the ring.
    pub(super) fn insert(&mut self, id: NodeId, node: Node) -> bool {
        if self.table.len() >= NODES_MAX && !self.table.contains_key(&id) {
            let gone = self.iter().find(|(_, node)| node.state == State::Dead).map(|(id, _)| id);
            let Some(gone) = gone else { return false };
            self.table.remove(&gone);
        }
        self.table.insert(id, node);
        true
    }

    /// All nodes, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.table.iter().map(|(id, node)| (*id, node))
    }

    /// The nodes whose votes count, ascending.
    pub(super) fn members(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.iter().filter(|(_, node)| node.state == State::Member)
    }

    /// Marks all nodes that are not on this ring as dead.
    pub(super) fn bury(&mut self, ring: &[NodeId]) {
        for (id, node) in &mut self.table {
            if *id != self.me && ring.binary_search(id).is_err() {
                node.state = State::Dead;
            }
        }
    }

    /// Sets the expected votes of all members.
    pub(super) fn expect(&mut self, expected: u32) {
        for node in self.table.values_mut().filter(|node| node.state == State::Member) {
            node.expected = expected;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::node as id;

    #[test]
    fn the_table_is_bounded_and_dead_nodes_are_replaced() {
        let mut nodes = Nodes::new(id(1000));
        let node = Node { state: State::Member, votes: 1, expected: 1, flags: 0 };
        for n in 1..NODES_MAX as u32 {
            assert!(nodes.insert(id(n), node));
        }
        assert!(!nodes.insert(id(2000), node));
        assert!(nodes.insert(id(5), node), "known nodes are always taken");
        nodes.bury(&(2..=NODES_MAX as u32).map(id).collect::<Vec<_>>());
        assert!(nodes.insert(id(2000), node));
        assert!(nodes.get(id(1)).is_none());
        assert_eq!(nodes.iter().count(), NODES_MAX);
        assert_eq!(nodes.us().state, State::Member);
    }
}
