//! Requests to the daemon as bytes, and its answers and events from bytes. Whatever the daemon sends is
//! checked here; nothing behind this file sees a count or a length that does not fit.

use bytes::Bytes;

use super::assemble::Place;
use super::event::{Change, GroupView, RingView};
use crate::cpg::name::{GroupName, Member, Reason};
use crate::cpg::wire::{ITERATE_ALL, TYPE_SAFE, request, response};
use crate::error::Status;
use crate::ids::{Guarantee, NodeId, RingId};

/// Longest message that travels in one piece.
///
/// Source: corosync `lib/cpg.c`; `cpg_max_atomic_msgsize_get(3)`.
pub const UNFRAGMENTED_LIMIT: usize = (1 << 20) - 1024;

const REQUEST: usize = 16;
const RESPONSE: usize = 24;
const NAME: usize = 8 + GroupName::LIMIT;
const ADDRESS: usize = 24;
const DELIVER: usize = 184;
const PARTIAL_DELIVER: usize = 200;
const CONFCHG: usize = 184;
const TOTEM_CONFCHG: usize = 44;

/// A request under construction, with its size field right from the start.
struct Request(Vec<u8>);

impl Request {
    fn new(id: u16, len: usize, payload: usize) -> Self {
        let mut bytes = vec![0; len];
        bytes[..4].copy_from_slice(&u32::from(id).to_ne_bytes());
        Self(bytes).u32(8, u32::try_from(len + payload).unwrap_or(u32::MAX))
    }

