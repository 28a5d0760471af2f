//! The exec messages that other nodes, and this one, have sent.

use zerocopy::{ByteOrder, FromBytes, U32};

use super::{NameBytes, Place};
use crate::cpg::name::Reason;
use crate::ids::Endian;
use crate::service::wire::layout::{PaddedU32, head, in_order, layout};
use crate::service::wire::{HeaderBytes, ReplyHeaderBytes, SourceBytes};

pub(crate) const PROC_JOIN: u16 = 0;
pub(crate) const PROC_LEAVE: u16 = 1;
pub(crate) const JOIN_LIST: u16 = 2;
pub(crate) const MCAST: u16 = 3;
/// No longer sent by any version; ignored.
pub(crate) const DOWN_LIST_OLD: u16 = 4;
pub(crate) const DOWN_LIST: u16 = 5;
pub(crate) const PARTIAL_MCAST: u16 = 6;
/// Number of exec functions.
pub(crate) const COUNT: u16 = 7;

/// Number of entries in a downlist.
pub(crate) const DOWN_LIST_NODES: usize = 384;

layout! {
    /// Exec PROCJOIN and PROCLEAVE: `struct req_exec_cpg_procjoin`.
    pub(crate) struct ProcBytes<O>: 168 {
        pub(crate) header: HeaderBytes<O>,
        pub(crate) name: NameBytes<O>,
        pub(crate) pid: PaddedU32<O>,
        pub(crate) reason: PaddedU32<O>,
    }

    /// Exec MCAST without its payload: `struct req_exec_cpg_mcast`.
    pub(crate) struct McastBytes<O>: 184 {
        pub(crate) header: HeaderBytes<O>,
        pub(crate) name: NameBytes<O>,
        pub(crate) msglen: PaddedU32<O>,
        pub(crate) pid: PaddedU32<O>,
        pub(crate) source: SourceBytes<O>,
    }

    /// Exec PARTIAL_MCAST without its payload: `struct req_exec_cpg_partial_mcast`.
    pub(crate) struct PartialMcastBytes<O>: 200 {
        pub(crate) header: HeaderBytes<O>,
        pub(crate) name: NameBytes<O>,
        pub(crate) msglen: PaddedU32<O>,
        pub(crate) fraglen: PaddedU32<O>,
        pub(crate) pid: PaddedU32<O>,
        pub(crate) kind: PaddedU32<O>,
        pub(crate) source: SourceBytes<O>,
    }

    /// One process in a JOINLIST: `struct join_list_entry`.
    pub(crate) struct JoinListEntryBytes<O>: 144 {
        pub(crate) pid: PaddedU32<O>,
        pub(crate) name: NameBytes<O>,
    }

    /// Exec DOWNLIST: `struct req_exec_cpg_downlist`. Always sent, never evaluated.
    pub(crate) struct DownListBytes<O>: 1568 {
        pub(crate) header: HeaderBytes<O>,
        pub(crate) old_members: PaddedU32<O>,
        pub(crate) left: PaddedU32<O>,
        pub(crate) nodes: [U32<O>; DOWN_LIST_NODES],
    }
}

