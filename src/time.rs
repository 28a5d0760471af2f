//! Points in time for the core, which has no clock: its driver passes the current time as `now`.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in time: microseconds since an arbitrary start. Unlike `std`'s, it can be constructed in a test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The arbitrary start of time.
    pub const ZERO: Self = Self(0);

    /// The point in time `micros` µs after the start.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// The earliest of some points in time that may or may not be set.
///
/// The node looks for its next deadline several times for each datagram. Chained iterators over options take many times as
/// long as this loop.
pub(crate) fn earliest<const N: usize>(times: [Option<Instant>; N]) -> Option<Instant> {
    let mut first = None;
    for time in times {
        first = match (first, time) {
            (Some(a), Some(b)) => Some(if b < a { b } else { a }),
            (a, b) => a.or(b),
        };
    }
    first
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(delay.as_micros().try_into().unwrap_or(u64::MAX)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}
