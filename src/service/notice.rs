//! What desks of the same node tell each other.

use std::sync::Arc;

use crate::ids::{NodeId, RingId};
use crate::value::Value;

/// A change of one key in the configuration database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The name of the key.
    pub name: Arc<str>,
    /// The value before; `None`: the key did not exist.
    pub old: Option<Value>,
    /// The value after; `None`: the key was removed.
    pub new: Option<Value>,
}

/// A message from one desk to all desks of the same node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum Notice {
    /// A key of the configuration database changed.
    Changed(Change),
    /// The quorum provider has decided again, possibly with the same result.
    Quorum(Quorate),
    /// This node has been in no operating ring for longer than a change of membership takes. This state ends with the
    /// next completed synchronisation.
    NoRing,
}

/// The decision of the quorum provider: whether this node's partition is quorate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quorate {
    /// The ring that the decision is about.
    pub ring: RingId,
    /// The members of that ring, ascending.
    pub members: Vec<NodeId>,
    /// Whether they are quorate.
    pub quorate: bool,
}
