//! The events for clients that track.

use zerocopy::byteorder::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::super::{NE, RingBytes};
use super::response;
use crate::error::Status;
use crate::ids::{NodeId, RingId};
use crate::service::wire::ReplyHeaderBytes;

/// Model 0 event without its view, which follows directly and is followed by 4 more bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct NotificationBytes {
    header: ReplyHeaderBytes,
    quorate: U32<NE>,
    pad_quorate: [u8; 4],
    ring_seq: U64<NE>,
    count: U32<NE>,
}
const _: () = assert!(size_of::<NotificationBytes>() == 44);

/// Model 1 quorum event without its view, which follows directly and is followed by 4 more bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct V1QuorumBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) quorate: U32<NE>,
    pub(crate) pad_quorate: [u8; 4],
    pub(crate) ring: RingBytes,
    pub(crate) count: U32<NE>,
}
const _: () = assert!(size_of::<V1QuorumBytes>() == 52);

/// Model 1 node list event without its lists, which follow directly in the order members, joined, left, and
/// are followed by 4 more bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct V1NodelistBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) ring: RingBytes,
    pub(crate) members: U32<NE>,
    pub(crate) pad_members: [u8; 4],
    pub(crate) joined: U32<NE>,
    pub(crate) pad_joined: [u8; 4],
    pub(crate) left: U32<NE>,
}
const _: () = assert!(size_of::<V1NodelistBytes>() == 60);

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
    /// Encodes the event.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match *self {
            Self::Notification { quorate, ring, members } => notification(quorate, ring, members),
            Self::Quorum { quorate, ring, members } => v1_quorum(quorate, ring, members),
            Self::Nodelist { ring, members, joined, left } => v1_nodelist(ring, members, joined, left),
        }
    }
}

fn notification(quorate: bool, ring: Option<RingId>, view: &[NodeId]) -> Vec<u8> {
    let size = size_of::<NotificationBytes>() + 4 * view.len() + TRAILER;
    let head = NotificationBytes {
        header: ReplyHeaderBytes::new(response::NOTIFICATION, size, Status::Ok),
        quorate: U32::new(quorate.into()),
        pad_quorate: [0; 4],
        ring_seq: U64::new(ring.map_or(0, |ring| ring.seq)),
        count: U32::new(view.len() as u32),
    };
    with_lists(head.as_bytes(), size, &[view])
}

fn v1_quorum(quorate: bool, ring: Option<RingId>, view: &[NodeId]) -> Vec<u8> {
    let size = size_of::<V1QuorumBytes>() + 4 * view.len() + TRAILER;
    let head = V1QuorumBytes {
        header: ReplyHeaderBytes::new(response::V1_QUORUM, size, Status::Ok),
        quorate: U32::new(quorate.into()),
        pad_quorate: [0; 4],
        ring: RingBytes::new(ring),
        count: U32::new(view.len() as u32),
    };
    with_lists(head.as_bytes(), size, &[view])
}

fn v1_nodelist(ring: Option<RingId>, members: &[NodeId], joined: &[NodeId], left: &[NodeId]) -> Vec<u8> {
    let size = size_of::<V1NodelistBytes>() + 4 * (members.len() + joined.len() + left.len()) + TRAILER;
    let head = V1NodelistBytes {
        header: ReplyHeaderBytes::new(response::V1_NODELIST, size, Status::Ok),
        ring: RingBytes::new(ring),
        members: U32::new(members.len() as u32),
        pad_members: [0; 4],
        joined: U32::new(joined.len() as u32),
        pad_joined: [0; 4],
        left: U32::new(left.len() as u32),
    };
    with_lists(head.as_bytes(), size, &[members, joined, left])
}

fn with_lists(head: &[u8], size: usize, lists: &[&[NodeId]]) -> Vec<u8> {
    let mut event = Vec::with_capacity(size);
    event.extend_from_slice(head);
    for node in lists.iter().copied().flatten() {
        event.extend_from_slice(&node.get().to_ne_bytes());
    }
    event.resize(size, 0);
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u32]) -> Vec<NodeId> {
        ids.iter().map(|id| NodeId::new(*id).unwrap()).collect()
    }

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
