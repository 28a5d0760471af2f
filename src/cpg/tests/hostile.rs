//! Arbitrary bytes from peers and clients: nothing panics, no request is answered twice, and well-behaved
//! clients are served as before.

use bytes::Bytes;
use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::bus::{Bus, Node, Seen, join_request, mcast_request, node_id};
use crate::cpg::groups::PROCESSES_PER_NODE;
use crate::cpg::name::{GroupName, Member, Reason};
use crate::cpg::wire::{self, NE, exec, request};
use crate::ids::{ConnId, Endian, ServiceId};
use crate::service::wire::HeaderBytes;

const GOOD: ConnId = ConnId(1);
const BAD: ConnId = ConnId(2);

/// Nodes 1 and 2 on a ring; node 1 has a well-behaved member of "g", and a hostile connection.
fn two_nodes() -> Bus {
    let mut bus = Bus::default();
    bus.add(Node::new(1, 1000, &[]));
    bus.add(Node::new(2, 1000, &[0, 3, 5]));
    bus.form(&[1, 2], |all| all);
    bus.settle();
    bus.node(1).connect(GOOD);
    bus.node(1).connect(BAD);
    bus.node(1).request(GOOD, &join_request(b"g", 1, 0), &[]);
    bus.settle();
    bus
}

fn still_serves(bus: &mut Bus) {
    bus.node(1).request(GOOD, &mcast_request(0, b"still there"), &[]);
    bus.settle();
    let sender = Member { node: node_id(1), pid: 1 };
    let message = Seen::Message { group: b"g".to_vec(), sender, payload: b"still there".to_vec() };
    assert_eq!(bus.node(1).below.told[&GOOD].last(), Some(&message));
    assert_eq!(bus.nodes[&1].cpg.groups().processes(), bus.nodes[&2].cpg.groups().processes());
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_requests_do_no_harm(all in prop::collection::vec((framed(-2..16), 0_usize..700), 1..12)) {
        let mut bus = two_nodes();
        for (message, cut) in all {
            let cut = cut.min(message.len());
            bus.node(1).request(BAD, &message[..cut], &message[cut..]);
            bus.settle();
        }
        still_serves(&mut bus);
    }

    #[test]
    fn arbitrary_exec_messages_do_no_harm(
        all in prop::collection::vec(
            (framed(0x2_0000..0x2_0009), any::<bool>(), any::<bool>(), 0_usize..700),
            1..12,
        )
    ) {
        let mut bus = two_nodes();
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
            for id in [1, 2] {
                bus.node(id).deliver(node_id(2), sync, Bytes::from(message.clone()), order);
            }
            bus.settle();
        }
        still_serves(&mut bus);
    }

    /// A valid message that is truncated or has one byte changed.
    #[test]
    fn damaged_messages_do_no_harm(which in 0_usize..5, cut in 0_usize..2000, at in 0_usize..2000, value: u8) {
        let group = GroupName::new("g").unwrap();
        let member = Member { node: node_id(2), pid: 5 };
        let process = crate::cpg::groups::Process { member, group: group.clone() };
        let mut message = match which {
            0 => wire::ProcBytes::new(exec::PROC_JOIN, &group, 5, Reason::Join).as_bytes().to_vec(),
            1 => wire::ProcBytes::new(exec::PROC_LEAVE, &group, 5, Reason::Leave).as_bytes().to_vec(),
            2 => wire::join_list(&[process.clone(), process]),
            3 => wire::down_list(2, &[node_id(2)]).as_bytes().to_vec(),
            _ => {
                let mut bus = two_nodes();
                bus.node(1).request(GOOD, &mcast_request(0, b"payload"), &[]);
                bus.node(1).below.normal.back().unwrap().body.to_vec()
            }
        };
        message.truncate(cut.max(16));
        if let Some(byte) = message.get_mut(at) {
            *byte = value;
        }
        let mut bus = two_nodes();
        for id in [1, 2] {
            bus.node(id).deliver(node_id(2), false, Bytes::from(message.clone()), Endian::Little);
        }
        bus.settle();
        still_serves(&mut bus);
    }
}

#[test]
fn messages_for_nobody_are_counted() {
    let mut bus = two_nodes();
    let send = |bus: &mut Bus, message: &[u8]| {
        bus.node(1).deliver(node_id(2), false, Bytes::copy_from_slice(message), Endian::Little);
    };
    for service in [0, 1, 3, 63, 64, 0x7fff, 0xffff] {
        let header = HeaderBytes::<wire::LE>::exec(ServiceId(service), 0, 16);
        send(&mut bus, header.as_bytes());
    }
    for function in [7, 8, 0xffff] {
        let header = HeaderBytes::<wire::LE>::exec(ServiceId::CPG, function, 16);
        send(&mut bus, header.as_bytes());
    }
    for length in 1..16 {
        send(&mut bus, &[0; 16][..length]);
    }
    let stats = bus.node(1).router.stats();
    assert_eq!((stats.unknown_service, stats.unknown_function, stats.short), (7, 3, 15));
    // A message to the group from a node without a process in it is delivered to nobody.
    bus.node(1).request(GOOD, &mcast_request(0, b"whose?"), &[]);
    let body = bus.node(1).below.normal.pop_back().unwrap().body;
    let told = bus.node(1).below.told[&GOOD].len();
    bus.node(1).deliver(node_id(2), false, body, Endian::Little);
    assert_eq!(bus.node(1).below.told[&GOOD].len(), told);
    assert_eq!(bus.node(1).cpg.stats().unknown_sender, 1);
    still_serves(&mut bus);
}

/// A node outside of the ring cannot add processes to groups, and no node can add too many.
#[test]
fn the_table_has_its_limits() {
    let mut bus = two_nodes();
    let group = GroupName::new("flood").unwrap();
    let join = |pid: u32| {
        let message = wire::ProcBytes::new(exec::PROC_JOIN, &group, pid, Reason::Join);
        Bytes::copy_from_slice(message.as_bytes())
    };
    bus.node(1).deliver(node_id(9), false, join(1), Endian::Little);
    assert_eq!(bus.node(1).cpg.groups().members(b"flood"), []);
    for pid in 0..PROCESSES_PER_NODE as u32 + 10 {
        for id in [1, 2] {
            bus.node(id).deliver(node_id(2), false, join(pid), Endian::Little);
        }
    }
    assert_eq!(bus.node(1).cpg.groups().members(b"flood").len(), PROCESSES_PER_NODE);
    assert_eq!(bus.node(1).cpg.stats().refused_joins, 11);
    still_serves(&mut bus);
    // All of them fit into one join list in one message.
    let list = wire::join_list(bus.node(2).cpg.groups().of_node(node_id(2)));
    assert!(list.len() < crate::service::wire::MAX_MESSAGE);
    assert_eq!(HeaderBytes::<NE>::new(i32::from(request::COUNT), list.len()).size.get(), list.len() as i32);
}
