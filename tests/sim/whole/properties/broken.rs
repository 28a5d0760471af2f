//! Records that each break one property: the checks' own tests.

use std::collections::{BTreeMap, BTreeSet};

use annulus::ids::{ConnId, RingId};
use annulus::time::Instant;

use super::{Moves, anywhere};
use crate::network::id;
use crate::trace::Process;
use crate::whole::record::{Client, Participant, Record, Role, Seen, Standing, Verdict};
use crate::whole::speech::Member;

const JOIN: u32 = 1;

fn process(node: u32) -> Process {
    Process { node, life: 1 }
}

fn ring(seq: u64) -> RingId {
    RingId { rep: id(1), seq }
}

fn member(node: u32) -> Member {
    Member { node, pid: node * 10 }
}

/// A client of group `a` on each of two nodes, who moved together from ring 4 to ring 8 and heard messages 1 and 2 of the
/// first of them between the two.
fn good() -> (Record, Moves) {
    let mut clients = BTreeMap::new();
    for node in [1, 2] {
        let joins = |who: u32, members: &[u32]| Seen::Membership {
            group: "a".to_owned(),
            members: members.iter().map(|node| member(*node)).collect(),
            left: Vec::new(),
            joined: vec![(member(who), JOIN)],
        };
        let mut told = Vec::new();
        if node == 1 {
            told.push(joins(1, &[1]));
        }
        told.push(joins(2, &[1, 2]));
        told.push(Seen::Regular(ring(4)));
        told.push(Seen::Settled(ring(4), vec![id(1), id(2)]));
        told.extend([1, 2].map(|number| Seen::Message { group: "a".to_owned(), from: member(1), number }));
        told.push(Seen::Regular(ring(8)));
        told.push(Seen::Settled(ring(8), vec![id(1), id(2)]));
        let participant = Participant {
            pid: node * 10,
            group: "a",
            standing: Standing::In,
            sent: if node == 1 { vec![1, 2] } else { Vec::new() },
            told,
            stalled_until: Instant::ZERO,
            unread: 0,
        };
        let client = Client { role: Role::Participant(Box::new(participant)), alive: true };
        clients.insert((process(node), ConnId(node.into())), client);
    }
    let mut record = Record::default();
    record.clients = clients;
    for members in [&[1, 2][..], &[2, 3]] {
        record.verdicts.push(Verdict {
            at: Instant::ZERO,
            by: process(2),
            quorate: true,
            members: members.iter().map(|node| id(*node)).collect(),
        });
    }
    let both = BTreeSet::from([process(1), process(2)]);
    record.installed = both.iter().map(|who| (*who, vec![(ring(4), 0), (ring(8), 1)])).collect();
    let rings = both.iter().map(|who| (*who, vec![ring(4), ring(8)])).collect();
    (record, Moves { together: BTreeMap::from([((ring(4), ring(8)), both)]), rings })
}

fn told(record: &mut Record, node: u32) -> &mut Vec<Seen> {
    match &mut record.get(process(node), ConnId(node.into())).role {
        Role::Participant(participant) => &mut participant.told,
        other => panic!("{other:?}"),
    }
}

/// That a record which is good but for this breaks a property, and says so in these words.
fn breaks(change: impl FnOnce(&mut Record), words: &str) {
    let (mut record, moves) = good();
    change(&mut record);
    let why = anywhere(&record, &moves).expect_err("a property is broken");
    assert!(why.contains(words), "{why}");
}

#[test]
fn a_good_record_passes() {
    let (record, moves) = good();
    let seen = anywhere(&record, &moves).expect("nothing is broken");
    assert_eq!((seen.messages, seen.quorate), (4, 2));
    assert!(seen.pairs > 0);
}

#[test]
fn two_orders_are_noticed() {
    breaks(
        |record| {
            let told = told(record, 2);
            let at =
                told.iter().position(|seen| matches!(seen, Seen::Message { .. })).expect("it heard some");
            told.swap(at, at + 1);
        },
        "after Some(2)",
    );
}

#[test]
fn a_message_that_only_one_of_two_heard_is_noticed() {
    breaks(
        |record| {
            let told = told(record, 2);
            let last =
                told.iter().rposition(|seen| matches!(seen, Seen::Message { .. })).expect("it heard some");
            told.remove(last);
        },
        "members differ",
    );
}

#[test]
fn a_gap_in_what_a_member_sent_is_noticed() {
    breaks(
        |record| {
            if let Role::Participant(first) = &mut record.get(process(1), ConnId(1)).role {
                first.sent.insert(1, 77);
            }
        },
        "misses a message",
    );
}

#[test]
fn a_message_twice_is_noticed() {
    breaks(
        |record| {
            let told = told(record, 1);
            let at =
                told.iter().position(|seen| matches!(seen, Seen::Message { .. })).expect("it heard some");
            let again = told[at].clone();
            told.insert(at, again);
        },
        "message 1 of",
    );
}

#[test]
fn a_sender_that_is_no_member_is_noticed() {
    breaks(
        |record| {
            let stranger = Seen::Message { group: "a".to_owned(), from: member(3), number: 3 };
            told(record, 1).push(stranger);
        },
        "is no member",
    );
}

#[test]
fn a_member_outside_of_the_ring_is_noticed() {
    breaks(
        |record| {
            for seen in told(record, 1) {
                if let Seen::Settled(_, nodes) = seen {
                    nodes.pop();
                }
            }
        },
        "is not in the ring",
    );
}

#[test]
fn members_that_do_not_add_up_are_noticed() {
    breaks(
        |record| {
            if let Some(Seen::Membership { members, .. }) = told(record, 1).get_mut(1) {
                members.pop();
            }
        },
        "follows",
    );
}

#[test]
fn a_process_that_joined_and_is_no_member_is_noticed() {
    breaks(
        |record| {
            if let Some(Seen::Membership { members, .. }) = told(record, 2).first_mut() {
                members.pop();
            }
        },
        "joined, but is no member",
    );
}

#[test]
fn a_process_that_left_and_is_still_a_member_is_noticed() {
    breaks(
        |record| {
            if let Some(Seen::Membership { left, .. }) = told(record, 2).first_mut() {
                left.push((member(1), JOIN));
            }
        },
        "left, but is still a member",
    );
}

#[test]
fn a_synchronisation_that_only_one_of_two_completed_is_noticed() {
    breaks(
        |record| {
            record.installed.insert(process(2), vec![(ring(4), 3), (ring(8), 3)]);
        },
        "only some completed",
    );
}

#[test]
fn two_sides_that_may_act_are_noticed() {
    breaks(
        |record| {
            record.verdicts[1].members = BTreeSet::from([id(3), id(4)]);
            record.verdicts[1].by = process(3);
        },
        "two sides may act",
    );
}

#[test]
fn a_node_that_may_act_with_others_only_is_noticed() {
    breaks(|record| record.verdicts[1].members = BTreeSet::from([id(1), id(3)]), "that it is not in");
}

#[test]
fn a_message_from_before_a_ring_may_be_missing_to_those_who_came_with_it() {
    let (mut record, mut moves) = good();
    let told = told(&mut record, 2);
    let first = told.iter().position(|seen| matches!(seen, Seen::Message { .. })).expect("it heard some");
    told.remove(first);
    record.sent_on.insert(1, (process(1), ring(1)));
    moves.rings.insert(process(1), [1, 4, 8].map(ring).to_vec());
    anywhere(&record, &moves).expect("node 2 was not in ring 1");
    moves.rings.insert(process(2), [1, 4, 8].map(ring).to_vec());
    anywhere(&record, &moves).expect_err("both were");
}
