//! docs/protocol/services.md, "Membership of groups": joins, leaves, crashes and messages on one ring, and the events
//! that clients receive.

use super::bench::{A, echoes, fill, join, member, members_of_g, news, sent};
use super::speech::{Seen, bare, join_request, leave_request, mcast_request, status};
use crate::cpg::Member;
use crate::cpg::wire::{exec, request};
use crate::ids::{ConnId, Piece};
use crate::service::Service;

/// A membership event of group "g".
pub(super) fn confchg(members: &[Member], left: &[(Member, u32)], joined: &[(Member, u32)]) -> Seen {
    Seen::Confchg {
        group: b"g".to_vec(),
        members: members.to_vec(),
        left: left.to_vec(),
        joined: joined.to_vec(),
    }
}

/// A message of group "g".
pub(super) fn message(sender: Member, payload: &[u8]) -> Seen {
    Seen::Message { group: b"g".to_vec(), sender, payload: payload.to_vec() }
}

#[test]
fn a_client_joins_sends_and_leaves() {
    let mut cluster = members_of_g(2);
    let (one, two) = (member(1, 10), member(2, 20));
    let first = confchg(&[one], &[], &[(one, 1)]);
    let second = confchg(&[one, two], &[], &[(two, 1)]);
    assert_eq!(news(&mut cluster, 1, A), [first, second.clone()]);
    assert_eq!(news(&mut cluster, 2, A), [second]);
    cluster.request(2, A, &mcast_request(0, b"hello"));
    cluster.settle();
    cluster.request(2, A, &leave_request(b"g", 20));
    cluster.settle();
    let expected = [message(two, b"hello"), confchg(&[one], &[(two, 2)], &[])];
    assert_eq!(news(&mut cluster, 1, A), expected);
    assert_eq!(news(&mut cluster, 2, A), expected, "who leaves sees it");
    // It has left, and may join again.
    cluster.request(1, A, &mcast_request(0, b"not for you"));
    cluster.settle();
    assert_eq!(news(&mut cluster, 2, A), []);
    let reply = cluster.request(2, A, &join_request(b"g", 20, 0)).unwrap();
    assert_eq!(status(&reply), (0, 1));
    cluster.settle();
    assert_eq!(news(&mut cluster, 2, A), [confchg(&[one, two], &[], &[(two, 1)])]);
}

/// A client's own messages are marked as echoes for it alone, because only they may hold it back.
#[test]
fn a_message_is_an_echo_for_its_sender_alone() {
    let mut cluster = members_of_g(2);
    // Another process of node 1, and a process of node 2 with the process id of node 1's.
    for (node, conn, pid) in [(1, ConnId(2), 11), (2, ConnId(2), 10)] {
        join(&mut cluster, node, conn, pid);
    }
    for node in [1, 2] {
        cluster.request(node, A, &mcast_request(0, b"hello"));
        cluster.settle();
    }
    for node in [1, 2] {
        assert_eq!(echoes(&cluster, node), [(A, Piece::Whole)], "node {node}");
        for conn in [A, ConnId(2)] {
            let told = news(&mut cluster, node, conn);
            assert_eq!(told.iter().filter(|seen| matches!(seen, Seen::Message { .. })).count(), 2);
        }
    }
}

#[test]
fn a_process_that_dies_is_reported() {
    let mut cluster = members_of_g(2);
    news(&mut cluster, 1, A);
    cluster.disconnect(2, A);
    cluster.settle();
    assert_eq!(news(&mut cluster, 1, A), [confchg(&[member(1, 10)], &[(member(2, 20), 5)], &[])]);
    assert!(cluster.nodes[&2].stack.desks.cpg.settled());
}

/// The end of a client with a full queue is reported as soon as possible.
#[test]
fn the_end_of_a_client_is_announced_when_there_is_room() {
    let mut cluster = members_of_g(2);
    news(&mut cluster, 2, A);
    fill(&mut cluster, 1, A);
    cluster.disconnect(1, A);
    assert!(!cluster.nodes[&1].stack.desks.cpg.settled());
    assert_eq!(sent(&cluster, 1, exec::PROC_LEAVE), 0);
    cluster.settle();
    let gone = confchg(&[member(2, 20)], &[(member(1, 10), 5)], &[]);
    assert_eq!(news(&mut cluster, 2, A).last(), Some(&gone));
    assert!(cluster.nodes[&1].stack.desks.cpg.settled());
}

/// After FINALIZE a client receives no events, and the end of its connection is still announced.
#[test]
fn a_finalized_connection_gets_no_events() {
    let mut cluster = members_of_g(2);
    news(&mut cluster, 2, A);
    news(&mut cluster, 1, A);
    cluster.request(1, A, &bare(request::FINALIZE));
    cluster.request(2, A, &mcast_request(0, b"x"));
    cluster.settle();
    assert_eq!(news(&mut cluster, 1, A), []);
    cluster.disconnect(1, A);
    cluster.settle();
    let expected = [message(member(2, 20), b"x"), confchg(&[member(2, 20)], &[(member(1, 10), 5)], &[])];
    assert_eq!(news(&mut cluster, 2, A), expected);
}
