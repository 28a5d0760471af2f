//! Members whose hosts say that nobody receives there: their processes have ended.
//!
//! A host answers a datagram for a port that no process has with an error message (ICMP: port unreachable). So the end of
//! a process can be known in milliseconds, while that of its host shows only in silence. Such messages can be forged, and
//! one that came by itself proves nothing. So this node asks, with probes whose contents nobody else knows, and only
//! answers that quote them count ([`Input::Refused`](super::io::Input::Refused)). A process that is stopped or slow still
//! has its port, and its host is silent.
//!
//! It asks the node to which it has passed the token, once the token is sent there again, and the members of the old ring
//! that send no join messages; `ended.rs` does that. A node that receives the same token again says at once that it is
//! there, with a merge detect message of its own ring, which has no other effect. So one that has refused is given up when
//! it is asked in vain after a part of the token time-out, without having been heard since. It need not refuse each time,
//! because hosts send few such messages in a second, and one may have been provoked by any datagram.
//!
//! Some hosts refuse though the process is there, because of a firewall. So the next node is asked once on each ring while
//! all is well, and a node that has refused and is heard after it is not believed again.
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
    ended: bool,
}

/// The nodes that were asked; see the module.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// There are at most as many as members.
    asked: Vec<Asked>,
    /// The node that was asked while all was well, until it is asked again for a reason.
    tried: Option<NodeId>,
    /// Nodes whose hosts refuse though their processes are there.
    unreliable: MemberSet,
}

impl Refusals {
    /// This node has missed what was sent, or a ring is formed: all begins anew.
    pub(super) fn clear(&mut self) {
        self.asked.clear();
        self.tried = None;
    }

    /// A ring of these members was installed.
    pub(super) fn installed(&mut self, members: &MemberSet) {
        self.clear();
        let strangers = self.unreliable.minus(members);
        self.unreliable = self.unreliable.minus(&strangers);
    }

    /// The token has come, so all members are there.
    pub(super) fn token_came(&mut self) {
        while let Some(asked) = self.asked.pop() {
            self.is_there(asked);
        }
    }

    /// The node was heard.
    pub(super) fn heard(&mut self, node: NodeId) {
        if let Some(at) = self.asked.iter().position(|asked| asked.node == node) {
            let asked = self.asked.swap_remove(at);
            self.is_there(asked);
        }
    }

    fn is_there(&mut self, asked: Asked) {
        if asked.refused_at.is_some() {
            self.disbelieve(asked.node);
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

    /// The node is asked while all is well.
    pub(super) const fn try_out(&mut self, node: NodeId) {
        self.tried = Some(node);
    }

    /// The node is asked, or asked again, because it is not heard.
    pub(super) fn ask(&mut self, now: Instant, node: NodeId, token: Duration) {
        self.tried = None;
        match self.asked.iter_mut().find(|asked| asked.node == node) {
            Some(asked) => asked.ended |= asked.refused_at.is_some_and(|at| now.since(at) >= token / PART),
            None => self.asked.push(Asked { node, refused_at: None, ended: false }),
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
    pub(super) fn take_ended(&mut self) -> Option<NodeId> {
        let at = self.asked.iter().position(|asked| asked.ended)?;
        Some(self.asked.swap_remove(at).node)
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
        assert_eq!(asked(&mut refusals, 1000..2000), Some(1200));
    }

    #[test]
    fn a_node_that_is_heard_after_it_has_refused_is_not_believed_again() {
        let proofs: [fn(&mut Refusals); 2] = [|refusals| refusals.heard(node(2)), Refusals::token_came];
        for is_there in proofs {
            let mut refusals = Refusals::default();
            assert_eq!(asked(&mut refusals, 0..20), None);
            refusals.refused(at(10), node(2));
            is_there(&mut refusals);
            assert_eq!(asked(&mut refusals, 20..500), None);
            refusals.refused(at(500), node(2));
            assert_eq!(asked(&mut refusals, 520..1000), None);
            refusals.installed(&MemberSet::new([1, 2].map(node)));
            refusals.ask(at(1000), node(2), TOKEN);
            refusals.refused(at(1000), node(2));
            assert_eq!(asked(&mut refusals, 1020..2000), None, "on the next ring neither");
            refusals.installed(&MemberSet::new([1, 3].map(node)));
            refusals.ask(at(2000), node(2), TOKEN);
            refusals.refused(at(2000), node(2));
            assert_eq!(asked(&mut refusals, 2020..3000), Some(2200), "it was away");
        }
    }

    #[test]
    fn a_node_that_refuses_while_all_is_well_is_not_believed() {
        let mut refusals = Refusals::default();
        refusals.try_out(node(2));
        refusals.refused(at(0), node(2));
        refusals.ask(at(10), node(2), TOKEN);
        refusals.refused(at(10), node(2));
        assert_eq!(asked(&mut refusals, 20..1000), None);
    }
}
