//! The arithmetic of votes: how many there are, how many are needed, and whether that makes this node's part of
//! the cluster quorate. Pure: it knows no ring, clock or client.
//!
//! Source: `votequorum(5)`; corosync `exec/votequorum.c`. Numbers that a peer makes up are added without
//! overflow: a sum stops at the highest number there is.

use super::nodes::{Node, Nodes, State};
use super::tie_breaker::{Halves, TieBreaker};
use super::wire::exec::flag;
use crate::ids::NodeId;

/// What the configuration says about the vote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Of two nodes, one is enough.
    pub two_node: bool,
    /// To become quorate, all expected votes must be there once.
    pub wait_for_all: bool,
    /// Which of two equal halves stays quorate.
    pub tie_breaker: Option<TieBreaker>,
    /// Expected votes follow the nodes that are left, some time after others have gone.
    pub last_man_standing: bool,
    /// Expected votes follow a node that leaves in order.
    pub allow_downscale: bool,
    /// The highest number of expected votes is kept over restarts.
    pub expected_votes_tracking: bool,
    /// The partition in which the quorum device votes is quorate.
    pub master_wins: bool,
    /// Votes of the quorum device.
    pub device_votes: u32,
}

/// More than half of these votes.
pub(super) const fn majority(votes: u32) -> u32 {
    votes / 2 + 1
}

/// Votes that are needed, and those that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Needed.
    pub quorum: u32,
    /// There. The quorum device's are counted if it votes through this node.
    pub votes: u32,
}

/// What came of counting again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// More votes are there than were expected, so the expected votes were raised.
    pub raised: bool,
    /// The highest number of expected votes ever seen has risen and is to be kept.
    pub keep: Option<u32>,
    /// All nodes are waited for: the votes there, and those expected.
    pub waiting: Option<(u32, u32)>,
    /// Whether this part of the cluster is quorate has changed.
    pub changed: bool,
}

/// What a NODEINFO says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// The sender's votes.
    pub votes: u32,
    /// What it expects.
    pub expected: u32,
    /// What it says of itself.
    pub flags: u32,
}

/// The vote as this node sees it.
#[derive(Clone, Debug)]
pub struct Votes {
    me: NodeId,
    pub(super) nodes: Nodes,
    pub(super) rules: Rules,
    /// Votes that are needed; starts at 0 and falls only where the rules say so.
    quorum: u32,
    quorate: bool,
    /// All nodes are waited for.
    waiting: bool,
    /// Who made this part quorate the last time that more than half of the votes were there, ascending, each with its
    /// votes; nobody before the first time. What has gone since is measured by it.
    basis: Vec<(NodeId, u32)>,
    /// Of the current ring, ascending.
    members: Vec<NodeId>,
    /// Expected votes do not fall below this when nodes leave in order.
    ev_barrier: u32,
    /// Highest number of expected votes ever seen.
    ev_tracking_barrier: u32,
    /// Tests show by it that a wrong rule is found out.
    #[cfg(test)]
    pub(super) wrong: Option<Wrong>,
    /// Of the ring before, ascending; for a wrong rule.
    #[cfg(test)]
    previous: Vec<NodeId>,
}

/// Rules that must not be, for tests that show that they are found out.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Half of the votes are a majority.
    HalfIsEnough,
    /// Of what has gone, nodes are counted in place of votes, and since the ring before. Corosync counts so.
    NodesForVotes,
}

