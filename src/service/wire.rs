//! The two headers that every message of every service begins with, and the messages of the
//! synchronisation.
//!
//! Source: corosync `include/corosync/corotypes.h`, `qb/qbipc_common.h` (the headers) and
//! `exec/sync.c` (barrier and service list). Exec messages travel in their sender's byte order, so
//! the order is a type parameter; requests, replies and events stay on one host and use its own.

pub(crate) mod layout;
pub(crate) mod read;

use bytes::Bytes;
use layout::{PaddedI32, PaddedU32, in_order, layout, to_bytes};
use zerocopy::{
    ByteOrder, FromBytes, I32, Immutable, IntoBytes, KnownLayout, LittleEndian, NativeEndian, U32, U64,
    Unaligned,
};

use crate::error::Status;
use crate::ids::{Endian, NodeId, RingId, ServiceId};

/// Longest request, reply, event or exec message, header included.
pub const MAX_MESSAGE: usize = 1 << 20;

/// Length of the header that requests and exec messages begin with.
pub const HEADER_LEN: usize = size_of::<HeaderBytes<NativeEndian>>();

layout! {
    /// The header of an exec message and of a client's request: 16 bytes.
    ///
    /// Peers leave undefined bytes in the padding; it is written as zeros and never read.
    pub(crate) struct HeaderBytes<O>: 16 {
        pub(crate) id: PaddedI32<O>,
        pub(crate) size: PaddedI32<O>,
    }

    /// The source of a message: `mar_message_source_t`. The connection id has a meaning to the sending node only.
    pub(crate) struct SourceBytes<O>: 16 {
        pub(crate) node: PaddedU32<O>,
        pub(crate) conn: U64<O>,
    }

    /// A ring id as totem and the synchronisation send it: 12 bytes, packed.
    struct RingBytes<O>: 12 {
        rep: U32<O>,
        seq: U64<O>,
    }

    /// The barrier, sent to go on to the next service: `struct req_exec_barrier_message`.
    struct BarrierBytes<O>: 32 {
        header: HeaderBytes<O>,
        ring: RingBytes<O>,
        pad: [u8; 4],
    }

    /// The list of the sender's services that take part: `struct req_exec_service_build_message`.
    struct ServiceListBytes<O>: 552 {
        header: HeaderBytes<O>,
        ring: RingBytes<O>,
        pad_ring: [u8; 4],
        count: PaddedI32<O>,
        services: [I32<O>; LIST_LIMIT],
    }
}

impl<O: ByteOrder> HeaderBytes<O> {
    /// A header for a message of `size` bytes, at most [`MAX_MESSAGE`] of them.
    pub(crate) fn new(id: i32, size: usize) -> Self {
        debug_assert!(size <= MAX_MESSAGE, "longer than any message may be");
        Self { id: PaddedI32::new(id), size: PaddedI32::new(size as i32) }
    }

    /// The header of an exec message: the id tells service and function.
    pub(crate) fn exec(service: ServiceId, function: u16, size: usize) -> Self {
        Self::new(i32::from(service.0) << 16 | i32::from(function), size)
    }
}

/// The header of a client's request.
pub(crate) type RequestHeader = HeaderBytes<NativeEndian>;

/// The header of a reply and of an event: 24 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct ReplyHeaderBytes<O: ByteOrder = NativeEndian> {
    pub(crate) id: PaddedI32<O>,
    pub(crate) size: PaddedI32<O>,
    pub(crate) error: PaddedI32<O>,
}
const _: () = assert!(size_of::<ReplyHeaderBytes>() == 24);

impl<O: ByteOrder> ReplyHeaderBytes<O> {
    /// A header for a reply or event of `size` bytes.
    pub(crate) fn new(id: i32, size: usize, status: Status) -> Self {
        debug_assert!(size <= MAX_MESSAGE, "longer than any message may be");
        Self {
            id: PaddedI32::new(id),
            size: PaddedI32::new(size as i32),
            error: PaddedI32::new(status.code()),
        }
    }
}

