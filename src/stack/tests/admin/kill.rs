//! The end of another node, and messages for which there is no room.

use super::*;

#[test]
fn a_kill_reaches_its_victim_alone() {
    let mut admin = Admin::pair();
    admin.cluster.start(3);
    admin.cluster.settle();
    admin.cluster.kill(3);
    admin.cluster.settle();
    admin.forget();
    assert_eq!(admin.database("runtime.members.3.status"), Some(&Value::text("left")));
    for stranger in [0, 3, 4] {
        assert_eq!(admin.refused(A, Ask::Kill { node: stranger, reason: b"" }), Status::NotExist);
    }
    assert_eq!(admin.call(A, Ask::Kill { node: 2, reason: b"bad" }), Ok(Reply::Done));
    assert_eq!(admin.sent(), [Exec::Kill { node: 2, reason: b"bad" }.encode(id(1))]);
    assert!(admin.orders().is_empty());
    assert_eq!(admin.take_orders(2), [Order::Die { by: id(1), reason: "bad".to_owned() }]);
    admin.node_2_says(&Exec::Kill { node: 1, reason: b"worse\0" });
    assert_eq!(admin.orders(), [Order::Die { by: id(2), reason: "worse".to_owned() }]);
    assert_eq!(admin.take_orders(2), []);
}

/// No message is lost or overtakes another, and the queue has a limit.
#[test]
fn messages_without_room_wait() {
    let mut admin = Admin::pair();
    admin.cluster.held = true;
    // Messages to a service that no node has fill the send queue.
    let mut filler = vec![0; 900_000];
    filler[2] = 63;
    for length in [filler.len(), 10_000, 1000, 16] {
        while admin.cluster.say(1, &filler[..length]) {}
    }
    let mut taken = 0;
    while admin.call(A, Ask::Kill { node: 2, reason: &[taken] }) == Ok(Reply::Done) {
        taken += 1;
    }
    assert_eq!(taken, 64);
    assert_eq!(admin.refused(A, Ask::Reload { report: false }), Status::TryAgain);
    assert!(!admin.desk().settled());
    admin.cluster.held = false;
    let expected: Vec<_> = (0..taken).map(|n| Exec::Kill { node: 2, reason: &[n] }.encode(id(1))).collect();
    assert!(admin.sent() == expected && admin.desk().settled());
    let reason = |n| String::from_utf8(if n == 0 { Vec::new() } else { vec![n] }).unwrap();
    let expected: Vec<_> = (0..taken).map(|n| Order::Die { by: id(1), reason: reason(n) }).collect();
    assert_eq!(admin.take_orders(2), expected);
}
