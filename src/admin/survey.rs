//! The query for the keys in use on all nodes: one node asks, all nodes of annulusd answer. A pure state
//! machine.
//!
//! Corosync's nodes do not understand the question; a node that has not answered in time is one of them, or too slow.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::key_use::{KeyUse, NodeKey};
use super::wire::RoundId;
use super::wire::keytalk::KeyTalk;
use crate::ids::{ConnId, NodeId};
use crate::time::Instant;
use crate::view::View;

/// How long nodes may take to answer, changes of the ring included.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Largest number of clients that wait for an answer; further ones are told to try again.
pub(super) const WAITING_LIMIT: usize = 64;
/// Largest number of other nodes' questions that wait for this node's data; further ones are not answered.
const ASKED_LIMIT: usize = 384;

/// The request that a client made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A list of the keys in use.
    Know,
    /// A new key, if all nodes can accept it.
    Rotate,
}

/// An action for the desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Multicast this message to all members.
    Say(KeyTalk),
    /// Find out which key this node uses; the result is passed to [`Survey::uses`].
    Look,
    /// Report the keys of the members to these clients.
    Tell(Vec<(ConnId, Purpose)>, Vec<NodeKey>),
}

#[derive(Debug)]
struct Running {
    id: RoundId,
    told: BTreeMap<NodeId, KeyUse>,
    until: Instant,
    waiting: Vec<(ConnId, Purpose)>,
}

/// The state of queries at this node.
#[derive(Debug)]
pub(super) struct Survey {
    me: NodeId,
    ring: u64,
    members: BTreeSet<NodeId>,
    count: u32,
    running: Option<Running>,
    /// Questions that this node is to answer.
    asked: BTreeSet<RoundId>,
    acts: Vec<Act>,
}

impl Survey {
    pub(super) const fn new(me: NodeId) -> Self {
        Self {
            me,
            ring: 0,
            members: BTreeSet::new(),
            count: 0,
            running: None,
            asked: BTreeSet::new(),
            acts: Vec::new(),
        }
    }

