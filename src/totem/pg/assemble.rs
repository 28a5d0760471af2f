//! Receiving: unpacks frames and reassembles fragmented messages.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, Bytes, BytesMut};

use crate::ids::{Endian, NodeId};
use crate::quiet::Quiet;
use crate::time::Instant;
use crate::totem::wire::pack::{self, Group, Packet};

/// Limit, in bytes, of one sender's unfinished message; the same as a C peer's.
const MAX_ASSEMBLY: usize = 1_048_576 + 65_536;

/// A message whose place in the total order is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The node that sent the message.
    pub from: NodeId,
    /// The receiver within a node: the services or their synchronisation.
    pub group: Group,
    /// The message without its group header, as submitted.
    pub body: Bytes,
    /// Byte order of the sender's machine, needed for numbers in the body.
    pub order: Endian,
}

/// The reassembly table of a packet: packets of a synchronisation are sent separately from ordinary ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Normal,
    Sync,
}

/// The unfinished message of one sender.
#[derive(Debug, Default)]
struct Assembly {
    buffer: BytesMut,
    /// Fragment id that the next packet must have as its continuation.
    expected: u8,
    /// The beginning of the message was missed: everything up to the packet that ends it is dropped.
    discarding: bool,
}

/// The buffer of the last message that was reassembled, for the next one. A new one of the size of a large message would
/// cost a page fault for every 4 KiB.
#[derive(Debug, Default)]
struct Spare {
    buffer: BytesMut,
    /// The bytes that it holds once nobody holds that message any more.
    size: usize,
}

impl Spare {
    /// Adds a piece to a buffer. One that is too small is exchanged for the spare one, if that is larger and nobody
    /// holds its message any more.
    fn extend(&mut self, buffer: &mut BytesMut, piece: &[u8]) {
        let size = buffer.len() + piece.len();
        if size > buffer.capacity() && size < self.size && self.buffer.try_reclaim(self.size) {
            let mut larger = std::mem::take(self).buffer;
            larger.extend_from_slice(buffer);
            *buffer = larger;
        }
        buffer.extend_from_slice(piece);
    }

    /// Takes the message out of its buffer, which is kept. A message that fills only a small part of it is copied, so
    /// that a client which does not read small messages holds no large buffers.
    fn keep(&mut self, mut buffer: BytesMut) -> Bytes {
        let size = buffer.capacity();
        let message = if buffer.len() < size / 4 {
            let message = Bytes::copy_from_slice(&buffer);
            buffer.clear();
            message
        } else {
            buffer.split().freeze()
        };
        *self = Self { buffer, size };
        message
    }
}

/// The unfinished messages of all senders, and finished ones that wait to be taken.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    normal: BTreeMap<NodeId, Assembly>,
    sync: BTreeMap<NodeId, Assembly>,
    ready: VecDeque<Message>,
    spare: Spare,
    /// Rate limit of log lines about malformed packets.
    malformed: Quiet,
}

/// Packets and messages that were dropped before delivery, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Packets whose lengths do not add up.
    pub malformed: u64,
    /// Packets that continue a message whose beginning was not received. Normal for a node that joins while a
    /// message is being sent.
    pub orphaned: u64,
    /// Messages longer than any node may send.
    pub too_long: u64,
    /// Messages whose group header is truncated, or that name no known group.
    pub no_group: u64,
    /// Packets from a node that is not a member of the ring.
    pub stranger: u64,
}

impl Assembler {
    /// Takes the next finished message.
    pub(crate) fn next(&mut self) -> Option<Message> {
        self.ready.pop_front()
    }

    /// Discards the unfinished messages of nodes that left.
    pub(crate) fn forget(&mut self, left: &[NodeId]) {
        for node in left {
            self.normal.remove(node);
            self.sync.remove(node);
        }
    }

