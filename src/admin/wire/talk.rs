//! Messages between nodes of annulusd before a reload, so that either all of them or none apply new files.
//!
//! Corosync has one message about reloads, after which each node decides for itself. The messages here are
//! carried by RINGREENABLE, whose handler has no effect in any release of Corosync 3 and reads nothing of the
//! message: after its 32 bytes follow a mark, and then the content. A node of Corosync counts them
//! (`runtime.services.cfg.0.rx`) and does nothing else.

use zerocopy::{ByteOrder, FromBytes, IntoBytes, LittleEndian, U32, U64};

use super::marked::{Mark, MarkedBytes, RoundId};
use crate::ids::{Endian, NodeId};
use crate::service::wire::layout::{PaddedU32, in_order, layout};

/// The mark of these messages; its last byte is the version of their format.
const MARK: Mark = *b"annulus\x01";
/// Largest number of nodes in one message, as many as a cluster may have.
pub(crate) const NODE_LIMIT: usize = 384;
/// Largest number of settings in one message; more are not compared one by one.
pub(crate) const SETTINGS_LIMIT: usize = 4096;
/// Largest length of text in one message in bytes; longer text is cut.
pub(crate) const TEXT_LIMIT: usize = 4096;

const CALL: u32 = 1;
const HERE: u32 = 2;
const PROPOSE: u32 = 3;
const VERDICT: u32 = 4;
const EXPIRE: u32 = 5;

const ACCEPT: u32 = 1;
const REFUSE: u32 = 2;
const NO_FILE: u32 = 3;

layout! {
    struct TalkBytes<O>: 80 {
        head: MarkedBytes<O>,
        verdict: U32<O>,
        nodes: U32<O>,
        settings: U32<O>,
        text: PaddedU32<O>,
    }

    struct NodeBytes<O>: 16 {
        id: PaddedU32<O>,
        hash: U64<O>,
    }
}

/// A node's judgement of its new file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The node could apply it.
    Accept(Accepted),
    /// The node could not apply it, for this reason.
    Refuse(String),
    /// The node has no file, and follows the decision of the others.
    NoFile,
}

/// The content of a valid file, as far as the other nodes must compare it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// For each listed node its id and a hash of its entry, ascending by id.
    pub(crate) nodes: Vec<(u32, u64)>,
    /// A hash of each setting, ascending.
    pub(crate) settings: Vec<u64>,
    /// The changed settings that need a restart, one a line.
    pub(crate) kept: String,
}

/// A message of the agreement on a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Talk {
    /// Asks which members can judge a reload.
    Call,
    /// The sender can judge a reload.
    Here,
    /// All members must read their files and multicast their verdicts.
    Propose(RoundId),
    /// The sender's verdict on its own file.
    Verdict(RoundId, Verdict),
    /// The sender has waited for verdicts long enough.
    Expire(RoundId),
}

impl Talk {
    pub(crate) fn encode(&self, me: NodeId) -> Vec<u8> {
        let none = Accepted::default();
        let (kind, round, verdict, accepted, text) = match self {
            Self::Call => (CALL, RoundId::NONE, 0, &none, ""),
            Self::Here => (HERE, RoundId::NONE, 0, &none, ""),
            Self::Propose(round) => (PROPOSE, *round, 0, &none, ""),
            Self::Expire(round) => (EXPIRE, *round, 0, &none, ""),
            Self::Verdict(round, verdict) => match verdict {
                Verdict::Accept(accepted) => (VERDICT, *round, ACCEPT, accepted, accepted.kept.as_str()),
                Verdict::Refuse(why) => (VERDICT, *round, REFUSE, &none, why.as_str()),
                Verdict::NoFile => (VERDICT, *round, NO_FILE, &none, ""),
            },
        };
        let nodes = &accepted.nodes[..accepted.nodes.len().min(NODE_LIMIT)];
        let settings = &accepted.settings[..accepted.settings.len().min(SETTINGS_LIMIT)];
        let text = cut(text, TEXT_LIMIT);
        let size = size_of::<TalkBytes<LittleEndian>>()
            + nodes.len() * size_of::<NodeBytes<LittleEndian>>()
            + settings.len() * 8
            + text.len();
        let head = TalkBytes::<LittleEndian> {
            head: MarkedBytes::new(me, size, MARK, kind, round),
            verdict: U32::new(verdict),
            nodes: U32::new(nodes.len() as u32),
            settings: U32::new(settings.len() as u32),
            text: PaddedU32::new(text.len() as u32),
        };
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(head.as_bytes());
        for (id, hash) in nodes {
            let node = NodeBytes::<LittleEndian> { id: PaddedU32::new(*id), hash: U64::new(*hash) };
            bytes.extend_from_slice(node.as_bytes());
        }
        settings.iter().for_each(|one| bytes.extend_from_slice(&one.to_le_bytes()));
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    /// Decodes a RINGREENABLE message in its sender's byte order. `Ok(None)`: it is a plain one, or has an unknown
    /// format.
    ///
    /// # Errors
    /// It is truncated, or contains an invalid count.
    pub(crate) fn decode(message: &[u8], order: Endian) -> Result<Option<Self>, Malformed> {
        in_order!(order, O => Self::decode_in::<O>(message))
    }

    fn decode_in<O: ByteOrder>(message: &[u8]) -> Result<Option<Self>, Malformed> {
        if !MarkedBytes::<O>::is_marked(message, &MARK) {
            return Ok(None);
        }
        let (head, rest) = TalkBytes::<O>::ref_from_prefix(message).map_err(|_| Malformed)?;
        let round = head.head.round();
        Ok(Some(match head.head.kind.get() {
            CALL => Self::Call,
            HERE => Self::Here,
            PROPOSE => Self::Propose(round),
            EXPIRE => Self::Expire(round),
            VERDICT => Self::Verdict(round, verdict(head, rest).ok_or(Malformed)?),
            _ => return Ok(None),
        }))
    }
}

fn verdict<O: ByteOrder>(head: &TalkBytes<O>, rest: &[u8]) -> Option<Verdict> {
    let count = |count: u32, limit: usize| usize::try_from(count).ok().filter(|count| *count <= limit);
    let (nodes, rest) =
        <[NodeBytes<O>]>::ref_from_prefix_with_elems(rest, count(head.nodes.get(), NODE_LIMIT)?).ok()?;
    let (settings, rest) =
        <[U64<O>]>::ref_from_prefix_with_elems(rest, count(head.settings.get(), SETTINGS_LIMIT)?).ok()?;
    let text = rest.get(..count(head.text.get(), TEXT_LIMIT)?)?;
    let text = String::from_utf8_lossy(text).into_owned();
    Some(match head.verdict.get() {
        ACCEPT => Verdict::Accept(Accepted {
            nodes: nodes.iter().map(|node| (node.id.get(), node.hash.get())).collect(),
            settings: settings.iter().map(|one| one.get()).collect(),
            kept: text,
        }),
        REFUSE => Verdict::Refuse(text),
        NO_FILE => Verdict::NoFile,
        _ => return None,
    })
}

/// The beginning of a text that fits into `limit` bytes, cut between characters.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The error for a message that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::node;

