//! The layouts of requests, replies and the notification, as in corosync `include/corosync/ipc_cmap.h`, and of names.

use std::borrow::Cow;

use zerocopy::byteorder::{ByteOrder, I32, NativeEndian, U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::service::wire::{HeaderBytes, ReplyHeaderBytes};

/// Size of the array for a name. Names are shorter, because a NUL follows them.
const NAME_PLACES: usize = 256;

/// Byte order of messages that stay on this host.
type NE = NativeEndian;

/// A key or a prefix: `mar_name_t`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct NameBytes<O: ByteOrder> {
    length: U16<O>,
    pad: [u8; 6],
    value: [u8; NAME_PLACES],
}
const _: () = assert!(size_of::<NameBytes<NE>>() == 264);

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
    /// Bits of [`super::track`].
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

/// The reply to ITER_NEXT as bytes.
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
    /// One bit of [`super::track`].
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

#[cfg(test)]
mod tests {
    use super::*;

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
