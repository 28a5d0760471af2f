//! What a client asks to multicast: whole messages, and fragments of long ones.

use zerocopy::FromBytes;

use super::NE;
use crate::ids::Guarantee;
use crate::service::wire::RequestHeader;
use crate::service::wire::layout::{PaddedU32, layout};

/// The code of safe delivery; every other code means agreed delivery.
pub(crate) const TYPE_SAFE: u32 = 3;

/// Bytes in two parts, the second of which may be empty.
pub(crate) type Pieces<'a> = [&'a [u8]; 2];

layout! {
    /// Lib MCAST request without its payload. Its header is padded to 24 bytes.
    pub(crate) struct McastRequestBytes: 40, RequestHeader {
        pub(crate) unused: [u8; 8],
        pub(crate) guarantee: PaddedU32<NE>,
        pub(crate) msglen: PaddedU32<NE>,
    }

    /// Lib PARTIAL_MCAST request without its payload.
    pub(crate) struct PartialMcastRequestBytes: 56, RequestHeader {
        pub(crate) unused: [u8; 8],
        pub(crate) guarantee: PaddedU32<NE>,
        pub(crate) msglen: PaddedU32<NE>,
        pub(crate) fraglen: PaddedU32<NE>,
        pub(crate) kind: PaddedU32<NE>,
    }
}

/// A whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// How it must be delivered.
    pub(crate) guarantee: Guarantee,
    /// The payload; `None`: the request is shorter than it claims.
    pub(crate) payload: Option<Pieces<'a>>,
}

impl<'a> Message<'a> {
    /// Decodes the request of a multicast, given in two parts. `None`: the first is too short for the fixed fields.
    pub(crate) fn decode([bytes, tail]: Pieces<'a>) -> Option<Self> {
        let (bytes, rest) = McastRequestBytes::ref_from_prefix(bytes).ok()?;
        Some(Self {
            guarantee: guarantee(bytes.guarantee.get()),
            payload: first_bytes([rest, tail], bytes.msglen.get()),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment<'a> {
    /// How it must be delivered.
    pub(crate) guarantee: Guarantee,
    /// Length of the whole message in bytes, as the client claims; it is passed on unchecked.
    pub(crate) total: u32,
    pub(crate) place: Place,
    /// The payload; `None`: the request is shorter than it claims.
    pub(crate) payload: Option<Pieces<'a>>,
}

impl<'a> Fragment<'a> {
    /// Decodes the request to multicast a fragment, given in two parts. `None`: the first is too short for the fixed
    /// fields.
    pub(crate) fn decode([bytes, tail]: Pieces<'a>) -> Option<Self> {
        let (bytes, rest) = PartialMcastRequestBytes::ref_from_prefix(bytes).ok()?;
        Some(Self {
            guarantee: guarantee(bytes.guarantee.get()),
            total: bytes.msglen.get(),
            place: Place::from_code(bytes.kind.get()),
            payload: first_bytes([rest, tail], bytes.fraglen.get()),
        })
    }
}

/// The place of a fragment in its message.
///
/// Source: corosync `include/corosync/ipc_cpg.h`, `LIBCPG_PARTIAL_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The first fragment.
    First,
    /// A fragment between the first and the last.
    Continued,
    /// The last fragment, which completes the message.
    Last,
    /// A number without a meaning; it is passed on.
    Other(u32),
}

impl Place {
    /// The number in messages.
    pub(crate) const fn code(self) -> u32 {
        match self {
            Self::First => 1,
            Self::Continued => 2,
            Self::Last => 3,
            Self::Other(code) => code,
        }
    }

    /// The place with this number.
    pub(crate) const fn from_code(code: u32) -> Self {
        match code {
            1 => Self::First,
            2 => Self::Continued,
            3 => Self::Last,
            other => Self::Other(other),
        }
    }
}

fn guarantee(code: u32) -> Guarantee {
    if code == TYPE_SAFE { Guarantee::Safe } else { Guarantee::Agreed }
}

/// The first `length` bytes of two pieces; `None` if they are shorter.
fn first_bytes(pieces: Pieces<'_>, length: u32) -> Option<Pieces<'_>> {
    let length = usize::try_from(length).ok()?;
    let first = &pieces[0][..pieces[0].len().min(length)];
    Some([first, pieces[1].get(..length - first.len())?])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request of a multicast, with the fields at the offsets of docs/protocol/services.md.
    fn message(guarantee: u32, length: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 40];
        bytes[24..28].copy_from_slice(&guarantee.to_ne_bytes());
        bytes[32..36].copy_from_slice(&length.to_ne_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    /// The same of a fragment.
    fn fragment(total: u32, length: u32, kind: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 56];
        for (at, value) in [(24, 3), (32, total), (40, length), (48, kind)] {
            bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn the_payload_is_borrowed_in_two_pieces() {
        for (length, first, second) in
            [(0, "", ""), (1, "a", ""), (2, "ab", ""), (3, "ab", "c"), (5, "ab", "cde")]
        {
            let (bytes, payload) = (message(0, length, b"ab"), Some([first.as_bytes(), second.as_bytes()]));
            let decoded = Message::decode([&bytes, b"cde"]).unwrap();
            assert_eq!(decoded, Message { guarantee: Guarantee::Agreed, payload });
            let bytes = fragment(77, length, 1, b"ab");
            let decoded = Fragment::decode([&bytes, b"cde"]).unwrap();
            let expected = Fragment { guarantee: Guarantee::Safe, total: 77, place: Place::First, payload };
            assert_eq!(decoded, expected);
        }
    }

    #[test]
    fn lengths_beyond_the_request_are_no_payload() {
        for length in [6, 7, u32::MAX] {
            let bytes = message(0, length, b"ab");
            assert_eq!(Message::decode([&bytes, b"cde"]).unwrap().payload, None);
            let bytes = fragment(77, length, 1, b"ab");
            assert_eq!(Fragment::decode([&bytes, b"cde"]).unwrap().payload, None);
        }
    }

    #[test]
    fn the_fixed_fields_must_be_in_the_first_piece() {
        for length in 0..40 {
            assert_eq!(Message::decode([&message(0, 0, b"")[..length], &[0; 64]]), None);
        }
        for length in 0..56 {
            assert_eq!(Fragment::decode([&fragment(0, 0, 1, b"")[..length], &[0; 64]]), None);
        }
    }

    #[test]
    fn only_one_code_means_safe() {
        for (code, expected) in
            [(0, Guarantee::Agreed), (2, Guarantee::Agreed), (3, Guarantee::Safe), (4, Guarantee::Agreed)]
        {
            assert_eq!(Message::decode([&message(code, 0, b""), b""]).unwrap().guarantee, expected);
        }
    }

    #[test]
    fn unknown_places_keep_their_number() {
        for code in [0, 1, 2, 3, 4, u32::MAX] {
            assert_eq!(Place::from_code(code).code(), code);
            assert_eq!(Fragment::decode([&fragment(0, 0, code, b""), b""]).unwrap().place.code(), code);
        }
    }
}
