//! The replies to clients.

use std::borrow::Cow;

use zerocopy::{FromZeros, IntoBytes, U64};

use super::layout::{GetReplyBytes, HandleReplyBytes, NameBytes, NextReplyBytes};
use super::request::Function;
use super::value::{type_code, value_bytes, value_len};
use crate::error::Status;
use crate::service::wire::layout::to_bytes;
use crate::service::wire::{ReplyHeaderBytes, empty_reply, plain_reply};
use crate::value::Value;

/// The id of notifications, the only kind of event.
pub(crate) const NOTIFY: i32 = 9;

/// Length of a reply that contains only a status.
const PLAIN: usize = size_of::<ReplyHeaderBytes>();

/// A reply to a client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply<'a> {
    /// Done; there is nothing more to say.
    Done,
    /// To GET: the value of the key. With no room for it the client is told only type and length; with too little,
    /// also that this is INVALID_PARAM.
    Value {
        value: Cow<'a, Value>,
        /// Room that the client has for the value, in bytes.
        room: u64,
    },
    /// To ITER_INIT and TRACK_ADD: the new handle. To TRACK_DELETE: the client's own number for the tracker.
    Handle(u64),
    /// To ITER_NEXT: the next key.
    Next(Listed),
    /// Not done, for this reason. It is as long as the reply that the client expects; what it cannot fill in is zero.
    Refused(Status),
}

/// A key as an iteration lists it: its name, and type and length of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: Box<str>,
    kind: u8,
    len: usize,
}

impl Listed {
    pub(crate) fn key(name: &str, value: &Value) -> Self {
        Self { name: name.into(), kind: type_code(value), len: value_len(value) }
    }

    /// As `key`, for a statistic. The length of a text is given as 0, as in Corosync.
    pub(crate) fn statistic(name: String, value: &Value) -> Self {
        let len = if matches!(value, Value::Text(_)) { 0 } else { value_len(value) };
        Self { name: name.into(), kind: type_code(value), len }
    }
}

impl Reply<'_> {
    pub(crate) fn encode(&self, function: Function) -> Vec<u8> {
        let id = function.reply();
        let header = |size| ReplyHeaderBytes::new(id, size, Status::Ok);
        match self {
            Self::Done => plain_reply(id, Status::Ok).to_vec(),
            Self::Value { value, room } => value_reply(id, value, *room),
            Self::Handle(handle) => {
                let header = header(size_of::<HandleReplyBytes>());
                to_bytes(&HandleReplyBytes { header, handle: U64::new(*handle) })
            }
            Self::Next(Listed { name, kind, len }) => {
                let mut reply = NextReplyBytes::new_zeroed();
                reply.header = header(size_of_val(&reply));
                reply.key = NameBytes::new(name);
                reply.len = U64::new(*len as u64);
                reply.kind = *kind;
                reply.as_bytes().to_vec()
            }
            Self::Refused(status) => empty_reply(id, least(function), *status),
        }
    }
}

/// The length of a reply to a request for this function that the client can read.
const fn least(function: Function) -> usize {
    match function {
        Function::Get => size_of::<GetReplyBytes>(),
        Function::Iterate | Function::Track | Function::Untrack => size_of::<HandleReplyBytes>(),
        Function::Next => size_of::<NextReplyBytes>(),
        _ => PLAIN,
    }
}

fn value_reply(id: i32, value: &Value, room: u64) -> Vec<u8> {
    let len = value_len(value) as u64;
    let (status, bytes) = match room {
        0 => (Status::Ok, Cow::default()),
        room if room < len => (Status::InvalidParam, Cow::default()),
        _ => (Status::Ok, value_bytes(value)),
    };
    let mut head = GetReplyBytes::new_zeroed();
    head.header = ReplyHeaderBytes::new(id, size_of_val(&head) + bytes.len(), status);
    head.len = U64::new(len);
    head.kind = type_code(value);
    [head.as_bytes(), &bytes].concat()
}

/// A refusal of the request with this number. If there is no such request, it is that of SET.
pub(crate) fn refusal(number: u16, status: Status) -> Vec<u8> {
    Reply::Refused(status).encode(Function::of(number).unwrap_or(Function::Set))
}

#[cfg(test)]
mod tests {
    use super::super::lib;
    use super::super::request::COUNT;
    use super::*;

    #[test]
    fn refusals_have_the_id_and_length_that_the_client_expects() {
        let expected =
            [24, 24, 40, 24, 32, 304, 24, 32, 32, 24].into_iter().zip([0, 1, 2, 3, 4, 5, 6, 7, 8, 10]);
        for (number, (length, id)) in (0..COUNT).zip(expected) {
            let bytes = refusal(number, Status::Access);
            assert_eq!((bytes.len(), &bytes[..4]), (length, &i32::to_ne_bytes(id)[..]), "{number}");
            assert_eq!(lib::status(&bytes), Some(Status::Access));
            assert_eq!(bytes[24..], vec![0; length - 24]);
        }
        assert_eq!(refusal(COUNT, Status::InvalidParam), refusal(0, Status::InvalidParam));
    }

    #[test]
    fn replies_are_read_as_they_were_encoded() {
        assert_eq!(Reply::Done.encode(Function::Delete), refusal(1, Status::Ok));
        assert_eq!(lib::handle_reply(&Reply::Handle(7).encode(Function::Track)), Some(7));
        let text = Value::text("abc");
        let next = |listed| lib::next_reply(&Reply::Next(listed).encode(Function::Next));
        assert_eq!(next(Listed::key("a.key", &text)), Some(("a.key".into(), 11, 4)));
        assert_eq!(next(Listed::statistic("stats.x".into(), &text)), Some(("stats.x".into(), 11, 0)));
        let get = |room| Reply::Value { value: Cow::Borrowed(&text), room }.encode(Function::Get);
        for (room, status, bytes) in
            [(0, Status::Ok, &b""[..]), (3, Status::InvalidParam, b""), (4, Status::Ok, b"abc\0")]
        {
            let reply = get(room);
            assert_eq!(lib::status(&reply), Some(status), "{room}");
            assert_eq!(lib::get_reply(&reply), Some((11, 4, bytes)), "{room}");
        }
    }
}
