//! Members whose hosts say that nobody receives there: their processes have ended.
//!
//! A host answers a datagram for a port that no process has with an error message (ICMP: port unreachable). So the end of
//! a process can be known in milliseconds, while that of its host shows only in silence. Such messages can be forged, and
//! one that came by itself proves nothing. So this node asks, with probes whose contents nobody else knows, and only
//! answers that quote them count ([`Input::Refused`](super::io::Input::Refused)). A process that is stopped or slow still
//! has its port, and its host is silent.
//!
//! It asks the node to which it has passed the token, once the token is sent there again. A node that receives the same
//! token again says at once that it is there, with a merge detect message of its own ring, which has no other effect. So
//! one that has refused is given up when it has not been heard for a part of the token time-out after it. It need not refuse each time, because hosts send few such messages in a second, and any datagram provokes one.
//!
//! Some hosts refuse though the process is there, because of a firewall. So the next node is asked once on each ring while
//! all is well, and a node that has refused and is heard on the ring after it is not believed as long as it stays.
//!
//! Only nodes of this implementation are asked, which is known of a ring whose token time-out follows from measurement.

use std::time::Duration;

use super::members::MemberSet;
use crate::ids::NodeId;
use crate::time::Instant;

/// The token time-out divided by this is the time for which a node that has refused must not be heard. A process may be
/// stopped for as long, whatever its host says.
const PART: u32 = 2;

/// A node that was asked.
#[derive(Clone, Copy, Debug)]
struct Asked {
    node: NodeId,
    /// When it has refused first.
    refused_at: Option<Instant>,
}

/// The nodes that were asked; see the module.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// There are at most as many as members.
    asked: Vec<Asked>,
    /// The node that was asked while all was well, until it is asked again for a reason.
    tried: Option<NodeId>,
    /// Whether that was done on this ring.
    tried_out: bool,
    /// Nodes whose hosts refuse though their processes are there.
    unreliable: MemberSet,
}

impl Refusals {
    /// The token has come, this node has missed what was sent, or a ring is formed: nobody is suspected any more.
    pub(super) fn clear(&mut self) {
        self.asked.clear();
    }

    /// A ring was installed, on which these nodes are that were on the last one too.
    pub(super) fn installed(&mut self, stayed: &MemberSet) {
        self.clear();
        (self.tried, self.tried_out) = (None, false);
        self.unreliable = self.unreliable.both(stayed);
    }

    /// The node was heard; `stayed`: it is the process that was on this ring before.
    pub(super) fn heard(&mut self, node: NodeId, stayed: bool) {
        if let Some(at) = self.asked.iter().position(|asked| asked.node == node)
            && self.asked.swap_remove(at).refused_at.is_some()
            && stayed
        {
            self.disbelieve(node);
        }
    }

    fn disbelieve(&mut self, node: NodeId) {
        if self.unreliable.insert(node) {
            tracing::info!(
                %node,
                "the host of this node says that no process receives there, though the node is heard; that is not believed, \
                 and the end of its daemon shows in silence alone (a firewall there rejects what comes from other ports)"
            );
        }
    }

    /// All is well. Returns whether to ask this node, which is the next one.
    pub(super) const fn try_out(&mut self, node: NodeId) -> bool {
        if self.tried_out {
            return false;
        }
        (self.tried, self.tried_out) = (Some(node), true);
        true
    }

    /// The node is asked, or asked again, because it is not heard.
    pub(super) fn ask(&mut self, node: NodeId) {
        self.tried = None;
        if !self.asked.iter().any(|asked| asked.node == node) {
            self.asked.push(Asked { node, refused_at: None });
        }
    }

    /// The node's host has refused a probe.
    pub(super) fn refused(&mut self, now: Instant, node: NodeId) {
        if self.tried == Some(node) {
            self.disbelieve(node);
        }
        if self.unreliable.contains(node) {
            return;
        }
        if let Some(asked) = self.asked.iter_mut().find(|asked| asked.node == node) {
            asked.refused_at.get_or_insert(now);
        }
    }