    const ROUND: RoundId = RoundId { node: 3, ring: 0x0102_0304_0506, count: 7 };

    fn all() -> Vec<Talk> {
        let accepted = Accepted {
            nodes: vec![(1, 0x11), (2, u64::MAX)],
            settings: vec![5, 6, 7],
            kept: "totem.transport (corosync.conf:3)".to_owned(),
        };
        vec![
            Talk::Call,
            Talk::Here,
            Talk::Propose(ROUND),
            Talk::Verdict(ROUND, Verdict::Accept(accepted)),
            Talk::Verdict(ROUND, Verdict::Refuse("corosync.conf:3: no".to_owned())),
            Talk::Verdict(ROUND, Verdict::NoFile),
            Talk::Expire(ROUND),
        ]
    }

    #[test]
    fn messages_are_decoded_as_encoded_and_truncated_ones_refused() {
        for talk in all() {
            let bytes = talk.encode(node(3));
            assert_eq!(bytes[8..12], (bytes.len() as u32).to_le_bytes());
            assert_eq!(Talk::decode(&bytes, Endian::Little), Ok(Some(talk.clone())));
            for length in 40..bytes.len() {
                let cut = Talk::decode(&bytes[..length], Endian::Little);
                assert_eq!(cut, Err(Malformed), "{talk:?} {length}");
            }
        }
    }

    /// To a node of Corosync it is a RINGREENABLE, of which it reads nothing.
    #[test]
    fn messages_begin_like_ring_reenable() {
        let bytes = Talk::Call.encode(node(3));
        assert_eq!(bytes[..4], [0, 0, 1, 0]);
        assert_eq!(bytes[16..20], [3, 0, 0, 0]);
        assert_eq!(Talk::decode(&bytes[..32], Endian::Little), Ok(None));
    }

    #[test]
    fn messages_of_other_formats_are_ignored() {
        let mut later = Talk::Call.encode(node(3));
        later[39] = 2;
        assert_eq!(Talk::decode(&later, Endian::Little), Ok(None));
        let mut unknown = Talk::Call.encode(node(3));
        unknown[40] = 99;
        assert_eq!(Talk::decode(&unknown, Endian::Little), Ok(None));
    }

    #[test]
    fn impossible_counts_are_refused() {
        for at in [64, 68, 72] {
            let mut bytes = all()[3].encode(node(3));
            bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            assert_eq!(Talk::decode(&bytes, Endian::Little), Err(Malformed));
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let why = "ä".repeat(TEXT_LIMIT);
        let bytes = Talk::Verdict(ROUND, Verdict::Refuse(why)).encode(node(3));
        let Ok(Some(Talk::Verdict(_, Verdict::Refuse(cut)))) = Talk::decode(&bytes, Endian::Little) else {
            panic!("{bytes:?}")
        };
        assert_eq!(cut, "ä".repeat(TEXT_LIMIT / 2));
    }
}
