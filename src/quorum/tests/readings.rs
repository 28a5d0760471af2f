//! The rules that result from a configuration, as in `votequorum(5)`, and the errors that prevent a start.

use crate::config::keys;
use crate::config::tests::rows;
use crate::ids::node as id;
use crate::quorum::advice;
use crate::quorum::settings::{Fixed, Found, Moment, Plan, Reading, Wrong, plan, provider};
use crate::quorum::tie_breaker::TieBreaker;
use crate::quorum::votequorum;
use crate::service::Database;
use crate::value::Value;

/// A database with nodes with these votes (this node is the first), and these keys of `quorum`, as `key: value, …`.
fn database(votes: &[u32], keys: &str) -> Database {
    let mut store = Database::default();
    store.set("quorum.provider", Value::text("corosync_votequorum"));
    for (n, votes) in votes.iter().enumerate() {
        store.set(&format!("nodelist.node.{n}.nodeid"), Value::U32(n as u32 + 1));
        if *votes != 1 {
            store.set(&format!("nodelist.node.{n}.quorum_votes"), Value::U32(*votes));
        }
        store.set("nodelist.local_node_pos", Value::U32(0));
    }
    for (key, value) in keys.split(", ").filter_map(|setting| setting.split_once(": ")) {
        let number = value.parse().ok().filter(|_| key != "auto_tie_breaker_node");
        store.set(&format!("quorum.{key}"), number.map_or_else(|| Value::text(value), Value::U32));
    }
    store
}

fn read(votes: &[u32], keys: &str, moment: Moment) -> Result<Plan, Wrong> {
    let store = database(votes, keys);
    plan(&Found::read(&store), &Fixed::read(&store), 0, moment)
}

fn start(votes: &[u32], keys: &str) -> Result<Plan, Wrong> {
    read(votes, keys, Moment::Start)
}

#[test]
fn votes_come_from_the_node_list_or_the_section() {
    let plan = start(&[2, 1, 1], "").unwrap();
    assert_eq!((plan.votes, plan.expected), (2, Some(4)));
    let plan = start(&[2, 1, 1], "expected_votes: 9, votes: 5").unwrap();
    assert_eq!((plan.votes, plan.expected), (2, Some(9)), "expected_votes overrides, votes does not");
    let plan = start(&[], "expected_votes: 8, votes: 3").unwrap();
    assert_eq!((plan.votes, plan.expected), (3, Some(8)));
    let plan = start(&[], "expected_votes: 8").unwrap();
    assert_eq!(plan.votes, 1);
    let many: Vec<u32> = vec![1; 40];
    assert_eq!(start(&many, "").unwrap().expected, Some(40), "node 1 and nodes 10 to 19 are told apart");
}

#[test]
fn two_node_brings_wait_for_all() {
    let rules = |keys: &str| start(&[1, 1], keys).unwrap().rules;
    assert!(rules("two_node: 1").wait_for_all);
    assert!(!rules("two_node: 1, wait_for_all: 0").wait_for_all);
    assert!(!rules("").wait_for_all);
    let with_breaker = rules("two_node: 1, auto_tie_breaker: 1");
    assert!(!with_breaker.two_node && with_breaker.wait_for_all);
}

#[test]
fn tie_breakers_need_an_even_number_or_wait_for_all() {
    let breaker = |nodes: &[u32], keys: &str| {
        start(nodes, &format!("auto_tie_breaker: 1, {keys}")).unwrap().rules.tie_breaker
    };
    let even = &[1, 1, 1, 1][..];
    assert_eq!(breaker(even, ""), Some(TieBreaker::Lowest));
    assert_eq!(breaker(even, "auto_tie_breaker_node: highest"), Some(TieBreaker::Highest));
    assert_eq!(breaker(even, "auto_tie_breaker_node: 2"), Some(TieBreaker::List(vec![id(2)])));
    assert_eq!(breaker(even, "auto_tie_breaker_node: first"), None);
    assert_eq!(breaker(&[1, 1, 1], ""), None);
    assert_eq!(breaker(&[1, 1, 1], "wait_for_all: 1"), Some(TieBreaker::Lowest));
    assert_eq!(breaker(&[], "expected_votes: 5"), None, "without a node list, expected votes tell");
    assert_eq!(breaker(&[], "expected_votes: 4"), Some(TieBreaker::Lowest));
}

