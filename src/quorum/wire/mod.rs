//! Messages of the services quorum (3) and votequorum (5): requests, replies, events and exec messages.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | common definitions |
//! | `quorum/` | requests, replies and events of service 3; it has no exec messages |
//! | `votequorum/` | requests, replies and events of service 5 |
//! | `exec.rs` | exec messages of votequorum |
//!
//! Exec messages are written little-endian and read in their sender's byte order; the others are in this
//! host's byte order. Padding is written as zero and never read.

use zerocopy::{LittleEndian, NativeEndian, U64};

use crate::ids::{NodeId, RingId};
use crate::service::wire::layout::{PaddedU32, head, layout};
use crate::service::wire::{HeaderBytes, RequestHeader};

pub(crate) mod exec;
pub(crate) mod quorum;
pub(crate) mod votequorum;

/// Byte order of messages that stay on this host.
pub(crate) type NE = NativeEndian;
/// Byte order of the exec messages that this node writes.
pub(crate) type LE = LittleEndian;

/// Track flag: send the state now.
pub(crate) const TRACK_CURRENT: u32 = 1;
/// Track flag: send the state now and whenever it changes.
pub(crate) const TRACK_CHANGES: u32 = 2;
/// Track flag: send the state whenever it changes.
pub(crate) const TRACK_CHANGES_ONLY: u32 = 4;

/// When a client that tracks is sent the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Track {
    /// Tell the present state at once.
    pub(crate) now: bool,
    /// Whenever it changes.
    pub(crate) changes: bool,
}

impl Track {
    /// Decodes the flags of a request; unknown ones are ignored.
    pub(crate) const fn from_flags(flags: u32) -> Self {
        Self {
            now: flags & (TRACK_CURRENT | TRACK_CHANGES) != 0,
            changes: flags & (TRACK_CHANGES | TRACK_CHANGES_ONLY) != 0,
        }
    }

    /// The flag that stands for both.
    pub(crate) const fn flags(self) -> u32 {
        match (self.now, self.changes) {
            (false, false) => 0,
            (true, false) => TRACK_CURRENT,
            (true, true) => TRACK_CHANGES,
            (false, true) => TRACK_CHANGES_ONLY,
        }
    }
}

layout! {
    /// A ring id as clients see it: `mar_*_ring_id_t`.
    pub(crate) struct RingBytes: 16 {
        pub(crate) rep: PaddedU32<NE>,
        pub(crate) seq: U64<NE>,
    }

    /// A request with one number: flags, a version of events, votes, or a node id (0 for the node that is asked).
    pub(crate) struct NumberRequestBytes: 24, RequestHeader {
        pub(crate) value: PaddedU32<NE>,
    }
}

impl RingBytes {
    /// Encodes a ring id; `None` is all zeros.
    pub(crate) fn new(ring: Option<RingId>) -> Self {
        Self {
            rep: PaddedU32::new(ring.map_or(0, |ring| ring.rep.get())),
            seq: U64::new(ring.map_or(0, |ring| ring.seq)),
        }
    }

    /// The ring id; `None` if the representative is 0.
    pub(crate) fn ring(&self) -> Option<RingId> {
        Some(RingId { rep: NodeId::new(self.rep.get())?, seq: self.seq.get() })
    }
}

impl NumberRequestBytes {
    pub(crate) fn new(request: u16, value: u32) -> Self {
        let header = HeaderBytes::new(request.into(), size_of::<Self>());
        Self { header, value: PaddedU32::new(value) }
    }

    /// The number in a request; `None`: the request is too short.
    pub(crate) fn number(request: &[u8]) -> Option<u32> {
        Some(head::<Self>(request)?.value.get())
    }
}

/// Size of the field for a quorum device's name, which is NUL-terminated if it is shorter; bytes after the
/// NUL are undefined.
pub(crate) const NAME_LEN: usize = 255;

/// The name up to its NUL.
pub(crate) fn name(bytes: &[u8; NAME_LEN]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(NAME_LEN);
    &bytes[..end]
}

/// A name as a NUL-terminated field; truncated to 254 bytes.
pub(crate) fn name_bytes(name: &[u8]) -> [u8; NAME_LEN] {
    let mut bytes = [0; NAME_LEN];
    let length = name.len().min(NAME_LEN - 1);
    bytes[..length].copy_from_slice(&name[..length]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `quorum_trackstart(3)`: the second flag includes the first.
    #[test]
    fn flags_say_when_the_state_is_sent() {
        let track = |now, changes| Track { now, changes };
        for (flags, expected) in [
            (0, track(false, false)),
            (TRACK_CURRENT, track(true, false)),
            (TRACK_CHANGES, track(true, true)),
            (TRACK_CHANGES_ONLY, track(false, true)),
        ] {
            assert_eq!(Track::from_flags(flags), expected);
            assert_eq!(Track::from_flags(flags | !7), expected, "unknown flags are ignored");
            assert_eq!(expected.flags(), flags);
        }
        assert_eq!(Track::from_flags(TRACK_CURRENT | TRACK_CHANGES_ONLY), track(true, true));
    }
}
