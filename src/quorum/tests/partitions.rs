//! The purpose of quorum: a partitioned cluster never has two partitions that both act.
//!
//! The desks of several nodes are driven at random through partitions, merges, crashes, restarts and pauses, also in
//! the middle of synchronisations. A partition counts as acting if one of its nodes is quorate and the
//! synchronisation of its ring is complete.
//!
//! The property holds for all rules that [`safe_rules`] generates. It cannot hold where a partition may act with half
//! of the votes or less (`two_node`, `auto_tie_breaker`), where expected votes are lowered (`last_man_standing`,
//! `allow_downscale`) or where they are too few from the beginning: there fencing ensures that the others do not act.
//! `first_cut.rs` tests what holds for these up to the first cut.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::cluster::Cluster;
use super::keys::Keys;
use super::readings::database;
use crate::quorum::votes::Wrong;
use crate::service::Database;
use crate::value::Value;

/// An event in the life of a cluster. Nodes are given by their index.
#[derive(Clone, Debug)]
enum Act {
    /// The network is partitioned or merged: the partition of each node.
    Part(Vec<u8>),
    Start(u8),
    Kill(u8),
    Leave(u8),
    /// A node is in no operating ring for too long; it forms one again with the next act that forms rings.
    LoseRing(u8),
    /// More than last_man_standing_window passes.
    Wait,
}

/// An act, and the number of messages of each ring that are delivered before the next one; `None`: all.
type Step = (Act, Option<u8>);

#[derive(Clone, Debug)]
struct Story {
    votes: Vec<u32>,
    rules: Rules,
    acts: Vec<Step>,
}

/// Keys of the section `quorum`, with their values.
pub(super) type Rules = Vec<(&'static str, String)>;

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
        1 => (0..nodes).prop_map(Act::LoseRing),
        1 => Just(Act::Wait),
    ];
    let pace = prop_oneof![2 => Just(None), 1 => (0..40u8).prop_map(Some)];
    prop::collection::vec((act, pace), 1..len)
}

fn stories(votes: std::ops::Range<u32>) -> impl Strategy<Value = Story> {
    (2..6u8).prop_flat_map(move |nodes| {
        let votes = prop::collection::vec(votes.clone(), usize::from(nodes));
        (votes, acts(nodes, 14)).prop_flat_map(|(votes, acts)| {
            safe_rules(&votes).prop_map(move |rules| Story {
                votes: votes.clone(),
                rules,
                acts: acts.clone(),
            })
        })
    })
}

/// The configuration of one node in a cluster with these votes and rules.
pub(super) fn configuration(votes: &[u32], rules: &Rules, node: u32) -> Keys {
    let keys: Vec<(&str, &str)> = rules.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let mut store = database(votes, &keys);
    store.set("nodelist.local_node_pos", Value::U32(node - 1));
    store
}

/// A cluster with these votes and rules whose nodes have all started and are connected.
pub(super) fn whole(votes: &[u32], rules: &Rules, wrong: Option<Wrong>) -> Cluster {
    let size = votes.len() as u32;
    let (votes, rules) = (votes.to_vec(), rules.clone());
    let mut cluster = Cluster::new(size, wrong, move |node| configuration(&votes, &rules, node));
    for node in 1..=size {
        cluster.start(node);
    }
    cluster.settle();
    cluster
}

