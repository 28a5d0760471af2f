//! What desks ask the world around their node and need to know at once: the users and buffers of clients, statistics that
//! are kept outside, the state of links. Everything else that concerns the world is an [`Output`](super::Output).

use core::net::IpAddr;

use bytes::Bytes;

use crate::error::Status;
use crate::ids::{ConnId, NodeId};
use crate::value::Value;

/// The world around a node, as its desks see it. The default methods describe a node without clients of other processes
/// and without links that are watched.
pub trait Edge {
    /// The user id of a client; 0 (root) where clients have none.
    fn user(&self, conn: ConnId) -> u32 {
        let _ = conn;
        0
    }

    /// Maps the zero-copy buffer file that a client created, `path` without a NUL. Returns the token that identifies
    /// it.
    ///
    /// # Errors
    /// The status to answer: the path, owner or size is not what libcpg creates, too many buffers are open, or the
    /// client is in this process.
    fn buffer_open(&mut self, conn: ConnId, path: &[u8], size: u64) -> Result<u64, Status> {
        let _ = (conn, path, size);
        Err(Status::NotSupported)
    }

    /// Reads the request in a zero-copy buffer (40-byte header and payload) as a private copy.
    ///
    /// # Errors
    /// The status to answer: the token is unknown, or the lengths do not fit the buffer.
    fn buffer_read(&mut self, conn: ConnId, token: u64) -> Result<Bytes, Status> {
        let _ = (conn, token);
        Err(Status::NotSupported)
    }

    /// Unmaps a zero-copy buffer; an unknown token has no effect.
    fn buffer_close(&mut self, conn: ConnId, token: u64) {
        let _ = (conn, token);
    }

    /// The statistics that are kept outside of the stack and whose names begin with `prefix`, ascending; their values
    /// are computed by this call.
    fn statistics(&self, prefix: &str) -> Vec<(String, Value)> {
        let _ = prefix;
        Vec::new()
    }

    /// Resets a group of the statistics that are kept outside of the stack to zero.
    fn clear_statistics(&mut self, which: Statistics) {
        let _ = which;
    }

    /// The state of the links to other nodes; `None` where links are not watched (transports udp and udpu).
    fn links(&self) -> Option<Links> {
        None
    }
}

/// A node with nothing around it, as in the simulator: all clients are root's and none has buffers, nothing outside has
/// statistics, and links are not watched.
impl Edge for () {}

/// The state of this node's links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// This node's address on each link, by ascending link number.
    pub own: Vec<(u8, IpAddr)>,
    /// The links to other nodes, by node and link number.
    pub others: Vec<LinkState>,
}

/// The state of one link to another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// The other node.
    pub node: NodeId,
    /// The link number.
    pub link: u8,
    /// Whether the link is up.
    pub connected: bool,
    /// Number of bytes of a message that one packet on this link holds.
    pub mtu: u32,
    /// The other node's address on this link.
    pub to: Option<IpAddr>,
}

/// A group of statistics that can be reset to zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Statistics {
    /// Statistics of knet's links.
    Knet,
    /// Statistics of clients' connections.
    Ipc,
    /// Statistics of the ring.
    Totem,
    /// Statistics of the times at which this process was scheduled too late.
    Schedmiss,
    /// All groups.
    All,
}
