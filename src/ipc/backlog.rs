//! Messages that wait, in this process, for room in a ring.

use std::collections::VecDeque;

use bytes::Bytes;

use super::block::{Block, Item};
use super::pool::Pool;
use crate::ids::Piece;

/// A payload of at least this length is held as it came, by every queue that it waits in, and not copied. Of a shorter
/// one a copy costs less than to hold the datagram that it lies in. Unit: bytes.
const SHARED: usize = 1024;

/// A bounded queue of byte messages. What it holds is in the account of a [`Pool`].
#[derive(Debug)]
pub(super) struct Backlog {
    pool: Pool,
    blocks: VecDeque<Block>,
    len: usize,
    size: usize,
    /// Bytes of those that come back to who sent them.
    own: usize,
    /// The part of `own` that belongs to a message of which more pieces are to come.
    unfinished: usize,
    limit: usize,
}

impl Backlog {
    /// An empty queue that holds up to `limit` bytes.
    pub(super) fn new(limit: usize, pool: Pool) -> Self {
        Self { pool, blocks: VecDeque::new(), len: 0, size: 0, own: 0, unfinished: 0, limit }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What it holds, as the limit counts: payloads in full, though other queues may hold them too. Unit: bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// How much of it comes back to who sent it. A message in pieces counts when its last piece is here: whoever sends
    /// it cannot stop in the middle. Unit: bytes.
    pub(super) fn own(&self) -> usize {
        self.own - self.unfinished.min(self.own)
    }

    /// Appends a message, `head` and then `payload`. `false`: it would pass the limit, and was not taken.
    /// `own`: it comes back to who sent it.
    pub(super) fn push(&mut self, head: &[u8], payload: &Bytes, own: Option<Piece>) -> bool {
        let (inline, shared) =
            if payload.len() < SHARED { (&payload[..], Bytes::new()) } else { (&[][..], payload.clone()) };
        let copied = head.len() + inline.len();
        let item = Item { copied, payload: shared, own: own.is_some() };
        let (size, bytes) = (item.size(), item.bytes());
        if self.size + size > self.limit {
            return false;
        }
        if !self.blocks.back().is_some_and(|block| block.has_room_for(copied)) {
            self.blocks.push_back(Block::default());
        }
        self.pool.add(item.private(), &item.payload);
        if let Some(block) = self.blocks.back_mut() {
            block.bytes.extend_from_slice(head);
            block.bytes.extend_from_slice(inline);
            block.items.push(item);
        }
        self.len += 1;
        self.size += size;
        if let Some(piece) = own {
            self.own += bytes;
            match piece {
                Piece::Whole => {}
                Piece::Part => self.unfinished += bytes,
                Piece::Last => self.unfinished = 0,
            }
        }
        true
    }

    /// The oldest message, in two pieces.
    pub(super) fn front(&self) -> Option<[&[u8]; 2]> {
        let block = self.blocks.front()?;
        let item = block.items.get(block.taken)?;
        Some([&block.bytes[block.taken_bytes..block.taken_bytes + item.copied], &item.payload])
    }

    /// Removes the oldest message.
    pub(super) fn pop(&mut self) {
        let Some(block) = self.blocks.front_mut() else { return };
        let Some(item) = block.items.get_mut(block.taken) else { return };
        self.pool.sub(item.private(), &item.payload);
        self.len -= 1;
        self.size -= item.size();
        if item.own {
            self.own -= item.bytes();
            self.unfinished = self.unfinished.min(self.own);
        }
        block.taken += 1;
        block.taken_bytes += item.copied;
        item.payload = Bytes::new();
        if block.taken == block.items.len() {
            self.blocks.pop_front();
        }
        if self.blocks.is_empty() {
            self.blocks.shrink_to(0);
        }
    }

    /// Forgets everything. The memory is freed by [`Pool::free`].
    pub(super) fn clear(&mut self) {
        let blocks = std::mem::take(&mut self.blocks);
        if !blocks.is_empty() {
            self.pool.abandon(blocks);
        }
        (self.len, self.size, self.own, self.unfinished) = (0, 0, 0, 0);
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::block::OVERHEAD;
    use super::*;

    #[test]
    fn keeps_order_over_its_blocks_and_stops_at_the_limit() {
        let pool = Pool::default();
        let mut backlog = Backlog::new(80_000, pool.clone());
        let (mut next, mut oldest) = (0_u32, 0_u32);
        for round in 0..4000_usize {
            let body =
                Bytes::from(vec![next as u8; [round % 50, 3000 + round % 7][usize::from(round % 40 == 0)]]);
            let own = (next % 3 == 0).then_some(Piece::Whole);
            if backlog.push(&next.to_ne_bytes(), &body, own) {
                next += 1;
            }
            if round % 3 != 0 {
                let front = backlog.front().unwrap().concat();
                assert_eq!(front[..4], oldest.to_ne_bytes());
                assert!(front[4..].iter().all(|&byte| byte == oldest as u8));
                oldest += 1;
                backlog.pop();
            }
            assert_eq!(backlog.len() as u32, next - oldest);
            assert!(backlog.own() <= backlog.size() && backlog.size() <= 80_000);
            assert_eq!(pool.held(), backlog.size(), "nobody else holds anything");
        }
        assert!(backlog.own() > 0 && next < 4000, "the limit was reached: {next}");
        while !backlog.is_empty() {
            backlog.pop();
        }
        assert_eq!((backlog.own(), backlog.size(), pool.held()), (0, 0, 0));
        assert!(backlog.push(&[0; 92], &Bytes::new(), Some(Piece::Whole)) && backlog.own() == 92);
        backlog.clear();
        assert!(backlog.is_empty() && backlog.own() == 0 && backlog.front().is_none());
        while backlog.push(&[0; 100], &Bytes::new(), None) {}
        assert_eq!(backlog.len(), 80_000 / (100 + OVERHEAD));
    }

    #[test]
    fn a_message_in_pieces_counts_as_ones_own_when_it_is_complete() {
        let mut backlog = Backlog::new(1 << 20, Pool::default());
        let piece = Bytes::from(vec![1; 10_000]);
        for n in 0..10 {
            backlog.push(b"small", &Bytes::new(), Some(Piece::Whole));
            assert!(backlog.own() < 2000, "what is whole counts at once");
            backlog.push(b"head", &piece, Some(Piece::Part));
            assert!(backlog.own() < 2000, "{n}: more is to come");
        }
        backlog.pop();
        backlog.pop();
        assert!(backlog.own() < 2000);
        backlog.push(b"head", &piece, Some(Piece::Last));
        assert!(backlog.own() > 100_000);
        while !backlog.is_empty() {
            backlog.pop();
        }
        assert_eq!(backlog.own(), 0);
        // The pieces of one that is never completed are counted once they are read, and not below nothing.
        backlog.push(b"head", &piece, Some(Piece::Part));
        backlog.pop();
        backlog.push(b"whole", &piece, Some(Piece::Whole));
        assert!(backlog.own() > 10_000);
    }

    #[test]
    fn one_longer_than_a_block_has_a_block_of_its_own() {
        let mut backlog = Backlog::new(1 << 22, Pool::default());
        let reply = vec![3; 1 << 20];
        backlog.push(b"before", &Bytes::new(), None);
        assert!(backlog.push(&reply, &Bytes::new(), None));
        backlog.push(b"after", &Bytes::new(), None);
        for expected in [&b"before"[..], &reply, b"after"] {
            assert_eq!(backlog.front().unwrap().concat(), expected);
            backlog.pop();
        }
        assert!(backlog.is_empty() && backlog.blocks.is_empty());
    }
}
