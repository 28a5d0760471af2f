//! What clients say and are told, as bytes: the requests of libcpg and its reading of events and replies.

use zerocopy::{FromBytes, IntoBytes, U64};

use crate::cpg::Member;
use crate::cpg::wire::{self, NE, request, response};
use crate::error::Status;
use crate::ids::{NodeId, RingId};
use crate::service::wire::layout::{PaddedU32, to_bytes};
use crate::service::wire::{HeaderBytes, ReplyHeaderBytes};
use crate::stack::tests::cluster::id;

/// An event that a client received, in comparable form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Confchg {
        group: Vec<u8>,
        members: Vec<Member>,
        left: Vec<(Member, u32)>,
        joined: Vec<(Member, u32)>,
    },
    Message {
        group: Vec<u8>,
        sender: Member,
        payload: Vec<u8>,
    },
    /// The totem configuration after a synchronisation.
    Settled(RingId, Vec<NodeId>),
}

impl Seen {
    pub(super) fn group(&self) -> Option<&[u8]> {
        match self {
            Self::Confchg { group, .. } | Self::Message { group, .. } => Some(group),
            Self::Settled(..) => None,
        }
    }
}

fn message(group: &[u8], node: u32, pid: u32, payload: &[u8]) -> Seen {
    Seen::Message { group: group.to_vec(), sender: Member { node: id(node), pid }, payload: payload.to_vec() }
}

/// Reads an event as libcpg would.
pub(super) fn read_event(bytes: &[u8]) -> Seen {
    let (header, _) = ReplyHeaderBytes::<NE>::ref_from_prefix(bytes).unwrap();
    assert_eq!(usize::try_from(header.size.get()).unwrap(), bytes.len());
    assert_eq!(header.error.get(), Status::Ok.code());
    match header.id.get() {
        response::CONFCHG => {
            let (event, lists) = wire::ConfchgBytes::ref_from_prefix(bytes).unwrap();
            let lists = <[wire::AddressBytes]>::ref_from_bytes(lists).unwrap();
            let read = |list: &[wire::AddressBytes]| -> Vec<(Member, u32)> {
                let member = |a: &wire::AddressBytes| Member { node: id(a.node.get()), pid: a.pid.get() };
                list.iter().map(|address| (member(address), address.reason.get())).collect()
            };
            let (members, rest) = lists.split_at(event.members.get() as usize);
            let (left, joined) = rest.split_at(event.left.get() as usize);
            assert_eq!(joined.len(), event.joined.get() as usize);
            assert!(read(members).iter().all(|(_, reason)| *reason == 0));
            Seen::Confchg {
                group: event.name.name().unwrap().to_vec(),
                members: read(members).into_iter().map(|(member, _)| member).collect(),
                left: read(left),
                joined: read(joined),
            }
        }
        response::DELIVER => {
            let (event, payload) = wire::DeliverBytes::ref_from_prefix(bytes).unwrap();
            assert_eq!(event.msglen.get() as usize, payload.len());
            message(event.name.name().unwrap(), event.node.get(), event.pid.get(), payload)
        }
        response::PARTIAL_DELIVER => {
            let (event, payload) = wire::PartialDeliverBytes::ref_from_prefix(bytes).unwrap();
            assert_eq!(event.fraglen.get() as usize, payload.len());
            message(event.name.name().unwrap(), event.node.get(), event.pid.get(), payload)
        }
        response::TOTEM_CONFCHG => {
            let (event, members) = wire::TotemConfchgBytes::ref_from_prefix(bytes).unwrap();
            let count = event.count.get() as usize;
            assert_eq!(members.len(), 4 * count + 4);
            let members = members[..4 * count].chunks_exact(4);
            let ring = RingId { rep: id(event.rep.get()), seq: event.seq.get() };
            let node = |bytes: &[u8]| id(u32::from_ne_bytes(bytes.try_into().unwrap()));
            Seen::Settled(ring, members.map(node).collect())
        }
        other => panic!("libcpg fails on event {other}"),
    }
}

