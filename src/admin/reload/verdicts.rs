//! The decision that follows from all verdicts: pure, and the same at every node that has received the same
//! messages.

use std::collections::{BTreeMap, BTreeSet};

use crate::admin::wire::talk::{Accepted, Verdict};
use crate::config::fingerprint::Fingerprint;
use crate::error::Status;
use crate::ids::NodeId;

/// Largest number of differences between two files that are named; the rest is only mentioned.
const NAMED: usize = 5;
/// Largest number of reasons that are reported; the rest is only mentioned.
const REASONS: usize = 16;

/// The decision about a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// All nodes apply their new files.
    Apply,
    /// No node applies its file.
    Refuse {
        /// The status for the client that asked.
        status: Status,
        /// The reasons, one a line, each with its nodes.
        why: String,
    },
}

/// Decides for these nodes, some of which may not have given a verdict in time. All files are compared with
/// that of `proposer`; `own` provides the names of settings that differ.
pub(super) fn decide(
    nodes: &BTreeSet<NodeId>,
    verdicts: &BTreeMap<NodeId, Verdict>,
    proposer: Option<NodeId>,
    own: Option<&Fingerprint>,
) -> Decision {
    let given = |node: &NodeId| verdicts.get(node);
    let mut reasons: BTreeMap<&str, Vec<NodeId>> = BTreeMap::new();
    for node in nodes {
        if let Some(Verdict::Refuse(why)) = given(node) {
            reasons.entry(why).or_default().push(*node);
        }
    }
    let mut lines: Vec<String> =
        reasons.into_iter().map(|(why, of)| format!("{}: {why}", named(&of))).collect();
    let mut status = Status::InvalidParam;

    let files: Vec<(NodeId, &Accepted)> = nodes
        .iter()
        .filter_map(|node| match given(node) {
            Some(Verdict::Accept(accepted)) => Some((*node, accepted)),
            Some(Verdict::Refuse(_) | Verdict::NoFile) | None => None,
        })
        .collect();
    let first = files.iter().find(|(node, _)| Some(*node) == proposer).or(files.first());
    if let Some((base, wanted)) = first {
        for (node, other) in &files {
            // A member that is not in the list is being removed: its own file is not compared.
            let listed = wanted.nodes.is_empty() || wanted.nodes.iter().any(|(id, _)| *id == node.get());
            if listed && (other.nodes != wanted.nodes || other.settings != wanted.settings) {
                let what = differences(wanted, other, own);
                lines.push(format!("the files of nodes {base} and {node} differ: {what}"));
            }
        }
    }

    let silent: Vec<NodeId> = nodes.iter().filter(|node| given(node).is_none()).copied().collect();
    if !silent.is_empty() {
        if lines.is_empty() {
            status = Status::Timeout;
        }
        lines.push(format!(
            "{}: no verdict in time; look whether its disk and its name service answer, and ask again",
            named(&silent)
        ));
    }
    if lines.is_empty() {
        return Decision::Apply;
    }
    if lines.len() > REASONS {
        let more = lines.len() - REASONS;
        lines.truncate(REASONS);
        lines.push(format!("and {more} more reasons"));
    }
    Decision::Refuse { status, why: lines.join("\n") }
}

/// `node 1`, `nodes 1 2 3`.
pub(in crate::admin) fn named(nodes: &[NodeId]) -> String {
    let ids: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    format!("node{} {}", if ids.len() == 1 { "" } else { "s" }, ids.join(" "))
}

/// The differences between two files, as far as this node can name them.
fn differences(one: &Accepted, other: &Accepted, own: Option<&Fingerprint>) -> String {
    let of = |accepted: &Accepted| accepted.nodes.iter().copied().collect::<BTreeSet<(u32, u64)>>();
    let ids: BTreeSet<u32> = of(one).symmetric_difference(&of(other)).map(|(id, _)| *id).collect();
    let mut names: Vec<String> = ids.into_iter().map(|id| format!("node {id} of the node list")).collect();
    let of = |accepted: &Accepted| accepted.settings.iter().copied().collect::<BTreeSet<u64>>();
    let mut unknown = false;
    for setting in of(one).symmetric_difference(&of(other)) {
        match own.and_then(|own| own.settings.get(setting)) {
            Some(name) => names.push(name.clone()),
            None => unknown = true,
        }
    }
    if names.is_empty() && unknown {
        return "settings that this node's file does not have".to_owned();
    }
    if names.len() > NAMED {
        let more = names.len() - NAMED;
        names.truncate(NAMED);
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}
