//! Arbitrary bytes from peers and clients: nothing panics, no request is answered twice, and well-behaved
//! clients are served as before.

use std::time::Duration;

use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::bench::{A as GOOD, deliver_sync, delivered, events, join, member};
use super::speech::{Seen, mcast_request};
use crate::config::map::Map;
use crate::cpg::groups::{PROCESSES_PER_NODE, Process};
use crate::cpg::wire::{ClientExec, Extent, LE, NE, ServiceExec, request};
use crate::cpg::{GroupName, Reason};
use crate::ids::{ConnId, Endian, ServiceId};
use crate::service::wire::HeaderBytes;
use crate::stack::tests::cluster::{Cluster, id};

const BAD: ConnId = ConnId(2);

/// Long enough for what was sent to be delivered everywhere.
const SOON: Duration = Duration::from_millis(5);

/// Nodes 1 and 2 on a ring; node 1 has a well-behaved member of "g", and a hostile connection.
fn two_nodes() -> Cluster {
    let mut cluster = Cluster::running(2, &Map::default());
    join(&mut cluster, 1, GOOD, 1);
    cluster.connect(1, ServiceId::CPG, BAD);
    cluster
}

fn still_serves(cluster: &mut Cluster) {
    cluster.request(1, GOOD, &mcast_request(0, b"still there"));
    cluster.settle();
    let message =
        Seen::Message { group: b"g".to_vec(), sender: member(1, 1), payload: b"still there".to_vec() };
    assert_eq!(events(cluster, 1, GOOD).last(), Some(&message));
    // Whatever the other connection was told can be read.
    events(cluster, 1, BAD);
    let processes = |node| cluster.nodes[&node].stack.desks.cpg.groups().processes();
    assert_eq!(processes(1), processes(2));
}

/// The exec message by which the well-behaved member multicasts.
fn multicast(payload: &[u8]) -> Vec<u8> {
    let group = GroupName::new("g").unwrap();
    let payload = [payload, b""];
    let exec = ClientExec { group: &group, sender: member(1, 1), conn: GOOD, extent: Extent::Whole, payload };
    exec.encode().unwrap().pieces().concat()
}

/// A header that matches its body in half of the cases, and an arbitrary body.
fn framed(ids: std::ops::Range<i32>) -> impl Strategy<Value = Vec<u8>> {
    (ids, prop::collection::vec(any::<u8>(), 0..600), any::<bool>(), any::<i32>()).prop_map(
        |(id, body, fits, size)| {
            let mut message = HeaderBytes::<NE>::new(id, 0).as_bytes().to_vec();
            message.extend(&body);
            let size = if fits { message.len() as i32 } else { size };
            message[8..12].copy_from_slice(&size.to_ne_bytes());
            message
        },
    )
}

/// Cases of each search; each of them starts two nodes.
const CASES: u32 = 300;

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_requests_do_no_harm(all in prop::collection::vec((framed(-2..16), 0_usize..700), 1..12)) {
        let mut cluster = two_nodes();
        for (message, cut) in all {
            let cut = cut.min(message.len());
            cluster.request_in_two(1, BAD, &message[..cut], &message[cut..]);
            cluster.run(SOON);
        }
        still_serves(&mut cluster);
    }

    #[test]
    fn arbitrary_exec_messages_do_no_harm(
        all in prop::collection::vec(
            (framed(0x2_0000..0x2_0009), any::<bool>(), any::<bool>(), 0_usize..700),
            1..12,
        )
    ) {
        let mut cluster = two_nodes();
        for (mut message, big, sync, cut) in all {
            message.truncate(cut.max(1));
            if big && message.len() >= 16 {
                message[..4].reverse();
                message[8..12].reverse();
            }
            if sync && message.len() >= 4 {
                let id = u32::from(message[0] & 1);
                message[..4].copy_from_slice(&id.to_le_bytes());
            }
            let order = if big { Endian::Big } else { Endian::Little };
            for node in [1, 2] {
                if sync {
                    deliver_sync(&mut cluster, node, 2, &message, order);
                } else {
                    cluster.deliver(node, 2, &message, order);
                }
            }
            cluster.run(SOON);
        }
        still_serves(&mut cluster);
    }

    /// A valid message that is truncated or has one byte changed.
    #[test]
    fn damaged_messages_do_no_harm(which in 0_usize..5, cut in 0_usize..2000, at in 0_usize..2000, value: u8) {
        let group = GroupName::new("g").unwrap();
        let process = Process { member: member(2, 5), group: group.clone() };
        let mut message = match which {
            0 => ServiceExec::Join { group: &group, pid: 5 }.encode(),
            1 => ServiceExec::Leave { group: &group, pid: 5, reason: Reason::Leave }.encode(),
            2 => ServiceExec::JoinList(&[process.clone(), process]).encode(),
            3 => ServiceExec::DownList { old_members: 2, left: &[id(2)] }.encode(),
            _ => multicast(b"payload"),
        };
        message.truncate(cut.max(16));
        if let Some(byte) = message.get_mut(at) {
            *byte = value;
        }
        let mut cluster = two_nodes();
        for node in [1, 2] {
            cluster.deliver(node, 2, &message, Endian::Little);
        }
        still_serves(&mut cluster);
    }
}

