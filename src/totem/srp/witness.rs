//! Records, while a ring is to be formed, which nodes are heard and which of them hear this node: in which
//! direction datagrams get lost.
//!
//! A node whose outgoing datagrams are lost still hears the others. Each of their messages would make it
//! gather again, in vain, because they do not receive its join messages. This module tells such nodes from
//! silent ones. It tells the log and the operator in which direction datagrams are lost, and the messages of
//! these nodes are no reason to gather for a while. When the path works again, they answer this node's first
//! join message or merge detect message, and the answer takes effect at once.

use std::collections::BTreeMap;
use std::time::Duration;

use super::members::MemberSet;
use crate::ids::NodeId;
use crate::time::Instant;
use crate::totem::wire::{Join, MAX_NODES};

/// Minimum time before the same finding is logged again.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// For how long, in consensus time-outs, the rings of nodes that did not answer are no reason to gather.
const LET_ALONE: u32 = 8;

/// What is known of the path between this node and another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The node is heard, but does not show that it hears this one: its join messages list this node as
    /// failed or not at all, or it stays on a ring of its own and sends none.
    OneWay,
    /// The node's join messages list this node.
    Both,
}

/// What was heard of the other nodes' rings and join messages.
#[derive(Debug, Default)]
pub(super) struct Witness {
    /// The latest finding for each node, and its time.
    ways: BTreeMap<NodeId, (Way, Instant)>,
    /// Nodes that were heard but did not answer. Until `until`, their rings are no reason to gather.
    unanswering: MemberSet,
    until: Option<Instant>,
    /// The nodes last logged, and when.
    logged: Option<(MemberSet, Instant)>,
}

impl Witness {
    /// Handles a join message of another node.
    pub(super) fn join(&mut self, now: Instant, me: NodeId, join: &Join) {
        let named = join.proc.contains(&me) && !join.failed.contains(&me);
        self.note(now, join.from, if named { Way::Both } else { Way::OneWay });
    }

    /// A frame of a ring was heard that this node is not on.
    pub(super) fn foreign(&mut self, now: Instant, node: NodeId) {
        self.note(now, node, Way::OneWay);
    }

    fn note(&mut self, now: Instant, node: NodeId, way: Way) {
        if self.ways.len() < MAX_NODES || self.ways.contains_key(&node) {
            self.ways.insert(node, (way, now));
        }
    }

    /// From `nodes`, returns those that are heard but do not hear this node, and those that are not heard.
    /// Findings older than `from` do not count.
    fn sorted(&self, nodes: &MemberSet, from: Instant) -> (MemberSet, MemberSet) {
        let of = |way: Option<Way>| {
            let fresh = |node| self.ways.get(node).filter(|(_, at)| *at >= from).map(|(way, _)| *way);
            MemberSet::new(nodes.as_slice().iter().filter(|node| fresh(node) == way).copied())
        };
        (of(Some(Way::OneWay)), of(None))
    }

    /// Those of `nodes` that have not shown since `from` that they hear this node.
    pub(super) fn unanswered(&self, nodes: &MemberSet, from: Instant) -> MemberSet {
        let (mut deaf, silent) = self.sorted(nodes, from);
        deaf.merge(&silent);
        deaf
    }

    /// Says in a sentence, with a remedy, what keeps this node and `nodes` from being on one ring, according
    /// to what was heard since `from`.
    pub(super) fn why(&self, nodes: &MemberSet, from: Instant) -> String {
        let (deaf, silent) = self.sorted(nodes, from);
        let rest = nodes.minus(&deaf).minus(&silent);
        let mut parts = Vec::new();
        if !deaf.is_empty() {
            parts.push(format!(
                "what this node sends does not arrive: node {deaf} is heard, but does not list this node in join messages \
                 (check the outgoing firewall and the route of this host, the incoming firewall of that one)"
            ));
        }
        if !silent.is_empty() {
            parts.push(format!(
                "nothing is heard from node {silent} (check that it runs, its outgoing and this host's incoming firewall)"
            ));
        }
        if !rest.is_empty() {
            parts.push(format!(
                "node {rest} and this node hear each other's join messages, but come to no ring (check that tokens, which \
                 go to one address, are not lost; MTU; the log of that node)"
            ));
        }
        if parts.is_empty() { "no other node is known".to_owned() } else { parts.join("; ") }
    }

    /// These nodes did not agree in time and are given up. Those that were heard since `from` but do not hear
    /// this node are ignored for [`LET_ALONE`] consensus time-outs. Returns what to log: whether loss in one direction was found, and
    /// the reason; `None` if the same was logged recently.
    pub(super) fn given_up(
        &mut self,
        nodes: &MemberSet,
        (from, now): (Instant, Instant),
        consensus: Duration,
    ) -> Option<(bool, String)> {
        let (deaf, _) = self.sorted(nodes, from);
        if deaf.is_empty() {
            return Some((false, self.why(nodes, from)));
        }
        self.unanswering = deaf.clone();
        self.until = Some(now + consensus * LET_ALONE);
        let said = self.logged.as_ref().is_some_and(|(what, at)| *what == deaf && now.since(*at) < LOG_AGAIN);
        if said {
            return None;
        }
        self.logged = Some((deaf, now));
        Some((true, self.why(nodes, from)))
    }

    /// Whether to ignore the ring of this node because the node recently did not answer.
    pub(super) fn lets_alone(&self, node: NodeId, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until) && self.unanswering.contains(node)
    }

    /// The network has changed: all nodes count as a reason to gather again.
    pub(super) fn forget(&mut self) {
        self.until = None;
    }
}
