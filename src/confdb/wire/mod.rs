//! The database's messages: from clients ("lib"), to them, and node to node ("exec").
//!
//! Source: corosync `include/corosync/ipc_cmap.h` (lib messages), `exec/cmap.c` (exec message),
//! `include/corosync/cmap.h` (type numbers). Lib messages are in this host's byte order; exec messages are
//! written little-endian and read in their sender's order. Padding is written as zero and never read.

pub(crate) mod reply;

use std::borrow::Cow;

use zerocopy::byteorder::{BigEndian, ByteOrder, I32, LittleEndian, NativeEndian, U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ids::{Endian, ServiceId};
use crate::service::wire::{HEADER_LEN, HeaderBytes, ReplyHeaderBytes};
use crate::value::Value;

/// Exec function numbers.
pub(crate) mod exec {
    pub(crate) const MCAST: u16 = 0;
    pub(crate) const COUNT: u16 = 1;
}

/// Request numbers.
pub(crate) mod request {
    pub(crate) const SET: u16 = 0;
    pub(crate) const DELETE: u16 = 1;
    pub(crate) const GET: u16 = 2;
    pub(crate) const ADJUST_INT: u16 = 3;
    pub(crate) const ITER_INIT: u16 = 4;
    pub(crate) const ITER_NEXT: u16 = 5;
    pub(crate) const ITER_FINALIZE: u16 = 6;
    pub(crate) const TRACK_ADD: u16 = 7;
    pub(crate) const TRACK_DELETE: u16 = 8;
    pub(crate) const SET_CURRENT_MAP: u16 = 9;
    pub(crate) const COUNT: u16 = 10;
}

/// Reply and event numbers.
pub(crate) mod response {
    pub(crate) const SET: i32 = 0;
    pub(crate) const DELETE: i32 = 1;
    pub(crate) const GET: i32 = 2;
    pub(crate) const ADJUST_INT: i32 = 3;
    pub(crate) const ITER_INIT: i32 = 4;
    pub(crate) const ITER_NEXT: i32 = 5;
    pub(crate) const ITER_FINALIZE: i32 = 6;
    pub(crate) const TRACK_ADD: i32 = 7;
    pub(crate) const TRACK_DELETE: i32 = 8;
    /// The id of notifications, the only kind of event.
    pub(crate) const NOTIFY: i32 = 9;
    pub(crate) const SET_CURRENT_MAP: i32 = 10;
}

/// Events that a tracker listens to, as bits; each is also the kind of a notification.
pub(crate) mod track {
    pub(crate) const DELETE: i32 = 1;
    pub(crate) const MODIFY: i32 = 2;
    pub(crate) const ADD: i32 = 4;
    pub(crate) const PREFIX: i32 = 8;
}

/// The map of configuration and state, which a new connection uses.
pub(crate) const MAP_ICMAP: i32 = 0;
/// The map of statistics.
pub(crate) const MAP_STATS: i32 = 1;

/// Size of the array for a name. Names are shorter, because a NUL follows them.
pub(crate) const NAME_PLACES: usize = 256;

/// Byte order of messages that stay on this host.
pub(crate) type NE = NativeEndian;
/// Byte order of the exec messages that this node writes.
pub(crate) type LE = LittleEndian;

/// The type number of a value: 1 to 12.
pub(crate) const fn type_code(value: &Value) -> u8 {
    match value {
        Value::I8(_) => 1,
        Value::U8(_) => 2,
        Value::I16(_) => 3,
        Value::U16(_) => 4,
        Value::I32(_) => 5,
        Value::U32(_) => 6,
        Value::I64(_) => 7,
        Value::U64(_) => 8,
        Value::F32(_) => 9,
        Value::F64(_) => 10,
        Value::Text(_) => 11,
        Value::Bytes(_) => 12,
    }
}

/// A value's bytes in this host's byte order; a text with its terminating NUL.
pub(crate) fn value_bytes(value: &Value) -> Cow<'_, [u8]> {
    Cow::Owned(match value {
        Value::I8(n) => n.to_ne_bytes().to_vec(),
        Value::U8(n) => n.to_ne_bytes().to_vec(),
        Value::I16(n) => n.to_ne_bytes().to_vec(),
        Value::U16(n) => n.to_ne_bytes().to_vec(),
        Value::I32(n) => n.to_ne_bytes().to_vec(),
        Value::U32(n) => n.to_ne_bytes().to_vec(),
        Value::I64(n) => n.to_ne_bytes().to_vec(),
        Value::U64(n) => n.to_ne_bytes().to_vec(),
        Value::F32(n) => n.to_ne_bytes().to_vec(),
        Value::F64(n) => n.to_ne_bytes().to_vec(),
        Value::Text(text) => [text, &[0][..]].concat(),
        Value::Bytes(bytes) => return Cow::Borrowed(bytes),
    })
}

