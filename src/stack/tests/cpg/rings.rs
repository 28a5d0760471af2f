//! docs/protocol/services.md, "Membership of groups": partitions, merges, and what happens while a ring synchronises.

use std::time::Duration;

use super::bench::{A, events, form_anew, join_lists, member, members_of_g, news, run_to_next_ring, sent};
use super::speech::{Seen, join_request, mcast_request};
use super::stories::{confchg, message};
use crate::cpg::groups::Process;
use crate::cpg::wire::{self, ServiceExec, exec};
use crate::cpg::{GroupName, MEMBERS_MAX, Reason};
use crate::ids::{ConnId, Endian, ServiceId};
use crate::service::Service;
use crate::stack::tests::cluster::{Cluster, id};
use crate::view::ViewKind;

/// A crash or a partition is NODEDOWN for the others; after a merge each side is NODEUP for the other.
#[test]
fn a_partition_and_a_merge_are_reported_to_both_sides() {
    let mut cluster = members_of_g(3);
    let (one, two, three) = (member(1, 10), member(2, 20), member(3, 30));
    for node in 1..=3 {
        news(&mut cluster, node, A);
    }
    cluster.part(&[0, 0, 1]);
    cluster.settle();
    assert_eq!(news(&mut cluster, 1, A), [confchg(&[one, two], &[(three, 3)], &[])]);
    assert_eq!(news(&mut cluster, 2, A), [confchg(&[one, two], &[(three, 3)], &[])]);
    assert_eq!(news(&mut cluster, 3, A), [confchg(&[three], &[(one, 3), (two, 3)], &[])]);
    join_lists(&mut cluster, 3);
    cluster.part(&[0, 0, 0]);
    cluster.settle();
    assert_eq!(news(&mut cluster, 1, A), [confchg(&[one, two, three], &[], &[(three, 4)])]);
    // Latest arrival first: node 1's list came after node 2's.
    assert_eq!(join_lists(&mut cluster, 3), [id(2), id(1)]);
    assert_eq!(news(&mut cluster, 3, A), [confchg(&[one, two, three], &[], &[(one, 4), (two, 4)])]);
}

/// As in Corosync, and whatever their ids.
#[test]
fn those_who_came_are_named_with_the_latest_arrival_first() {
    let mut cluster = members_of_g(3);
    let (one, two, three) = (member(1, 10), member(2, 20), member(3, 30));
    cluster.part(&[1, 0, 0]);
    cluster.settle();
    news(&mut cluster, 1, A);
    join_lists(&mut cluster, 1);
    cluster.part(&[0, 0, 0]);
    cluster.settle();
    assert_eq!(join_lists(&mut cluster, 1), [id(2), id(3)]);
    assert_eq!(news(&mut cluster, 1, A), [confchg(&[one, two, three], &[], &[(three, 4), (two, 4)])]);
}

/// A node that leaves and comes back without a completed exchange in between is still reported as gone: it
/// may have missed messages.
#[test]
fn a_node_that_left_briefly_is_reported_as_gone() {
    let mut cluster = members_of_g(2);
    let (one, two) = (member(1, 10), member(2, 20));
    news(&mut cluster, 1, A);
    let completed = cluster.nodes[&1].stack.router().stats().syncs_completed;
    cluster.node(1).outcome.views.clear();
    cluster.held = true;
    form_anew(&mut cluster, 1);
    // Node 2 is heard again before node 1's services have synchronised.
    let alone = cluster.nodes[&1].stack.router().ring();
    cluster.lose();
    cluster.tell(2, |node| node.stack.gather());
    cluster.held = false;
    run_to_next_ring(&mut cluster, 1, alone);
    form_anew(&mut cluster, 1);
    cluster.settle();
    let expected = [confchg(&[one], &[(two, 3)], &[]), confchg(&[one, two], &[], &[(two, 4)])];
    assert_eq!(news(&mut cluster, 1, A), expected);
    let node = &cluster.nodes[&1];
    let rings = node.outcome.views.iter().filter(|view| view.kind == ViewKind::Regular);
    let rings: Vec<_> = rings.map(|view| &view.members[..]).collect();
    assert_eq!(rings, [&[id(1)][..], &[id(1), id(2)], &[id(1), id(2)]]);
    assert_eq!(node.stack.router().stats().syncs_completed, completed + 1, "only the last one");
}

/// docs/protocol/services.md, "Course of the synchronisation": a message that was accepted but not sent
/// before a change is delivered after it.
#[test]
fn a_message_in_the_queue_survives_a_change() {
    let mut cluster = members_of_g(2);
    news(&mut cluster, 1, A);
    cluster.request(1, A, &mcast_request(0, b"late"));
    cluster.kill(2);
    cluster.settle();
    let one = member(1, 10);
    let expected = [confchg(&[one], &[(member(2, 20), 3)], &[]), message(one, b"late")];
    assert_eq!(news(&mut cluster, 1, A), expected);
}

