//! The events for clients that track.

use zerocopy::{IntoBytes, U32, U64};

use super::super::{NE, RingBytes};
use super::response;
use crate::error::Status;
use crate::ids::{NodeId, RingId};
use crate::service::wire::ReplyHeaderBytes;
use crate::service::wire::layout::{PaddedU32, layout};

layout! {
    /// Model 0 event without its view, which follows directly and is followed by 4 more bytes.
    struct NotificationBytes: 44, ReplyHeaderBytes {
        quorate: PaddedU32<NE>,
        ring_seq: U64<NE>,
        count: U32<NE>,
    }

    /// Model 1 quorum event without its view, which follows directly and is followed by 4 more bytes.
    pub(crate) struct V1QuorumBytes: 52, ReplyHeaderBytes {
        pub(crate) quorate: PaddedU32<NE>,
        pub(crate) ring: RingBytes,
        pub(crate) count: U32<NE>,
    }

    /// Model 1 node list event without its lists, which follow directly in the order members, joined, left, and
    /// are followed by 4 more bytes.
    pub(crate) struct V1NodelistBytes: 60, ReplyHeaderBytes {
        pub(crate) ring: RingBytes,
        pub(crate) members: PaddedU32<NE>,
        pub(crate) joined: PaddedU32<NE>,
        pub(crate) left: U32<NE>,
    }
}

/// Number of bytes after the lists of an event.
const TRAILER: usize = 4;

/// An event for clients that track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// Model 0: a decision on quorum.
    Notification {
        /// Whether this partition is quorate.
        quorate: bool,
        /// The ring of the decision; `None`: there was no decision.
        ring: Option<RingId>,
        /// The members of that ring.
        members: &'a [NodeId],
    },
    /// Model 1: a decision on quorum.
    Quorum {
        /// Whether this partition is quorate.
        quorate: bool,
        /// The ring of the decision; `None`: there was no decision.
        ring: Option<RingId>,
        /// The members of that ring.
        members: &'a [NodeId],
    },
    /// Model 1: a new ring with its members.
    Nodelist {
        /// The ring; `None` before the first one.
        ring: Option<RingId>,
        /// The members of the ring.
        members: &'a [NodeId],
        /// The members that were not members of the previous ring.
        joined: &'a [NodeId],
        /// The members of the previous ring that are no longer members.
        left: &'a [NodeId],
    },
}

impl Event<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let header = |id, fixed: usize, nodes: usize| {
            ReplyHeaderBytes::new(id, fixed + 4 * nodes + TRAILER, Status::Ok)
        };
        match *self {
            Self::Notification { quorate, ring, members } => {
                let head = NotificationBytes {
                    header: header(response::NOTIFICATION, size_of::<NotificationBytes>(), members.len()),
                    quorate: PaddedU32::new(quorate.into()),
                    ring_seq: U64::new(ring.map_or(0, |ring| ring.seq)),
                    count: U32::new(members.len() as u32),
                };
                with_lists(head.as_bytes(), &[members])
            }
            Self::Quorum { quorate, ring, members } => {
                let head = V1QuorumBytes {
                    header: header(response::V1_QUORUM, size_of::<V1QuorumBytes>(), members.len()),
                    quorate: PaddedU32::new(quorate.into()),
                    ring: RingBytes::new(ring),
                    count: U32::new(members.len() as u32),
                };
                with_lists(head.as_bytes(), &[members])
            }
            Self::Nodelist { ring, members, joined, left } => {
                let nodes = members.len() + joined.len() + left.len();
                let head = V1NodelistBytes {
                    header: header(response::V1_NODELIST, size_of::<V1NodelistBytes>(), nodes),
                    ring: RingBytes::new(ring),
                    members: PaddedU32::new(members.len() as u32),
                    joined: PaddedU32::new(joined.len() as u32),
                    left: U32::new(left.len() as u32),
                };
                with_lists(head.as_bytes(), &[members, joined, left])
            }
        }
    }
}

/// An event with its lists, and what follows them.
fn with_lists(head: &[u8], lists: &[&[NodeId]]) -> Vec<u8> {
    let nodes = lists.iter().copied().flatten().flat_map(|node| node.get().to_ne_bytes());
    head.iter().copied().chain(nodes).chain([0; TRAILER]).collect()
}

#[cfg(test)]
mod tests {
    use zerocopy::FromBytes;

    use super::*;
    use crate::ids::nodes;

    fn ring() -> RingId {
        RingId { rep: nodes(&[1])[0], seq: 0x1f }
    }

    /// docs/protocol/services.md, "Captured messages": "quorum, model 0: quorate, ring number 1f, members 1 2
    /// 3 (60)".
    #[test]
    #[cfg(target_endian = "little")]
    fn the_notification_is_byte_exact() {
        #[rustfmt::skip]
        let wire = [
            3, 0, 0, 0, 0, 0, 0, 0, 0x3c, 0, 0, 0, 0, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
            0x1f, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0,
            2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0,
        ];
        let members = nodes(&[1, 2, 3]);
        let event = Event::Notification { quorate: true, ring: Some(ring()), members: &members };
        assert_eq!(event.encode(), wire);
    }

    /// docs/protocol/services.md, "Requests and events of quorum": the lists begin at 52 and 60, and the
    /// sizes are 56+4n and 64+4(m+j+l).
    #[test]
    fn model_1_events_have_their_lists_where_clients_look() {
        let members = nodes(&[7, 8]);
        let event = Event::Quorum { quorate: true, ring: Some(ring()), members: &members }.encode();
        assert_eq!(event.len(), 64);
        let (head, rest) = V1QuorumBytes::ref_from_prefix(&event).unwrap();
        assert_eq!((head.header.id.get(), head.header.size.get()), (6, 64));
        assert_eq!((head.count.get(), head.ring.ring()), (2, Some(ring())));
        assert_eq!(rest[..4], 7u32.to_ne_bytes());

        let (members, joined, left) = (nodes(&[1, 2, 3]), nodes(&[2]), nodes(&[4, 5]));
        let event = Event::Nodelist { ring: None, members: &members, joined: &joined, left: &left }.encode();
        assert_eq!(event.len(), 64 + 4 * 6);
        let (head, rest) = V1NodelistBytes::ref_from_prefix(&event).unwrap();
        assert_eq!((head.header.id.get(), head.ring.ring()), (7, None));
        assert_eq!((head.members.get(), head.joined.get(), head.left.get()), (3, 1, 2));
        let ids: Vec<u32> =
            rest.chunks_exact(4).map(|id| u32::from_ne_bytes(id.try_into().unwrap())).collect();
        assert_eq!(ids, [1, 2, 3, 2, 4, 5, 0]);
    }
}