/// A join as libcpg writes it.
pub(super) fn join_request(group: &[u8], pid: u32, flags: u32) -> Vec<u8> {
    to_bytes(&wire::JoinRequestBytes {
        header: HeaderBytes::new(i32::from(request::JOIN), 168),
        name: wire::NameBytes::new(group),
        pid: PaddedU32::new(pid),
        flags: PaddedU32::new(flags),
    })
}

pub(super) fn leave_request(group: &[u8], pid: u32) -> Vec<u8> {
    to_bytes(&wire::LeaveRequestBytes {
        header: HeaderBytes::new(i32::from(request::LEAVE), 160),
        name: wire::NameBytes::new(group),
        pid: PaddedU32::new(pid),
    })
}

pub(super) fn mcast_request(guarantee: u32, payload: &[u8]) -> Vec<u8> {
    let head = wire::McastRequestBytes {
        header: HeaderBytes::new(i32::from(request::MCAST), 40 + payload.len()),
        unused: [0; 8],
        guarantee: PaddedU32::new(guarantee),
        msglen: PaddedU32::new(payload.len() as u32),
    };
    [head.as_bytes(), payload].concat()
}

/// A request that carries one number: a handle, or the token of a buffer.
pub(super) fn with_handle(id: u16, handle: u64) -> Vec<u8> {
    let header = HeaderBytes::new(i32::from(id), 24);
    to_bytes(&wire::HandleRequestBytes { header, handle: U64::new(handle) })
}

/// A request that is nothing but its header.
pub(super) fn bare(id: u16) -> Vec<u8> {
    to_bytes(&HeaderBytes::<NE>::new(i32::from(id), 16))
}

/// The members of a group.
pub(super) fn membership(group: &[u8]) -> Vec<u8> {
    let header = HeaderBytes::new(i32::from(request::MEMBERSHIP), 152);
    to_bytes(&wire::MembershipRequestBytes { header, name: wire::NameBytes::new(group) })
}

/// The begin of an iteration.
pub(super) fn iterate(kind: u32, group: &[u8]) -> Vec<u8> {
    to_bytes(&wire::IterateRequestBytes {
        header: HeaderBytes::new(i32::from(request::ITERATION_INITIALIZE), 160),
        name: wire::NameBytes::new(group),
        kind: PaddedU32::new(kind),
    })
}

/// A fragment of a message of `msglen` bytes.
pub(super) fn partial(kind: u32, msglen: u32, fragment: &[u8]) -> Vec<u8> {
    let head = wire::PartialMcastRequestBytes {
        header: HeaderBytes::new(i32::from(request::PARTIAL_MCAST), 56 + fragment.len()),
        unused: [0; 8],
        guarantee: PaddedU32::new(0),
        msglen: PaddedU32::new(msglen),
        fraglen: PaddedU32::new(fragment.len() as u32),
        kind: PaddedU32::new(kind),
    };
    [head.as_bytes(), fragment].concat()
}

/// A zero-copy buffer in this file; behind the NUL are bytes without meaning.
pub(super) fn alloc(path: &[u8]) -> Vec<u8> {
    let mut bytes = [0xee; 128];
    bytes[..path.len()].copy_from_slice(path);
    bytes[path.len()] = 0;
    let header = HeaderBytes::new(i32::from(request::ZC_ALLOC), 152);
    to_bytes(&request::ZcAllocRequestBytes { header, map_size: U64::new(4096), path: bytes })
}

/// The end of a zero-copy buffer.
pub(super) fn free(token: u64) -> Vec<u8> {
    let header = HeaderBytes::new(i32::from(request::ZC_FREE), 32);
    to_bytes(&request::ZcFreeRequestBytes { header, map_size: U64::new(4096), token: U64::new(token) })
}

/// Id and status of a reply.
pub(super) fn status(reply: &[u8]) -> (i32, i32) {
    let (header, _) = ReplyHeaderBytes::<NE>::ref_from_prefix(reply).unwrap();
    assert_eq!(usize::try_from(header.size.get()).unwrap(), reply.len());
    (header.id.get(), header.error.get())
}
