//! What the group desks of a new ring tell each other, as far as one has heard it.
//!
//! Everybody sends a downlist (a relic: counted by peers, heeded by nobody) and the list of its own
//! processes. Who left is known without words: those of the last completed exchange who did not come
//! along into every ring since.
//!
//! Source: corosync `exec/cpg.c`, `cpg_sync_*`. Differences, none visible to a peer: who came along is
//! remembered across exchanges that were cut short (Corosync looks at the last change only, so a node
//! that went and came back in between is never reported as gone), and a process whose leave message
//! passes its join list on the way does not come back as a ghost.

use std::collections::HashSet;

use super::groups::{PROCESSES_PER_NODE, Process};
use super::name::{GroupName, Member};
use crate::ids::{NodeId, RingId};
use crate::service::SyncView;

/// Processes that may leave while an exchange runs and are remembered. Members send nothing but the exchange then,
/// so real ones are few; for those past it, a join list that is under way brings a ghost, until the next ring.
const DEPARTED_LIMIT: usize = 4 * PROCESSES_PER_NODE;

/// Where the exchange stands.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// Members of the newest ring, ascending.
    pub(super) members: Vec<NodeId>,
    pub(super) ring: Option<RingId>,
    /// Ring and members of the last completed exchange: what clients were told last.
    pub(super) settled: Option<(RingId, Vec<NodeId>)>,
    /// Those of the settled members who came along into every ring since.
    pub(super) came_along: Vec<NodeId>,
    /// What other nodes' join lists say, in order of arrival.
    pub(super) received: Vec<Process>,
    /// Who left a group while the exchange ran; at most [`DEPARTED_LIMIT`].
    pub(super) departed: HashSet<Process>,
    pub(super) step: Step,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Step {
    DownList,
    JoinList,
    /// Said everything; waiting for the others.
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

    /// A downlist came: the sender begins to speak, so what is left of an exchange before is void.
    pub(super) fn down_list(&mut self, from: NodeId) {
        self.received.retain(|process| process.member.node != from);
    }

    /// A join list came. Returns how many entries were left out because there are too many.
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

    /// A process left: what its node's join list says of it, before or after, no longer holds.
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

    /// Settled members that are gone, or were in between.
    pub(super) fn left(&self) -> Vec<NodeId> {
        let settled = self.settled.iter().flat_map(|(_, members)| members);
        settled.copied().filter(|node| !self.came_along.contains(node)).collect()
    }
}
