//! Requests and events of CPG as bytes, on the client's side. Everything from the daemon is checked here; the
//! other files never see a count or length that does not fit.

use bytes::Bytes;
use zerocopy::{FromBytes, IntoBytes};

use super::event::{Change, GroupView, RingView};
use crate::cpg::name::{GroupName, Member, Reason};
use crate::cpg::wire::{
    AddressBytes, ConfchgBytes, DeliverBytes, HandleRequestBytes, ITERATE_ALL, IterateNextReplyBytes,
    IterateReplyBytes, IterateRequestBytes, JOIN_FLAG_TOTEM_CONF, JoinRequestBytes, LeaveRequestBytes,
    LocalGetReplyBytes, McastRequestBytes, MembershipReplyBytes, MembershipRequestBytes, NE, NameBytes,
    PartialDeliverBytes, PartialMcastRequestBytes, Place, TYPE_SAFE, TotemConfchgBytes, request, response,
};
use crate::ids::{Guarantee, NodeId, RingId};
use crate::service::wire::layout::{PaddedU32, to_bytes};
use crate::service::wire::read::{Malformed, list, nodes, split};
use crate::service::wire::{HeaderBytes, ReplyHeaderBytes};

/// Longest message that is sent in one piece.
///
/// Source: corosync `lib/cpg.c`; `cpg_max_atomic_msgsize_get(3)`.
pub const UNFRAGMENTED_LIMIT: usize = (1 << 20) - 1024;

/// The header of a request `T` that is followed by `payload` bytes.
fn header<T>(id: u16, payload: usize) -> HeaderBytes<NE> {
    HeaderBytes::new(id.into(), size_of::<T>() + payload)
}

fn name(group: &GroupName) -> NameBytes<NE> {
    NameBytes::new(group.as_bytes())
}

/// A request to join; `initial_ring`: send a ring event after the join.
pub(super) fn join(group: &GroupName, pid: u32, initial_ring: bool) -> Vec<u8> {
    to_bytes(&JoinRequestBytes {
        header: header::<JoinRequestBytes>(request::JOIN, 0),
        name: name(group),
        pid: PaddedU32::new(pid),
        flags: PaddedU32::new(if initial_ring { JOIN_FLAG_TOTEM_CONF } else { 0 }),
    })
}

pub(super) fn leave(group: &GroupName, pid: u32) -> Vec<u8> {
    let header = header::<LeaveRequestBytes>(request::LEAVE, 0);
    to_bytes(&LeaveRequestBytes { header, name: name(group), pid: PaddedU32::new(pid) })
}

/// The header of a multicast of `len` bytes. All multicasts of the same length and guarantee have the same
/// header.
pub(super) fn mcast_head(guarantee: Guarantee, len: usize) -> Bytes {
    let head = McastRequestBytes {
        header: header::<McastRequestBytes>(request::MCAST, len),
        unused: [0; 8],
        guarantee: PaddedU32::new(guarantee_code(guarantee)),
        msglen: PaddedU32::new(len as u32),
    };
    Bytes::copy_from_slice(head.as_bytes())
}

/// The header of one piece of `len` bytes of a message of `total` bytes.
pub(super) fn partial_mcast(guarantee: Guarantee, total: usize, place: Place, len: usize) -> Vec<u8> {
    to_bytes(&PartialMcastRequestBytes {
        header: header::<PartialMcastRequestBytes>(request::PARTIAL_MCAST, len),
        unused: [0; 8],
        guarantee: PaddedU32::new(guarantee_code(guarantee)),
        msglen: PaddedU32::new(total as u32),
        fraglen: PaddedU32::new(len as u32),
        kind: PaddedU32::new(place.code()),
    })
}

/// A request for the members of a group.
pub(super) fn membership(group: &GroupName) -> Vec<u8> {
    let header = header::<MembershipRequestBytes>(request::MEMBERSHIP, 0);
    to_bytes(&MembershipRequestBytes { header, name: name(group) })
}

/// A request for the node's id.
pub(super) fn local_get() -> Vec<u8> {
    to_bytes(&header::<HeaderBytes<NE>>(request::LOCAL_GET, 0))
}

