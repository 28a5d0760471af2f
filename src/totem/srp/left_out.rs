//! Nodes that are excluded from the ring for a while, because they keep the others from working, or this node itself.

use std::time::Duration;

use super::members::MemberSet;
use crate::ids::NodeId;
use crate::time::Instant;
use crate::totem::wire::Frame;

/// When a node was given up in the formation of so many rings in succession, with at most [`JOINS`] intervals of join
/// messages between them, it is not listened to for as long.
const IN_VAIN: u32 = 4;
const JOINS: u32 = 4;

/// The excluded nodes, and until when. Expired entries are removed, so there are at most as many as members
/// of successive rings.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    nodes: Vec<(NodeId, Instant)>,
    /// This node is the excluded one, and stays alone until then.
    alone: Option<Instant>,
    /// Nodes that were given up in the formation of the last rings, of how many, and when the last was installed.
    given_up: MemberSet,
    rings: u32,
    installed: Instant,
    /// Until when they are not listened to.
    rest: Option<Instant>,
}

impl LeftOut {
    /// Excludes these nodes as well, until `until`.
    pub(super) fn set(&mut self, now: Instant, nodes: &[NodeId], until: Instant) {
        self.nodes.retain(|(node, end)| *end > now && !nodes.contains(node));
        self.nodes.extend(nodes.iter().map(|node| (*node, until)));
    }

    /// This node stays alone until `until`: it neither looks for others nor answers them.
    pub(super) const fn set_alone(&mut self, until: Instant) {
        self.alone = Some(until);
    }

    /// Whether this node is to stay alone at `now`.
    pub(super) fn alone(&self, now: Instant) -> bool {
        self.alone.is_some_and(|until| until > now)
    }

    /// A ring is installed without these nodes; `join` is the interval of join messages. Where some members leave a node
    /// out and others do not know that yet, it would end one ring after the other, before any of them could tell them.
    pub(super) fn installed(&mut self, now: Instant, given_up: &MemberSet, join: Duration) {
        let soon = now.since(self.installed) <= join * JOINS;
        let again = self.given_up.both(given_up);
        (self.given_up, self.rings) =
            if soon && !again.is_empty() { (again, self.rings + 1) } else { (given_up.clone(), 1) };
        self.installed = now;
        self.rest = (self.rings >= IN_VAIN).then(|| now + join * JOINS);
    }

    /// Whether a node ends rings in vain, so that it is not listened to at `now`.
    pub(super) fn in_vain(&self, now: Instant, node: NodeId) -> bool {
        self.rest.is_some_and(|until| until > now) && self.given_up.contains(node)
    }

    /// Whether a node is excluded at `now`.
    pub(super) fn has(&self, now: Instant, node: NodeId) -> bool {
        self.nodes.iter().any(|(left_out, until)| *left_out == node && *until > now)
    }

    /// Whether to ignore a frame because it would bring an excluded node back. `me`: this node.
    pub(super) fn mutes(&self, now: Instant, frame: &Frame<'_>, me: NodeId) -> bool {
        match frame {
            Frame::Join(join) => self.mutes_node(now, join.from, me),
            Frame::Mcast(mcast) => self.mutes_node(now, mcast.system_from, me),
            Frame::MergeDetect(probe) => self.mutes_node(now, probe.from, me),
            // These are accepted only on a ring, or for one, that such a node is not on.
            Frame::Token(_) | Frame::Commit(_) | Frame::HoldCancel(_) => false,
        }
    }

    fn mutes_node(&self, now: Instant, node: NodeId, me: NodeId) -> bool {
        self.has(now, node) || node != me && self.alone(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totem::srp::sample::node;

    #[test]
    fn a_node_that_ends_several_rings_in_vain_is_not_listened_to_for_a_moment() {
        const JOIN: Duration = Duration::from_millis(50);
        let at = |ms: u64| Instant::from_micros(1000 * ms);
        let mut left_out = LeftOut::default();
        let nodes = |ids: &[u32]| MemberSet::new(ids.iter().map(|id| node(*id)));
        for (ms, given_up) in [(0, [3, 4]), (10, [3, 5]), (20, [3, 6])] {
            left_out.installed(at(ms), &nodes(&given_up), JOIN);
            assert!(!left_out.in_vain(at(ms), node(3)));
        }
        left_out.installed(at(30), &nodes(&[3]), JOIN);
        assert!(left_out.in_vain(at(31), node(3)) && left_out.in_vain(at(229), node(3)));
        assert!(!left_out.in_vain(at(31), node(4)), "it was given up once");
        assert!(!left_out.in_vain(at(230), node(3)));
        left_out.installed(at(300), &nodes(&[3]), JOIN);
        assert!(!left_out.in_vain(at(301), node(3)), "the last ring lasted");
    }
}
