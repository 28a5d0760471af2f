//! Reimplements glibc's process-shared semaphore, on which a libqb peer waits and posts.
//!
//! Value and number of waiters share one 64-bit word, with the value in the low half. It is written out here because
//! the `sem_t` of another C library has another layout. Source: glibc `nptl/sem_waitcommon.c` (layout), futex(2).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::futex;

const WAITER: u64 = 1 << 32;

/// A semaphore inside a ring buffer's header. Only one process waits on it, and only one posts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Semaphore<'a> {
    /// Value and number of waiters.
    pub(super) both: &'a AtomicU64,
    /// The value: the half of the same word that futexes use.
    pub(super) value: &'a AtomicU32,
}

impl Semaphore<'_> {
    /// Adds `n` and wakes sleepers. Makes no system call if there is none.
    pub(super) fn post(self, n: u32) {
        // PUBLISH: pairs with the Acquire in `try_wait`; the chunks posted are visible there.
        let before = self.both.fetch_add(u64::from(n), Ordering::Release);
        if before >= WAITER {
            // Fails only if the peer truncated the file, which the ring buffer notices elsewhere.
            let _ = futex::wake(self.value, futex::Flags::empty(), n);
        }
    }

    /// Decrements the value if it is not 0, and returns whether it did.
    ///
    /// Only the one reader decrements, so between test and subtraction only a misbehaving peer can change the value;
    /// and there is no loop that such a peer could keep running.
    pub(super) fn try_wait(self) -> bool {
        if self.both.load(Ordering::Relaxed) & (WAITER - 1) == 0 {
            return false;
        }
        self.both.fetch_sub(1, Ordering::Acquire);
        true
    }

    /// Decrements the value, waiting for at most `limit`. Returns whether it did.
    pub(super) fn wait(self, limit: Duration) -> bool {
        if self.try_wait() {
            return true;
        }
        let until = Instant::now() + limit;
        self.both.fetch_add(WAITER, Ordering::Relaxed);
        loop {
            if self.both.load(Ordering::Relaxed) & (WAITER - 1) != 0 {
                self.both.fetch_sub(WAITER + 1, Ordering::Acquire);
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.both.fetch_sub(WAITER, Ordering::Relaxed);
                return false;
            }
            let left = rustix::time::Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            // Woken, value no longer 0, interrupted, or timed out: in every case the loop tests again.
            let _ = futex::wait(self.value, futex::Flags::empty(), 0, Some(&left));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::sync::Arc;

    use super::super::shm::Mapping;
    use super::*;

    fn memory() -> Mapping {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.set_len(4096).unwrap();
        Mapping::new(file.as_fd(), 4096, false).unwrap()
    }

    fn at(memory: &Mapping) -> Semaphore<'_> {
        Semaphore {
            both: memory.u64(16),
            value: memory.u32(if cfg!(target_endian = "big") { 20 } else { 16 }),
        }
    }

    #[test]
    fn a_post_allows_one_wait_each() {
        let memory = memory();
        let semaphore = at(&memory);
        assert!(!semaphore.try_wait());
        semaphore.post(2);
        assert!(semaphore.try_wait());
        assert!(semaphore.try_wait());
        assert!(!semaphore.try_wait());
        assert!(!semaphore.wait(Duration::from_millis(2)));
        assert_eq!(semaphore.both.load(Ordering::Relaxed), 0, "a waiter that gave up is no longer counted");
    }

    #[test]
    fn a_waiter_is_counted_while_it_sleeps_and_is_woken() {
        let memory = Arc::new(memory());
        let sleeper = std::thread::spawn({
            let memory = Arc::clone(&memory);
            move || at(&memory).wait(Duration::from_secs(20))
        });
        while at(&memory).both.load(Ordering::Relaxed) >> 32 == 0 {
            std::thread::yield_now();
        }
        at(&memory).post(1);
        assert!(sleeper.join().unwrap());
        assert_eq!(at(&memory).both.load(Ordering::Relaxed), 0);
    }
}
