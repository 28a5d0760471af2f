//! The answers to clients, as in `cmap_overview(3)` and Corosync.

use super::bench::{ALL, Bench, HERE, Told};
use crate::confdb::wire::{self, lib, track};
use crate::confdb::{CHUNK, CONNECTION_TRACKERS_LIMIT, ITERATIONS_LIMIT};
use crate::error::Status;
use crate::service::Statistics;
use crate::value::Value;

/// A SET request whose length, type and bytes need not match.
fn raw_set(key: &str, kind: u8, len: u64, bytes: &[u8]) -> Vec<u8> {
    let mut request = lib::set(key, &Value::Bytes(bytes.to_vec()));
    request[280..288].copy_from_slice(&len.to_ne_bytes());
    request[288] = kind;
    request
}

#[test]
fn every_type_is_set_and_read_back() {
    let mut bench = Bench::new();
    let conn = bench.connect(1);
    let values = [
        Value::I8(-8),
        Value::U8(8),
        Value::I16(-16),
        Value::U16(16),
        Value::I32(-32),
        Value::U32(32),
        Value::I64(-64),
        Value::U64(64),
        Value::F32(0.5),
        Value::F64(-0.25),
        Value::text("text"),
        Value::text(""),
        Value::Bytes(vec![0, 1, 2]),
        Value::Bytes(Vec::new()),
        Value::Bytes(vec![7; 16_384]),
    ];
    for value in values {
        assert_eq!(bench.set(conn, "a.key", value.clone()), Status::Ok);
        assert_eq!(bench.get(conn, "a.key"), Ok(value), "the type may change");
    }
}

#[test]
fn writes_that_are_refused() {
    let mut bench = Bench::with(&[("nodelist.node.0.nodeid", Value::U32(1))]);
    let conn = bench.connect(1);
    for (request, status) in [
        (lib::set("nodelist.node.0.nodeid", &Value::U32(2)), Status::Access),
        (lib::set("runtime.config.totem.token", &Value::U32(2)), Status::Access),
        (lib::set("totem.version", &Value::U32(2)), Status::Access),
        (lib::delete("nodelist.node.0.nodeid"), Status::Access),
        (lib::delete("nodelist.node.9.nodeid"), Status::Access),
        (lib::adjust_int("nodelist.node.0.nodeid", 1), Status::Access),
        (lib::set("ab", &Value::U8(1)), Status::NameTooLong),
        (lib::set("with space", &Value::U8(1)), Status::NameTooLong),
        (lib::set("", &Value::U8(1)), Status::NameTooLong),
        (lib::set("big", &Value::Bytes(vec![0; 16_385])), Status::InvalidParam),
        (lib::set("big", &Value::Text(vec![b'x'; 16_384])), Status::InvalidParam),
        (raw_set("key", 0, 4, &[0; 4]), Status::InvalidParam),
        (raw_set("key", 13, 4, &[0; 4]), Status::InvalidParam),
        (raw_set("key", 6, 3, &[0; 4]), Status::InvalidParam),
        (raw_set("key", 6, 5, &[0; 4]), Status::InvalidParam),
        (raw_set("key", 6, 0, &[]), Status::InvalidParam),
        (raw_set("key", 12, u64::MAX, &[0; 4]), Status::InvalidParam),
        (raw_set("key", 11, 6, b"abc\0xx"), Status::InvalidParam),
        (lib::delete("not.there"), Status::NotExist),
        (lib::adjust_int("not.there", 1), Status::NotExist),
    ] {
        assert_eq!(bench.status(conn, &request), status, "{:?}", &request[..40]);
    }
    assert_eq!(bench.get(conn, "key"), Err(Status::NotExist));
    assert_eq!(bench.database().get("nodelist.node.0.nodeid"), Some(&Value::U32(1)));
}

