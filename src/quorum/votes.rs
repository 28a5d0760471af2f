//! The arithmetic of votes: the votes present, the votes needed, and whether this node's partition is quorate. Pure:
//! it knows no ring, clock or client.
//!
//! Source: `votequorum(5)`; corosync `exec/votequorum.c`. Numbers from peers are added without overflow: a
//! sum saturates at the largest number.

use super::nodes::{Node, Nodes, State};
use super::tie_breaker::{Halves, TieBreaker};
use super::wire::exec::flag;
use crate::ids::NodeId;

/// The rules of the vote, from the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// One of two nodes is sufficient.
    pub two_node: bool,
    /// To become quorate, all expected votes must be present once.
    pub wait_for_all: bool,
    /// The rule for two equal halves.
    pub tie_breaker: Option<TieBreaker>,
    /// Expected votes are lowered to those of the remaining nodes, some time after others have gone.
    pub last_man_standing: bool,
    /// Expected votes are lowered when a node leaves cleanly.
    pub allow_downscale: bool,
    /// The highest number of expected votes is stored and survives restarts.
    pub expected_votes_tracking: bool,
    /// The partition for which the quorum device votes is quorate.
    pub master_wins: bool,
    /// Votes of the quorum device.
    pub device_votes: u32,
}

/// The smallest number that is more than half of these votes.
pub(super) const fn majority(votes: u32) -> u32 {
    votes / 2 + 1
}

/// The votes needed and the votes present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Threshold {
    /// The votes needed.
    pub quorum: u32,
    /// The votes present, including the quorum device's if it votes through this node.
    pub votes: u32,
}

/// The result of a count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// More votes are present than were expected, so the expected votes were raised.
    pub raised: bool,
    /// The highest number of expected votes ever seen, if it has increased and is to be stored.
    pub keep: Option<u32>,
    /// While waiting for all nodes: the votes present and the votes expected.
    pub waiting: Option<(u32, u32)>,
    /// Whether the partition became quorate or ceased to be.
    pub changed: bool,
}

/// The content of a NODEINFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    /// The sender's votes.
    pub votes: u32,
    /// The number of votes that the sender expects.
    pub expected: u32,
    /// The sender's flags.
    pub flags: u32,
}

/// The state of the votes as this node sees it.
#[derive(Clone, Debug)]
pub(crate) struct Votes {
    me: NodeId,
    pub(crate) nodes: Nodes,
    pub(super) rules: Rules,
    /// The votes needed; starts at 0 and is lowered only where the rules allow it.
    quorum: u32,
    quorate: bool,
    /// Whether all nodes are awaited.
    waiting: bool,
    /// The members that last made up more than half of the votes, ascending, each with its votes; empty before the
    /// first time. A tie is judged by the members that have gone since.
    basis: Vec<(NodeId, u32)>,
    /// The members of the current ring, ascending.
    members: Vec<NodeId>,
    /// Lower limit of the expected votes when nodes leave cleanly.
    ev_barrier: u32,
    /// The highest number of expected votes ever seen.
    ev_tracking_barrier: u32,
    /// A wrong rule, for tests that show that the search detects it.
    #[cfg(test)]
    pub(super) wrong: Option<Wrong>,
    /// The members of the previous ring, ascending; only used by a wrong rule.
    #[cfg(test)]
    previous: Vec<NodeId>,
}

/// Wrong rules, for tests that show that the search detects them.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Half of the votes counts as a majority.
    HalfIsEnough,
    /// A tie is judged by the number of nodes that have gone instead of their votes, and since the previous
    /// ring. Corosync counts so.
    NodesForVotes,
}

impl Votes {
    /// A state with this node alone, which has one vote.
    pub(crate) fn new(me: NodeId, rules: Rules, kept: u32) -> Self {
        let waiting = rules.wait_for_all;
        let mut votes = Self {
            me,
            nodes: Nodes::new(me),
            rules,
            quorum: 0,
            quorate: false,
            waiting: false,
            basis: Vec::new(),
            members: Vec::new(),
            ev_barrier: 0,
            ev_tracking_barrier: kept,
            #[cfg(test)]
            wrong: None,
            #[cfg(test)]
            previous: Vec::new(),
        };
        votes.set_waiting(waiting);
        votes
    }

    pub(crate) const fn quorum(&self) -> u32 {
        self.quorum
    }

    /// Whether this partition is quorate.
    pub(crate) const fn quorate(&self) -> bool {
        self.quorate
    }

    pub(crate) const fn waiting(&self) -> bool {
        self.waiting
    }

    /// Lowest and highest member when this partition was last quorate.
    pub(crate) fn extremes(&self) -> Option<(NodeId, NodeId)> {
        Some((self.basis.first()?.0, self.basis.last()?.0))
    }

    pub(crate) fn members(&self) -> &[NodeId] {
        &self.members
    }

    pub(crate) const fn ev_barrier(&self) -> u32 {
        self.ev_barrier
    }

    pub(crate) const fn ev_tracking_barrier(&self) -> u32 {
        self.ev_tracking_barrier
    }

