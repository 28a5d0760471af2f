//! The answer to each request in each state of its connection.

use zerocopy::{FromBytes, IntoBytes};

use super::bench::{A, fill, form_anew, lone_node};
use super::speech::{
    alloc, bare, free, iterate, join_request, leave_request, mcast_request, membership, partial, status,
    with_handle,
};
use crate::cpg::Member;
use crate::cpg::wire::{self, request, response};
use crate::error::Status;
use crate::ids::{ConnId, ServiceId};
use crate::service::wire::HeaderBytes;
use crate::stack::tests::cluster::{Cluster, id};

pub(super) const PID: u32 = 100;

/// The state of the connection when the request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
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

pub(super) const ALL: [At; 7] = [At::Out, At::Joining, At::In, At::Leaving, At::Left, At::Syncing, At::Full];

/// A node alone on its ring, with one connection in state `at` of group "g". Until the cluster runs, nothing more
/// happens to it.
pub(super) fn node_at(at: At) -> Cluster {
    let mut cluster = lone_node();
    if at == At::Out {
        return cluster;
    }
    assert_eq!(ask(&mut cluster, A, &join_request(b"g", PID, 0)), (response::JOIN, 1));
    if at == At::Joining {
        return cluster;
    }
    cluster.settle();
    match at {
        At::Out | At::Joining | At::In => {}
        At::Leaving | At::Left => {
            assert_eq!(ask(&mut cluster, A, &leave_request(b"g", PID)), (response::LEAVE, 1));
            if at == At::Left {
                cluster.settle();
            }
        }
        At::Syncing => form_anew(&mut cluster, 1),
        At::Full => {
            fill(&mut cluster, 1, A);
            assert_eq!(cluster.nodes[&1].stack.desks.cpg.stats().dropped_requests, 0);
        }
    }
    cluster
}

/// Sends a request to node 1, which must answer it at once. Returns id and status of the reply.
pub(super) fn ask(cluster: &mut Cluster, conn: ConnId, request: &[u8]) -> (i32, i32) {
    status(&cluster.request(1, conn, request).expect("an answer"))
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
            let mut cluster = node_at(at);
            let world = &mut cluster.node(1).world;
            world.buffer_files.insert(Z.to_vec(), 7);
            world.buffers.insert(7, mcast_request(0, b"in shared memory").into());
            let id = if answer == Status::TryAgain.code() { 0 } else { *id };
            assert_eq!(ask(&mut cluster, A, request), (id, answer), "{name} when {at:?}");
            assert_eq!(cluster.nodes[&1].stack.router().stats().overload, u64::from(answer == 6));
        }
    }
}

#[test]
fn answers_contain_the_requested_data() {
    let mut cluster = node_at(At::In);
    let reply = cluster.request(1, A, &bare(request::LOCAL_GET)).unwrap();
    assert_eq!(wire::LocalGetReplyBytes::ref_from_bytes(&reply).unwrap().node.get(), 1);

    let reply = cluster.request(1, A, &membership(b"g")).unwrap();
    let members = wire::MembershipReplyBytes::ref_from_bytes(&reply).unwrap();
    assert_eq!((members.count.get(), members.members[0].pid.get()), (1, PID));
    let reply = cluster.request(1, A, &membership(b"nobody")).unwrap();
    assert_eq!(wire::MembershipReplyBytes::ref_from_bytes(&reply).unwrap().count.get(), 0);

    let reply = cluster.request(1, A, &iterate(wire::ITERATE_ALL, b"")).unwrap();
    let handle = wire::IterateReplyBytes::ref_from_bytes(&reply).unwrap().handle.get();
    let reply = cluster.request(1, A, &with_handle(request::ITERATION_NEXT, handle)).unwrap();
    let entry = wire::IterateNextReplyBytes::ref_from_bytes(&reply).unwrap();
    assert_eq!((entry.name.name(), entry.node.get(), entry.pid.get()), (Some(&b"g"[..]), 1, PID));
    let reply = cluster.request(1, A, &with_handle(request::ITERATION_NEXT, handle)).unwrap();
    assert_eq!(status(&reply), (response::ITERATION_NEXT, Status::NoSections.code()));
    let reply = cluster.request(1, A, &with_handle(request::ITERATION_FINALIZE, handle)).unwrap();
    assert_eq!(status(&reply), (response::ITERATION_FINALIZE, 1));
}

