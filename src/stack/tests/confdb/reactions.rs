//! Changes of keys that have an effect on the node.

use std::time::Duration;

use super::bench::Bench;
use crate::error::Status;
use crate::quiet::written;
use crate::service::{Database, Order};
use crate::value::Value;

fn three_nodes() -> Bench {
    Bench::with(&[
        ("totem.transport", Value::text("udpu")),
        ("nodelist.node.0.ring0_addr", Value::text("10.0.0.1")),
        ("nodelist.node.1.ring0_addr", Value::text("10.0.0.2")),
        ("nodelist.node.2.ring0_addr", Value::text("10.0.0.3")),
        ("logging.debug", Value::text("off")),
    ])
}

#[test]
fn a_token_timeout_set_by_a_client_takes_effect() {
    let mut bench = three_nodes();
    let conn = bench.connect(1);
    assert_eq!(bench.set(conn, "totem.token", Value::U32(5000)), Status::Ok);
    let [Order::Reconfigure(timeouts)] = bench.orders() else { panic!("{:?}", bench.orders()) };
    assert_eq!(timeouts.token.as_millis(), 5650, "with the share of the third node");
    assert_eq!(bench.get(conn, "runtime.config.totem.token"), Ok(Value::U32(5650)));
    assert_eq!(bench.get(conn, "runtime.config.totem.consensus"), Ok(Value::U32(6780)));
    bench.set(conn, "totem.token_coefficient", Value::U32(0));
    assert_eq!(bench.orders().len(), 2);
    assert_eq!(bench.set(conn, "totem.token", Value::U32(10)), Status::Ok);
    assert_eq!(bench.orders().len(), 2, "what is out of range is not taken");
    assert_eq!(bench.get(conn, "runtime.config.totem.token"), Ok(Value::U32(5000)));
}

/// On knet, links are watched with times that follow from the token time-out, unless they are set themselves.
#[test]
fn links_follow_the_keys_that_a_client_sets() {
    let mut bench = Bench::with(&[
        ("nodelist.local_node_pos", Value::U32(0)),
        ("nodelist.node.0.ring0_addr", Value::text("10.0.0.1")),
        ("nodelist.node.0.ring1_addr", Value::text("10.1.0.1")),
        ("totem.interface.1.knet_pong_count", Value::U32(5)),
    ]);
    let conn = bench.connect(1);
    assert_eq!(bench.set(conn, "totem.token", Value::U32(1000)), Status::Ok);
    let [Order::Watch(watching), Order::Reconfigure(_)] = bench.orders() else {
        panic!("{:?}", bench.orders())
    };
    let times = |link: u8| {
        let pings = watching.links[&link];
        (pings.timeout.as_millis(), pings.interval.as_millis(), pings.pong_count, pings.priority)
    };
    assert_eq!((times(0), times(1)), ((500, 250, 2, 1), (200, 100, 5, 1)));
    assert_eq!(watching.pmtud_interval.as_secs(), 30);
    bench.take_orders();
    for (key, value, orders) in [
        ("totem.interface.1.knet_link_priority", Value::U8(9), 1),
        ("totem.interface.1.knet_ping_timeout", Value::U32(700), 1),
        ("totem.knet_pmtud_interval", Value::U32(5), 1),
        ("totem.knet_mtu", Value::U32(1400), 1),
        // No packet can have this size.
        ("totem.knet_mtu", Value::U32(100), 0),
        ("totem.knet_mtu", Value::U32(0), 1),
        ("totem.block_unlisted_ips", Value::text("no"), 1),
        ("totem.join", Value::U32(60), 1),
    ] {
        bench.take_orders();
        assert_eq!(bench.set(conn, key, value), Status::Ok);
        assert_eq!(bench.orders().len(), orders, "{key}: {:?}", bench.orders());
    }
    assert!(matches!(bench.orders(), [Order::Reconfigure(_)]), "the links stay as they are");
    assert_eq!(bench.get(conn, "runtime.config.totem.interface.1.knet_ping_timeout"), Ok(Value::U32(700)));
}

