//! The answer to each request in each state of its connection.

use bytes::Bytes;
use zerocopy::{FromBytes, IntoBytes, U32, U64};

use super::bus::{Bus, Node, join_request, leave_request, mcast_request, node_id, status};
use crate::cpg::name::Member;
use crate::cpg::wire::{self, request, response};
use crate::error::Status;
use crate::ids::{ConnId, Guarantee, Piece};
use crate::service::wire::HeaderBytes;

const CONN: ConnId = ConnId(1);
const PID: u32 = 100;

/// The state of the connection when the request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Out,
    Joining,
    In,
    Leaving,
    /// It has left the group and may join again.
    Left,
    /// It is a member, and a synchronisation runs.
    Syncing,
    /// It is a member, and the send queue is full.
    Full,
}

const ALL: [At; 7] = [At::Out, At::Joining, At::In, At::Leaving, At::Left, At::Syncing, At::Full];

/// A node alone on its ring, with one connection in state `at` of group "g".
fn node_at(at: At) -> Bus {
    let mut bus = Bus::default();
    bus.add(Node::new(1, 8, &[]));
    bus.form(&[1], |all| all);
    bus.settle();
    bus.node(1).connect(CONN);
    if at == At::Out {
        return bus;
    }
    let joined = bus.node(1).request(CONN, &join_request(b"g", PID, 0), &[]).unwrap();
    assert_eq!(status(&joined), (response::JOIN, 1));
    if at == At::Joining {
        return bus;
    }
    bus.settle();
    match at {
        At::Out | At::Joining | At::In => {}
        At::Leaving | At::Left => {
            let left = bus.node(1).request(CONN, &leave_request(b"g", PID), &[]).unwrap();
            assert_eq!(status(&left), (response::LEAVE, 1));
            if at == At::Left {
                bus.settle();
            }
        }
        At::Syncing => bus.form(&[1], |all| all),
        At::Full => {
            for n in 0..8 {
                assert_eq!(bus.node(1).request(CONN, &mcast_request(0, &[n]), &[]), None);
            }
            assert_eq!(bus.node(1).cpg.stats().dropped_requests, 0);
        }
    }
    bus
}

fn with_handle(id: u16, handle: u64) -> Vec<u8> {
    let header = HeaderBytes::new(i32::from(id), 24);
    wire::HandleRequestBytes { header, handle: U64::new(handle) }.as_bytes().to_vec()
}

fn bare(id: u16) -> Vec<u8> {
    HeaderBytes::<wire::NE>::new(i32::from(id), 16).as_bytes().to_vec()
}

fn membership(group: &[u8]) -> Vec<u8> {
    let header = HeaderBytes::new(i32::from(request::MEMBERSHIP), 152);
    wire::MembershipRequestBytes { header, name: wire::NameBytes::new(group) }.as_bytes().to_vec()
}

fn iterate(kind: u32, group: &[u8]) -> Vec<u8> {
    wire::IterateRequestBytes {
        header: HeaderBytes::new(i32::from(request::ITERATION_INITIALIZE), 160),
        name: wire::NameBytes::new(group),
        kind: U32::new(kind),
        pad_kind: [0; 4],
    }
    .as_bytes()
    .to_vec()
}

