//! The purpose of quorum: a partitioned cluster never has two partitions that both act.
//!
//! Whole nodes are driven at random through partitions, merges, crashes, restarts and losses of their tokens, also
//! while rings are being formed and in the middle of synchronisations.
//!
//! The property holds for all rules that [`safe_rules`] generates. It cannot hold where a partition may act with half
//! of the votes or less (`two_node`, `auto_tie_breaker`), where expected votes are lowered (`last_man_standing`,
//! `allow_downscale`) or where they are too few from the beginning: there fencing ensures that the others do not act.
//! `first_cut.rs` tests what holds for these up to the first cut.

use std::cell::Cell;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::search::{Pace, Rules, Voters, cases, paces, runner, verdict};
use super::voters::{key, quorate, votes};
use crate::quorum::Wrong;
use crate::stack::OUTAGE;

/// An event in the life of a cluster. Nodes are given by their index.
#[derive(Clone, Debug)]
enum Act {
    /// The network is partitioned or merged: the partition of each node.
    Part(Vec<u8>),
    Start(u8),
    Kill(u8),
    Leave(u8),
    /// The tokens of a node's partition are lost for so long that its nodes are in no operating ring for too long.
    LoseRing(u8),
    /// More than last_man_standing_window passes.
    Wait,
}

/// An act, and what passes before the next one.
type Step = (Act, Pace);

#[derive(Clone, Debug)]
struct Story {
    votes: Vec<u32>,
    rules: Rules,
    acts: Vec<Step>,
}

