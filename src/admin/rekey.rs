//! The change of a running ring to another key or cipher: a pure state machine.
//!
//! After the preceding reload, every member accepts packets that are sealed with the new key or cipher. Each member
//! then multicasts that it will switch (phase 1), switches when it receives this message itself, multicasts that it
//! has switched (phase 2), and forgets the old key. Corosync's nodes forget it when they receive their own phase 2.
//! Here it is kept until phase 2 of all members has been received, because members that have not switched yet must
//! still be heard. This time is limited, because a key may be replaced for a reason that forbids further use.
//!
//! On a ring of annulus nodes alone these messages use safe delivery: a node that has not received the decision
//! cannot decrypt packets sealed with the new key, including retransmissions of that decision, so no node switches
//! before all have received it. Corosync's nodes deliver theirs as agreed, switch while they send the first message,
//! and forget the old key while they send the second, one rotation later. On a ring with them a node must be as fast,
//! so its messages are agreed then.
//!
//! Source: corosync `exec/cfg.c`, the handler of `CRYPTO_RECONFIG`; docs/protocol/services.md, "Change of the
//! key".

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ids::{Guarantee, NodeId};
use crate::time::Instant;

/// How long other members may take to switch after this node.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Phase 1: the sender uses the new key.
pub(super) const USES: u32 = 1;
/// Phase 2: the sender forgets the old key.
pub(super) const FORGETS: u32 = 2;

/// An action for the desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Multicast this phase.
    Say(u32, Guarantee),
    /// Encrypt with the new key from now on.
    Switch,
    /// Forget the old key.
    Finish,
}

/// The progress of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No change is running.
    Idle,
    /// The other members may use the new key.
    Prepared,
    /// This node uses the new key.
    Switched,
    /// This node has sent phase 2, and waits for the others.
    Waiting { until: Instant },
}

/// The change of the key at this node.
#[derive(Debug)]
pub(super) struct Rekey {
    me: NodeId,
    members: BTreeSet<NodeId>,
    stage: Stage,
    /// The guarantee of this node's messages.
    guarantee: Guarantee,
    /// The members that have switched.
    switched: BTreeSet<NodeId>,
    acts: Vec<Act>,
}

impl Rekey {
    pub(super) const fn new(me: NodeId) -> Self {
        Self {
            me,
            members: BTreeSet::new(),
            stage: Stage::Idle,
            guarantee: Guarantee::Safe,
            switched: BTreeSet::new(),
            acts: Vec::new(),
        }
    }

    /// Takes the actions that are due, in this order.
    pub(super) fn acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    /// Whether a change is running.
    pub(super) fn is_running(&self) -> bool {
        self.stage != Stage::Idle
    }

    /// A reload begins, in which other nodes may be ahead of this one.
    pub(super) fn expect(&mut self) {
        if !self.is_running() {
            self.switched.clear();
        }
    }

    /// This node accepts packets that are sealed with the new key. `guarantee`: agreed on a ring with Corosync's
    /// nodes, otherwise safe.
    pub(super) fn begin(&mut self, guarantee: Guarantee) {
        self.stage = Stage::Prepared;
        self.guarantee = guarantee;
        self.acts.push(Act::Say(USES, guarantee));
    }

    /// Handles a phase of a member, in the order of all messages.
    pub(super) fn heard(&mut self, from: NodeId, phase: u32, now: Instant) {
        if phase == FORGETS {
            self.switched.insert(from);
        }
        if from == self.me {
            match (self.stage, phase) {
                (Stage::Prepared, USES) => {
                    self.stage = Stage::Switched;
                    self.acts.extend([Act::Switch, Act::Say(FORGETS, self.guarantee)]);
                }
                (Stage::Switched, FORGETS) => self.stage = Stage::Waiting { until: now + PATIENCE },
                // A message of an earlier change.
                (Stage::Idle | Stage::Prepared | Stage::Switched | Stage::Waiting { .. }, _) => {}
            }
        }
        self.conclude();
    }

