//! Operational: what a node on a ring does with frames other than the token, and when it goes over to Gather.
//!
//! Totem paper, membership: foreign messages, join messages and the loss of the token end the operational
//! phase.

use super::gather::{self, Weight};
use super::next::{Cause, Next};
use super::ring::Ring;
use super::window::Stored;
use crate::ids::NodeId;
use crate::totem::wire::{Encapsulated, Join, Mcast, MergeDetect};

/// Handles a data frame.
pub(super) fn mcast(ring: &mut Ring, mcast: &Mcast<'_>, stored: impl FnOnce() -> Stored) -> Option<Next> {
    if mcast.ring == ring.current {
        // A recovery frame has nothing left to deliver, but it may fill a gap, if this node installed the
        // ring without it. Only a forged token can cause that.
        let due = mcast.encapsulated == Encapsulated::Plain || !ring.rotation.passed.is_before(mcast.seq);
        let misses = ring.reception.window.misses(mcast.seq);
        if due
            && !ring.is_known(mcast)
            && ring.reception.take_from_network(ring.rotation.passed, mcast.seq, stored())
        {
            ring.losses.frame(mcast.system_from);
            if misses >= ring.turnaround.patience(ring.timeouts.miss_count_const).max(1) {
                ring.losses.came_late(mcast.system_from, ring.me);
            }
            ring.deliver();
        } else {
            ring.losses.came_again(mcast.seq, &ring.rotation, &ring.reception, ring.me);
        }
        return None;
    }
    // A member's late frame of an earlier ring contains nothing new.
    if ring.members.contains(mcast.system_from) && mcast.ring.seq < ring.current.seq {
        return None;
    }
    Some(meet(ring, mcast.system_from, Cause::ForeignMessage(mcast.system_from)))
}

/// Handles a merge detect message, by which another ring's representative looks for rings; on this ring it is a member's
/// sign that it is there.
pub(super) fn merge_detect(ring: &mut Ring, probe: &MergeDetect) -> Option<Next> {
    if probe.ring == ring.current {
        return None;
    }
    Some(meet(ring, probe.from, Cause::MergeDetect(probe.from)))
}

/// Whether a join message ends this ring: always, unless it is this node's own, is outdated, or lists this
/// node as failed.
pub(super) fn join_counts(ring: &Ring, join: &Join) -> bool {
    let stale = ring.members.contains(join.from) && join.ring_seq < ring.current.seq;
    join.from != ring.me && !stale && !join.failed.contains(&ring.me)
}

/// Adopts a join message that ends this ring. Returns the cause to gather.
pub(super) fn join(ring: &mut Ring, join: &Join) -> Cause {
    match gather::weigh(ring, join) {
        Weight::New => gather::cause_of(join),
        Weight::Same | Weight::NothingNew => Cause::JoinOperational(join.from),
    }
}

/// A node of another ring was heard: gathers with it.
fn meet(ring: &mut Ring, node: NodeId, cause: Cause) -> Next {
    ring.proc.insert(node);
    Next::Gather(cause)
}

impl Ring {
    /// Whether the frame is in the installed ring's window already, or lies outside of it.
    pub(super) fn is_known(&self, mcast: &Mcast<'_>) -> bool {
        let window = &self.reception.window;
        !window.in_range(mcast.seq) || window.frame(mcast.seq).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Seq;
    use crate::totem::srp::io::Action;
    use crate::totem::srp::sample;

    fn receive(ring: &mut Ring, seq: u32, encapsulated: Encapsulated) {
        let frame = sample::mcast(ring.current, Seq(seq), encapsulated);
        assert!(mcast(ring, &frame, || sample::stored(&frame)).is_none(), "the ring stays");
    }

    /// A recovery frame on an operational ring may fill a gap, but must not occupy a number that is not yet
    /// assigned.
    #[test]
    fn a_recovery_frame_past_the_token_seq_is_dropped() {
        let mut ring = sample::ring(2);
        receive(&mut ring, 1, Encapsulated::Plain);
        ring.rotation.passed = Seq(3);
        for seq in [4, 5, 900] {
            receive(&mut ring, seq, Encapsulated::Recovery);
        }
        assert_eq!((ring.reception.high_seen, ring.delivered), (Seq(1), Seq(1)));

        receive(&mut ring, 2, Encapsulated::Recovery);
        receive(&mut ring, 3, Encapsulated::Plain);
        assert_eq!(ring.delivered, Seq(3), "the gap is filled");

        ring.actions.clear();
        receive(&mut ring, 4, Encapsulated::Plain);
        assert!(
            matches!(ring.actions.pop_front(), Some(Action::Packet { .. })),
            "the message itself is handed up"
        );
        assert_eq!(ring.delivered, Seq(4));
    }
}
