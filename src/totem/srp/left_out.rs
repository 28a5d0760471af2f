//! Nodes that are excluded from the ring for a while, because they keep the others from working.

use crate::ids::NodeId;
use crate::time::Instant;
use crate::totem::wire::Frame;

/// The excluded nodes, and until when. Expired entries are removed, so there are at most as many as members
/// of successive rings.
#[derive(Debug, Default)]
pub(super) struct LeftOut(Vec<(NodeId, Instant)>);

impl LeftOut {
    /// Excludes these nodes as well, until `until`.
    pub(super) fn set(&mut self, now: Instant, nodes: &[NodeId], until: Instant) {
        self.0.retain(|(node, end)| *end > now && !nodes.contains(node));
        self.0.extend(nodes.iter().map(|node| (*node, until)));
    }

    /// Whether a node is excluded at `now`.
    pub(super) fn has(&self, now: Instant, node: NodeId) -> bool {
        self.0.iter().any(|(left_out, until)| *left_out == node && *until > now)
    }

    /// Whether to ignore a frame because it would bring an excluded node back.
    pub(super) fn mutes(&self, now: Instant, frame: &Frame<'_>) -> bool {
        match frame {
            Frame::Join(join) => self.has(now, join.from),
            Frame::Mcast(mcast) => self.has(now, mcast.system_from),
            Frame::MergeDetect(probe) => self.has(now, probe.from),
            // These are accepted only on a ring, or for one, that such a node is not on.
            Frame::Token(_) | Frame::Commit(_) | Frame::HoldCancel(_) => false,
        }
    }
}
