//! Join and leave messages.

use bytes::{Bytes, BytesMut};
use zerocopy::byteorder::{ByteOrder, LE, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{HeaderBytes, Kind, MAX_NODES, WireError, count, list, node, put, split};
use crate::ids::NodeId;

/// Fixed part of a join message on the wire, in its sender's byte order `O`.
///
/// Source: corosync `exec/totemsrp.c`, `struct memb_join` (packed).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct JoinBytes<O: ByteOrder> {
    header: HeaderBytes<O>,
    system_from: U32<O>,
    proc_entries: U32<O>,
    failed_entries: U32<O>,
    ring_seq: U64<O>,
}
const _: () = assert!(size_of::<JoinBytes<LE>>() == 33 && align_of::<JoinBytes<LE>>() == 1);

/// A join or leave message: with which nodes its sender would form a ring, and which it has given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The node that sent it.
    pub from: NodeId,
    /// Whether this is a leave message; the sender is then the last entry of `failed`.
    pub leave: bool,
    /// Sequence number of the sender's ring.
    pub ring_seq: u64,
    /// The nodes that the sender knows, in any order, each once.
    pub proc: Vec<NodeId>,
    /// The nodes of `proc` that the sender has given up.
    pub failed: Vec<NodeId>,
}

impl Join {
    pub(super) fn parse<O: ByteOrder>(datagram: &[u8]) -> Result<Self, WireError> {
        const KIND: Kind = Kind::Join;
        let (fixed, rest) = split::<JoinBytes<O>>(KIND, datagram)?;
        let proc = count(KIND, fixed.proc_entries.get().into(), MAX_NODES)?;
        let failed = count(KIND, fixed.failed_entries.get().into(), MAX_NODES)?;
        let (proc, rest) = list::<U32<O>>(KIND, proc, datagram.len(), rest)?;
        let (failed, _) = list::<U32<O>>(KIND, failed, datagram.len(), rest)?;
        let nodes = |list: &[U32<O>]| -> Result<Vec<NodeId>, WireError> {
            list.iter().map(|id| node(KIND, id.get())).collect()
        };
        let header = fixed.header.nodeid.get();
        let from = node(KIND, fixed.system_from.get())?;
        if header != 0 && header != from.get() {
            return Err(WireError::Value(KIND, "sender"));
        }
        Ok(Self {
            from,
            leave: header == 0,
            ring_seq: fixed.ring_seq.get(),
            proc: nodes(proc)?,
            failed: nodes(failed)?,
        })
    }

    /// Encodes the message. Lists longer than [`MAX_NODES`] are truncated; callers keep theirs within it.
    pub fn encode<O: ByteOrder>(&self) -> Bytes {
        let proc = &self.proc[..self.proc.len().min(MAX_NODES)];
        let failed = &self.failed[..self.failed.len().min(MAX_NODES)];
        let mut out = BytesMut::with_capacity(size_of::<JoinBytes<O>>() + 4 * (proc.len() + failed.len()));
        put(
            &mut out,
            &JoinBytes::<O> {
                header: HeaderBytes::new(Kind::Join, 0, if self.leave { 0 } else { self.from.get() }),
                system_from: U32::new(self.from.get()),
                proc_entries: U32::new(proc.len() as u32),
                failed_entries: U32::new(failed.len() as u32),
                ring_seq: U64::new(self.ring_seq),
            },
        );
        for id in proc.iter().chain(failed) {
            put(&mut out, &U32::<O>::new(id.get()));
        }
        out.freeze()
    }
}