/// The length of [`value_bytes`].
pub(crate) const fn value_len(value: &Value) -> usize {
    match value {
        Value::I8(_) | Value::U8(_) => 1,
        Value::I16(_) | Value::U16(_) => 2,
        Value::I32(_) | Value::U32(_) | Value::F32(_) => 4,
        Value::I64(_) | Value::U64(_) | Value::F64(_) => 8,
        Value::Text(text) => text.len() + 1,
        Value::Bytes(bytes) => bytes.len(),
    }
}

/// The value with this type number and bytes in this host's byte order. A text may lack its terminating NUL.
///
/// `None`: an unknown type, a length that does not fit the type, or a text that continues after a NUL.
pub(crate) fn value_from(code: u8, bytes: &[u8]) -> Option<Value> {
    Some(match code {
        1 => Value::I8(i8::from_ne_bytes(bytes.try_into().ok()?)),
        2 => Value::U8(u8::from_ne_bytes(bytes.try_into().ok()?)),
        3 => Value::I16(i16::from_ne_bytes(bytes.try_into().ok()?)),
        4 => Value::U16(u16::from_ne_bytes(bytes.try_into().ok()?)),
        5 => Value::I32(i32::from_ne_bytes(bytes.try_into().ok()?)),
        6 => Value::U32(u32::from_ne_bytes(bytes.try_into().ok()?)),
        7 => Value::I64(i64::from_ne_bytes(bytes.try_into().ok()?)),
        8 => Value::U64(u64::from_ne_bytes(bytes.try_into().ok()?)),
        9 => Value::F32(f32::from_ne_bytes(bytes.try_into().ok()?)),
        10 => Value::F64(f64::from_ne_bytes(bytes.try_into().ok()?)),
        11 => match bytes.iter().position(|byte| *byte == 0) {
            None => Value::Text(bytes.to_vec()),
            Some(end) if end + 1 == bytes.len() => Value::Text(bytes[..end].to_vec()),
            Some(_) => return None,
        },
        12 => Value::Bytes(bytes.to_vec()),
        _ => return None,
    })
}

/// A key or a prefix: `mar_name_t`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct NameBytes<O: ByteOrder> {
    length: U16<O>,
    pad: [u8; 6],
    value: [u8; NAME_PLACES],
}
const _: () = assert!(size_of::<NameBytes<LE>>() == 264);

impl<O: ByteOrder> NameBytes<O> {
    /// Makes it from a name, truncated to 255 bytes.
    pub(crate) fn new(name: &str) -> Self {
        let mut value = [0; NAME_PLACES];
        let length = name.len().min(NAME_PLACES - 1);
        value[..length].copy_from_slice(&name.as_bytes()[..length]);
        Self { length: U16::new(length as u16), pad: [0; 6], value }
    }

    /// The name as the daemon reads it: up to the first NUL, whatever the length field says. Bytes that are
    /// not UTF-8 are replaced by characters that no key contains.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        let end = self.value.iter().position(|byte| *byte == 0).unwrap_or(NAME_PLACES);
        String::from_utf8_lossy(&self.value[..end])
    }

    /// As `name`, but empty if the length field is 0.
    pub(crate) fn prefix(&self) -> Cow<'_, str> {
        if self.length.get() == 0 { Cow::Borrowed("") } else { self.name() }
    }
}

/// Lib SET request without its value.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct SetRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) key: NameBytes<NE>,
    pub(crate) len: U64<NE>,
    pub(crate) kind: u8,
    pub(crate) pad: [u8; 7],
}
const _: () = assert!(size_of::<SetRequestBytes>() == 296);

