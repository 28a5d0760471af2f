//! Clusters in the searches for two quorate partitions: their configuration, their acts, and what must hold after each
//! act.
//!
//! A partition counts as acting if one of its nodes is quorate by the votes of a ring of this partition, and the
//! synchronisation of that ring is complete. A node that was cut off and has not noticed it yet is still on a ring with
//! nodes of other partitions; this ends with the next ring, or when the node has been in no ring for too long.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::voters::{self, quorate, votes};
use crate::config::map::Map;
use crate::config::timeouts::{Given, Timeouts};
use crate::quorum::Wrong;
use crate::quorum::settings::Reading;
use crate::stack::database_of;
use crate::stack::tests::cluster::Cluster;
use crate::totem::StateName;

/// `last_man_standing_window` of the clusters, in the usual proportion to the token time-out.
const WINDOW_MS: &str = "1000";

/// The longest time in which a ring is awaited.
const RING: Duration = Duration::from_millis(400);

/// Keys of the section `quorum`, with their values.
pub(super) type Rules = Vec<(&'static str, String)>;

/// What passes before the next act.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// All that is under way: the nodes of each partition are on one ring, and at rest.
    Rest,
    /// Milliseconds, in which a ring may be formed or not.
    Time(u16),
    /// The time until the services of a ring are being synchronised, and so many datagrams one after the other.
    Synchronising(u8),
}

/// Paces, drawn at random.
pub(super) fn paces() -> impl Strategy<Value = Pace> {
    prop_oneof![
        4 => Just(Pace::Rest),
        1 => (0..300u16).prop_map(Pace::Time),
        1 => (0..40u8).prop_map(Pace::Synchronising),
    ]
}

/// The configuration of a node in a cluster with these votes and rules.
fn configuration(votes: &[u32], rules: &Rules, node: u32) -> Map {
    let keys = rules.iter().map(|(key, value)| (*key, value.as_str()));
    let keys: Vec<(&str, &str)> = keys.chain([("last_man_standing_window", WINDOW_MS)]).collect();
    voters::map(votes, &keys, node)
}

/// Whether nodes with these votes and rules start.
pub(super) fn starts(votes: &[u32], rules: &Rules) -> bool {
    Reading::at_start(&database_of(&configuration(votes, rules, 1)), Some(0)).is_ok()
}

/// A cluster with short timers.
pub(super) struct Voters {
    pub(super) cluster: Cluster,
    size: u32,
    /// A wrong rule of all nodes, for tests that show that the search detects it.
    wrong: Option<Wrong>,
}

impl Voters {
    /// A cluster with these votes and rules whose nodes have all started and are connected.
    pub(super) fn whole(votes: &[u32], rules: &Rules, wrong: Option<Wrong>) -> Self {
        let size = votes.len() as u32;
        let maps: Vec<Map> = (1..=size).map(|node| configuration(votes, rules, node)).collect();
        let mut cluster = voters::stopped(maps);
        let (token, retransmits) = (Some(100), Some(1));
        let given = Given { token, token_coefficient: Some(0), ..Given::default() };
        let given = Given { token_retransmits_before_loss_const: retransmits, ..given };
        cluster.timeouts = Timeouts::derive(&given, votes.len());
        let mut voters = Self { cluster, size, wrong };
        voters.start_all();
        voters.cluster.settle();
        voters
    }

    pub(super) fn runs(&self, node: u32) -> bool {
        self.cluster.nodes.contains_key(&node)
    }

    /// Starts a node, unless it runs.
    pub(super) fn start(&mut self, node: u32) {
        if self.runs(node) {
            return;
        }
        self.cluster.start(node);
        if let Some(wrong) = self.wrong {
            let desks = &mut self.cluster.node(node).stack.desks;
            desks.votequorum.as_mut().expect("there is a provider").break_a_rule(wrong);
        }
    }

    /// Starts all nodes that do not run.
    pub(super) fn start_all(&mut self) {
        (1..=self.size).for_each(|node| self.start(node));
    }

    /// Ends a node that runs, without an announcement.
    pub(super) fn kill(&mut self, node: u32) {
        if self.runs(node) {
            self.cluster.kill(node);
        }
    }

    /// Stops a node that runs, cleanly.
    pub(super) fn leave(&mut self, node: u32) {
        if self.runs(node) {
            self.cluster.leave(node);
        }
    }

    /// More than last_man_standing_window passes.
    pub(super) fn wait(&mut self) {
        self.cluster.run(Duration::from_millis(1100));
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, pace: Pace) {
        match pace {
            Pace::Rest => self.cluster.settle(),
            Pace::Time(ms) => self.cluster.run(Duration::from_millis(ms.into())),
            Pace::Synchronising(hops) => {
                let end = self.cluster.now + RING;
                self.cluster.run_until("a ring is formed, or none within a certain time", |cluster| {
                    cluster.now >= end || cluster.nodes.keys().any(|node| synchronises(cluster, *node))
                });
                let hop = self.cluster.hop;
                self.cluster.run(hop * hops.into());
            }
        }
    }

    /// The running nodes by partition.
    pub(super) fn partitions(&self) -> BTreeMap<u8, Vec<u32>> {
        let mut partitions: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
        for node in self.cluster.nodes.keys() {
            partitions.entry(self.cluster.part_of(*node)).or_default().push(*node);
        }
        partitions
    }

    /// Whether a node is quorate by a ring of this partition.
    pub(super) fn acts(&self, node: u32, partition: &[u32]) -> bool {
        quorate(&self.cluster, node) == Some(true)
            && votes(&self.cluster, node).members().iter().all(|member| partition.contains(&member.get()))
    }

    /// Checks that at most one partition acts.
    pub(super) fn one_partition_acts(&self) -> Result<(), TestCaseError> {
        let acting: Vec<Vec<u32>> = self
            .partitions()
            .into_values()
            .filter(|partition| partition.iter().any(|node| self.acts(*node, partition)))
            .collect();
        prop_assert!(acting.len() < 2, "these parts all act: {acting:?}");
        Ok(())
    }
}

/// The outcome of a search: if it failed, the reason in words with the story, and the story itself.
pub(super) fn verdict<S: Debug>(outcome: Result<(), TestError<S>>) -> Result<(), (String, S)> {
    outcome.map_err(|error| match error {
        TestError::Fail(reason, story) => (format!("{reason}\n{story:?}"), story),
        abort @ TestError::Abort(_) => panic!("{abort}"),
    })
}

fn synchronises(cluster: &Cluster, node: u32) -> bool {
    let stack = &cluster.nodes[&node].stack;
    stack.totem().state() == StateName::Operational && stack.router().syncing()
}

/// Number of stories for each rule. The environment variable `QUORUM_CASES` sets another number.
pub(super) fn cases(usual: u32) -> u32 {
    std::env::var("QUORUM_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// Runs random stories, and shrinks one that fails.
///
/// A search for a known fault must find it every time: it uses the same stories in each run, enough of them to reveal
/// the fault.
pub(super) fn runner(cases: u32, wrong: Option<Wrong>) -> TestRunner {
    let mut config = Config { cases, failure_persistence: None, ..Config::default() };
    match wrong {
        None => {
            config.max_shrink_iters = 10_000;
            TestRunner::new(config)
        }
        Some(_) => {
            config.cases = cases.max(2000);
            config.max_shrink_iters = 8;
            TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
        }
    }
}
