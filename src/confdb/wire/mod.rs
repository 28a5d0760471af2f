//! The database's messages: from clients and to them ("lib"), and node to node ("exec").
//!
//! Source: corosync `include/corosync/ipc_cmap.h` (lib messages), `exec/cmap.c` (exec message),
//! `include/corosync/cmap.h` (type numbers). Lib messages are in this host's byte order; exec messages are
//! written little-endian and read in their sender's order. Padding is written as zero and never read.
//!
//! | file | what |
//! |---|---|
//! | `layout.rs` | the layouts of all lib messages, and of names |
//! | `value.rs` | values as bytes |
//! | `track.rs` | the numbers of events and of kinds of trackers |
//! | `request.rs` | [`Request`]: requests of clients |
//! | `reply.rs` | [`Reply`]: replies to clients |
//! | `notification.rs` | [`Notification`]: the event that tells a client of a change |
//! | `lib.rs` | what clients write and read |
//! | `exec.rs` | the exec message |

pub(crate) mod exec;
mod layout;
pub(crate) mod lib;
mod notification;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod track;
mod value;

pub(crate) use exec::{CONFIG_VERSION, McastReason, decode_version, encode_version};
#[cfg(test)]
pub(crate) use layout::GetReplyBytes;
pub(crate) use lib::Notify;
pub(crate) use notification::Notification;
pub(crate) use reply::{Listed, Reply, refusal};
pub(crate) use request::{Function, MAP_STATS, RawValue, Request};
#[cfg(test)]
pub(crate) use value::{type_code, value_bytes};
pub(crate) use value::{value_from, value_len};