impl Votes {
    /// This node alone, with one vote.
    pub fn new(me: NodeId, rules: Rules, kept: u32) -> Self {
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

    /// Votes that are needed.
    pub const fn quorum(&self) -> u32 {
        self.quorum
    }

    /// Whether this part of the cluster may act.
    pub const fn quorate(&self) -> bool {
        self.quorate
    }

    /// Whether all nodes are waited for.
    pub const fn waiting(&self) -> bool {
        self.waiting
    }

    /// Lowest and highest member when this part was last quorate.
    pub fn extremes(&self) -> Option<(NodeId, NodeId)> {
        Some((self.basis.first()?.0, self.basis.last()?.0))
    }

    /// Members of the current ring, ascending.
    pub fn members(&self) -> &[NodeId] {
        &self.members
    }

    /// The least expected votes that leaving nodes leave behind.
    pub const fn ev_barrier(&self) -> u32 {
        self.ev_barrier
    }

    /// The highest number of expected votes ever seen.
    pub const fn ev_tracking_barrier(&self) -> u32 {
        self.ev_tracking_barrier
    }

    /// A new configuration: this node's own votes and expectation.
    pub fn configure(&mut self, votes: u32, expected: u32) {
        let us = self.nodes.us_mut();
        us.votes = votes;
        us.expected = expected;
        self.ev_barrier = expected;
    }

    /// Nodes are waited for no longer, or again.
    pub fn set_waiting(&mut self, waiting: bool) {
        self.waiting = waiting;
        self.nodes.us_mut().set(flag::WFA_STATUS, waiting);
    }

    /// A new ring. Whether the time after which expected votes shrink is to begin anew.
    pub fn ring(&mut self, members: &[NodeId]) -> bool {
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

    /// Votes that are there, and how many there are that have some: whether the device votes is not asked.
    fn tally(&self) -> (u32, u32) {
        let device = self.rules.device_votes;
        let start = (device, u32::from(device > 0));
        self.nodes.members().fold(start, |(votes, count), (_, node)| {
            (votes.saturating_add(node.votes), count.saturating_add(1))
        })
    }

    /// Votes that are needed and votes that are there. `allow_decrease`: fewer than before may be needed.
    /// `max_expected`: of so many in the whole cluster; 0: of as many as the most demanding member expects.
    pub fn threshold(&self, allow_decrease: bool, max_expected: u32, downscale: bool) -> Threshold {
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

    /// Counts again. `allow_decrease`: fewer votes than before may be needed. `by_nodes`: the whole cluster is
    /// as large as what is here.
    pub fn recalculate(&mut self, allow_decrease: bool, by_nodes: bool) -> Outcome {
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

    /// Whether these votes make this part quorate.
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

    /// Exactly half of the votes are here, the others have less than a quorum, and the tie breaker is for us.
    ///
    /// The others are those who have gone since this part last had more than half of the votes, and it is their
    /// votes that are counted: of an odd number, half is one vote less than what the others need, so if all of
    /// them went at once they may go on. Corosync counts nodes, since the ring before: nodes with 1, 1 and 3
    /// votes come apart into two quorate parts, and one node alone is quorate as soon as it forms a second ring.
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
        // Not what this part needs, which falls only where the rules say so: for those who start it is this.
        let enough = quorum.min(majority(expected));
        let others_too_few = if self.basis.is_empty() {
            // Nobody has gone that this node knows of: they may be all that are not here.
            votes > 0 && expected.saturating_sub(votes) < enough
        } else {
            let gone = self.basis.iter().filter(|(id, _)| present.binary_search(id).is_err());
            gone.fold(0u32, |sum, (_, votes)| sum.saturating_add(*votes)) < enough
        };
        others_too_few && breaker.favours(Halves { members: &present, before: &before })
    }

    /// The quorum device votes in this part, and its word is enough.
    fn device_decides(&self) -> bool {
        let flags = flag::QDEVICE_MASTER_WINS | flag::QDEVICE_CAST_VOTE;
        self.rules.master_wins && self.nodes.members().any(|(_, node)| node.has(flags))
    }

    /// A node tells of itself. `None`: the table has no room for it. What follows says whether the votes are
    /// to be counted again.
    pub fn node_info(&mut self, id: NodeId, info: Info) -> Option<Heard> {
        let before = self.nodes.get(id).copied();
        let mut heard = Heard::default();
        let leaving = info.flags & flag::LEAVING != 0;
        let quorate = info.flags & flag::QUORATE != 0;
        if leaving {
            heard.allow_decrease = true;
            heard.by_nodes = true;
        }
        if !self.quorate && quorate {
            heard.allow_decrease = true;
            self.nodes.us_mut().expected = info.expected;
        }
        let believed = quorate || self.rules.expected_votes_tracking;
        let expected = if believed { info.expected } else { self.nodes.us().expected };
        // What this node knows of itself is newer than its own message.
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

    /// After [`Votes::node_info`] and the count that it asked for: a node that is quorate and waits for nobody
    /// ends this node's waiting.
    pub fn heard_quorate(&mut self, info: Info) {
        if self.rules.wait_for_all && info.flags & (flag::QUORATE | flag::WFA_STATUS) == flag::QUORATE {
            self.set_waiting(false);
        }
    }

    /// Another node tells the votes of the quorum device. Whether they changed.
    pub fn device_info(&mut self, from: NodeId, votes: u32) -> bool {
        let theirs = self.nodes.get(from).is_some_and(|node| node.has(flag::QUORATE));
        let before = self.rules.device_votes;
        self.rules.device_votes = if !self.quorate && theirs { votes } else { before.max(votes) };
        before != self.rules.device_votes
    }

    /// All expect so many votes from now on; [`Votes::recalculate`] with `allow_decrease` follows.
    pub fn expect(&mut self, expected: u32) {
        self.nodes.expect(expected);
        self.ev_barrier = expected;
        if self.rules.expected_votes_tracking {
            let barrier = self.ev_tracking_barrier;
            let us = self.nodes.us_mut();
            us.expected = us.expected.max(barrier);
        }
    }
}

/// What a NODEINFO led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The votes are to be counted again.
    pub count: bool,
    /// With fewer votes needed than before, if it comes to that.
    pub allow_decrease: bool,
    /// The whole cluster is as large as what is here.
    pub by_nodes: bool,
    /// The sender has more than one vote, so expected votes no longer shrink after others have gone.
    pub no_last_man: bool,
}
