//! The exec messages of CFG. The desk chooses between agreed and safe delivery for each of them.

use zerocopy::{ByteOrder, LittleEndian, U16, U64};

use super::{REASON_LIMIT, reason_field};
use crate::ids::{Endian, NodeId, ServiceId};
use crate::service::wire::layout::{PaddedU32, head, in_order, layout, to_bytes};
use crate::service::wire::{HEADER_LEN, HeaderBytes, SourceBytes};

/// Number of exec functions.
pub(crate) const COUNT: u16 = 5;

/// A relic of older versions, which carries what nodes of annulus tell each other.
pub(crate) const RING_REENABLE: u16 = 0;
const KILL_NODE: u16 = 1;
const SHUTDOWN: u16 = 2;
const RELOAD: u16 = 3;
const CRYPTO: u16 = 4;

type LE = LittleEndian;

layout! {
    /// RINGREENABLE and RELOAD_CONFIG.
    pub(super) struct SourcedBytes<O>: 32 {
        pub(super) header: HeaderBytes<O>,
        pub(super) source: SourceBytes<O>,
    }

    /// KILLNODE. The reason is a `mar_name_t`: its bytes begin at a multiple of eight.
    struct KillBytes<O>: 288 {
        header: HeaderBytes<O>,
        node: PaddedU32<O>,
        length: U16<O>,
        pad_length: [u8; 6],
        reason: [u8; REASON_LIMIT],
    }

    /// CRYPTO_RECONFIG exec message.
    struct CryptoBytes<O>: 24 {
        header: HeaderBytes<O>,
        phase: PaddedU32<O>,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exec<'a> {
    /// A relic of older versions without effect, unless it carries a [`super::Talk`] or [`super::KeyTalk`].
    RingReenable,
    /// The named node must end at once.
    Kill {
        /// The id of the node; 0 is no node.
        node: u32,
        /// The reason: any bytes, at most 256.
        reason: &'a [u8],
    },
    /// The sender shuts down.
    Shutdown,
    /// Every node must read its configuration again.
    Reload {
        /// The connection of the client that asked; it has a meaning to the sender only.
        conn: u64,
    },
    /// The sender changes its keys.
    Crypto {
        /// 1: the sender uses the new keys, 2: it forgets the old ones.
        phase: u32,
    },
}

impl<'a> Exec<'a> {
    /// Its function number.
    pub(crate) const fn function(&self) -> u16 {
        match self {
            Self::RingReenable => RING_REENABLE,
            Self::Kill { .. } => KILL_NODE,
            Self::Shutdown => SHUTDOWN,
            Self::Reload { .. } => RELOAD,
            Self::Crypto { .. } => CRYPTO,
        }
    }

    pub(crate) fn encode(&self, me: NodeId) -> Vec<u8> {
        let header = |size| HeaderBytes::<LE>::exec(ServiceId::CFG, self.function(), size);
        let sourced = |conn| {
            to_bytes(&SourcedBytes::<LE> {
                header: header(size_of::<SourcedBytes<LE>>()),
                source: SourceBytes { node: PaddedU32::new(me.get()), conn: U64::new(conn) },
            })
        };
        match *self {
            Self::RingReenable => sourced(0),
            Self::Reload { conn } => sourced(conn),
            Self::Kill { node, reason } => {
                let (reason, length) = reason_field(reason);
                to_bytes(&KillBytes::<LE> {
                    header: header(size_of::<KillBytes<LE>>()),
                    node: PaddedU32::new(node),
                    length: U16::new(length),
                    pad_length: [0; 6],
                    reason,
                })
            }
            Self::Shutdown => to_bytes(&header(HEADER_LEN)),
            Self::Crypto { phase } => to_bytes(&CryptoBytes::<LE> {
                header: header(size_of::<CryptoBytes<LE>>()),
                phase: PaddedU32::new(phase),
            }),
        }
    }

    /// Decodes a message in its sender's byte order. `None`: it is too short, contains an invalid length, or
    /// has an unknown function number.
    pub(crate) fn decode(function: u16, message: &'a [u8], order: Endian) -> Option<Self> {
        in_order!(order, O => Self::decode_in::<O>(function, message))
    }

    fn decode_in<O: ByteOrder + 'a>(function: u16, message: &'a [u8]) -> Option<Self> {
        Some(match function {
            RING_REENABLE => Self::RingReenable,
            KILL_NODE => {
                let bytes = head::<KillBytes<O>>(message)?;
                let reason = bytes.reason.get(..usize::from(bytes.length.get()))?;
                Self::Kill { node: bytes.node.get(), reason }
            }
            SHUTDOWN => Self::Shutdown,
            RELOAD => Self::Reload { conn: head::<SourcedBytes<O>>(message)?.source.conn.get() },
            CRYPTO => Self::Crypto { phase: head::<CryptoBytes<O>>(message)?.phase.get() },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::node;

    /// The layouts in docs/protocol/services.md, "Exec messages of CFG".
    #[test]
    fn messages_are_byte_exact() {
        let kill = Exec::Kill { node: 2, reason: b"bad" }.encode(node(3));
        let mut expected = vec![0; 288];
        (expected[0], expected[2], expected[8], expected[9]) = (1, 1, 0x20, 1);
        (expected[16], expected[24]) = (2, 3);
        expected[32..35].copy_from_slice(b"bad");
        assert_eq!(kill, expected);

        let reload = Exec::Reload { conn: 0x0102_0304_0506_0708 }.encode(node(3));
        let mut expected = vec![0; 32];
        (expected[0], expected[2], expected[8], expected[16]) = (3, 1, 32, 3);
        expected[24..].copy_from_slice(&[8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(reload, expected);

        let mut expected = vec![0; 16];
        (expected[0], expected[2], expected[8]) = (2, 1, 16);
        assert_eq!(Exec::Shutdown.encode(node(3)), expected);

        let mut expected = vec![0; 24];
        (expected[0], expected[2], expected[8], expected[16]) = (4, 1, 24, 2);
        assert_eq!(Exec::Crypto { phase: 2 }.encode(node(3)), expected);
    }

    #[test]
    fn messages_are_decoded_as_encoded_and_truncated_ones_refused() {
        let all = [
            Exec::RingReenable,
            Exec::Kill { node: 7, reason: &[0xff; 256] },
            Exec::Shutdown,
            Exec::Reload { conn: u64::MAX },
            Exec::Crypto { phase: 1 },
        ];
        for (function, message) in all.into_iter().enumerate() {
            let bytes = message.encode(node(3));
            assert_eq!(Exec::decode(function as u16, &bytes, Endian::Little), Some(message));
            for length in 16..bytes.len() {
                let cut = Exec::decode(function as u16, &bytes[..length], Endian::Little);
                assert!(cut.is_none() || message == Exec::RingReenable, "{function} of {length} bytes");
            }
        }
        assert_eq!(Exec::decode(5, &[0; 300], Endian::Little), None);
    }

    #[test]
    fn a_big_endian_peer_is_understood() {
        let mut kill = vec![0; 288];
        (kill[19], kill[25], kill[32]) = (9, 1, b'x');
        assert_eq!(Exec::decode(1, &kill, Endian::Big), Some(Exec::Kill { node: 9, reason: b"x" }));
        let mut reload = vec![0; 32];
        reload[31] = 5;
        assert_eq!(Exec::decode(3, &reload, Endian::Big), Some(Exec::Reload { conn: 5 }));
    }

    #[test]
    fn a_reason_that_is_too_long_is_refused_not_read() {
        let mut kill = Exec::Kill { node: 1, reason: b"" }.encode(node(3));
        kill[24..26].copy_from_slice(&257_u16.to_le_bytes());
        assert_eq!(Exec::decode(1, &kill, Endian::Little), None);
        let long = Exec::Kill { node: 1, reason: &[b'a'; 300] }.encode(node(3));
        let cut = Exec::Kill { node: 1, reason: &[b'a'; 256] };
        assert_eq!(Exec::decode(1, &long, Endian::Little), Some(cut));
    }
}
