//! Behaviour over time: trackers, checks of statistics, members, versions.

use std::time::Duration;

use bytes::Bytes;
use zerocopy::{IntoBytes, LittleEndian};

use super::bench::{ALL, Bench, HERE, Told};
use crate::confdb::wire::{self, CONFIG_VERSION, Notify, lib, track};
use crate::error::Status;
use crate::ids::{ConnId, Endian, ServiceId};
use crate::service::wire::{HEADER_LEN, HeaderBytes, exec_header};
use crate::service::{Order, Service};
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
    assert_eq!(bench.desk().deadline(), None);
    let tracker = bench.track(conn, "runtime.services.cmap.0.tx", ALL, 1).unwrap();
    let told = events(bench.wait(Duration::from_millis(1500)));
    assert_eq!(told.len(), 1);
    let event = &told[0].1;
    assert_eq!((event.event, &event.new, &event.old), (track::MODIFY, &Some(Value::U64(1)), &None));
    assert!(bench.wait(Duration::from_secs(10)).is_empty(), "nothing more was sent");
    bench.write(|database| database.set(CONFIG_VERSION, Value::U64(1)));
    let told = events(bench.wait(Duration::from_millis(1500)));
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0].1.new, &told[0].1.old), (&Some(Value::U64(2)), &None));
    assert_eq!(bench.status(conn, &lib::track_delete(tracker)), Status::Ok);
    assert_eq!(bench.desk().deadline(), None, "nobody looks any more");
}

#[test]
fn a_tracked_statistic_is_checked_every_second_and_a_half() {
    let mut bench = Bench::new();
    let conn = bench.connect(1);
    bench.world().statistics.insert("stats.a".into(), Value::U32(1));
    bench.status(conn, &lib::set_current_map(1));
    bench.track(conn, "stats.a", track::MODIFY, 1).unwrap();
    bench.track(conn, "stats.b", ALL, 2).unwrap();
    assert!(bench.wait(Duration::from_secs(5)).is_empty());
    bench.world().statistics.insert("stats.a".into(), Value::U32(2));
    bench.world().statistics.insert("stats.b".into(), Value::U32(0));
    let told = events(bench.wait(Duration::from_millis(1500)));
    assert_eq!(told[0].1.new, Some(Value::U32(2)));
    assert_eq!(told[0].1.old, told[0].1.new, "both are what it is now");
    let shape: Vec<_> = told.iter().map(|(_, event)| (event.inst, event.event)).collect();
    assert_eq!(shape, [(1, track::MODIFY), (2, track::ADD)], "a new zero is no change");
    bench.world().statistics.clear();
    assert_eq!(brief(bench.wait(Duration::from_millis(1500))), [(2, track::DELETE, "stats.b".into())]);
    bench.disconnect(conn);
    assert_eq!(bench.desk().deadline(), None);
}

#[test]
fn statistics_that_appear_or_disappear_are_reported_soon() {
    let mut bench = Bench::new();
    let conn = bench.connect(1);
    bench.status(conn, &lib::set_current_map(1));
    bench.track(conn, "stats.ipcs.", track::ADD | track::DELETE | track::PREFIX, 1).unwrap();
    let name = "stats.ipcs.service2.5.0x1.procname";
    bench.world().statistics.insert(name.into(), Value::text("prog"));
    bench.world().statistics.insert("stats.other".into(), Value::U8(1));
    bench.connect(2);
    let told = events(bench.wait(Duration::from_millis(20)));
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].1.event, &*told[0].1.key), (track::ADD, name));
    assert_eq!((&told[0].1.new, &told[0].1.old), (&Some(Value::text("prog")), &Some(Value::text("prog"))));
    bench.world().statistics.remove(name);
    let told = events(bench.wait(Duration::from_millis(1500)));
    assert_eq!((told[0].1.event, &told[0].1.old), (track::DELETE, &Some(Value::text("prog"))));
}

#[test]
fn members_are_published_before_anybody_asks() {
    let version = |node| if node == 2 { vec![(CONFIG_VERSION, Value::U64(9))] } else { Vec::new() };
    let mut bench = Bench::each(version);
    bench.start(2);
    let conn = bench.connect(1);
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
    bench.cluster.kill(2);
    bench.cluster.settle();
    assert_eq!(bench.get(conn, "runtime.members.2.status"), Ok(Value::text("left")));
    bench.start(2);
    assert_eq!(bench.get(conn, "runtime.members.2.join_count"), Ok(Value::U32(2)));
    assert_eq!(bench.get(conn, "runtime.members.1.join_count"), Ok(Value::U32(1)));
}

#[test]
fn a_node_with_an_old_configuration_stops_when_it_meets_a_newer_one() {
    for (own, other, leaves) in
        [(Some(3), 4, true), (Some(4), 3, false), (Some(4), 4, false), (None, 4, false), (Some(0), 4, false)]
    {
        let mut bench = Bench::each(move |node| {
            let version = [own, Some(other), Some(9)][node as usize - 1];
            version.map(|version| (CONFIG_VERSION, Value::U64(version))).into_iter().collect()
        });
        assert!(bench.orders().is_empty(), "alone, nothing is concluded");
        bench.start(2);
        let expected = if leaves { &[Order::Shutdown][..] } else { &[] };
        assert_eq!(bench.take_orders(), expected, "{own:?} meets {other}");
        bench.start(3);
        assert!(bench.orders().is_empty(), "it is looked at once");
    }
}

/// The exec messages of the database that a node was delivered.
fn delivered(bench: &mut Bench, node: u32) -> Vec<Bytes> {
    let all = bench.cluster.take_delivered(node).into_iter();
    let of_database = all.filter(|(_, message)| {
        exec_header(message, Endian::Little).is_some_and(|(service, _)| service == ServiceId::CMAP.0)
    });
    of_database.map(|(_, message)| message).collect()
}

#[test]
fn a_new_version_is_sent_at_once_or_as_soon_as_there_is_room() {
    let mut bench = Bench::new();
    bench.start(2);
    delivered(&mut bench, 2);
    let before = bench.sent();
    bench.write(|database| database.set(CONFIG_VERSION, Value::U64(5)));
    assert_eq!(bench.sent(), before + 1, "at once");
    bench.cluster.settle();
    let messages = delivered(&mut bench, 2);
    let [message] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!(message[16], 1, "the reason");
    assert_eq!(wire::decode_version(message, Endian::Little), Some(5));
    fill_queue(&mut bench);
    bench.write(|database| database.set(CONFIG_VERSION, Value::U64(6)));
    bench.write(|database| database.set(CONFIG_VERSION, Value::U64(7)));
    assert_eq!(bench.sent(), before + 1, "there is no room");
    bench.cluster.held = false;
    bench.cluster.settle();
    assert_eq!(bench.sent(), before + 2, "once");
    let messages = delivered(&mut bench, 2);
    let [message] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!(wire::decode_version(message, Endian::Little), Some(7));
    for node in [HERE, 2] {
        let own = bench.cluster.nodes[&node].stack.database().get("runtime.members.1.config_version");
        assert_eq!(own, Some(&Value::U64(7)), "at node {node}");
    }
}

/// Stops the network and fills the send queue of node 1 with messages of a service that no node has.
fn fill_queue(bench: &mut Bench) {
    bench.cluster.held = true;
    for length in [1400, HEADER_LEN] {
        let mut message = vec![0; length];
        let header = HeaderBytes::<LittleEndian>::exec(ServiceId(ServiceId::LIMIT - 1), 0, length);
        message[..HEADER_LEN].copy_from_slice(header.as_bytes());
        while bench.cluster.say(HERE, &message) {}
    }
}
