//! The events that clients are told.

use core::ops::Deref;

use zerocopy::byteorder::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{AddressBytes, NE, NameBytes, Place, response};
use crate::cpg::name::{GroupName, Member, Reason};
use crate::error::Status;
use crate::ids::{NodeId, RingId};
use crate::service::wire::ReplyHeaderBytes;

/// CONFCHG event without its lists, which follow in the order members, left, joined.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct ConfchgBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) name: NameBytes<NE>,
    pub(crate) members: U32<NE>,
    pub(crate) pad_members: [u8; 4],
    pub(crate) joined: U32<NE>,
    pub(crate) pad_joined: [u8; 4],
    pub(crate) left: U32<NE>,
    pub(crate) pad_left: [u8; 4],
}
const _: () = assert!(size_of::<ConfchgBytes>() == 184);

/// DELIVER event without its payload.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct DeliverBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) name: NameBytes<NE>,
    pub(crate) msglen: U32<NE>,
    pub(crate) pad_msglen: [u8; 4],
    pub(crate) node: U32<NE>,
    pub(crate) pad_node: [u8; 4],
    pub(crate) pid: U32<NE>,
    pub(crate) pad_pid: [u8; 4],
}
const _: () = assert!(size_of::<DeliverBytes>() == 184);

/// PARTIAL_DELIVER event without its payload.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct PartialDeliverBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) name: NameBytes<NE>,
    pub(crate) msglen: U32<NE>,
    pub(crate) pad_msglen: [u8; 4],
    pub(crate) fraglen: U32<NE>,
    pub(crate) pad_fraglen: [u8; 4],
    pub(crate) node: U32<NE>,
    pub(crate) pad_node: [u8; 4],
    pub(crate) pid: U32<NE>,
    pub(crate) pad_pid: [u8; 4],
    pub(crate) kind: U32<NE>,
    pub(crate) pad_kind: [u8; 4],
}
const _: () = assert!(size_of::<PartialDeliverBytes>() == 200);

/// TOTEM_CONFCHG event without its members, which follow as 32-bit numbers and are followed by 4 more bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct TotemConfchgBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) rep: U32<NE>,
    pub(crate) pad_rep: [u8; 4],
    pub(crate) seq: U64<NE>,
    pub(crate) count: U32<NE>,
}
const _: () = assert!(size_of::<TotemConfchgBytes>() == 44);

/// An event for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// A whole message.
    Deliver {
        /// The name of the group, of at most [`GroupName::LIMIT`] bytes.
        group: &'a [u8],
        /// The process that multicast it.
        sender: Member,
        /// The payload, which follows the head.
        payload: &'a [u8],
    },
    /// A fragment of a message.
    PartialDeliver {
        /// The name of the group, of at most [`GroupName::LIMIT`] bytes.
        group: &'a [u8],
        /// The process that multicast it.
        sender: Member,
        /// Length of the whole message in bytes, as the sender claims.
        total: u32,
        /// Its place in the message.
        place: Place,
        /// The payload, which follows the head.
        payload: &'a [u8],
    },
    /// The membership of a group changed. Clients have room for a limited number of entries in each list.
    Confchg {
        /// The name of the group.
        group: &'a GroupName,
        /// The members after the change.
        members: &'a [Member],
        /// The members that left.
        left: &'a [Member],
        /// The members that joined.
        joined: &'a [Member],
        /// Why they left or joined.
        reason: Reason,
    },
    /// The ring changed.
    TotemConfchg {
        /// The ring that was formed.
        ring: RingId,
        /// Its members, ascending.
        members: &'a [NodeId],
    },
}

/// The bytes of an event without the payload of a message. Those of a message are not on the heap.
pub(crate) enum Head {
    Deliver(DeliverBytes),
    PartialDeliver(PartialDeliverBytes),
    Lists(Vec<u8>),
}

impl Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Deliver(bytes) => bytes.as_bytes(),
            Self::PartialDeliver(bytes) => bytes.as_bytes(),
            Self::Lists(bytes) => bytes,
        }
    }
}