/// The 24 bytes that answer a request which never reached its desk, or one with nothing else to say.
pub(crate) fn plain_reply(id: i32, status: Status) -> [u8; 24] {
    let header = ReplyHeaderBytes::<NativeEndian>::new(id, 24, status);
    zerocopy::transmute!(header)
}

/// A reply of `size` bytes that holds nothing but a status; the rest is zeros.
pub(crate) fn empty_reply(id: i32, size: usize, status: Status) -> Vec<u8> {
    let header = ReplyHeaderBytes::<NativeEndian>::new(id, size, status);
    let mut reply = vec![0; size];
    reply[..size_of_val(&header)].copy_from_slice(header.as_bytes());
    reply
}

/// Reads id and size from a client's request header.
pub(crate) fn request_header(bytes: &[u8]) -> Option<(i32, i32)> {
    let (header, _) = HeaderBytes::<NativeEndian>::ref_from_prefix(bytes).ok()?;
    Some((header.id.get(), header.size.get()))
}

/// Reads service and function from an exec message's header.
pub(crate) fn exec_header(message: &[u8], order: Endian) -> Option<(u16, u16)> {
    let id = message.get(..HEADER_LEN)?.first_chunk::<4>()?;
    let id = order.u32(*id);
    Some(((id >> 16) as u16, id as u16))
}

impl<O: ByteOrder> RingBytes<O> {
    fn new(ring: RingId) -> Self {
        Self { rep: U32::new(ring.rep.get()), seq: U64::new(ring.seq) }
    }

    fn ring(&self) -> Option<RingId> {
        Some(RingId { rep: NodeId::new(self.rep.get())?, seq: self.seq.get() })
    }
}

const BARRIER: i32 = 0;
const SERVICE_LIST: i32 = 1;

/// Largest number of entries of a service list.
const LIST_LIMIT: usize = 128;

/// A message of the synchronisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SyncMessage {
    /// The sender has sent everything for the current service.
    Barrier { ring: RingId },
    /// The services of the sender that take part, ascending.
    Services { ring: RingId, services: Vec<ServiceId> },
}

/// Why a message of the synchronisation was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SyncError {
    #[error("{got} bytes, needs {needed}")]
    Short { needed: usize, got: usize },
    #[error("unknown message number {0}")]
    Unknown(i32),
    #[error("a ring without a representative")]
    NoRing,
    #[error("claims {0} services; 128 at most")]
    Count(i32),
    #[error("service number {0}; 63 is the highest")]
    Service(i32),
}

