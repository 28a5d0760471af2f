//! Whether members have a majority without one of them, by the configured votes.

use crate::ids::NodeId;
use crate::service::Database;

/// Whether these nodes have more than half of the configured votes: of the node list, or of `quorum.expected_votes` if
/// that is more. Votes of a quorum device count as expected, but not for the nodes. `false` without a node list.
pub(super) fn have_a_majority(database: &Database, nodes: &[NodeId]) -> bool {
    let number = |key: &str| database.get(key).and_then(|value| value.number());
    let mut last = None;
    let (mut sum, mut theirs) = (0_i128, 0_i128);
    for (key, _) in database.range("nodelist.node.") {
        let Some(place) = key["nodelist.node.".len()..].split('.').next() else { continue };
        if last.replace(place.to_owned()).as_deref() == Some(place) {
            continue; // The keys of one node are adjacent.
        }
        let votes = number(&format!("nodelist.node.{place}.quorum_votes")).unwrap_or(1);
        let id = number(&format!("nodelist.node.{place}.nodeid"));
        sum += votes;
        if nodes.iter().any(|node| id == Some(node.get().into())) {
            theirs += votes;
        }
    }
    let device = number("quorum.device.votes").unwrap_or(0);
    let expected = number("quorum.expected_votes").unwrap_or(0);
    theirs * 2 > expected.max(sum + device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::node;
    use crate::value::Value;

    /// Three nodes, with one, two and one votes.
    fn database() -> Database {
        let mut database = Database::default();
        for (place, id) in [7, 8, 9].into_iter().enumerate() {
            database.set(&format!("nodelist.node.{place}.nodeid"), Value::U32(id));
            database.set(&format!("nodelist.node.{place}.ring0_addr"), Value::text("h"));
        }
        database.set("nodelist.node.1.quorum_votes", Value::U32(2));
        database
    }

    #[test]
    fn the_votes_of_the_node_list_are_counted() {
        let mut database = database();
        let have = |database: &Database, ids: &[u32]| {
            have_a_majority(database, &ids.iter().map(|id| node(*id)).collect::<Vec<_>>())
        };
        assert!(have(&database, &[7, 8]) && have(&database, &[8, 9]));
        assert!(!have(&database, &[7, 9]), "half");
        assert!(!have(&database, &[1, 2, 3]), "not in the list");
        database.set("quorum.expected_votes", Value::U32(6));
        assert!(!have(&database, &[7, 8]), "more are expected");
        database.set("quorum.expected_votes", Value::U32(0));
        database.set("quorum.device.votes", Value::U32(2));
        assert!(!have(&database, &[7, 8]), "a device has two of six");
        assert!(!have_a_majority(&Database::default(), &[node(1)]));
    }
}
