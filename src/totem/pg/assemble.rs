//! Receiving: taking frames apart, and putting together what was split.

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};

use crate::ids::{Endian, NodeId};
use crate::quiet::Quiet;
use crate::time::Instant;
use crate::totem::wire::pack::{self, Group, Packet};

/// Bytes that are held of one sender's unfinished message at most; what a C peer holds.
const MAX_ASSEMBLY: usize = 1_048_576 + 65_536;

/// A message whose place in the total order is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who sent it.
    pub from: NodeId,
    /// To whom within a node it goes.
    pub group: Group,
    /// What was submitted.
    pub body: Bytes,
    /// Byte order of the sender's machine, for numbers in the body.
    pub order: Endian,
}

/// Which packets belong together: those of a synchronisation are sent apart from ordinary ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Normal,
    Sync,
}

/// A sender's unfinished message.
#[derive(Debug, Default)]
struct Assembly {
    buffer: BytesMut,
    /// Fragment id that the next packet must continue.
    expected: u8,
    /// The head was missed: everything up to the packet that ends the message is dropped.
    discarding: bool,
}

/// Unfinished messages of all senders, and finished ones that wait to be taken.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    normal: HashMap<NodeId, Assembly>,
    sync: HashMap<NodeId, Assembly>,
    ready: VecDeque<Message>,
    /// The limit of lines about malformed packets.
    malformed: Quiet,
}

/// What was wrong with a packet or message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Packets whose lengths do not add up.
    pub malformed: u64,
    /// Packets that continue what was not begun here; normal for who joins in mid-message.
    pub orphaned: u64,
    /// Messages longer than any node may send.
    pub too_long: u64,
    /// Messages whose group header is cut, or that name no group of ours.
    pub no_group: u64,
    /// Packets from a node that is not a member.
    pub stranger: u64,
}

impl Assembler {
    /// The next finished message.
    pub(crate) fn next(&mut self) -> Option<Message> {
        self.ready.pop_front()
    }

    /// Nodes that left do not finish what they began.
    pub(crate) fn forget(&mut self, left: &[NodeId]) {
        for node in left {
            self.normal.remove(node);
            self.sync.remove(node);
        }
    }

    /// Takes a packet in.
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
        // A sender that begins anew has nothing to complete: what seemed to be its beginning was forged.
        if packet.continuation == 0 && table.remove(&from).is_some() {
            dropped.orphaned += 1;
        }
        // Most packets are whole: no entry is made for them.
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
                    assembly.buffer.extend_from_slice(&piece);
                } else if assembly.buffer.is_empty() {
                    hand_up(&mut self.ready, from, piece, order, dropped);
                } else {
                    assembly.buffer.extend_from_slice(&piece);
                    let message = std::mem::take(&mut assembly.buffer).freeze();
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
    message: Bytes,
    order: Endian,
    dropped: &mut Dropped,
) {
    let Some((named, body)) = pack::groups(&message, order).filter(|(named, _)| named.app || named.sync)
    else {
        dropped.no_group += 1;
        return;
    };
    let body = message.slice(body..);
    if named.app {
        ready.push_back(Message { from, group: Group::App, body: body.clone(), order });
    }
    if named.sync {
        ready.push_back(Message { from, group: Group::Sync, body, order });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quiet::written;

    /// Anybody can send such packets: they are counted, and a few lines say so.
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
