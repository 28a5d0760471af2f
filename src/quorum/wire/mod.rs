//! Messages of the quorum service (3) and of votequorum (5): from clients, to them, and between nodes.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | what both have in common |
//! | `quorum.rs` | requests, replies and events of service 3; it has no exec messages |
//! | `votequorum.rs` | requests, replies and events of service 5 |
//! | `exec.rs` | what the votequorum desks of the nodes tell each other |
//!
//! Exec messages are written little-endian and read in their sender's order; the others are in this host's
//! order. Padding is written as zero and never read.

use zerocopy::byteorder::{LittleEndian, NativeEndian, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ids::{NodeId, RingId};
use crate::service::wire::HeaderBytes;

pub(crate) mod exec;
pub(crate) mod quorum;
pub(crate) mod votequorum;

/// Order of everything that stays on this host.
pub(crate) type NE = NativeEndian;
/// Order of the exec messages this node writes.
pub(crate) type LE = LittleEndian;

/// Track flag: send the state now.
pub(crate) const TRACK_CURRENT: u32 = 1;
/// Track flag: send the state now and whenever it changes.
pub(crate) const TRACK_CHANGES: u32 = 2;
/// Track flag: send the state whenever it changes.
pub(crate) const TRACK_CHANGES_ONLY: u32 = 4;

/// A ring id as clients see it: `mar_*_ring_id_t`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RingBytes {
    pub(crate) rep: U32<NE>,
    pub(crate) pad_rep: [u8; 4],
    pub(crate) seq: U64<NE>,
}
const _: () = assert!(size_of::<RingBytes>() == 16);

impl RingBytes {
    /// The ring; none is all zeros.
    pub(crate) fn new(ring: Option<RingId>) -> Self {
        Self {
            rep: U32::new(ring.map_or(0, |ring| ring.rep.get())),
            pad_rep: [0; 4],
            seq: U64::new(ring.map_or(0, |ring| ring.seq)),
        }
    }

    /// The ring, unless it has no representative.
    pub(crate) fn ring(&self) -> Option<RingId> {
        Some(RingId { rep: NodeId::new(self.rep.get())?, seq: self.seq.get() })
    }
}

/// A request of nothing but its header.
pub(crate) type PlainRequestBytes = HeaderBytes<NE>;

/// A request that carries one number: flags, a model, votes, or a node id with 0 for the node that is asked.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct NumberRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) value: U32<NE>,
    pub(crate) pad: [u8; 4],
}
const _: () = assert!(size_of::<NumberRequestBytes>() == 24);

impl NumberRequestBytes {
    /// A request with this number.
    pub(crate) fn new(request: u16, value: u32) -> Self {
        let header = HeaderBytes::new(request.into(), size_of::<Self>());
        Self { header, value: U32::new(value), pad: [0; 4] }
    }
}

/// A name of a quorum device: NUL-terminated if shorter; what follows the NUL is garbage.
pub(crate) const NAME_LEN: usize = 255;

/// The name up to its NUL.
pub(crate) fn name(bytes: &[u8; NAME_LEN]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(NAME_LEN);
    &bytes[..end]
}

/// A name's bytes, NUL-terminated: what is longer than 254 bytes is cut off.
pub(crate) fn name_bytes(name: &[u8]) -> [u8; NAME_LEN] {
    let mut bytes = [0; NAME_LEN];
    let length = name.len().min(NAME_LEN - 1);
    bytes[..length].copy_from_slice(&name[..length]);
    bytes
}
