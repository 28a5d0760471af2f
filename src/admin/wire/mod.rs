//! The messages of Corosync's CFG service: node to node ("exec"), from clients ("lib") and to them.
//!
//! Source: corosync `exec/cfg.c` (exec messages), `include/corosync/ipc_cfg.h` (lib messages). Exec messages
//! are written little-endian and read in their sender's order; lib messages are in this host's order.
//! Padding is written as zero and never read.
//!
//! | file | what |
//! |---|---|
//! | `exec.rs` | [`Exec`]: what nodes tell each other |
//! | `request.rs` | [`Request`]: what clients ask |
//! | `reply.rs` | [`Reply`] and [`Question`]: what they are answered, and asked |

pub(crate) mod exec;
pub(crate) mod reply;
pub(crate) mod request;

pub(crate) use exec::Exec;
pub(crate) use reply::{Question, Reply};
pub(crate) use request::Request;

use zerocopy::byteorder::{ByteOrder, U16};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Longest reason for a kill, in bytes.
pub(crate) const REASON_LIMIT: usize = 256;

/// `mar_name_t`: 264 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ReasonBytes<O: ByteOrder> {
    length: U16<O>,
    pad: [u8; 6],
    value: [u8; REASON_LIMIT],
}
const _: () = assert!(size_of::<ReasonBytes<zerocopy::LE>>() == 264);

impl<O: ByteOrder> ReasonBytes<O> {
    /// A reason; what is longer than [`REASON_LIMIT`] is cut.
    fn new(reason: &[u8]) -> Self {
        let length = reason.len().min(REASON_LIMIT);
        let mut value = [0; REASON_LIMIT];
        value[..length].copy_from_slice(&reason[..length]);
        Self { length: U16::new(length as u16), pad: [0; 6], value }
    }

    /// The reason, unless its length is impossible.
    fn reason(&self) -> Option<&[u8]> {
        self.value.get(..usize::from(self.length.get()))
    }
}