#[test]
fn a_text_is_cut_at_its_length() {
    let mut bench = Bench::new();
    let conn = bench.connect(1);
    assert_eq!(bench.status(conn, &raw_set("key", 11, 3, b"abcdef")), Status::Ok);
    assert_eq!(bench.get(conn, "key"), Ok(Value::text("abc")));
}

#[test]
fn a_read_needs_room_for_the_value() {
    let mut bench = Bench::new();
    let conn = bench.connect(1);
    bench.set(conn, "key", Value::text("value"));
    for (room, status, bytes) in
        [(0, Status::Ok, 0), (1, Status::InvalidParam, 0), (5, Status::InvalidParam, 0), (6, Status::Ok, 6)]
    {
        let reply = bench.reply(conn, &lib::get("key", room));
        assert_eq!((lib::status(&reply), reply.len()), (Some(status), 40 + bytes), "{room}");
        assert_eq!(lib::get_reply(&reply).unwrap().1, 6);
    }
    let reply = bench.reply(conn, &lib::get("key", u64::MAX));
    assert_eq!(reply.len(), 46, "no more than there is");
}

#[test]
fn additions_wrap_and_keep_the_type() {
    let mut bench = Bench::new();
    let conn = bench.connect(1);
    for (value, step, sum) in [
        (Value::U8(250), 10, Value::U8(4)),
        (Value::I8(-128), -1, Value::I8(127)),
        (Value::U16(0), -1, Value::U16(u16::MAX)),
        (Value::I16(i16::MAX), 1, Value::I16(i16::MIN)),
        (Value::U32(1), -2, Value::U32(u32::MAX)),
        (Value::I32(i32::MAX), 1, Value::I32(i32::MIN)),
        (Value::U64(0), -1, Value::U64(u64::MAX)),
        (Value::I64(i64::MIN), -1, Value::I64(i64::MAX)),
    ] {
        bench.set(conn, "key", value);
        assert_eq!(bench.status(conn, &lib::adjust_int("key", step)), Status::Ok);
        assert_eq!(bench.get(conn, "key"), Ok(sum));
    }
    for value in [Value::text("1"), Value::Bytes(vec![1]), Value::F32(1.0), Value::F64(1.0)] {
        bench.set(conn, "key", value);
        assert_eq!(bench.status(conn, &lib::adjust_int("key", 1)), Status::InvalidParam);
    }
}

#[test]
fn iterations_go_in_order_and_outlive_deletes() {
    let mut bench = Bench::new();
    let conn = bench.connect(1);
    for name in ["it.b", "it.a", "it.c", "it", "iu.a", "it.a.b"] {
        bench.set(conn, name, Value::U8(1));
    }
    bench.set(conn, "it-x", Value::text("abc"));
    assert_eq!(bench.keys(conn, "it."), ["it.a", "it.a.b", "it.b", "it.c"]);
    let handle = bench.iterate(conn, "it.");
    assert_eq!(bench.next(conn, handle), Ok("it.a".into()));
    for name in ["it.a", "it.a.b", "it.b"] {
        assert_eq!(bench.status(conn, &lib::delete(name)), Status::Ok);
    }
    assert_eq!(bench.next(conn, handle), Ok("it.c".into()));
    for _ in 0..2 {
        assert_eq!(bench.next(conn, handle), Err(Status::NoSections));
    }
    assert_eq!(bench.status(conn, &lib::iter_finalize(handle)), Status::Ok);
    assert_eq!(bench.status(conn, &lib::iter_finalize(handle)), Status::BadHandle);
    assert_eq!(bench.next(conn, handle), Err(Status::BadHandle));
    let all = bench.keys(conn, "");
    assert!(all.is_sorted() && all.len() > 50);
}

