//! Errors of starting a node.

use std::net::IpAddr;

use super::store::StoreError;
use crate::stack::SetupError;
use crate::transport::TransportError;

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// [`Builder::id`](super::Builder::id) was not called, or with 0.
    #[error("a node needs an id other than 0: Builder::id")]
    NoId,
    /// [`Builder::address`](super::Builder::address) was not called, and the peers do not name this node.
    #[error("a node needs an address: Builder::address, or an entry of its own id in Builder::peers")]
    NoAddress,
    /// A peer's id is 0.
    #[error("the peer at {0} has node id 0")]
    PeerZero(IpAddr),
    /// The configuration needs something that this version cannot run, or no ring can form with it.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The links of [`Builder::knet`](super::Builder::knet) do not fit the peers or each other.
    #[error("{0}")]
    Links(String),
    /// The sockets of the ring cannot be opened.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The stored ring id cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A text in [`Builder::quorum`](super::Builder::quorum) is too long for a key.
    #[error("the text for {0} is too long")]
    Quorum(&'static str),
    /// The quorum settings are invalid.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The system starts no thread or event loop for the node, or it refuses a descriptor.
    #[error("no event loop for the node: {0}")]
    Runtime(String),
}
