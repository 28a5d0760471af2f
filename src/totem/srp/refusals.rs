//! Members whose hosts say that nobody receives there: their processes have ended.
//!
//! A host answers a datagram for a port that no process has with an error message (ICMP: port unreachable). So the end of
//! a process can be known in milliseconds, while that of its host shows only in silence. Such messages can be forged, and
//! one that came by itself proves nothing. So this node asks, with probes whose contents nobody else knows, and only
//! answers that quote them count ([`Input::Refused`](super::io::Input::Refused)). A process that is stopped or slow still
//! has its port, and its host is silent.
//!
//! It asks the node to which it has passed the token, once the token is sent there again, and the members of the old ring
//! that send no join messages; `ended.rs` does that. A node that has refused is given up when it is asked in vain after a
//! part of the token time-out, without having been heard since: a firewall that is being changed refuses for a moment
//! too. It need not refuse each time, because hosts send few such messages in a second, and one may have been provoked by
//! any datagram.
//!
//! Only nodes of this implementation are asked, which is known of a ring whose token time-out follows from measurement.

use std::time::Duration;

use crate::ids::NodeId;
use crate::time::Instant;

/// The token time-out divided by this is the time for which a node that has refused must not be heard.
const PART: u32 = 4;

/// A node that was asked.
#[derive(Clone, Copy, Debug)]
struct Asked {
    node: NodeId,
    /// When it has refused first.
    refused_at: Option<Instant>,
    ended: bool,
}

/// The nodes that were asked; see the module. There are at most as many as members.
#[derive(Debug, Default)]
pub(super) struct Refusals(Vec<Asked>);

impl Refusals {
    /// The ring turns, or this node has missed what was sent: all begins anew.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The node is asked, or asked again.
    pub(super) fn ask(&mut self, now: Instant, node: NodeId, token: Duration) {
        match self.0.iter_mut().find(|asked| asked.node == node) {
            Some(asked) => asked.ended |= asked.refused_at.is_some_and(|at| now.since(at) >= token / PART),
            None => self.0.push(Asked { node, refused_at: None, ended: false }),
        }
    }

    /// The node was heard.
    pub(super) fn heard(&mut self, node: NodeId) {
        self.0.retain(|asked| asked.node != node);
    }

    /// The node's host has refused a probe.
    pub(super) fn refused(&mut self, now: Instant, node: NodeId) {
        if let Some(asked) = self.0.iter_mut().find(|asked| asked.node == node) {
            asked.refused_at.get_or_insert(now);
        }
    }

    /// Takes a node whose process has ended.
    pub(super) fn take_ended(&mut self) -> Option<NodeId> {
        let at = self.0.iter().position(|asked| asked.ended)?;
        Some(self.0.swap_remove(at).node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::node;

    const TOKEN: Duration = Duration::from_millis(400);

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1000 * ms)
    }

    /// Node 2 is asked every 20 ms up to a time. Returns when it counts as ended.
    fn asked(refusals: &mut Refusals, times: std::ops::Range<u64>) -> Option<u64> {
        times.step_by(20).find(|ms| {
            refusals.ask(at(*ms), node(2), TOKEN);
            refusals.take_ended() == Some(node(2))
        })
    }

    #[test]
    fn a_node_that_has_refused_once_and_is_silent_after_it_has_ended() {
        let mut refusals = Refusals::default();
        refusals.refused(at(0), node(2));
        assert_eq!(
            asked(&mut refusals, 0..1000),
            None,
            "it was not asked before, and silence alone proves nothing"
        );
        refusals.refused(at(1000), node(2));
        assert_eq!(asked(&mut refusals, 1000..2000), Some(1100));
    }

    #[test]
    fn a_node_that_is_heard_after_it_has_refused_is_asked_anew() {
        let mut refusals = Refusals::default();
        assert_eq!(asked(&mut refusals, 0..20), None);
        refusals.refused(at(10), node(2));
        refusals.heard(node(2));
        assert_eq!(asked(&mut refusals, 20..500), None);
        refusals.refused(at(500), node(2));
        refusals.clear();
        assert_eq!(asked(&mut refusals, 520..1000), None, "the token has come");
    }
}
