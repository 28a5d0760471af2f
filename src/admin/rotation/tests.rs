//! Nodes on one ring change their key: their messages are delivered to all in one order.

use std::collections::VecDeque;

use super::*;
use crate::ids::node;

const NOW: Instant = Instant::ZERO;
const CLIENT: ConnId = ConnId(7);

fn key() -> Secret {
    Secret::new(vec![1; 256])
}

/// Nodes on one ring, whose messages are delivered to all in one order.
struct Ring {
    nodes: BTreeMap<u32, Rotation>,
    order: VecDeque<(NodeId, KeyTalk)>,
    /// The result of storing a key at each node.
    stores: BTreeMap<u32, Result<(), String>>,
    /// For nodes that cannot replace their key file: the reason.
    unkept: BTreeMap<u32, String>,
    done: Vec<(u32, Act)>,
}

impl Ring {
    fn new(ids: &[u32]) -> Self {
        let mut nodes: BTreeMap<u32, Rotation> =
            ids.iter().map(|id| (*id, Rotation::new(node(*id)))).collect();
        nodes.values_mut().for_each(|one| one.view(&View::regular(4, ids)));
        let stores = ids.iter().map(|id| (*id, Ok(()))).collect();
        Self { nodes, order: VecDeque::new(), stores, unkept: BTreeMap::new(), done: Vec::new() }
    }

    fn act(&mut self) {
        for (id, one) in &mut self.nodes {
            loop {
                let acts = one.acts();
                if acts.is_empty() {
                    break;
                }
                for act in acts {
                    match act {
                        Act::Make => one.made(Ok((key(), 5))),
                        Act::Say(talk) => self.order.push_back((node(*id), talk)),
                        Act::Store(stored, in_use) => {
                            assert_eq!((stored, in_use), (key(), 5));
                            if let Some(outcome) = self.stores.remove(id) {
                                one.stored(outcome);
                            }
                        }
                        Act::Begin => {
                            self.done.push((*id, Act::Begin));
                            one.switched();
                        }
                        Act::Keep => {
                            self.done.push((*id, Act::Keep));
                            let used = (6, "aes256/sha256".to_owned());
                            one.kept(self.unkept.remove(id).map_or(Ok(used), Err));
                        }
                        other @ (Act::Drop | Act::Answer(..)) => self.done.push((*id, other)),
                    }
                }
            }
        }
    }

    fn run(&mut self) {
        self.act();
        while let Some((from, talk)) = self.order.pop_front() {
            self.nodes.values_mut().for_each(|one| one.heard(from, talk.clone(), NOW));
            self.act();
        }
    }

    fn node(&mut self, id: u32) -> &mut Rotation {
        self.nodes.get_mut(&id).unwrap()
    }

    /// Asks a node for a new key, and runs.
    fn change(&mut self, id: u32) {
        self.node(id).ask(CLIENT, NOW);
        self.run();
    }

    fn of(&self, id: u32) -> Vec<&Act> {
        self.done.iter().filter(|(node, _)| *node == id).map(|(_, act)| act).collect()
    }
}

fn used() -> KeyUse {
    KeyUse::Uses { print: 6, next: None, suite: "aes256/sha256".to_owned() }
}

fn all_gave_up(ring: &Ring, words: &str) {
    for id in ring.nodes.keys() {
        assert_eq!(ring.of(*id)[0], &Act::Drop, "{id}");
        assert!(!ring.of(*id).contains(&&Act::Keep));
    }
    let Some((_, Act::Answer(CLIENT, status, why, keys))) =
        ring.done.iter().find(|(_, act)| matches!(act, Act::Answer(..)))
    else {
        panic!("nobody is answered: {:?}", ring.done)
    };
    assert!(*status != Status::Ok && why.contains(words) && keys.is_empty(), "{why}");
    assert!(ring.nodes.values().all(|one| !one.is_running() && one.deadline().is_none()));
}

#[test]
fn all_store_the_key_before_any_uses_it() {
    let mut ring = Ring::new(&[1, 2, 3]);
    let slow = ring.stores.remove(&3).unwrap();
    ring.change(1);
    assert!(ring.done.is_empty(), "node 3 has not stored it");
    ring.node(3).stored(slow);
    ring.run();
    for id in [1, 2, 3] {
        assert_eq!(ring.of(id)[..2], [&Act::Begin, &Act::Keep]);
    }
    let used = |id| NodeKey { node: node(id), uses: used() };
    let answer = Act::Answer(CLIENT, Status::Ok, String::new(), vec![used(1), used(2), used(3)]);
    assert_eq!(ring.of(1)[2], &answer);
    assert!(ring.nodes.values().all(|one| !one.is_running()));
}

#[test]
fn a_node_that_cannot_store_the_key_ends_the_change_everywhere() {
    let mut ring = Ring::new(&[1, 2, 3]);
    ring.stores.insert(2, Err("/etc/corosync is full".to_owned()));
    ring.change(1);
    all_gave_up(&ring, "node 2: /etc/corosync is full");
}

