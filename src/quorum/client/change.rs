//! The events of quorum and votequorum for applications.

use std::collections::BTreeSet;

use super::info::{NodeState, QuorumInfo, VoteInfo};
use crate::ids::{NodeId, RingId};
use crate::quorum::wire::quorum::{V1NodelistBytes, V1QuorumBytes, response};
use crate::quorum::wire::votequorum::{
    ExpectedVotesBytes, NodeStateBytes, NodelistBytes, QuorumBytes, response as vote_response,
};
use crate::service::channel::End;
use crate::service::client::Error;
use crate::service::wire::read::{Malformed, kind, list, nodes, split};

/// A change of quorum, of the ring, or of both.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuorumChange {
    /// Whether this node's partition is quorate from now on.
    pub quorate: bool,
    /// The new ring.
    pub ring: RingId,
    /// The members of the ring, ascending.
    pub members: Vec<NodeId>,
    /// The members that were not members at the last change; in the first change, all members. A node that left and
    /// came back in between is in both `joined` and `left`.
    pub joined: Vec<NodeId>,
    /// The members of the last change that are no longer members, or that were absent in between.
    pub left: Vec<NodeId>,
}

/// An event of votequorum.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VoteEvent {
    /// The ring has changed; the decision on quorum follows. A quorum device must now vote for this ring.
    Ring {
        /// The new ring.
        ring: RingId,
        /// The members of the ring, ascending.
        members: Vec<NodeId>,
    },
    /// A decision on quorum.
    Quorum {
        /// Whether this node's partition is quorate from now on.
        quorate: bool,
        /// All nodes that were ever members, ascending, with their states.
        nodes: Vec<(NodeId, NodeState)>,
        /// Whether a quorum device is registered at this node.
        device: bool,
    },
    /// The number of expected votes has changed to this.
    ExpectedVotes(u32),
}

/// An event of the quorum service.
enum Notice {
    Nodelist { ring: Option<RingId>, members: Vec<NodeId>, left: Vec<NodeId> },
    Quorum { quorate: bool, ring: Option<RingId>, members: Vec<NodeId> },
}

impl Notice {
    fn read(event: &[u8]) -> Result<Self, Malformed> {
        match kind(event)? {
            response::V1_NODELIST => {
                let what = "event (members of the ring)";
                let (head, lists) = split::<V1NodelistBytes>(event, what)?;
                let (members, lists) = nodes(lists, head.members.get(), what)?;
                let (_joined, lists) = nodes(lists, head.joined.get(), what)?;
                let (left, _) = nodes(lists, head.left.get(), what)?;
                Ok(Self::Nodelist { ring: head.ring.ring(), members: sorted(members), left })
            }
            response::V1_QUORUM => {
                let what = "event (quorum)";
                let (head, view) = split::<V1QuorumBytes>(event, what)?;
                let (members, _) = nodes(view, head.count.get(), what)?;
                let quorate = head.quorate.get() != 0;
                Ok(Self::Quorum { quorate, ring: head.ring.ring(), members: sorted(members) })
            }
            _ => Err(Malformed("event (unknown kind)")),
        }
    }
}

