//! The events that clients are told.

use core::ops::Deref;

use zerocopy::{IntoBytes, U32, U64};

use super::{AddressBytes, NE, NameBytes, Place, response};
use crate::cpg::name::{GroupName, Member, Reason};
use crate::error::Status;
use crate::ids::{NodeId, RingId};
use crate::service::wire::ReplyHeaderBytes;
use crate::service::wire::layout::{PaddedU32, layout};

layout! {
    /// CONFCHG event without its lists, which follow in the order members, left, joined.
    pub(crate) struct ConfchgBytes: 184, ReplyHeaderBytes {
        pub(crate) name: NameBytes<NE>,
        pub(crate) members: PaddedU32<NE>,
        pub(crate) joined: PaddedU32<NE>,
        pub(crate) left: PaddedU32<NE>,
    }

    /// DELIVER event without its payload.
    pub(crate) struct DeliverBytes: 184, ReplyHeaderBytes {
        pub(crate) name: NameBytes<NE>,
        pub(crate) msglen: PaddedU32<NE>,
        pub(crate) node: PaddedU32<NE>,
        pub(crate) pid: PaddedU32<NE>,
    }

    /// PARTIAL_DELIVER event without its payload.
    pub(crate) struct PartialDeliverBytes: 200, ReplyHeaderBytes {
        pub(crate) name: NameBytes<NE>,
        pub(crate) msglen: PaddedU32<NE>,
        pub(crate) fraglen: PaddedU32<NE>,
        pub(crate) node: PaddedU32<NE>,
        pub(crate) pid: PaddedU32<NE>,
        pub(crate) kind: PaddedU32<NE>,
    }

    /// TOTEM_CONFCHG event without its members, which follow as 32-bit numbers and are followed by 4 more bytes.
    pub(crate) struct TotemConfchgBytes: 44, ReplyHeaderBytes {
        pub(crate) rep: PaddedU32<NE>,
        pub(crate) seq: U64<NE>,
        pub(crate) count: U32<NE>,
    }
}

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
        place: Place,
        /// The payload, which follows the head.
        payload: &'a [u8],
    },
    /// The membership of a group changed. Clients have room for a limited number of entries in each list.
    Confchg {
        group: &'a GroupName,
        /// The members after the change.
        members: &'a [Member],
        left: &'a [Member],
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
                    msglen: PaddedU32::new(payload.len() as u32),
                    node: PaddedU32::new(sender.node.get()),
                    pid: PaddedU32::new(sender.pid),
                })
            }
            Self::PartialDeliver { group, sender, total, place, payload } => {
                let size = size_of::<PartialDeliverBytes>() + payload.len();
                Head::PartialDeliver(PartialDeliverBytes {
                    header: ReplyHeaderBytes::new(response::PARTIAL_DELIVER, size, Status::Ok),
                    name: NameBytes::new(group),
                    msglen: PaddedU32::new(total),
                    fraglen: PaddedU32::new(payload.len() as u32),
                    node: PaddedU32::new(sender.node.get()),
                    pid: PaddedU32::new(sender.pid),
                    kind: PaddedU32::new(place.code()),
                })
            }
            Self::Confchg { group, members, left, joined, reason } => {
                let reasons = [(members, Reason::Other(0)), (left, reason), (joined, reason)];
                let entries = reasons.into_iter().flat_map(|(list, reason)| {
                    list.iter().map(move |member| AddressBytes::new(*member, reason))
                });
                let entries: Vec<AddressBytes> = entries.collect();
                let size = size_of::<ConfchgBytes>() + size_of_val(&entries[..]);
                let head = ConfchgBytes {
                    header: ReplyHeaderBytes::new(response::CONFCHG, size, Status::Ok),
                    name: NameBytes::new(group.as_bytes()),
                    members: PaddedU32::new(members.len() as u32),
                    joined: PaddedU32::new(joined.len() as u32),
                    left: PaddedU32::new(left.len() as u32),
                };
                Head::Lists([head.as_bytes(), entries.as_bytes()].concat())
            }
            Self::TotemConfchg { ring, members } => {
                let ids: Vec<U32<NE>> = members.iter().map(|node| U32::new(node.get())).collect();
                let size = size_of::<TotemConfchgBytes>() + size_of_val(&ids[..]) + 4;
                let head = TotemConfchgBytes {
                    header: ReplyHeaderBytes::new(response::TOTEM_CONFCHG, size, Status::Ok),
                    rep: PaddedU32::new(ring.rep.get()),
                    seq: U64::new(ring.seq),
                    count: U32::new(members.len() as u32),
                };
                Head::Lists([head.as_bytes(), ids.as_bytes(), &[0; 4]].concat())
            }
        }
    }
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