/// The end of a client during a synchronisation is reported after it: a leave must not overtake the join list that
/// names the process.
#[test]
fn the_end_of_a_client_waits_for_the_end_of_a_synchronisation() {
    let mut cluster = members_of_g(2);
    news(&mut cluster, 2, A);
    form_anew(&mut cluster, 1);
    cluster.disconnect(1, A);
    let syncing = |cluster: &Cluster| cluster.nodes[&1].stack.router().syncing();
    while syncing(&cluster) {
        assert_eq!(sent(&cluster, 1, exec::PROC_LEAVE), 0, "not in the synchronisation");
        assert!(!cluster.nodes[&1].stack.desks.cpg.settled());
        cluster.run(Duration::from_micros(100));
    }
    cluster.settle();
    let gone = confchg(&[member(2, 20)], &[(member(1, 10), 5)], &[]);
    assert_eq!(news(&mut cluster, 2, A), [gone]);
    assert!(cluster.nodes[&1].stack.desks.cpg.settled());
}

/// docs/protocol/services.md, "Membership of groups": a Corosync node's leave message can arrive in a
/// synchronisation, before or after the join list that still names the process. The process must not become a
/// ghost.
#[test]
fn a_leave_in_the_synchronisation_leaves_no_ghost() {
    for leave_first in [true, false] {
        let mut cluster = members_of_g(2);
        news(&mut cluster, 1, A);
        form_anew(&mut cluster, 1);
        let two = member(2, 20);
        let group = GroupName::new("g").unwrap();
        let leave = ServiceExec::Leave { group: &group, pid: two.pid, reason: Reason::ProcDown }.encode();
        let process = Process { member: two, group };
        let mut messages = [leave, ServiceExec::JoinList(&[process]).encode()];
        if !leave_first {
            messages.reverse();
        }
        for message in messages {
            cluster.deliver(1, 2, &message, Endian::Little);
        }
        let gone = confchg(&[member(1, 10)], &[(two, 5)], &[]);
        assert_eq!(news(&mut cluster, 1, A), [gone]);
        // Node 2's own desk still lists the process, as Corosync's does; the other must not have it, whatever
        // node 2 lists.
        cluster.settle();
        assert_eq!(news(&mut cluster, 1, A), []);
        assert_eq!(cluster.nodes[&1].stack.desks.cpg.groups().members(b"g"), [member(1, 10)]);
        assert_eq!(cluster.nodes[&2].stack.desks.cpg.groups().members(b"g"), [member(1, 10), two]);
    }
}

/// A process that its node no longer lists, and whose leave message was lost, is reported with PROCDOWN.
#[test]
fn a_ghost_is_removed_at_the_next_ring() {
    let mut cluster = members_of_g(2);
    let group = GroupName::new("g").unwrap();
    let join = ServiceExec::Join { group: &group, pid: 66 }.encode();
    cluster.deliver(1, 2, &join, Endian::Little);
    let ghost = member(2, 66);
    let joined = confchg(&[member(1, 10), member(2, 20), ghost], &[], &[(ghost, 1)]);
    assert_eq!(news(&mut cluster, 1, A).last(), Some(&joined));
    form_anew(&mut cluster, 1);
    cluster.settle();
    let rest = [member(1, 10), member(2, 20)];
    assert_eq!(news(&mut cluster, 1, A), [confchg(&rest, &[(ghost, 5)], &[])]);
}

/// docs/protocol/services.md, "Membership of groups": a joining client that asked for it receives the
/// membership first, then the totem configuration; every client receives the latter after each new ring.
#[test]
fn the_totem_configuration_follows_the_first_membership() {
    let mut cluster = members_of_g(2);
    let other = ConnId(2);
    cluster.connect(1, ServiceId::CPG, other);
    cluster.request(1, other, &join_request(b"g", 11, wire::JOIN_FLAG_TOTEM_CONF));
    cluster.settle();
    let told = events(&mut cluster, 1, other);
    assert!(matches!(&told[0], Seen::Confchg { joined, .. } if joined == &[(member(1, 11), 1)]));
    assert_eq!(told[1..], [Seen::Settled(cluster.ring(1), vec![id(1), id(2)])]);
    assert!(!events(&mut cluster, 1, A).iter().any(|seen| matches!(seen, Seen::Settled(..))));
    cluster.kill(2);
    cluster.settle();
    let settled = Seen::Settled(cluster.ring(1), vec![id(1)]);
    for conn in [A, other] {
        assert_eq!(events(&mut cluster, 1, conn).last(), Some(&settled));
    }
}

/// libcpg copies each list of a membership event into an array of 128.
#[test]
fn no_event_has_more_entries_than_libcpg_has_room_for() {
    const MANY: u32 = 300;
    let mut cluster = members_of_g(2);
    for n in 0..MANY {
        let conn = ConnId(1000 + u64::from(n));
        cluster.connect(2, ServiceId::CPG, conn);
        cluster.request(2, conn, &join_request(b"g", 1000 + n, 0));
        // What the others of node 2 are told is not looked at.
        cluster.run(Duration::from_millis(1));
        cluster.take_told(2);
    }
    cluster.settle();
    assert_eq!(cluster.nodes[&1].stack.desks.cpg.groups().members(b"g").len(), MANY as usize + 2);
    news(&mut cluster, 1, A);
    for parts in [[0, 1], [0, 0]] {
        cluster.part(&parts);
        cluster.settle();
    }
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    for seen in news(&mut cluster, 1, A) {
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
    assert!(cluster.nodes[&1].stack.desks.cpg.stats().capped_events > 0);
}
