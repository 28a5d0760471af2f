//! Which parts of the cluster may act. With the rules that are drawn here, any two parts that ever may act have a node in
//! common, at the same time or not: that is what makes a majority safe.

use std::collections::BTreeSet;

use annulus::ids::NodeId;

use crate::whole::record::Record;

/// Checks all pairs of parts. How many parts there were.
pub(super) fn check(record: &Record) -> Result<usize, String> {
    let parts: BTreeSet<&BTreeSet<NodeId>> =
        record.verdicts.iter().filter(|verdict| verdict.quorate).map(|verdict| &verdict.members).collect();
    for verdict in record.verdicts.iter().filter(|verdict| verdict.quorate) {
        if let Some(other) = parts.iter().find(|other| other.is_disjoint(&verdict.members)) {
            return Err(format!(
                "two sides may act: {other:?}, and at {} µs {verdict:?}",
                verdict.at.as_micros()
            ));
        }
        if !verdict.members.iter().any(|member| member.get() == verdict.by.node) {
            return Err(format!("a node may act in a part that it is not in: {verdict:?}"));
        }
    }
    Ok(parts.len())
}
