//! Quorum: whether this node's partition may act ("is quorate"), and the votes that decide it.
//!
//! Corosync's counterpart: `exec/vsf_quorum.c`, `exec/votequorum.c`; `votequorum(5)`.
//!
//! # Which configurations are safe
//!
//! A configuration is safe by itself if two partitions are never quorate at the same time, however the cluster is
//! partitioned and merged and its nodes crash and restart. `stack/tests/quorum/partitions.rs` searches for
//! counterexamples with random votes and rules, and shows one for each rule that has any. Where the last column says
//! fencing, two partitions can be quorate at the same time until one has been fenced. The first cut is the first
//! partition of a cluster whose nodes are all connected: `stack/tests/quorum/first_cut.rs` searches for
//! counterexamples to that, with random votes (none to four for each node) and all combinations of the rules marked
//! so.
//!
//! | rules | safe by themselves |
//! |---|---|
//! | only a node list | yes |
//! | `wait_for_all` | yes |
//! | `expected_votes_tracking` | yes |
//! | `expected_votes` at least the votes of the node list | yes |
//! | these together | yes |
//! | `expected_votes` below the votes of the node list | no; even with fencing, partitions that start apart are both
//! quorate |
//! | `two_node` (which implies `wait_for_all`) | fencing; a node that starts waits for the other |
//! | `two_node` with `wait_for_all: 0` | no; nodes that start apart fence each other |
//! | `auto_tie_breaker` | at the first cut; fencing from the second on |
//! | `last_man_standing` | at the first cut; fencing, and `wait_for_all`, from the second on |
//! | `allow_downscale` | at the first cut; incomplete, in Corosync too: nodes that left cleanly may be quorate apart
//! |
//! | any of the last three together | as each of them |
//! | a quorum device | if its arbiter votes for one partition only |
//! | `master_wins` of a device | if its arbiter votes for one partition only |
//! | no provider | no: every partition is quorate |
//!
//! At its start a node warns about settings that are not safe by themselves; see [`advice`]. Lowering the expected
//! votes at run time (`corosync-quorumtool -e`) is an operator's decision, after which none of this holds.
//!
//! # Where this differs from Corosync
//!
//! The messages between nodes and their effect are the same, so both can vote in one cluster. The differences: the
//! number kept by `expected_votes_tracking` is written when it increases, and never lowers the configured number;
//! expected votes are not lowered (`last_man_standing`) in the middle of a synchronisation; a node may only send its
//! own data.
//!
//! A tie is broken more carefully. Half of the votes, rounded down, is sufficient only if the nodes that have gone
//! since this partition last had a majority have less than a majority of votes. Corosync counts the number of those
//! nodes instead of their votes, and only since the previous ring. So with Corosync nodes with 1, 1 and 3 votes
//! (`auto_tie_breaker`, `wait_for_all`) form two quorate partitions at the first cut, and so do halves that a list of
//! nodes (`auto_tie_breaker_node`) is to distinguish, once one of them has formed a second ring. A node that was
//! never quorate breaks a tie only for the half that contains the first node of such a list. If the number of votes
//! is odd, `auto_tie_breaker` requires `wait_for_all` also without a node list.
//!
//! # A node in no ring
//!
//! A node that leaves its ring to form the next keeps its state, because clients need not see every change. But the
//! other nodes may have formed their ring and be quorate. So after `token + 2 * consensus` in no operating ring (see
//! `stack/outage.rs`) a node is not quorate, whatever it was before: clients of both services are notified, with the
//! id of the last ring and this node as its only member; `runtime.totem.outage` and the log give the reason. The vote
//! itself does not change, because it is about rings: `wait_for_all` does not begin again, `last_man_standing` does
//! not lower the expected votes, a quorum device continues to be polled, and the next ring is judged by its votes as
//! usual, so none of the rules above becomes weaker. Corosync does not notify clients, however long this lasts.
//! Messages that clients multicast in the meantime wait, as in Corosync, and are sent in the next ring. Pacemaker's
//! daemons act on such messages, also on those to themselves, so Pacemaker cannot stop anything without a ring: after
//! the same time again the node forms a ring of its own for a while, in which it is not quorate by its votes.
//!
//! # Files
//!
//! | file | what |
//! |---|---|
//! | `votes.rs` | the arithmetic: the votes present, the votes needed, and ties |
//! | `nodes.rs` | the table of nodes |
//! | `tie_breaker.rs` | which of two equal halves stays quorate |
//! | `settings.rs` | the settings for votes in the configuration |
//! | `advice.rs` | warnings about dangerous settings |
//! | `survival.rs` | what a cluster survives, for the operator |
//! | `votequorum/` | the desk of service 5: votes |
//! | `desk.rs` | the desk of service 3: notifies clients of decisions on quorum |
//! | `client/` | the library for applications |
//! | `wire/` | all messages of both services |

pub mod advice;
pub mod client;
mod desk;
mod nodes;
pub mod settings;
pub mod survival;
#[cfg(test)]
mod tests;
mod tie_breaker;
pub(crate) mod votequorum;
mod votes;
pub(crate) mod wire;

pub use client::{
    Client, Device, DeviceInfo, NodeState, QuorumChange, QuorumInfo, VoteEvent, VoteInfo, blocking,
};

pub use crate::service::client::Error;
pub(crate) use desk::Desk;
#[cfg(test)]
pub(crate) use votes::{Votes, Wrong};