#[test]
fn messages_for_nobody_are_counted() {
    let mut cluster = two_nodes();
    let before = cluster.nodes[&1].stack.router().stats();
    assert_eq!((before.unknown_service, before.unknown_function, before.short), (0, 0, 0));
    // Votequorum is number 5; these nodes count no votes.
    for service in [4, 5, 6, 63, 64, 0x7fff, 0xffff] {
        let header = HeaderBytes::<LE>::exec(ServiceId(service), 0, 16);
        cluster.deliver(1, 2, header.as_bytes(), Endian::Little);
    }
    for function in [7, 8, 0xffff] {
        let header = HeaderBytes::<LE>::exec(ServiceId::CPG, function, 16);
        cluster.deliver(1, 2, header.as_bytes(), Endian::Little);
    }
    for length in 1..16 {
        cluster.deliver(1, 2, &[0; 16][..length], Endian::Little);
    }
    let stats = cluster.nodes[&1].stack.router().stats();
    assert_eq!((stats.unknown_service, stats.unknown_function, stats.short), (7, 3, 15));
    // A message to the group from a node without a process in it is delivered to nobody.
    events(&mut cluster, 1, GOOD);
    cluster.deliver(1, 2, &multicast(b"whose?"), Endian::Little);
    assert_eq!(events(&mut cluster, 1, GOOD), []);
    assert_eq!(cluster.nodes[&1].stack.desks.cpg.stats().unknown_sender, 1);
    still_serves(&mut cluster);
}

/// The message that other tests deliver in the name of the member is the one that its node sends.
#[test]
fn a_member_multicasts_as_these_tests_suppose() {
    let mut cluster = two_nodes();
    delivered(&mut cluster, 2);
    cluster.request(1, GOOD, &mcast_request(0, b"payload"));
    cluster.settle();
    assert_eq!(delivered(&mut cluster, 2), [multicast(b"payload")]);
}

/// A node outside of the ring cannot add processes to groups, and no node can add too many.
#[test]
fn the_table_has_its_limits() {
    let mut cluster = two_nodes();
    let group = GroupName::new("flood").unwrap();
    let join = |pid: u32| ServiceExec::Join { group: &group, pid }.encode();
    cluster.deliver(1, 9, &join(1), Endian::Little);
    assert_eq!(cluster.nodes[&1].stack.desks.cpg.groups().members(b"flood"), []);
    for pid in 0..PROCESSES_PER_NODE as u32 + 10 {
        for node in [1, 2] {
            cluster.deliver(node, 2, &join(pid), Endian::Little);
        }
    }
    let one = &cluster.nodes[&1].stack.desks.cpg;
    assert_eq!(one.groups().members(b"flood").len(), PROCESSES_PER_NODE);
    assert_eq!(one.stats().refused_joins, 11);
    still_serves(&mut cluster);
    // All of them fit into one join list in one message.
    let list = ServiceExec::JoinList(cluster.nodes[&2].stack.desks.cpg.groups().of_node(id(2))).encode();
    assert!(list.len() < crate::service::wire::MAX_MESSAGE);
    assert_eq!(HeaderBytes::<NE>::new(i32::from(request::COUNT), list.len()).size.get(), list.len() as i32);
}