#[test]
fn handles_belong_to_their_connection_and_are_bounded() {
    let mut bench = Bench::new();
    let (one, two) = (bench.connect(1), bench.connect(2));
    let iteration = bench.iterate(one, "");
    let tracker = bench.track(one, "key", ALL, 7).unwrap();
    assert_ne!((iteration, tracker), (0, 0));
    assert_eq!(bench.next(two, iteration), Err(Status::BadHandle));
    assert_eq!(bench.status(two, &lib::track_delete(tracker)), Status::BadHandle);
    let reply = bench.reply(one, &lib::track_delete(tracker));
    assert_eq!((lib::status(&reply), lib::handle_reply(&reply)), (Some(Status::Ok), Some(7)));
    assert_eq!(bench.status(one, &lib::track_delete(tracker)), Status::BadHandle);
    for _ in 1..ITERATIONS_LIMIT {
        bench.iterate(one, "");
    }
    assert_eq!(bench.status(one, &lib::iter_init("")), Status::NoResources);
    for n in 0..CONNECTION_TRACKERS_LIMIT {
        assert!(bench.track(one, "key", ALL, n as u64).is_ok());
    }
    assert_eq!(bench.track(one, "key", ALL, 0), Err(Status::NoResources));
    assert!(bench.track(two, "key", ALL, 0).is_ok(), "another connection has its own");
    bench.disconnect(one);
    let told = bench.ask(two, &lib::set("key", &Value::U8(1)));
    assert_eq!(told.len(), 2, "nothing is sent to who is gone: {told:?}");
}

#[test]
fn the_map_can_be_chosen_only_while_nothing_is_open() {
    let mut bench = Bench::new();
    bench.world().statistics.insert("stats.own.number".into(), Value::U64(5));
    let conn = bench.connect(1);
    assert_eq!(bench.get(conn, "stats.own.number"), Err(Status::NotExist));
    assert_eq!(bench.get(conn, "stats.srp.mcast_tx"), Err(Status::NotExist));
    let handle = bench.iterate(conn, "");
    assert_eq!(bench.status(conn, &lib::set_current_map(1)), Status::Busy);
    bench.status(conn, &lib::iter_finalize(handle));
    let tracker = bench.track(conn, "key", ALL, 0).unwrap();
    assert_eq!(bench.status(conn, &lib::set_current_map(1)), Status::Busy);
    bench.status(conn, &lib::track_delete(tracker));
    assert_eq!(bench.status(conn, &lib::set_current_map(2)), Status::NotExist);
    assert_eq!(bench.status(conn, &lib::set_current_map(-1)), Status::NotExist);
    assert_eq!(bench.status(conn, &lib::set_current_map(1)), Status::Ok);
    assert_eq!(bench.get(conn, "stats.own.number"), Ok(Value::U64(5)));
    let sent = bench.cluster.nodes[&HERE].stack.totem().stats().mcast_tx;
    assert_eq!(bench.get(conn, "stats.srp.mcast_tx"), Ok(Value::U64(sent)));
    assert_eq!(bench.get(conn, "runtime.config.totem.token"), Err(Status::NotExist));
    assert_eq!(bench.keys(conn, "stats.own."), ["stats.own.number"]);
    let all = bench.keys(conn, "");
    assert!(all.is_sorted() && all.contains(&"stats.own.number".into()));
    assert!(all.iter().all(|name| name.starts_with("stats.")), "{all:?}");
    assert_eq!(bench.status(conn, &lib::set_current_map(0)), Status::Ok);
}

