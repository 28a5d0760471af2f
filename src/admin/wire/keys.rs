//! The report about the nodes' keys for clients of annulusd, after the 24 bytes that Corosync's clients expect.

use super::reply::refusal;
use super::request::number;
use super::talk::cut;
use crate::admin::key_use::{KeyUse, NodeKey};
use crate::error::Status;
use crate::ids::NodeId;

/// Limit for the text of the reasons in bytes; longer text is cut.
const WHY_LIMIT: usize = 16 << 10;
/// Offset of the size in the header of a reply.
const SIZE_AT: usize = 8;

const SILENT: &str = "silent";
const AWAY: &str = "away";

/// Encodes the reply: for each node a line with the fingerprint of its key, that of the stored new key, and cipher
/// and hash; and the reasons if the request was refused.
pub(crate) fn encode(status: Status, why: &str, keys: &[NodeKey]) -> Vec<u8> {
    let mut reply = refusal(number::RING_REENABLE, status);
    for NodeKey { node, uses } in keys {
        let line = match uses {
            KeyUse::Uses { print, next, suite } => {
                let printable = |c: char| if c.is_control() { '?' } else { c };
                let suite: String = suite.chars().map(printable).collect();
                format!("{node} {print:016x} {:016x} {suite}\n", next.unwrap_or(0))
            }
            KeyUse::Silent => format!("{node} {SILENT}\n"),
            KeyUse::Away => format!("{node} {AWAY}\n"),
        };
        reply.extend_from_slice(line.as_bytes());
    }
    reply.push(0);
    reply.extend_from_slice(cut(why, WHY_LIMIT).as_bytes());
    let size = (reply.len() as i32).to_ne_bytes();
    reply[SIZE_AT..SIZE_AT + 4].copy_from_slice(&size);
    reply
}

/// Decodes the reply: the reasons, and the keys of the nodes. `None`: it is not from annulusd, or malformed.
pub(crate) fn decode(reply: &[u8]) -> Option<(String, Vec<NodeKey>)> {
    let rest = reply.get(refusal(number::RING_REENABLE, Status::Ok).len()..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let lines = str::from_utf8(&rest[..end]).ok()?;
    let keys = lines.lines().map(key).collect::<Option<Vec<_>>>()?;
    Some((String::from_utf8_lossy(&rest[end + 1..]).into_owned(), keys))
}

fn key(line: &str) -> Option<NodeKey> {
    let mut words = line.splitn(4, ' ');
    let node = NodeId::new(words.next()?.parse().ok()?)?;
    let print = |word: &str| u64::from_str_radix(word, 16).ok();
    let uses = match words.next()? {
        SILENT => KeyUse::Silent,
        AWAY => KeyUse::Away,
        word => KeyUse::Uses {
            print: print(word)?,
            next: Some(print(words.next()?)?).filter(|next| *next != 0),
            suite: words.next()?.to_owned(),
        },
    };
    Some(NodeKey { node, uses })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_reports_are_decoded_as_encoded() {
        let key = |id, uses| NodeKey { node: NodeId::new(id).unwrap(), uses };
        let uses = |print, next| KeyUse::Uses { print, next, suite: "aes256/sha256".to_owned() };
        let keys = vec![
            key(1, uses(0, None)),
            key(2, uses(u64::MAX, Some(7))),
            key(3, KeyUse::Silent),
            key(4, KeyUse::Away),
        ];
        let reply = encode(Status::Timeout, "node 3 is late", &keys);
        assert_eq!(reply[8..12], (reply.len() as i32).to_ne_bytes());
        assert_eq!(decode(&reply), Some(("node 3 is late".to_owned(), keys)));
        assert_eq!(decode(&refusal(number::RING_REENABLE, Status::NotSupported)), None);
        assert_eq!(decode(b""), None);
    }

    /// Text that another node sends cannot add lines to the report.
    #[test]
    fn texts_of_other_nodes_cannot_add_lines() {
        let uses = KeyUse::Uses { print: 1, next: None, suite: "a\n2 away\0".to_owned() };
        let reply = encode(Status::Ok, "", &[NodeKey { node: NodeId::new(1).unwrap(), uses }]);
        let (why, keys) = decode(&reply).unwrap();
        assert_eq!((why.as_str(), keys.len()), ("", 1));
    }
}
