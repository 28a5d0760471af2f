//! What all messages between nodes of annulusd have in common: their beginning, which is Corosync's RINGREENABLE, a mark,
//! the kind of the message and the round that it belongs to.

use std::time::Duration;

use zerocopy::byteorder::{ByteOrder, U32, U64};

use super::exec::{RING_REENABLE, SourcedBytes};
use crate::ids::{NodeId, ServiceId};
use crate::service::wire::layout::{PaddedU32, layout};
use crate::service::wire::{HeaderBytes, SourceBytes};

/// The mark of messages of one format; its last byte is the version of the format.
pub(super) type Mark = [u8; 8];

/// Identifies a round: the node that began it, the ring (its number), and that node's counter on the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RoundId {
    pub(crate) node: u32,
    pub(crate) ring: u64,
    pub(crate) count: u32,
}

impl RoundId {
    /// The message belongs to no round.
    pub(super) const NONE: Self = Self { node: 0, ring: 0, count: 0 };
}

/// A time in whole milliseconds, as these messages carry it.
pub(super) fn whole_ms(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

layout! {
    pub(super) struct MarkedBytes<O>: 60 {
        reenable: SourcedBytes<O>,
        mark: Mark,
        pub(super) kind: U32<O>,
        round_node: U32<O>,
        round_ring: U64<O>,
        round_count: U32<O>,
    }
}

impl<O: ByteOrder> MarkedBytes<O> {
    /// The beginning of a message of `size` bytes from `me`.
    pub(super) fn new(me: NodeId, size: usize, mark: Mark, kind: u32, round: RoundId) -> Self {
        Self {
            reenable: SourcedBytes {
                header: HeaderBytes::exec(ServiceId::CFG, RING_REENABLE, size),
                source: SourceBytes { node: PaddedU32::new(me.get()), conn: U64::new(0) },
            },
            mark,
            kind: U32::new(kind),
            round_node: U32::new(round.node),
            round_ring: U64::new(round.ring),
            round_count: U32::new(round.count),
        }
    }

    /// Whether a RINGREENABLE message has this mark.
    pub(super) fn is_marked(message: &[u8], mark: &Mark) -> bool {
        message.get(size_of::<SourcedBytes<O>>()..).is_some_and(|rest| rest.starts_with(mark))
    }

    /// The round that the message belongs to.
    pub(super) fn round(&self) -> RoundId {
        RoundId { node: self.round_node.get(), ring: self.round_ring.get(), count: self.round_count.get() }
    }
}
