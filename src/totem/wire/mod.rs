//! Bytes of the ring protocol ↔ values. Code outside of this module does not deal with byte order or layout.
//!
//! A sender writes in its own byte order, and the magic number in the header shows which. This implementation
//! writes little-endian on every machine, which all receivers of a mixed ring support, and reads both.
//!
//! | file | frame | Corosync's struct (`exec/totemsrp.c`, `exec/totempg.c`) |
//! |---|---|---|
//! | `token.rs` | ORF token | `orf_token` |
//! | `mcast.rs` | data frame, plain or recovery | `mcast` |
//! | `join.rs` | join and leave | `memb_join` |
//! | `commit.rs` | commit token | `memb_commit_token` |
//! | `probe.rs` | merge detect, hold cancel | `memb_merge_detect`, `token_hold_cancel` |
//! | `pack.rs` | payload of a data frame: packed messages and their groups | `totempg_mcast` |

pub mod commit;
pub mod join;
pub mod mcast;
pub mod pack;
pub mod probe;
pub mod token;

use bytes::{BufMut, BytesMut};
use zerocopy::byteorder::{BE, ByteOrder, LE, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ids::{Endian, NodeId, RingId};

pub use commit::{CommitEntry, CommitToken};
pub use join::Join;
pub use mcast::{Encapsulated, Mcast};
pub use probe::{HoldCancel, MergeDetect};
pub use token::{Missing, Token};
/// The byte order in which this node writes.
pub use zerocopy::byteorder::LE as LittleEndian;

/// Largest number of nodes on one ring; longer lists are refused.
///
/// Source: corosync `PROCESSOR_COUNT_MAX`.
pub const MAX_NODES: usize = 384;

/// Length of the longest frame, header included.
///
/// Source: corosync `FRAME_SIZE_MAX`.
pub const MAX_FRAME: usize = 65536;

/// Offset of the frame type in the header.
const KIND_AT: usize = 3;

const MAGIC: u16 = 0xc070;
const VERSION: u8 = 3;

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The token (in Corosync: ORF, ordering, reliability, flow control).
    Token,
    /// Data frame.
    Mcast,
    /// Merge detect message: from an idle ring's representative, or a member's sign that it is there.
    MergeDetect,
    /// Join or leave message.
    Join,
    /// Commit token, which circulates while a ring is formed.
    Commit,
    /// Token hold cancel: asks the representative to release the token.
    HoldCancel,
}

impl Kind {
    const fn from_wire(kind: u8) -> Option<Self> {
        match kind {
            0 => Some(Self::Token),
            1 => Some(Self::Mcast),
            2 => Some(Self::MergeDetect),
            3 => Some(Self::Join),
            4 => Some(Self::Commit),
            5 => Some(Self::HoldCancel),
            _ => None,
        }
    }

    const fn to_wire(self) -> u8 {
        match self {
            Self::Token => 0,
            Self::Mcast => 1,
            Self::MergeDetect => 2,
            Self::Join => 3,
            Self::Commit => 4,
            Self::HoldCancel => 5,
        }
    }
}

/// A parsed frame of any type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each names its type, which is documented")]
pub enum Frame<'a> {
    Token(Token),
    Mcast(Mcast<'a>),
    MergeDetect(MergeDetect),
    Join(Join),
    Commit(CommitToken),
    HoldCancel(HoldCancel),
}

/// The type that a frame's header names; `None` if the frame is too short or the type is unknown.
pub fn kind(frame: &[u8]) -> Option<Kind> {
    frame.get(KIND_AT).and_then(|kind| Kind::from_wire(*kind))
}

/// Why a datagram was dropped. The ring's state is unchanged in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Wrong magic number: not a frame of this protocol.
    #[error("not a Totem frame: magic {0:#06x}")]
    Magic(u16),
    /// Another version of the protocol.
    #[error("protocol version {0}, this node speaks 3")]
    Version(u8),
    /// An unknown frame type.
    #[error("frame type {0} does not exist")]
    Unknown(u8),
    /// Fewer bytes than the frame type, or a count in the frame, requires.
    #[error("{kind:?} needs {needed} bytes, has {got}")]
    Short {
        /// The frame type in the header; `None` if even the header is truncated.
        kind: Option<Kind>,
        /// The number of bytes required.
        needed: usize,
        /// The number of bytes received.
        got: usize,
    },
    /// More bytes than the frame type allows.
    #[error("{kind:?} has {got} bytes, at most {most} are allowed")]
    Long {
        /// The frame type.
        kind: Kind,
        /// The largest length allowed, in bytes.
        most: usize,
        /// The number of bytes received.
        got: usize,
    },
    /// A count that is negative or exceeds its limit.
    #[error("{kind:?} claims {count} entries, at most {most} are allowed")]
    Count {
        /// The frame type.
        kind: Kind,
        /// The count in the frame.
        count: i64,
        /// The largest count allowed.
        most: usize,
    },
    /// Node id 0 where a node must be named.
    #[error("{0:?} names node 0")]
    NodeZero(Kind),
    /// A field with an invalid value; the string names the field.
    #[error("{0:?} has an impossible {1}")]
    Value(Kind, &'static str),
}

