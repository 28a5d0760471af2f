//! The two smallest frames: merge detect message and token hold cancel.

use bytes::{Bytes, BytesMut};
use zerocopy::byteorder::{ByteOrder, LE, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{HeaderBytes, Kind, RingIdBytes, WireError, node, put, ring, split};
use crate::ids::{NodeId, RingId};

/// Source: corosync `exec/totemsrp.c`, `struct memb_merge_detect` (packed).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct MergeBytes<O: ByteOrder> {
    header: HeaderBytes<O>,
    system_from: U32<O>,
    ring: RingIdBytes<O>,
}
const _: () = assert!(size_of::<MergeBytes<LE>>() == 29);

/// Source: corosync `exec/totemsrp.c`, `struct token_hold_cancel` (packed).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct CancelBytes<O: ByteOrder> {
    header: HeaderBytes<O>,
    ring: RingIdBytes<O>,
}
const _: () = assert!(size_of::<CancelBytes<LE>>() == 25);

/// Announces a ring; a node of another ring that receives it starts to gather.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeDetect {
    /// The representative that sent it.
    pub from: NodeId,
    /// The ring that it represents.
    pub ring: RingId,
}

/// Announces that a node has something to send; the representative then releases the held token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldCancel {
    /// The node that sent it.
    pub from: NodeId,
    /// The ring whose token is to be released.
    pub ring: RingId,
}

impl MergeDetect {
    pub(super) fn parse<O: ByteOrder>(datagram: &[u8]) -> Result<Self, WireError> {
        let (bytes, _) = split::<MergeBytes<O>>(Kind::MergeDetect, datagram)?;
        Ok(Self {
            from: node(Kind::MergeDetect, bytes.system_from.get())?,
            ring: ring(Kind::MergeDetect, bytes.ring)?,
        })
    }

    /// Encodes the frame.
    pub fn encode<O: ByteOrder>(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(size_of::<MergeBytes<O>>());
        put(
            &mut out,
            &MergeBytes::<O> {
                header: HeaderBytes::new(Kind::MergeDetect, 0, self.from.get()),
                system_from: U32::new(self.from.get()),
                ring: RingIdBytes::new(self.ring),
            },
        );
        out.freeze()
    }
}

impl HoldCancel {
    pub(super) fn parse<O: ByteOrder>(datagram: &[u8]) -> Result<Self, WireError> {
        let (bytes, _) = split::<CancelBytes<O>>(Kind::HoldCancel, datagram)?;
        Ok(Self {
            from: node(Kind::HoldCancel, bytes.header.nodeid.get())?,
            ring: ring(Kind::HoldCancel, bytes.ring)?,
        })
    }

    /// Encodes the frame.
    pub fn encode<O: ByteOrder>(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(size_of::<CancelBytes<O>>());
        put(
            &mut out,
            &CancelBytes::<O> {
                header: HeaderBytes::new(Kind::HoldCancel, 0, self.from.get()),
                ring: RingIdBytes::new(self.ring),
            },
        );
        out.freeze()
    }
}