    /// Applies a new configuration: this node's votes and the votes that it expects.
    pub(crate) fn configure(&mut self, votes: u32, expected: u32) {
        let us = self.nodes.us_mut();
        us.votes = votes;
        us.expected = expected;
        self.ev_barrier = expected;
    }

    /// Switches waiting for all nodes on or off.
    pub(crate) fn set_waiting(&mut self, waiting: bool) {
        self.waiting = waiting;
        self.nodes.us_mut().set(flag::WFA_STATUS, waiting);
    }

    /// Records a new ring. Returns whether the time after which expected votes are lowered is to begin again.
    pub(crate) fn ring(&mut self, members: &[NodeId]) -> bool {
        if members.len() > 1 {
            self.nodes.us_mut().set(flag::FIRST, false);
        }
        let left = self.members.iter().any(|node| members.binary_search(node).is_err());
        self.nodes.bury(members);
        let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let lowest_stays = self.extremes().is_some_and(|(lowest, _)| members.binary_search(&lowest).is_ok());
        let tie = count <= self.quorum && self.rules.tie_breaker.is_some() && lowest_stays;
        let shrink = self.rules.last_man_standing && (count >= self.quorum && left || tie);
        #[cfg(test)]
        self.previous.clone_from(&self.members);
        self.members = members.to_vec();
        shrink
    }

    /// The votes present without those of the device, and the number of members that have votes.
    fn tally(&self) -> (u32, u32) {
        let device = self.rules.device_votes;
        let start = (device, u32::from(device > 0));
        self.nodes.members().fold(start, |(votes, count), (_, node)| {
            (votes.saturating_add(node.votes), count.saturating_add(1))
        })
    }

    /// The votes needed and the votes present. `allow_decrease`: fewer votes than before may be needed.
    /// `max_expected`: the expected votes of the whole cluster; 0: the largest number that any member
    /// expects.
    pub(crate) fn threshold(&self, allow_decrease: bool, max_expected: u32, downscale: bool) -> Threshold {
        let (mut votes, mut count, mut highest) = (0u32, 0u32, 0u32);
        for (_, node) in self.nodes.members() {
            votes = votes.saturating_add(node.votes);
            count = count.saturating_add(1);
            highest = highest.max(node.expected);
        }
        if self.nodes.us().has(flag::QDEVICE_CAST_VOTE) {
            votes = votes.saturating_add(self.rules.device_votes);
            count = count.saturating_add(1);
        }
        if max_expected > 0 {
            let barrier = if downscale && allow_decrease { self.ev_barrier } else { 0 };
            highest = max_expected.max(barrier);
        }
        let mut quorum = self.majority(highest).max(self.majority(votes));
        if !allow_decrease {
            quorum = quorum.max(self.quorum);
        }
        if self.rules.two_node && count <= 2 {
            quorum = 1;
        }
        Threshold { quorum, votes }
    }

