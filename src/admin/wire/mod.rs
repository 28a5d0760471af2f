//! The messages of Corosync's CFG service: node to node ("exec"), from clients ("lib") and to them.
//!
//! Source: corosync `exec/cfg.c` (exec messages), `include/corosync/ipc_cfg.h` (lib messages). Exec messages
//! are written little-endian and read in their sender's order; lib messages are in this host's order.
//! Padding is written as zero and never read.
//!
//! | file | what |
//! |---|---|
//! | `exec.rs` | [`Exec`]: what nodes tell each other |
//! | `marked.rs` | what the messages in `talk.rs` and `keytalk.rs` begin with |
//! | `talk.rs` | [`Talk`]: what nodes of annulusd tell each other before a reload |
//! | `keytalk.rs` | [`KeyTalk`]: what nodes of annulusd tell each other about a new key |
//! | `keys.rs` | what a client is told about a new key |
//! | `report.rs` | what a client is told about a reload |
//! | `request.rs` | [`Request`]: what clients ask |
//! | `reply.rs` | [`Reply`] and [`Question`]: what they are answered, and asked |

pub(crate) mod exec;
pub(crate) mod keys;
pub(crate) mod keytalk;
mod marked;
pub(crate) mod reply;
pub(crate) mod report;
pub(crate) mod request;
pub(crate) mod talk;

pub(crate) use exec::Exec;
pub(crate) use keytalk::KeyTalk;
pub(crate) use marked::RoundId;
pub(crate) use reply::{Question, Reply};
pub(crate) use request::Request;
pub(crate) use talk::Talk;

/// Longest reason for a kill, in bytes.
pub(crate) const REASON_LIMIT: usize = 256;

/// Copies a reason into a field, cut to its length. Returns the field and how much of it is used.
fn reason_field(reason: &[u8]) -> ([u8; REASON_LIMIT], u16) {
    let length = reason.len().min(REASON_LIMIT);
    let mut value = [0; REASON_LIMIT];
    value[..length].copy_from_slice(&reason[..length]);
    (value, length as u16)
}
