//! The messages of Corosync's CFG service: node to node ("exec"), from clients and to them ("lib").
//!
//! Source: corosync `exec/cfg.c` (exec messages), `include/corosync/ipc_cfg.h` (lib messages). Exec messages
//! are written little-endian and read in their sender's order; lib messages are in this host's order.
//! Padding is written as zero and never read.
//!
//! | file | what |
//! |---|---|
//! | `exec.rs` | [`Exec`]: messages between nodes |
//! | `marked.rs` | the common beginning of the messages in `talk.rs`, `keytalk.rs`, `need.rs` and `complaint.rs` |
//! | `talk.rs` | [`Talk`]: messages between nodes of annulusd before a reload |
//! | `keytalk.rs` | [`KeyTalk`]: messages between nodes of annulusd about a new key |
//! | `complaint.rs` | [`Complaint`]: the vote on leaving out a member |
//! | `need.rs` | [`Need`]: the token time-out that a node of annulusd needs |
//! | `ours.rs` | [`Ours`]: any of these messages between nodes of annulusd |
//! | `keys.rs` | the report about keys for clients |
//! | `report.rs` | the report about a reload for clients |
//! | `request.rs` | [`Request`]: requests of clients |
//! | `reply.rs` | [`Reply`] and [`Question`]: replies and events |

pub(crate) mod complaint;
pub(crate) mod exec;
pub(crate) mod keys;
pub(crate) mod keytalk;
mod marked;
pub(crate) mod need;
mod ours;
pub(crate) mod reply;
pub(crate) mod report;
pub(crate) mod request;
pub(crate) mod talk;

pub(crate) use complaint::Complaint;
pub(crate) use exec::Exec;
pub(crate) use keytalk::KeyTalk;
pub(crate) use marked::RoundId;
pub(crate) use need::Need;
pub(crate) use ours::Ours;
pub(crate) use reply::{Question, Reply};
pub(crate) use request::Request;
pub(crate) use talk::Talk;

/// Longest reason for a kill, in bytes.
pub(crate) const REASON_LIMIT: usize = 256;

/// Copies a reason into a field, cut to its size. Returns the field and the number of bytes used.
fn reason_field(reason: &[u8]) -> ([u8; REASON_LIMIT], u16) {
    let length = reason.len().min(REASON_LIMIT);
    let mut value = [0; REASON_LIMIT];
    value[..length].copy_from_slice(&reason[..length]);
    (value, length as u16)
}