    /// Unpacks a packet: finished messages become available from [`Assembler::next`].
    pub(crate) fn packet(
        &mut self,
        now: Instant,
        table: Table,
        from: NodeId,
        payload: Bytes,
        order: Endian,
        dropped: &mut Dropped,
    ) {
        let size = payload.len();
        let Some(packet) = Packet::parse(payload, order) else {
            dropped.malformed += 1;
            if let Some(held_back) = self.malformed.may_speak(now) {
                tracing::warn!(%from, size, held_back, "dropped a packet whose message lengths do not add up");
            }
            return;
        };
        let table = match table {
            Table::Normal => &mut self.normal,
            Table::Sync => &mut self.sync,
        };
        // A sender that begins a new message has finished the last one, so the unfinished beginning held here
        // was forged.
        if packet.continuation == 0 && table.remove(&from).is_some() {
            dropped.orphaned += 1;
        }
        // Most packets contain whole messages only and need no table entry.
        if packet.continuation == 0 && packet.fragmented == 0 && !table.contains_key(&from) {
            for piece in packet.pieces() {
                hand_up(&mut self.ready, from, piece, order, dropped);
            }
            return;
        }

        let assembly = table.entry(from).or_default();
        let fits = assembly.buffer.len() + size < MAX_ASSEMBLY;
        if assembly.discarding || packet.continuation != assembly.expected || !fits {
            *(if fits { &mut dropped.orphaned } else { &mut dropped.too_long }) += 1;
            assembly.discarding = true;
            assembly.buffer = BytesMut::new();
        } else {
            assembly.expected = packet.fragmented;
            let mut pieces = packet.pieces().peekable();
            while let Some(piece) = pieces.next() {
                let unfinished = pieces.peek().is_none() && packet.fragmented != 0;
                if unfinished {
                    self.spare.extend(&mut assembly.buffer, &piece);
                } else if assembly.buffer.is_empty() {
                    hand_up(&mut self.ready, from, piece, order, dropped);
                } else {
                    self.spare.extend(&mut assembly.buffer, &piece);
                    let message = self.spare.keep(std::mem::take(&mut assembly.buffer));
                    hand_up(&mut self.ready, from, message, order, dropped);
                }
            }
        }
        if packet.fragmented == 0 {
            table.remove(&from);
        }
    }
}

fn hand_up(
    ready: &mut VecDeque<Message>,
    from: NodeId,
    mut message: Bytes,
    order: Endian,
    dropped: &mut Dropped,
) {
    let Some((named, body)) = pack::groups(&message, order).filter(|(named, _)| named.app || named.sync)
    else {
        dropped.no_group += 1;
        return;
    };
    message.advance(body);
    if named.app && named.sync {
        ready.push_back(Message { from, group: Group::App, body: message.clone(), order });
    }
    let group = if named.sync { Group::Sync } else { Group::App };
    ready.push_back(Message { from, group, body: message, order });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quiet::written;

    /// A message of this many bytes, put together from pieces of 1000.
    fn assembled(spare: &mut Spare, byte: u8, size: usize) -> Bytes {
        let mut buffer = BytesMut::new();
        for piece in vec![byte; size].chunks(1000) {
            spare.extend(&mut buffer, piece);
        }
        spare.keep(buffer)
    }

    #[test]
    fn large_messages_follow_each_other_in_one_buffer_unless_one_is_held() {
        let mut spare = Spare::default();
        let first = assembled(&mut spare, 1, 100_000);
        let place = first.as_ptr();
        drop(first);
        for byte in 2..10 {
            let next = assembled(&mut spare, byte, 100_000);
            assert_eq!(next.as_ptr(), place, "message {byte}");
            assert_eq!(next, vec![byte; 100_000]);
        }
        let held = assembled(&mut spare, 10, 100_000);
        let beside = assembled(&mut spare, 11, 100_000);
        assert_ne!(beside.as_ptr(), held.as_ptr());
        assert_eq!((held, beside), (vec![10; 100_000].into(), vec![11; 100_000].into()));
    }

    #[test]
    fn a_small_message_that_is_held_holds_no_large_buffer() {
        let mut spare = Spare::default();
        drop(assembled(&mut spare, 1, 1_000_000));
        let held: Vec<Bytes> = (2..10).map(|byte| assembled(&mut spare, byte, 2000)).collect();
        assert!(spare.buffer.try_reclaim(1_000_000), "the large buffer is free");
        assert!(held.into_iter().zip(2..).all(|(message, byte)| message == vec![byte; 2000]));
    }

    /// Anybody can send such packets: all are counted, but only a few are logged.
    #[test]
    fn a_flood_of_malformed_packets_does_not_fill_the_log() {
        let (mut assembler, mut dropped) = (Assembler::default(), Dropped::default());
        let from = NodeId::new(1).unwrap();
        let (lines, held_back) = written::during(|| {
            for millisecond in 0..60_000 {
                let (now, packet) = (Instant::from_micros(millisecond * 1000), Bytes::from_static(&[9; 20]));
                assembler.packet(now, Table::Normal, from, packet, Endian::Little, &mut dropped);
            }
        });
        assert_eq!(dropped.malformed, 60_000);
        assert!((2..10).contains(&lines), "{lines} lines");
        assert!(held_back > 20_000, "{held_back} held back");
    }
}
