//! The events for clients that track.

use zerocopy::{IntoBytes, U32, U64};

use super::super::{NE, RingBytes};
use super::{STATE_NONE, State, response};
use crate::error::Status;
use crate::ids::{NodeId, RingId};
use crate::service::wire::ReplyHeaderBytes;
use crate::service::wire::layout::{PaddedU32, layout, to_bytes};

layout! {
    /// A node in a quorum event.
    #[derive(Debug, PartialEq, Eq)]
    pub(crate) struct NodeStateBytes: 8 {
        /// Node id; 0: the quorum device.
        pub(crate) node: U32<NE>,
        pub(crate) state: U32<NE>,
    }

    /// QUORUM event without its nodes, which follow.
    pub(crate) struct QuorumBytes: 48, ReplyHeaderBytes {
        pub(crate) quorate: PaddedU32<NE>,
        pub(crate) context: U64<NE>,
        pub(crate) count: PaddedU32<NE>,
    }

    /// The event EXPECTEDVOTES as bytes.
    pub(crate) struct ExpectedVotesBytes: 40, ReplyHeaderBytes {
        pub(crate) context: U64<NE>,
        pub(crate) expected_votes: PaddedU32<NE>,
    }

    /// NODELIST event without its nodes, which follow as 32-bit numbers.
    pub(crate) struct NodelistBytes: 56, ReplyHeaderBytes {
        pub(crate) context: U64<NE>,
        pub(crate) ring: RingBytes,
        pub(crate) count: PaddedU32<NE>,
    }
}

impl NodeStateBytes {
    fn new(node: u32, state: u32) -> Self {
        Self { node: U32::new(node), state: U32::new(state) }
    }
}

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
        let context = U64::new(context);
        match *self {
            Self::Quorum { quorate, nodes, device } => {
                let states = nodes.iter().map(|(node, state)| NodeStateBytes::new(node.get(), *state as u32));
                let device = device.then(|| NodeStateBytes::new(0, STATE_NONE));
                let states: Vec<NodeStateBytes> = states.chain(device).collect();
                let size = size_of::<QuorumBytes>() + size_of_val(&states[..]);
                let head = QuorumBytes {
                    header: ReplyHeaderBytes::new(response::QUORUM, size, Status::Ok),
                    quorate: PaddedU32::new(quorate.into()),
                    context,
                    count: PaddedU32::new(states.len() as u32),
                };
                [head.as_bytes(), states.as_bytes()].concat()
            }
            Self::ExpectedVotes(votes) => {
                let size = size_of::<ExpectedVotesBytes>();
                let header = ReplyHeaderBytes::new(response::EXPECTED_VOTES, size, Status::Ok);
                to_bytes(&ExpectedVotesBytes { header, context, expected_votes: PaddedU32::new(votes) })
            }
            Self::Nodelist { ring, members } => {
                let ids: Vec<U32<NE>> = members.iter().map(|node| U32::new(node.get())).collect();
                let size = size_of::<NodelistBytes>() + size_of_val(&ids[..]);
                let head = NodelistBytes {
                    header: ReplyHeaderBytes::new(response::NODELIST, size, Status::Ok),
                    context,
                    ring: RingBytes::new(ring),
                    count: PaddedU32::new(members.len() as u32),
                };
                [head.as_bytes(), ids.as_bytes()].concat()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::node;

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
