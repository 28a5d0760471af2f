//! Behaviour over time: trackers, checks of statistics, members, versions.

use std::time::Duration;

use super::bench::{ALL, Bench, Told, node};
use crate::confdb::wire::{self, CONFIG_VERSION, McastReason, Notify, lib, track};
use crate::error::Status;
use crate::ids::{ConnId, Endian};
use crate::service::{Database, Order, Service};
use crate::value::Value;

fn events(told: Vec<Told>) -> Vec<(ConnId, Notify)> {
    told.into_iter()
        .filter_map(|told| match told {
            Told::Event(conn, event) => Some((conn, event)),
            Told::Reply(..) => None,
        })
        .collect()
}

fn brief(told: Vec<Told>) -> Vec<(u64, i32, String)> {
    events(told).into_iter().map(|(_, event)| (event.inst, event.event, event.key)).collect()
}

#[test]
fn trackers_are_notified_in_the_documented_order() {
    let mut bench = Bench::new();
    let (one, two) = (bench.connect(1), bench.connect(2));
    for (n, (key, kind)) in [
        ("", ALL | track::PREFIX),
        ("a.", ALL | track::PREFIX),
        ("a.b", track::ADD),
        ("a.b", track::MODIFY),
        ("a.b", ALL | track::PREFIX),
        ("", ALL),
        ("a.b", ALL),
    ]
    .into_iter()
    .enumerate()
    {
        bench.track(if n % 2 == 0 { one } else { two }, key, kind, n as u64).unwrap();
    }
    assert_eq!(bench.track(one, "a.b", 16, 0), Err(Status::InvalidParam));
    let insts = |told: Vec<Told>| -> Vec<u64> { brief(told).into_iter().map(|(inst, ..)| inst).collect() };
    assert_eq!(insts(bench.ask(one, &lib::set("a.b", &Value::U8(1)))), [6, 2, 4, 1, 0]);
    assert_eq!(insts(bench.ask(one, &lib::set("a.b", &Value::U8(2)))), [6, 3, 4, 1, 0]);
    assert_eq!(insts(bench.ask(one, &lib::adjust_int("a.b", 1))), [6, 3, 4, 1, 0]);
    assert_eq!(insts(bench.ask(one, &lib::adjust_int("a.b", 0))), [0; 0]);
    assert_eq!(insts(bench.ask(one, &lib::set("a.c", &Value::U8(2)))), [1, 0]);
    assert_eq!(insts(bench.write(|database| assert!(database.remove("a.b")))), [6, 4, 1, 0]);
    bench.disconnect(one);
    assert_eq!(insts(bench.write(|database| database.set("a.b", Value::U8(9)))), [1]);
}

#[test]
fn a_notification_carries_both_values() {
    let mut bench = Bench::new();
    let conn = bench.connect(1);
    bench.track(conn, "key", ALL, 77).unwrap();
    let told = |new, old, event| (conn, Notify { inst: 77, key: "key".into(), event, new, old });
    let (text, number) = (Some(Value::text("old")), Some(Value::U64(5)));
    let first = events(bench.ask(conn, &lib::set("key", &Value::text("old"))));
    assert_eq!(first, [told(text.clone(), None, track::ADD)]);
    let second = events(bench.ask(conn, &lib::set("key", &Value::U64(5))));
    assert_eq!(second, [told(number.clone(), text, track::MODIFY)]);
    assert_eq!(events(bench.ask(conn, &lib::delete("key"))), [told(None, number, track::DELETE)]);
}

#[test]
fn counters_of_services_are_reported_periodically_without_old_values() {
    let mut bench = Bench::new();
    let conn = bench.connect(1);
    assert_eq!(bench.desk.deadline(), None);
    let tracker = bench.track(conn, "runtime.services.cmap.0.tx", ALL, 1).unwrap();
    bench.ring(&[], &[1], &[]);
    let told = events(bench.wait(Duration::from_millis(1500)));
    assert_eq!(told.len(), 1);
    let event = &told[0].1;
    assert_eq!((event.event, &event.new, &event.old), (track::MODIFY, &Some(Value::U64(1)), &None));
    assert!(bench.wait(Duration::from_secs(10)).is_empty(), "nothing more was sent");
    assert_eq!(bench.status(conn, &lib::track_delete(tracker)), Status::Ok);
    assert_eq!(bench.desk.deadline(), None, "nobody looks any more");
}

#[test]
fn a_tracked_statistic_is_checked_every_second_and_a_half() {
    let mut bench = Bench::new();
    let conn = bench.connect(1);
    bench.below.statistics.insert("stats.a".into(), Value::U32(1));
    bench.status(conn, &lib::set_current_map(1));
    bench.track(conn, "stats.a", track::MODIFY, 1).unwrap();
    bench.track(conn, "stats.b", ALL, 2).unwrap();
    assert!(bench.wait(Duration::from_secs(5)).is_empty());
    bench.below.statistics.insert("stats.a".into(), Value::U32(2));
    bench.below.statistics.insert("stats.b".into(), Value::U32(0));
    let told = events(bench.wait(Duration::from_millis(1500)));
    assert_eq!(told[0].1.new, Some(Value::U32(2)));
    assert_eq!(told[0].1.old, told[0].1.new, "both are what it is now");
    let shape: Vec<_> = told.iter().map(|(_, event)| (event.inst, event.event)).collect();
    assert_eq!(shape, [(1, track::MODIFY), (2, track::ADD)], "a new zero is no change");
    bench.below.statistics.clear();
    assert_eq!(brief(bench.wait(Duration::from_millis(1500))), [(2, track::DELETE, "stats.b".into())]);
    bench.disconnect(conn);
    assert_eq!(bench.desk.deadline(), None);
}

