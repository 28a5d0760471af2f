//! What waits for slow readers, of all connections together: how much memory that is, and the freeing of what nobody
//! waits for any more.
//!
//! An event that goes to many clients is one payload, held by all of their queues. Here it counts once, for as long
//! as any of them holds it.

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
    /// How many queues hold a payload, known by where it lies. It lies there for as long as one does.
    payloads: HashMap<(usize, usize), usize>,
    /// What nobody waits for any more and is still in memory: freeing all of a long queue at once takes long.
    abandoned: VecDeque<Block>,
}

impl Pool {
    /// Bytes in memory, what is abandoned and not freed yet included.
    pub(super) fn held(&self) -> usize {
        self.lock().held
    }

    /// Whether there is something left to free.
    pub(super) fn has_abandoned(&self) -> bool {
        !self.lock().abandoned.is_empty()
    }

    /// A queue holds `private` bytes of its own more, and `payload` if that is not empty.
    pub(super) fn add(&self, private: usize, payload: &Bytes) {
        self.lock().add(private, payload);
    }

    /// A queue is about to let them go.
    pub(super) fn sub(&self, private: usize, payload: &Bytes) {
        self.lock().sub(private, payload);
    }

    /// Takes a queue that nobody waits for any more, to free it little by little.
    pub(super) fn abandon(&self, blocks: VecDeque<Block>) {
        self.lock().abandoned.extend(blocks);
    }

    /// Frees up to `blocks` pieces of what is abandoned.
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

/// What tells a payload from all others that are in memory.
fn name(payload: &Bytes) -> Option<(usize, usize)> {
    (!payload.is_empty()).then(|| (payload.as_ptr() as usize, payload.len()))
}

#[cfg(test)]
mod tests {
    use super::super::backlog::Backlog;
    use super::*;

    #[test]
    fn a_payload_that_many_wait_for_counts_once() {
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
    fn a_long_queue_that_is_abandoned_is_freed_in_steps() {
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
