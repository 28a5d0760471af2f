//! Cuts a message into packets that fit the path.

use super::filter;
use super::sizes::{MESSAGE, ROOM};
use super::wire::{self, Data, FRAGMENTS, Piece};
use crate::ids::NodeId;

/// Smallest number of user bytes in a fragment: with fewer, the longest message would need more than
/// [`FRAGMENTS`]. Every path carries more, see [`Sizes::floor`](super::sizes::Sizes::floor).
pub(super) const LEAST: usize = MESSAGE.div_ceil(FRAGMENTS as usize);

// The totem header must be in the first fragment.
const _: () = assert!(LEAST >= filter::HEADER && LEAST * FRAGMENTS as usize >= MESSAGE);

/// Position of the message in its first packet.
pub(super) const PAYLOAD: usize = ROOM + wire::DATA_LEN;

/// Adds the packets of a message whose fragments have at most `size` bytes each; `data` is the message in one
/// piece.
pub(super) fn cut(source: NodeId, data: &Data<'_>, size: usize, packets: &mut Vec<Vec<u8>>) {
    let size = size.max(LEAST);
    if data.payload.len() <= size {
        packets.push(wire::data(source, data));
        return;
    }
    let of = data.payload.len().div_ceil(size) as u8;
    packets.extend(data.payload.chunks(size).zip(1..).map(|(payload, number)| {
        wire::data(source, &Data { piece: Piece::Fragment { number, of }, payload, ..*data })
    }));
}
