//! The result of a reload for the client that asked for it.

use crate::ids::NodeId;

/// The result of a reload that took effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reload {
    /// Names of the keys that changed on the queried node, ascending; at most [`Reload::NAMES_LIMIT`] of
    /// them.
    pub changed: Vec<String>,
    /// The result at each member of the ring. Empty: the daemon does not report it, as Corosync's.
    pub nodes: Vec<NodeReload>,
}

impl Reload {
    /// Largest number of names that are reported.
    pub const NAMES_LIMIT: usize = 256;
}

/// The result of a reload at one node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeReload {
    /// The node.
    pub node: NodeId,
    /// The result.
    pub outcome: NodeOutcome,
    /// Keys that the node's file changes but that need a restart of its daemon, with their place in the file.
    pub kept: Vec<String>,
}

/// What one node did in a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NodeOutcome {
    /// It applied its new file.
    Applied,
    /// It has no file: a program that is itself a node.
    NoFile,
    /// It was told to read its file and decides for itself, because members that cannot give a verdict, such
    /// as Corosync's, are on the ring.
    Told,
}