/// Lib DELETE and ITER_INIT requests.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct KeyRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) key: NameBytes<NE>,
}
const _: () = assert!(size_of::<KeyRequestBytes>() == 280);

/// Lib GET request.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct GetRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) key: NameBytes<NE>,
    /// Room for the value in bytes; 0 asks for length and type only.
    pub(crate) len: U64<NE>,
}
const _: () = assert!(size_of::<GetRequestBytes>() == 288);

/// Lib ADJUST_INT request.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct AdjustRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) key: NameBytes<NE>,
    pub(crate) step: I32<NE>,
    pub(crate) pad: [u8; 4],
}
const _: () = assert!(size_of::<AdjustRequestBytes>() == 288);

/// Lib ITER_NEXT, ITER_FINALIZE and TRACK_DELETE requests.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct HandleRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) handle: U64<NE>,
}
const _: () = assert!(size_of::<HandleRequestBytes>() == 24);

/// Lib TRACK_ADD request.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct TrackRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) key: NameBytes<NE>,
    /// Bits of [`track`].
    pub(crate) kind: I32<NE>,
    pub(crate) pad: [u8; 4],
    /// The client's own number for the tracker; it is repeated in each notification.
    pub(crate) inst: U64<NE>,
}
const _: () = assert!(size_of::<TrackRequestBytes>() == 296);

/// Lib SET_CURRENT_MAP request.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct MapRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) map: I32<NE>,
    pub(crate) pad: [u8; 4],
}
const _: () = assert!(size_of::<MapRequestBytes>() == 24);

/// GET reply without the value.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct GetReplyBytes {
    pub(crate) header: ReplyHeaderBytes<NE>,
    /// Length of the stored value in bytes.
    pub(crate) len: U64<NE>,
    pub(crate) kind: u8,
    pub(crate) pad: [u8; 7],
}
const _: () = assert!(size_of::<GetReplyBytes>() == 40);

/// ITER_INIT, TRACK_ADD and TRACK_DELETE replies: a handle, or the client's own number for the tracker.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct HandleReplyBytes {
    pub(crate) header: ReplyHeaderBytes<NE>,
    pub(crate) handle: U64<NE>,
}
const _: () = assert!(size_of::<HandleReplyBytes>() == 32);

/// ITER_NEXT reply.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct NextReplyBytes {
    pub(crate) header: ReplyHeaderBytes<NE>,
    pub(crate) key: NameBytes<NE>,
    pub(crate) len: U64<NE>,
    pub(crate) kind: u8,
    pub(crate) pad: [u8; 7],
}
const _: () = assert!(size_of::<NextReplyBytes>() == 304);

/// NOTIFY event without the two values.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct NotifyBytes {
    pub(crate) header: ReplyHeaderBytes<NE>,
    pub(crate) inst: U64<NE>,
    pub(crate) key: NameBytes<NE>,
    /// One bit of [`track`].
    pub(crate) event: I32<NE>,
    pub(crate) pad_event: [u8; 4],
    pub(crate) new_kind: u8,
    pub(crate) pad_new: [u8; 7],
    pub(crate) old_kind: u8,
    pub(crate) pad_old: [u8; 7],
    pub(crate) new_len: U64<NE>,
    pub(crate) old_len: U64<NE>,
}
const _: () = assert!(size_of::<NotifyBytes>() == 336);

/// A NOTIFY event as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notify {
    /// The client's own number for the tracker.
    pub(crate) inst: u64,
    /// The name of the key.
    pub(crate) key: String,
    /// One bit of [`track`].
    pub(crate) event: i32,
    /// The new value; `None`: type 0.
    pub(crate) new: Option<Value>,
    /// The old value; `None`: type 0.
    pub(crate) old: Option<Value>,
}

/// The library side: encodes requests, decodes answers and events. Lengths are checked here.
pub(crate) mod lib {
    use super::{
        AdjustRequestBytes, FromBytes, FromZeros, GetReplyBytes, GetRequestBytes, HandleReplyBytes,
        HandleRequestBytes, HeaderBytes, I32, IntoBytes, KeyRequestBytes, MapRequestBytes, NameBytes,
        NextReplyBytes, Notify, NotifyBytes, SetRequestBytes, TrackRequestBytes, U64, Value, request,
        response, type_code, value_bytes, value_from,
    };

