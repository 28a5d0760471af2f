//! Counts the memory of all queues for slow readers, and frees that of abandoned queues in steps.
//!
//! An event for many clients has one payload, shared by all of their queues. It counts once, as long as any queue
//! holds it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::block::Block;

/// The account that all queues of a server share.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool(Arc<Mutex<Account>>);

#[derive(Debug, Default)]
struct Account {
    /// Bytes in memory.
    held: usize,
    /// Number of queues that hold each payload, by its address and length. The address is unique while a queue holds
    /// it.
    payloads: HashMap<(usize, usize), usize>,
    /// Blocks of abandoned queues that are not freed yet, as freeing a long queue at once takes long.
    abandoned: VecDeque<Block>,
}

impl Pool {
    /// Bytes in memory, including abandoned blocks that are not freed yet.
    pub(super) fn held(&self) -> usize {
        self.lock().held
    }

    /// Whether there are abandoned blocks to free.
    pub(super) fn has_abandoned(&self) -> bool {
        !self.lock().abandoned.is_empty()
    }

    /// Counts `private` more bytes of a queue, and `payload` unless it is empty.
    pub(super) fn add(&self, private: usize, payload: &Bytes) {
        self.lock().add(private, payload);
    }

    /// Reverses [`Self::add`], before the queue drops the message.
    pub(super) fn sub(&self, private: usize, payload: &Bytes) {
        self.lock().sub(private, payload);
    }

    /// Takes the blocks of a queue that nobody reads any more, to free them in steps.
    pub(super) fn abandon(&self, blocks: VecDeque<Block>) {
        self.lock().abandoned.extend(blocks);
    }

    /// Frees up to `blocks` abandoned blocks.
    pub(super) fn free(&self, blocks: usize) {
        let mut account = self.lock();
        for _ in 0..blocks {
            let Some(block) = account.abandoned.pop_front() else { return };
            for (private, payload) in block.rest() {
                account.sub(private, payload);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn add(&mut self, private: usize, payload: &Bytes) {
        self.held += private;
        if let Some(name) = name(payload) {
            let holders = self.payloads.entry(name).or_default();
            *holders += 1;
            if *holders == 1 {
                self.held += payload.len();
            }
        }
    }

    fn sub(&mut self, private: usize, payload: &Bytes) {
        self.held -= private;
        let Some(name) = name(payload) else { return };
        let Some(holders) = self.payloads.get_mut(&name) else { return };
        *holders -= 1;
        if *holders == 0 {
            self.payloads.remove(&name);
            self.held -= payload.len();
        }
    }
}

/// Identifies a payload among all others in memory.
fn name(payload: &Bytes) -> Option<(usize, usize)> {
    (!payload.is_empty()).then(|| (payload.as_ptr() as usize, payload.len()))
}

#[cfg(test)]
mod tests {
    use super::super::backlog::Backlog;
    use super::*;

    #[test]
    fn a_payload_shared_by_many_queues_counts_once() {
        let pool = Pool::default();
        let payload = Bytes::from(vec![7; 100_000]);
        let mut queues: Vec<Backlog> = (0..100).map(|_| Backlog::new(1 << 20, pool.clone())).collect();
        for queue in &mut queues {
            assert!(queue.push(b"head", &payload, None));
        }
        assert!((100_000..120_000).contains(&pool.held()), "{}", pool.held());
        while queues.len() > 1 {
            let mut queue = queues.pop().unwrap();
            assert_eq!(queue.front().unwrap()[1], payload);
            queue.pop();
        }
        assert!((100_000..101_000).contains(&pool.held()), "the last one still waits for it");
        queues.clear();
        assert!(pool.has_abandoned() && pool.held() > 100_000, "not freed yet");
        pool.free(1);
        assert_eq!((pool.held(), pool.has_abandoned()), (0, false));
    }

    #[test]
    fn a_long_abandoned_queue_is_freed_in_steps() {
        let pool = Pool::default();
        let mut queue = Backlog::new(1 << 30, pool.clone());
        for n in 0..20_000_usize {
            let payload = Bytes::from(vec![0; [10, 2000][n % 2]]);
            assert!(queue.push(&[1; 100], &payload, None));
        }
        let before = pool.held();
        assert!(before > 20_000_000 && before == queue.size());
        queue.clear();
        assert!(queue.is_empty() && queue.size() == 0 && pool.held() == before);
        let mut steps = 0;
        while pool.has_abandoned() {
            pool.free(1);
            steps += 1;
        }
        assert!(steps > 100, "{steps}");
        assert_eq!(pool.held(), 0);
    }
}
