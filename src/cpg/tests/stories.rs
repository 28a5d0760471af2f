//! docs/protocol/services.md, "Membership of groups": joins, leaves, crashes, partitions, merges, and the
//! events that clients receive.

use super::bus::{Bus, Node, Seen, join_request, leave_request, mcast_request, node_id, status};
use crate::cpg::desk::MEMBERS_MAX;
use crate::cpg::name::{Member, Reason};
use crate::cpg::wire::{self, exec, request};
use crate::ids::{ConnId, Endian, Piece};
use bytes::Bytes;
use zerocopy::IntoBytes;

const A: ConnId = ConnId(1);

fn member(node: u32, pid: u32) -> Member {
    Member { node: node_id(node), pid }
}

fn confchg(members: &[Member], left: &[(Member, u32)], joined: &[(Member, u32)]) -> Seen {
    Seen::Confchg {
        group: b"g".to_vec(),
        members: members.to_vec(),
        left: left.to_vec(),
        joined: joined.to_vec(),
    }
}

fn message(sender: Member, payload: &[u8]) -> Seen {
    Seen::Message { group: b"g".to_vec(), sender, payload: payload.to_vec() }
}

/// Nodes with these ids, each with one connection in group "g" whose process id is 10 times the node id.
fn members_of_g(ids: &[u32], room: usize) -> Bus {
    let mut bus = Bus::default();
    for id in ids {
        bus.add(Node::new(*id, room, &[]));
    }
    bus.form(ids, |all| all);
    bus.settle();
    for id in ids {
        bus.node(*id).connect(A);
        bus.node(*id).request(A, &join_request(b"g", 10 * id, 0), &[]);
        bus.settle();
    }
    bus
}

/// The events of a client since the last call, without markers.
fn news(bus: &mut Bus, id: u32, conn: ConnId) -> Vec<Seen> {
    let told = std::mem::take(bus.node(id).below.told.get_mut(&conn).unwrap());
    told.into_iter().filter(|seen| seen.group().is_some()).collect()
}

#[test]
fn a_client_joins_sends_and_leaves() {
    let mut bus = members_of_g(&[1, 2], 64);
    let (one, two) = (member(1, 10), member(2, 20));
    let first = confchg(&[one], &[], &[(one, 1)]);
    let second = confchg(&[one, two], &[], &[(two, 1)]);
    assert_eq!(news(&mut bus, 1, A), [first, second.clone()]);
    assert_eq!(news(&mut bus, 2, A), [second]);
    bus.node(2).request(A, &mcast_request(0, b"hello"), &[]);
    bus.settle();
    bus.node(2).request(A, &leave_request(b"g", 20), &[]);
    bus.settle();
    let expected = [message(two, b"hello"), confchg(&[one], &[(two, 2)], &[])];
    assert_eq!(news(&mut bus, 1, A), expected);
    assert_eq!(news(&mut bus, 2, A), expected, "who leaves sees it");
    // It has left, and may join again.
    bus.node(1).request(A, &mcast_request(0, b"not for you"), &[]);
    bus.settle();
    assert_eq!(news(&mut bus, 2, A), []);
    let reply = bus.node(2).request(A, &join_request(b"g", 20, 0), &[]).unwrap();
    assert_eq!(status(&reply), (0, 1));
    bus.settle();
    assert_eq!(news(&mut bus, 2, A), [confchg(&[one, two], &[], &[(two, 1)])]);
}

