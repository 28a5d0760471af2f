//! The bytes that Debian 12's Corosync 3.1.7 sends and reads, captured from its nodes, at a whole node. Group "grp",
//! node 1, process 17336.

use bytes::Bytes;

use super::bench::{A, delivered, events, lone_node, member};
use super::speech::{Seen, join_request, leave_request, mcast_request};
use crate::cpg::tests::captures::{PID, dump, mcast, proc_join};
use crate::ids::Endian;
use crate::stack::tests::cluster::Cluster;

/// A node alone on its ring, with the process in the group.
fn member_of_grp() -> Cluster {
    let mut cluster = lone_node();
    assert!(cluster.request(1, A, &join_request(b"grp", PID, 0)).is_some());
    cluster.settle();
    cluster
}

#[test]
fn exec_messages_of_a_member() {
    let mut cluster = lone_node();
    delivered(&mut cluster, 1);
    assert!(cluster.request(1, A, &join_request(b"grp", PID, 0)).is_some());
    let lines = "
        00: 02 00 00 00 00 00 00 00 2d 00 00 00 00 00 00 00
        20: 05 00 00 00 00 00 00 00 68 65 6c 6c 6f";
    let request = dump(45, lines);
    assert_eq!(mcast_request(0, b"hello"), request);
    assert_eq!(cluster.request(1, A, &request), None, "never answered");
    // The same request from inside the process, with a separate payload.
    assert_eq!(cluster.request_in_two(1, A, &request[..40], b"hello"), None);
    cluster.settle();
    assert_eq!(delivered(&mut cluster, 1), [proc_join(), mcast(), mcast()]);

    assert!(cluster.request(1, A, &leave_request(b"grp", PID)).is_some());
    cluster.settle();
    let mut leave = proc_join();
    leave[0] = 1;
    leave[0xa0] = 2;
    assert_eq!(delivered(&mut cluster, 1), [leave]);
}

/// docs/protocol/services.md, "Replies and events of CPG": a DELIVER event is 184 bytes and the payload.
#[test]
fn delivery_event() {
    let mut cluster = member_of_grp();
    cluster.deliver(1, 1, &mcast(), Endian::Little);
    let lines = "
        00: 05 00 00 00 00 00 00 00 bd 00 00 00 00 00 00 00
        10: 01 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00
        20: 67 72 70
        a0: 05 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00
        b0: b8 43 00 00 00 00 00 00 68 65 6c 6c 6f";
    let expected = dump(189, lines);
    assert_eq!(cluster.take_events(1, A).last(), Some(&Bytes::from(expected)));
}

/// docs/protocol/services.md, "Byte order of exec messages": each field is converted from the sender's byte
/// order.
#[test]
fn a_big_endian_member_is_understood() {
    let mut cluster = member_of_grp();
    cluster.start(2);
    cluster.settle();
    let swap = |mut bytes: Vec<u8>, at: &[usize]| {
        for at in at {
            bytes[*at..at + 4].reverse();
        }
        bytes
    };
    cluster.deliver(1, 2, &swap(proc_join(), &[0, 8, 16, 152, 160]), Endian::Big);
    cluster.deliver(1, 2, &swap(mcast(), &[0, 8, 16, 152, 160, 168]), Endian::Big);
    let told = events(&mut cluster, 1, A);
    let sender = member(2, PID);
    let [.., Seen::Confchg { joined, .. }, message] = &told[..] else { panic!("{told:?}") };
    assert_eq!(joined, &[(sender, 1)]);
    let group = b"grp".to_vec();
    assert_eq!(message, &Seen::Message { group, sender, payload: b"hello".to_vec() });
}
