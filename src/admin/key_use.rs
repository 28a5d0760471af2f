//! Which key each node uses, as clients are told.

use crate::ids::NodeId;

/// The key that one node uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeKey {
    /// The node.
    pub node: NodeId,
    /// Its key, or why that is not known.
    pub uses: KeyUse,
}

/// The key of a node, or why it is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// It uses this key, or none.
    Uses {
        /// The fingerprint of its key, which reveals nothing of the key: [`KeyPrint`](crate::config::key::KeyPrint).
        /// 0: packets are not encrypted.
        print: u64,
        /// The fingerprint of a new key that is stored beside it, because a change of the key was not completed. The
        /// node accepts both.
        next: Option<u64>,
        /// Its cipher and hash, such as `aes256/sha256`.
        suite: String,
    },
    /// It is on the ring and does not answer; nodes of Corosync cannot.
    Silent,
    /// It is in the node list, or was on the ring, and is not on the ring now.
    Away,
}
