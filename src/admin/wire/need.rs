//! The message in which a node of annulusd says which token time-out it needs.
//!
//! Like the messages about a reload ([`super::Talk`]), it is carried by RINGREENABLE, with a mark of its own.

use std::time::Duration;

use zerocopy::{ByteOrder, FromBytes, IntoBytes, LittleEndian, U32};

use super::marked::{Mark, MarkedBytes, RoundId, whole_ms};
use super::talk::Malformed;
use crate::ids::{Endian, NodeId};
use crate::service::wire::layout::{in_order, layout};

/// The mark of these messages; its last byte is the version of their format.
const MARK: Mark = *b"anneeds\x01";
/// The only kind of these messages.
const TOKEN: u32 = 1;

layout! {
    struct NeedBytes<O>: 68 {
        head: MarkedBytes<O>,
        token: U32<O>,
        runs: U32<O>,
    }
}

/// What a node says of itself, in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// The shortest token time-out that suits it.
    pub(crate) token: Duration,
    /// For how long its process runs.
    pub(crate) runs: Duration,
}

impl Need {
    pub(crate) fn encode(self, me: NodeId) -> Vec<u8> {
        let size = size_of::<NeedBytes<LittleEndian>>();
        NeedBytes::<LittleEndian> {
            head: MarkedBytes::new(me, size, MARK, TOKEN, RoundId::NONE),
            token: U32::new(whole_ms(self.token)),
            runs: U32::new(whole_ms(self.runs)),
        }
        .as_bytes()
        .to_vec()
    }

    /// Decodes a RINGREENABLE message in its sender's byte order. `Ok(None)`: it is a plain one, or has an unknown
    /// format.
    ///
    /// # Errors
    /// It is truncated.
    pub(crate) fn decode(message: &[u8], order: Endian) -> Result<Option<Self>, Malformed> {
        in_order!(order, O => Self::decode_in::<O>(message))
    }

    fn decode_in<O: ByteOrder>(message: &[u8]) -> Result<Option<Self>, Malformed> {
        if !MarkedBytes::<O>::is_marked(message, &MARK) {
            return Ok(None);
        }
        let (bytes, _) = NeedBytes::<O>::ref_from_prefix(message).map_err(|_| Malformed)?;
        let ms = |number: &U32<O>| Duration::from_millis(number.get().into());
        let need = Self { token: ms(&bytes.token), runs: ms(&bytes.runs) };
        Ok((bytes.head.kind.get() == TOKEN).then_some(need))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::wire::{KeyTalk, Talk};
    use crate::ids::node;

    const NEED: Need = Need { token: Duration::from_millis(1234), runs: Duration::from_millis(70_000) };

    #[test]
    fn a_need_is_decoded_as_encoded_and_a_truncated_one_refused() {
        let bytes = NEED.encode(node(3));
        assert_eq!(Need::decode(&bytes, Endian::Little), Ok(Some(NEED)));
        for length in 40..bytes.len() {
            assert_eq!(Need::decode(&bytes[..length], Endian::Little), Err(Malformed), "{length}");
        }
        for length in 0..40 {
            assert_eq!(Need::decode(&bytes[..length], Endian::Little), Ok(None), "{length}");
        }
    }

    #[test]
    fn a_need_is_no_other_message_and_others_are_no_need() {
        let bytes = NEED.encode(node(3));
        assert_eq!(Talk::decode(&bytes, Endian::Little), Ok(None));
        assert_eq!(KeyTalk::decode(&bytes, Endian::Little), Ok(None));
        assert_eq!(Need::decode(&Talk::Call.encode(node(3)), Endian::Little), Ok(None));
        let mut unknown = bytes;
        unknown[40] = 99;
        assert_eq!(Need::decode(&unknown, Endian::Little), Ok(None));
    }

    /// To a node of Corosync it is a RINGREENABLE, of which it reads nothing.
    #[test]
    fn a_need_is_byte_exact() {
        let mut expected = vec![0; 68];
        (expected[2], expected[8], expected[16]) = (1, 68, 3);
        expected[32..40].copy_from_slice(b"anneeds\x01");
        expected[40] = 1;
        expected[60..64].copy_from_slice(&1234_u32.to_le_bytes());
        expected[64..].copy_from_slice(&70_000_u32.to_le_bytes());
        assert_eq!(NEED.encode(node(3)), expected);
    }
}