fn partial(kind: u32, msglen: u32, fragment: &[u8]) -> Vec<u8> {
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

fn alloc(path: &[u8]) -> Vec<u8> {
    let mut bytes = [0xee; 128];
    bytes[..path.len()].copy_from_slice(path);
    bytes[path.len()] = 0;
    let header = HeaderBytes::new(i32::from(request::ZC_ALLOC), 152);
    wire::ZcAllocRequestBytes { header, map_size: U64::new(4096), path: bytes }.as_bytes().to_vec()
}

fn free(token: u64) -> Vec<u8> {
    let header = HeaderBytes::new(i32::from(request::ZC_FREE), 32);
    wire::ZcFreeRequestBytes { header, map_size: U64::new(4096), token: U64::new(token) }.as_bytes().to_vec()
}

/// docs/protocol/services.md, "Answers of CPG" and "Requests that are refused", as a table: request; reply
/// id; answers in no group, while joining, as a member, while leaving, after leaving, during a
/// synchronisation, with a full queue.
///
/// Requests that the router refuses (6, `CS_ERR_TRY_AGAIN`) have reply id 0.
#[test]
fn every_request_in_every_state() {
    const Z: &[u8] = b"/dev/shm/corosync_zerocopy-abcdef";
    let table: &[(&str, Vec<u8>, i32, [i32; 7])] = &[
        ("join", join_request(b"g", PID, 0), 0, [1, 14, 14, 14, 1, 6, 6]),
        ("join other group", join_request(b"h", PID, 0), 0, [1, 14, 14, 10, 1, 6, 6]),
        ("leave", leave_request(b"g", PID), 1, [12, 10, 1, 12, 12, 6, 6]),
        ("leave other group", leave_request(b"h", PID), 1, [12, 10, 12, 12, 12, 6, 6]),
        ("membership", membership(b"g"), 3, [1; 7]),
        ("local node", bare(request::LOCAL_GET), 7, [1; 7]),
        ("iterate", iterate(3, b""), 9, [1; 7]),
        ("iterate what", iterate(4, b""), 9, [7; 7]),
        ("next without handle", with_handle(request::ITERATION_NEXT, 9), 10, [2; 7]),
        ("end without handle", with_handle(request::ITERATION_FINALIZE, 9), 11, [2; 7]),
        ("finalize", bare(request::FINALIZE), 12, [1, 1, 1, 1, 1, 6, 6]),
        ("alloc", alloc(Z), 0, [1, 1, 1, 1, 1, 6, 6]),
        ("alloc elsewhere", alloc(b"/etc/passwd"), 0, [7, 7, 7, 7, 7, 6, 6]),
        ("free", free(7), 0, [1, 1, 1, 1, 1, 6, 6]),
        ("execute", with_handle(request::ZC_EXECUTE, 7), 2, [12, 1, 1, 12, 12, 6, 6]),
        ("execute unknown", with_handle(request::ZC_EXECUTE, 8), 2, [9, 9, 9, 9, 9, 6, 6]),
        ("first fragment", partial(1, 10, b"12345"), 18, [12, 1, 1, 12, 12, 6, 6]),
        // A membership event has come since the first fragment, which was never sent.
        ("later fragment", partial(2, 10, b"12345"), 18, [12, 1, 16, 16, 16, 6, 6]),
    ];
    for (name, request, id, answers) in table {
        for (at, answer) in ALL.into_iter().zip(*answers) {
            let mut bus = node_at(at);
            bus.node(1).below.buffers.insert(7, mcast_request(0, b"in shared memory").into());
            let reply = bus.node(1).request(CONN, request, &[]).unwrap();
            let id = if answer == Status::TryAgain.code() { 0 } else { *id };
            assert_eq!(status(&reply), (id, answer), "{name} when {at:?}");
            assert_eq!(bus.node(1).router.stats().overload, u64::from(answer == 6));
        }
    }
}

/// A multicast is never answered; whether it is sent depends on the state.
#[test]
fn multicast_in_every_state() {
    for (at, goes) in ALL.into_iter().zip([false, true, true, false, false, false, false]) {
        let mut bus = node_at(at);
        let before = bus.node(1).below.normal.len();
        assert_eq!(bus.node(1).request(CONN, &mcast_request(0, b"x"), &[]), None);
        let node = bus.node(1);
        assert_eq!(node.below.normal.len() - before, usize::from(goes), "{at:?}");
        let lost = node.cpg.stats().dropped_requests + node.router.stats().overload;
        assert_eq!(lost, u64::from(!goes), "what is lost is counted, {at:?}");
    }
}

/// cpg.h: `CPG_TYPE_SAFE` is 3. Corosync treats all types as agreed, annulus does not.
#[test]
fn the_guarantee_is_honoured() {
    let mut bus = node_at(At::In);
    for guarantee in 0..5 {
        bus.node(1).request(CONN, &mcast_request(guarantee, b"x"), &[]);
    }
    let sent: Vec<Guarantee> = bus.node(1).below.normal.iter().map(|sent| sent.guarantee).collect();
    use Guarantee::{Agreed, Safe};
    assert_eq!(sent, [Agreed, Agreed, Agreed, Safe, Agreed]);
}

#[test]
fn answers_contain_the_requested_data() {
    let mut bus = node_at(At::In);
    let node = bus.node(1);
    let reply = node.request(CONN, &bare(request::LOCAL_GET), &[]).unwrap();
    assert_eq!(wire::LocalGetReplyBytes::ref_from_bytes(&reply).unwrap().node.get(), 1);

    let reply = node.request(CONN, &membership(b"g"), &[]).unwrap();
    let members = wire::MembershipReplyBytes::ref_from_bytes(&reply).unwrap();
    assert_eq!((members.count.get(), members.members[0].pid.get()), (1, PID));
    let reply = node.request(CONN, &membership(b"nobody"), &[]).unwrap();
    assert_eq!(wire::MembershipReplyBytes::ref_from_bytes(&reply).unwrap().count.get(), 0);

    let reply = node.request(CONN, &iterate(wire::ITERATE_ALL, b""), &[]).unwrap();
    let handle = wire::IterateReplyBytes::ref_from_bytes(&reply).unwrap().handle.get();
    let reply = node.request(CONN, &with_handle(request::ITERATION_NEXT, handle), &[]).unwrap();
    let entry = wire::IterateNextReplyBytes::ref_from_bytes(&reply).unwrap();
    assert_eq!((entry.name.name(), entry.node.get(), entry.pid.get()), (Some(&b"g"[..]), 1, PID));
    let reply = node.request(CONN, &with_handle(request::ITERATION_NEXT, handle), &[]).unwrap();
    assert_eq!(status(&reply), (response::ITERATION_NEXT, Status::NoSections.code()));
    let reply = node.request(CONN, &with_handle(request::ITERATION_FINALIZE, handle), &[]).unwrap();
    assert_eq!(status(&reply), (response::ITERATION_FINALIZE, 1));
}

/// Two connections of one process cannot be in one group; a new one has to wait until the old one's leave
/// message has been delivered.
#[test]
fn a_process_can_be_in_a_group_only_once() {
    let mut bus = node_at(At::In);
    let other = ConnId(2);
    bus.node(1).connect(other);
    let join = join_request(b"g", PID, 0);
    assert_eq!(status(&bus.node(1).request(other, &join, &[]).unwrap()), (0, 14));
    bus.node(1).request(CONN, &bare(request::FINALIZE), &[]);
    assert_eq!(status(&bus.node(1).request(other, &join, &[]).unwrap()), (0, 6));
    bus.node(1).disconnect(CONN);
    assert_eq!(status(&bus.node(1).request(other, &join, &[]).unwrap()), (0, 6));
    bus.settle();
    assert_eq!(status(&bus.node(1).request(other, &join, &[]).unwrap()), (0, 1));
    bus.settle();
    let member = Member { node: node_id(1), pid: PID };
    assert_eq!(bus.node(1).cpg.groups().members(b"g"), [member]);
}

/// As above, while not even the first connection's join message has been delivered.
#[test]
fn a_join_waits_for_the_end_of_a_revoked_join() {
    let mut bus = node_at(At::Joining);
    let other = ConnId(2);
    bus.node(1).connect(other);
    bus.node(1).disconnect(CONN);
    let join = join_request(b"g", PID, 0);
    assert_eq!(status(&bus.node(1).request(other, &join, &[]).unwrap()), (0, 6));
    bus.settle();
    assert_eq!(bus.node(1).cpg.groups().members(b"g"), []);
    assert_eq!(status(&bus.node(1).request(other, &join, &[]).unwrap()), (0, 1));
}

#[test]
fn names_of_any_bytes_up_to_the_limit() {
    let mut bus = node_at(At::Out);
    let mut long = join_request(&[9; 128], PID, 0);
    long[16] = 129;
    assert_eq!(status(&bus.node(1).request(CONN, &long, &[]).unwrap()), (0, 13));
    long[16] = 128;
    assert_eq!(status(&bus.node(1).request(CONN, &long, &[]).unwrap()), (0, 1));
    bus.settle();
    assert_eq!(bus.node(1).cpg.groups().members(&[9; 128]).len(), 1);
}

/// docs/protocol/services.md, "Requests that are refused": invalid ids and sizes are answered 7 with id 0,
/// and the connection stays open.
#[test]
fn impossible_requests_are_answered() {
    let mut bus = node_at(At::In);
    let refused = [
        bare(13),
        bare(u16::MAX),
        HeaderBytes::<wire::NE>::new(-1, 16).as_bytes().to_vec(),
        HeaderBytes::<wire::NE>::new(3, 17).as_bytes().to_vec(),
        HeaderBytes::<wire::NE>::new(3, 15).as_bytes().to_vec(),
        Vec::new(),
    ];
    for request in refused {
        let reply = bus.node(1).request(CONN, &request, &[]).unwrap();
        assert_eq!((status(&reply), reply.len()), ((0, 7), 24), "{request:?}");
    }
    assert_eq!(bus.node(1).router.stats().invalid_requests, 6);
    // Requests too short for their fields are refused by the desk, with a reply of the expected id and
    // length.
    let lengths = [24, 24, 0, 9248, 32, 32, 168, 24, 24, 24, 24, 24, 24];
    for (id, length) in lengths.into_iter().enumerate() {
        let reply = bus.node(1).request(CONN, &bare(id as u16), &[]);
        assert_eq!(reply.map_or(0, |reply| reply.len()), length, "request {id}");
    }
    assert_eq!(bus.node(1).cpg.stats().dropped_requests, 1);
    assert_eq!(status(&bus.node(1).request(CONN, &membership(b"g"), &[]).unwrap()), (3, 1));
}

/// Lengths in multicast requests, over IPC (one part) and inside the process (two parts).
#[test]
fn multicast_lengths_are_checked() {
    let mut bus = node_at(At::In);
    let mut longer = mcast_request(0, b"hello");
    longer[32] = 6;
    let mut shorter = mcast_request(0, b"hello");
    shorter[32] = 2;
    let mut huge = mcast_request(0, b"hello");
    huge[32..36].fill(0xff);
    for (request, sent) in [(longer, None), (huge, None), (shorter, Some(&b"he"[..]))] {
        for at in [40, request.len()] {
            let before = bus.node(1).below.normal.len();
            assert_eq!(bus.node(1).request(CONN, &request[..at], &request[at..]), None);
            let queue = &bus.node(1).below.normal;
            let body = (queue.len() > before).then(|| queue.back().unwrap().body.slice(184..));
            assert_eq!(body.as_deref(), sent);
        }
    }
    assert_eq!(bus.node(1).cpg.stats().dropped_requests, 4);
    let buffer = mcast_request(0, b"zero-copy");
    bus.node(1).below.buffers.insert(3, Bytes::from(buffer));
    let reply = bus.node(1).request(CONN, &with_handle(request::ZC_EXECUTE, 3), &[]).unwrap();
    assert_eq!(status(&reply), (response::MCAST, 1));
    assert_eq!(bus.node(1).below.normal.back().unwrap().body[184..], *b"zero-copy");
    bus.node(1).below.buffers.insert(4, Bytes::from_static(b"short"));
    let reply = bus.node(1).request(CONN, &with_handle(request::ZC_EXECUTE, 4), &[]).unwrap();
    assert_eq!(status(&reply), (response::MCAST, 7));
}

/// docs/protocol/services.md, "Answers of CPG": after a membership change the rest of a fragmented message is
/// refused with `CS_ERR_INTERRUPT`, until the next first fragment.
#[test]
fn a_membership_change_interrupts_fragments() {
    let mut bus = node_at(At::In);
    let first = partial(1, 12, b"first ");
    let last = partial(3, 12, b"second");
    let ask = |bus: &mut Bus, request: &[u8]| status(&bus.node(1).request(CONN, request, &[]).unwrap());
    assert_eq!(ask(&mut bus, &first), (18, 1));
    assert_eq!(ask(&mut bus, &last), (18, 1));
    bus.node(1).connect(ConnId(2));
    assert_eq!(ask(&mut bus, &first), (18, 1));
    bus.node(1).request(ConnId(2), &join_request(b"g", 200, 0), &[]);
    bus.settle();
    assert_eq!(ask(&mut bus, &last), (18, 16));
    assert_eq!(ask(&mut bus, &first), (18, 1));
    assert_eq!(ask(&mut bus, &last), (18, 1));
    // The fragments are multicast with their kind and the length of the whole message.
    let sent = &bus.node(1).below.normal.back().unwrap().body;
    let (head, payload) = wire::PartialMcastBytes::<wire::LE>::ref_from_prefix(sent).unwrap();
    assert_eq!((head.msglen.get(), head.fraglen.get(), head.kind.get()), (12, 6, 3));
    assert_eq!(payload, b"second");
}

/// The echo of a message in pieces tells the sender which piece is the last: only after it the sender can be held
/// back.
#[test]
fn the_pieces_of_a_long_message_are_echoed_as_such() {
    let mut bus = node_at(At::In);
    for kind in [1, 2, 2, 3] {
        bus.node(1).request(CONN, &partial(kind, 24, b"piece "), &[]).unwrap();
    }
    bus.settle();
    let expected = [Piece::Part, Piece::Part, Piece::Part, Piece::Last].map(|piece| (CONN, piece));
    assert_eq!(bus.node(1).below.echoed, expected);
}
