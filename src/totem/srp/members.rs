//! Sets of nodes, as join messages carry them.

use std::fmt;

use crate::ids::NodeId;
use crate::totem::wire::MAX_NODES;

/// A set of nodes, ascending. Holds at most [`MAX_NODES`]; further nodes are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberSet(Vec<NodeId>);

impl MemberSet {
    /// Creates the set of these nodes.
    pub fn new(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        let mut set = Self::default();
        for node in nodes {
            set.insert(node);
        }
        set
    }

    /// Adds a node. Returns whether it was added; `false` if it was present or the set is full.
    pub fn insert(&mut self, node: NodeId) -> bool {
        match self.0.binary_search(&node) {
            Err(at) if self.0.len() < MAX_NODES => {
                self.0.insert(at, node);
                true
            }
            _ => false,
        }
    }

    /// Adds all of `nodes`.
    pub fn merge(&mut self, nodes: &Self) {
        for node in &nodes.0 {
            self.insert(*node);
        }
    }

    /// Whether `node` is in the set.
    pub fn contains(&self, node: NodeId) -> bool {
        self.0.binary_search(&node).is_ok()
    }

    /// Whether every node of the set is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().all(|node| other.contains(*node))
    }

    /// The nodes of the set that are not in `other`.
    pub fn minus(&self, other: &Self) -> Self {
        Self(self.0.iter().copied().filter(|node| !other.contains(*node)).collect())
    }

    /// The nodes that are in both.
    pub(super) fn both(&self, other: &Self) -> Self {
        self.minus(&self.minus(other))
    }

    /// The node with the lowest id: the representative of a ring of these members.
    pub fn lowest(&self) -> Option<NodeId> {
        self.0.first().copied()
    }

    /// The node that passes the token to `node` on a ring of these members: the one with the next lower id,
    /// or the highest.
    pub fn before(&self, node: NodeId) -> NodeId {
        let lower = self.0.partition_point(|other| *other < node);
        let before = lower.checked_sub(1).or_else(|| self.0.len().checked_sub(1));
        before.and_then(|at| self.0.get(at)).copied().unwrap_or(node)
    }

    /// The nodes, ascending.
    pub fn as_slice(&self) -> &[NodeId] {
        &self.0
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the set has no nodes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for MemberSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, node) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{node}")?;
        }
        Ok(())
    }
}
