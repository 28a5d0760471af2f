//! Sending: messages are collected in a staging buffer until a frame is full or the token arrives.

use bytes::{BufMut, BytesMut};

use crate::ids::Guarantee;
use crate::totem::srp::io::Feed;
use crate::totem::srp::outbox::{Outbox, Outgoing, Queue};
use crate::totem::wire::{mcast, pack};

/// Longest message in bytes, group header included. A C peer aborts on a message that it cannot hold; it can
/// hold 64 KiB more than the 1 MiB that its clients may send.
pub const MAX_MESSAGE: usize = 1_048_576 + 4096;

/// Bytes of each frame that Corosync's admission check does not count as available for messages.
const ADMISSION_OVERHEAD: usize = 24;

/// The staging buffer.
#[derive(Debug)]
pub(crate) struct Packer {
    /// Bytes for length words and data in one frame.
    space: usize,
    net_mtu: usize,
    staged: Vec<u8>,
    lengths: Vec<u16>,
    guarantee: Guarantee,
    /// Fragment id of the message that continues in the next frame; 0 if none does.
    carry: u8,
    next_id: u8,
    queue: Queue,
}

impl Packer {
    pub(crate) fn new(net_mtu: usize) -> Self {
        Self {
            space: net_mtu - pack::FIXED,
            net_mtu,
            staged: Vec::with_capacity(net_mtu),
            lengths: Vec::new(),
            guarantee: Guarantee::Agreed,
            carry: 0,
            next_id: 1,
            queue: Queue::Sync,
        }
    }

    /// The queue to which messages are currently added.
    pub(crate) const fn queue(&self) -> Queue {
        self.queue
    }

    /// Bytes of the network's largest frame.
    pub(crate) const fn frame(&self) -> usize {
        self.net_mtu
    }

    /// Whether there is room for a message of `bytes` bytes, group header included.
    pub(crate) fn fits(&self, outbox: &Outbox, bytes: usize) -> bool {
        let bytes = bytes + 2 * self.lengths.len();
        outbox.available(self.queue) > bytes / (self.net_mtu - ADMISSION_OVERHEAD)
    }

    /// Stages a message; full frames go to the outbox. The caller has checked that the message fits.
    pub(crate) fn submit(
        &mut self,
        outbox: &mut Outbox,
        guarantee: Guarantee,
        header: &[u8],
        body: &[&[u8]],
    ) {
        let whole = header.len() + body.iter().map(|piece| piece.len()).sum::<usize>();
        let used = self.staged.len() + 2 * (self.lengths.len() + 1);
        if used + whole <= self.space {
            self.staged.extend_from_slice(header);
            body.iter().for_each(|piece| self.staged.extend_from_slice(piece));
            self.guarantee = self.guarantee.max(guarantee);
            self.lengths.push(whole as u16); // at most `space`, which is below 64 Ki
            return;
        }
        let mut length = 0;
        for piece in std::iter::once(&header).chain(body) {
            let mut rest = *piece;
            while !rest.is_empty() {
                let used = self.staged.len() + 2 * (self.lengths.len() + 1);
                let room = self.space.saturating_sub(used).min(rest.len());
                if room == 0 {
                    self.queue_full(outbox, length);
                    length = 0;
                    continue;
                }
                let (now, later) = rest.split_at(room);
                self.staged.extend_from_slice(now);
                self.guarantee = self.guarantee.max(guarantee);
                length += room;
                rest = later;
            }
        }
        if length > 0 {
            self.lengths.push(length as u16); // at most `space`, which is below 64 Ki
        }
    }

    /// As [`Packer::submit`], but the message is not divided over frames if one frame can hold it: a node that joins the
    /// ring while the frames are being sent then receives all of it. The caller has checked that the message and
    /// another frame fit.
    pub(crate) fn submit_undivided(
        &mut self,
        outbox: &mut Outbox,
        guarantee: Guarantee,
        header: &[u8],
        body: &[u8],
    ) {
        let needs = 2 + header.len() + body.len();
        let used = self.staged.len() + 2 * self.lengths.len();
        if needs <= self.space && used + needs > self.space {
            self.emit(outbox, 0);
        }
        self.submit(outbox, guarantee, header, &[body]);
    }

