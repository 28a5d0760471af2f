//! The commit token.

use bytes::{Bytes, BytesMut};
use zerocopy::byteorder::{ByteOrder, I32, LE, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{HeaderBytes, Kind, MAX_NODES, RingIdBytes, WireError, count, list, node, put, ring, split};
use crate::ids::{NodeId, RingId, Seq};

/// Fixed part of a commit token on the wire, in its sender's byte order `O`.
///
/// Source: corosync `exec/totemsrp.c`, `struct memb_commit_token` (packed).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct CommitBytes<O: ByteOrder> {
    header: HeaderBytes<O>,
    token_seq: U32<O>,
    ring: RingIdBytes<O>,
    retrans_flg: U32<O>,
    memb_index: I32<O>,
    addr_entries: I32<O>,
}
const _: () = assert!(size_of::<CommitBytes<LE>>() == 41 && align_of::<CommitBytes<LE>>() == 1);

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct EntryBytes<O: ByteOrder> {
    ring: RingIdBytes<O>,
    aru: U32<O>,
    high_delivered: U32<O>,
    received_flg: U32<O>,
}
const _: () = assert!(size_of::<EntryBytes<LE>>() == 24);

/// What a member reports about its last ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitEntry {
    /// The member's last ring.
    pub ring: RingId,
    /// Its all-received-up-to number on that ring.
    pub aru: Seq,
    /// Sequence number of the last message that it delivered on that ring.
    pub high_delivered: Seq,
    /// Whether it has every frame that it knows was sent on that ring.
    pub received_all: bool,
}

/// A commit token: which members form the new ring, and what each has received on its last ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitToken {
    /// The node that passed it on.
    pub from: NodeId,
    /// Increases with each hop.
    pub token_seq: u32,
    /// The ring that is being formed.
    pub ring: RingId,
    /// The number of entries that are filled in.
    pub filled: usize,
    /// The members, ascending, so that the representative is first. The entry of each is `None` until filled
    /// in.
    pub members: Vec<(NodeId, Option<CommitEntry>)>,
}

impl CommitToken {
    pub(super) fn parse<O: ByteOrder>(datagram: &[u8]) -> Result<Self, WireError> {
        const KIND: Kind = Kind::Commit;
        let (fixed, rest) = split::<CommitBytes<O>>(KIND, datagram)?;
        let entries = count(KIND, fixed.addr_entries.get().into(), MAX_NODES)?;
        if entries == 0 {
            return Err(WireError::Value(KIND, "member count"));
        }
        let filled = count(KIND, fixed.memb_index.get().into(), entries)?;
        let (ids, rest) = list::<U32<O>>(KIND, entries, datagram.len(), rest)?;
        let (infos, _) = list::<EntryBytes<O>>(KIND, entries, datagram.len(), rest)?;
        let members = ids
            .iter()
            .zip(infos)
            .map(|(id, info)| {
                let entry = info.ring.value().map(|ring| CommitEntry {
                    ring,
                    aru: Seq(info.aru.get()),
                    high_delivered: Seq(info.high_delivered.get()),
                    received_all: info.received_flg.get() != 0,
                });
                Ok((node(KIND, id.get())?, entry))
            })
            .collect::<Result<Vec<_>, WireError>>()?;
        if !members.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(WireError::Value(KIND, "member order"));
        }
        let ring = ring(KIND, fixed.ring)?;
        Ok(Self {
            from: node(KIND, fixed.header.nodeid.get())?,
            token_seq: fixed.token_seq.get(),
            ring,
            filled,
            members,
        })
    }

    /// Encodes the token.
    pub fn encode<O: ByteOrder>(&self) -> Bytes {
        let size = size_of::<CommitBytes<O>>() + 28 * self.members.len();
        let mut out = BytesMut::with_capacity(size);
        put(
            &mut out,
            &CommitBytes::<O> {
                header: HeaderBytes::new(Kind::Commit, 0, self.from.get()),
                token_seq: U32::new(self.token_seq),
                ring: RingIdBytes::new(self.ring),
                retrans_flg: U32::ZERO,
                memb_index: I32::new(self.filled as i32),
                addr_entries: I32::new(self.members.len() as i32),
            },
        );
        for (id, _) in &self.members {
            put(&mut out, &U32::<O>::new(id.get()));
        }
        for (_, entry) in &self.members {
            let bytes = entry.map_or_else(EntryBytes::<O>::new_zeroed, |entry| EntryBytes::<O> {
                ring: RingIdBytes::new(entry.ring),
                aru: U32::new(entry.aru.0),
                high_delivered: U32::new(entry.high_delivered.0),
                received_flg: U32::new(entry.received_all.into()),
            });
            put(&mut out, &bytes);
        }
        out.freeze()
    }
}
