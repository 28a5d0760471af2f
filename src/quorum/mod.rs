//! Quorum: whether this node's part of a cluster may act, and who votes on that.
//!
//! Corosync's counterpart: `exec/vsf_quorum.c`, `exec/votequorum.c`; `votequorum(5)`.
//!
//! # Which configurations are safe
//!
//! Safe by itself means: however the cluster falls apart, heals, dies and restarts, never do two parts act at the
//! same time. `tests/partitions.rs` looks for counterexamples over random votes and rules, and shows one for each rule
//! that has any. Where the last column says fencing, two parts can be quorate beside each other until one has been
//! shot. The first cut is the one that a cluster meets whole: `tests/first_cut.rs` looks for counterexamples to that,
//! over random votes (none to four a node) and all combinations of the rules marked so.
//!
//! | rules | safe by themselves |
//! |---|---|
//! | node list, nothing else | yes |
//! | `wait_for_all` | yes |
//! | `expected_votes_tracking` | yes |
//! | `expected_votes` at least the votes of the node list | yes |
//! | these together | yes |
//! | `expected_votes` below the votes of the node list | no; even with fencing, parts that start apart both act |
//! | `two_node` (with the `wait_for_all` that it brings) | fencing; a node that starts waits for the other |
//! | `two_node` with `wait_for_all: 0` | no; nodes that start apart shoot each other |
//! | `auto_tie_breaker` | at the first cut; fencing from the second on |
//! | `last_man_standing` | at the first cut; fencing, and `wait_for_all`, from the second on |
//! | `allow_downscale` | at the first cut; incomplete, in Corosync too: who left in order may be quorate apart |
//! | any of the last three together | as each of them |
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
//! A tie is broken more carefully. Half of the votes, rounded down, are enough only if those who have gone since this
//! part last had a majority have less than a majority; Corosync counts their number in place of their votes, and only
//! since the ring before. So there nodes with 1, 1 and 3 votes (`auto_tie_breaker`, `wait_for_all`) come apart into two
//! quorate parts at the first cut, as do halves that a list of nodes (`auto_tie_breaker_node`) is to tell apart, once
//! one of them has formed a second ring. A node that was never quorate breaks a tie only for the half that has the
//! first node of such a list. Where the number of votes is odd, `auto_tie_breaker` needs `wait_for_all` also without a
//! node list.
//!
//! # A node in no ring
//!
//! A node that leaves its ring to form the next goes on as in the last one, for clients need not know of every change.
//! But the others may have formed theirs, and be quorate. So after `token + 2 * consensus` in no operating ring (see
//! `stack/outage.rs`) a node is not quorate, whatever it was before: clients of both services are told, with the id of
//! the last ring and this node as its only member; `runtime.totem.outage` and the log say why. The vote itself is not
//! touched: it is about rings. `wait_for_all` does not begin again, `last_man_standing` counts nobody out, a quorum
//! device goes on being polled, and the next ring is judged by its votes as ever, so none of the rules above gets
//! weaker. Corosync tells clients nothing, for as long as it lasts. Messages that clients multicast meanwhile wait, as
//! in Corosync, and are sent in the next ring. Pacemaker's daemons decide by such messages, also to themselves, so it
//! can stop nothing without a ring: after the same time again the node goes on in a ring of its own for a while, and is
//! not quorate by its votes.
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
