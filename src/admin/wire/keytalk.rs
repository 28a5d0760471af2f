//! Messages between nodes of annulusd about a new key for the cluster.
//!
//! Like the messages about a reload ([`super::Talk`]), they are carried by RINGREENABLE, with a mark of their own.
//! One of them contains the new key: it is only sent on a ring whose packets are encrypted, and is never displayed.

use zerocopy::{ByteOrder, FromBytes, IntoBytes, LittleEndian, U32, U64};

use super::marked::{Mark, MarkedBytes, RoundId};
use super::talk::{Malformed, cut};
use crate::ids::{Endian, NodeId};
use crate::secret::Secret;
use crate::service::wire::layout::{in_order, layout};

/// The mark of these messages; its last byte is the version of their format.
const MARK: Mark = *b"annukey\x01";
/// Largest length of a key in bytes, as in Corosync.
pub(crate) const KEY_LIMIT: usize = 4096;
/// Largest length of text in one message in bytes; longer text is cut.
const TEXT_LIMIT: usize = 2048;

const OFFER: u32 = 1;
const STORED: u32 = 2;
const REFUSED: u32 = 3;
const EXPIRE: u32 = 4;
const USES: u32 = 5;
const ASK: u32 = 6;

layout! {
    struct KeyTalkBytes<O>: 80 {
        head: MarkedBytes<O>,
        length: U32<O>,
        print: U64<O>,
        next: U64<O>,
    }
}

/// A message about a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyTalk {
    /// All nodes must store this key beside the one with the fingerprint `in_use`, which all must be using.
    Offer { round: RoundId, in_use: u64, key: Secret },
    /// The sender has stored the key, and accepts packets sealed with it.
    Stored(RoundId),
    /// The sender has not stored the key, for this reason.
    Refused(RoundId, String),
    /// The sender has waited for the others long enough.
    Expire(RoundId),
    /// The sender uses the key with the fingerprint `print`, and this cipher and hash; a new key with the fingerprint
    /// `next` is stored beside it.
    Uses { round: RoundId, print: u64, next: Option<u64>, suite: String },
    /// All nodes must report which key they use.
    Ask(RoundId),
}

impl KeyTalk {
    pub(crate) fn encode(&self, me: NodeId) -> Vec<u8> {
        let beside = match self {
            Self::Uses { next, .. } => next.unwrap_or(0),
            Self::Offer { .. } | Self::Stored(_) | Self::Refused(..) | Self::Expire(_) | Self::Ask(_) => 0,
        };
        let (kind, round, print, rest): (u32, &RoundId, u64, &[u8]) = match self {
            Self::Offer { round, in_use, key } => {
                (OFFER, round, *in_use, &key.bytes()[..key.bytes().len().min(KEY_LIMIT)])
            }
            Self::Stored(round) => (STORED, round, 0, &[]),
            Self::Refused(round, why) => (REFUSED, round, 0, cut(why, TEXT_LIMIT).as_bytes()),
            Self::Expire(round) => (EXPIRE, round, 0, &[]),
            Self::Uses { round, print, suite, .. } => {
                (USES, round, *print, cut(suite, TEXT_LIMIT).as_bytes())
            }
            Self::Ask(round) => (ASK, round, 0, &[]),
        };
        let size = size_of::<KeyTalkBytes<LittleEndian>>() + rest.len();
        let head = KeyTalkBytes::<LittleEndian> {
            head: MarkedBytes::new(me, size, MARK, kind, *round),
            length: U32::new(rest.len() as u32),
            print: U64::new(print),
            next: U64::new(beside),
        };
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(rest);
        bytes
    }

    /// Decodes a RINGREENABLE message in its sender's byte order. `Ok(None)`: it is another message, or has an
    /// unknown format.
    ///
    /// # Errors
    /// It is truncated, or contains an invalid length.
    pub(crate) fn decode(message: &[u8], order: Endian) -> Result<Option<Self>, Malformed> {
        in_order!(order, O => Self::decode_in::<O>(message))
    }

    fn decode_in<O: ByteOrder>(message: &[u8]) -> Result<Option<Self>, Malformed> {
        if !MarkedBytes::<O>::is_marked(message, &MARK) {
            return Ok(None);
        }
        let (head, rest) = KeyTalkBytes::<O>::ref_from_prefix(message).map_err(|_| Malformed)?;
        let round = head.head.round();
        let kind = head.head.kind.get();
        let limit = if kind == OFFER { KEY_LIMIT } else { TEXT_LIMIT };
        let length = usize::try_from(head.length.get()).ok().filter(|length| *length <= limit);
        let rest = length.and_then(|length| rest.get(..length)).ok_or(Malformed)?;
        let text = || String::from_utf8_lossy(rest).into_owned();
        Ok(Some(match kind {
            OFFER => Self::Offer { round, in_use: head.print.get(), key: Secret::new(rest.to_vec()) },
            STORED => Self::Stored(round),
            REFUSED => Self::Refused(round, text()),
            EXPIRE => Self::Expire(round),
            USES => {
                let next = Some(head.next.get()).filter(|next| *next != 0);
                Self::Uses { round, print: head.print.get(), next, suite: text() }
            }
            ASK => Self::Ask(round),
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::node;

    const ROUND: RoundId = RoundId { node: 3, ring: 0x0102_0304_0506, count: 7 };

    fn all() -> [KeyTalk; 7] {
        [
            KeyTalk::Offer { round: ROUND, in_use: 9, key: Secret::new(vec![0xab; 256]) },
            KeyTalk::Stored(ROUND),
            KeyTalk::Refused(ROUND, "disk full".to_owned()),
            KeyTalk::Expire(ROUND),
            KeyTalk::Uses { round: ROUND, print: u64::MAX, next: None, suite: "aes256/sha256".to_owned() },
            KeyTalk::Uses { round: ROUND, print: 0, next: Some(8), suite: String::new() },
            KeyTalk::Ask(ROUND),
        ]
    }

    #[test]
    fn messages_are_decoded_as_encoded_and_truncated_ones_refused() {
        for talk in all() {
            let bytes = talk.encode(node(3));
            assert_eq!(bytes[8..12], (bytes.len() as u32).to_le_bytes());
            assert_eq!(KeyTalk::decode(&bytes, Endian::Little), Ok(Some(talk)));
            for length in 40..bytes.len() {
                assert_eq!(KeyTalk::decode(&bytes[..length], Endian::Little), Err(Malformed));
            }
            // To a node of Corosync it is a plain RINGREENABLE, and it has no meaning in a reload.
            assert_eq!(super::super::Talk::decode(&bytes, Endian::Little), Ok(None));
        }
    }

    #[test]
    fn impossible_lengths_are_refused_and_other_forms_left_alone() {
        let mut bytes = all()[0].encode(node(3));
        bytes[60..64].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(KeyTalk::decode(&bytes, Endian::Little), Err(Malformed));
        for (at, value) in [(39, 2), (40, 99)] {
            let mut bytes = all()[1].encode(node(3));
            bytes[at] = value;
            assert_eq!(KeyTalk::decode(&bytes, Endian::Little), Ok(None));
        }
    }

    #[test]
    fn a_key_on_its_way_is_not_shown() {
        assert!(format!("{:?}", all()[0]).contains("key: (256 bytes, hidden)"));
    }
}
