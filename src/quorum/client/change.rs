//! What one is told about quorum.

use std::collections::BTreeSet;

use super::info::{NodeState, QuorumInfo, VoteInfo};
use crate::ids::{NodeId, RingId};
use crate::quorum::wire::quorum::{V1NodelistBytes, V1QuorumBytes, response};
use crate::quorum::wire::votequorum::{
    ExpectedVotesBytes, NodeStateBytes, NodelistBytes, QuorumBytes, response as vote_response,
};
use crate::service::channel::End;
use crate::service::client::Error;
use crate::service::client::wire::{Malformed, kind, list, nodes, split};

/// A change of quorum, of the ring, or of both.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuorumChange {
    /// Whether this node's part of the cluster may act, from now on.
    pub quorate: bool,
    /// The ring.
    pub ring: RingId,
    /// Its members, ascending.
    pub members: Vec<NodeId>,
    /// Who was not a member at the last change; in the first one, everybody. A node that went and came back in
    /// between is here and in `left`.
    pub joined: Vec<NodeId>,
    /// Who was a member at the last change and is not any more, or was not all the time.
    pub left: Vec<NodeId>,
}

/// Something about the votes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VoteEvent {
    /// The ring changed; quorum is decided on next. A quorum device is to say what it thinks of this ring.
    Ring {
        /// The ring.
        ring: RingId,
        /// Its members, ascending.
        members: Vec<NodeId>,
    },
    /// Quorum was decided on.
    Quorum {
        /// Whether this node's part of the cluster may act, from now on.
        quorate: bool,
        /// All nodes that were ever seen, ascending, and where they are.
        nodes: Vec<(NodeId, NodeState)>,
        /// Whether a quorum device is registered at this node.
        device: bool,
    },
    /// This many votes are expected from now on.
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

/// How things are now, from the two events that tell it.
#[derive(Default)]
pub(super) struct Snapshot {
    nodelist: Option<(Option<RingId>, Vec<NodeId>)>,
    quorum: Option<(bool, Option<RingId>, Vec<NodeId>)>,
}

impl Snapshot {
    /// One of the two.
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

    /// The ring is the one that quorum was decided for; without a provider nobody decides, and it is the ring
    /// itself.
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

/// Makes one change of all that is told between two decisions on quorum.
pub(super) struct Changes {
    /// Whether anybody decides; otherwise each new ring is a change, and quorate.
    provider: bool,
    last: Option<(bool, RingId, Vec<NodeId>)>,
    /// Who left a ring since then.
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
            // A later Corosync tells more; none of it is about votes.
            _ => return Ok(None),
        }))
    }
}
