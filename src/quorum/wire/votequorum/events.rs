//! The events for clients that track.

use zerocopy::byteorder::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::super::{NE, RingBytes};
use super::{STATE_NONE, State, response};
use crate::error::Status;
use crate::ids::{NodeId, RingId};
use crate::service::wire::ReplyHeaderBytes;

/// A node in a quorum event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct NodeStateBytes {
    /// Node id; 0: the quorum device.
    pub(crate) node: U32<NE>,
    pub(crate) state: U32<NE>,
}
const _: () = assert!(size_of::<NodeStateBytes>() == 8);

impl NodeStateBytes {
    fn new(node: u32, state: u32) -> Self {
        Self { node: U32::new(node), state: U32::new(state) }
    }
}

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

/// The event EXPECTEDVOTES as bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct ExpectedVotesBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) context: U64<NE>,
    pub(crate) expected_votes: U32<NE>,
    pub(crate) pad: [u8; 4],
}
const _: () = assert!(size_of::<ExpectedVotesBytes>() == 40);

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

/// An event for clients that track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// A decision on quorum.
    Quorum {
        /// Whether this partition is quorate.
        quorate: bool,
        /// All known nodes with their states.
        nodes: &'a [(NodeId, State)],
        /// Whether a quorum device is registered at this node.
        device: bool,
    },
    /// Changed expected votes.
    ExpectedVotes(u32),
    /// A new ring with its members.
    Nodelist {
        /// The ring; `None` before the first one.
        ring: Option<RingId>,
        /// The members of the ring.
        members: &'a [NodeId],
    },
}

impl Event<'_> {
    /// Encodes the event for a client that gave the number `context`.
    pub(crate) fn encode(&self, context: u64) -> Vec<u8> {
        match *self {
            Self::Quorum { quorate, nodes, device } => quorum(context, quorate, nodes, device),
            Self::ExpectedVotes(votes) => ExpectedVotesBytes {
                header: ReplyHeaderBytes::new(
                    response::EXPECTED_VOTES,
                    size_of::<ExpectedVotesBytes>(),
                    Status::Ok,
                ),
                context: U64::new(context),
                expected_votes: U32::new(votes),
                pad: [0; 4],
            }
            .as_bytes()
            .to_vec(),
            Self::Nodelist { ring, members } => nodelist(context, ring, members),
        }
    }
}

fn quorum(context: u64, quorate: bool, nodes: &[(NodeId, State)], device: bool) -> Vec<u8> {
    let count = nodes.len() + usize::from(device);
    let size = size_of::<QuorumBytes>() + size_of::<NodeStateBytes>() * count;
    let head = QuorumBytes {
        header: ReplyHeaderBytes::new(response::QUORUM, size, Status::Ok),
        quorate: U32::new(quorate.into()),
        pad_quorate: [0; 4],
        context: U64::new(context),
        count: U32::new(count as u32),
        pad_count: [0; 4],
    };
    let mut event = Vec::with_capacity(size);
    event.extend_from_slice(head.as_bytes());
    for (node, state) in nodes {
        event.extend_from_slice(NodeStateBytes::new(node.get(), state.code()).as_bytes());
    }
    if device {
        event.extend_from_slice(NodeStateBytes::new(0, STATE_NONE).as_bytes());
    }
    event
}

fn nodelist(context: u64, ring: Option<RingId>, members: &[NodeId]) -> Vec<u8> {
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

    fn node(id: u32) -> NodeId {
        NodeId::new(id).unwrap()
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
        let nodes = [2, 3, 1].map(|id| (node(id), State::Member));
        assert_eq!(Event::Quorum { quorate: true, nodes: &nodes, device: false }.encode(0), wire);
    }

    /// docs/protocol/services.md, "Requests and events of votequorum": the offsets of fields that clients
    /// read.
    #[test]
    fn fields_are_where_clients_look() {
        let ring = RingId { rep: node(1), seq: 9 };
        let event = Event::Nodelist { ring: Some(ring), members: &[node(1), node(4)] }.encode(5);
        assert_eq!(event.len(), 56 + 8);
        assert_eq!(event[32..36], 1u32.to_ne_bytes());
        assert_eq!(event[40..48], 9u64.to_ne_bytes());
        assert_eq!(event[48..52], 2u32.to_ne_bytes());
        assert_eq!(event[60..64], 4u32.to_ne_bytes());

        let event = Event::ExpectedVotes(6).encode(5);
        assert_eq!((event.len(), &event[..4]), (40, &4i32.to_ne_bytes()[..]));
        assert_eq!((&event[24..32], &event[32..36]), (&5u64.to_ne_bytes()[..], &6u32.to_ne_bytes()[..]));
    }

    /// The device is the last entry, with node id 0 and no state; each state has its number.
    #[test]
    fn a_registered_device_is_the_last_entry() {
        let nodes = [State::Member, State::Dead, State::Leaving].map(|state| (node(9), state));
        let event = Event::Quorum { quorate: false, nodes: &nodes, device: true }.encode(7);
        assert_eq!(event.len(), 48 + 4 * 8);
        assert_eq!(event[8..12], (event.len() as i32).to_ne_bytes());
        assert_eq!((&event[32..40], &event[40..44]), (&7u64.to_ne_bytes()[..], &4u32.to_ne_bytes()[..]));
        let entries: Vec<u32> = event[48..]
            .chunks_exact(4)
            .map(|number| u32::from_ne_bytes(number.try_into().unwrap()))
            .collect();
        assert_eq!(entries, [9, 1, 9, 2, 9, 3, 0, 0]);
    }
}
