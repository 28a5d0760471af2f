//! Quorum: whether this node's part of a cluster may act, and who votes on that.
//!
//! Corosync's counterpart: `exec/vsf_quorum.c`, `exec/votequorum.c`; `votequorum(5)`.
//!
//! | file | what |
//! |---|---|
//! | `votes.rs` | the arithmetic: how many votes there are, how many are needed, who decides a tie |
//! | `nodes.rs` | the table of nodes |
//! | `tie_breaker.rs` | which of two equal halves goes on |
//! | `settings.rs` | what the configuration says |
//! | `advice.rs` | what in it is dangerous |
//! | `votequorum/` | the desk of service 5: votes |
//! | `desk.rs` | the desk of service 3: tells clients what was decided |
//! | `client/` | the library that an application uses |
//! | `wire/` | all messages of both services |

pub mod advice;
pub mod client;
mod desk;
mod nodes;
pub mod settings;
#[cfg(test)]
mod tests;
mod tie_breaker;
pub mod votequorum;
mod votes;
pub(crate) mod wire;

pub use client::{
    Client, Device, DeviceInfo, NodeState, QuorumChange, QuorumInfo, VoteEvent, VoteInfo, blocking,
};

pub use crate::service::client::Error;
pub use desk::Desk;
pub use nodes::NODES_MAX;
pub use tie_breaker::TieBreaker;
pub use votes::{Rules, Votes};