    /// Handles a new ring.
    pub(super) fn view(&mut self, members: &[NodeId]) {
        self.members = members.iter().copied().collect();
        self.conclude();
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Waiting { until } => Some(until),
            Stage::Idle | Stage::Prepared | Stage::Switched => None,
        }
    }

    pub(super) fn expired(&mut self, now: Instant) {
        if self.deadline().is_some_and(|until| until <= now) {
            let late: Vec<u32> = self.members.difference(&self.switched).map(|node| node.get()).collect();
            tracing::warn!(
                ?late,
                "these members did not say that they have changed their key or cipher; the old one is not accepted any \
                 more. If they leave the ring, give them this node's key, cipher and hash and restart them"
            );
            self.finish();
        }
    }

    fn conclude(&mut self) {
        if matches!(self.stage, Stage::Waiting { .. }) && self.members.is_subset(&self.switched) {
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.stage = Stage::Idle;
        self.switched.clear();
        self.acts.push(Act::Finish);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::node;

    fn on_ring_of_two() -> Rekey {
        let mut rekey = Rekey::new(node(1));
        rekey.view(&[node(1), node(2)]);
        rekey.expect();
        rekey
    }

    const NOW: Instant = Instant::ZERO;

    #[test]
    fn a_node_switches_at_its_own_message_alone() {
        let mut rekey = on_ring_of_two();
        rekey.begin(Guarantee::Safe);
        assert_eq!(rekey.acts(), [Act::Say(USES, Guarantee::Safe)]);
        rekey.heard(node(2), USES, NOW);
        assert_eq!(rekey.acts(), []);
        rekey.heard(node(1), USES, NOW);
        assert_eq!(rekey.acts(), [Act::Switch, Act::Say(FORGETS, Guarantee::Safe)]);
    }

    #[test]
    fn the_old_key_is_kept_until_all_have_switched() {
        let mut rekey = on_ring_of_two();
        rekey.begin(Guarantee::Safe);
        rekey.heard(node(1), USES, NOW);
        rekey.acts();
        rekey.heard(node(1), FORGETS, NOW);
        assert_eq!(rekey.acts(), []);
        assert!(rekey.is_running());
        rekey.heard(node(2), FORGETS, NOW);
        assert_eq!(rekey.acts(), [Act::Finish]);
        assert!(!rekey.is_running() && rekey.deadline().is_none());
    }

    #[test]
    fn a_member_that_switched_first_counts() {
        let mut rekey = on_ring_of_two();
        rekey.heard(node(2), USES, NOW);
        rekey.heard(node(2), FORGETS, NOW);
        rekey.begin(Guarantee::Safe);
        rekey.heard(node(1), USES, NOW);
        rekey.heard(node(1), FORGETS, NOW);
        let expected =
            [Act::Say(USES, Guarantee::Safe), Act::Switch, Act::Say(FORGETS, Guarantee::Safe), Act::Finish];
        assert_eq!(rekey.acts(), expected);
    }

    #[test]
    fn members_that_leave_or_stay_silent_are_not_awaited() {
        for leaves in [true, false] {
            let mut rekey = on_ring_of_two();
            rekey.begin(Guarantee::Safe);
            rekey.heard(node(1), USES, NOW);
            rekey.heard(node(1), FORGETS, NOW);
            rekey.acts();
            if leaves {
                rekey.view(&[node(1)]);
            } else {
                let until = rekey.deadline().unwrap();
                assert_eq!(until, NOW + PATIENCE);
                rekey.expired(NOW);
                assert_eq!(rekey.acts(), []);
                rekey.expired(until);
            }
            assert_eq!(rekey.acts(), [Act::Finish]);
        }
    }

    #[test]
    fn messages_without_a_change_have_no_effect() {
        let mut rekey = on_ring_of_two();
        for phase in [0, USES, FORGETS, 3, u32::MAX] {
            rekey.heard(node(1), phase, NOW);
        }
        assert_eq!(rekey.acts(), []);
        assert!(!rekey.is_running());
    }

    #[test]
    fn the_next_change_waits_for_all_again() {
        let mut rekey = on_ring_of_two();
        for _ in 0..2 {
            rekey.expect();
            rekey.begin(Guarantee::Safe);
            rekey.heard(node(1), USES, NOW);
            rekey.heard(node(1), FORGETS, NOW);
            assert_eq!(rekey.acts().last(), Some(&Act::Say(FORGETS, Guarantee::Safe)));
            rekey.heard(node(2), FORGETS, NOW);
            assert_eq!(rekey.acts(), [Act::Finish]);
        }
    }
}