#[test]
fn changes_during_a_reload_take_effect_at_its_end() {
    let mut bench = three_nodes();
    bench.write(|database| {
        database.set("config.totemconfig_reload_in_progress", Value::U8(1));
        database.set("config.reload_in_progress", Value::U8(1));
    });
    bench.write(|database| {
        database.set("totem.token", Value::U32(4000));
        database.set("totem.hold", Value::U32(100));
        database.set("logging.debug", Value::text("on"));
    });
    assert!(bench.orders().is_empty());
    bench.write(|database| {
        database.set("config.totemconfig_reload_in_progress", Value::U8(0));
        database.set("config.reload_in_progress", Value::U8(0));
    });
    let [Order::Reconfigure(timeouts), Order::Logging(_)] = bench.orders() else {
        panic!("{:?}", bench.orders())
    };
    assert_eq!((timeouts.token.as_millis(), timeouts.hold.as_millis()), (4650, 100));
}

#[test]
fn logging_follows_its_keys_and_ignores_invalid_values() {
    let mut bench = three_nodes();
    let conn = bench.connect(1);
    bench.set(conn, "logging.debug", Value::text("on"));
    let [Order::Logging(logging)] = bench.orders() else { panic!("{:?}", bench.orders()) };
    assert_eq!(logging.main.debug, crate::config::logging::Debug::On);
    bench.take_orders();
    bench.set(conn, "logging.timestamp", Value::text("sometimes"));
    assert!(bench.orders().is_empty());
}

#[test]
fn trigger_keys_act_and_are_reset() {
    let mut bench = Bench::new();
    let conn = bench.connect(1);
    bench.set(conn, "runtime.force_gather", Value::text("yes"));
    assert_eq!(bench.orders(), [Order::Gather]);
    assert_eq!(bench.get(conn, "runtime.force_gather"), Ok(Value::text("no")));
    bench.take_orders();
    bench.set(conn, "runtime.blackbox.dump_state", Value::text("1700000000"));
    bench.set(conn, "runtime.blackbox.dump_flight_data", Value::text("1700000000"));
    assert_eq!(bench.orders(), [Order::DumpState, Order::DumpState]);
}

/// Changes the database; the changes are read once, at the end.
fn at_once(bench: &mut Bench, act: impl FnOnce(&mut Database)) {
    bench.write(|database| {
        database.set("config.reload_in_progress", Value::U8(1));
        act(database);
    });
    bench.write(|database| database.set("config.reload_in_progress", Value::U8(0)));
}

fn fill(database: &mut Database) {
    (0..8192).for_each(|n| database.set(&format!("logging.x{n}"), Value::U8(1)));
}

/// A section to which a client has added too many keys is not read at its changes.
#[test]
fn a_section_with_too_many_keys_has_no_effect_until_some_are_gone() {
    let mut bench = three_nodes();
    let conn = bench.connect(1);
    at_once(&mut bench, fill);
    bench.take_orders();
    assert_eq!(bench.set(conn, "logging.debug", Value::text("on")), Status::Ok);
    assert!(bench.orders().is_empty());
    at_once(&mut bench, |database| {
        (0..8192).for_each(|n| assert!(database.remove(&format!("logging.x{n}"))));
    });
    assert!(matches!(bench.orders(), [Order::Logging(_), ..]), "{:?}", bench.orders());
}

/// Unusable settings, which clients may set as often as they like, cause only a few log lines.
#[test]
fn a_flood_of_settings_that_cannot_be_used_does_not_fill_the_log() {
    for (key, values, full) in [
        ("totem.token", [Value::U32(10), Value::U32(11)], false),
        ("logging.timestamp", [Value::text("sometimes"), Value::text("seldom")], false),
        ("logging.debug", [Value::text("on"), Value::text("off")], true),
    ] {
        let mut bench = three_nodes();
        let conn = bench.connect(1);
        bench.set(conn, "totem.token_coefficient", Value::U32(0));
        let (lines, held_back) = written::during(|| {
            if full {
                at_once(&mut bench, fill);
            }
            for _ in 0..60 {
                bench.wait(Duration::from_secs(1));
                for value in &values {
                    bench.set(conn, key, value.clone());
                }
            }
        });
        assert!((2..10).contains(&lines), "{key}: {lines} lines");
        assert!(held_back > 50, "{key}: {held_back} held back");
    }
}