/// An exec message in host byte order with checked lengths. Nothing is copied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Exec<'a> {
    Join { group: &'a [u8], pid: u32 },
    Leave { group: &'a [u8], pid: u32, reason: Reason },
    JoinList(Vec<(u32, &'a [u8])>),
    Mcast { group: &'a [u8], pid: u32, payload: &'a [u8] },
    DownList,
    PartialMcast { group: &'a [u8], pid: u32, total: u32, place: Place, payload: &'a [u8] },
}

impl<'a> Exec<'a> {
    /// Decodes an exec message. `None` if it is too short, or a length in it is invalid.
    pub(crate) fn decode(function: u16, message: &'a [u8], order: Endian) -> Option<Self> {
        in_order!(order, O => Self::decode_in::<O>(function, message))
    }

    fn decode_in<O: ByteOrder + 'a>(function: u16, message: &'a [u8]) -> Option<Self> {
        match function {
            PROC_JOIN => {
                let bytes = head::<ProcBytes<O>>(message)?;
                Some(Self::Join { group: bytes.name.name()?, pid: bytes.pid.get() })
            }
            PROC_LEAVE => {
                let bytes = head::<ProcBytes<O>>(message)?;
                let reason = Reason::from_code(bytes.reason.get());
                Some(Self::Leave { group: bytes.name.name()?, pid: bytes.pid.get(), reason })
            }
            JOIN_LIST => {
                let (header, entries) = ReplyHeaderBytes::<O>::ref_from_prefix(message).ok()?;
                // A peer reads up to the end that the header gives, so a truncated message is refused as a
                // whole.
                let size = usize::try_from(header.size.get()).ok()?;
                let entries = entries.get(..size.checked_sub(size_of::<ReplyHeaderBytes<O>>())?)?;
                let entries = <[JoinListEntryBytes<O>]>::ref_from_bytes(entries).ok()?;
                let list = entries.iter().map(|entry| Some((entry.pid.get(), entry.name.name()?)));
                Some(Self::JoinList(list.collect::<Option<_>>()?))
            }
            MCAST => {
                let (bytes, payload) = McastBytes::<O>::ref_from_prefix(message).ok()?;
                let payload = payload.get(..usize::try_from(bytes.msglen.get()).ok()?)?;
                Some(Self::Mcast { group: bytes.name.name()?, pid: bytes.pid.get(), payload })
            }
            DOWN_LIST | DOWN_LIST_OLD => Some(Self::DownList),
            PARTIAL_MCAST => {
                let (bytes, payload) = PartialMcastBytes::<O>::ref_from_prefix(message).ok()?;
                let payload = payload.get(..usize::try_from(bytes.fraglen.get()).ok()?)?;
                Some(Self::PartialMcast {
                    group: bytes.name.name()?,
                    pid: bytes.pid.get(),
                    total: bytes.msglen.get(),
                    place: Place::from_code(bytes.kind.get()),
                    payload,
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A little-endian fragment of "end", with the fields at the offsets of docs/protocol/services.md.
    fn fragment() -> Vec<u8> {
        let mut bytes = vec![0; 200];
        (bytes[16], bytes[24], bytes[152], bytes[160], bytes[168], bytes[176]) = (1, b'g', 9, 3, 5, 3);
        bytes.extend_from_slice(b"end");
        bytes
    }

    #[test]
    fn a_fragment_is_read_in_either_byte_order() {
        let expected =
            Exec::PartialMcast { group: b"g", pid: 5, total: 9, place: Place::Last, payload: b"end" };
        let mut bytes = fragment();
        assert_eq!(Exec::decode(PARTIAL_MCAST, &bytes, Endian::Little).as_ref(), Some(&expected));
        for at in [16, 152, 160, 168, 176] {
            bytes[at..at + 4].reverse();
        }
        assert_eq!(Exec::decode(PARTIAL_MCAST, &bytes, Endian::Big), Some(expected));
    }

    #[test]
    fn lengths_beyond_the_message_are_refused() {
        for length in 0..203 {
            assert_eq!(Exec::decode(PARTIAL_MCAST, &fragment()[..length], Endian::Little), None);
        }
        let accepts = |function, at: usize, value| {
            let mut bytes = fragment();
            bytes[at] = value;
            Exec::decode(function, &bytes, Endian::Little).is_some()
        };
        assert!(accepts(PARTIAL_MCAST, 160, 2));
        assert!(!accepts(PARTIAL_MCAST, 160, 4));
        for function in [PROC_JOIN, PROC_LEAVE, MCAST, PARTIAL_MCAST] {
            assert!(accepts(function, 16, 128));
            assert!(!accepts(function, 16, 129), "function {function}");
        }
    }

    /// Peers never evaluate a downlist, so neither its length nor its content matters.
    #[test]
    fn any_downlist_is_accepted() {
        for function in [DOWN_LIST, DOWN_LIST_OLD] {
            assert_eq!(Exec::decode(function, &[0xff; 16], Endian::Little), Some(Exec::DownList));
        }
        assert_eq!(Exec::decode(COUNT, &[0; 2000], Endian::Little), None);
    }
}
