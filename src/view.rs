//! A configuration change, as the ring reports it to everything above.

use crate::ids::{NodeId, RingId};

/// Which half of a configuration change a [`View`] is.
///
/// Source: the EVS paper, section 2; corosync `totemip.h`, `enum totem_configuration_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewKind {
    /// Members of the last regular configuration that come along into the next one. Messages handed up
    /// after it, and before the regular view, reached only these.
    Transitional,
    /// The new ring.
    Regular,
}

/// A configuration change. Each installed ring gives one transitional view, then one regular view;
/// both name the new ring.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// Transitional or regular.
    pub kind: ViewKind,
    /// The new ring.
    pub ring: RingId,
    /// Members, ascending. Transitional: who came along from the last ring. Regular: the new ring.
    pub members: Vec<NodeId>,
    /// Who came. Empty in a transitional view.
    pub joined: Vec<NodeId>,
    /// Who went. Empty in a regular view. A node that went and came back between two rings is here
    /// and in the regular view's `joined`.
    pub left: Vec<NodeId>,
}