    #[cfg(test)]
    fn majority(&self, votes: u32) -> u32 {
        if self.wrong == Some(Wrong::HalfIsEnough) { (votes / 2).max(1) } else { majority(votes) }
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, reason = "tests have a wrong rule here, to be found out")]
    const fn majority(&self, votes: u32) -> u32 {
        majority(votes)
    }

    /// Counts the votes again. `allow_decrease`: fewer votes than before may be needed. `by_nodes`: the present
    /// members count as the whole cluster.
    pub(crate) fn recalculate(&mut self, allow_decrease: bool, by_nodes: bool) -> Outcome {
        let mut outcome = Outcome::default();
        let (total, count) = self.tally();
        let count = if by_nodes { count } else { 0 };
        let us = self.nodes.us_mut();
        if total > us.expected {
            us.expected = total;
            outcome.raised = true;
        }
        let expected = us.expected;
        if self.rules.expected_votes_tracking && expected > self.ev_tracking_barrier {
            self.ev_tracking_barrier = expected;
            outcome.keep = Some(expected);
        }
        let threshold = self.threshold(allow_decrease, count, self.rules.allow_downscale);
        self.quorum = threshold.quorum;
        if count != 0 {
            self.nodes.expect(count);
        }
        self.decide(threshold, &mut outcome);
        outcome
    }

    /// Decides whether these votes make this partition quorate.
    fn decide(&mut self, Threshold { quorum, votes }: Threshold, outcome: &mut Outcome) {
        let expected = self.nodes.us().expected;
        if self.rules.wait_for_all && self.waiting {
            if votes != expected {
                outcome.waiting = Some((votes, expected));
                return;
            }
            self.set_waiting(false);
        }
        let mut quorate = votes >= quorum;
        if quorate {
            self.basis = self.nodes.members().map(|(id, node)| (id, node.votes)).collect();
        }
        quorate = quorate || self.tie(quorum, votes, expected) || self.device_decides();
        outcome.changed = quorate != self.quorate;
        self.quorate = quorate;
        self.nodes.us_mut().set(flag::QUORATE, quorate);
        if self.rules.wait_for_all {
            self.set_waiting(!quorate);
        }
    }

    /// Whether exactly half of the votes are present, the others have less than a quorum, and the tie breaker
    /// favours this half.
    ///
    /// The others are the nodes that have gone since this partition last had more than half of the votes, and their
    /// votes are counted: half of an odd number, rounded down, leaves a majority to the others, so if all of them
    /// left at once they may be quorate. Corosync counts nodes, since the previous ring: there nodes with 1, 1 and 3
    /// votes form two quorate partitions, and one node alone is quorate as soon as it forms a second ring.
    fn tie(&self, quorum: u32, votes: u32, expected: u32) -> bool {
        let Some(breaker) = &self.rules.tie_breaker else { return false };
        if votes != expected / 2 {
            return false;
        }
        let present: Vec<NodeId> = self.nodes.members().map(|(id, _)| id).collect();
        let before: Vec<NodeId> = self.basis.iter().map(|(id, _)| *id).collect();
        #[cfg(test)]
        if self.wrong == Some(Wrong::NodesForVotes) {
            let gone = self.previous.len().saturating_sub(self.members.len());
            let list = matches!(breaker, TieBreaker::List(_));
            let halves = Halves { members: &present, before: if list { &self.previous } else { &before } };
            return gone < quorum as usize && breaker.favours(halves);
        }
        // Not the number that this partition needs, which is lowered only where the rules allow it: nodes
        // that restart need this number.
        let enough = quorum.min(majority(expected));
        let others_too_few = if self.basis.is_empty() {
            // No node is known to have gone, so the others may be all nodes that are not present.
            votes > 0 && expected.saturating_sub(votes) < enough
        } else {
            let gone = self.basis.iter().filter(|(id, _)| present.binary_search(id).is_err());
            gone.fold(0u32, |sum, (_, votes)| sum.saturating_add(*votes)) < enough
        };
        others_too_few && breaker.favours(Halves { members: &present, before: &before })
    }

    /// Whether the quorum device votes for this partition, and its vote is sufficient.
    fn device_decides(&self) -> bool {
        let flags = flag::QDEVICE_MASTER_WINS | flag::QDEVICE_CAST_VOTE;
        self.rules.master_wins && self.nodes.members().any(|(_, node)| node.has(flags))
    }

    /// Handles a NODEINFO of a node. `None`: the table has no room for it. The result says whether the votes
    /// must be counted again.
    pub(crate) fn node_info(&mut self, id: NodeId, info: Info) -> Option<Heard> {
        let before = self.nodes.get(id).copied();
        let leaving = info.flags & flag::LEAVING != 0;
        let quorate = info.flags & flag::QUORATE != 0;
        let mut heard = Heard { allow_decrease: leaving, by_nodes: leaving, ..Heard::default() };
        if !self.quorate && quorate {
            heard.allow_decrease = true;
            self.nodes.us_mut().expected = info.expected;
        }
        let believed = quorate || self.rules.expected_votes_tracking;
        let expected = if believed { info.expected } else { self.nodes.us().expected };
        // This node's own flags are newer than those in its own message.
        let flags = if id == self.me { self.nodes.us().flags } else { info.flags };
        let state = if leaving { State::Leaving } else { State::Member };
        let node = Node { state, votes: info.votes, expected, flags };
        if !self.nodes.insert(id, node) {
            return None;
        }
        if self.rules.last_man_standing && info.votes > 1 {
            self.rules.last_man_standing = false;
            heard.no_last_man = true;
        }
        heard.count = id == self.me || info.flags & flag::FIRST != 0 || before != Some(node);
        Some(heard)
    }

    /// To be called after [`Votes::node_info`] and the count that it required: a quorate sender that does not wait
    /// for all nodes ends this node's waiting.
    pub(crate) fn heard_quorate(&mut self, info: Info) {
        if self.rules.wait_for_all && info.flags & (flag::QUORATE | flag::WFA_STATUS) == flag::QUORATE {
            self.set_waiting(false);
        }
    }

    /// Records the quorum device's votes that another node has sent. Returns whether they changed.
    pub(crate) fn device_info(&mut self, from: NodeId, votes: u32) -> bool {
        let theirs = self.nodes.get(from).is_some_and(|node| node.has(flag::QUORATE));
        let before = self.rules.device_votes;
        self.rules.device_votes = if !self.quorate && theirs { votes } else { before.max(votes) };
        before != self.rules.device_votes
    }

    /// Sets the expected votes of all nodes; [`Votes::recalculate`] with `allow_decrease` must follow.
    pub(crate) fn expect(&mut self, expected: u32) {
        self.nodes.expect(expected);
        self.ev_barrier = expected;
        if self.rules.expected_votes_tracking {
            let barrier = self.ev_tracking_barrier;
            let us = self.nodes.us_mut();
            us.expected = us.expected.max(barrier);
        }
    }
}

/// The effect of a NODEINFO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Whether the votes must be counted again.
    pub count: bool,
    /// Whether that count may lower the votes needed.
    pub allow_decrease: bool,
    /// Whether the present members count as the whole cluster.
    pub by_nodes: bool,
    /// The sender has more than one vote, which switches `last_man_standing` off.
    pub no_last_man: bool,
}
