//! What whoever asked for a reload is told about it.

use crate::ids::NodeId;

/// What became of a reload that took effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reload {
    /// Names of the keys that changed on the node that was asked, ascending; at most
    /// [`Reload::NAMES_LIMIT`] of them.
    pub changed: Vec<String>,
    /// What each member of the ring did. Empty: the daemon does not tell, as Corosync's.
    pub nodes: Vec<NodeReload>,
}

impl Reload {
    /// Names of keys that are told.
    pub const NAMES_LIMIT: usize = 256;
}

/// What one node did at a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeReload {
    /// The node that this is about.
    pub node: NodeId,
    /// What it did.
    pub outcome: NodeOutcome,
    /// Keys that its file changes and that wait for a restart of its daemon, with the place in the file.
    pub kept: Vec<String>,
}

/// What one node did at a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NodeOutcome {
    /// It uses its new file.
    Applied,
    /// It has no file to read: a program that is a node itself.
    NoFile,
    /// It was told to read its file, and does with it what it thinks right: members that cannot be asked for
    /// a verdict, as those of Corosync, are on the ring.
    Told,
}
