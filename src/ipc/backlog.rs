//! Messages that wait, in this process, for room in a ring.

use std::collections::VecDeque;

/// A bounded queue of byte messages in two growing buffers: no allocation per message.
#[derive(Debug)]
pub(super) struct Backlog {
    bytes: VecDeque<u8>,
    waiting: VecDeque<Waiting>,
    /// Bytes of those that come back to who sent them.
    own: usize,
    limit: usize,
}

/// A message that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    len: usize,
    own: bool,
}

/// Memory kept for the next time when the queue has run empty.
const KEEP: usize = 64 << 10;
/// What one message costs beyond its bytes.
const OVERHEAD: usize = 8;

impl Backlog {
    /// An empty queue that holds up to `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: VecDeque::new(), waiting: VecDeque::new(), own: 0, limit }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What it holds, as the limit counts. Unit: bytes.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.waiting.len() * OVERHEAD
    }

    /// How much of it comes back to who sent it. Unit: bytes.
    pub(super) const fn own(&self) -> usize {
        self.own
    }

    /// Appends a message given in pieces. `false`: it would pass the limit, and was not taken.
    /// `own`: it comes back to who sent it.
    pub(super) fn push(&mut self, pieces: &[&[u8]], own: bool) -> bool {
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        if self.size() + len + OVERHEAD > self.limit {
            return false;
        }
        for piece in pieces {
            self.bytes.extend(*piece);
        }
        self.waiting.push_back(Waiting { len, own });
        if own {
            self.own += len + OVERHEAD;
        }
        true
    }

    /// The oldest message, in up to two pieces.
    pub(super) fn front(&self) -> Option<[&[u8]; 2]> {
        let len = self.waiting.front()?.len;
        let (first, second) = self.bytes.as_slices();
        if len <= first.len() {
            return Some([&first[..len], &[]]);
        }
        Some([first, &second[..len - first.len()]])
    }

    /// Removes the oldest message.
    pub(super) fn pop(&mut self) {
        if let Some(Waiting { len, own }) = self.waiting.pop_front() {
            self.bytes.drain(..len);
            if own {
                self.own -= len + OVERHEAD;
            }
        }
        if self.waiting.is_empty() {
            self.bytes.shrink_to(KEEP);
            self.waiting.shrink_to(KEEP / 64);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.bytes = VecDeque::new();
        self.waiting = VecDeque::new();
        self.own = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_across_its_own_wrap_and_stops_at_the_limit() {
        let mut backlog = Backlog::new(4096);
        let (mut next, mut oldest) = (0_u32, 0_u32);
        for round in 0..2000_usize {
            let body = vec![next as u8; round % 50];
            if backlog.push(&[&next.to_ne_bytes(), &body], next % 3 == 0) {
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
            assert!(backlog.own() <= backlog.size());
        }
        assert!(backlog.own() > 0);
        while !backlog.is_empty() {
            backlog.pop();
        }
        assert_eq!(backlog.own(), 0);
        assert!(backlog.push(&[&[0; 92]], true) && backlog.own() == 100);
        backlog.clear();
        assert!(backlog.is_empty() && backlog.own() == 0 && backlog.front().is_none());
        while backlog.push(&[&[0; 100]], false) {}
        assert_eq!(backlog.len(), 4096 / 108);
    }
}