fn rules(keys: &[(&'static str, &str)]) -> Rules {
    keys.iter().map(|(key, value)| (*key, (*value).to_owned())).collect()
}

/// Rules for these votes under which two partitions are never quorate at the same time: each alone and all
/// together.
fn safe_rules(votes: &[u32]) -> impl Strategy<Value = Rules> + use<> {
    let sum: u32 = votes.iter().sum();
    let more = prop::option::weighted(0.3, sum.max(1)..sum + 3);
    (prop::option::of(any::<bool>()), any::<bool>(), more).prop_map(|(wait_for_all, tracking, expected)| {
        let mut rules = rules(&[]);
        if let Some(wait_for_all) = wait_for_all {
            rules.push(("wait_for_all", u32::from(wait_for_all).to_string()));
        }
        if tracking {
            rules.push(("expected_votes_tracking", "1".to_owned()));
        }
        if let Some(expected) = expected {
            rules.push(("expected_votes", expected.to_string()));
        }
        rules
    })
}

fn acts(nodes: u8, len: usize) -> impl Strategy<Value = Vec<Step>> {
    let act = prop_oneof![
        4 => prop::collection::vec(0..3u8, usize::from(nodes)).prop_map(Act::Part),
        2 => Just(Act::Part(vec![0; usize::from(nodes)])),
        3 => (0..nodes).prop_map(Act::Start),
        2 => (0..nodes).prop_map(Act::Kill),
        1 => (0..nodes).prop_map(Act::Leave),
        2 => (0..nodes).prop_map(Act::LoseRing),
        1 => Just(Act::Wait),
    ];
    prop::collection::vec((act, paces()), 1..len)
}

fn stories(votes: std::ops::Range<u32>) -> impl Strategy<Value = Story> {
    (2..6u8).prop_flat_map(move |nodes| {
        let votes = prop::collection::vec(votes.clone(), usize::from(nodes));
        (votes, acts(nodes, 10)).prop_flat_map(|(votes, acts)| {
            safe_rules(&votes).prop_map(move |rules| Story {
                votes: votes.clone(),
                rules,
                acts: acts.clone(),
            })
        })
    })
}

/// Plays a story that begins with all nodes connected; calls `check` after each act. Returns how often a node was in no
/// operating ring for too long.
fn play(
    story: &Story,
    wrong: Option<Wrong>,
    mut check: impl FnMut(&Voters, &Act) -> Result<(), TestCaseError>,
) -> Result<u32, TestCaseError> {
    let mut voters = Voters::whole(&story.votes, &story.rules, wrong);
    let mut ringless = 0;
    for (act, pace) in &story.acts {
        match act {
            Act::Part(parts) => voters.cluster.part(parts),
            Act::Start(node) => voters.start(u32::from(*node) + 1),
            Act::Kill(node) => voters.kill(u32::from(*node) + 1),
            Act::Leave(node) => voters.leave(u32::from(*node) + 1),
            Act::LoseRing(node) => ringless += lose_ring(&mut voters, u32::from(*node) + 1)?,
            Act::Wait => voters.wait(),
        }
        voters.pass(*pace);
        check(&voters, act)?;
    }
    voters.pass(Pace::Rest);
    check(&voters, &Act::Wait)?;
    Ok(ringless)
}

/// The tokens of a node's partition are lost until its nodes are in no operating ring for too long. Returns the number
/// of these nodes.
fn lose_ring(voters: &mut Voters, node: u32) -> Result<u32, TestCaseError> {
    let cluster = &mut voters.cluster;
    let part = cluster.part_of(node);
    cluster.without_tokens.insert(part);
    // What the last token has brought about arrives.
    cluster.run(Duration::from_millis(1));
    let nodes: Vec<u32> =
        cluster.nodes.keys().copied().filter(|node| cluster.part_of(*node) == part).collect();
    let before: Vec<_> =
        nodes.iter().map(|node| (cluster.ring(*node), votes(cluster, *node).quorate())).collect();
    cluster.run(Duration::from_millis(460));
    let mut ringless = 0;
    for (node, (ring, vote)) in nodes.into_iter().zip(before) {
        // A node that was alone keeps its ring, and one that had none for longer may have formed one by now.
        if cluster.ring(node) == ring && key(cluster, node, OUTAGE).is_some() {
            ringless += 1;
            prop_assert!(quorate(cluster, node) != Some(true), "quorate without a ring");
            prop_assert_eq!(votes(cluster, node).quorate(), vote, "the vote is about rings");
        }
    }
    cluster.without_tokens.clear();
    Ok(ringless)
}

/// Number of stories for each kind of votes.
const STORIES: u32 = 12;

/// Returns how often a node was in no operating ring for too long.
fn search(votes: std::ops::Range<u32>, wrong: Option<Wrong>) -> Result<u32, (String, Story)> {
    let ringless = Cell::new(0);
    let outcome = runner(cases(STORIES), wrong).run(&stories(votes), |story| {
        let times = play(&story, wrong, |voters, _| voters.one_partition_acts())?;
        ringless.set(ringless.get() + times);
        Ok(())
    });
    verdict(outcome).map(|()| ringless.get())
}

#[test]
fn two_partitions_are_never_quorate_at_once() {
    for votes in [1..2, 0..4] {
        let result = search(votes.clone(), None);
        let count = cases(STORIES);
        println!("{votes:?} votes a node, safe rules drawn at random: {count} stories, {result:?}");
        assert!(result.is_ok(), "{}", result.unwrap_err().0);
    }
}

/// The search finds a known fault: if half of the votes is taken as sufficient, two halves are quorate.
#[test]
fn the_search_detects_a_wrong_rule() {
    let (found, story) = search(1..2, Some(Wrong::HalfIsEnough))
        .expect_err("half of the votes were enough, and nobody noticed");
    println!("found, as it must be: {found}");
    assert!(found.contains("these parts all act"));
    assert!(story.acts.len() < 7, "no short story: {found}");
    let right = play(&story, None, |voters, _| voters.one_partition_acts());
    assert!(right.is_ok(), "it is not the wrong rule that was found: {right:?}");
}

/// The rules that need fencing according to [`crate::quorum`] do need it: two partitions are quorate.
#[test]
fn rules_that_need_fencing_have_counterexamples() {
    type Keys = &'static [(&'static str, &'static str)];
    let cut = |parts: &[u8]| Act::Part(parts.to_vec());
    let cases: [(&str, Keys, &[u32], Vec<Act>); 8] = [
        // When node 1 comes back with others, it still takes itself for the lowest node.
        (
            "auto_tie_breaker",
            &[("auto_tie_breaker", "1")],
            &[1, 1, 1, 1],
            vec![cut(&[0, 2, 2, 2]), cut(&[2, 1, 2, 1])],
        ),
        // Node 3 has gone, so node 1 decides the tie; node 3 does not know that, and decides as well.
        (
            "auto_tie_breaker, a list",
            &[("auto_tie_breaker", "1"), ("auto_tie_breaker_node", "3 1")],
            &[1, 1, 1, 1],
            vec![cut(&[0, 0, 2, 0]), cut(&[1, 1, 2, 2])],
        ),
        // Of an odd number of votes, one node alone has half, and two have more than half.
        (
            "auto_tie_breaker",
            &[("auto_tie_breaker", "1"), ("wait_for_all", "1")],
            &[1, 1, 1],
            vec![cut(&[1, 1, 2]), cut(&[1, 0, 0])],
        ),
        // Three nodes stay quorate with two of three votes; one of them then makes the fourth quorate.
        (
            "last_man_standing",
            &[("last_man_standing", "1"), ("wait_for_all", "1")],
            &[1, 1, 1, 1],
            vec![Act::Kill(2), Act::Wait, cut(&[0, 0, 1, 0]), Act::Start(2), cut(&[1, 2, 2, 1])],
        ),
        // Node 1 is the last of three; the two others restart, and do not know that.
        (
            "last_man_standing without wait_for_all",
            &[("last_man_standing", "1")],
            &[1, 1, 1, 1, 1],
            vec![Act::Kill(4), Act::Kill(3), Act::Wait, cut(&[0, 0, 1, 1, 1]), Act::Start(3), Act::Start(4)],
        ),
        ("two_node", &[("two_node", "1")], &[1, 1], vec![cut(&[0, 1])]),
        // Node 4 leaves cleanly: then nodes are counted, not votes. When it restarts it does not know that.
        (
            "allow_downscale",
            &[("allow_downscale", "1")],
            &[3, 0, 1, 3],
            vec![Act::Leave(3), cut(&[0, 0, 1, 1]), Act::Start(3)],
        ),
        (
            "expected_votes",
            &[("expected_votes", "1")],
            &[1, 1],
            vec![cut(&[0, 1]), Act::Kill(0), Act::Kill(1), Act::Start(0), Act::Start(1)],
        ),
    ];
    for (name, keys, votes, acts) in cases {
        let acts = acts.into_iter().map(|act| (act, Pace::Rest)).collect();
        let story = Story { votes: votes.to_vec(), rules: rules(keys), acts };
        let result = play(&story, None, |voters, _| voters.one_partition_acts());
        assert!(result.is_err(), "{name} is safer than it says");
    }
}

/// `two_node`: both partitions may be quorate after a cut (and fence each other), but a node that starts is never
/// quorate before it has seen the other.
#[test]
fn with_two_node_a_starting_node_waits_for_the_other() {
    let rules = rules(&[("two_node", "1")]);
    let strategy = acts(2, 12).prop_map(move |acts| Story { votes: vec![1, 1], rules: rules.clone(), acts });
    let result = runner(cases(STORIES), None).run(&strategy, |story| {
        let mut seen = [true, true];
        let played = play(&story, None, |voters, act| {
            if let Act::Kill(node) | Act::Leave(node) = act {
                seen[usize::from(*node)] = false;
            }
            if voters.partitions().values().any(|part| part.len() == 2) {
                seen = [true, true];
            }
            for (node, seen) in [1, 2].into_iter().zip(seen) {
                let acts = voters.runs(node) && quorate(&voters.cluster, node) == Some(true);
                prop_assert!(seen || !acts, "node {node} acts, and has not seen the other");
            }
            Ok(())
        });
        played.map(|_| ())
    });
    println!("two_node: {} stories", cases(STORIES));
    result.unwrap();
}
