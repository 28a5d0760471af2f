//! The bytes that Debian 12's Corosync 3.1.7 sends and reads, captured from its nodes. Group "grp", node 1,
//! process 17336.

use bytes::Bytes;

use super::bus::{Bus, Node, Seen, join_request, leave_request, mcast_request, node_id};
use crate::cpg::groups::Process;
use crate::cpg::name::{GroupName, Member, Reason};
use crate::cpg::wire::{self, Exec, exec};
use crate::ids::{ConnId, Endian, RingId};
use zerocopy::IntoBytes;

const CONN: ConnId = ConnId(1);
const PID: u32 = 17336;

/// Bytes from a dump, given as offset and bytes; all others up to `size` are zero.
fn dump(size: usize, lines: &[(usize, &str)]) -> Vec<u8> {
    let mut bytes = vec![0; size];
    for (offset, line) in lines {
        for (i, byte) in line.split_whitespace().enumerate() {
            bytes[offset + i] = u8::from_str_radix(byte, 16).unwrap();
        }
    }
    bytes
}

fn proc_join() -> Vec<u8> {
    dump(
        168,
        &[
            (0x00, "00 00 02 00 00 00 00 00 a8 00 00 00 00 00 00 00"),
            (0x10, "03 00 00 00 00 00 00 00 67 72 70 00 00 00 00 00"),
            (0x90, "00 00 00 00 00 00 00 00 b8 43 00 00 00 00 00 00"),
            (0xa0, "01 00 00 00 00 00 00 00"),
        ],
    )
}

/// A multicast of "hello"; the connection id in the source has a meaning to the sender only (1 here).
fn mcast() -> Vec<u8> {
    dump(
        189,
        &[
            (0x00, "03 00 02 00 00 00 00 00 bd 00 00 00 00 00 00 00"),
            (0x10, "03 00 00 00 00 00 00 00 67 72 70 00 00 00 00 00"),
            (0x90, "00 00 00 00 00 00 00 00 05 00 00 00 00 00 00 00"),
            (0xa0, "b8 43 00 00 00 00 00 00 01 00 00 00 00 00 00 00"),
            (0xb0, "01 00 00 00 00 00 00 00 68 65 6c 6c 6f"),
        ],
    )
}

fn lone_node() -> Bus {
    let mut bus = Bus::default();
    bus.add(Node::new(1, 64, &[]));
    bus.form(&[1], |all| all);
    bus.settle();
    bus.node(1).connect(CONN);
    bus
}

fn last_sent(bus: &mut Bus) -> Vec<u8> {
    bus.node(1).below.normal.back().unwrap().body.to_vec()
}

#[test]
fn exec_messages_of_a_member() {
    let mut bus = lone_node();
    let node = bus.node(1);
    assert!(node.request(CONN, &join_request(b"grp", PID, 0), &[]).is_some());
    assert_eq!(last_sent(&mut bus), proc_join());

    let request = dump(
        45,
        &[
            (0x00, "02 00 00 00 00 00 00 00 2d 00 00 00 00 00 00 00"),
            (0x20, "05 00 00 00 00 00 00 00 68 65 6c 6c 6f"),
        ],
    );
    assert_eq!(mcast_request(0, b"hello"), request);
    assert_eq!(bus.node(1).request(CONN, &request, &[]), None, "never answered");
    assert_eq!(last_sent(&mut bus), mcast());
    // The same request from inside the process, with a separate payload.
    assert_eq!(bus.node(1).request(CONN, &request[..40], b"hello"), None);
    assert_eq!(last_sent(&mut bus), mcast());

    bus.settle();
    assert!(bus.node(1).request(CONN, &leave_request(b"grp", PID), &[]).is_some());
    let mut leave = proc_join();
    leave[0] = 1;
    leave[0xa0] = 2;
    assert_eq!(last_sent(&mut bus), leave);
}

