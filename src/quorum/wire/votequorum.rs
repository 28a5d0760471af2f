//! Requests, replies and events of votequorum.
//!
//! Source: corosync `include/corosync/ipc_votequorum.h`.

use zerocopy::byteorder::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(crate) use super::NumberRequestBytes;
use super::{NAME_LEN, NE, RingBytes, name_bytes};
use crate::error::Status;
use crate::ids::{NodeId, RingId};
use crate::service::wire::{HeaderBytes, ReplyHeaderBytes};

/// Request numbers.
pub(crate) mod request {
    pub(crate) const GET_INFO: u16 = 0;
    pub(crate) const SET_EXPECTED: u16 = 1;
    pub(crate) const SET_VOTES: u16 = 2;
    pub(crate) const TRACK_START: u16 = 3;
    pub(crate) const TRACK_STOP: u16 = 4;
    pub(crate) const QDEVICE_REGISTER: u16 = 5;
    pub(crate) const QDEVICE_UNREGISTER: u16 = 6;
    pub(crate) const QDEVICE_UPDATE: u16 = 7;
    pub(crate) const QDEVICE_POLL: u16 = 8;
    pub(crate) const QDEVICE_MASTER_WINS: u16 = 9;
    pub(crate) const COUNT: u16 = 10;
}

/// Reply and event numbers.
pub(crate) mod response {
    /// The reply to every request but GETINFO: only a status.
    pub(crate) const STATUS: i32 = 0;
    pub(crate) const GET_INFO: i32 = 1;
    /// Event: a decision on quorum.
    pub(crate) const QUORUM: i32 = 3;
    /// Event: changed expected votes.
    pub(crate) const EXPECTED_VOTES: i32 = 4;
    /// Event: a new ring with its members.
    pub(crate) const NODELIST: i32 = 5;
}

/// State of a node: none; used for the quorum device in a list of nodes.
pub(crate) const STATE_NONE: u32 = 0;
/// State of a node: on the ring.
pub(crate) const STATE_MEMBER: u32 = 1;
/// State of a node: no longer on the ring.
pub(crate) const STATE_DEAD: u32 = 2;
/// State of a node: about to leave cleanly.
pub(crate) const STATE_LEAVING: u32 = 3;

/// Flags of a GETINFO reply.
pub(crate) mod info {
    pub(crate) const TWO_NODE: u32 = 1;
    pub(crate) const QUORATE: u32 = 2;
    pub(crate) const WAIT_FOR_ALL: u32 = 4;
    pub(crate) const LAST_MAN_STANDING: u32 = 8;
    pub(crate) const AUTO_TIE_BREAKER: u32 = 16;
    pub(crate) const ALLOW_DOWNSCALE: u32 = 32;
    pub(crate) const QDEVICE_REGISTERED: u32 = 64;
    pub(crate) const QDEVICE_ALIVE: u32 = 128;
    pub(crate) const QDEVICE_CAST_VOTE: u32 = 256;
    pub(crate) const QDEVICE_MASTER_WINS: u32 = 512;
}

/// SETVOTES request.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct SetVotesRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) votes: U32<NE>,
    /// Node id; 0: the quorum device.
    pub(crate) node: U32<NE>,
}
const _: () = assert!(size_of::<SetVotesRequestBytes>() == 24);

impl SetVotesRequestBytes {
    /// A request that sets these votes.
    pub(crate) fn new(node: u32, votes: u32) -> Self {
        let header = HeaderBytes::new(request::SET_VOTES.into(), size_of::<Self>());
        Self { header, votes: U32::new(votes), node: U32::new(node) }
    }
}

/// TRACKSTART request.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct TrackStartRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    /// A number of the client, which is repeated in every event.
    pub(crate) context: U64<NE>,
    pub(crate) flags: U32<NE>,
    pub(crate) pad: [u8; 4],
}
const _: () = assert!(size_of::<TrackStartRequestBytes>() == 32);

impl TrackStartRequestBytes {
    /// A request with these flags.
    pub(crate) fn new(context: u64, flags: u32) -> Self {
        let header = HeaderBytes::new(request::TRACK_START.into(), size_of::<Self>());
        Self { header, context: U64::new(context), flags: U32::new(flags), pad: [0; 4] }
    }
}

/// QDEVICE_REGISTER and QDEVICE_UNREGISTER requests.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct DeviceRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) name: [u8; NAME_LEN],
    pub(crate) pad: [u8; 1],
}
const _: () = assert!(size_of::<DeviceRequestBytes>() == 272);

