//! The barrier that all nodes pass after each new ring, one service after the other.
//!
//! First every node lists the services that take part. Then, for each service of the union in ascending
//! order, each node multicasts everything that the service has to exchange, multicasts a barrier, waits for
//! the barriers of all nodes, and applies what it received. A barrier does not name its service, so all nodes
//! must count the same services: a node passes the barrier also for services that it does not have.
//!
//! Source: corosync `exec/sync.c`. One deliberate difference: Corosync discards the running exchange at the
//! transitional view, this barrier at the regular one. Messages between the two still belong to the old ring,
//! and nodes that move on together receive the same ones (EVS, failure atomicity). So either all of them act
//! on the last barrier or none does, and their services stay consistent.

use crate::ids::{NodeId, RingId, ServiceId};

/// The state of this node in the synchronisation. Pure: it calls no desk and sends nothing.
#[derive(Debug, Default)]
pub(crate) struct Barrier {
    /// The ring of the synchronisation; messages that name another one are ignored.
    ring: Option<RingId>,
    /// The nodes to be heard, ascending.
    members: Vec<NodeId>,
    /// For each member, whether it has been heard in the current step.
    heard: Vec<bool>,
    /// Union of the services of all nodes, ascending.
    services: Vec<ServiceId>,
    phase: Phase,
}

/// A step of the synchronisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No synchronisation runs.
    #[default]
    Idle,
    /// The lists of all nodes are awaited.
    Lists {
        /// Whether our own list has been multicast.
        sent: bool,
    },
    /// The current service sends, after the next token.
    Speak {
        /// Index of the service in the union.
        index: usize,
        /// Whether the service has sent everything but the barrier.
        said: bool,
    },
    /// This node's barrier has been sent; those of the others are awaited.
    Listen {
        /// Index of the service in the union.
        index: usize,
    },
}

/// The effect of a message of the synchronisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Ignored: it names another ring, its sender is not a member, or it is not expected in this step.
    Foreign,
    /// Recorded; messages of other members are still missing.
    Noted,
    /// All lists have arrived and name no service: the synchronisation is complete.
    Nothing,
    /// All lists have arrived: the first service may send.
    Begin,
    /// All members have passed this service's barrier: it is to act; then see [`Barrier::phase`].
    Passed(ServiceId),
}

impl Barrier {
    pub(crate) const fn phase(&self) -> Phase {
        self.phase
    }

    /// The ring of the last synchronisation, also after its end.
    pub(crate) const fn ring(&self) -> Option<RingId> {
        self.ring
    }

    /// Begins a synchronisation for a new ring. `local` are the services of this node that take part,
    /// ascending.
    pub(crate) fn start(&mut self, ring: RingId, members: &[NodeId], local: &[ServiceId]) {
        self.ring = Some(ring);
        self.members = members.to_vec();
        self.heard = vec![false; members.len()];
        self.services = local.to_vec();
        self.phase = Phase::Lists { sent: false };
    }

    /// Records that this node's list has been sent.
    pub(crate) fn list_sent(&mut self) {
        if let Phase::Lists { sent } = &mut self.phase {
            *sent = true;
        }
    }

    /// The current service, until all members have passed its barrier.
    pub(crate) fn current(&self) -> Option<ServiceId> {
        match self.phase {
            Phase::Idle | Phase::Lists { .. } => None,
            Phase::Speak { index, .. } | Phase::Listen { index } => self.services.get(index).copied(),
        }
    }

    /// Records that the current service has sent everything but its barrier.
    pub(crate) fn said(&mut self) {
        if let Phase::Speak { said, .. } = &mut self.phase {
            *said = true;
        }
    }

    /// Records that this node's barrier has been sent.
    pub(crate) fn barrier_sent(&mut self) {
        if let Phase::Speak { index, .. } = self.phase {
            self.phase = Phase::Listen { index };
        }
    }

    /// Handles the service list of `from`.
    pub(crate) fn list(&mut self, from: NodeId, ring: RingId, services: &[ServiceId]) -> Outcome {
        if !matches!(self.phase, Phase::Lists { .. }) || !self.note(from, ring) {
            return Outcome::Foreign;
        }
        self.services.extend_from_slice(services);
        self.services.sort_unstable();
        self.services.dedup();
        if !self.all_heard() {
            Outcome::Noted
        } else if self.services.is_empty() {
            self.phase = Phase::Idle;
            Outcome::Nothing
        } else {
            self.enter(0);
            Outcome::Begin
        }
    }