    /// Directs further messages to `queue`. A message whose beginning is already in the other queue is
    /// completed there, because its fragments must not be separated. Staged ordinary messages are queued as a
    /// frame behind those submitted before them; in the synchronisation queue they would overtake these.
    pub(crate) fn switch(&mut self, outbox: &mut Outbox, queue: Queue) {
        if queue != self.queue && !self.lengths.is_empty() && (self.carry != 0 || queue == Queue::Sync) {
            self.emit(outbox, 0);
        }
        self.queue = queue;
    }

    /// Queues the full frame. `length` is the number of bytes at its end that belong to an unfinished
    /// message; 0 if there are none.
    fn queue_full(&mut self, outbox: &mut Outbox, length: usize) {
        if length == 0 {
            return self.emit(outbox, 0);
        }
        self.lengths.push(length as u16);
        let id = self.next_id;
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        self.emit(outbox, id);
    }

    /// Queues the staged messages as one frame.
    fn emit(&mut self, outbox: &mut Outbox, fragmented: u8) {
        let size = mcast::FIXED + pack::FIXED + 2 * self.lengths.len() + self.staged.len();
        let mut frame = BytesMut::with_capacity(size);
        frame.put_bytes(0, mcast::FIXED);
        pack::write_head(&mut frame, fragmented, self.carry, &self.lengths);
        frame.put_slice(&self.staged);
        self.staged.clear();
        self.lengths.clear();
        self.carry = fragmented;
        let guarantee = std::mem::take(&mut self.guarantee);
        outbox.push(self.queue, Outgoing { frame, guarantee });
    }
}

impl Feed for Packer {
    fn token_arrived(&mut self, outbox: &mut Outbox) {
        if !self.lengths.is_empty() && outbox.available(self.queue) > 0 {
            self.emit(outbox, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Endian;
    use crate::totem::wire::pack::Packet;

    const HEADER: &[u8] = b"header";

    /// The queued frames, after the staged messages were added to them.
    fn packets(mut packer: Packer, mut outbox: Outbox) -> Vec<Packet> {
        packer.token_arrived(&mut outbox);
        std::iter::from_fn(|| outbox.pop(Queue::Sync))
            .map(|outgoing| outgoing.frame.freeze().slice(mcast::FIXED..))
            .map(|payload| Packet::parse(payload, Endian::Little).unwrap())
            .collect()
    }

    /// A node that comes with a ring between two frames lacks the beginning of a message that is in both.
    #[test]
    fn a_message_of_a_service_is_whole_in_one_frame() {
        for first in 1..1500 {
            let (mut packer, mut outbox) = (Packer::new(1500), Outbox::new(1500));
            packer.submit(&mut outbox, Guarantee::Agreed, HEADER, &[&vec![1; first]]);
            packer.submit_undivided(&mut outbox, Guarantee::Agreed, HEADER, &[2; 168]);
            let packets = packets(packer, outbox);
            let last = packets.last().unwrap();
            let piece = last.pieces().last().unwrap();
            assert_eq!(piece, [HEADER, &[2; 168]].concat(), "after a message of {first} bytes");
            assert_eq!(last.fragmented, 0);
        }
    }

    #[test]
    fn a_message_longer_than_a_frame_is_divided_all_the_same() {
        let (mut packer, mut outbox) = (Packer::new(1500), Outbox::new(1500));
        packer.submit_undivided(&mut outbox, Guarantee::Agreed, HEADER, &[3; 4000]);
        let packets = packets(packer, outbox);
        assert_eq!(packets.len(), 3);
        let sum: usize = packets.iter().flat_map(Packet::pieces).map(|piece| piece.len()).sum();
        assert_eq!(sum, HEADER.len() + 4000);
    }
}
