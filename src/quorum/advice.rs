//! What in a configuration can leave a cluster with two parts that both act, or with none.

use super::settings::{Fixed, Found, Plan};

/// Warnings about a configuration, each a sentence with its remedy.
pub fn warnings(found: &Found, fixed: &Fixed, plan: &Plan) -> Vec<String> {
    let mut all = Vec::new();
    let rules = &plan.rules;
    let mut warn = |text: String| all.push(text);
    if rules.two_node && !rules.wait_for_all {
        warn(
            "quorum.two_node without wait_for_all: two nodes that start apart from each other both act. \
             Remove wait_for_all: 0"
                .to_owned(),
        );
    }
    if rules.two_node && found.nodes().is_some_and(|nodes| nodes != 2) {
        warn(format!(
            "quorum.two_node with {} nodes in the node list: any two of them, and any one alone, are quorate. \
             Remove two_node",
            found.nodes().unwrap_or(0)
        ));
    }
    if rules.last_man_standing && !rules.wait_for_all {
        warn(
            "quorum.last_man_standing without wait_for_all: nodes that start apart from those left can become \
             quorate beside them. Set wait_for_all: 1"
                .to_owned(),
        );
    }
    if rules.last_man_standing {
        warn(
            "quorum.last_man_standing: as expected votes shrink, nodes that were cut off and one that is cut off \
             later can be quorate together, beside the others. Every node that leaves must be fenced"
                .to_owned(),
        );
    }
    if rules.last_man_standing && rules.tie_breaker.is_some() {
        warn(
            "quorum.last_man_standing with auto_tie_breaker: a single node can end up quorate. Every node that \
             leaves must be fenced"
                .to_owned(),
        );
    }
    if rules.tie_breaker.is_some() {
        warn(
            "quorum.auto_tie_breaker: after several cuts in a row, two halves can be quorate beside each other, \
             and in a cluster with an odd number of votes one node beside the rest. Every node that is cut off \
             must be fenced"
                .to_owned(),
        );
    }
    if rules.allow_downscale {
        warn(
            "quorum.allow_downscale is incomplete in Corosync too: nodes that left in order count no longer, \
             and can be quorate together if they start apart from the others"
                .to_owned(),
        );
    }
    if let (Some(expected), Some(sum)) = (found.expected(), found.votes_of_nodes())
        && expected < sum
        && !rules.expected_votes_tracking
    {
        warn(format!(
            "quorum.expected_votes {expected} is less than the {sum} votes of the node list: parts of the \
             cluster that start apart from each other can each be quorate. Remove expected_votes"
        ));
    }
    if plan.votes == 0 {
        warn("This node has no vote (quorum_votes 0)".to_owned());
    }
    if fixed.tie_breaker.is_some() && rules.tie_breaker.is_none() {
        warn("quorum.auto_tie_breaker is configured, but not in effect; see above".to_owned());
    }
    all
}
