//! The token that orders messages.

use bytes::{Bytes, BytesMut};
use zerocopy::byteorder::{ByteOrder, I32, LE, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{HeaderBytes, Kind, RingIdBytes, WireError, count, list, node, put, ring, split};
use crate::ids::{NodeId, RingId, Seq};

/// Largest number of retransmission requests in a token.
///
/// Source: corosync `RETRANSMIT_ENTRIES_MAX`.
pub const MAX_MISSING: usize = 30;

/// Length of the longest token that a C peer accepts.
const MAX_TOKEN: usize = 1500;

/// Fixed part of an ORF token on the wire, in its sender's byte order `O`.
///
/// Source: corosync `exec/totemsrp.c`, `struct orf_token` (packed).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct TokenBytes<O: ByteOrder> {
    header: HeaderBytes<O>,
    seq: U32<O>,
    token_seq: U32<O>,
    aru: U32<O>,
    aru_addr: U32<O>,
    ring: RingIdBytes<O>,
    backlog: U32<O>,
    fcc: U32<O>,
    retrans_flg: I32<O>,
    rtr_entries: I32<O>,
}
const _: () = assert!(size_of::<TokenBytes<LE>>() == 57 && align_of::<TokenBytes<LE>>() == 1);

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct MissingBytes<O: ByteOrder> {
    ring: RingIdBytes<O>,
    seq: U32<O>,
}
const _: () = assert!(size_of::<MissingBytes<LE>>() == 16);

/// A request to retransmit a frame that a node on the ring lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The ring to which `seq` belongs.
    pub ring: RingId,
    /// Sequence number of the missing frame.
    pub seq: Seq,
}

/// A parsed token. The number of requests on the wire is `missing.len()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The node that passed it on.
    pub from: NodeId,
    /// Highest sequence number assigned to a data frame on this ring.
    pub seq: Seq,
    /// Increases with each hop; identifies duplicates.
    pub token_seq: Seq,
    /// All received up to: what every member has, as far as the last rotation shows.
    pub aru: Seq,
    /// The node that lowered `aru`, if any.
    pub aru_by: Option<NodeId>,
    /// The ring to which the token belongs.
    pub ring: RingId,
    /// Sum of the frames that the members have queued.
    pub backlog: u32,
    /// Flow control count: frames multicast in the last rotation, retransmissions included.
    pub fcc: u32,
    /// Whether some member still has to retransmit frames of an old ring.
    pub retransmitting: bool,
    /// The retransmission request list.
    pub missing: Vec<Missing>,
}

impl Token {
    pub(super) fn parse<O: ByteOrder>(datagram: &[u8]) -> Result<Self, WireError> {
        const KIND: Kind = Kind::Token;
        if datagram.len() > MAX_TOKEN {
            return Err(WireError::Long { kind: KIND, most: MAX_TOKEN, got: datagram.len() });
        }
        let (fixed, rest) = split::<TokenBytes<O>>(KIND, datagram)?;
        let entries = count(KIND, fixed.rtr_entries.get().into(), MAX_MISSING)?;
        let (entries, _) = list::<MissingBytes<O>>(KIND, entries, datagram.len(), rest)?;
        Ok(Self {
            from: node(KIND, fixed.header.nodeid.get())?,
            seq: Seq(fixed.seq.get()),
            token_seq: Seq(fixed.token_seq.get()),
            aru: Seq(fixed.aru.get()),
            aru_by: NodeId::new(fixed.aru_addr.get()),
            ring: ring(KIND, fixed.ring)?,
            backlog: fixed.backlog.get(),
            fcc: fixed.fcc.get(),
            retransmitting: fixed.retrans_flg.get() != 0,
            missing: entries
                .iter()
                .map(|entry| Ok(Missing { ring: ring(KIND, entry.ring)?, seq: Seq(entry.seq.get()) }))
                .collect::<Result<_, WireError>>()?,
        })
    }

    /// Encodes the token.
    pub fn encode<O: ByteOrder>(&self) -> Bytes {
        // The parser refuses longer lists, and `retransmit` adds no entry to a full list.
        debug_assert!(self.missing.len() <= MAX_MISSING);
        let missing = &self.missing[..self.missing.len().min(MAX_MISSING)];
        let size = size_of::<TokenBytes<O>>() + size_of_val(missing);
        let mut out = BytesMut::with_capacity(size);
        put(
            &mut out,
            &TokenBytes::<O> {
                header: HeaderBytes::new(Kind::Token, 0, self.from.get()),
                seq: U32::new(self.seq.0),
                token_seq: U32::new(self.token_seq.0),
                aru: U32::new(self.aru.0),
                aru_addr: U32::new(self.aru_by.map_or(0, NodeId::get)),
                ring: RingIdBytes::new(self.ring),
                backlog: U32::new(self.backlog),
                fcc: U32::new(self.fcc),
                retrans_flg: I32::new(self.retransmitting.into()),
                rtr_entries: I32::new(missing.len() as i32),
            },
        );
        for entry in missing {
            put(
                &mut out,
                &MissingBytes::<O> { ring: RingIdBytes::new(entry.ring), seq: U32::new(entry.seq.0) },
            );
        }
        out.freeze()
    }
}
