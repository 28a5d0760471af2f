//! The comparison of the versions of all nodes' configurations.

/// The state of the comparison of versions.
#[derive(Debug, Default)]
pub(super) struct VersionCheck {
    pub(super) own: u64,
    pub(super) highest: u64,
    /// No member comes from an earlier ring of this node: this is the node's first ring.
    pub(super) alone: bool,
    /// Whether the comparison has been made; it is made once in the life of a process.
    pub(super) made: bool,
    /// The version has changed and the other nodes have not been told.
    pub(super) untold: bool,
}

impl VersionCheck {
    /// Records the version that a node has sent.
    pub(super) fn heard(&mut self, other: bool, version: u64) {
        if other {
            self.highest = self.highest.max(version);
        }
    }
}