#[test]
fn statistics_that_appear_or_disappear_are_reported_soon() {
    let mut bench = Bench::new();
    let conn = bench.connect(1);
    bench.status(conn, &lib::set_current_map(1));
    bench.track(conn, "stats.ipcs.", track::ADD | track::DELETE | track::PREFIX, 1).unwrap();
    let name = "stats.ipcs.service2.5.0x1.procname";
    bench.below.statistics.insert(name.into(), Value::text("prog"));
    bench.below.statistics.insert("stats.other".into(), Value::U8(1));
    let now = bench.below.now;
    bench.desk.statistics_moved(now);
    let told = events(bench.wait(Duration::from_millis(20)));
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].1.event, &*told[0].1.key), (track::ADD, name));
    assert_eq!((&told[0].1.new, &told[0].1.old), (&Some(Value::text("prog")), &Some(Value::text("prog"))));
    bench.below.statistics.remove(name);
    let told = events(bench.wait(Duration::from_millis(1500)));
    assert_eq!((told[0].1.event, &told[0].1.old), (track::DELETE, &Some(Value::text("prog"))));
}

#[test]
fn members_are_published_before_anybody_asks() {
    let mut bench = Bench::new();
    let conn = bench.connect(1);
    bench.ring(&[], &[1, 2], &[(2, wire::encode_version(McastReason::Sync, Some(9)))]);
    for (key, value) in [
        ("1.status", Value::text("joined")),
        ("2.status", Value::text("joined")),
        ("1.join_count", Value::U32(1)),
        ("1.ip", Value::text("r(0) ip(10.0.0.1) ")),
        ("2.ip", Value::text("r(0) ip(10.0.0.2) r(1) ip(fd00::2) ")),
        ("1.config_version", Value::U64(0)),
        ("2.config_version", Value::U64(9)),
    ] {
        assert_eq!(bench.get(conn, &format!("runtime.members.{key}")), Ok(value), "{key}");
    }
    bench.ring(&[1], &[1], &[]);
    assert_eq!(bench.get(conn, "runtime.members.2.status"), Ok(Value::text("left")));
    bench.ring(&[1], &[1, 2], &[]);
    assert_eq!(bench.get(conn, "runtime.members.2.join_count"), Ok(Value::U32(2)));
    assert_eq!(bench.get(conn, "runtime.members.1.join_count"), Ok(Value::U32(1)));
}

#[test]
fn a_node_with_an_old_configuration_stops_when_it_meets_a_newer_one() {
    let version = |n| Value::U64(n);
    let say = |n| vec![(2, wire::encode_version(McastReason::Sync, Some(n)))];
    for (own, other, leaves) in
        [(Some(3), 4, true), (Some(4), 3, false), (Some(4), 4, false), (None, 4, false), (Some(0), 4, false)]
    {
        let mut bench = Bench::new();
        if let Some(own) = own {
            bench.write(|database| database.set(CONFIG_VERSION, version(own)));
            bench.below.sent.clear();
        }
        bench.ring(&[], &[1], &[]);
        assert!(bench.below.orders.is_empty(), "alone, nothing is concluded");
        bench.ring(&[1], &[1, 2], &say(other));
        let expected = if leaves { &[Order::Shutdown][..] } else { &[] };
        assert_eq!(bench.below.orders, expected, "{own:?} meets {other}");
        bench.below.orders.clear();
        bench.ring(&[1, 2], &[1, 2, 3], &say(9));
        assert!(bench.below.orders.is_empty(), "it is looked at once");
    }
}

#[test]
fn a_new_version_is_sent_at_once_or_as_soon_as_there_is_room() {
    let mut bench = Bench::new();
    bench.ring(&[], &[1], &[]);
    bench.write(|database| database.set(CONFIG_VERSION, Value::U64(5)));
    let (sync, message) = bench.below.sent.pop_front().unwrap();
    assert!(!sync);
    assert_eq!(message[16], 1, "the reason");
    assert_eq!(wire::decode_version(&message, Endian::Little), Some(5));
    bench.below.full = true;
    bench.write(|database| database.set(CONFIG_VERSION, Value::U64(6)));
    bench.write(|database| database.set(CONFIG_VERSION, Value::U64(7)));
    assert!(bench.below.sent.is_empty());
    bench.below.full = false;
    bench.router.token_sent(&mut [&mut bench.desk], &mut bench.below);
    let (_, message) = bench.below.sent.pop_front().unwrap();
    assert_eq!(wire::decode_version(&message, Endian::Little), Some(7));
    assert!(bench.below.sent.is_empty(), "once");
    bench.router.deliver(&mut [&mut bench.desk], node(1), message.into(), Endian::Little, &mut bench.below);
    let own = bench.below.database.get("runtime.members.1.config_version");
    assert_eq!(own, Some(&Value::U64(7)));
}
