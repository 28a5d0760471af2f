//! The client against a scripted daemon.

use zerocopy::{FromZeros, IntoBytes, U64};

use super::{Change, ChangeKind, Client, Entry, Error, Map, blocking};
use crate::confdb::events::Event;
use crate::confdb::wire::{Function, GetReplyBytes, Listed, Notification, Reply, type_code, value_bytes};
use crate::error::Status;
use crate::service::channel::{ChannelError, End};
use crate::service::client::Error as ServiceError;
use crate::service::client::tests::fake::Fake;
use crate::service::wire::ReplyHeaderBytes;
use crate::value::Value;

fn client(fake: &Fake) -> Client {
    Client::new(fake.dial(), Map::Configuration)
}

/// An answer to GET, followed by as many zeros as Corosync appends.
fn value_reply(value: &Value) -> Vec<u8> {
    let bytes = value_bytes(value);
    let mut head = GetReplyBytes::new_zeroed();
    let size = size_of::<GetReplyBytes>() + bytes.len() + 9;
    head.header = ReplyHeaderBytes::new(Function::Get.reply(), size, Status::Ok);
    head.len = U64::new(bytes.len() as u64);
    head.kind = type_code(value);
    [head.as_bytes(), &bytes, &[0; 9]].concat()
}

fn handle_reply(handle: u64) -> Vec<u8> {
    Reply::Handle(handle).encode(Function::Iterate)
}

fn next_reply(key: &str) -> Vec<u8> {
    Reply::Next(Listed::key(key, &Value::U8(1))).encode(Function::Next)
}

fn notification(key: &str, event: Event, new: Option<&Value>, old: Option<&Value>) -> Vec<u8> {
    let mut notification = Notification::new(key, event, new, old);
    let (head, values) = notification.to(0);
    [head, values].concat()
}

/// The ids of the requests so far.
fn asked(fake: &Fake) -> Vec<u16> {
    fake.asked().iter().map(|request| u16::from(request[0])).collect()
}

#[tokio::test]
async fn values_are_converted_to_the_requested_type() {
    let fake = Fake::new();
    let client = client(&fake);
    for _ in 0..3 {
        fake.answer(value_reply(&Value::U32(3000)));
    }
    assert_eq!(client.get::<u64>("totem.token").await, Ok(Some(3000)));
    assert_eq!(client.get_value("totem.token").await, Ok(Some(Value::U32(3000))));
    let error = client.get::<u8>("totem.token").await.unwrap_err();
    let expected =
        "key totem.token holds u32 3000, which is not a number that fits u8; get_value() gives it as it is";
    assert_eq!(error.to_string(), expected);
    fake.status(Status::NotExist);
    assert_eq!(client.get::<u64>("no.such.key").await, Ok(None));
    fake.answer(value_reply(&Value::text("")));
    assert_eq!(client.get::<String>("an.empty.one").await, Ok(Some(String::new())));
}

#[tokio::test]
async fn invalid_arguments_are_not_sent() {
    let fake = Fake::new();
    let client = client(&fake);
    for key in ["", "ab", "with space", "ümlaut", &"x".repeat(256), "nul\0"] {
        assert_eq!(client.get_value(key).await, Err(Error::BadKey { key: key.to_owned() }));
        assert!(matches!(client.set(key, 1u8).await, Err(Error::BadKey { .. })));
    }
    assert!(client.list("a b").await.is_err() && client.watch("a b").await.is_err());
    assert!(matches!(client.set("my.key", vec![0; 16385]).await, Err(Error::BadValue { .. })));
    assert!(matches!(client.set("my.key", "x".repeat(16384)).await, Err(Error::BadValue { .. })));
    assert!(matches!(client.set("my.key", "a\0b").await, Err(Error::BadValue { .. })));
    assert_eq!(fake.dialled(), 0);
}

#[tokio::test]
async fn refusals_name_the_key() {
    let fake = Fake::new();
    let client = client(&fake);
    let key = || "totem.version".to_owned();
    fake.status(Status::Access);
    assert_eq!(client.set("totem.version", 2u32).await, Err(Error::ReadOnly { key: key() }));
    fake.status(Status::InvalidParam);
    assert_eq!(client.increment("totem.version").await, Err(Error::NotInteger { key: key() }));
    fake.status(Status::NotExist);
    assert_eq!(client.decrement("totem.version").await, Err(Error::NoKey { key: key() }));
    fake.status(Status::NotExist);
    assert_eq!(client.remove("totem.version").await, Ok(false));
    assert_eq!(client.remove("totem.version").await, Ok(true));
    fake.status(Status::NoMemory);
    assert_eq!(client.set("totem.version", 2u32).await.unwrap_err().status(), Status::NoMemory);
}