/// A client's own messages are marked as echoes for it alone, because only they may hold it back.
#[test]
fn a_message_is_an_echo_for_its_sender_alone() {
    let mut bus = members_of_g(&[1, 2], 64);
    // Another process of node 1, and a process of node 2 with the process id of node 1's.
    let others = [(1, ConnId(2), 11), (2, ConnId(2), 10)];
    for (id, conn, pid) in others {
        bus.node(id).connect(conn);
        bus.node(id).request(conn, &join_request(b"g", pid, 0), &[]);
        bus.settle();
    }
    for id in [1, 2] {
        bus.node(id).request(A, &mcast_request(0, b"hello"), &[]);
        bus.settle();
    }
    for id in [1, 2] {
        assert_eq!(bus.node(id).below.echoed, [(A, Piece::Whole)], "node {id}");
        for conn in [A, ConnId(2)] {
            let told = news(&mut bus, id, conn);
            assert_eq!(told.iter().filter(|seen| matches!(seen, Seen::Message { .. })).count(), 2);
        }
    }
}

#[test]
fn a_process_that_dies_is_reported() {
    let mut bus = members_of_g(&[1, 2], 64);
    news(&mut bus, 1, A);
    bus.node(2).disconnect(A);
    bus.settle();
    assert_eq!(news(&mut bus, 1, A), [confchg(&[member(1, 10)], &[(member(2, 20), 5)], &[])]);
    assert!(crate::service::Service::settled(&bus.node(2).cpg));
}

/// A crash or a partition is NODEDOWN for the others; after a merge each side is NODEUP for the other.
#[test]
fn a_partition_and_a_merge_are_reported_to_both_sides() {
    let mut bus = members_of_g(&[1, 2, 3], 64);
    let (one, two, three) = (member(1, 10), member(2, 20), member(3, 30));
    for id in 1..=3 {
        news(&mut bus, id, A);
    }
    bus.form(&[1, 2], |all| all);
    bus.form(&[3], |all| all);
    bus.settle();
    assert_eq!(news(&mut bus, 1, A), [confchg(&[one, two], &[(three, 3)], &[])]);
    assert_eq!(news(&mut bus, 2, A), [confchg(&[one, two], &[(three, 3)], &[])]);
    assert_eq!(news(&mut bus, 3, A), [confchg(&[three], &[(one, 3), (two, 3)], &[])]);
    bus.form(&[1, 2, 3], |all| all);
    bus.settle();
    assert_eq!(news(&mut bus, 1, A), [confchg(&[one, two, three], &[], &[(three, 4)])]);
    // Latest arrival first, as in Corosync: node 2's list came after node 1's.
    assert_eq!(news(&mut bus, 3, A), [confchg(&[one, two, three], &[], &[(two, 4), (one, 4)])]);
}

/// A node that leaves and comes back without a completed exchange in between is still reported as gone: it
/// may have missed messages.
#[test]
fn a_node_that_left_briefly_is_reported_as_gone() {
    let mut bus = members_of_g(&[1, 2], 64);
    let (one, two) = (member(1, 10), member(2, 20));
    news(&mut bus, 1, A);
    bus.form(&[1], |all| all);
    bus.form(&[1, 2], |all| all);
    bus.form(&[1, 2], |all| all);
    bus.settle();
    let expected = [confchg(&[one], &[(two, 3)], &[]), confchg(&[one, two], &[], &[(two, 4)])];
    assert_eq!(news(&mut bus, 1, A), expected);
}

/// docs/protocol/services.md, "Course of the synchronisation": a message that was accepted but not sent
/// before a change is delivered after it.
#[test]
fn a_message_in_the_queue_survives_a_change() {
    let mut bus = members_of_g(&[1, 2], 64);
    news(&mut bus, 1, A);
    bus.node(1).request(A, &mcast_request(0, b"late"), &[]);
    bus.form(&[1], |all| all);
    bus.settle();
    let one = member(1, 10);
    let expected = [confchg(&[one], &[(member(2, 20), 3)], &[]), message(one, b"late")];
    assert_eq!(news(&mut bus, 1, A), expected);
}

