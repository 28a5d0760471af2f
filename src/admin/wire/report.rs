//! The report about a reload for clients of annulusd, after the 24 bytes that Corosync's clients expect. Only a
//! client that asks for it gets it.

use zerocopy::{FromBytes, I32, IntoBytes, NativeEndian, U32};

use super::reply::refusal;
use super::request::number;
use super::talk::cut;
use crate::admin::reloaded::{NodeOutcome, NodeReload, Reload};
use crate::error::Status;
use crate::ids::NodeId;
use crate::service::wire::layout::{PaddedU32, layout};

type NE = NativeEndian;

/// Limit for the text of the reasons in bytes; longer text is cut.
const WHY_LIMIT: usize = 64 << 10;
/// Limit for one line about a key that needs a restart, in bytes; `LINES_LIMIT` is that for the number of
/// lines of one node.
const LINE_LIMIT: usize = 1024;
const LINES_LIMIT: usize = 256;
/// Limit for a whole report in bytes; nodes for which there is no room are left out.
const SIZE_LIMIT: usize = 512 << 10;
/// Offset of the size in the header of a reply.
const SIZE_AT: usize = 8;

const APPLIED: u32 = 1;
const NO_FILE: u32 = 2;
const TOLD: u32 = 3;

layout! {
    /// The part after the header of the reply.
    struct HeadBytes: 16 {
        /// Length of the reasons of a refusal.
        why: U32<NE>,
        changed: U32<NE>,
        nodes: PaddedU32<NE>,
    }

    struct NodeBytes: 16 {
        id: U32<NE>,
        outcome: U32<NE>,
        kept: PaddedU32<NE>,
    }
}

/// Encodes the reply to a client that asked for a report: the result of its reload, or why it was refused.
pub(crate) fn encode(status: Status, why: &str, report: &Reload) -> Vec<u8> {
    let mut body = Vec::new();
    let why = cut(why, WHY_LIMIT);
    body.extend_from_slice(why.as_bytes());
    let changed = &report.changed[..report.changed.len().min(Reload::NAMES_LIMIT)];
    changed.iter().for_each(|name| put(&mut body, name));
    let mut nodes = 0;
    for node in &report.nodes {
        let before = body.len();
        let kept = &node.kept[..node.kept.len().min(LINES_LIMIT)];
        let bytes = NodeBytes {
            id: U32::new(node.node.get()),
            outcome: U32::new(match node.outcome {
                NodeOutcome::Applied => APPLIED,
                NodeOutcome::NoFile => NO_FILE,
                NodeOutcome::Told => TOLD,
            }),
            kept: PaddedU32::new(kept.len() as u32),
        };
        body.extend_from_slice(bytes.as_bytes());
        kept.iter().for_each(|line| put(&mut body, line));
        if body.len() > SIZE_LIMIT {
            body.truncate(before);
            break;
        }
        nodes += 1;
    }
    let head = HeadBytes {
        why: U32::new(why.len() as u32),
        changed: U32::new(changed.len() as u32),
        nodes: PaddedU32::new(nodes),
    };
    let mut reply = refusal(number::RELOAD, status);
    reply.extend_from_slice(head.as_bytes());
    reply.extend_from_slice(&body);
    let size = I32::<NE>::new(reply.len() as i32);
    reply[SIZE_AT..SIZE_AT + 4].copy_from_slice(size.as_bytes());
    reply
}

/// Decodes such a reply, whatever its status: the reasons of a refusal, and the result. `None`: it has no report, as
/// from Corosync's daemon, or is malformed.
pub(crate) fn decode(reply: &[u8]) -> Option<(String, Reload)> {
    let rest = reply.get(refusal(number::RELOAD, Status::Ok).len()..)?;
    let (head, mut rest) = HeadBytes::ref_from_prefix(rest).ok()?;
    let count = |count: u32, limit: usize| usize::try_from(count).ok().filter(|count| *count <= limit);
    let why = String::from_utf8_lossy(rest.split_off(..count(head.why.get(), WHY_LIMIT)?)?).into_owned();
    let mut report = Reload::default();
    for _ in 0..count(head.changed.get(), Reload::NAMES_LIMIT)? {
        report.changed.push(take(&mut rest)?);
    }
    for _ in 0..head.nodes.get() {
        let (node, after) = NodeBytes::ref_from_prefix(rest).ok()?;
        rest = after;
        let outcome = match node.outcome.get() {
            APPLIED => NodeOutcome::Applied,
            NO_FILE => NodeOutcome::NoFile,
            TOLD => NodeOutcome::Told,
            _ => return None,
        };
        let mut kept = Vec::new();
        for _ in 0..count(node.kept.get(), LINES_LIMIT)? {
            kept.push(take(&mut rest)?);
        }
        report.nodes.push(NodeReload { node: NodeId::new(node.id.get())?, outcome, kept });
    }
    Some((why, report))
}

fn put(body: &mut Vec<u8>, line: &str) {
    let line = cut(line, LINE_LIMIT);
    body.extend_from_slice(&(line.len() as u32).to_ne_bytes());
    body.extend_from_slice(line.as_bytes());
}

fn take(rest: &mut &[u8]) -> Option<String> {
    let (length, after) = U32::<NE>::ref_from_prefix(rest).ok()?;
    *rest = after;
    let length = usize::try_from(length.get()).ok().filter(|length| *length <= LINE_LIMIT)?;
    Some(String::from_utf8_lossy(rest.split_off(..length)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_decoded_as_encoded_and_truncated_ones_refused() {
        let node = |id, outcome, kept: &[&str]| NodeReload {
            node: NodeId::new(id).unwrap(),
            outcome,
            kept: kept.iter().map(|line| (*line).to_owned()).collect(),
        };
        let report = Reload {
            changed: vec!["totem.token".to_owned()],
            nodes: vec![
                node(1, NodeOutcome::Applied, &["totem.transport (corosync.conf:3)", ""]),
                node(2, NodeOutcome::NoFile, &[]),
                node(3, NodeOutcome::Told, &[]),
            ],
        };
        let reply = encode(Status::InvalidParam, "node 1: why", &report);
        assert_eq!(reply[8..12], (reply.len() as i32).to_ne_bytes());
        assert_eq!(reply[16..20], 7_i32.to_ne_bytes());
        assert_eq!(decode(&reply), Some(("node 1: why".to_owned(), report)));
        for length in 0..reply.len() {
            assert_eq!(decode(&reply[..length]), None, "{length}");
        }
        let mut hostile = reply;
        hostile[32..36].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(decode(&hostile), None);
    }

    #[test]
    fn a_report_has_a_limit() {
        let kept = vec!["x".repeat(2 * LINE_LIMIT); 2 * LINES_LIMIT];
        let node = |id| NodeReload {
            node: NodeId::new(id).unwrap(),
            outcome: NodeOutcome::Applied,
            kept: kept.clone(),
        };
        let report = Reload { changed: vec![String::new(); 1000], nodes: (1..384).map(node).collect() };
        let reply = encode(Status::Ok, &"y".repeat(1 << 20), &report);
        assert!(reply.len() < 600 << 10, "{}", reply.len());
        let (_, told) = decode(&reply).unwrap();
        assert!(!told.nodes.is_empty() && told.nodes.len() < 383);
    }
}
