//! What clients say and are told, as bytes: the requests of libcpg and its reading of events and replies.

use zerocopy::{FromBytes, IntoBytes, U32, U64};

use crate::cpg::Member;
use crate::cpg::wire::{self, NE, request, response};
use crate::error::Status;
use crate::ids::{NodeId, RingId};
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
            Seen::Message {
                group: event.name.name().unwrap().to_vec(),
                sender: Member { node: id(event.node.get()), pid: event.pid.get() },
                payload: payload.to_vec(),
            }
        }
        response::PARTIAL_DELIVER => {
            let (event, payload) = wire::PartialDeliverBytes::ref_from_prefix(bytes).unwrap();
            assert_eq!(event.fraglen.get() as usize, payload.len());
            Seen::Message {
                group: event.name.name().unwrap().to_vec(),
                sender: Member { node: id(event.node.get()), pid: event.pid.get() },
                payload: payload.to_vec(),
            }
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
    wire::JoinRequestBytes {
        header: HeaderBytes::new(i32::from(request::JOIN), 168),
        name: wire::NameBytes::new(group),
        pid: U32::new(pid),
        pad_pid: [0; 4],
        flags: U32::new(flags),
        pad_flags: [0; 4],
    }
    .as_bytes()
    .to_vec()
}

pub(super) fn leave_request(group: &[u8], pid: u32) -> Vec<u8> {
    wire::LeaveRequestBytes {
        header: HeaderBytes::new(i32::from(request::LEAVE), 160),
        name: wire::NameBytes::new(group),
        pid: U32::new(pid),
        pad_pid: [0; 4],
    }
    .as_bytes()
    .to_vec()
}

pub(super) fn mcast_request(guarantee: u32, payload: &[u8]) -> Vec<u8> {
    let head = wire::McastRequestBytes {
        header: HeaderBytes::new(i32::from(request::MCAST), 40 + payload.len()),
        unused: [0; 8],
        guarantee: U32::new(guarantee),
        pad_guarantee: [0; 4],
        msglen: U32::new(payload.len() as u32),
        pad_msglen: [0; 4],
    };
    [head.as_bytes(), payload].concat()
}

/// A request that carries one number: a handle, or the token of a buffer.
pub(super) fn with_handle(id: u16, handle: u64) -> Vec<u8> {
    let header = HeaderBytes::new(i32::from(id), 24);
    wire::HandleRequestBytes { header, handle: U64::new(handle) }.as_bytes().to_vec()
}

/// A request that is nothing but its header.
pub(super) fn bare(id: u16) -> Vec<u8> {
    HeaderBytes::<NE>::new(i32::from(id), 16).as_bytes().to_vec()
}

/// The members of a group.
pub(super) fn membership(group: &[u8]) -> Vec<u8> {
    let header = HeaderBytes::new(i32::from(request::MEMBERSHIP), 152);
    wire::MembershipRequestBytes { header, name: wire::NameBytes::new(group) }.as_bytes().to_vec()
}

/// The begin of an iteration.
pub(super) fn iterate(kind: u32, group: &[u8]) -> Vec<u8> {
    wire::IterateRequestBytes {
        header: HeaderBytes::new(i32::from(request::ITERATION_INITIALIZE), 160),
        name: wire::NameBytes::new(group),
        kind: U32::new(kind),
        pad_kind: [0; 4],
    }
    .as_bytes()
    .to_vec()
}

/// A fragment of a message of `msglen` bytes.
pub(super) fn partial(kind: u32, msglen: u32, fragment: &[u8]) -> Vec<u8> {
    let head = wire::PartialMcastRequestBytes {
        header: HeaderBytes::new(i32::from(request::PARTIAL_MCAST), 56 + fragment.len()),
        unused: [0; 8],
        guarantee: U32::new(0),
        pad_guarantee: [0; 4],
        msglen: U32::new(msglen),
        pad_msglen: [0; 4],
        fraglen: U32::new(fragment.len() as u32),
        pad_fraglen: [0; 4],
        kind: U32::new(kind),
        pad_kind: [0; 4],
    };
    [head.as_bytes(), fragment].concat()
}

/// A zero-copy buffer in this file; behind the NUL are bytes without meaning.
pub(super) fn alloc(path: &[u8]) -> Vec<u8> {
    let mut bytes = [0xee; 128];
    bytes[..path.len()].copy_from_slice(path);
    bytes[path.len()] = 0;
    let header = HeaderBytes::new(i32::from(request::ZC_ALLOC), 152);
    request::ZcAllocRequestBytes { header, map_size: U64::new(4096), path: bytes }.as_bytes().to_vec()
}

/// The end of a zero-copy buffer.
pub(super) fn free(token: u64) -> Vec<u8> {
    let header = HeaderBytes::new(i32::from(request::ZC_FREE), 32);
    request::ZcFreeRequestBytes { header, map_size: U64::new(4096), token: U64::new(token) }
        .as_bytes()
        .to_vec()
}

/// Id and status of a reply.
pub(super) fn status(reply: &[u8]) -> (i32, i32) {
    let (header, _) = ReplyHeaderBytes::<NE>::ref_from_prefix(reply).unwrap();
    assert_eq!(usize::try_from(header.size.get()).unwrap(), reply.len());
    (header.id.get(), header.error.get())
}
