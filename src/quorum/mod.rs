//! Quorum: whether this node's part of a cluster may act, and who votes on that.
//!
//! Corosync's counterpart: `exec/vsf_quorum.c`, `exec/votequorum.c`; `votequorum(5)`.
//!
//! | file | what |
//! |---|---|
//! | `client/` | the library that an application uses |
//! | `wire/` | all messages of both services |

pub mod client;
#[allow(dead_code, reason = "desks and libraries follow")]
pub(crate) mod wire;

pub use client::{
    Client, Device, DeviceInfo, NodeState, QuorumChange, QuorumInfo, VoteEvent, VoteInfo, blocking,
};

pub use crate::service::client::Error;
