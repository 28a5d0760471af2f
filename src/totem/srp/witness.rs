//! Who is heard while a ring is to be formed, and who hears this node: which way datagrams get lost.
//!
//! A node whose datagrams do not arrive still hears the others, and every one of their messages sends it gathering
//! again, for nothing: they do not hear its join messages. Such nodes are told apart from silent ones, the log and
//! the operator are told which way it is, and their messages are no reason to gather for a while. When the way is
//! open again they answer the first join message or probe of this node's, and what they answer is heeded at once.

use std::collections::BTreeMap;
use std::time::Duration;

use super::members::MemberSet;
use crate::ids::NodeId;
use crate::time::Instant;
use crate::totem::wire::{Join, MAX_NODES};

/// The same finding is logged again after so long.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// What is known of the way between this node and another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It is heard, and does not show that it hears this node: its join messages give this node up or do not name it,
    /// or it goes on with a ring of its own and sends none.
    OneWay,
    /// It names this node in its join messages.
    Both,
}

/// What was heard of the other nodes' rings and join messages.
#[derive(Debug, Default)]
pub(super) struct Witness {
    /// The last of it, and when.
    ways: BTreeMap<NodeId, (Way, Instant)>,
    /// Nodes that did not answer, though they were heard; their rings are no reason to gather until then.
    unanswering: MemberSet,
    until: Option<Instant>,
    /// What was last logged, and when.
    logged: Option<(MemberSet, Instant)>,
}

impl Witness {
    /// A join message of another node came.
    pub(super) fn join(&mut self, now: Instant, me: NodeId, join: &Join) {
        let named = join.proc.contains(&me) && !join.failed.contains(&me);
        self.note(now, join.from, if named { Way::Both } else { Way::OneWay });
    }

    /// Another node was heard on a ring that this node is not on.
    pub(super) fn foreign(&mut self, now: Instant, node: NodeId) {
        self.note(now, node, Way::OneWay);
    }

    fn note(&mut self, now: Instant, node: NodeId, way: Way) {
        if self.ways.len() < MAX_NODES || self.ways.contains_key(&node) {
            self.ways.insert(node, (way, now));
        }
    }

    /// Of `nodes`: those that are heard and do not hear this node, and those that are not heard. What was heard before
    /// `from` says nothing.
    fn sorted(&self, nodes: &MemberSet, from: Instant) -> (MemberSet, MemberSet) {
        let of = |way: Option<Way>| {
            let fresh = |node| self.ways.get(node).filter(|(_, at)| *at >= from).map(|(way, _)| *way);
            MemberSet::new(nodes.as_slice().iter().filter(|node| fresh(node) == way).copied())
        };
        (of(Some(Way::OneWay)), of(None))
    }

    /// What keeps this node and `nodes` from being one ring, in a sentence with its remedy, by what was heard since
    /// `from`.
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

    /// These nodes are given up, for they did not agree in time. Those that were heard since `from` are let alone for
    /// `pause`.
    /// Gives what is to be logged: whether one-way loss was found, and why; `None`: it was said not long ago.
    pub(super) fn given_up(
        &mut self,
        nodes: &MemberSet,
        (from, now): (Instant, Instant),
        pause: Duration,
    ) -> Option<(bool, String)> {
        let (deaf, _) = self.sorted(nodes, from);
        if deaf.is_empty() {
            return Some((false, self.why(nodes, from)));
        }
        self.unanswering = deaf.clone();
        self.until = Some(now + pause);
        let said = self.logged.as_ref().is_some_and(|(what, at)| *what == deaf && now.since(*at) < LOG_AGAIN);
        if said {
            return None;
        }
        self.logged = Some((deaf, now));
        Some((true, self.why(nodes, from)))
    }

    /// Whether a ring of this node's is no reason to gather: it did not answer not long ago.
    pub(super) fn lets_alone(&self, node: NodeId, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until) && self.unanswering.contains(node)
    }

    /// The network changed: everybody is worth another try.
    pub(super) fn forget(&mut self) {
        self.until = None;
    }
}
