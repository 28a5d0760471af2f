//! The rules of the vote in tables: the promises of `votequorum(5)` for clusters of all sizes.

use crate::ids::{node as id, nodes as ids};
use crate::quorum::tie_breaker::TieBreaker;
use crate::quorum::votes::{Info, Rules, Votes};
use crate::quorum::wire::exec::flag;

/// The vote of node `me` in a cluster of `nodes` nodes with one vote each.
fn votes(me: u32, nodes: u32, rules: Rules) -> Votes {
    let mut votes = Votes::new(id(me), rules, 0);
    votes.configure(1, nodes);
    votes.recalculate(false, false);
    votes
}

/// Forms a new ring in which every member sends the data of a node that was in no quorate partition.
fn ring(votes: &mut Votes, members: &[u32]) {
    votes.ring(&ids(members));
    for member in members {
        if votes.nodes.us().flags & flag::LEAVING == 0 {
            let us = *votes.nodes.us();
            tell(votes, *member, Info { votes: 1, expected: us.expected, flags: 0 });
        }
    }
    votes.recalculate(false, false);
}

fn tell(votes: &mut Votes, node: u32, info: Info) {
    let heard = votes.node_info(id(node), info).unwrap();
    if heard.count {
        votes.recalculate(heard.allow_decrease, heard.by_nodes);
    }
    votes.heard_quorate(info);
}

/// votequorum(5), overview: more than half of the expected votes.
#[test]
fn more_than_half_is_needed() {
    for (nodes, needed) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4), (8, 5), (32, 17)] {
        let mut vote = votes(1, nodes, Rules::default());
        for there in 1..=nodes {
            ring(&mut vote, &(1..=there).collect::<Vec<_>>());
            assert_eq!(vote.quorum(), needed, "{there} of {nodes}");
            assert_eq!(vote.quorate(), there >= needed, "{there} of {nodes}");
        }
        for there in (1..nodes).rev() {
            ring(&mut vote, &(1..=there).collect::<Vec<_>>());
            assert_eq!(vote.quorate(), there >= needed, "back to {there} of {nodes}");
        }
    }
}

/// votequorum(5), two_node: one of two nodes is sufficient after both have been present.
#[test]
fn of_two_nodes_one_suffices_after_both_were_present() {
    let rules = Rules { two_node: true, wait_for_all: true, ..Rules::default() };
    let mut vote = votes(1, 2, rules.clone());
    ring(&mut vote, &[1]);
    assert!(!vote.quorate() && vote.waiting());
    ring(&mut vote, &[1, 2]);
    assert!(vote.quorate() && !vote.waiting());
    assert_eq!(vote.quorum(), 1);
    ring(&mut vote, &[1]);
    assert!(vote.quorate(), "the other has gone");
    let careless = Rules { wait_for_all: false, ..rules };
    assert!(votes(1, 2, careless).quorate(), "two_node without wait_for_all: at once");
}

/// votequorum(5), two_node: it is switched off by a third node.
#[test]
fn two_node_ends_with_a_third() {
    let mut vote = votes(1, 2, Rules { two_node: true, wait_for_all: true, ..Rules::default() });
    ring(&mut vote, &[1, 2, 3]);
    assert_eq!((vote.quorum(), vote.quorate()), (2, true));
}

/// votequorum(5), wait_for_all: the first time all nodes must be present, later more than half.
#[test]
fn all_nodes_are_awaited_once() {
    let mut vote = votes(1, 5, Rules { wait_for_all: true, ..Rules::default() });
    ring(&mut vote, &[1, 2, 3, 4]);
    assert!(!vote.quorate() && vote.waiting());
    ring(&mut vote, &[1, 2, 3, 4, 5]);
    assert!(vote.quorate());
    ring(&mut vote, &[1, 2, 3]);
    assert!(vote.quorate());
    ring(&mut vote, &[1, 2]);
    assert!(!vote.quorate() && vote.waiting(), "and again after the quorum was lost");
    ring(&mut vote, &[1, 2, 3]);
    assert!(!vote.quorate());
    ring(&mut vote, &[1, 2, 3, 4, 5]);
    assert!(vote.quorate());
}