    /// Takes a node whose process has ended.
    pub(super) fn take_ended(&mut self, now: Instant, token: Duration) -> Option<NodeId> {
        let ended = |at| now.since(at) >= token / PART;
        let at = self.asked.iter().position(|asked| asked.refused_at.is_some_and(ended))?;
        Some(self.asked.swap_remove(at).node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::node;
    use crate::totem::srp::io::Action;
    use crate::totem::srp::sample;

    const TOKEN: Duration = Duration::from_millis(400);

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1000 * ms)
    }

    /// Node 2 is asked every 20 ms up to a time. Returns when it counts as ended.
    fn asked(refusals: &mut Refusals, times: std::ops::Range<u64>) -> Option<u64> {
        times.step_by(20).find(|ms| {
            refusals.ask(node(2));
            refusals.take_ended(at(*ms), TOKEN) == Some(node(2))
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
        assert_eq!(asked(&mut refusals, 1000..2000), Some(1200));
    }

    #[test]
    fn a_node_that_is_heard_after_it_has_refused_is_not_believed_again() {
        let mut refusals = Refusals::default();
        assert_eq!(asked(&mut refusals, 0..20), None);
        refusals.refused(at(10), node(2));
        refusals.heard(node(2), true);
        assert_eq!(asked(&mut refusals, 20..500), None);
        refusals.refused(at(500), node(2));
        assert_eq!(asked(&mut refusals, 520..1000), None);
        refusals.installed(&MemberSet::new([1, 2].map(node)));
        refusals.ask(node(2));
        refusals.refused(at(1000), node(2));
        assert_eq!(asked(&mut refusals, 1020..2000), None, "on the next ring neither");
        refusals.installed(&MemberSet::new([1, 3].map(node)));
        refusals.ask(node(2));
        refusals.refused(at(2000), node(2));
        assert_eq!(asked(&mut refusals, 2020..3000), Some(2200), "it was away");
    }

    #[test]
    fn a_node_that_starts_again_or_whose_token_comes_is_believed_the_next_time() {
        let begins_anew: [fn(&mut Refusals); 2] =
            [|refusals| refusals.heard(node(2), false), Refusals::clear];
        for anew in begins_anew {
            let mut refusals = Refusals::default();
            refusals.ask(node(2));
            refusals.refused(at(10), node(2));
            anew(&mut refusals);
            assert_eq!(asked(&mut refusals, 20..500), None);
            refusals.refused(at(500), node(2));
            assert_eq!(asked(&mut refusals, 500..1000), Some(700));
        }
    }

    #[test]
    fn a_node_that_refuses_while_all_is_well_is_not_believed() {
        let mut refusals = Refusals::default();
        assert!(refusals.try_out(node(2)) && !refusals.try_out(node(2)), "once on each ring");
        refusals.clear();
        refusals.refused(at(1), node(2));
        refusals.ask(node(2));
        refusals.refused(at(10), node(2));
        assert_eq!(asked(&mut refusals, 20..1000), None);
    }

    /// Node 1 on a ring of three, and whom it asks when it sends the token again.
    fn asks(within: Option<Duration>, ours: &[u32]) -> Vec<NodeId> {
        let mut ring = sample::ring(3);
        (ring.successor, ring.within) = (node(2), within);
        ring.ours = MemberSet::new(ours.iter().map(|id| node(*id)));
        ring.repeat_token();
        let probes = ring.actions.drain(..).filter_map(|action| match action {
            Action::Probe(node) => Some(node),
            _ => None,
        });
        probes.collect()
    }

    #[test]
    fn the_next_node_is_asked_when_the_token_is_sent_again_unless_it_may_be_one_of_corosync() {
        assert_eq!(asks(Some(TOKEN), &[1, 2, 3]), [node(2)]);
        assert_eq!(asks(Some(TOKEN), &[1, 3]), []);
        assert_eq!(asks(None, &[1, 2, 3]), []);
    }
}