    /// A request that sets a key.
    pub(crate) fn set(key: &str, value: &Value) -> Vec<u8> {
        let value_bytes = value_bytes(value);
        let mut head = SetRequestBytes::new_zeroed();
        head.header = HeaderBytes::new(request::SET.into(), size_of::<SetRequestBytes>() + value_bytes.len());
        head.key = NameBytes::new(key);
        head.len = U64::new(value_bytes.len() as u64);
        head.kind = type_code(value);
        [head.as_bytes(), &value_bytes].concat()
    }

    /// A request that removes a key.
    pub(crate) fn delete(key: &str) -> Vec<u8> {
        keyed(request::DELETE, key)
    }

    /// A request for a key's value, with room for `len` bytes; 0 asks for length and type only.
    pub(crate) fn get(key: &str, len: u64) -> Vec<u8> {
        let header = HeaderBytes::new(request::GET.into(), size_of::<GetRequestBytes>());
        GetRequestBytes { header, key: NameBytes::new(key), len: U64::new(len) }.as_bytes().to_vec()
    }

    /// A request that adds `step` to an integer.
    pub(crate) fn adjust_int(key: &str, step: i32) -> Vec<u8> {
        let header = HeaderBytes::new(request::ADJUST_INT.into(), size_of::<AdjustRequestBytes>());
        AdjustRequestBytes { header, key: NameBytes::new(key), step: I32::new(step), pad: [0; 4] }
            .as_bytes()
            .to_vec()
    }

    /// A request that begins an iteration over the keys that begin with `prefix`.
    pub(crate) fn iter_init(prefix: &str) -> Vec<u8> {
        keyed(request::ITER_INIT, prefix)
    }

    /// A request for the next key of an iteration.
    pub(crate) fn iter_next(handle: u64) -> Vec<u8> {
        handled(request::ITER_NEXT, handle)
    }

    /// A request that ends an iteration. This library closes the connection instead.
    #[cfg(test)]
    pub(crate) fn iter_finalize(handle: u64) -> Vec<u8> {
        handled(request::ITER_FINALIZE, handle)
    }

    /// A request that adds a tracker: `kind` are bits of [`super::track`], `inst` is the client's own number
    /// for it.
    pub(crate) fn track_add(key: &str, kind: i32, inst: u64) -> Vec<u8> {
        let header = HeaderBytes::new(request::TRACK_ADD.into(), size_of::<TrackRequestBytes>());
        let (key, kind, inst) = (NameBytes::new(key), I32::new(kind), U64::new(inst));
        TrackRequestBytes { header, key, kind, pad: [0; 4], inst }.as_bytes().to_vec()
    }

    /// A request that removes a tracker. This library closes the connection instead.
    #[cfg(test)]
    pub(crate) fn track_delete(handle: u64) -> Vec<u8> {
        handled(request::TRACK_DELETE, handle)
    }

    /// A request that chooses the map of the connection.
    pub(crate) fn set_current_map(map: i32) -> Vec<u8> {
        let header = HeaderBytes::new(request::SET_CURRENT_MAP.into(), size_of::<MapRequestBytes>());
        MapRequestBytes { header, map: I32::new(map), pad: [0; 4] }.as_bytes().to_vec()
    }

    fn keyed(function: u16, key: &str) -> Vec<u8> {
        let header = HeaderBytes::new(function.into(), size_of::<KeyRequestBytes>());
        KeyRequestBytes { header, key: NameBytes::new(key) }.as_bytes().to_vec()
    }

    fn handled(function: u16, handle: u64) -> Vec<u8> {
        let header = HeaderBytes::new(function.into(), size_of::<HandleRequestBytes>());
        HandleRequestBytes { header, handle: U64::new(handle) }.as_bytes().to_vec()
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
        Some(HandleReplyBytes::ref_from_prefix(reply).ok()?.0.handle.get())
    }

    /// Reads key, type and length from a successful ITER_NEXT reply.
    pub(crate) fn next_reply(reply: &[u8]) -> Option<(String, u8, u64)> {
        let (reply, _) = NextReplyBytes::ref_from_prefix(reply).ok()?;
        Some((reply.key.name().into_owned(), reply.kind, reply.len.get()))
    }

