//! The messages in which nodes of annulusd vote on leaving out a member that burdens the ring.
//!
//! Like the messages about a reload ([`super::Talk`]), they are carried by RINGREENABLE, with a mark of their own.

use std::time::Duration;

use zerocopy::{ByteOrder, FromBytes, IntoBytes, LittleEndian, U32};

use super::marked::{Mark, MarkedBytes, RoundId, whole_ms};
use super::talk::Malformed;
use crate::ids::{Endian, NodeId};
use crate::service::wire::layout::{in_order, layout};

/// The mark of these messages; its last byte is the version of their format.
const MARK: Mark = *b"anburde\x01";

const LOSS: u32 = 1;
const FLAPPING: u32 = 2;
const WITHDRAWN: u32 = 3;
const OUT: u32 = 4;

layout! {
    struct ComplaintBytes<O>: 72 {
        head: MarkedBytes<O>,
        node: U32<O>,
        amount: U32<O>,
        times: U32<O>,
    }
}

/// What is wrong with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// So many of a hundred frames on the way into it or out of it are lost.
    Loss(u32),
    /// So often it was lost lately, and came back without having been started anew.
    Flapping(u32),
}

/// What a node says of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// The ring should leave out this member, which it has done `times` times lately.
    Against { node: NodeId, why: Why, times: u32 },
    /// The sender complains of nobody any more.
    Withdrawn,
    /// The ring has left out this node for the `times`th time, and still does for `rest`: news for new members.
    Out { node: NodeId, rest: Duration, times: u32 },
}

impl Complaint {
    pub(crate) fn encode(self, me: NodeId) -> Vec<u8> {
        let (kind, node, amount, times) = match self {
            Self::Against { node, why: Why::Loss(percent), times } => (LOSS, node.get(), percent, times),
            Self::Against { node, why: Why::Flapping(count), times } => (FLAPPING, node.get(), count, times),
            Self::Withdrawn => (WITHDRAWN, 0, 0, 0),
            Self::Out { node, rest, times } => (OUT, node.get(), whole_ms(rest), times),
        };
        let size = size_of::<ComplaintBytes<LittleEndian>>();
        ComplaintBytes::<LittleEndian> {
            head: MarkedBytes::new(me, size, MARK, kind, RoundId::NONE),
            node: U32::new(node),
            amount: U32::new(amount),
            times: U32::new(times),
        }
        .as_bytes()
        .to_vec()
    }

    /// Decodes a RINGREENABLE message in its sender's byte order. `Ok(None)`: it is a plain one, or has an unknown
    /// format.
    ///
    /// # Errors
    /// It is truncated, or names no node.
    pub(crate) fn decode(message: &[u8], order: Endian) -> Result<Option<Self>, Malformed> {
        in_order!(order, O => Self::decode_in::<O>(message))
    }

    fn decode_in<O: ByteOrder>(message: &[u8]) -> Result<Option<Self>, Malformed> {
        if !MarkedBytes::<O>::is_marked(message, &MARK) {
            return Ok(None);
        }
        let (bytes, _) = ComplaintBytes::<O>::ref_from_prefix(message).map_err(|_| Malformed)?;
        let node = || NodeId::new(bytes.node.get()).ok_or(Malformed);
        let (amount, times) = (bytes.amount.get(), bytes.times.get());
        Ok(Some(match bytes.head.kind.get() {
            LOSS => Self::Against { node: node()?, why: Why::Loss(amount), times },
            FLAPPING => Self::Against { node: node()?, why: Why::Flapping(amount), times },
            WITHDRAWN => Self::Withdrawn,
            OUT => Self::Out { node: node()?, rest: Duration::from_millis(amount.into()), times },
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::wire::{KeyTalk, Need, Talk};
    use crate::ids::node;

    fn all() -> [Complaint; 4] {
        [
            Complaint::Against { node: node(3), why: Why::Loss(34), times: 2 },
            Complaint::Against { node: node(4), why: Why::Flapping(5), times: 0 },
            Complaint::Withdrawn,
            Complaint::Out { node: node(5), rest: Duration::from_millis(61_500), times: 1 },
        ]
    }

    #[test]
    fn complaints_are_decoded_as_encoded_and_truncated_ones_refused() {
        for complaint in all() {
            let bytes = complaint.encode(node(2));
            assert_eq!(Complaint::decode(&bytes, Endian::Little), Ok(Some(complaint)));
            for length in 40..bytes.len() {
                assert_eq!(Complaint::decode(&bytes[..length], Endian::Little), Err(Malformed), "{length}");
            }
            for length in 0..40 {
                assert_eq!(Complaint::decode(&bytes[..length], Endian::Little), Ok(None), "{length}");
            }
        }
    }

    #[test]
    fn a_complaint_is_no_other_message_and_one_about_no_node_is_refused() {
        let bytes = all()[0].encode(node(2));
        assert_eq!(Talk::decode(&bytes, Endian::Little), Ok(None));
        assert_eq!(KeyTalk::decode(&bytes, Endian::Little), Ok(None));
        assert_eq!(Need::decode(&bytes, Endian::Little), Ok(None));
        let mut unknown = bytes.clone();
        unknown[40] = 99;
        assert_eq!(Complaint::decode(&unknown, Endian::Little), Ok(None));
        let mut nobody = bytes;
        nobody[60..64].fill(0);
        assert_eq!(Complaint::decode(&nobody, Endian::Little), Err(Malformed));
    }

    /// To a node of Corosync it is a RINGREENABLE, of which it reads nothing.
    #[test]
    fn a_complaint_is_byte_exact() {
        let mut expected = vec![0; 72];
        (expected[2], expected[8], expected[16]) = (1, 72, 2);
        expected[32..40].copy_from_slice(b"anburde\x01");
        (expected[40], expected[60], expected[64], expected[68]) = (1, 3, 34, 2);
        assert_eq!(all()[0].encode(node(2)), expected);
    }
}
