//! Limits how many control packets of one link are answered.
//!
//! An answer is never longer than its question, but it costs encryption. Replayed recordings of pings must
//! not use up the answers for genuine ones, so pings whose stamp is newer than all before have a separate
//! allowance. This works because the stamps of libknet and of this implementation begin with the sender's
//! time.

use crate::time::Instant;

/// Answers that are allowed at once, and the number by which this is refilled each second.
const ANSWERS: u32 = 500;

/// The remaining allowances of one link.
#[derive(Debug)]
pub(super) struct Limits {
    newest: (u64, u64),
    new_pings: Allowance,
    pings: Allowance,
    probes: Allowance,
}

#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: u32,
    filled: Instant,
}

impl Limits {
    pub(super) fn new(now: Instant) -> Self {
        let full = Allowance { left: ANSWERS, filled: now };
        Self { newest: (0, 0), new_pings: full, pings: full, probes: full }
    }

    /// Whether to answer a ping with this stamp.
    pub(super) fn ping(&mut self, now: Instant, stamp: [u8; 16]) -> bool {
        let whole = u128::from_le_bytes(stamp);
        // The first eight bytes are the more significant ones for the comparison.
        let stamp = (whole as u64, (whole >> 64) as u64);
        if stamp <= self.newest {
            return self.pings.take(now);
        }
        let taken = self.new_pings.take(now);
        if taken {
            self.newest = stamp;
        }
        taken
    }

    /// Whether to answer a probe.
    pub(super) fn probe(&mut self, now: Instant) -> bool {
        self.probes.take(now)
    }
}

impl Allowance {
    fn take(&mut self, now: Instant) -> bool {
        let micros = now.since(self.filled).as_micros();
        let more = micros * u128::from(ANSWERS) / 1_000_000;
        if more > 0 {
            self.left = self.left.saturating_add(u32::try_from(more).unwrap_or(u32::MAX)).min(ANSWERS);
            self.filled = now;
        }
        let taken = self.left > 0;
        self.left -= u32::from(taken);
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn stamp(first: u64, second: u64) -> [u8; 16] {
        let mut stamp = [0; 16];
        stamp[..8].copy_from_slice(&first.to_le_bytes());
        stamp[8..].copy_from_slice(&second.to_le_bytes());
        stamp
    }

    #[test]
    fn endless_replayed_pings_do_not_keep_genuine_ones_from_being_answered() {
        let mut limits = Limits::new(Instant::ZERO);
        assert!(limits.ping(Instant::ZERO, stamp(1000, 5)));
        let mut answered = 0;
        for round in 1..=1000 {
            let now = Instant::from_micros(round * 1000);
            for _ in 0..100 {
                answered += u32::from(limits.ping(now, stamp(1000, 5)));
            }
            if round % 100 == 0 {
                assert!(limits.ping(now, stamp(1000 + round, 0)), "a real one, after {round} ms");
            }
        }
        assert!((900..=1000).contains(&answered), "{answered} in the first second");
    }

    #[test]
    fn probes_are_answered_at_a_limited_rate() {
        let mut limits = Limits::new(Instant::ZERO);
        let now = Instant::ZERO + Duration::from_secs(5);
        assert_eq!((0..10_000).filter(|_| limits.probe(now)).count(), 500);
        assert_eq!((0..10_000).filter(|_| limits.probe(now + Duration::from_millis(10))).count(), 5);
    }
}