    /// Decodes a NOTIFY event; `None` if it is another event or its lengths are invalid.
    pub(crate) fn notify(event: &[u8]) -> Option<Notify> {
        let (head, values) = NotifyBytes::ref_from_prefix(event).ok()?;
        if head.header.id.get() != response::NOTIFY {
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
}

/// Exec MCAST without its items: `struct req_exec_cmap_mcast`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct McastBytes<O: ByteOrder> {
    header: HeaderBytes<O>,
    reason: u8,
    pad_reason: [u8; 7],
    items: u8,
    pad_items: [u8; 7],
    reserved: [U32<O>; 4],
}
const _: () = assert!(size_of::<McastBytes<LE>>() == 48);

/// One item of exec MCAST, without its value: `struct req_exec_cmap_mcast_item`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ItemBytes<O: ByteOrder> {
    key: NameBytes<O>,
    kind: u8,
    pad: [u8; 7],
    len: U64<O>,
}
const _: () = assert!(size_of::<ItemBytes<LE>>() == 280);

/// Why a node sends the version of its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum McastReason {
    /// Part of the synchronisation.
    Sync,
    /// The version changed.
    NewVersion,
}

/// The key whose value exec messages carry.
pub(crate) const CONFIG_VERSION: &str = "totem.config_version";

/// Encodes an exec message with this node's `totem.config_version`; `None`: the key does not exist.
pub(crate) fn encode_version(reason: McastReason, version: Option<u64>) -> Vec<u8> {
    let value = version.map(u64::to_le_bytes);
    let value = value.as_ref().map_or(&[][..], |bytes| bytes);
    let size = size_of::<McastBytes<LE>>() + size_of::<ItemBytes<LE>>() + value.len();
    let mut head = McastBytes::<LE>::new_zeroed();
    head.header = HeaderBytes::exec(ServiceId::CMAP, exec::MCAST, size);
    head.reason = match reason {
        McastReason::Sync => 0,
        McastReason::NewVersion => 1,
    };
    head.items = 1;
    let mut item = ItemBytes::<LE>::new_zeroed();
    item.key = NameBytes::new(CONFIG_VERSION);
    item.kind = if version.is_some() { 8 } else { 0 };
    item.len = U64::new(value.len() as u64);
    [head.as_bytes(), item.as_bytes(), value].concat()
}

/// Decodes the sender's `totem.config_version` from an exec message; 0 if it has none.
///
/// `None`: the message is too short, has an unknown reason, or an invalid item.
pub(crate) fn decode_version(message: &[u8], order: Endian) -> Option<u64> {
    match order {
        Endian::Little => decode_version_in::<LittleEndian>(message),
        Endian::Big => decode_version_in::<BigEndian>(message),
    }
}