#[test]
fn lists_of_the_synchronisation() {
    let process =
        Process { member: Member { node: node_id(1), pid: PID }, group: GroupName::new("grp").unwrap() };
    let join_list = dump(
        168,
        &[
            (0x00, "02 00 02 00 00 00 00 00 a8 00 00 00 00 00 00 00"),
            (0x10, "00 00 00 00 00 00 00 00 b8 43 00 00 00 00 00 00"),
            (0x20, "03 00 00 00 00 00 00 00 67 72 70 00 00 00 00 00"),
        ],
    );
    assert_eq!(wire::join_list(&[process]), join_list);
    let decoded = Exec::decode(exec::JOIN_LIST, &join_list, Endian::Little);
    assert_eq!(decoded, Some(Exec::JoinList(vec![(PID, b"grp")])));

    let down_list = dump(
        1568,
        &[
            (0x00, "05 00 02 00 00 00 00 00 20 06 00 00 00 00 00 00"),
            (0x10, "03 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00"),
            (0x20, "03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"),
        ],
    );
    assert_eq!(wire::down_list(3, &[node_id(3)]).as_bytes(), down_list);
}

#[test]
fn membership_event() {
    let members = [(1, PID), (2, 900)].map(|(node, pid)| Member { node: node_id(node), pid });
    let event = wire::confchg(&GroupName::new("grp").unwrap(), &members, &[], &members[1..], Reason::Join);
    let expected = dump(
        256,
        &[
            (0x00, "04 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00"),
            (0x10, "01 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00"),
            (0x20, "67 72 70 00 00 00 00 00 00 00 00 00 00 00 00 00"),
            (0xa0, "02 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00"),
            (0xb0, "00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00"),
            (0xc0, "b8 43 00 00 00 00 00 00 00 00 00 00 00 00 00 00"),
            (0xd0, "02 00 00 00 00 00 00 00 84 03 00 00 00 00 00 00"),
            (0xe0, "00 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00"),
            (0xf0, "84 03 00 00 00 00 00 00 01 00 00 00 00 00 00 00"),
        ],
    );
    assert_eq!(event, expected);
}

#[test]
fn totem_configuration_event() {
    let ring = RingId { rep: node_id(1), seq: 0x1f };
    let expected = dump(
        60,
        &[
            (0x00, "0d 00 00 00 00 00 00 00 3c 00 00 00 00 00 00 00"),
            (0x10, "01 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00"),
            (0x20, "1f 00 00 00 00 00 00 00 03 00 00 00 01 00 00 00"),
            (0x30, "02 00 00 00 03 00 00 00 00 00 00 00"),
        ],
    );
    assert_eq!(wire::totem_confchg(ring, &[1, 2, 3].map(node_id)), expected);
}

/// docs/protocol/services.md, "Replies and events of CPG": a DELIVER event is 184 bytes and the payload.
#[test]
fn delivery_event() {
    let mut bus = lone_node();
    bus.node(1).request(CONN, &join_request(b"grp", PID, 0), &[]);
    bus.settle();
    bus.node(1).deliver(node_id(1), false, Bytes::from(mcast()), Endian::Little);
    let expected = dump(
        189,
        &[
            (0x00, "05 00 00 00 00 00 00 00 bd 00 00 00 00 00 00 00"),
            (0x10, "01 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00"),
            (0x20, "67 72 70"),
            (0xa0, "05 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00"),
            (0xb0, "b8 43 00 00 00 00 00 00 68 65 6c 6c 6f"),
        ],
    );
    assert_eq!(bus.node(1).below.raw.last(), Some(&(CONN, expected)));
}

/// docs/protocol/services.md, "Byte order of exec messages": each field is converted from the sender's byte
/// order.
#[test]
fn a_big_endian_member_is_understood() {
    let mut bus = lone_node();
    bus.node(1).request(CONN, &join_request(b"grp", PID, 0), &[]);
    bus.add(Node::new(2, 64, &[]));
    bus.form(&[1, 2], |all| all);
    bus.settle();
    let swap = |mut bytes: Vec<u8>, at: &[usize]| {
        for at in at {
            bytes[*at..at + 4].reverse();
        }
        Bytes::from(bytes)
    };
    let from = node_id(2);
    let node = bus.node(1);
    node.deliver(from, false, swap(proc_join(), &[0, 8, 16, 152, 160]), Endian::Big);
    node.deliver(from, false, swap(mcast(), &[0, 8, 16, 152, 160, 168]), Endian::Big);
    let told = &node.below.told[&CONN];
    let sender = Member { node: from, pid: PID };
    let [.., Seen::Confchg { joined, .. }, message] = &told[..] else { panic!("{told:?}") };
    assert_eq!(joined, &[(sender, 1)]);
    let group = b"grp".to_vec();
    assert_eq!(message, &Seen::Message { group, sender, payload: b"hello".to_vec() });
}