#[test]
fn a_node_that_does_not_answer_ends_the_change_everywhere() {
    let mut ring = Ring::new(&[1, 2, 3]);
    ring.stores.remove(&2);
    ring.change(1);
    let until = ring.nodes[&3].deadline().unwrap();
    assert_eq!(until, NOW + STORE_PATIENCE);
    ring.node(3).expired(until);
    ring.run();
    all_gave_up(&ring, "node 2 did not store");
    // A key that it stores afterwards is removed again.
    ring.node(2).stored(Ok(()));
    ring.run();
    assert_eq!(ring.of(2), [&Act::Drop, &Act::Drop]);
}

#[test]
fn the_stored_key_is_kept_if_the_ring_breaks_before_the_decision() {
    let mut ring = Ring::new(&[1, 2, 3]);
    ring.stores.remove(&3);
    ring.change(1);
    ring.nodes.values_mut().for_each(|one| one.view(&View::regular(8, &[1, 2, 3])));
    ring.act();
    assert_eq!(ring.of(2), Vec::<&Act>::new(), "others may have decided");
    assert!(matches!(ring.of(1)[..], [Act::Answer(CLIENT, Status::TryAgain, ..)]));
    // No node can have decided without the message of the one that had not stored the key.
    ring.node(3).stored(Ok(()));
    ring.act();
    assert_eq!(ring.of(3), [&Act::Drop]);
}

#[test]
fn a_key_file_that_cannot_be_replaced_is_reported() {
    let mut ring = Ring::new(&[1, 2]);
    ring.unkept.insert(2, "its disk is broken".to_owned());
    ring.change(1);
    let Some(Act::Answer(CLIENT, Status::Library, why, keys)) = ring.of(1).last() else { panic!() };
    assert!(why.contains("node 2 uses the new key, but its disk is broken"), "{why}");
    assert_eq!(keys[0], NodeKey { node: node(1), uses: used() });
}

#[test]
fn the_key_file_is_replaced_after_the_ring_went_over_however_long_that_takes() {
    let mut one = Rotation::new(node(1));
    one.view(&View::regular(4, &[1]));
    let round = RoundId { node: 1, ring: 4, count: 0 };
    one.heard(node(1), KeyTalk::Offer { round, in_use: 5, key: key() }, NOW);
    one.heard(node(1), KeyTalk::Stored(round), NOW);
    assert_eq!(one.acts(), [Act::Store(key(), 5), Act::Begin]);
    one.expired(one.deadline().unwrap());
    assert!(one.is_running(), "the ring has not gone over");
    one.ask(CLIENT, NOW);
    assert!(matches!(one.acts()[..], [Act::Answer(CLIENT, Status::TryAgain, ..)]));
    one.switched();
    assert_eq!(one.acts(), [Act::Keep]);
    assert!(!one.is_running());
}

#[test]
fn a_member_that_leaves_after_the_decision_is_not_awaited() {
    let mut ring = Ring::new(&[1, 2, 3]);
    ring.node(1).ask(CLIENT, NOW);
    ring.act();
    while let Some((from, talk)) = ring.order.pop_front() {
        if !(from == node(3) && matches!(talk, KeyTalk::Uses { .. })) {
            ring.nodes.values_mut().for_each(|one| one.heard(from, talk.clone(), NOW));
        }
        ring.act();
    }
    assert!(ring.nodes[&1].is_running());
    ring.node(1).view(&View::regular(8, &[1, 2]));
    ring.act();
    let Some(Act::Answer(CLIENT, Status::Ok, _, keys)) = ring.of(1).last() else { panic!() };
    assert_eq!(keys[2], NodeKey { node: node(3), uses: KeyUse::Away });
}

#[test]
fn only_one_change_of_the_key_runs_at_a_time() {
    let mut ring = Ring::new(&[1, 2]);
    ring.node(1).ask(CLIENT, NOW);
    ring.node(2).ask(ConnId(8), NOW);
    ring.node(2).ask(ConnId(9), NOW);
    ring.run();
    let answers = |id| {
        ring.of(id).into_iter().filter(|act| matches!(act, Act::Answer(_, Status::TryAgain, ..))).count()
    };
    assert_eq!((answers(1), answers(2)), (0, 2));
    assert!(ring.of(1).contains(&&Act::Keep));
}

#[test]
fn messages_without_a_round_have_no_effect() {
    let mut one = Rotation::new(node(1));
    one.view(&View::regular(4, &[1, 2]));
    let round = RoundId { node: 2, ring: 4, count: 0 };
    for talk in [
        KeyTalk::Stored(round),
        KeyTalk::Refused(round, String::new()),
        KeyTalk::Expire(round),
        KeyTalk::Uses { round, print: 0, next: None, suite: String::new() },
        KeyTalk::Ask(round),
        KeyTalk::Offer { round: RoundId { node: 1, ..round }, in_use: 0, key: key() },
    ] {
        one.heard(node(2), talk, NOW);
    }
    assert_eq!(one.acts(), []);
}