/// A request that begins an iteration over all members of all groups.
pub(super) fn iteration_begin() -> Vec<u8> {
    let header = header::<IterateRequestBytes>(request::ITERATION_INITIALIZE, 0);
    let kind = PaddedU32::new(ITERATE_ALL);
    to_bytes(&IterateRequestBytes { header, name: NameBytes::new(b""), kind })
}

/// A request for the next member of an iteration.
pub(super) fn iteration_next(handle: u64) -> Vec<u8> {
    let header = header::<HandleRequestBytes>(request::ITERATION_NEXT, 0);
    to_bytes(&HandleRequestBytes { header, handle: handle.into() })
}

/// The code of a guarantee. Source: corosync `cpg.h`, `cpg_guarantee_t`.
const fn guarantee_code(guarantee: Guarantee) -> u32 {
    match guarantee {
        Guarantee::Agreed => 2,
        Guarantee::Safe => TYPE_SAFE,
    }
}

/// Reads the answer to [`local_get`].
pub(super) fn local_node(reply: &[u8]) -> Result<NodeId, Malformed> {
    let what = "answer (local node id)";
    NodeId::new(split::<LocalGetReplyBytes>(reply, what)?.0.node.get()).ok_or(Malformed(what))
}

/// Reads the answer to [`membership`].
pub(super) fn members(reply: &[u8]) -> Result<Vec<Member>, Malformed> {
    let bad = Malformed("answer (membership)");
    let (reply, _) = split::<MembershipReplyBytes>(reply, bad.0)?;
    let count = usize::try_from(reply.count.get()).map_err(|_| bad)?;
    let members = reply.members.get(..count).ok_or(bad)?;
    members.iter().map(|address| member(address).ok_or(bad)).collect()
}

/// Reads the handle from the answer to [`iteration_begin`].
pub(super) fn iteration_handle(reply: &[u8]) -> Result<u64, Malformed> {
    Ok(split::<IterateReplyBytes>(reply, "answer (iteration handle)")?.0.handle.get())
}

/// Reads the answer to [`iteration_next`].
pub(super) fn iteration_entry(reply: &[u8]) -> Result<(GroupName, Member), Malformed> {
    let bad = Malformed("answer (iteration)");
    let (reply, _) = split::<IterateNextReplyBytes>(reply, bad.0)?;
    let name = reply.name.name().and_then(|name| GroupName::new(name).ok()).ok_or(bad)?;
    let node = NodeId::new(reply.node.get()).ok_or(bad)?;
    Ok((name, Member { node, pid: reply.pid.get() }))
}

/// An event of the daemon, checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// A complete message.
    Message {
        from: Member,
        payload: Bytes,
    },
    Piece {
        from: Member,
        place: Place,
        total: u32,
        piece: Bytes,
    },
    /// A change of the membership.
    View(GroupView),
    /// A change of the ring.
    Ring(RingView),
}

/// Reads an event that came as `head` followed by `payload`; over IPC `head` is empty.
pub(super) fn notice(head: Bytes, payload: Bytes) -> Result<Notice, Malformed> {
    let mut event = Parts { head, payload };
    if event.head.len() < size_of::<ReplyHeaderBytes>() {
        let (head, payload) = divide(event, 0);
        debug_assert!(head.is_empty());
        event = Parts { head, payload };
    }
    let first = if event.head.is_empty() { &event.payload } else { &event.head };
    let (header, _) = split::<ReplyHeaderBytes>(first, "event")?;
    if usize::try_from(header.size.get()) != Ok(event.head.len() + event.payload.len()) {
        return Err(Malformed("event (size)"));
    }
    match header.id.get() {
        response::DELIVER => deliver(event).ok_or(Malformed("event (message)")),
        response::PARTIAL_DELIVER => partial_deliver(event).ok_or(Malformed("event (piece of a message)")),
        response::CONFCHG => confchg(&divide(event, 0).1),
        response::TOTEM_CONFCHG => totem_confchg(&divide(event, 0).1),
        _ => Err(Malformed("event (unknown kind)")),
    }
}

/// An event in two parts, divided at any place.
struct Parts {
    head: Bytes,
    payload: Bytes,
}

