//! Reloads, as their clients and the database see them.

use super::*;
use crate::admin::wire::report;
use crate::admin::wire::request::number;

#[test]
fn reloads_are_answered_when_they_are_done() {
    let mut admin = Admin::alone();
    admin.ask(A, Ask::Reload { report: false });
    assert!(!admin.is_answered() && admin.orders().is_empty());
    admin.cluster.settle();
    assert_eq!(admin.orders(), [Order::Reload]);
    // Two more requests in the meantime lead to one more reload.
    admin.ask(B, Ask::Reload { report: false });
    admin.ask(C, Ask::Reload { report: false });
    admin.cluster.settle();
    assert_eq!(admin.orders(), [Order::Reload]);
    admin.tell(1, |stack, now, world| stack.judged(now, Err("file:3: nonsense"), world));
    assert!(!admin.is_answered(), "not before all have judged");
    admin.cluster.settle();
    assert_eq!(admin.verdict(A, number::RELOAD), Status::InvalidParam);
    let message = admin.database("config.reload_error_message");
    assert_eq!(message, Some(&Value::text("node 1: file:3: nonsense")));
    assert_eq!(admin.take_orders(1), [Order::Reload, Order::Discard, Order::Reload]);
    admin.cluster.disconnect(1, B);
    let config = config("token = 4000");
    admin.tell(1, |stack, now, world| stack.judged(now, Ok(&config), world));
    admin.cluster.settle();
    assert_eq!(admin.orders(), [Order::Adopt]);
    assert!(admin.database("totem.token").is_none(), "not before the node has adapted to it");
    admin.tell(1, |stack, now, world| stack.adopted(now, Ok(&config), false, world));
    assert_eq!(admin.database("totem.token"), Some(&Value::U32(4000)));
    assert_eq!(admin.database("config.reload_status"), Some(&Value::I32(1)));
    assert_eq!(admin.verdict(C, number::RELOAD), Status::Ok);
}

/// A client that asks for a report learns which settings changed and which did not; a C program gets its 24
/// bytes.
#[test]
fn the_reply_reports_the_result_of_a_reload() {
    let mut admin = Admin::alone();
    admin.set("totem.transport", Value::text("udp"));
    admin.set("totem.version", Value::U32(2));
    admin.ask(A, Ask::Reload { report: true });
    admin.ask(B, Ask::Reload { report: false });
    admin.cluster.settle();
    let config = config("token = 4000");
    admin.tell(1, |stack, now, world| stack.judged(now, Ok(&config), world));
    admin.cluster.settle();
    admin.tell(1, |stack, now, world| stack.adopted(now, Ok(&config), false, world));
    let told = admin.take_replies();
    let [(A, reported), (B, plain)] = &told[..] else { panic!("{told:?}") };
    let (why, told) = report::decode(reported).unwrap();
    assert_eq!(why, "");
    assert!(told.changed.contains(&"totem.token".to_owned()), "{told:?}");
    assert_eq!(told.nodes.len(), 1);
    assert_eq!(told.nodes[0].kept, ["totem.transport (test.toml:2)"]);
    assert_eq!(plain.len(), 24);

    admin.ask(A, Ask::Reload { report: true });
    admin.cluster.settle();
    admin.tell(1, |stack, now, world| stack.judged(now, Err("file:3: nonsense"), world));
    admin.cluster.settle();
    let told = admin.take_replies();
    let [(A, reported)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(reported[16..20], 7_i32.to_ne_bytes());
    assert_eq!(report::decode(reported).unwrap().0, "node 1: file:3: nonsense");
}

#[test]
fn a_node_without_a_daemon_refuses_reloads() {
    let mut admin = Admin::with(false);
    assert_eq!(admin.refused(A, Ask::Reload { report: false }), Status::NotSupported);
    assert_eq!(admin.refused(A, Ask::ReopenLogFiles), Status::NotSupported);
    admin.node_2_says(&Exec::Reload { conn: 1 });
    assert!(admin.orders().is_empty());
}