    /// Takes the actions that are due, in this order.
    pub(super) fn acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    /// Whether the number of waiting clients has reached its limit.
    pub(super) fn is_full(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.waiting.len() >= WAITING_LIMIT)
    }

    /// Handles a client's query.
    pub(super) fn ask(&mut self, conn: ConnId, purpose: Purpose, now: Instant) {
        if let Some(running) = &mut self.running {
            running.waiting.push((conn, purpose));
            return;
        }
        let id = RoundId { node: self.me.get(), ring: self.ring, count: self.count };
        self.count = self.count.wrapping_add(1);
        let waiting = vec![(conn, purpose)];
        self.running = Some(Running { id, told: BTreeMap::new(), until: now + PATIENCE, waiting });
        self.acts.push(Act::Say(KeyTalk::Ask(id)));
    }

    /// A client has disconnected.
    pub(super) fn forget(&mut self, conn: ConnId) {
        if let Some(running) = &mut self.running {
            running.waiting.retain(|(waiting, _)| *waiting != conn);
        }
    }

    /// Handles a message of a node of annulusd.
    pub(super) fn heard(&mut self, from: NodeId, talk: &KeyTalk) {
        match talk {
            KeyTalk::Ask(round) => {
                if self.asked.len() < ASKED_LIMIT && self.asked.insert(*round) {
                    self.acts.push(Act::Look);
                }
            }
            KeyTalk::Uses { round, print, next, suite } => {
                if let Some(running) = self.running.as_mut().filter(|running| running.id == *round) {
                    let uses = KeyUse::Uses { print: *print, next: *next, suite: suite.clone() };
                    running.told.insert(from, uses);
                    self.conclude();
                }
            }
            KeyTalk::Offer { .. } | KeyTalk::Stored(_) | KeyTalk::Refused(..) | KeyTalk::Expire(_) => {}
        }
    }

    /// Handles the result of [`Act::Look`]: the key that this node uses.
    pub(super) fn uses(&mut self, print: u64, next: Option<u64>, suite: &str) {
        for round in std::mem::take(&mut self.asked) {
            self.acts.push(Act::Say(KeyTalk::Uses { round, print, next, suite: suite.to_owned() }));
        }
    }

    /// Handles a new ring.
    pub(super) fn view(&mut self, view: &View) {
        self.ring = view.ring.seq;
        self.members = view.members.iter().copied().collect();
        self.conclude();
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.running.as_ref().map(|running| running.until)
    }

    pub(super) fn expired(&mut self, now: Instant) {
        if self.deadline().is_some_and(|until| until <= now) {
            self.end();
        }
    }

    fn conclude(&mut self) {
        if let Some(running) = &self.running
            && !self.members.is_empty()
            && self.members.iter().all(|member| running.told.contains_key(member))
        {
            self.end();
        }
    }

    fn end(&mut self) {
        let Some(Running { mut told, waiting, .. }) = self.running.take() else { return };
        let keys = self
            .members
            .iter()
            .map(|member| NodeKey { node: *member, uses: told.remove(member).unwrap_or(KeyUse::Silent) });
        self.acts.push(Act::Tell(waiting, keys.collect()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::node;

    const NOW: Instant = Instant::ZERO;
    const CLIENT: (ConnId, Purpose) = (ConnId(7), Purpose::Know);

    fn on_ring(members: &[u32]) -> Survey {
        let mut survey = Survey::new(node(1));
        survey.view(&View::regular(4, members));
        survey
    }

    fn asked(survey: &mut Survey) -> RoundId {
        survey.ask(CLIENT.0, CLIENT.1, NOW);
        match survey.acts()[..] {
            [Act::Say(KeyTalk::Ask(round))] => round,
            ref other => panic!("{other:?}"),
        }
    }

    fn says(survey: &mut Survey, id: u32, round: RoundId) {
        let talk = KeyTalk::Uses { round, print: id.into(), next: None, suite: "x".to_owned() };
        survey.heard(node(id), &talk);
    }

    fn used(id: u32) -> NodeKey {
        let uses = KeyUse::Uses { print: id.into(), next: None, suite: "x".to_owned() };
        NodeKey { node: node(id), uses }
    }

    #[test]
    fn clients_are_answered_when_all_nodes_have_answered() {
        let mut survey = on_ring(&[1, 2]);
        let round = asked(&mut survey);
        // A client that asks in the meantime waits for the same answers.
        survey.ask(ConnId(8), Purpose::Rotate, NOW);
        survey.heard(node(1), &KeyTalk::Ask(round));
        assert_eq!(survey.acts(), [Act::Look]);
        survey.uses(1, None, "x");
        assert!(matches!(survey.acts()[..], [Act::Say(KeyTalk::Uses { print: 1, .. })]));
        says(&mut survey, 1, round);
        assert_eq!(survey.acts(), []);
        says(&mut survey, 2, round);
        let waiting = vec![CLIENT, (ConnId(8), Purpose::Rotate)];
        assert_eq!(survey.acts(), [Act::Tell(waiting, vec![used(1), used(2)])]);
        assert_eq!(survey.deadline(), None);
    }

    #[test]
    fn nodes_that_do_not_answer_are_reported() {
        let mut survey = on_ring(&[1, 2]);
        let round = asked(&mut survey);
        says(&mut survey, 1, round);
        survey.expired(NOW);
        assert_eq!(survey.acts(), []);
        survey.expired(NOW + PATIENCE);
        let silent = NodeKey { node: node(2), uses: KeyUse::Silent };
        assert_eq!(survey.acts(), [Act::Tell(vec![CLIENT], vec![used(1), silent])]);
    }

    #[test]
    fn answers_to_other_questions_do_not_count() {
        let mut survey = on_ring(&[1]);
        let round = asked(&mut survey);
        says(&mut survey, 1, RoundId { node: 2, ..round });
        assert_eq!(survey.acts(), []);
    }

    #[test]
    fn each_question_is_answered_once_up_to_a_limit() {
        let mut survey = on_ring(&[1]);
        for count in (0..1000).chain(0..1000) {
            survey.heard(node(2), &KeyTalk::Ask(RoundId { node: 2, ring: 4, count }));
        }
        assert_eq!(survey.acts().len(), ASKED_LIMIT);
        survey.uses(1, None, "x");
        assert_eq!(survey.acts().len(), ASKED_LIMIT);
    }
}