fn decode_version_in<O: ByteOrder>(message: &[u8]) -> Option<u64> {
    debug_assert!(HEADER_LEN <= size_of::<McastBytes<O>>());
    let (head, mut rest) = McastBytes::<O>::ref_from_prefix(message).ok()?;
    if head.reason > 1 {
        return None;
    }
    let mut version = 0;
    for _ in 0..head.items {
        let (item, after) = ItemBytes::<O>::ref_from_prefix(rest).ok()?;
        let len = usize::try_from(item.len.get()).ok()?;
        let value = after.get(..len)?;
        if item.key.name() == CONFIG_VERSION && item.kind == 8 {
            version = U64::<O>::ref_from_bytes(value).ok()?.get();
        }
        // `len` is within `after`, so the sum does not overflow. Items are padded to multiples of 8; the last may
        // lack its padding.
        rest = after.get(len.next_multiple_of(8)..).unwrap_or_default();
    }
    Some(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    fn hex(text: &str) -> Vec<u8> {
        text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    #[test]
    fn an_exec_message_as_corosync_sends_it() {
        let message = encode_version(McastReason::Sync, Some(7));
        assert_eq!(message.len(), 336);
        assert_eq!(
            message[..0x20],
            hex("00 00 00 00 00 00 00 00 50 01 00 00 00 00 00 00
             00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00")
        );
        assert_eq!(message[0x20..0x30], [0; 16]);
        assert_eq!(
            message[0x30..0x50],
            hex("14 00 00 00 00 00 00 00 74 6f 74 65 6d 2e 63 6f
             6e 66 69 67 5f 76 65 72 73 69 6f 6e 00 00 00 00")
        );
        assert_eq!(
            message[0x130..],
            hex("00 00 00 00 00 00 00 00 08 00 00 00 00 00 00 00
             08 00 00 00 00 00 00 00 07 00 00 00 00 00 00 00")
        );
        assert_eq!(decode_version(&message, Endian::Little), Some(7));
        let without = encode_version(McastReason::NewVersion, None);
        assert_eq!((without.len(), without[16], without[0x138]), (328, 1, 0));
        assert_eq!(decode_version(&without, Endian::Little), Some(0));
    }

    #[test]
    fn an_exec_message_of_the_other_byte_order() {
        let mut message = encode_version(McastReason::Sync, Some(7));
        for number in [0..4, 8..12, 0x30..0x32, 0x140..0x148, 0x148..0x150] {
            message[number].reverse();
        }
        assert_eq!(decode_version(&message, Endian::Big), Some(7));
        assert_eq!(decode_version(&message, Endian::Little), None, "the length is impossible");
    }

    #[test]
    fn an_exec_message_cut_anywhere_is_refused() {
        let message = encode_version(McastReason::Sync, Some(7));
        for length in 0..message.len() {
            assert_eq!(decode_version(&message[..length], Endian::Little), None, "{length} bytes");
        }
    }

    #[test]
    fn a_get_request_and_its_reply_as_libcmap_has_them() {
        let request = lib::get("totem.token", 4);
        assert_eq!(request.len(), 288);
        assert_eq!(
            request[..0x24],
            hex("02 00 00 00 00 00 00 00 20 01 00 00 00 00 00 00
             0b 00 00 00 00 00 00 00 74 6f 74 65 6d 2e 74 6f 6b 65 6e 00")
        );
        assert_eq!(request[0x110..], hex("00 00 00 00 00 00 00 00 04 00 00 00 00 00 00 00"));
        let reply = hex("02 00 00 00 00 00 00 00 2c 00 00 00 00 00 00 00
             01 00 00 00 00 00 00 00 04 00 00 00 00 00 00 00
             06 00 00 00 00 00 00 00 b8 0b 00 00");
        assert_eq!(lib::status(&reply), Some(Status::Ok));
        let (kind, len, bytes) = lib::get_reply(&reply).unwrap();
        assert_eq!((kind, len), (6, 4));
        assert_eq!(value_from(kind, bytes), Some(Value::U32(3000)));
        assert_eq!(lib::get_reply(&reply[..39]), None);
    }

    #[test]
    fn values_are_encoded_with_their_bytes() {
        let values = [
            Value::I8(-1),
            Value::U8(255),
            Value::I16(-2),
            Value::U16(3),
            Value::I32(-4),
            Value::U32(5),
            Value::I64(-6),
            Value::U64(7),
            Value::F32(1.5),
            Value::F64(-2.5),
            Value::text("eleven"),
            Value::Bytes(vec![0, 1, 0]),
        ];
        for (value, code) in values.iter().zip(1..) {
            let bytes = value_bytes(value);
            assert_eq!((type_code(value), value_len(value)), (code, bytes.len()));
            assert_eq!(value_from(code, &bytes).as_ref(), Some(value));
            if code < 11 {
                assert_eq!(value_from(code, &[&bytes[..], &[0]].concat()), None);
            }
        }
        assert_eq!(value_from(11, b"abc"), Some(Value::text("abc")), "the NUL may be missing");
        assert_eq!(value_from(11, b""), Some(Value::text("")));
        assert_eq!(value_from(11, b"a\0b"), None);
        assert_eq!(value_from(11, b"a\0\0"), None);
        assert_eq!((value_from(0, b""), value_from(13, b"")), (None, None));
    }

    #[test]
    fn names_end_at_their_nul() {
        let mut name = NameBytes::<NE>::new(&"x".repeat(300));
        assert_eq!(name.name().len(), 255);
        name.value = [b'y'; NAME_PLACES];
        assert_eq!(name.name().len(), 256, "without a NUL");
        name.length = U16::new(0);
        assert_eq!(name.prefix(), "");
        name.value[..3].copy_from_slice(&[b'a', 0xff, 0]);
        assert_eq!(name.name(), "a\u{fffd}");
    }
}