impl SyncMessage {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Barrier { ring } => to_bytes(&BarrierBytes::<LittleEndian> {
                header: HeaderBytes::new(BARRIER, size_of::<BarrierBytes<LittleEndian>>()),
                ring: RingBytes::new(*ring),
                pad: [0; 4],
            }),
            Self::Services { ring, services } => {
                let mut list = [I32::ZERO; LIST_LIMIT];
                // The services are this node's own, never what another node listed.
                assert!(services.len() <= usize::from(ServiceId::LIMIT), "a peer's table has 64 places");
                for (place, service) in list.iter_mut().zip(services) {
                    *place = I32::new(i32::from(service.0));
                }
                to_bytes(&ServiceListBytes::<LittleEndian> {
                    header: HeaderBytes::new(SERVICE_LIST, size_of::<ServiceListBytes<LittleEndian>>()),
                    ring: RingBytes::new(*ring),
                    pad_ring: [0; 4],
                    count: PaddedI32::new(services.len() as i32),
                    services: list,
                })
            }
        }
    }

    /// Decodes a message in its sender's byte order.
    pub(crate) fn decode(message: &Bytes, order: Endian) -> Result<Self, SyncError> {
        in_order!(order, O => Self::decode_in::<O>(message))
    }

    fn decode_in<O: ByteOrder>(message: &[u8]) -> Result<Self, SyncError> {
        let short = |needed| SyncError::Short { needed, got: message.len() };
        let (header, _) = HeaderBytes::<O>::ref_from_prefix(message).map_err(|_| short(HEADER_LEN))?;
        match header.id.get() {
            BARRIER => {
                let (barrier, _) = BarrierBytes::<O>::ref_from_prefix(message)
                    .map_err(|_| short(size_of::<BarrierBytes<O>>()))?;
                Ok(Self::Barrier { ring: barrier.ring.ring().ok_or(SyncError::NoRing)? })
            }
            SERVICE_LIST => {
                let (list, _) = ServiceListBytes::<O>::ref_from_prefix(message)
                    .map_err(|_| short(size_of::<ServiceListBytes<O>>()))?;
                let count = list.count.get();
                let entries = usize::try_from(count)
                    .ok()
                    .and_then(|count| list.services.get(..count))
                    .ok_or(SyncError::Count(count))?;
                let services = entries
                    .iter()
                    .map(|id| match u16::try_from(id.get()) {
                        Ok(id) if id < ServiceId::LIMIT => Ok(ServiceId(id)),
                        _ => Err(SyncError::Service(id.get())),
                    })
                    .collect::<Result<_, _>>()?;
                Ok(Self::Services { ring: list.ring.ring().ok_or(SyncError::NoRing)?, services })
            }
            other => Err(SyncError::Unknown(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> RingId {
        RingId { rep: NodeId::new(1).unwrap(), seq: 13 }
    }

    /// docs/protocol/services.md, "Captured messages": "barrier, ring 1.d (32)", from a Debian 12 node.
    #[test]
    fn barrier_is_byte_exact() {
        let mut wire = vec![0; 32];
        wire[8] = 0x20;
        wire[16] = 1;
        wire[20] = 0x0d;
        let barrier = SyncMessage::Barrier { ring: ring() };
        assert_eq!(barrier.encode(), wire);
        assert_eq!(SyncMessage::decode(&wire.into(), Endian::Little), Ok(barrier));
    }

    /// docs/protocol/services.md, "Captured messages": "service list 0, 2, 3, 5, ring 1.d (552)", from a
    /// Debian 12 node.
    #[test]
    fn service_list_is_byte_exact() {
        let mut wire = vec![0; 552];
        wire[0] = 1;
        wire[8..10].copy_from_slice(&[0x28, 2]);
        wire[16] = 1;
        wire[20] = 0x0d;
        wire[32] = 4;
        wire[44] = 2;
        wire[48] = 3;
        wire[52] = 5;
        let services = [0, 2, 3, 5].map(ServiceId).to_vec();
        let list = SyncMessage::Services { ring: ring(), services };
        assert_eq!(list.encode(), wire);
        assert_eq!(SyncMessage::decode(&wire.into(), Endian::Little), Ok(list));
    }

    #[test]
    fn a_big_endian_peer_is_understood() {
        let mut wire = vec![0; 552];
        wire[3] = 1;
        wire[19] = 1;
        wire[27] = 0x0d;
        wire[35] = 1;
        wire[43] = 2;
        let list = SyncMessage::Services { ring: ring(), services: vec![ServiceId::CPG] };
        assert_eq!(SyncMessage::decode(&wire.into(), Endian::Big), Ok(list));
    }

    /// docs/protocol/ring.md, "Frames that harm a peer": lists that make a C peer read out of bounds are
    /// refused with the reason.
    #[test]
    fn hostile_lists_are_refused() {
        let good = SyncMessage::Services { ring: ring(), services: vec![ServiceId::CPG] }.encode();
        let changed = |at: usize, value: i32| {
            let mut wire = good.clone();
            wire[at..at + 4].copy_from_slice(&value.to_le_bytes());
            SyncMessage::decode(&wire.into(), Endian::Little)
        };
        assert_eq!(changed(32, 129), Err(SyncError::Count(129)));
        assert_eq!(changed(32, -1), Err(SyncError::Count(-1)));
        assert_eq!(changed(40, 64), Err(SyncError::Service(64)));
        assert_eq!(changed(40, -1), Err(SyncError::Service(-1)));
        assert_eq!(changed(16, 0), Err(SyncError::NoRing));
        assert_eq!(changed(0, 7), Err(SyncError::Unknown(7)));
        for len in 0..552 {
            let cut = Bytes::copy_from_slice(&good[..len]);
            assert!(matches!(SyncMessage::decode(&cut, Endian::Little), Err(SyncError::Short { .. })));
        }
        assert!(changed(32, 128).is_ok());
    }
}