/// The errors that prevent a start, with Corosync's texts.
#[test]
fn impossible_configurations_are_refused() {
    let cases = "
         |  | nodelist or quorum.expected_votes must be configured!
        1 1 | device.model: net, two_node: 1 | two_node and quorum device cannot be configured at the same time!
        1 1 1 | auto_tie_breaker: 1, last_man_standing: 1 | auto_tie_breaker & last_man_standing not available in odd sized cluster
        1 1 | device.model: net, last_man_standing: 1 | quorum.device is not compatible with last_man_standing
        1 1 | device.model: net, auto_tie_breaker: 1 | quorum.device is not compatible with auto_tie_breaker
        1 1 | device.model: net, allow_downscale: 1 | quorum.device is not compatible with allow_downscale
        1 1 | device.model: net, expected_votes: 3 | quorum.device.votes must be specified when quorum.expected_votes is set
        1 2 | device.model: net | quorum.device.votes must be specified when not all nodes votes 1
        1 1 | device.model: net, expected_votes: 3, device.votes: 2 | quorum.device.votes is too high or expected_votes is too low
        1 1 | device.model: net, expected_votes: 3, device.votes: 4000000000 | quorum.device.votes is too high or expected_votes is too low
    ";
    for [votes, keys, text] in rows(cases) {
        let votes: Vec<u32> = votes.split_whitespace().map(|votes| votes.parse().unwrap()).collect();
        let mut store = database(&votes, &keys);
        let error = votequorum::Desk::new(id(1), &mut store, Some(0)).unwrap_err();
        assert_eq!(error.to_string(), format!("configuration error: {text}"));
        assert!(!error.keys().is_empty());
        let running = Moment::Running { device_registered: false };
        match read(&votes, &keys, running) {
            Ok(plan) => assert!(plan.device.is_some_and(|device| !device.can_operate), "{text}"),
            Err(wrong) => assert!(matches!(wrong, Wrong::NoVotes | Wrong::OddLastMan)),
        }
    }
    let mut store = database(&[1, 1], "expected_votes_tracking: 1");
    let error = votequorum::Desk::new(id(1), &mut store, None).unwrap_err();
    assert_eq!(error, Wrong::NowhereToKeep);
}

#[test]
fn devices_get_one_vote_less_than_the_nodes() {
    let plan = start(&[1, 1, 1], "device.model: net").unwrap();
    assert_eq!((plan.device_votes, plan.expected), (Some(2), Some(5)));
    let plan = start(&[1, 1, 1], "device.model: net, device.votes: 1").unwrap();
    assert_eq!((plan.device_votes, plan.expected), (Some(1), Some(3)));
    assert_eq!(start(&[1, 1, 1], "device.model: ").unwrap().device, None);
    let running = Moment::Running { device_registered: true };
    let plan = read(&[1, 1], "device.model: net, two_node: 1", running).unwrap();
    assert!(!plan.rules.two_node && plan.device.unwrap().can_operate);
}

/// The stored number is a minimum: it does not lower the configured number, and it is not lost.
#[test]
fn stored_expected_votes_are_a_minimum() {
    let store = database(&[1, 1, 1], "expected_votes_tracking: 1");
    let (found, fixed) = (Found::read(&store), Fixed::read(&store));
    for (kept, expected) in [(0, 3), (2, 3), (3, 3), (7, 7)] {
        assert_eq!(plan(&found, &fixed, kept, Moment::Start).unwrap().expected, Some(expected));
    }
    let tracked =
        |votes: &[u32]| start(votes, "expected_votes: 2, expected_votes_tracking: 1").unwrap().expected;
    assert_eq!(tracked(&[1, 1, 1, 1]), Some(4), "the node list stands over expected_votes here");
    assert_eq!(tracked(&[]), Some(2));
}

#[test]
fn dangerous_settings_are_warned_about() {
    let cases: [(&[u32], &str, &[&str]); 8] = [
        (&[1, 1, 1], "", &[]),
        (&[1, 1], "two_node: 1", &[]),
        (&[1, 1], "two_node: 1, wait_for_all: 0", &["two_node without wait_for_all"]),
        (&[1, 1, 1], "two_node: 1", &["two_node with 3 nodes"]),
        (
            &[1, 1, 1],
            "last_man_standing: 1",
            &["last_man_standing without wait_for_all", "last_man_standing: as expected"],
        ),
        (&[1, 1, 1], "expected_votes: 1", &["expected_votes 1 is less than the 3 votes"]),
        (&[1, 1, 1, 1], "auto_tie_breaker: 1", &["auto_tie_breaker: after several cuts"]),
        (&[1, 1, 1], "allow_downscale: 1", &["allow_downscale is incomplete"]),
    ];
    for (votes, keys, expected) in cases {
        let store = database(votes, keys);
        let given = advice::of(&Reading::at_start(&store, Some(0)).unwrap());
        assert_eq!(given.len(), expected.len(), "{given:?}");
        for (warning, part) in given.iter().zip(expected) {
            assert!(warning.text.contains(part), "{}", warning.text);
            assert!(!warning.keys.is_empty() && warning.keys.iter().all(|key| keys::find(key).is_some()));
        }
    }
}

#[test]
fn unsupported_providers_are_refused() {
    let mut store = Database::default();
    assert_eq!(provider(&store), Ok(false));
    store.set("quorum.provider", Value::text("corosync_votequorum"));
    assert_eq!(provider(&store), Ok(true));
    store.set("quorum.provider", Value::text("corosync_ykd"));
    assert_eq!(provider(&store), Err(Wrong::Provider));
}
