//! Replies to clients, and the notification of a changed key.

use std::borrow::Cow;

use bytes::Bytes;
use zerocopy::{FromZeros, I32, IntoBytes, U64};

use super::{
    GetReplyBytes, HandleReplyBytes, NameBytes, NextReplyBytes, NotifyBytes, request, response, type_code,
    value_bytes, value_len,
};
use crate::error::Status;
use crate::service::wire::{ReplyHeaderBytes, empty_reply};
use crate::value::Value;

/// The reply to GET for a client that has `room` bytes for the value; with 0 it asks for length and type only.
pub(crate) fn get_reply(value: Option<&Value>, room: u64) -> Vec<u8> {
    let mut head = GetReplyBytes::new_zeroed();
    let mut bytes = Cow::Borrowed(&[][..]);
    let status = match value {
        None => Status::NotExist,
        Some(value) => {
            let len = value_len(value) as u64;
            head.len = U64::new(len);
            head.kind = type_code(value);
            match room {
                0 => Status::Ok,
                room if room < len => Status::InvalidParam,
                _ => {
                    bytes = value_bytes(value);
                    Status::Ok
                }
            }
        }
    };
    let size = size_of::<GetReplyBytes>() + bytes.len();
    head.header = ReplyHeaderBytes::new(response::GET, size, status);
    [head.as_bytes(), &bytes].concat()
}

/// The reply with a handle: to ITER_INIT, TRACK_ADD and TRACK_DELETE.
pub(crate) fn handle_reply(id: i32, handle: Result<u64, Status>) -> [u8; 32] {
    let status = handle.err().unwrap_or(Status::Ok);
    let header = ReplyHeaderBytes::new(id, size_of::<HandleReplyBytes>(), status);
    zerocopy::transmute!(HandleReplyBytes { header, handle: U64::new(handle.unwrap_or(0)) })
}

/// The reply to ITER_NEXT: name, length and type number of the value of the next key.
pub(crate) fn next_reply(entry: Result<(&str, usize, u8), Status>) -> NextReplyBytes {
    let mut reply = NextReplyBytes::new_zeroed();
    let size = size_of_val(&reply);
    let status = match entry {
        Ok((name, len, kind)) => {
            reply.key = NameBytes::new(name);
            reply.len = U64::new(len as u64);
            reply.kind = kind;
            Status::Ok
        }
        Err(status) => status,
    };
    reply.header = ReplyHeaderBytes::new(response::ITER_NEXT, size, status);
    reply
}

/// A notification without its payload, which is the new value followed by the old one.
pub(crate) fn notification(
    inst: u64,
    key: &str,
    event: i32,
    new: Option<&Value>,
    old: Option<&Value>,
) -> NotifyBytes {
    let mut head = NotifyBytes::new_zeroed();
    let (new_len, old_len) = (new.map_or(0, value_len), old.map_or(0, value_len));
    let size = size_of_val(&head) + new_len + old_len;
    head.header = ReplyHeaderBytes::new(response::NOTIFY, size, Status::Ok);
    head.inst = U64::new(inst);
    head.key = NameBytes::new(key);
    head.event = I32::new(event);
    head.new_kind = new.map_or(0, type_code);
    head.old_kind = old.map_or(0, type_code);
    head.new_len = U64::new(new_len as u64);
    head.old_len = U64::new(old_len as u64);
    head
}

/// The part of a notification that is the same for all its receivers.
pub(crate) fn payload(new: Option<&Value>, old: Option<&Value>) -> Bytes {
    let bytes = |value: Option<&Value>| value.map(value_bytes).unwrap_or_default().into_owned();
    match (new, old) {
        (None, None) => Bytes::new(),
        _ => [bytes(new), bytes(old)].concat().into(),
    }
}

/// A reply that contains only a status, with the id and length that the client expects for this request.
pub(crate) fn refusal(function: u16, status: Status) -> Vec<u8> {
    let (id, size) = match function {
        request::DELETE => (response::DELETE, 24),
        request::GET => (response::GET, size_of::<GetReplyBytes>()),
        request::ADJUST_INT => (response::ADJUST_INT, 24),
        request::ITER_INIT => (response::ITER_INIT, size_of::<HandleReplyBytes>()),
        request::ITER_NEXT => (response::ITER_NEXT, size_of::<NextReplyBytes>()),
        request::ITER_FINALIZE => (response::ITER_FINALIZE, 24),
        request::TRACK_ADD => (response::TRACK_ADD, size_of::<HandleReplyBytes>()),
        request::TRACK_DELETE => (response::TRACK_DELETE, size_of::<HandleReplyBytes>()),
        request::SET_CURRENT_MAP => (response::SET_CURRENT_MAP, 24),
        _ => (response::SET, 24),
    };
    empty_reply(id, size, status)
}