    fn u32(mut self, at: usize, value: u32) -> Self {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn u64(mut self, at: usize, value: u64) -> Self {
        self.0[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn name(mut self, at: usize, name: &GroupName) -> Self {
        let bytes = name.as_bytes();
        self.0[at + 8..at + 8 + bytes.len()].copy_from_slice(bytes);
        self.u32(at, bytes.len() as u32)
    }
}

/// Joins; `initial_ring`: send the ring once the join is done.
pub(super) fn join(group: &GroupName, pid: u32, initial_ring: bool) -> Vec<u8> {
    Request::new(request::JOIN, 168, 0).name(16, group).u32(152, pid).u32(160, initial_ring.into()).0
}

/// Leaves.
pub(super) fn leave(group: &GroupName, pid: u32) -> Vec<u8> {
    Request::new(request::LEAVE, 160, 0).name(16, group).u32(152, pid).0
}

/// The head of a message of `len` bytes. It is the same for each message of that length.
pub(super) fn mcast_head(guarantee: Guarantee, len: usize) -> Bytes {
    Request::new(request::MCAST, 40, len).u32(24, guarantee_code(guarantee)).u32(32, len as u32).0.into()
}

/// The head of one piece, of `len` bytes, of a message of `total` bytes.
pub(super) fn partial_mcast(guarantee: Guarantee, total: usize, place: Place, len: usize) -> Vec<u8> {
    let place = match place {
        Place::First => 1,
        Place::Continued => 2,
        Place::Last => 3,
    };
    Request::new(request::PARTIAL_MCAST, 56, len)
        .u32(24, guarantee_code(guarantee))
        .u32(32, total as u32)
        .u32(40, len as u32)
        .u32(48, place)
        .0
}

/// Asks who is in a group.
pub(super) fn membership(group: &GroupName) -> Vec<u8> {
    Request::new(request::MEMBERSHIP, REQUEST + NAME, 0).name(16, group).0
}

/// Asks for the node's id.
pub(super) fn local_get() -> Vec<u8> {
    Request::new(request::LOCAL_GET, REQUEST, 0).0
}

/// Begins an iteration over all members of all groups.
pub(super) fn iteration_begin() -> Vec<u8> {
    Request::new(request::ITERATION_INITIALIZE, 160, 0).u32(152, ITERATE_ALL).0
}

/// Asks for the next member.
pub(super) fn iteration_next(handle: u64) -> Vec<u8> {
    Request::new(request::ITERATION_NEXT, 24, 0).u64(16, handle).0
}

/// Ends an iteration.
pub(super) fn iteration_end(handle: u64) -> Vec<u8> {
    Request::new(request::ITERATION_FINALIZE, 24, 0).u64(16, handle).0
}

/// Source: corosync `cpg.h`, `cpg_guarantee_t`.
const fn guarantee_code(guarantee: Guarantee) -> u32 {
    match guarantee {
        Guarantee::Agreed => 2,
        Guarantee::Safe => TYPE_SAFE,
    }
}

/// What was malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// The status in an answer.
pub(super) fn status(reply: &[u8]) -> Result<Status, Malformed> {
    let code = u32_at(reply, 16).filter(|_| reply.len() >= RESPONSE).ok_or(Malformed("answer"))?;
    Ok(Status::from_code(code as i32))
}

/// The answer to [`local_get`].
pub(super) fn local_node(reply: &[u8]) -> Result<NodeId, Malformed> {
    u32_at(reply, 24).and_then(NodeId::new).ok_or(Malformed("answer (local node id)"))
}

/// The answer to [`membership`].
pub(super) fn members(reply: &[u8]) -> Result<Vec<Member>, Malformed> {
    let bad = Malformed("answer (membership)");
    let count = u32_at(reply, 24).ok_or(bad)? as usize;
    let list = reply.get(32..).ok_or(bad)?;
    let list = count.checked_mul(ADDRESS).and_then(|len| list.get(..len)).ok_or(bad)?;
    list.chunks_exact(ADDRESS).map(|a| address(a).map(|change| change.member).ok_or(bad)).collect()
}

/// The answer to [`iteration_begin`]: its handle.
pub(super) fn iteration_handle(reply: &[u8]) -> Result<u64, Malformed> {
    u64_at(reply, 24).ok_or(Malformed("answer (iteration handle)"))
}

/// The answer to [`iteration_next`].
pub(super) fn iteration_entry(reply: &[u8]) -> Result<(GroupName, Member), Malformed> {
    let entry = || {
        let name = name(reply.get(24..)?)?;
        let node = NodeId::new(u32_at(reply, 160)?)?;
        Some((name, Member { node, pid: u32_at(reply, 164)? }))
    };
    entry().ok_or(Malformed("answer (iteration)"))
}

/// An event of the daemon, checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// A whole message.
    Message { from: Member, payload: Bytes },
    /// A piece of one.
    Piece { from: Member, place: Place, total: u32, piece: Bytes },
    /// A change of the membership.
    View(GroupView),
    /// A change of the ring.
    Ring(RingView),
}

/// Reads an event that came as `head` and then `payload`; one without a head is all in `payload`.
pub(super) fn notice(head: Bytes, payload: Bytes) -> Result<Notice, Malformed> {
    let event = Parts { head, payload };
    let bad = Malformed("event");
    let first = if event.head.is_empty() { &event.payload } else { &event.head };
    let id = u32_at(first, 0).ok_or(bad)? as i32;
    let size = u32_at(first, 8).ok_or(bad)? as usize;
    if size != event.head.len() + event.payload.len() {
        return Err(Malformed("event (size)"));
    }
    match id {
        response::DELIVER => deliver(event).ok_or(Malformed("event (message)")),
        response::PARTIAL_DELIVER => partial_deliver(event).ok_or(Malformed("event (piece of a message)")),
        response::CONFCHG => confchg(&split(event, 0).1).ok_or(Malformed("event (group membership)")),
        response::TOTEM_CONFCHG => totem_confchg(&split(event, 0).1).ok_or(Malformed("event (ring)")),
        _ => Err(Malformed("event (unknown kind)")),
    }
}

/// An event in two parts, divided anywhere.
struct Parts {
    head: Bytes,
    payload: Bytes,
}

/// The event as a head of `at` bytes, or fewer if it is shorter, and the rest. Copies only if it came
/// split elsewhere.
fn split(event: Parts, at: usize) -> (Bytes, Bytes) {
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
    let (head, payload) = split(event, DELIVER);
    let len = u32_at(&head, 160)? as usize;
    let from = Member { node: NodeId::new(u32_at(&head, 168)?)?, pid: u32_at(&head, 176)? };
    (head.len() == DELIVER && len == payload.len()).then_some(Notice::Message { from, payload })
}

fn partial_deliver(event: Parts) -> Option<Notice> {
    let (head, piece) = split(event, PARTIAL_DELIVER);
    let total = u32_at(&head, 160)?;
    let len = u32_at(&head, 168)? as usize;
    let from = Member { node: NodeId::new(u32_at(&head, 176)?)?, pid: u32_at(&head, 184)? };
    let place = match u32_at(&head, 192)? {
        1 => Place::First,
        2 => Place::Continued,
        3 => Place::Last,
        _ => return None,
    };
    (head.len() == PARTIAL_DELIVER && len == piece.len()).then_some(Notice::Piece {
        from,
        place,
        total,
        piece,
    })
}

fn confchg(bytes: &[u8]) -> Option<Notice> {
    let [members, joined, left] = [160, 168, 176].map(|at| u32_at(bytes, at));
    let (members, joined, left) = (members? as usize, joined? as usize, left? as usize);
    let lists = bytes.get(CONFCHG..)?;
    let count = members.checked_add(left)?.checked_add(joined)?;
    if lists.len() != count.checked_mul(ADDRESS)? {
        return None;
    }
    let mut entries = lists.chunks_exact(ADDRESS).map(address);
    let mut take = |n| entries.by_ref().take(n).collect::<Option<Vec<Change>>>();
    let members = take(members)?.into_iter().map(|change| change.member).collect();
    let left = take(left)?;
    let joined = take(joined)?;
    Some(Notice::View(GroupView { members, joined, left }))
}

fn totem_confchg(bytes: &[u8]) -> Option<Notice> {
    let ring = RingId { rep: NodeId::new(u32_at(bytes, 24)?)?, seq: u64_at(bytes, 32)? };
    let count = u32_at(bytes, 40)? as usize;
    let list = bytes.get(TOTEM_CONFCHG..)?.get(..count.checked_mul(4)?)?;
    let members = list.chunks_exact(4).map(|id| NodeId::new(u32_at(id, 0)?)).collect::<Option<_>>()?;
    Some(Notice::Ring(RingView { ring, members }))
}

fn address(bytes: &[u8]) -> Option<Change> {
    let member = Member { node: NodeId::new(u32_at(bytes, 0)?)?, pid: u32_at(bytes, 8)? };
    Some(Change { member, reason: Reason::from_code(u32_at(bytes, 16)?) })
}

fn name(bytes: &[u8]) -> Option<GroupName> {
    let len = u32_at(bytes, 0)? as usize;
    GroupName::new(bytes.get(8..NAME)?.get(..len)?).ok()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(id: u32) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn event(bytes: &[u8]) -> Result<Notice, Malformed> {
        notice(Bytes::new(), Bytes::copy_from_slice(bytes))
    }

    fn split_at(bytes: &[u8], at: usize) -> Result<Notice, Malformed> {
        notice(Bytes::copy_from_slice(&bytes[..at]), Bytes::copy_from_slice(&bytes[at..]))
    }

    /// A real daemon's event: node 2 process 900 joins group "grp", where 1/17336 is already.
    fn captured_confchg() -> Vec<u8> {
        let mut bytes = vec![0; 256];
        for (at, value) in [
            (0, 4u32),
            (8, 256),
            (16, 1),
            (24, 3),
            (0xa0, 2),
            (0xa8, 1),
            (0xb8, 1),
            (0xc0, 0x43b8),
            (0xd0, 2),
            (0xd8, 0x384),
            (0xe8, 2),
            (0xf0, 0x384),
            (0xf8, 1),
        ] {
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
        /// Whatever the daemon sends, reading it ends well or with an error.
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
            let _ = (status(&bytes), local_node(&bytes), members(&bytes));
            let _ = (iteration_handle(&bytes), iteration_entry(&bytes));
            let whole = event(&bytes);
            if cut >= 12 {
                prop_assert_eq!(whole, split_at(&bytes, cut));
            } else {
                let _ = (whole, split_at(&bytes, cut));
            }
        }

        /// Small counts in a real frame, so that lists are really walked.
        #[test]
        fn small_counts_never_panic(counts in proptest::array::uniform3(0u32..5), extra in 0usize..200) {
            let mut bytes = captured_confchg();
            bytes.resize(184 + extra, 1);
            let size = bytes.len() as u32;
            bytes[8..12].copy_from_slice(&size.to_ne_bytes());
            for (at, count) in [160, 168, 176].into_iter().zip(counts) {
                bytes[at..at + 4].copy_from_slice(&count.to_ne_bytes());
            }
            let fits = extra == counts.iter().sum::<u32>() as usize * ADDRESS;
            prop_assert_eq!(event(&bytes).is_ok(), fits);
        }
    }
}
