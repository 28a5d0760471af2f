//! The only source of randomness in a run.

use std::ops::Range;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Seeded generator with the few distributions that a simulation needs.
#[derive(Clone, Debug)]
pub(crate) struct Random(Pcg64Mcg);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    /// Whether an event of probability `share` happens. Draws no number if `share` rules the event out.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.0.random_bool(share.min(1.0))
    }

    /// A number in `range`, or its start if it is empty.
    pub(crate) fn number(&mut self, range: Range<u64>) -> u64 {
        if range.is_empty() { range.start } else { self.0.random_range(range) }
    }

    /// An index below `len`, which is not 0.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.0.random_range(0..len)
    }

    /// A duration in `range`, in whole microseconds.
    pub(crate) fn duration(&mut self, range: &Range<Duration>) -> Duration {
        let micros = |d: Duration| u64::try_from(d.as_micros()).expect("a simulated time");
        Duration::from_micros(self.number(micros(range.start)..micros(range.end)))
    }

    /// One of `choices`, which is not empty.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// Another generator, whose numbers do not depend on later draws from this one.
    pub(crate) fn fork(&mut self) -> Self {
        Self::seeded(self.0.random())
    }
}