#[tokio::test]
async fn an_iteration_skips_keys_that_were_removed_meanwhile() {
    let fake = Fake::new();
    let script = |fake: &Fake| {
        fake.answer(handle_reply(7));
        fake.answer(next_reply("my.a"));
        fake.answer(value_reply(&Value::U8(1)));
        fake.answer(next_reply("my.b"));
        fake.status(Status::NotExist);
        fake.answer(next_reply("my.c"));
        fake.answer(value_reply(&Value::text("three")));
        fake.status(Status::NoSections);
    };
    let expected = [("my.a", Value::U8(1)), ("my.c", Value::text("three"))]
        .map(|(key, value)| Entry { key: key.to_owned(), value });
    script(&fake);
    let mut walk = client(&fake).list("my.").await.unwrap();
    assert_eq!(walk.next().await, Some(Ok(expected[0].clone())));
    assert_eq!(walk.next().await, Some(Ok(expected[1].clone())));
    assert_eq!((walk.next().await, walk.next().await), (None, None));
    script(&fake);
    let blocking = blocking::Client::new(fake.dial(), Map::Configuration);
    let all: Result<Vec<_>, _> = blocking.list("my.").unwrap().collect();
    assert_eq!(all.unwrap(), expected);
    script(&fake);
    fake.end_at_next_call();
    assert_eq!(client(&fake).list("my.").await.unwrap().all().await.unwrap(), expected);
}

#[tokio::test]
async fn an_iteration_ends_with_its_first_error() {
    let fake = Fake::new();
    fake.answer(handle_reply(7));
    fake.answer(next_reply("no such name"));
    let mut walk = client(&fake).list("").await.unwrap();
    assert!(matches!(walk.next().await, Some(Err(Error::BadKey { .. }))));
    assert_eq!(walk.next().await, None);
}

#[tokio::test]
async fn changes_are_reported_until_the_daemon_ends() {
    let fake = Fake::new();
    let mut changes = client(&fake).watch("my.").await.unwrap();
    let (one, two) = (Value::U8(1), Value::text("two"));
    fake.event(notification("my.a", Event::Add, Some(&one), None));
    fake.event(notification("my.a", Event::Modify, Some(&two), Some(&one)));
    fake.event(notification("my.a", Event::Delete, None, Some(&two)));
    fake.event(notification("stats.a", Event::Delete, Some(&one), Some(&one)));
    let mut told = Vec::new();
    for _ in 0..4 {
        let Change { key, kind, old, new } = changes.next().await.unwrap().unwrap();
        told.push((key, kind, old, new));
    }
    let a = || "my.a".to_owned();
    let expected = [
        (a(), ChangeKind::Added, None, Some(one.clone())),
        (a(), ChangeKind::Modified, Some(one.clone()), Some(two.clone())),
        (a(), ChangeKind::Removed, Some(two), None),
        ("stats.a".to_owned(), ChangeKind::Removed, Some(one), None),
    ];
    assert_eq!(told, expected);
    fake.end();
    assert_eq!(changes.next().await, Some(Err(ServiceError::Channel(ChannelError::Ended(End::Lost)))));
    assert_eq!(changes.next().await, None);
}

#[tokio::test]
async fn the_map_of_statistics_is_selected_on_each_connection() {
    let fake = Fake::new();
    let statistics = Client::new(fake.dial(), Map::Statistics);
    fake.status(Status::Ok);
    fake.answer(value_reply(&Value::U64(5)));
    assert_eq!(statistics.get::<u64>("stats.ipcs.global.active").await, Ok(Some(5)));
    statistics.watch_key("stats.ipcs.global.active").await.unwrap();
    use Function::{ChooseMap, Get, Track};
    assert_eq!(asked(&fake), [ChooseMap, Get, ChooseMap, Track].map(|function| function as u16));
}

/// Whatever a hostile daemon puts in place of lengths and types, reading succeeds or returns an error.
#[tokio::test]
async fn malformed_answers_of_a_hostile_daemon_are_errors() {
    let good = value_reply(&Value::text("text"));
    let fake = Fake::new();
    let client = client(&fake);
    for at in 24..good.len() {
        for byte in [0, 1, 11, 12, 0x7f, 0xff] {
            let mut reply = good.clone();
            reply[at] = byte;
            fake.answer(reply);
            let _ = client.get_value("my.key").await;
        }
    }
    for length in 0..good.len() - 9 {
        fake.answer(good[..length].to_vec());
        assert!(client.get_value("my.key").await.is_err(), "{length} bytes");
    }
    let good = notification("my.a", Event::Modify, Some(&Value::U8(1)), Some(&Value::text("two")));
    for at in (24..good.len()).step_by(4) {
        for byte in [3, 0x7f, 0xff] {
            let mut event = good.clone();
            event[at] = byte;
            let mut changes = client.watch("my.").await.unwrap();
            fake.event(event);
            let _ = changes.next().await;
        }
    }
}