impl DeviceRequestBytes {
    /// A request about the device of this name.
    pub(crate) fn new(request: u16, name: &[u8]) -> Self {
        let header = HeaderBytes::new(request.into(), size_of::<Self>());
        Self { header, name: name_bytes(name), pad: [0; 1] }
    }
}

/// QDEVICE_UPDATE request.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct DeviceUpdateRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) old_name: [u8; NAME_LEN],
    pub(crate) new_name: [u8; NAME_LEN],
    pub(crate) pad: [u8; 2],
}
const _: () = assert!(size_of::<DeviceUpdateRequestBytes>() == 528);

impl DeviceUpdateRequestBytes {
    /// A request that renames the device.
    pub(crate) fn new(old_name: &[u8], new_name: &[u8]) -> Self {
        let header = HeaderBytes::new(request::QDEVICE_UPDATE.into(), size_of::<Self>());
        Self { header, old_name: name_bytes(old_name), new_name: name_bytes(new_name), pad: [0; 2] }
    }
}

/// QDEVICE_POLL request.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct DevicePollRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) name: [u8; NAME_LEN],
    pub(crate) pad_name: [u8; 1],
    pub(crate) cast_vote: U32<NE>,
    pub(crate) pad_cast: [u8; 4],
    pub(crate) ring: RingBytes,
}
const _: () = assert!(size_of::<DevicePollRequestBytes>() == 296);

impl DevicePollRequestBytes {
    /// A request with the device's vote for a ring.
    pub(crate) fn new(name: &[u8], cast_vote: bool, ring: Option<RingId>) -> Self {
        Self {
            header: HeaderBytes::new(request::QDEVICE_POLL.into(), size_of::<Self>()),
            name: name_bytes(name),
            pad_name: [0; 1],
            cast_vote: U32::new(cast_vote.into()),
            pad_cast: [0; 4],
            ring: RingBytes::new(ring),
        }
    }
}

/// QDEVICE_MASTER_WINS request.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct DeviceMasterWinsRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) name: [u8; NAME_LEN],
    pub(crate) pad_name: [u8; 1],
    pub(crate) allow: U32<NE>,
    pub(crate) pad_allow: [u8; 4],
}
const _: () = assert!(size_of::<DeviceMasterWinsRequestBytes>() == 280);

impl DeviceMasterWinsRequestBytes {
    /// A request that switches `master_wins`.
    pub(crate) fn new(name: &[u8], allow: bool) -> Self {
        Self {
            header: HeaderBytes::new(request::QDEVICE_MASTER_WINS.into(), size_of::<Self>()),
            name: name_bytes(name),
            pad_name: [0; 1],
            allow: U32::new(allow.into()),
            pad_allow: [0; 4],
        }
    }
}

/// GETINFO reply.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct InfoReplyBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) node: U32<NE>,
    pub(crate) state: U32<NE>,
    pub(crate) votes: U32<NE>,
    pub(crate) expected_votes: U32<NE>,
    pub(crate) highest_expected: U32<NE>,
    pub(crate) total_votes: U32<NE>,
    pub(crate) quorum: U32<NE>,
    /// Bits of [`info`].
    pub(crate) flags: U32<NE>,
    pub(crate) device_votes: U32<NE>,
    /// Always NUL-terminated, because libvotequorum copies it as a string.
    pub(crate) device_name: [u8; NAME_LEN],
    pub(crate) pad: [u8; 5],
}
const _: () = assert!(size_of::<InfoReplyBytes>() == 320);

impl InfoReplyBytes {
    /// A reply that contains only a status.
    pub(crate) fn empty(status: Status) -> Self {
        let mut reply = Self::new_zeroed();
        reply.header = ReplyHeaderBytes::new(response::GET_INFO, size_of::<Self>(), status);
        reply
    }
}

/// A node in a quorum event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct NodeStateBytes {
    /// Node id; 0: the quorum device.
    pub(crate) node: U32<NE>,
    pub(crate) state: U32<NE>,
}
const _: () = assert!(size_of::<NodeStateBytes>() == 8);

/// QUORUM event without its nodes, which follow.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct QuorumBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) quorate: U32<NE>,
    pub(crate) pad_quorate: [u8; 4],
    pub(crate) context: U64<NE>,
    pub(crate) count: U32<NE>,
    pub(crate) pad_count: [u8; 4],
}
const _: () = assert!(size_of::<QuorumBytes>() == 48);

/// EXPECTEDVOTES event.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct ExpectedVotesBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) context: U64<NE>,
    pub(crate) expected_votes: U32<NE>,
    pub(crate) pad: [u8; 4],
}
const _: () = assert!(size_of::<ExpectedVotesBytes>() == 40);

