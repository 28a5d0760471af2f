//! Initialisation vectors: unpredictable, and never the same twice, in a forked process either.

use std::io;

use super::cipher::BLOCK;
use crate::transport::{self, sys};

/// Vectors that are asked of the kernel at once: one call costs less than so many packets.
const AHEAD: usize = 32;

/// Random bytes of the kernel's generator, taken ahead.
pub(super) struct Salts {
    ahead: [[u8; BLOCK]; AHEAD],
    used: usize,
    /// How often this process had been forked when they were taken.
    forks: u32,
}

impl Salts {
    /// # Errors
    /// The kernel gives no random bytes.
    pub(super) fn new() -> io::Result<Self> {
        let mut salts = Self { ahead: [[0; BLOCK]; AHEAD], used: AHEAD, forks: sys::forks() };
        salts.fill()?;
        Ok(salts)
    }

    /// The next one.
    ///
    /// # Panics
    /// The kernel gives no random bytes although it did before, which no kernel does. Rather no packet than one
    /// that can be foreseen.
    pub(super) fn next(&mut self) -> [u8; BLOCK] {
        if self.used == AHEAD || self.forks != sys::forks() {
            self.fill().expect("the kernel gives random bytes as it did before");
        }
        let salt = self.ahead[self.used];
        self.used += 1;
        salt
    }

    fn fill(&mut self) -> io::Result<()> {
        let forks = sys::forks();
        transport::random(self.ahead.as_flattened_mut())?;
        (self.used, self.forks) = (0, forks);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn none_comes_twice() {
        let mut salts = Salts::new().unwrap();
        let drawn: BTreeSet<_> = (0..10 * AHEAD).map(|_| salts.next()).collect();
        assert_eq!(drawn.len(), 10 * AHEAD);
        assert!(!drawn.contains(&[0; BLOCK]));
    }

    #[test]
    fn after_a_fork_what_was_taken_ahead_is_not_used() {
        let mut salts = Salts::new().unwrap();
        let before = salts.ahead;
        salts.forks = salts.forks.wrapping_sub(1);
        let next = salts.next();
        assert!(!before.contains(&next));
    }
}