    /// Handles a barrier of `from`. It may arrive before this node's own: another node can be ahead by one
    /// barrier.
    pub(crate) fn barrier(&mut self, from: NodeId, ring: RingId) -> Outcome {
        let (Phase::Speak { index, .. } | Phase::Listen { index }) = self.phase else {
            return Outcome::Foreign;
        };
        if !self.note(from, ring) {
            return Outcome::Foreign;
        }
        if !self.all_heard() {
            return Outcome::Noted;
        }
        // `services` is fixed after the first step and not empty: `index` stays below its length.
        let passed = self.services[index];
        if index + 1 == self.services.len() {
            self.phase = Phase::Idle;
        } else {
            self.enter(index + 1);
        }
        Outcome::Passed(passed)
    }

    /// The members that are awaited in the current step, ascending; none between synchronisations.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = NodeId> {
        let waits = self.phase != Phase::Idle;
        let both = self.members.iter().zip(&self.heard).filter(move |_| waits);
        both.filter(|(_, heard)| !**heard).map(|(node, _)| *node)
    }

    /// The members of the last ring, ascending.
    pub(crate) fn members(&self) -> &[NodeId] {
        &self.members
    }

    fn enter(&mut self, index: usize) {
        self.heard.fill(false);
        self.phase = Phase::Speak { index, said: false };
    }

    fn note(&mut self, from: NodeId, ring: RingId) -> bool {
        if self.ring != Some(ring) {
            return false;
        }
        match self.members.binary_search(&from) {
            Ok(at) => {
                self.heard[at] = true;
                true
            }
            Err(_) => false,
        }
    }

    fn all_heard(&self) -> bool {
        self.heard.iter().all(|heard| *heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::node;

    fn ring(seq: u64) -> RingId {
        RingId { rep: node(1), seq }
    }

    /// docs/protocol/services.md, "Course of the synchronisation": Debian's nodes announce 0, 2, 3 and 5;
    /// this node has only 2, and must send one barrier for each of the four.
    #[test]
    fn barriers_of_services_that_only_others_have_are_passed_too() {
        let mut barrier = Barrier::default();
        barrier.start(ring(8), &[node(1), node(2)], &[ServiceId::CPG]);
        assert_eq!(barrier.list(node(1), ring(8), &[ServiceId::CPG]), Outcome::Noted);
        let theirs = [0, 2, 3, 5].map(ServiceId);
        assert_eq!(barrier.list(node(2), ring(8), &theirs), Outcome::Begin);
        for (index, service) in theirs.into_iter().enumerate() {
            assert_eq!(barrier.phase(), Phase::Speak { index, said: false });
            assert_eq!(barrier.current(), Some(service));
            // The other node may be ahead by one barrier.
            assert_eq!(barrier.barrier(node(2), ring(8)), Outcome::Noted);
            barrier.said();
            barrier.barrier_sent();
            assert_eq!(barrier.barrier(node(1), ring(8)), Outcome::Passed(service));
        }
        assert_eq!(barrier.phase(), Phase::Idle);
        assert_eq!(barrier.barrier(node(2), ring(8)), Outcome::Foreign);
    }

    #[test]
    fn messages_of_other_rings_and_of_non_members_do_not_count() {
        let mut barrier = Barrier::default();
        assert_eq!(barrier.list(node(1), ring(8), &[]), Outcome::Foreign);
        barrier.start(ring(8), &[node(1)], &[]);
        assert_eq!(barrier.list(node(1), ring(4), &[]), Outcome::Foreign);
        assert_eq!(barrier.list(node(3), ring(8), &[]), Outcome::Foreign);
        assert_eq!(barrier.barrier(node(1), ring(8)), Outcome::Foreign);
        assert_eq!(barrier.list(node(1), ring(8), &[]), Outcome::Nothing);
        assert_eq!(barrier.phase(), Phase::Idle);
    }
}
