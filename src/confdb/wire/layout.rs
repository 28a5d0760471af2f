//! The layouts of requests, replies and the notification, as in corosync `include/corosync/ipc_cmap.h`, and of names.

use std::borrow::Cow;

use zerocopy::byteorder::{ByteOrder, NativeEndian, U16, U64};

use crate::service::wire::layout::{PaddedI32, layout};
use crate::service::wire::{ReplyHeaderBytes, RequestHeader};

/// Size of the array for a name. Names are shorter, because a NUL follows them.
const NAME_PLACES: usize = 256;

/// Byte order of messages that stay on this host.
type NE = NativeEndian;

layout! {
    /// A key or a prefix: `mar_name_t`.
    pub(crate) struct NameBytes<O>: 264 {
        length: U16<O>,
        pad: [u8; 6],
        value: [u8; NAME_PLACES],
    }

    /// Lib SET request without its value.
    pub(crate) struct SetRequestBytes: 296, RequestHeader {
        pub(crate) key: NameBytes<NE>,
        pub(crate) len: U64<NE>,
        pub(crate) kind: u8,
        pub(crate) pad: [u8; 7],
    }

    /// Lib DELETE and ITER_INIT requests.
    pub(crate) struct KeyRequestBytes: 280, RequestHeader {
        pub(crate) key: NameBytes<NE>,
    }

    pub(crate) struct GetRequestBytes: 288, RequestHeader {
        pub(crate) key: NameBytes<NE>,
        /// Room for the value in bytes; 0 asks for length and type only.
        pub(crate) len: U64<NE>,
    }

    /// Lib ADJUST_INT request.
    pub(crate) struct AdjustRequestBytes: 288, RequestHeader {
        pub(crate) key: NameBytes<NE>,
        pub(crate) step: PaddedI32<NE>,
    }

    /// Lib ITER_NEXT, ITER_FINALIZE and TRACK_DELETE requests.
    pub(crate) struct HandleRequestBytes: 24, RequestHeader {
        pub(crate) handle: U64<NE>,
    }

    /// Lib TRACK_ADD request.
    pub(crate) struct TrackRequestBytes: 296, RequestHeader {
        pub(crate) key: NameBytes<NE>,
        /// Bits of [`super::track`].
        pub(crate) kind: PaddedI32<NE>,
        /// The client's own number for the tracker; it is repeated in each notification.
        pub(crate) inst: U64<NE>,
    }

    /// Lib SET_CURRENT_MAP request.
    pub(crate) struct MapRequestBytes: 24, RequestHeader {
        pub(crate) map: PaddedI32<NE>,
    }

    /// GET reply without the value.
    pub(crate) struct GetReplyBytes: 40, ReplyHeaderBytes {
        /// Length of the stored value in bytes.
        pub(crate) len: U64<NE>,
        pub(crate) kind: u8,
        pub(crate) pad: [u8; 7],
    }

    /// ITER_INIT, TRACK_ADD and TRACK_DELETE replies: a handle, or the client's own number for the tracker.
    pub(crate) struct HandleReplyBytes: 32, ReplyHeaderBytes {
        pub(crate) handle: U64<NE>,
    }

    /// The reply to ITER_NEXT as bytes.
    pub(crate) struct NextReplyBytes: 304, ReplyHeaderBytes {
        pub(crate) key: NameBytes<NE>,
        pub(crate) len: U64<NE>,
        pub(crate) kind: u8,
        pub(crate) pad: [u8; 7],
    }

    /// NOTIFY event without the two values.
    pub(crate) struct NotifyBytes: 336, ReplyHeaderBytes {
        pub(crate) inst: U64<NE>,
        pub(crate) key: NameBytes<NE>,
        /// One bit of [`super::track`].
        pub(crate) event: PaddedI32<NE>,
        pub(crate) new_kind: u8,
        pub(crate) pad_new: [u8; 7],
        pub(crate) old_kind: u8,
        pub(crate) pad_old: [u8; 7],
        pub(crate) new_len: U64<NE>,
        pub(crate) old_len: U64<NE>,
    }
}

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
