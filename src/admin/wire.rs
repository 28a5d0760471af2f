//! The messages of Corosync's CFG service that clients of this node send and get.
//!
//! Source: corosync `include/corosync/ipc_cfg.h`. All in this host's byte order.

use zerocopy::byteorder::{NativeEndian, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::service::wire::{HeaderBytes, ReplyHeaderBytes};

/// Exec functions: ring re-enable, kill, shutdown, reload, crypto reconfiguration.
pub(crate) const FUNCTIONS: u16 = 5;

/// Request numbers.
pub(crate) mod request {
    pub(crate) const GET_NODE_ADDRS: u16 = 5;
    pub(crate) const LOCAL_GET: u16 = 6;
}

/// What each request is answered with, by request number: reply id and length.
///
/// The reply to GET_NODE_ADDRS is longer by 16 bytes for each address.
pub(crate) const REPLIES: [(i32, usize); 12] = [
    (0, 10272), // ring status
    (1, 24),    // ring re-enable
    (8, 24),    // kill node
    (9, 24),    // try shutdown
    (13, 24),   // reply to shutdown
    (11, 32),   // node addresses
    (12, 32),   // local node id
    (14, 24),   // reload configuration
    (15, 24),   // reopen log files
    (16, 32),   // node status: this length when it is refused
    (2, 24),    // start tracking
    (3, 24),    // stop tracking
];

/// Lib GET_NODE_ADDRS request.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct NodeAddrsRequestBytes {
    pub(crate) header: HeaderBytes<NativeEndian>,
    pub(crate) node: U32<NativeEndian>,
    pub(crate) pad: [u8; 4],
}
const _: () = assert!(size_of::<NodeAddrsRequestBytes>() == 24);

/// Lib GET_NODE_ADDRS reply without its addresses, which follow in 16 bytes each.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct NodeAddrsReplyBytes {
    pub(crate) header: ReplyHeaderBytes,
    /// `AF_INET` or `AF_INET6`, of the first address.
    pub(crate) family: U32<NativeEndian>,
    pub(crate) count: U32<NativeEndian>,
}
const _: () = assert!(size_of::<NodeAddrsReplyBytes>() == 32);

/// Lib LOCAL_GET reply.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct LocalGetReplyBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) node: U32<NativeEndian>,
    pub(crate) pad: [u8; 4],
}
const _: () = assert!(size_of::<LocalGetReplyBytes>() == 32);