/// Divides the event into a head of `at` bytes, or fewer if it is shorter, and the rest. Copies only if it
/// was divided elsewhere.
fn divide(event: Parts, at: usize) -> (Bytes, Bytes) {
    let Parts { head, payload } = event;
    if head.len() == at {
        return (head, payload);
    }
    let mut whole = match (head.is_empty(), payload.is_empty()) {
        (true, _) => payload,
        (false, true) => head,
        (false, false) => [head, payload].concat().into(),
    };
    let head = whole.split_to(at.min(whole.len()));
    (head, whole)
}

fn deliver(event: Parts) -> Option<Notice> {
    let (head, payload) = divide(event, size_of::<DeliverBytes>());
    let head = DeliverBytes::ref_from_bytes(&head).ok()?;
    let from = Member { node: NodeId::new(head.node.get())?, pid: head.pid.get() };
    (usize::try_from(head.msglen.get()) == Ok(payload.len())).then_some(Notice::Message { from, payload })
}

fn partial_deliver(event: Parts) -> Option<Notice> {
    let (head, piece) = divide(event, size_of::<PartialDeliverBytes>());
    let head = PartialDeliverBytes::ref_from_bytes(&head).ok()?;
    let total = head.msglen.get();
    let from = Member { node: NodeId::new(head.node.get())?, pid: head.pid.get() };
    let place = Place::from_code(head.kind.get());
    if matches!(place, Place::Other(_)) {
        return None;
    }
    let fits = usize::try_from(head.fraglen.get()) == Ok(piece.len());
    fits.then_some(Notice::Piece { from, place, total, piece })
}

fn confchg(event: &[u8]) -> Result<Notice, Malformed> {
    let bad = Malformed("event (group membership)");
    let (head, lists) = split::<ConfchgBytes>(event, bad.0)?;
    let (members, lists) = list::<AddressBytes>(lists, head.members.get(), bad.0)?;
    let (left, lists) = list::<AddressBytes>(lists, head.left.get(), bad.0)?;
    let (joined, rest) = list::<AddressBytes>(lists, head.joined.get(), bad.0)?;
    if !rest.is_empty() {
        return Err(bad);
    }
    let members = members.iter().map(|address| member(address).ok_or(bad)).collect::<Result<_, _>>()?;
    let [joined, left] = [joined, left]
        .map(|list| list.iter().map(|address| change(address).ok_or(bad)).collect::<Result<_, _>>());
    Ok(Notice::View(GroupView { members, joined: joined?, left: left? }))
}

fn totem_confchg(event: &[u8]) -> Result<Notice, Malformed> {
    let bad = Malformed("event (ring)");
    let (head, ids) = split::<TotemConfchgBytes>(event, bad.0)?;
    let ring = RingId { rep: NodeId::new(head.rep.get()).ok_or(bad)?, seq: head.seq.get() };
    let (members, _) = nodes(ids, head.count.get(), bad.0)?;
    Ok(Notice::Ring(RingView { ring, members }))
}

fn member(address: &AddressBytes) -> Option<Member> {
    Some(Member { node: NodeId::new(address.node.get())?, pid: address.pid.get() })
}