/// Header of every frame, in its sender's byte order `O`.
///
/// Source: corosync `include/corosync/totem/totem.h`, `struct totem_message_header` (packed).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct HeaderBytes<O: ByteOrder> {
    magic: U16<O>,
    version: u8,
    kind: u8,
    encapsulated: u8,
    nodeid: U32<O>,
    target_nodeid: U32<O>,
}
const _: () = assert!(size_of::<HeaderBytes<LE>>() == HEADER && align_of::<HeaderBytes<LE>>() == 1);

/// Length of the header.
pub(crate) const HEADER: usize = 13;

impl<O: ByteOrder> HeaderBytes<O> {
    fn new(kind: Kind, encapsulated: u8, nodeid: u32) -> Self {
        Self {
            magic: U16::new(MAGIC),
            version: VERSION,
            kind: kind.to_wire(),
            encapsulated,
            nodeid: U32::new(nodeid),
            target_nodeid: U32::ZERO,
        }
    }
}

/// A ring id in a frame, in its sender's byte order `O`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RingIdBytes<O: ByteOrder> {
    rep: U32<O>,
    seq: U64<O>,
}
const _: () = assert!(size_of::<RingIdBytes<LE>>() == 12);

impl<O: ByteOrder> RingIdBytes<O> {
    fn new(ring: RingId) -> Self {
        Self { rep: U32::new(ring.rep.get()), seq: U64::new(ring.seq) }
    }

    fn value(self) -> Option<RingId> {
        NodeId::new(self.rep.get()).map(|rep| RingId { rep, seq: self.seq.get() })
    }
}

/// Parses a whole datagram. Returns the frame and the byte order in which it was written.
///
/// # Errors
/// [`WireError`] if the datagram is not a valid frame.
pub fn parse(datagram: &[u8]) -> Result<(Frame<'_>, Endian), WireError> {
    let short = WireError::Short { kind: None, needed: HEADER, got: datagram.len() };
    let magic = datagram.first_chunk::<2>().copied().ok_or(short)?;
    if magic == MAGIC.to_le_bytes() {
        Ok((parse_as::<LE>(datagram)?, Endian::Little))
    } else if magic == MAGIC.to_be_bytes() {
        Ok((parse_as::<BE>(datagram)?, Endian::Big))
    } else {
        Err(WireError::Magic(u16::from_le_bytes(magic)))
    }
}

fn parse_as<O: ByteOrder + 'static>(datagram: &[u8]) -> Result<Frame<'_>, WireError> {
    let (header, _) = HeaderBytes::<O>::ref_from_prefix(datagram).map_err(|_| WireError::Short {
        kind: None,
        needed: HEADER,
        got: datagram.len(),
    })?;
    if header.version != VERSION {
        return Err(WireError::Version(header.version));
    }
    match Kind::from_wire(header.kind).ok_or(WireError::Unknown(header.kind))? {
        Kind::Token => Token::parse::<O>(datagram).map(Frame::Token),
        Kind::Mcast => Mcast::parse::<O>(datagram).map(Frame::Mcast),
        Kind::MergeDetect => MergeDetect::parse::<O>(datagram).map(Frame::MergeDetect),
        Kind::Join => Join::parse::<O>(datagram).map(Frame::Join),
        Kind::Commit => CommitToken::parse::<O>(datagram).map(Frame::Commit),
        Kind::HoldCancel => HoldCancel::parse::<O>(datagram).map(Frame::HoldCancel),
    }
}

/// Splits a datagram into the fixed part of its frame and the rest.
fn split<T>(kind: Kind, datagram: &[u8]) -> Result<(&T, &[u8]), WireError>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    T::ref_from_prefix(datagram).map_err(|_| WireError::Short {
        kind: Some(kind),
        needed: size_of::<T>(),
        got: datagram.len(),
    })
}

/// Splits the bytes behind a frame's fixed part into a list of `count` values and the rest.
fn list<T>(kind: Kind, count: usize, total: usize, rest: &[u8]) -> Result<(&[T], &[u8]), WireError>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    <[T]>::ref_from_prefix_with_elems(rest, count).map_err(|_| WireError::Short {
        kind: Some(kind),
        needed: total - rest.len() + count * size_of::<T>(),
        got: total,
    })
}

/// Checks that a count field lies in `0..=most`.
fn count(kind: Kind, count: i64, most: usize) -> Result<usize, WireError> {
    usize::try_from(count).ok().filter(|n| *n <= most).ok_or(WireError::Count { kind, count, most })
}

fn node(kind: Kind, id: u32) -> Result<NodeId, WireError> {
    NodeId::new(id).ok_or(WireError::NodeZero(kind))
}

fn ring<O: ByteOrder>(kind: Kind, bytes: RingIdBytes<O>) -> Result<RingId, WireError> {
    bytes.value().ok_or(WireError::NodeZero(kind))
}

fn put<T: IntoBytes + Immutable>(out: &mut BytesMut, value: &T) {
    out.put_slice(value.as_bytes());
}
