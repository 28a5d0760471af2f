//! The work that one client can cause at a time is limited, however many trackers it has; the rest follows in order.

use std::time::{Duration, Instant};

use super::bench::{ALL, Bench, Told};
use crate::confdb::wire::{lib, track};
use crate::confdb::{AT_A_TIME, CONNECTION_TRACKERS_LIMIT, TRACKERS_LIMIT, USER_TRACKERS_LIMIT};
use crate::error::Status;
use crate::ids::ConnId;
use crate::service::{Edge, Service};
use crate::value::Value;

/// As many connections as needed for the largest possible number of trackers, all of `key`; and one more connection.
fn crowd(key: &str, kind: i32, map: i32) -> (Bench, Vec<ConnId>, ConnId) {
    let mut bench = Bench::new();
    let author = bench.connect(99);
    let connections = (TRACKERS_LIMIT / CONNECTION_TRACKERS_LIMIT) as u64;
    let crowd: Vec<ConnId> = (1..=connections).map(|n| bench.connect(n)).collect();
    for conn in &crowd {
        bench.status(*conn, &lib::set_current_map(map));
        for n in 0..CONNECTION_TRACKERS_LIMIT as u64 {
            bench.track(*conn, key, kind, n).unwrap();
        }
    }
    (bench, crowd, author)
}

#[test]
fn a_change_is_reported_in_steps_and_its_author_answered_last() {
    for (key, kind) in [("key", ALL), ("ke", ALL | track::PREFIX), ("", ALL | track::PREFIX)] {
        let (mut bench, crowd, author) = crowd(key, kind, 0);
        let (mut longest, mut told, mut steps) = (Duration::ZERO, Vec::new(), 0);
        let mut start = Instant::now();
        let mut news = bench.begin(author, &lib::set("key", &Value::U8(1)));
        while bench.desk().is_telling() {
            longest = longest.max(start.elapsed());
            assert!(news.len() <= AT_A_TIME, "{} at a time", news.len());
            told.append(&mut news);
            if steps == 0 {
                // A connection that closes gets no further events.
                told.append(&mut bench.disconnect(crowd[5]));
            }
            steps += 1;
            start = Instant::now();
            news = bench.go_on();
        }
        told.append(&mut news);
        println!(
            "{} notifications of one change: {steps} steps, the longest took {longest:?}",
            told.len() - 1
        );
        let Some(Told::Reply(conn, reply)) = told.pop() else { panic!("the answer comes last") };
        assert_eq!((conn, lib::status(&reply)), (author, Some(Status::Ok)));
        let of = |conn: ConnId| {
            told.iter().filter(|told| matches!(told, Told::Event(to, _) if *to == conn)).count()
        };
        for conn in &crowd {
            let heard = of(*conn);
            if *conn == crowd[5] {
                assert!(heard < CONNECTION_TRACKERS_LIMIT);
            } else {
                assert_eq!(heard, CONNECTION_TRACKERS_LIMIT, "{conn:?}");
            }
        }
    }
}

/// Two changes by two clients, the second while the first is being reported: all trackers get both in order.
#[test]
fn changes_are_reported_one_after_the_other() {
    let (mut bench, crowd, author) = crowd("key", ALL, 0);
    let other = bench.connect(98);
    let mut told = bench.begin(author, &lib::set("key", &Value::U8(1)));
    told.extend(bench.begin(other, &lib::set("key", &Value::U8(2))));
    while bench.desk().is_telling() {
        told.extend(bench.go_on());
    }
    let heard: Vec<_> = told
        .iter()
        .filter_map(|told| match told {
            Told::Event(conn, event) if *conn == crowd[0] && event.inst == 0 => Some(event.new.clone()),
            Told::Event(..) | Told::Reply(..) => None,
        })
        .collect();
    assert_eq!(heard, [Some(Value::U8(1)), Some(Value::U8(2))]);
    let answered: Vec<ConnId> = told
        .iter()
        .filter_map(|told| match told {
            Told::Reply(conn, _) => Some(*conn),
            Told::Event(..) => None,
        })
        .collect();
    assert_eq!(answered, [author, other]);
}

/// Long values count by their length, because they are copied to each receiver.
#[test]
fn long_values_are_reported_to_fewer_trackers_at_a_time() {
    let (mut bench, _, author) = crowd("key", ALL, 0);
    let told = bench.begin(author, &lib::set("key", &Value::Bytes(vec![1; 16_000])));
    assert!((1..=AT_A_TIME / 16).contains(&told.len()), "{}", told.len());
}

