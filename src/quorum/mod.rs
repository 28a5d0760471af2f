//! Quorum: whether this node's part of a cluster may act, and who votes on that.
//!
//! Corosync's counterpart: `exec/vsf_quorum.c`, `exec/votequorum.c`; `votequorum(5)`.
//!
//! # Which configurations are safe
//!
//! Safe by itself means: however the cluster falls apart, heals, dies and restarts, never do two parts act at the
//! same time. `tests/partitions.rs` looks for counterexamples, and shows one for each rule that has any. Where the
//! last column says fencing, two parts can be quorate beside each other until one has been shot; that is so in
//! Corosync as well, and the numbers are the same.
//!
//! | rules | safe by themselves |
//! |---|---|
//! | node list, nothing else | yes |
//! | `wait_for_all` | yes |
//! | `expected_votes_tracking` | yes |
//! | `expected_votes` at least the votes of the node list | yes |
//! | `expected_votes` below that | no; even with fencing, parts that start apart both act |
//! | `two_node` (with the `wait_for_all` that it brings) | fencing; a node that starts waits for the other |
//! | `two_node` with `wait_for_all: 0` | no; nodes that start apart shoot each other |
//! | `auto_tie_breaker` | fencing, from the second cut on |
//! | `last_man_standing` | fencing, and `wait_for_all` |
//! | `allow_downscale` | no; incomplete, in Corosync too |
//! | a quorum device | as far as its arbiter votes for one part only |
//! | `master_wins` of a device | likewise |
//! | no provider | no: every part acts |
//!
//! A node warns at its start about what is not safe by itself; see [`advice`]. Lowering expected votes while it
//! runs (`corosync-quorumtool -e`) is an operator's decision, and none of these holds across it.
//!
//! # Where this differs from Corosync
//!
//! What nodes tell each other and what they make of it is the same, so both can vote in one cluster. But: what
//! `expected_votes_tracking` has kept is written when it rises, and never lowers what is configured; expected votes
//! do not shrink (`last_man_standing`) in the middle of a synchronisation; a node may only speak of itself.
//!
//! # Files
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
