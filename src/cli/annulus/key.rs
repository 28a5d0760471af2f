//! `annulus key`: the keys that the nodes use, and a new key for all.

use serde_json::json;

use super::control::others_must_agree;
use super::table::{columns, harmless};
use super::{Outcome, options};
use crate::admin::{KeyUse, NodeKey};
use crate::cli::quorum::json::line;
use crate::cli::site::Site;
use crate::cli::streams::Streams;

pub(super) fn run(action: options::Key, site: &Site, json: bool, streams: &mut Streams<'_>) -> Outcome {
    let (done, keys) = match action {
        options::Key::Status => {
            site.local()?;
            ("keys", site.admin().keys()?)
        }
        options::Key::Rotate => {
            others_must_agree(site)?;
            ("new key", site.admin().new_key()?)
        }
    };
    let text = if json {
        line(
            &json!({ "done": done, "same": same(&keys), "nodes": keys.iter().map(as_json).collect::<Vec<_>>() }),
        )
    } else {
        let rows: Vec<[String; 3]> = keys.iter().map(row).collect();
        columns(["NODE", "KEY", "ENCRYPTION"], &rows, streams) + &conclusion(action, &keys)
    };
    streams.out(text);
    Ok(())
}

fn as_json(key: &NodeKey) -> serde_json::Value {
    let node = key.node.get();
    match &key.uses {
        KeyUse::Uses { print, next, suite } => json!({
            "node": node, "state": "uses", "key": name(*print), "next": next.map(print_of), "suite": suite,
        }),
        KeyUse::Silent => json!({ "node": node, "state": "silent" }),
        KeyUse::Away => json!({ "node": node, "state": "away" }),
    }
}

fn row(key: &NodeKey) -> [String; 3] {
    let (print, what) = match &key.uses {
        KeyUse::Uses { print, next, suite } => {
            let suite = harmless(suite.as_bytes());
            let beside = next.map_or_else(String::new, |next| {
                format!("; the key {} lies beside it, from a change that was not finished", print_of(next))
            });
            (name(*print).unwrap_or_else(|| "none".to_owned()), suite + &beside)
        }
        KeyUse::Silent => ("?".to_owned(), "does not say; Corosync's nodes cannot".to_owned()),
        KeyUse::Away => ("?".to_owned(), "not on the ring".to_owned()),
    };
    [key.node.to_string(), print, what]
}

/// The result in one line, and a remark on nodes that are not on the ring.
fn conclusion(action: options::Key, keys: &[NodeKey]) -> String {
    let away: Vec<String> =
        keys.iter().filter(|key| key.uses == KeyUse::Away).map(|key| key.node.to_string()).collect();
    match action {
        options::Key::Status if same(keys) => {
            "the nodes that say which key they use use the same\n".to_owned()
        }
        options::Key::Status => "not all nodes use the same key, cipher and hash\n".to_owned(),
        options::Key::Rotate if away.is_empty() => "all nodes use the new key\n".to_owned(),
        options::Key::Rotate => format!(
            "all nodes on the ring use the new key. It is stored on those that left the ring meanwhile ({}), which go \
             over to it when they hear the others\n",
            away.join(" ")
        ),
    }
}

/// Whether all nodes that report a key use the same one.
fn same(keys: &[NodeKey]) -> bool {
    let mut uses = keys.iter().filter_map(|key| match &key.uses {
        KeyUse::Uses { print, suite, .. } => Some((print, suite)),
        KeyUse::Silent | KeyUse::Away => None,
    });
    uses.next().is_none_or(|first| uses.all(|other| other == first))
}

/// A fingerprint as text; `None` if there is no key.
fn name(print: u64) -> Option<String> {
    Some(print).filter(|print| *print != 0).map(print_of)
}

fn print_of(print: u64) -> String {
    format!("{print:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;

    fn key(id: u32, uses: KeyUse) -> NodeKey {
        NodeKey { node: NodeId::new(id).unwrap(), uses }
    }

    fn uses(print: u64, next: Option<u64>) -> KeyUse {
        KeyUse::Uses { print, next, suite: "aes256/sha256".to_owned() }
    }

    #[test]
    fn a_node_that_is_away_is_reported() {
        let keys = [key(1, uses(5, None)), key(2, KeyUse::Away)];
        assert!(conclusion(options::Key::Rotate, &keys).contains("left the ring meanwhile (2)"));
        assert_eq!(row(&keys[1]), ["2", "?", "not on the ring"]);
        assert_eq!(as_json(&keys[1]), json!({ "node": 2, "state": "away" }));
    }

    #[test]
    fn nodes_with_different_keys_are_reported() {
        assert!(same(&[key(1, uses(5, None)), key(2, uses(5, Some(6))), key(3, KeyUse::Silent)]));
        assert!(!same(&[key(1, uses(5, None)), key(2, uses(6, None))]));
        assert!(same(&[]));
    }

    #[test]
    fn an_unfinished_key_change_is_reported() {
        let [_, print, what] = row(&key(1, uses(0xab, Some(0xcd))));
        assert_eq!(print, "00000000000000ab");
        assert!(what.contains("the key 00000000000000cd lies beside it"), "{what}");
    }
}
