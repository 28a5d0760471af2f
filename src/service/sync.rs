//! The barrier that all nodes pass, one service at a time, after each new ring.
//!
//! First everybody lists the services that take part. Then, for each service of the union in
//! ascending order: say all there is to say, multicast a barrier, wait for everybody's barrier, act.
//! A barrier does not name its service, so everybody must count the same ones: a service that this
//! node does not have is answered with a barrier as well.
//!
//! Source: corosync `exec/sync.c`. One deliberate difference: Corosync forgets the running exchange at
//! the transitional view, this barrier at the regular one. What arrives between the two still belongs
//! to the old ring, and nodes that move on together receive the same of it (EVS, failure atomicity).
//! So either all of them act on the last barrier or none does, and their services stay in step.

use crate::ids::{NodeId, RingId, ServiceId};

/// Where this node stands in the synchronisation. Pure: it knows no desk and sends nothing.
#[derive(Debug)]
pub(crate) struct Barrier {
    /// The ring it is about; messages that name another are ignored.
    ring: Option<RingId>,
    /// Who must be heard, ascending.
    members: Vec<NodeId>,
    /// Who has been, in the current step.
    heard: Vec<bool>,
    /// Union of everybody's services, ascending.
    services: Vec<ServiceId>,
    phase: Phase,
}

/// A step of the synchronisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// None runs.
    Idle,
    /// Everybody's list is awaited. `sent`: whether ours is on its way.
    Lists {
        /// Whether our own list has been multicast.
        sent: bool,
    },
    /// It is this service's turn to speak, after the next token. `said`: all but the barrier.
    Speak {
        /// Place in the union.
        index: usize,
        /// Whether the service has nothing left to say.
        said: bool,
    },
    /// Our barrier is on its way; the others' are awaited.
    Listen {
        /// Place in the union.
        index: usize,
    },
}

/// What a message of the synchronisation led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It names another ring, its sender is no member, or it came out of turn.
    Foreign,
    /// Noted; others are still missing.
    Noted,
    /// All lists are here and name no service at all: done.
    Nothing,
    /// All lists are here: the first service may speak.
    Begin,
    /// Everybody passed this service's barrier: it is to act; then see [`Barrier::phase`].
    Passed(ServiceId),
}

impl Barrier {
    pub(crate) const fn new() -> Self {
        Self { ring: None, members: Vec::new(), heard: Vec::new(), services: Vec::new(), phase: Phase::Idle }
    }

    pub(crate) const fn phase(&self) -> Phase {
        self.phase
    }

    /// The ring of the last exchange, also after its end.
    pub(crate) const fn ring(&self) -> Option<RingId> {
        self.ring
    }

    /// A new ring is there. `local` are the services of this node that take part, ascending.
    pub(crate) fn start(&mut self, ring: RingId, members: &[NodeId], local: &[ServiceId]) {
        self.ring = Some(ring);
        self.members = members.to_vec();
        self.heard = vec![false; members.len()];
        self.services = local.to_vec();
        self.phase = Phase::Lists { sent: false };
    }

    /// Our own list is on its way.
    pub(crate) fn list_sent(&mut self) {
        if let Phase::Lists { sent } = &mut self.phase {
            *sent = true;
        }
    }

    /// The service whose turn it is, until everybody passed its barrier.
    pub(crate) fn current(&self) -> Option<ServiceId> {
        match self.phase {
            Phase::Idle | Phase::Lists { .. } => None,
            Phase::Speak { index, .. } | Phase::Listen { index } => self.services.get(index).copied(),
        }
    }

    /// The current service has nothing left to say.
    pub(crate) fn said(&mut self) {
        if let Phase::Speak { said, .. } = &mut self.phase {
            *said = true;
        }
    }

    /// Our own barrier is on its way.
    pub(crate) fn barrier_sent(&mut self) {
        if let Phase::Speak { index, .. } = self.phase {
            self.phase = Phase::Listen { index };
        }
    }

    /// The service list of `from` arrived.
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

    /// A barrier of `from` arrived. It may be there before ours: others can be faster by one.
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
        // `services` is fixed from the first turn on, and not empty: `index` stays below its length.
        let passed = self.services[index];
        if index + 1 == self.services.len() {
            self.phase = Phase::Idle;
        } else {
            self.enter(index + 1);
        }
        Outcome::Passed(passed)
    }

    /// Who is waited for in the current step, ascending; nobody between synchronisations.
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

    fn node(id: u32) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn ring(seq: u64) -> RingId {
        RingId { rep: node(1), seq }
    }

    /// services.md 1.1: Debian's nodes announce 0, 2, 3 and 5; this node has only 2, and must send one
    /// barrier for each of the four.
    #[test]
    fn services_of_others_are_passed_too() {
        let mut barrier = Barrier::new();
        barrier.start(ring(8), &[node(1), node(2)], &[ServiceId::CPG]);
        assert_eq!(barrier.list(node(1), ring(8), &[ServiceId::CPG]), Outcome::Noted);
        let theirs = [0, 2, 3, 5].map(ServiceId);
        assert_eq!(barrier.list(node(2), ring(8), &theirs), Outcome::Begin);
        for (index, service) in theirs.into_iter().enumerate() {
            assert_eq!(barrier.phase(), Phase::Speak { index, said: false });
            assert_eq!(barrier.current(), Some(service));
            // The other may be faster by one barrier.
            assert_eq!(barrier.barrier(node(2), ring(8)), Outcome::Noted);
            barrier.said();
            barrier.barrier_sent();
            assert_eq!(barrier.barrier(node(1), ring(8)), Outcome::Passed(service));
        }
        assert_eq!(barrier.phase(), Phase::Idle);
        assert_eq!(barrier.barrier(node(2), ring(8)), Outcome::Foreign);
    }

    #[test]
    fn other_rings_and_strangers_do_not_count() {
        let mut barrier = Barrier::new();
        assert_eq!(barrier.list(node(1), ring(8), &[]), Outcome::Foreign);
        barrier.start(ring(8), &[node(1)], &[]);
        assert_eq!(barrier.list(node(1), ring(4), &[]), Outcome::Foreign);
        assert_eq!(barrier.list(node(3), ring(8), &[]), Outcome::Foreign);
        assert_eq!(barrier.barrier(node(1), ring(8)), Outcome::Foreign);
        assert_eq!(barrier.list(node(1), ring(8), &[]), Outcome::Nothing);
        assert_eq!(barrier.phase(), Phase::Idle);
    }
}
