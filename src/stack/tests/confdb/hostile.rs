//! Requests and messages that no library sends: each request is answered, and the connection stays open.

use proptest::prelude::*;

use super::bench::{Bench, Told};
use crate::confdb::wire::{self, lib, request};
use crate::error::Status;
use crate::ids::ConnId;
use crate::value::Value;

/// A request with a header that gives its true length.
fn with_header(function: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 16];
    bytes[..4].copy_from_slice(&u32::from(function).to_ne_bytes());
    bytes[8..12].copy_from_slice(&((16 + body.len()) as u32).to_ne_bytes());
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn requests_cut_anywhere_are_refused_in_their_own_length() {
    let mut bench = Bench::new();
    let conn = bench.connect(1);
    let whole = [
        lib::set("key", &Value::U32(5)),
        lib::delete("key"),
        lib::get("key", 0),
        lib::adjust_int("key", 1),
        lib::iter_init("key"),
        lib::iter_next(1),
        lib::iter_finalize(1),
        lib::track_add("key", 7, 1),
        lib::track_delete(1),
        lib::set_current_map(0),
    ];
    let lengths = [24, 24, 40, 24, 32, 304, 24, 32, 32, 24];
    for (function, (whole, length)) in whole.iter().zip(lengths).enumerate() {
        for cut in 16..whole.len() {
            let reply = bench.reply(conn, &with_header(function as u16, &whole[16..cut]));
            assert_eq!(lib::status(&reply), Some(Status::InvalidParam), "request {function} of {cut} bytes");
            assert_eq!(reply.len(), length);
        }
    }
    assert_eq!(bench.set(conn, "key", Value::U8(1)), Status::Ok, "the connection lives on");
}

#[test]
fn a_message_that_cannot_be_read_is_counted() {
    let mut bench = Bench::new();
    bench.start(2);
    let message = wire::encode_version(wire::McastReason::Sync, Some(3));
    for cut in 16..message.len() {
        assert!(bench.cluster.say(2, &message[..cut]), "there is room");
    }
    bench.cluster.settle();
    assert_eq!(bench.desk().stats().malformed, (message.len() - 16) as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever a client sends, it gets one answer of at least the length that its library expects.
    #[test]
    fn any_bytes_have_one_answer(
        requests in prop::collection::vec(
            (0..request::COUNT, prop::collection::vec(any::<u8>(), 0..400)), 1..20),
    ) {
        let mut bench = Bench::new();
        let conn = bench.connect(1);
        for (function, body) in requests {
            let told = bench.ask(conn, &with_header(function, &body));
            let replies = told.iter().filter(|told| matches!(told, Told::Reply(ConnId(1), _)));
            prop_assert_eq!(replies.count(), 1);
        }
    }
}
