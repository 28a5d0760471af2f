//! How the links to a node are.
//!
//! Source: corosync `exec/cfg.c`, `include/corosync/cfg.h`; corosync-cfgtool(8), options `-s` and `-n`.

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