fn sorted(mut nodes: Vec<NodeId>) -> Vec<NodeId> {
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// The present state, which is read from two events.
#[derive(Default)]
pub(super) struct Snapshot {
    nodelist: Option<(Option<RingId>, Vec<NodeId>)>,
    quorum: Option<(bool, Option<RingId>, Vec<NodeId>)>,
}

impl Snapshot {
    /// Reads one of the two events.
    pub(super) fn read(event: &[u8]) -> Result<Option<Self>, Malformed> {
        Ok(Some(match Notice::read(event)? {
            Notice::Nodelist { ring, members, .. } => Self { nodelist: Some((ring, members)), quorum: None },
            Notice::Quorum { quorate, ring, members } => {
                Self { nodelist: None, quorum: Some((quorate, ring, members)) }
            }
        }))
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self { nodelist: other.nodelist.or(self.nodelist), quorum: other.quorum.or(self.quorum) }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.nodelist.is_some() && self.quorum.is_some()
    }

    /// With a provider, the ring is that of the last decision; without a provider there are no decisions, and
    /// it is the current ring.
    pub(super) fn info(self, provider: bool, votes: Option<VoteInfo>) -> Result<QuorumInfo, Error> {
        let (Some((ring, members)), Some((quorate, decided, view))) = (self.nodelist, self.quorum) else {
            return Err(End::Lost.into());
        };
        let (ring, members) = match decided {
            Some(decided) => (decided, view),
            None => (ring.ok_or(Malformed("event (no ring)"))?, members),
        };
        Ok(QuorumInfo { quorate, provider, ring, members, votes })
    }
}

/// Combines the events between two decisions on quorum into one change.
pub(super) struct Changes {
    /// Whether there is a provider; without one each new ring is a change, and quorate.
    provider: bool,
    last: Option<(bool, RingId, Vec<NodeId>)>,
    /// The nodes that have left a ring since the last change.
    left: BTreeSet<NodeId>,
}

impl Changes {
    pub(super) fn new(provider: bool) -> Self {
        Self { provider, last: None, left: BTreeSet::new() }
    }

    pub(super) fn read(&mut self, event: &[u8]) -> Result<Option<QuorumChange>, Malformed> {
        Ok(match Notice::read(event)? {
            Notice::Nodelist { ring, members, left } => {
                let last = self.last.as_ref().map_or(&[][..], |(.., members)| members);
                self.left.extend(left.into_iter().filter(|node| last.binary_search(node).is_ok()));
                ring.filter(|_| !self.provider).and_then(|ring| self.change(true, ring, members))
            }
            Notice::Quorum { quorate, ring, members } => {
                ring.and_then(|ring| self.change(quorate, ring, members))
            }
        })
    }

    /// The change since the last one, if there is any.
    fn change(&mut self, quorate: bool, ring: RingId, members: Vec<NodeId>) -> Option<QuorumChange> {
        let now = (quorate, ring, members);
        if self.last.as_ref() == Some(&now) {
            return None;
        }
        let before = self.last.take().map(|(.., members)| members).unwrap_or_default();
        let absent = std::mem::take(&mut self.left);
        let is_in = |nodes: &[NodeId], node: &NodeId| nodes.binary_search(node).is_ok();
        let stayed = |node: &NodeId| is_in(&before, node) && is_in(&now.2, node) && !absent.contains(node);
        let joined = now.2.iter().copied().filter(|node| !stayed(node)).collect();
        let left = before.iter().copied().filter(|node| !stayed(node)).collect();
        let (quorate, ring, members) = now.clone();
        self.last = Some(now);
        Some(QuorumChange { quorate, ring, members, joined, left })
    }
}

impl VoteEvent {
    /// Reads an event of votequorum.
    pub(super) fn read(event: &[u8]) -> Result<Option<Self>, Malformed> {
        Ok(Some(match kind(event)? {
            vote_response::QUORUM => {
                let what = "event (votes)";
                let (head, entries) = split::<QuorumBytes>(event, what)?;
                let (entries, _) = list::<NodeStateBytes>(entries, head.count.get(), what)?;
                let mut nodes: Vec<_> = entries
                    .iter()
                    .filter_map(|entry| {
                        Some((NodeId::new(entry.node.get())?, NodeState::from_code(entry.state.get())))
                    })
                    .collect();
                nodes.sort_unstable_by_key(|(node, _)| *node);
                let device = entries.len() > nodes.len();
                Self::Quorum { quorate: head.quorate.get() != 0, nodes, device }
            }
            vote_response::NODELIST => {
                let what = "event (members of the ring)";
                let (head, ids) = split::<NodelistBytes>(event, what)?;
                let (members, _) = nodes(ids, head.count.get(), what)?;
                let ring = head.ring.ring().ok_or(Malformed("event (no ring)"))?;
                Self::Ring { ring, members: sorted(members) }
            }
            vote_response::EXPECTED_VOTES => {
                let (event, _) = split::<ExpectedVotesBytes>(event, "event (expected votes)")?;
                Self::ExpectedVotes(event.expected_votes.get())
            }
            // Events that later versions of Corosync have in addition; none of them is about votes.
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{node, nodes as ids};
    use crate::quorum::wire::quorum::Event;
    use crate::quorum::wire::votequorum::{self, State};

    fn ring(seq: u64) -> Option<RingId> {
        Some(RingId { rep: node(1), seq })
    }

    fn nodelist(seq: u64, members: &[u32], joined: &[u32], left: &[u32]) -> Vec<u8> {
        let [members, joined, left] = &[members, joined, left].map(ids);
        Event::Nodelist { ring: ring(seq), members, joined, left }.encode()
    }

    fn quorum(quorate: bool, seq: u64, members: &[u32]) -> Vec<u8> {
        Event::Quorum { quorate, ring: ring(seq), members: &ids(members) }.encode()
    }

    /// The state without a provider: there is no decision.
    fn always_quorate() -> Vec<u8> {
        Event::Quorum { quorate: true, ring: None, members: &[] }.encode()
    }

    fn votes_nodelist(ring: Option<RingId>, members: &[u32]) -> Vec<u8> {
        votequorum::Event::Nodelist { ring, members: &ids(members) }.encode(5)
    }

    fn change(
        quorate: bool,
        seq: u64,
        members: &[u32],
        joined: &[u32],
        left: &[u32],
    ) -> Option<QuorumChange> {
        let [members, joined, left] = [members, joined, left].map(ids);
        Some(QuorumChange { quorate, ring: ring(seq).unwrap(), members, joined, left })
    }

    /// The changes that result from these events.
    fn told(provider: bool, events: &[Vec<u8>]) -> Vec<Option<QuorumChange>> {
        let mut changes = Changes::new(provider);
        events.iter().map(|event| changes.read(event).unwrap()).collect()
    }

    #[test]
    fn a_partition_and_its_end_are_changes() {
        let told = told(
            true,
            &[
                nodelist(8, &[1, 2, 3], &[], &[]),
                quorum(true, 8, &[1, 2, 3]),
                nodelist(12, &[1], &[], &[2, 3]),
                quorum(false, 12, &[1]),
                quorum(false, 12, &[1]),
                nodelist(16, &[1, 2, 3], &[2, 3], &[]),
                quorum(true, 16, &[1, 2, 3]),
                quorum(false, 16, &[1, 2, 3]),
            ],
        );
        assert_eq!(
            told,
            [
                None,
                change(true, 8, &[1, 2, 3], &[1, 2, 3], &[]),
                None,
                change(false, 12, &[1], &[], &[2, 3]),
                None,
                None,
                change(true, 16, &[1, 2, 3], &[2, 3], &[]),
                change(false, 16, &[1, 2, 3], &[], &[]),
            ]
        );
    }

    /// A ring is given up before the decision on quorum: nodes that left it and came back are reported once.
    #[test]
    fn nodes_that_were_absent_in_between_are_reported() {
        let told = told(
            true,
            &[
                quorum(true, 8, &[1, 2, 3]),
                nodelist(12, &[1, 2], &[], &[3]),
                nodelist(16, &[1, 2, 3, 4], &[3, 4], &[]),
                nodelist(20, &[1, 2, 3], &[], &[4]),
                quorum(true, 20, &[1, 2, 3]),
                quorum(true, 24, &[1, 2, 3]),
            ],
        );
        assert_eq!(told[4], change(true, 20, &[1, 2, 3], &[3], &[3]));
        assert_eq!(told[5], change(true, 24, &[1, 2, 3], &[], &[]));
    }

    #[test]
    fn without_a_provider_each_ring_is_a_change() {
        let told =
            told(false, &[nodelist(8, &[1, 2], &[], &[]), always_quorate(), nodelist(12, &[1], &[], &[2])]);
        assert_eq!(told, [change(true, 8, &[1, 2], &[1, 2], &[]), None, change(true, 12, &[1], &[], &[2])]);
        let parts = [nodelist(8, &[2, 1], &[], &[]), always_quorate()];
        let parts = parts.map(|event| Snapshot::read(&event).unwrap().unwrap());
        let [nodelist, quorum] = parts;
        assert!(!nodelist.is_complete());
        let info = nodelist.and(quorum).info(false, None).unwrap();
        assert_eq!((info.quorate, info.ring.seq, info.members), (true, 8, ids(&[1, 2])));
    }

    #[test]
    fn events_of_votequorum() {
        let nodes = &[(node(2), State::Member), (node(1), State::Dead)];
        let event = votequorum::Event::Quorum { quorate: true, nodes, device: true }.encode(5);
        let nodes = vec![(node(1), NodeState::Dead), (node(2), NodeState::Member)];
        let expected = Ok(Some(VoteEvent::Quorum { quorate: true, nodes, device: true }));
        assert_eq!(VoteEvent::read(&event), expected);
        let event = votes_nodelist(ring(9), &[2, 3, 1]);
        let members = ids(&[1, 2, 3]);
        assert_eq!(VoteEvent::read(&event), Ok(Some(VoteEvent::Ring { ring: ring(9).unwrap(), members })));
        assert!(VoteEvent::read(&votes_nodelist(None, &[])).is_err());
    }

    /// Counts that do not fit, in every field that can hold one.
    #[test]
    fn impossible_counts_are_refused() {
        let mut changes = Changes::new(true);
        for good in
            [nodelist(8, &[1, 2], &[3], &[4]), quorum(true, 8, &[1, 2]), votes_nodelist(ring(9), &[1])]
        {
            for at in (24..good.len() - 3).step_by(4) {
                for value in [0u32, 5, 0x4000_0001, u32::MAX] {
                    let mut event = good.clone();
                    event[at..at + 4].copy_from_slice(&value.to_ne_bytes());
                    let _ = (changes.read(&event), VoteEvent::read(&event), Snapshot::read(&event));
                }
            }
            for length in 0..good.len() {
                assert!(changes.read(&good[..length]).is_err());
                assert!(VoteEvent::read(&good[..length]).is_err());
            }
        }
        let mut event = quorum(true, 8, &[1, 2]);
        event[48..52].copy_from_slice(&4u32.to_ne_bytes());
        assert!(changes.read(&event).is_err(), "four nodes in twelve bytes");
        event[48..52].copy_from_slice(&3u32.to_ne_bytes());
        assert!(changes.read(&event).is_err(), "nobody has the id 0");
    }
}
