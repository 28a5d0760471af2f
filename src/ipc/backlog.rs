//! A queue in this process for messages that wait for room in a ring buffer.

use std::collections::VecDeque;

use bytes::Bytes;

use super::block::{Block, Item};
use super::pool::Pool;
use crate::ids::Piece;

/// A payload of at least this many bytes is shared by all queues that hold it. A shorter one is copied, which costs
/// less memory than keeping the whole datagram that contains it.
const SHARED: usize = 1024;

/// A bounded queue of byte messages, whose memory is counted in a [`Pool`].
#[derive(Debug)]
pub(super) struct Backlog {
    pool: Pool,
    blocks: VecDeque<Block>,
    len: usize,
    size: usize,
    /// Bytes of messages that return to their own sender.
    own: usize,
    /// The part of `own` that belongs to an incomplete message.
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

    /// Size of the queue in bytes, as the limit counts it: payloads in full, even if other queues share them.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Bytes of messages that return to their own sender. A message in pieces counts only when its last piece is
    /// queued, as its sender cannot stop in the middle.
    pub(super) fn own(&self) -> usize {
        self.own - self.unfinished.min(self.own)
    }

    /// Appends a message, `head` followed by `payload`; `own` is set if it returns to its own sender. Returns `false`
    /// without appending it if it would exceed the limit.
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

    /// The oldest message, in two parts.
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

    /// Empties the queue; [`Pool::free`] frees the memory later.
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
    fn order_is_kept_across_blocks_up_to_the_limit() {
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
    fn an_own_message_in_pieces_counts_when_it_is_complete() {
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
        // Once the pieces of a message that is never completed have been read, they no longer count.
        backlog.push(b"head", &piece, Some(Piece::Part));
        backlog.pop();
        backlog.push(b"whole", &piece, Some(Piece::Whole));
        assert!(backlog.own() > 10_000);
    }

    #[test]
    fn a_message_longer_than_a_block_gets_its_own_block() {
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
