//! The exec message: the version of a node's configuration.

use zerocopy::{ByteOrder, FromBytes, FromZeros, IntoBytes, LittleEndian, U32, U64};

use super::layout::NameBytes;
use crate::ids::{Endian, ServiceId};
use crate::service::wire::layout::{in_order, layout};
use crate::service::wire::{HEADER_LEN, HeaderBytes};

/// Number of the only exec function.
pub(crate) const MCAST: u16 = 0;
/// Number of exec functions.
pub(crate) const COUNT: u16 = 1;

/// Byte order of the exec messages that this node writes.
type LE = LittleEndian;

layout! {
    /// Exec MCAST without its items: `struct req_exec_cmap_mcast`.
    struct McastBytes<O>: 48 {
        header: HeaderBytes<O>,
        reason: u8,
        pad_reason: [u8; 7],
        items: u8,
        pad_items: [u8; 7],
        reserved: [U32<O>; 4],
    }

    /// One item of exec MCAST, without its value: `struct req_exec_cmap_mcast_item`.
    struct ItemBytes<O>: 280 {
        key: NameBytes<O>,
        kind: u8,
        pad: [u8; 7],
        len: U64<O>,
    }
}

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
    head.header = HeaderBytes::exec(ServiceId::CMAP, MCAST, size);
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
    in_order!(order, O => decode_version_in::<O>(message))
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

    fn hex(text: &str) -> Vec<u8> {
        text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    #[test]
    fn an_exec_message_as_corosync_sends_it() {
        let message = encode_version(McastReason::Sync, Some(7));
        assert_eq!(message.len(), 336);
        let expected = hex("00 00 00 00 00 00 00 00 50 01 00 00 00 00 00 00
             00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00");
        assert_eq!(message[..0x20], expected);
        assert_eq!(message[0x20..0x30], [0; 16]);
        let expected = hex("14 00 00 00 00 00 00 00 74 6f 74 65 6d 2e 63 6f
             6e 66 69 67 5f 76 65 72 73 69 6f 6e 00 00 00 00");
        assert_eq!(message[0x30..0x50], expected);
        let expected = hex("00 00 00 00 00 00 00 00 08 00 00 00 00 00 00 00
             08 00 00 00 00 00 00 00 07 00 00 00 00 00 00 00");
        assert_eq!(message[0x130..], expected);
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
}
