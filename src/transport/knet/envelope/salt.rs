//! Initialisation vectors that are unpredictable and never repeated, not even in a forked process.

use std::io;

use super::cipher::BLOCK;
use crate::transport::{self, sys};

/// Number of vectors requested from the kernel at once: one call costs less than one for each packet.
const AHEAD: usize = 32;

/// Random bytes from the kernel's generator, fetched in advance.
pub(super) struct Salts {
    ahead: [[u8; BLOCK]; AHEAD],
    used: usize,
    /// The number of forks of this process when the bytes were fetched.
    forks: u32,
}

impl Salts {
    /// # Errors
    /// If the kernel provides no random bytes.
    pub(super) fn new() -> io::Result<Self> {
        let mut salts = Self { ahead: [[0; BLOCK]; AHEAD], used: AHEAD, forks: sys::forks() };
        salts.fill()?;
        Ok(salts)
    }

    /// The next vector.
    ///
    /// # Panics
    /// If the kernel provides no random bytes although it did before, which no kernel does. It is better to
    /// send no packet than one with a predictable vector.
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
    fn no_vector_is_repeated() {
        let mut salts = Salts::new().unwrap();
        let drawn: BTreeSet<_> = (0..10 * AHEAD).map(|_| salts.next()).collect();
        assert_eq!(drawn.len(), 10 * AHEAD);
        assert!(!drawn.contains(&[0; BLOCK]));
    }

    #[test]
    fn vectors_fetched_before_a_fork_are_not_used_after_it() {
        let mut salts = Salts::new().unwrap();
        let before = salts.ahead;
        salts.forks = salts.forks.wrapping_sub(1);
        let next = salts.next();
        assert!(!before.contains(&next));
    }
}