fn change(address: &AddressBytes) -> Option<Change> {
    Some(Change { member: member(address)?, reason: Reason::from_code(address.reason.get()) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::node;

    fn event(bytes: &[u8]) -> Result<Notice, Malformed> {
        notice(Bytes::new(), Bytes::copy_from_slice(bytes))
    }

    fn split_at(bytes: &[u8], at: usize) -> Result<Notice, Malformed> {
        notice(Bytes::copy_from_slice(&bytes[..at]), Bytes::copy_from_slice(&bytes[at..]))
    }

    /// An event captured from Corosync: process 900 of node 2 joins group "grp", in which 1/17336 is already.
    fn captured_confchg() -> Vec<u8> {
        let mut bytes = vec![0; 256];
        let places = [0, 8, 16, 24, 0xa0, 0xa8, 0xb8, 0xc0, 0xd0, 0xd8, 0xe8, 0xf0, 0xf8];
        let values = [4u32, 256, 1, 3, 2, 1, 1, 0x43b8, 2, 0x384, 2, 0x384, 1];
        for (at, value) in places.into_iter().zip(values) {
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        bytes[32..35].copy_from_slice(b"grp");
        bytes
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_captured_membership_change_is_read() {
        let newcomer = Member { node: node(2), pid: 900 };
        let view = GroupView {
            members: vec![Member { node: node(1), pid: 17336 }, newcomer],
            joined: vec![Change { member: newcomer, reason: Reason::Join }],
            left: vec![],
        };
        let bytes = captured_confchg();
        assert_eq!(event(&bytes), Ok(Notice::View(view.clone())));
        assert_eq!(split_at(&bytes, 184), Ok(Notice::View(view)), "wherever it is split");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_captured_ring_is_read() {
        let mut bytes = vec![0; 60];
        for (at, value) in
            [(0, 13u32), (8, 60), (16, 1), (24, 1), (32, 0x1f), (40, 3), (44, 1), (48, 2), (52, 3)]
        {
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        let ring =
            RingView { ring: RingId { rep: node(1), seq: 0x1f }, members: vec![node(1), node(2), node(3)] };
        assert_eq!(event(&bytes), Ok(Notice::Ring(ring)));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_message_is_sent_as_libcpg_sends_it() {
        let head = mcast_head(Guarantee::Agreed, 5);
        let mut expected = vec![0; 40];
        expected[0] = 2;
        expected[8] = 0x2d;
        expected[24] = 2;
        expected[32] = 5;
        assert_eq!(head, expected);
        let join = join(&GroupName::new("grp").unwrap(), 0x43b8, true);
        assert_eq!((join.len(), join[8], join[16], &join[24..27]), (168, 168, 3, &b"grp"[..]));
        assert_eq!((join[152], join[153], join[160]), (0xb8, 0x43, 1));
    }

    #[test]
    fn counts_that_do_not_fit_are_refused() {
        let good = captured_confchg();
        for at in [160, 168, 176] {
            for value in [3u32, 0x0aaa_aaab, u32::MAX] {
                let mut bytes = good.clone();
                bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
                assert!(event(&bytes).is_err(), "{value} at {at}");
            }
        }
        let mut reply = vec![0; 9248];
        reply[24..28].copy_from_slice(&385u32.to_ne_bytes());
        assert!(members(&reply).is_err());
        assert!(members(&reply[..31]).is_err());
        assert!(local_node(&[0; 32]).is_err(), "nobody has node id 0");
    }

    proptest! {
        /// Arbitrary bytes are read or refused with an error; nothing panics.
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600),
                                       id in prop_oneof![Just(4u32), Just(5), Just(13), Just(17), any::<u32>()],
                                       cut in 0usize..300, fix in any::<bool>()) {
            if fix && bytes.len() >= 24 {
                let size = bytes.len() as u32;
                bytes[..4].copy_from_slice(&id.to_ne_bytes());
                bytes[8..12].copy_from_slice(&size.to_ne_bytes());
            }
            let cut = cut.min(bytes.len());
            let _ = (local_node(&bytes), members(&bytes));
            let _ = (iteration_handle(&bytes), iteration_entry(&bytes));
            let whole = event(&bytes);
            if cut >= 12 {
                prop_assert_eq!(whole, split_at(&bytes, cut));
            } else {
                let _ = (whole, split_at(&bytes, cut));
            }
        }

        /// Small counts in valid events, so that the lists are read.
        #[test]
        fn small_counts_never_panic(counts in proptest::array::uniform3(0u32..5), extra in 0usize..200) {
            let mut bytes = captured_confchg();
            bytes.resize(184 + extra, 1);
            let size = bytes.len() as u32;
            bytes[8..12].copy_from_slice(&size.to_ne_bytes());
            for (at, count) in [160, 168, 176].into_iter().zip(counts) {
                bytes[at..at + 4].copy_from_slice(&count.to_ne_bytes());
            }
            let fits = extra == counts.iter().sum::<u32>() as usize * size_of::<AddressBytes>();
            prop_assert_eq!(event(&bytes).is_ok(), fits);
        }
    }
}