impl ExpectedVotesBytes {
    /// An event with this number of expected votes.
    pub(crate) fn new(context: u64, expected_votes: u32) -> Self {
        Self {
            header: ReplyHeaderBytes::new(response::EXPECTED_VOTES, size_of::<Self>(), Status::Ok),
            context: U64::new(context),
            expected_votes: U32::new(expected_votes),
            pad: [0; 4],
        }
    }
}

/// NODELIST event without its nodes, which follow as 32-bit numbers.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct NodelistBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) context: U64<NE>,
    pub(crate) ring: RingBytes,
    pub(crate) count: U32<NE>,
    pub(crate) pad_count: [u8; 4],
}
const _: () = assert!(size_of::<NodelistBytes>() == 56);

/// A QUORUM event.
pub(crate) fn quorum(quorate: bool, context: u64, nodes: &[NodeStateBytes]) -> Vec<u8> {
    let size = size_of::<QuorumBytes>() + size_of_val(nodes);
    let head = QuorumBytes {
        header: ReplyHeaderBytes::new(response::QUORUM, size, Status::Ok),
        quorate: U32::new(quorate.into()),
        pad_quorate: [0; 4],
        context: U64::new(context),
        count: U32::new(nodes.len() as u32),
        pad_count: [0; 4],
    };
    let mut event = Vec::with_capacity(size);
    event.extend_from_slice(head.as_bytes());
    event.extend_from_slice(nodes.as_bytes());
    event
}

/// A NODELIST event.
pub(crate) fn nodelist(context: u64, ring: Option<RingId>, members: &[NodeId]) -> Vec<u8> {
    let size = size_of::<NodelistBytes>() + 4 * members.len();
    let head = NodelistBytes {
        header: ReplyHeaderBytes::new(response::NODELIST, size, Status::Ok),
        context: U64::new(context),
        ring: RingBytes::new(ring),
        count: U32::new(members.len() as u32),
        pad_count: [0; 4],
    };
    let mut event = Vec::with_capacity(size);
    event.extend_from_slice(head.as_bytes());
    for node in members {
        event.extend_from_slice(&node.get().to_ne_bytes());
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node_state(node: u32, state: u32) -> NodeStateBytes {
        NodeStateBytes { node: U32::new(node), state: U32::new(state) }
    }

    /// docs/protocol/services.md, "Captured messages": "votequorum's quorum event: nodes 2, 3, 1, all members
    /// (72)".
    #[test]
    #[cfg(target_endian = "little")]
    fn the_quorum_event_is_byte_exact() {
        #[rustfmt::skip]
        let wire = [
            3, 0, 0, 0, 0, 0, 0, 0, 0x48, 0, 0, 0, 0, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0,
            2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0,
            1, 0, 0, 0, 1, 0, 0, 0,
        ];
        let nodes = [2, 3, 1].map(|node| node_state(node, STATE_MEMBER));
        assert_eq!(quorum(true, 0, &nodes), wire);
    }

    /// docs/protocol/services.md, "Requests and events of votequorum": the offsets of fields that clients
    /// read.
    #[test]
    fn fields_are_where_clients_look() {
        let ring = RingId { rep: NodeId::new(1).unwrap(), seq: 9 };
        let event = nodelist(5, Some(ring), &[NodeId::new(1).unwrap(), NodeId::new(4).unwrap()]);
        assert_eq!(event.len(), 56 + 8);
        assert_eq!(event[32..36], 1u32.to_ne_bytes());
        assert_eq!(event[40..48], 9u64.to_ne_bytes());
        assert_eq!(event[48..52], 2u32.to_ne_bytes());
        assert_eq!(event[60..64], 4u32.to_ne_bytes());

        let poll = DevicePollRequestBytes::new(b"Qdevice", true, Some(ring));
        assert_eq!(poll.as_bytes()[272..276], 1u32.to_ne_bytes());
        assert_eq!(poll.as_bytes()[280..284], 1u32.to_ne_bytes());
        assert_eq!(poll.as_bytes()[288..296], 9u64.to_ne_bytes());

        let mut reply = InfoReplyBytes::empty(Status::Ok);
        reply.device_votes = U32::new(3);
        reply.device_name = name_bytes(b"Qdevice");
        assert_eq!(reply.as_bytes()[56..60], 3u32.to_ne_bytes());
        assert_eq!(&reply.as_bytes()[60..68], b"Qdevice\0");

        let update = DeviceUpdateRequestBytes::new(b"a", b"b");
        assert_eq!((update.as_bytes()[16], update.as_bytes()[271]), (b'a', b'b'));
        assert_eq!(SetVotesRequestBytes::new(3, 2).as_bytes()[16..20], 2u32.to_ne_bytes());
    }
}