impl Event<'_> {
    /// Encodes the event without the payload of a message, which follows the head.
    pub(crate) fn encode(&self) -> Head {
        match *self {
            Self::Deliver { group, sender, payload } => {
                let size = size_of::<DeliverBytes>() + payload.len();
                Head::Deliver(DeliverBytes {
                    header: ReplyHeaderBytes::new(response::DELIVER, size, Status::Ok),
                    name: NameBytes::new(group),
                    msglen: U32::new(payload.len() as u32),
                    pad_msglen: [0; 4],
                    node: U32::new(sender.node.get()),
                    pad_node: [0; 4],
                    pid: U32::new(sender.pid),
                    pad_pid: [0; 4],
                })
            }
            Self::PartialDeliver { group, sender, total, place, payload } => {
                let size = size_of::<PartialDeliverBytes>() + payload.len();
                Head::PartialDeliver(PartialDeliverBytes {
                    header: ReplyHeaderBytes::new(response::PARTIAL_DELIVER, size, Status::Ok),
                    name: NameBytes::new(group),
                    msglen: U32::new(total),
                    pad_msglen: [0; 4],
                    fraglen: U32::new(payload.len() as u32),
                    pad_fraglen: [0; 4],
                    node: U32::new(sender.node.get()),
                    pad_node: [0; 4],
                    pid: U32::new(sender.pid),
                    pad_pid: [0; 4],
                    kind: U32::new(place.code()),
                    pad_kind: [0; 4],
                })
            }
            Self::Confchg { group, members, left, joined, reason } => {
                Head::Lists(confchg(group, members, left, joined, reason))
            }
            Self::TotemConfchg { ring, members } => Head::Lists(totem_confchg(ring, members)),
        }
    }
}

fn confchg(
    group: &GroupName,
    members: &[Member],
    left: &[Member],
    joined: &[Member],
    reason: Reason,
) -> Vec<u8> {
    let entries = members.len() + left.len() + joined.len();
    let size = size_of::<ConfchgBytes>() + entries * size_of::<AddressBytes>();
    let head = ConfchgBytes {
        header: ReplyHeaderBytes::new(response::CONFCHG, size, Status::Ok),
        name: NameBytes::new(group.as_bytes()),
        members: U32::new(members.len() as u32),
        pad_members: [0; 4],
        joined: U32::new(joined.len() as u32),
        pad_joined: [0; 4],
        left: U32::new(left.len() as u32),
        pad_left: [0; 4],
    };
    let mut event = Vec::with_capacity(size);
    event.extend_from_slice(head.as_bytes());
    for (list, reason) in [(members, Reason::Other(0)), (left, reason), (joined, reason)] {
        for member in list {
            event.extend_from_slice(AddressBytes::new(*member, reason).as_bytes());
        }
    }
    event
}

fn totem_confchg(ring: RingId, members: &[NodeId]) -> Vec<u8> {
    let size = size_of::<TotemConfchgBytes>() + 4 * members.len() + 4;
    let head = TotemConfchgBytes {
        header: ReplyHeaderBytes::new(response::TOTEM_CONFCHG, size, Status::Ok),
        rep: U32::new(ring.rep.get()),
        pad_rep: [0; 4],
        seq: U64::new(ring.seq),
        count: U32::new(members.len() as u32),
    };
    let mut event = Vec::with_capacity(size);
    event.extend_from_slice(head.as_bytes());
    for node in members {
        event.extend_from_slice(&node.get().to_ne_bytes());
    }
    event.resize(size, 0);
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/protocol/services.md, "Replies and events of CPG": the payload belongs to the size, not to the head.
    #[test]
    fn fragments_are_byte_exact() {
        let sender = Member { node: NodeId::new(2).unwrap(), pid: 900 };
        let event =
            Event::PartialDeliver { group: b"grp", sender, total: 1000, place: Place::Last, payload: b"end" };
        let mut expected = vec![0; 200];
        for (at, number) in
            [(0, 17_u32), (8, 203), (16, 1), (24, 3), (160, 1000), (168, 3), (176, 2), (184, 900), (192, 3)]
        {
            expected[at..at + 4].copy_from_slice(&number.to_ne_bytes());
        }
        expected[32..35].copy_from_slice(b"grp");
        assert_eq!(event.encode()[..], expected);
    }

    #[test]
    fn a_change_lists_who_left_before_who_joined() {
        let group = GroupName::new("g").unwrap();
        let [one, two, three] = [1, 2, 3].map(|node| Member { node: NodeId::new(node).unwrap(), pid: node });
        let event = Event::Confchg {
            group: &group,
            members: &[one, three],
            left: &[two],
            joined: &[three],
            reason: Reason::NodeDown,
        };
        let head = event.encode();
        let entries: Vec<[u8; 4]> =
            head[184..].chunks(24).map(|entry| [entry[0], entry[8], entry[16], entry[20]]).collect();
        #[cfg(target_endian = "little")]
        assert_eq!(entries, [[1, 1, 0, 0], [3, 3, 0, 0], [2, 2, 3, 0], [3, 3, 3, 0]]);
        assert_eq!((entries.len(), head[8..12].to_vec()), (4, 280_u32.to_ne_bytes().to_vec()));
    }
}