/// The end of a client during a synchronisation, or with a full queue, is reported as soon as possible.
#[test]
fn the_end_of_a_client_is_always_announced() {
    let mut bus = members_of_g(&[1, 2], 4);
    news(&mut bus, 2, A);
    bus.form(&[1, 2], |all| all);
    bus.node(1).disconnect(A);
    assert!(bus.node(1).below.sync.iter().all(|sent| sent.sync), "not in the synchronisation");
    bus.settle();
    let gone = confchg(&[member(2, 20)], &[(member(1, 10), 5)], &[]);
    assert_eq!(news(&mut bus, 2, A), [gone]);

    let mut bus = members_of_g(&[1, 2], 4);
    news(&mut bus, 2, A);
    for n in 0..4 {
        bus.node(1).request(A, &mcast_request(0, &[n]), &[]);
    }
    bus.node(1).disconnect(A);
    assert!(!crate::service::Service::settled(&bus.node(1).cpg));
    bus.settle();
    let gone = confchg(&[member(2, 20)], &[(member(1, 10), 5)], &[]);
    assert_eq!(news(&mut bus, 2, A).last(), Some(&gone));
    assert!(crate::service::Service::settled(&bus.node(1).cpg));
}

/// docs/protocol/services.md, "Membership of groups": a Corosync node's leave message can arrive in a
/// synchronisation, before or after the join list that still names the process. The process must not become a
/// ghost.
#[test]
fn a_leave_in_the_synchronisation_leaves_no_ghost() {
    for leave_first in [true, false] {
        let mut bus = members_of_g(&[1, 2], 64);
        news(&mut bus, 1, A);
        bus.form(&[1, 2], |all| all);
        let two = member(2, 20);
        let group = crate::cpg::name::GroupName::new("g").unwrap();
        let leave = wire::ProcBytes::new(exec::PROC_LEAVE, &group, two.pid, Reason::ProcDown);
        let process = crate::cpg::groups::Process { member: two, group };
        let mut messages = [leave.as_bytes().to_vec(), wire::join_list(&[process])];
        if !leave_first {
            messages.reverse();
        }
        for message in messages {
            bus.node(1).deliver(node_id(2), false, Bytes::from(message), Endian::Little);
        }
        let gone = confchg(&[member(1, 10)], &[(two, 5)], &[]);
        assert_eq!(news(&mut bus, 1, A), [gone]);
        // Node 2's own desk still lists the process, as Corosync's does; the other must not have it, whatever
        // node 2 lists.
        bus.settle();
        assert_eq!(news(&mut bus, 1, A), []);
        assert_eq!(bus.node(1).cpg.groups().members(b"g"), [member(1, 10)]);
    }
}

/// A process that its node no longer lists, and whose leave message was lost, is reported with PROCDOWN.
#[test]
fn a_ghost_is_removed_at_the_next_ring() {
    let mut bus = members_of_g(&[1, 2], 64);
    let group = crate::cpg::name::GroupName::new("g").unwrap();
    let join = wire::ProcBytes::new(exec::PROC_JOIN, &group, 66, Reason::Join);
    bus.node(1).deliver(node_id(2), false, Bytes::copy_from_slice(join.as_bytes()), Endian::Little);
    news(&mut bus, 1, A);
    bus.form(&[1, 2], |all| all);
    bus.settle();
    let rest = [member(1, 10), member(2, 20)];
    assert_eq!(news(&mut bus, 1, A), [confchg(&rest, &[(member(2, 66), 5)], &[])]);
}

/// docs/protocol/services.md, "Messages of the synchronisation": Debian's nodes announce 0, 2, 3 and 5; this
/// node has only 2.
#[test]
fn nodes_with_other_services_synchronise() {
    let mut bus = Bus::default();
    bus.add(Node::new(1, 64, &[]));
    bus.add(Node::new(2, 64, &[0, 3, 5]));
    bus.add(Node::new(3, 64, &[0, 3]));
    bus.form(&[1, 2, 3], |all| all);
    bus.settle();
    for id in 1..=3 {
        assert_eq!(bus.node(id).below.synced.len(), 1, "node {id}");
        assert!(bus.node(id).router.ready());
        assert!(!bus.node(id).router.syncing());
        assert_eq!(bus.node(id).router.stats().foreign_sync, 0);
    }
}

