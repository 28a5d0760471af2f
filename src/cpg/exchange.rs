//! The state of the exchange of process lists between the CPG desks of a new ring.
//!
//! Every node sends a downlist (a relic that peers expect and nobody evaluates) and the list of its own
//! processes. The processes that left need not be sent: they are those of members of the last completed
//! exchange that have not been in every ring since.
//!
//! Source: corosync `exec/cpg.c`, `cpg_sync_*`. Differences, none visible to a peer: which members were in
//! every ring is remembered across interrupted exchanges (Corosync looks at the last change only, so a node
//! that left and came back in between is never reported as gone), and a process whose leave message crosses
//! its join list does not come back as a ghost.

use std::collections::HashSet;

use super::groups::{PROCESSES_PER_NODE, Process};
use super::name::{GroupName, Member};
use crate::ids::{NodeId, RingId};
use crate::service::SyncView;

/// Largest number of processes that are remembered as having left during an exchange. Members send only the exchange
/// then, so real ones are few. A process beyond the limit whose join list is still under way comes back as a ghost
/// until the next ring.
const DEPARTED_LIMIT: usize = 4 * PROCESSES_PER_NODE;

/// The state of the exchange.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// Members of the newest ring, ascending.
    pub(super) members: Vec<NodeId>,
    pub(super) ring: Option<RingId>,
    /// Ring and members of the last completed exchange, which is what clients were told last.
    pub(super) settled: Option<(RingId, Vec<NodeId>)>,
    /// The members of the last completed exchange that have been in every ring since.
    pub(super) came_along: Vec<NodeId>,
    /// The processes in the join lists of other nodes, in order of arrival.
    pub(super) received: Vec<Process>,
    /// The processes that left a group during the exchange; at most [`DEPARTED_LIMIT`].
    pub(super) departed: HashSet<Process>,
    pub(super) step: Step,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Step {
    DownList,
    JoinList,
    /// Everything has been sent; the other nodes' lists are awaited.
    Wait,
    /// No exchange runs.
    #[default]
    Settled,
}

impl Exchange {
    /// Ring and members of the last completed exchange.
    pub(super) fn settled(&self) -> Option<(RingId, &[NodeId])> {
        self.settled.as_ref().map(|(ring, members)| (*ring, &members[..]))
    }

    /// Whether a node is in the newest ring.
    pub(super) fn has(&self, node: NodeId) -> bool {
        self.members.binary_search(&node).is_ok()
    }

    /// Handles a downlist: it is the sender's first message of an exchange, so earlier lists of it are
    /// discarded.
    pub(super) fn down_list(&mut self, from: NodeId) {
        self.received.retain(|process| process.member.node != from);
    }

    /// Handles a join list. Returns the number of entries that were ignored because there are too many.
    pub(super) fn join_list(&mut self, from: NodeId, list: &[(u32, &[u8])]) -> usize {
        let listed = self.received.iter().filter(|process| process.member.node == from).count();
        let room = PROCESSES_PER_NODE.saturating_sub(listed);
        for (pid, group) in list.iter().take(room) {
            let Ok(group) = GroupName::new(group) else { continue };
            let process = Process { member: Member { node: from, pid: *pid }, group };
            if !self.departed.contains(&process) {
                self.received.push(process);
            }
        }
        list.len().saturating_sub(room)
    }

    /// Records that a process has left: its entry in its node's join list, received before or after, is void.
    pub(super) fn depart(&mut self, process: &Process) {
        if self.step != Step::Settled {
            self.received.retain(|other| other != process);
            if self.departed.len() < DEPARTED_LIMIT {
                self.departed.insert(process.clone());
            }
        }
    }

    pub(super) fn begin(&mut self, view: &SyncView) {
        self.members.clone_from(&view.members);
        self.ring = Some(view.ring);
        self.came_along.retain(|node| view.transitional.contains(node));
        self.received.clear();
        self.departed.clear();
        self.step = Step::DownList;
    }

    /// The members of the last completed exchange that are gone or were gone in between.
    pub(super) fn left(&self) -> Vec<NodeId> {
        let settled = self.settled.iter().flat_map(|(_, members)| members);
        settled.copied().filter(|node| !self.came_along.contains(node)).collect()
    }
}