/// A node that waits for all nodes stops waiting when it joins a quorate cluster.
#[test]
fn waiting_for_all_ends_in_a_quorate_cluster() {
    let mut vote = votes(3, 5, Rules { wait_for_all: true, ..Rules::default() });
    vote.ring(&ids(&[1, 2, 3]));
    for node in [1, 2, 3] {
        let flags = if node == 3 { flag::WFA_STATUS } else { flag::QUORATE };
        tell(&mut vote, node, Info { votes: 1, expected: 5, flags });
    }
    vote.recalculate(false, false);
    assert!(vote.quorate() && !vote.waiting());
}

/// votequorum(5), last_man_standing: the example of eight nodes, step by step.
#[test]
fn expected_votes_follow_the_remaining_nodes() {
    let mut vote = votes(1, 8, Rules { last_man_standing: true, wait_for_all: true, ..Rules::default() });
    ring(&mut vote, &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!((vote.nodes.us().expected, vote.quorum()), (8, 5));
    for (there, expected, needed) in [(5, 5, 3), (3, 3, 2), (2, 2, 2)] {
        let members = ids(&(1..=there).collect::<Vec<_>>());
        assert!(vote.ring(&members), "the window begins");
        vote.recalculate(false, false);
        assert!(vote.quorate());
        vote.recalculate(true, true); // after last_man_standing_window
        assert_eq!((vote.nodes.us().expected, vote.quorum()), (expected, needed));
        assert!(vote.quorate());
    }
    vote.ring(&ids(&[1]));
    vote.recalculate(false, false);
    assert!(!vote.quorate(), "two to one needs auto_tie_breaker");
}

/// votequorum(5), notes: last_man_standing is switched off if a node has more than one vote.
#[test]
fn last_man_standing_is_for_equal_votes() {
    let mut vote = votes(1, 3, Rules { last_man_standing: true, ..Rules::default() });
    vote.ring(&ids(&[1, 2]));
    let heard = vote.node_info(id(2), Info { votes: 2, expected: 3, flags: 0 }).unwrap();
    assert!(heard.no_last_man && !vote.rules.last_man_standing);
}

/// votequorum(5), auto_tie_breaker: one half stays quorate, the other does not.
#[test]
fn one_of_two_halves_stays_quorate() {
    let cases: [(TieBreaker, &[u32], &[u32]); 4] = [
        (TieBreaker::Lowest, &[1, 2, 3, 4], &[5, 6, 7, 8]),
        (TieBreaker::Highest, &[5, 6, 7, 8], &[1, 2, 3, 4]),
        (TieBreaker::List(ids(&[6, 1])), &[2, 4, 6, 8], &[1, 3, 5, 7]),
        (TieBreaker::List(ids(&[20, 1])), &[1, 6, 7, 8], &[2, 3, 4, 5]),
    ];
    for (breaker, winner, loser) in cases {
        for (half, expected) in [(winner, true), (loser, false)] {
            let rules = Rules { tie_breaker: Some(breaker.clone()), ..Rules::default() };
            let mut vote = votes(half[0], 8, rules);
            ring(&mut vote, &[1, 2, 3, 4, 5, 6, 7, 8]);
            assert!(vote.quorate());
            vote.ring(&ids(half));
            vote.recalculate(false, false);
            assert_eq!(vote.quorate(), expected, "{breaker:?} {half:?}");
        }
    }
}

/// Less than half is never sufficient, whichever nodes it contains.
#[test]
fn a_tie_is_exactly_half() {
    let rules = Rules { tie_breaker: Some(TieBreaker::Lowest), ..Rules::default() };
    let mut vote = votes(1, 4, rules);
    ring(&mut vote, &[1, 2, 3, 4]);
    ring(&mut vote, &[1]);
    assert!(!vote.quorate());
}

/// votequorum(5), allow_downscale: the example of three nodes and ten more.
#[test]
fn expected_votes_fall_with_nodes_that_leave_cleanly() {
    let rules = Rules { allow_downscale: true, expected_votes_tracking: true, ..Rules::default() };
    let mut vote = votes(1, 3, rules);
    let all: Vec<u32> = (1..=13).collect();
    ring(&mut vote, &all);
    assert_eq!((vote.nodes.us().expected, vote.quorum()), (13, 7));
    assert_eq!(vote.ev_tracking_barrier(), 13, "the highest is kept");
    for leaver in (2..=13).rev() {
        tell(&mut vote, leaver, Info { votes: 1, expected: 13, flags: flag::QUORATE | flag::LEAVING });
        ring(&mut vote, &all[..leaver as usize - 1]);
        let left = leaver - 1;
        assert_eq!(vote.quorum(), left.max(3) / 2 + 1, "{left} are left");
    }
    assert_eq!(vote.ev_tracking_barrier(), 13);
}

/// More votes than expected raise the expected votes, and the votes needed are never lowered without a rule
/// that allows it.
#[test]
fn expected_votes_rise_and_stay() {
    let mut vote = votes(1, 3, Rules::default());
    ring(&mut vote, &[1, 2, 3, 4, 5]);
    assert_eq!((vote.nodes.us().expected, vote.quorum()), (5, 3));
    ring(&mut vote, &[1, 2]);
    assert_eq!(vote.quorum(), 3);
    assert!(!vote.quorate());
}

/// A node that joins a quorate cluster adopts the expected votes of its members.
#[test]
fn a_joining_node_adopts_the_expected_votes_of_a_quorate_cluster() {
    let mut vote = votes(3, 9, Rules::default());
    vote.ring(&ids(&[1, 2, 3]));
    for node in [1, 2] {
        tell(&mut vote, node, Info { votes: 1, expected: 3, flags: flag::QUORATE });
    }
    assert_eq!((vote.nodes.us().expected, vote.quorum()), (3, 2));
    assert!(vote.quorate());
}

/// A device with one vote less than there are nodes: any one node and the device are sufficient.
#[test]
fn the_votes_of_a_device_count_at_its_node() {
    let rules = Rules { device_votes: 2, ..Rules::default() };
    let mut vote = Votes::new(id(1), rules, 0);
    vote.configure(1, 5);
    vote.recalculate(false, false);
    ring(&mut vote, &[1, 2, 3]);
    assert_eq!((vote.quorum(), vote.quorate()), (3, true));
    ring(&mut vote, &[1]);
    assert!(!vote.quorate());
    vote.nodes.us_mut().set(flag::QDEVICE_CAST_VOTE, true);
    vote.recalculate(false, false);
    assert!(vote.quorate(), "one vote and the device's two");
    assert_eq!(vote.quorum(), 3);
}

/// master_wins: the partition for which the device votes is quorate, whatever the other votes are.
#[test]
fn the_device_can_decide_alone() {
    let flags = flag::QDEVICE_CAST_VOTE | flag::QDEVICE_MASTER_WINS;
    for (master_wins, flags, expected) in
        [(true, flags, true), (false, flags, false), (true, flag::QDEVICE_CAST_VOTE, false)]
    {
        let mut vote = votes(1, 4, Rules { master_wins, ..Rules::default() });
        ring(&mut vote, &[1, 2]);
        tell(&mut vote, 2, Info { votes: 1, expected: 4, flags });
        assert_eq!(vote.quorate(), expected);
    }
}

/// Huge numbers sent by a hostile node neither overflow nor make this partition quorate.
#[test]
fn huge_numbers_of_votes_do_not_overflow() {
    let mut vote = votes(1, 3, Rules { device_votes: u32::MAX, ..Rules::default() });
    vote.ring(&ids(&[1, 2, 3]));
    for node in [2, 3] {
        tell(&mut vote, node, Info { votes: u32::MAX, expected: u32::MAX, flags: u32::MAX });
        tell(&mut vote, node, Info { votes: u32::MAX, expected: 0, flags: flag::QUORATE });
    }
    assert!(vote.quorum() > u32::MAX / 2);
    vote.recalculate(true, true);
    ring(&mut vote, &[1]);
    assert!(!vote.quorate());
}
