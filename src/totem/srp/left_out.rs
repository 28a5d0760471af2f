//! Nodes that the ring goes on without for a while, because they keep the others from working.

use super::ring::Ring;
use crate::ids::NodeId;
use crate::time::Instant;
use crate::totem::wire::Frame;

/// Who, and until when: at most the members of one ring after the other, as what is over is forgotten.
#[derive(Debug, Default)]
pub(super) struct LeftOut(Vec<(NodeId, Instant)>);

impl LeftOut {
    /// These nodes too, until then.
    pub(super) fn set(&mut self, now: Instant, nodes: &[NodeId], until: Instant) {
        self.0.retain(|(node, end)| *end > now && !nodes.contains(node));
        self.0.extend(nodes.iter().map(|node| (*node, until)));
    }

    fn has(&self, now: Instant, node: NodeId) -> bool {
        self.0.iter().any(|(left_out, until)| *left_out == node && *until > now)
    }

    /// Whether a frame is not to be heard: it would bring its sender back.
    pub(super) fn mutes(&self, now: Instant, frame: &Frame<'_>) -> bool {
        match frame {
            Frame::Join(join) => self.has(now, join.from),
            Frame::Mcast(mcast) => self.has(now, mcast.system_from),
            Frame::MergeDetect(probe) => self.has(now, probe.from),
            // These are taken only on a ring, or for one, that such a node is not on.
            Frame::Token(_) | Frame::Commit(_) | Frame::HoldCancel(_) => false,
        }
    }
}

impl Ring {
    /// Whoever is left out counts as given up, also when another node names it: that node then believes the same,
    /// if it is on the same ring, and nobody waits for an answer that will not be heard.
    pub(super) fn give_up_left_out(&mut self, now: Instant) {
        for node in self.proc.as_slice() {
            if self.left_out.has(now, *node) {
                self.failed.insert(*node);
            }
        }
    }
}