#[test]
fn trackers_of_closed_connections_are_removed_in_steps() {
    for (key, kind, map) in [
        ("key", ALL, 0),
        ("", ALL | track::PREFIX, 0),
        ("stats.", ALL | track::PREFIX, 1),
        ("stats.a", ALL, 1),
    ] {
        let (mut bench, crowd, author) = crowd(key, kind, map);
        let (mut longest, start) = (Duration::ZERO, Instant::now());
        for conn in crowd {
            let (work, start) = (bench.desk().work(), Instant::now());
            bench.disconnect(conn);
            assert!(bench.desk().work() - work <= AT_A_TIME as u64);
            longest = longest.max(start.elapsed());
        }
        // Closed connections get no notifications, and nobody waits for the removal of their trackers.
        assert_eq!(bench.ask(author, &lib::set("key", &Value::U8(1))).len(), 1);
        while bench.desk().number_of_trackers() > 0 {
            let start = Instant::now();
            bench.go_on();
            longest = longest.max(start.elapsed());
        }
        println!(
            "8 connections with 8192 trackers of {key:?} closed: {:?} in all, the longest step took {longest:?}",
            start.elapsed()
        );
        assert!(bench.desk().users.is_empty());
        bench.wait(Duration::from_secs(2));
        assert_eq!(bench.desk().deadline(), None);
    }
}

/// However many clients track statistics, and however often one more begins to, statistics are computed once
/// per interval.
#[test]
fn statistics_are_computed_once_for_all_trackers() {
    let mut bench = Bench::new();
    let kind = track::ADD | track::DELETE | track::PREFIX;
    for n in 0..5000 {
        bench.world().statistics.insert(format!("stats.ipcs.{n}.x"), Value::U32(n));
    }
    let crowd: Vec<ConnId> = (0..8).map(|n| bench.connect(n)).collect();
    let mut waiting = 0;
    for (n, conn) in crowd.iter().cycle().take(8000).enumerate() {
        bench.status(*conn, &lib::set_current_map(1));
        // Each time statistics have appeared or disappeared since the last check.
        let another = bench.connect(1000 + n as u64);
        bench.disconnect(another);
        let told = bench.begin(*conn, &lib::track_add("stats.ipcs.", kind, n as u64));
        waiting += usize::from(told.is_empty());
        bench.begin(*conn, &lib::track_add("stats.ipcs.7.x", ALL, n as u64));
    }
    assert_eq!(bench.world().computed.get(), 1);
    let replies = bench.wait(Duration::from_millis(20));
    assert_eq!(replies.len(), waiting, "each is answered when it has begun");
    assert_eq!(bench.world().computed.get(), 2);
    // One statistic appears and one changes: all trackers are notified, a limited number at a time.
    bench.world().statistics.insert("stats.ipcs.new".into(), Value::U8(1));
    bench.world().statistics.insert("stats.ipcs.7.x".into(), Value::U32(0));
    let (mut told, mut longest) = (Vec::new(), Duration::ZERO);
    assert!(bench.wait(Duration::from_millis(1450)).is_empty(), "the next check is not due");
    while told.len() < 16_000 {
        let start = Instant::now();
        let news = bench.go_on();
        longest = longest.max(start.elapsed());
        assert!(news.len() <= AT_A_TIME);
        told.extend(news);
    }
    println!(
        "{} trackers of statistics were told of a change: the longest step took {longest:?}",
        told.len()
    );
    assert_eq!(bench.world().computed.get(), 3);
    assert_eq!(told.len(), 16_000);
}

/// A user who takes all trackers that he may have leaves as many for the others.
#[test]
fn the_trackers_of_one_user_are_bounded() {
    let mut bench = Bench::new();
    let connections = (USER_TRACKERS_LIMIT / CONNECTION_TRACKERS_LIMIT) as u64;
    let crowd: Vec<ConnId> = (1..=connections + 1).map(ConnId).collect();
    bench.world().users.extend(crowd.iter().map(|conn| (*conn, 1000)));
    for n in 1..=connections + 1 {
        bench.connect(n);
    }
    for conn in &crowd[1..] {
        for n in 0..CONNECTION_TRACKERS_LIMIT {
            bench.track(*conn, "key", ALL, n as u64).unwrap();
        }
    }
    assert_eq!(bench.track(crowd[0], "key", ALL, 0), Err(Status::NoResources));
    let root = bench.connect(99);
    let tracker = bench.track(root, "key", ALL, 0).unwrap();
    assert_eq!(bench.status(root, &lib::track_delete(tracker)), Status::Ok);
    bench.disconnect(crowd[1]);
    assert!(bench.track(crowd[0], "key", ALL, 0).is_ok());
    assert_eq!(bench.world().user(root), 0);
}
