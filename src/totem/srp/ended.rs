//! Finding out which members' processes have ended; `refusals.rs` says how.

use super::gather::Gather;
use super::members::MemberSet;
use super::ring::Ring;
use crate::ids::NodeId;
use crate::time::Instant;

/// The most nodes that are asked at a time while a ring is formed.
const AT_ONCE: usize = 16;

/// This node repeats its join message: asks the members of the old ring that have not agreed.
pub(super) fn ask_silent(ring: &mut Ring, now: Instant, gather: &Gather) {
    let silent = gather.silent(ring);
    let members: Vec<NodeId> =
        silent.as_slice().iter().copied().filter(|node| ring.members.contains(*node)).collect();
    // Those whose hosts are gone as well must not hide the others.
    let first = ring.draw(members.len() as u64) as usize;
    for node in members.iter().copied().cycle().skip(first).take(members.len().min(AT_ONCE)) {
        ring.ask(now, node);
    }
}

/// A node's process has ended: the others form a ring without it. Returns `false` if it was given up before.
pub(super) fn give_up(ring: &mut Ring, node: NodeId) -> bool {
    if !ring.active().contains(node) {
        return false;
    }
    tracing::warn!(
        %node, ring = %ring.current,
        "no process receives on the host of this node, which says so: its daemon has ended, and the others go on"
    );
    ring.failed.merge(&MemberSet::new([node]));
    true
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::totem::srp::hearing::Hearing;
    use crate::totem::srp::io::Action;
    use crate::totem::srp::next::Cause;
    use crate::totem::srp::sample::{self, node};

    /// Node 1 on a ring of three whose token time-out follows from measurement.
    fn measured() -> Ring {
        let mut ring = sample::ring(3);
        ring.within = Some(Duration::from_millis(300));
        ring.detect();
        ring
    }

    fn asked(ring: &mut Ring) -> Vec<NodeId> {
        let probes = ring.actions.drain(..).filter_map(|action| match action {
            Action::Probe(node) => Some(node),
            _ => None,
        });
        probes.collect()
    }

    #[test]
    fn the_next_node_is_asked_when_the_token_is_sent_again() {
        let mut ring = measured();
        ring.successor = node(2);
        ring.repeat_token(Instant::ZERO);
        assert_eq!(asked(&mut ring), [node(2)]);
    }

    #[test]
    fn a_node_that_may_be_one_of_corosync_is_not_asked() {
        let mut ring = sample::ring(3);
        ring.successor = node(2);
        (0..5).for_each(|_| ring.repeat_token(Instant::ZERO));
        let gather = Gather::enter(&mut ring, Instant::ZERO, Cause::TokenLost);
        ask_silent(&mut ring, Instant::ZERO, &gather);
        assert_eq!(asked(&mut ring), []);
    }

    #[test]
    fn members_that_do_not_agree_are_asked_and_others_are_not() {
        let mut ring = measured();
        ring.proc.insert(node(9));
        ring.hearing = Some(Hearing { since: Instant::ZERO, wait: Duration::from_secs(1) });
        let gather = Gather::enter(&mut ring, Instant::ZERO, Cause::TokenLost);
        ask_silent(&mut ring, Instant::ZERO, &gather);
        let mut both = asked(&mut ring);
        both.sort_unstable();
        assert_eq!(both, [node(2), node(3)]);
        assert!(give_up(&mut ring, node(3)));
        assert!(!give_up(&mut ring, node(3)), "once");
        ask_silent(&mut ring, Instant::ZERO, &gather);
        assert_eq!(asked(&mut ring), [node(2)]);
    }
}
