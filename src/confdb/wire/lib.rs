//! The messages as a client library writes and reads them: it encodes requests, and decodes replies and notifications,
//! whose lengths are checked here.

use zerocopy::{FromBytes, FromZeros, IntoBytes, U64};

use super::layout::{
    AdjustRequestBytes, GetReplyBytes, GetRequestBytes, HandleReplyBytes, HandleRequestBytes,
    KeyRequestBytes, MapRequestBytes, NameBytes, NextReplyBytes, NotifyBytes, SetRequestBytes,
    TrackRequestBytes,
};
use super::reply::NOTIFY;
use super::request::Function;
use super::value::{type_code, value_bytes, value_from};
use crate::service::wire::layout::{PaddedI32, head, to_bytes};
use crate::service::wire::{HeaderBytes, RequestHeader};
use crate::value::Value;

/// A NOTIFY event as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notify {
    /// The client's own number for the tracker.
    pub(crate) inst: u64,
    /// The name of the key.
    pub(crate) key: String,
    /// One bit of [`super::track`].
    pub(crate) event: i32,
    /// The new value; `None`: type 0.
    pub(crate) new: Option<Value>,
    /// The old value; `None`: type 0.
    pub(crate) old: Option<Value>,
}

pub(crate) fn set(key: &str, value: &Value) -> Vec<u8> {
    let value_bytes = value_bytes(value);
    let mut head = SetRequestBytes::new_zeroed();
    head.header = header::<SetRequestBytes>(Function::Set, value_bytes.len());
    head.key = NameBytes::new(key);
    head.len = U64::new(value_bytes.len() as u64);
    head.kind = type_code(value);
    [head.as_bytes(), &value_bytes].concat()
}

/// A request that removes a key.
pub(crate) fn delete(key: &str) -> Vec<u8> {
    keyed(Function::Delete, key)
}

/// A request for a key's value, with room for `len` bytes; 0 asks for length and type only.
pub(crate) fn get(key: &str, len: u64) -> Vec<u8> {
    let header = header::<GetRequestBytes>(Function::Get, 0);
    to_bytes(&GetRequestBytes { header, key: NameBytes::new(key), len: U64::new(len) })
}

/// A request that adds `step` to an integer.
pub(crate) fn adjust_int(key: &str, step: i32) -> Vec<u8> {
    let header = header::<AdjustRequestBytes>(Function::Adjust, 0);
    to_bytes(&AdjustRequestBytes { header, key: NameBytes::new(key), step: PaddedI32::new(step) })
}

/// A request that begins an iteration over the keys that begin with `prefix`.
pub(crate) fn iter_init(prefix: &str) -> Vec<u8> {
    keyed(Function::Iterate, prefix)
}

/// A request for the next key of an iteration.
pub(crate) fn iter_next(handle: u64) -> Vec<u8> {
    handled(Function::Next, handle)
}

/// A request that ends an iteration. This library closes the connection instead.
#[cfg(test)]
pub(crate) fn iter_finalize(handle: u64) -> Vec<u8> {
    handled(Function::EndIteration, handle)
}

/// A request that adds a tracker: `kind` are bits of [`super::track`], `inst` is the client's own number
/// for it.
pub(crate) fn track_add(key: &str, kind: i32, inst: u64) -> Vec<u8> {
    let header = header::<TrackRequestBytes>(Function::Track, 0);
    let (key, kind, inst) = (NameBytes::new(key), PaddedI32::new(kind), U64::new(inst));
    to_bytes(&TrackRequestBytes { header, key, kind, inst })
}

/// A request that removes a tracker. This library closes the connection instead.
#[cfg(test)]
pub(crate) fn track_delete(handle: u64) -> Vec<u8> {
    handled(Function::Untrack, handle)
}

/// A request that chooses the map of the connection.
pub(crate) fn set_current_map(map: i32) -> Vec<u8> {
    let header = header::<MapRequestBytes>(Function::ChooseMap, 0);
    to_bytes(&MapRequestBytes { header, map: PaddedI32::new(map) })
}