/// docs/protocol/services.md, "Membership of groups": a joining client that asked for it receives the
/// membership first, then the totem configuration; every client receives the latter after each new ring.
#[test]
fn the_totem_configuration_follows_the_first_membership() {
    let mut bus = members_of_g(&[1, 2], 64);
    let other = ConnId(2);
    bus.node(1).connect(other);
    bus.node(1).request(other, &join_request(b"g", 11, wire::JOIN_FLAG_TOTEM_CONF), &[]);
    bus.settle();
    let ring = bus.node(1).router.ring().unwrap();
    let nodes = vec![node_id(1), node_id(2)];
    let told = &bus.node(1).below.told[&other];
    assert!(matches!(&told[0], Seen::Confchg { joined, .. } if joined == &[(member(1, 11), 1)]));
    assert_eq!(told[1..], [Seen::Settled(ring, nodes)]);
    assert!(!bus.node(1).below.told[&A].iter().any(|seen| matches!(seen, Seen::Settled(..))));
    bus.form(&[1], |all| all);
    bus.settle();
    let ring = bus.node(1).router.ring().unwrap();
    for conn in [A, other] {
        assert_eq!(bus.node(1).below.told[&conn].last(), Some(&Seen::Settled(ring, vec![node_id(1)])));
    }
}

/// After FINALIZE a client receives no events, and the end of its connection is still announced.
#[test]
fn a_finalized_connection_gets_no_events() {
    let mut bus = members_of_g(&[1, 2], 64);
    news(&mut bus, 2, A);
    news(&mut bus, 1, A);
    let mut finalize = vec![0; 16];
    (finalize[0], finalize[8]) = (request::FINALIZE as u8, 16);
    bus.node(1).request(A, &finalize, &[]);
    bus.node(2).request(A, &mcast_request(0, b"x"), &[]);
    bus.settle();
    assert_eq!(news(&mut bus, 1, A), []);
    bus.node(1).disconnect(A);
    bus.settle();
    let expected = [message(member(2, 20), b"x"), confchg(&[member(2, 20)], &[(member(1, 10), 5)], &[])];
    assert_eq!(news(&mut bus, 2, A), expected);
}

/// libcpg copies each list of a membership event into an array of 128.
#[test]
fn no_event_has_more_entries_than_libcpg_has_room_for() {
    const MANY: u32 = 300;
    let mut bus = members_of_g(&[1, 2], 4096);
    for n in 0..MANY {
        let conn = ConnId(1000 + u64::from(n));
        bus.node(2).connect(conn);
        bus.node(2).request(conn, &join_request(b"g", 1000 + n, 0), &[]);
    }
    bus.settle();
    assert_eq!(bus.node(1).cpg.groups().members(b"g").len(), MANY as usize + 2);
    news(&mut bus, 1, A);
    bus.form(&[1], |all| all);
    bus.form(&[2], |all| all);
    bus.settle();
    bus.form(&[1, 2], |all| all);
    bus.settle();
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    for seen in news(&mut bus, 1, A) {
        let Seen::Confchg { members, left, joined, .. } = seen else { panic!("{seen:?}") };
        assert!(members.len() <= MEMBERS_MAX && left.len() <= MEMBERS_MAX && joined.len() <= MEMBERS_MAX);
        assert!(!members.is_empty());
        gone.extend(left.into_iter().map(|(member, _)| member.pid));
        come.extend(joined.into_iter().map(|(member, _)| member.pid));
    }
    let everybody: Vec<u32> = std::iter::once(20).chain(1000..1000 + MANY).collect();
    assert_eq!(gone, everybody);
    come.sort_unstable();
    assert_eq!(come, everybody);
    assert!(bus.node(1).cpg.stats().capped_events > 0);
}
