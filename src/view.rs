//! A configuration change, as the ring reports it to the layers above.

use crate::ids::{NodeId, RingId};

/// The kind of a [`View`]: each configuration change consists of one view of either kind.
///
/// Source: the EVS paper, section 2; corosync `totemip.h`, `enum totem_configuration_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewKind {
    /// Members of the last regular configuration that also enter the next one. Messages delivered between
    /// this view and the regular one were delivered by these members only.
    Transitional,
    /// The members of the new ring.
    Regular,
}

/// One half of a configuration change. Each installed ring produces one transitional view, then one regular
/// view; both carry the id of the new ring.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// Whether this is the transitional or the regular view.
    pub kind: ViewKind,
    /// The id of the new ring.
    pub ring: RingId,
    /// Members, ascending. Transitional: those that come from the same last ring as this node. Regular: all
    /// members of the new ring.
    pub members: Vec<NodeId>,
    /// Nodes that are new. Empty in a transitional view.
    pub joined: Vec<NodeId>,
    /// Nodes that are gone. Empty in a regular view. A node that left and returned between two rings is
    /// listed here and in the regular view's `joined`.
    pub left: Vec<NodeId>,
}

#[cfg(test)]
impl View {
    /// The regular view of the ring with this number that all of these nodes have joined; for tests.
    pub(crate) fn regular(seq: u64, ids: &[u32]) -> Self {
        let members = crate::ids::nodes(ids);
        let ring = RingId { rep: members[0], seq };
        Self { kind: ViewKind::Regular, ring, joined: members.clone(), members, left: Vec::new() }
    }
}