/// The header of a request `T` that is followed by `payload` bytes.
fn header<T>(function: Function, payload: usize) -> RequestHeader {
    HeaderBytes::new(function as i32, size_of::<T>() + payload)
}

fn keyed(function: Function, key: &str) -> Vec<u8> {
    let header = header::<KeyRequestBytes>(function, 0);
    to_bytes(&KeyRequestBytes { header, key: NameBytes::new(key) })
}

fn handled(function: Function, handle: u64) -> Vec<u8> {
    let header = header::<HandleRequestBytes>(function, 0);
    to_bytes(&HandleRequestBytes { header, handle: U64::new(handle) })
}

/// Reads the status of any reply; `None`: it is too short to be one.
#[cfg(test)]
pub(crate) fn status(reply: &[u8]) -> Option<crate::error::Status> {
    crate::service::wire::read::status(reply).ok()
}

/// Reads a successful GET reply: the value's type, length and bytes. There are fewer bytes than the
/// length if they were not asked for. Corosync appends zeros.
pub(crate) fn get_reply(reply: &[u8]) -> Option<(u8, u64, &[u8])> {
    let (head, value) = GetReplyBytes::ref_from_prefix(reply).ok()?;
    let len = usize::try_from(head.len.get()).ok()?;
    Some((head.kind, head.len.get(), &value[..value.len().min(len)]))
}

/// Reads the handle from a successful ITER_INIT, TRACK_ADD or TRACK_DELETE reply.
pub(crate) fn handle_reply(reply: &[u8]) -> Option<u64> {
    Some(head::<HandleReplyBytes>(reply)?.handle.get())
}

/// Reads key, type and length from a successful ITER_NEXT reply.
pub(crate) fn next_reply(reply: &[u8]) -> Option<(String, u8, u64)> {
    let reply = head::<NextReplyBytes>(reply)?;
    Some((reply.key.name().into_owned(), reply.kind, reply.len.get()))
}

/// Decodes a NOTIFY event; `None` if it is another event or its lengths are invalid.
pub(crate) fn notify(event: &[u8]) -> Option<Notify> {
    let (head, values) = NotifyBytes::ref_from_prefix(event).ok()?;
    if head.header.id.get() != NOTIFY {
        return None;
    }
    let (new, rest) = values.split_at_checked(usize::try_from(head.new_len.get()).ok()?)?;
    let old = rest.get(..usize::try_from(head.old_len.get()).ok()?)?;
    let value = |kind: u8, bytes: &[u8]| match kind {
        0 => Some(None),
        _ => value_from(kind, bytes).map(Some),
    };
    Some(Notify {
        inst: head.inst.get(),
        key: head.key.name().into_owned(),
        event: head.event.get(),
        new: value(head.new_kind, new)?,
        old: value(head.old_kind, old)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    fn hex(text: &str) -> Vec<u8> {
        text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    #[test]
    fn a_get_request_and_its_reply_as_libcmap_has_them() {
        let request = get("totem.token", 4);
        assert_eq!(request.len(), 288);
        let expected = hex("02 00 00 00 00 00 00 00 20 01 00 00 00 00 00 00
             0b 00 00 00 00 00 00 00 74 6f 74 65 6d 2e 74 6f 6b 65 6e 00");
        assert_eq!(request[..0x24], expected);
        assert_eq!(request[0x110..], hex("00 00 00 00 00 00 00 00 04 00 00 00 00 00 00 00"));
        let reply = hex("02 00 00 00 00 00 00 00 2c 00 00 00 00 00 00 00
             01 00 00 00 00 00 00 00 04 00 00 00 00 00 00 00
             06 00 00 00 00 00 00 00 b8 0b 00 00");
        assert_eq!(status(&reply), Some(Status::Ok));
        let (kind, len, bytes) = get_reply(&reply).unwrap();
        assert_eq!((kind, len), (6, 4));
        assert_eq!(value_from(kind, bytes), Some(Value::U32(3000)));
        assert_eq!(get_reply(&reply[..39]), None);
    }
}
