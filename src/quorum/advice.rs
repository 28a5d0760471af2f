//! Warnings about configurations in which two partitions can be quorate at the same time, or none can.

use super::settings::Reading;

/// A warning about a configuration, with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The kind of warning.
    pub weight: Weight,
    /// The text, one sentence.
    pub text: String,
    /// The settings concerned, named as in the table of settings; `*` stands for every node of the list.
    pub keys: &'static [&'static str],
}

/// The kind of a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The setting is probably a mistake.
    Mistake,
    /// The rule may be intended, but has a drawback that its user must know.
    Price,
}

/// The warnings about a configuration.
pub fn of(reading: &Reading) -> Vec<Advice> {
    let Reading { fixed, found, plan } = reading;
    let rules = &plan.rules;
    let mut all = Vec::new();
    let mut say = |weight, keys, text: String| all.push(Advice { weight, text, keys });
    if rules.two_node && !rules.wait_for_all {
        say(
            Weight::Mistake,
            &["quorum.wait_for_all", "quorum.two_node"],
            "quorum.two_node without wait_for_all: two nodes that start apart from each other both act. \
             Remove wait_for_all: 0"
                .to_owned(),
        );
    }
    match (found.nodes(), found.expected()) {
        (Some(nodes), _) if rules.two_node && nodes != 2 => say(
            Weight::Mistake,
            &["quorum.two_node"],
            format!(
                "quorum.two_node with {nodes} nodes in the node list: any two of them, and any one alone, are quorate. \
                 Remove two_node"
            ),
        ),
        (_, Some(expected)) if rules.two_node && expected != 2 => say(
            Weight::Mistake,
            &["quorum.two_node", "quorum.expected_votes"],
            format!(
                "quorum.two_node with expected_votes {expected}: it is for two nodes with one vote each. Remove two_node"
            ),
        ),
        _ => {}
    }
    if found.two_node() && !rules.two_node && fixed.tie_breaker.is_some() {
        say(
            Weight::Mistake,
            &["quorum.two_node", "quorum.auto_tie_breaker"],
            "quorum.two_node is not in effect beside auto_tie_breaker. Remove one of them".to_owned(),
        );
    }
    if rules.last_man_standing && !rules.wait_for_all {
        say(
            Weight::Mistake,
            &["quorum.last_man_standing"],
            "quorum.last_man_standing without wait_for_all: nodes that start apart from those left can become \
             quorate beside them. Set wait_for_all: 1"
                .to_owned(),
        );
    }
    if rules.last_man_standing {
        say(
            Weight::Price,
            &["quorum.last_man_standing"],
            "quorum.last_man_standing: as expected votes shrink, nodes that were cut off and one that is cut off \
             later can be quorate together, beside the others. Every node that leaves must be fenced"
                .to_owned(),
        );
    }
    if rules.last_man_standing && rules.tie_breaker.is_some() {
        say(
            Weight::Price,
            &["quorum.last_man_standing", "quorum.auto_tie_breaker"],
            "quorum.last_man_standing with auto_tie_breaker: a single node can end up quorate. Every node that \
             leaves must be fenced"
                .to_owned(),
        );
    }
    if rules.tie_breaker.is_some() {
        say(
            Weight::Price,
            &["quorum.auto_tie_breaker"],
            "quorum.auto_tie_breaker: after several cuts in a row, two halves can be quorate beside each other, \
             and in a cluster with an odd number of votes one node beside the rest. Every node that is cut off \
             must be fenced"
                .to_owned(),
        );
    }
    if rules.allow_downscale {
        say(
            Weight::Price,
            &["quorum.allow_downscale"],
            "quorum.allow_downscale is incomplete in Corosync too: nodes that left in order count no longer, \
             and can be quorate together if they start apart from the others"
                .to_owned(),
        );
    }
    if let (Some(expected), Some(sum)) = (found.expected(), found.votes_of_nodes())
        && !rules.expected_votes_tracking
    {
        let all_votes = u64::from(sum) + u64::from(plan.device_votes.unwrap_or(0));
        if expected < sum {
            say(
                Weight::Mistake,
                &["quorum.expected_votes"],
                format!(
                    "quorum.expected_votes {expected} is less than the {sum} votes of the node list: parts of the \
                     cluster that start apart from each other can each be quorate. Remove expected_votes"
                ),
            );
        } else if u64::from(expected) / 2 + 1 > all_votes {
            say(
                Weight::Mistake,
                &["quorum.expected_votes"],
                format!(
                    "quorum.expected_votes {expected}: the {all_votes} votes that there are can never be quorate. \
                     Remove expected_votes"
                ),
            );
        }
    }
    if plan.votes == 0 {
        say(
            Weight::Price,
            &["nodelist.node.*.quorum_votes", "quorum.votes"],
            "This node has no vote (quorum_votes 0)".to_owned(),
        );
    }
    if fixed.unknown_tie_breaker {
        say(
            Weight::Mistake,
            &["quorum.auto_tie_breaker_node"],
            "quorum.auto_tie_breaker is not in effect: auto_tie_breaker_node must be lowest, highest or a list \
             of node ids"
                .to_owned(),
        );
    }
    if fixed.tie_breaker.is_some() && rules.tie_breaker.is_none() {
        say(
            Weight::Mistake,
            &["quorum.auto_tie_breaker"],
            "quorum.auto_tie_breaker is not in effect: where the number of votes is odd it needs wait_for_all: 1"
                .to_owned(),
        );
    }
    all
}