/// Plays a story that begins with all nodes connected; calls `check` after each act.
fn play(
    story: &Story,
    wrong: Option<Wrong>,
    mut check: impl FnMut(&Cluster, &Act) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let mut cluster = whole(&story.votes, &story.rules, wrong);
    for (act, pace) in &story.acts {
        match act {
            Act::Part(parts) => cluster.part(parts),
            Act::Start(node) => cluster.start(u32::from(*node) + 1),
            Act::Kill(node) => cluster.kill(u32::from(*node) + 1),
            Act::Leave(node) => cluster.leave(u32::from(*node) + 1),
            Act::LoseRing(node) => {
                if let Some(node) = cluster.nodes.get_mut(&(u32::from(*node) + 1)) {
                    let vote = node.votequorum.votes().quorate();
                    node.lose_ring();
                    prop_assert!(node.quorate() != Some(true), "quorate without a ring");
                    prop_assert_eq!(node.votequorum.votes().quorate(), vote, "the vote is about rings");
                }
            }
            Act::Wait => cluster.wait(Duration::from_secs(11)),
        }
        match pace {
            Some(steps) => cluster.steps((*steps).into()),
            None => cluster.settle(),
        }
        check(&cluster, act)?;
    }
    cluster.settle();
    check(&cluster, &Act::Wait)
}

/// Checks that at most one partition acts.
pub(super) fn one_part_acts(cluster: &Cluster) -> Result<(), TestCaseError> {
    let acting: Vec<Vec<u32>> = cluster
        .components()
        .into_values()
        .filter(|part| part.iter().any(|node| cluster.nodes[node].quorate() == Some(true)))
        .collect();
    prop_assert!(acting.len() < 2, "these parts all act: {acting:?}");
    Ok(())
}

/// Runs random stories, and shrinks one that fails.
///
/// A search for a known fault must find it every time: it uses the same stories in each run, enough of them to reveal
/// the fault.
pub(super) fn runner(cases: u32, wrong: Option<Wrong>) -> TestRunner {
    let mut config = Config { cases, failure_persistence: None, ..Config::default() };
    config.max_shrink_iters = 100_000;
    match wrong {
        None => TestRunner::new(config),
        Some(_) => {
            config.cases = cases.max(2000);
            TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
        }
    }
}

/// Number of stories for each rule. The environment variable `QUORUM_CASES` sets another number.
pub(super) fn cases() -> u32 {
    std::env::var("QUORUM_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

fn search(votes: std::ops::Range<u32>, wrong: Option<Wrong>) -> Result<(), (String, Story)> {
    let outcome = runner(cases(), wrong)
        .run(&stories(votes), |story| play(&story, wrong, |cluster, _| one_part_acts(cluster)));
    match outcome {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, story)) => Err((format!("{reason}\n{story:?}"), story)),
        Err(abort) => panic!("{abort}"),
    }
}

#[test]
fn two_partitions_are_never_quorate_at_once() {
    for votes in [1..2, 0..4] {
        let result = search(votes.clone(), None);
        println!("{votes:?} votes a node, safe rules drawn at random: {} stories", cases());
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
        let acts = acts.into_iter().map(|act| (act, None)).collect();
        let story = Story { votes: votes.to_vec(), rules: rules(keys), acts };
        let result = play(&story, None, |cluster, _| one_part_acts(cluster));
        assert!(result.is_err(), "{name} is safer than it says");
    }
}

/// `two_node`: both partitions may be quorate after a cut (and fence each other), but a node that starts is never
/// quorate before it has seen the other.
#[test]
fn with_two_node_a_starting_node_waits_for_the_other() {
    let rules = rules(&[("two_node", "1")]);
    let strategy = acts(2, 20).prop_map(move |acts| Story { votes: vec![1, 1], rules: rules.clone(), acts });
    let result = runner(cases(), None).run(&strategy, |story| {
        let mut seen = [true, true];
        play(&story, None, |cluster, act| {
            if let Act::Kill(node) | Act::Leave(node) = act {
                seen[usize::from(*node)] = false;
            }
            if cluster.components().values().any(|part| part.len() == 2) {
                seen = [true, true];
            }
            for (node, seen) in [1, 2].into_iter().zip(seen) {
                let acts = cluster.nodes.get(&node).and_then(|node| node.quorate()) == Some(true);
                prop_assert!(seen || !acts, "node {node} acts, and has not seen the other");
            }
            Ok(())
        })
    });
    println!("two_node: {} stories", cases());
    result.unwrap();
}