/// Two connections of one process cannot be in one group; a new one has to wait until the old one's leave
/// message has been delivered.
#[test]
fn a_process_can_be_in_a_group_only_once() {
    let mut cluster = node_at(At::In);
    let other = ConnId(2);
    cluster.connect(1, ServiceId::CPG, other);
    let join = join_request(b"g", PID, 0);
    assert_eq!(ask(&mut cluster, other, &join), (0, 14));
    cluster.request(1, A, &bare(request::FINALIZE));
    assert_eq!(ask(&mut cluster, other, &join), (0, 6));
    cluster.disconnect(1, A);
    assert_eq!(ask(&mut cluster, other, &join), (0, 6));
    cluster.settle();
    assert_eq!(ask(&mut cluster, other, &join), (0, 1));
    cluster.settle();
    let member = Member { node: id(1), pid: PID };
    assert_eq!(cluster.nodes[&1].stack.desks.cpg.groups().members(b"g"), [member]);
}

/// As above, while not even the first connection's join message has been delivered.
#[test]
fn a_join_waits_for_the_end_of_a_revoked_join() {
    let mut cluster = node_at(At::Joining);
    let other = ConnId(2);
    cluster.connect(1, ServiceId::CPG, other);
    cluster.disconnect(1, A);
    let join = join_request(b"g", PID, 0);
    assert_eq!(ask(&mut cluster, other, &join), (0, 6));
    cluster.settle();
    assert_eq!(cluster.nodes[&1].stack.desks.cpg.groups().members(b"g"), []);
    assert_eq!(ask(&mut cluster, other, &join), (0, 1));
}

#[test]
fn names_of_any_bytes_up_to_the_limit() {
    let mut cluster = node_at(At::Out);
    let mut long = join_request(&[9; 128], PID, 0);
    long[16] = 129;
    assert_eq!(ask(&mut cluster, A, &long), (0, 13));
    long[16] = 128;
    assert_eq!(ask(&mut cluster, A, &long), (0, 1));
    cluster.settle();
    assert_eq!(cluster.nodes[&1].stack.desks.cpg.groups().members(&[9; 128]).len(), 1);
}

/// docs/protocol/services.md, "Requests that are refused": invalid ids and sizes are answered 7 with id 0,
/// and the connection stays open.
#[test]
fn impossible_requests_are_answered() {
    let mut cluster = node_at(At::In);
    let refused = [
        bare(13),
        bare(u16::MAX),
        HeaderBytes::<wire::NE>::new(-1, 16).as_bytes().to_vec(),
        HeaderBytes::<wire::NE>::new(3, 17).as_bytes().to_vec(),
        HeaderBytes::<wire::NE>::new(3, 15).as_bytes().to_vec(),
        Vec::new(),
    ];
    for request in refused {
        let reply = cluster.request(1, A, &request).unwrap();
        assert_eq!((status(&reply), reply.len()), ((0, 7), 24), "{request:?}");
    }
    assert_eq!(cluster.nodes[&1].stack.router().stats().invalid_requests, 6);
    // Requests too short for their fields are refused by the desk, with a reply of the expected id and
    // length.
    let lengths = [24, 24, 0, 9248, 32, 32, 168, 24, 24, 24, 24, 24, 24];
    for (id, length) in lengths.into_iter().enumerate() {
        let reply = cluster.request(1, A, &bare(id as u16));
        assert_eq!(reply.map_or(0, |reply| reply.len()), length, "request {id}");
    }
    assert_eq!(cluster.nodes[&1].stack.desks.cpg.stats().dropped_requests, 1);
    assert_eq!(ask(&mut cluster, A, &membership(b"g")), (3, 1));
}