#[test]
fn statistics_can_only_be_read_and_cleared() {
    let mut bench = Bench::new();
    bench.world().statistics.insert("stats.x".into(), Value::text("four"));
    for n in 0..2000 {
        bench.world().statistics.insert(format!("stats.y.{n:04}"), Value::U32(n));
    }
    let conn = bench.connect(1);
    bench.status(conn, &lib::set_current_map(1));
    for (request, status) in [
        (lib::set("stats.x", &Value::U8(1)), Status::Access),
        (lib::set("abc", &Value::U8(1)), Status::Access),
        (lib::set("stats.clear.everything", &Value::U8(1)), Status::NotSupported),
        (lib::set("stats.clear.ipc", &Value::text("any")), Status::Ok),
        (lib::set("stats.clear.allofthem", &Value::U8(0)), Status::Ok),
        (lib::delete("stats.x"), Status::Access),
        (lib::delete("stats.clear.ipc"), Status::NotSupported),
        (lib::adjust_int("stats.x", 1), Status::Access),
        (lib::adjust_int("stats.clear.all", 1), Status::NotSupported),
        (lib::get("stats.clear.ipc", 0), Status::NotExist),
        (lib::get("stats.x", 3), Status::InvalidParam),
        (lib::track_add("stats.", track::PREFIX | track::ADD, 0), Status::NotSupported),
        (lib::track_add("stats.", track::PREFIX | track::DELETE, 0), Status::NotSupported),
        (lib::track_add("stats.", 16, 0), Status::InvalidParam),
    ] {
        assert_eq!(bench.status(conn, &request), status, "{request:?}");
    }
    assert_eq!(bench.world().cleared, [Statistics::Ipc, Statistics::All]);
    assert_eq!(bench.get(conn, "stats.x"), Ok(Value::text("four")));
    let handle = bench.iterate(conn, "stats.x");
    let reply = bench.reply(conn, &lib::iter_next(handle));
    assert_eq!(lib::next_reply(&reply), Some(("stats.x".into(), 11, 0)), "a text's length is not told");
    let keys = bench.keys(conn, "stats.y.");
    assert_eq!(keys.len(), 2000);
    assert!(keys.is_sorted());
    // Statistics that disappear or appear during an iteration do no harm.
    let handle = bench.iterate(conn, "stats.y.");
    assert_eq!(bench.next(conn, handle), Ok("stats.y.0000".into()));
    bench.world().statistics.clear();
    let mut left = 0;
    while bench.next(conn, handle).is_ok() {
        left += 1;
    }
    assert_eq!(left, CHUNK - 1, "what was looked at together");
}

#[test]
fn counters_of_services_are_current_when_read() {
    let mut bench = Bench::new();
    let conn = bench.connect(1);
    let stored = |bench: &Bench| bench.database().get("runtime.services.cmap.0.tx").cloned();
    assert_eq!(stored(&bench), Some(Value::U64(0)), "nobody has read it since the node's first ring");
    assert_eq!(bench.get(conn, "runtime.services.cmap.0.tx"), Ok(Value::U64(1)));
    bench.start(2);
    assert_eq!(stored(&bench), Some(Value::U64(1)));
    assert_eq!(bench.get(conn, "runtime.services.cmap.0.tx"), Ok(Value::U64(2)));
    assert_eq!(bench.get(conn, "runtime.services.cmap.service_id"), Ok(Value::U16(0)));
    assert_eq!(bench.get(conn, "runtime.services.pload.1.rx"), Ok(Value::U64(0)));
    assert_eq!(bench.get(conn, "internal_configuration.service.2.name"), Ok(Value::text("corosync_cpg")));
}

#[test]
fn a_change_is_reported_before_its_author_is_answered() {
    let mut bench = Bench::new();
    let (author, listener) = (bench.connect(1), bench.connect(2));
    bench.track(listener, "key", ALL, 1).unwrap();
    bench.track(author, "key", ALL, 2).unwrap();
    let told = bench.ask(author, &lib::set("key", &Value::U8(1)));
    let shape: Vec<_> = told.iter().map(|told| matches!(told, Told::Reply(..))).collect();
    assert_eq!(shape, [false, false, true]);
    let told = bench.ask(author, &lib::set("key", &Value::U8(1)));
    assert_eq!(told.len(), 1, "nothing changed, nothing is told");
    let told = bench.ask(author, &lib::delete("key"));
    let Told::Event(_, event) = &told[0] else { panic!("{told:?}") };
    assert_eq!((event.event, &event.new, &event.old), (track::DELETE, &None, &Some(Value::U8(1))));
    assert_eq!(wire::type_code(&Value::U8(1)), 2);
}
