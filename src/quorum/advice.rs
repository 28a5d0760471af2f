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

/// A warning that a setting is probably a mistake.
fn mistake(keys: &'static [&'static str], text: impl Into<String>) -> Advice {
    Advice { weight: Weight::Mistake, text: text.into(), keys }
}

/// A warning of the drawback of a rule.
fn price(keys: &'static [&'static str], text: impl Into<String>) -> Advice {
    Advice { weight: Weight::Price, text: text.into(), keys }
}

/// The warnings about a configuration.
pub fn of(reading: &Reading) -> Vec<Advice> {
    let Reading { fixed, found, plan } = reading;
    let rules = &plan.rules;
    let mut all = Vec::new();
    if rules.two_node && !rules.wait_for_all {
        let text = "quorum.two_node without wait_for_all: two nodes that start apart from each other both act. \
             Remove wait_for_all: 0";
        all.push(mistake(&["quorum.wait_for_all", "quorum.two_node"], text));
    }
    match (found.nodes(), found.expected()) {
        (Some(nodes), _) if rules.two_node && nodes != 2 => {
            let text = format!(
                "quorum.two_node with {nodes} nodes in the node list: any two of them, and any one alone, are quorate. \
                 Remove two_node"
            );
            all.push(mistake(&["quorum.two_node"], text));
        }
        (_, Some(expected)) if rules.two_node && expected != 2 => {
            let text = format!(
                "quorum.two_node with expected_votes {expected}: it is for two nodes with one vote each. Remove two_node"
            );
            all.push(mistake(&["quorum.two_node", "quorum.expected_votes"], text));
        }
        _ => {}
    }
    if found.two_node() && !rules.two_node && fixed.tie_breaker.is_some() {
        let text = "quorum.two_node is not in effect beside auto_tie_breaker. Remove one of them";
        all.push(mistake(&["quorum.two_node", "quorum.auto_tie_breaker"], text));
    }
    if rules.last_man_standing && !rules.wait_for_all {
        let text = "quorum.last_man_standing without wait_for_all: nodes that start apart from those left can become \
             quorate beside them. Set wait_for_all: 1";
        all.push(mistake(&["quorum.last_man_standing"], text));
    }
    if rules.last_man_standing {
        let text = "quorum.last_man_standing: as expected votes shrink, nodes that were cut off and one that is cut off \
             later can be quorate together, beside the others. Every node that leaves must be fenced";
        all.push(price(&["quorum.last_man_standing"], text));
    }
    if rules.last_man_standing && rules.tie_breaker.is_some() {
        let text = "quorum.last_man_standing with auto_tie_breaker: a single node can end up quorate. Every node that \
             leaves must be fenced";
        all.push(price(&["quorum.last_man_standing", "quorum.auto_tie_breaker"], text));
    }
    if rules.tie_breaker.is_some() {
        let text = "quorum.auto_tie_breaker: after several cuts in a row, two halves can be quorate beside each other, \
             and in a cluster with an odd number of votes one node beside the rest. Every node that is cut off \
             must be fenced";
        all.push(price(&["quorum.auto_tie_breaker"], text));
    }
    if rules.allow_downscale {
        let text = "quorum.allow_downscale is incomplete in Corosync too: nodes that left in order count no longer, \
             and can be quorate together if they start apart from the others";
        all.push(price(&["quorum.allow_downscale"], text));
    }
    if let (Some(expected), Some(sum)) = (found.expected(), found.votes_of_nodes())
        && !rules.expected_votes_tracking
    {
        let all_votes = u64::from(sum) + u64::from(plan.device_votes.unwrap_or(0));
        if expected < sum {
            let text = format!(
                "quorum.expected_votes {expected} is less than the {sum} votes of the node list: parts of the \
                 cluster that start apart from each other can each be quorate. Remove expected_votes"
            );
            all.push(mistake(&["quorum.expected_votes"], text));
        } else if u64::from(expected) / 2 + 1 > all_votes {
            let text = format!(
                "quorum.expected_votes {expected}: the {all_votes} votes that there are can never be quorate. \
                 Remove expected_votes"
            );
            all.push(mistake(&["quorum.expected_votes"], text));
        }
    }
    if plan.votes == 0 {
        let keys = &["nodelist.node.*.quorum_votes", "quorum.votes"];
        all.push(price(keys, "This node has no vote (quorum_votes 0)"));
    }
    if fixed.unknown_tie_breaker {
        let text = "quorum.auto_tie_breaker is not in effect: auto_tie_breaker_node must be lowest, highest or a list \
             of node ids";
        all.push(mistake(&["quorum.auto_tie_breaker_node"], text));
    }
    if fixed.tie_breaker.is_some() && rules.tie_breaker.is_none() {
        let text = "quorum.auto_tie_breaker is not in effect: where the number of votes is odd it needs wait_for_all: 1";
        all.push(mistake(&["quorum.auto_tie_breaker"], text));
    }
    all
}
