//! How long a rotation takes, and when the token is late.
//!
//! A token that was lost stops the ring until the node that passed it on sends it again. Corosync does that after a
//! fixed part of the token time-out, hundreds of milliseconds, while a rotation takes a fraction of one. So the time is
//! measured, as TCP does for its segments (RFC 6298: mean and mean deviation, no samples of what was sent twice), and
//! the token is sent again as soon as it is clearly late. A token sent again needlessly is harmless: its receiver knows
//! its number (`token_seq`) and drops it.

use std::time::Duration;

use crate::time::Instant;

/// The token is never sent again earlier than this, because programs are scheduled and timers expire this late.
const LEAST: Duration = Duration::from_millis(2);

/// The times of the last rotations.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turnaround {
    /// When this node passed the token on, if it circulates without being held.
    passed_at: Option<Instant>,
    /// How often the token was sent again since then.
    again: u32,
    /// How long the token takes to return; `None` before the first rotation.
    measured: Option<Measured>,
}

/// Mean and mean deviation, in fractions of a microsecond, so that rounding does not lower them for good.
#[derive(Clone, Copy, Debug)]
struct Measured {
    eighths_of_mean: u64,
    quarters_of_deviation: u64,
}

impl Turnaround {
    /// The token was passed on; `circulates`: no node is going to hold it.
    pub(super) const fn passed(&mut self, now: Instant, circulates: bool) {
        self.passed_at = if circulates { Some(now) } else { None };
        self.again = 0;
    }

    /// The token has arrived.
    pub(super) fn arrived(&mut self, now: Instant) {
        let Some(passed_at) = self.passed_at.take().filter(|_| self.again == 0) else { return };
        let took = now.as_micros().saturating_sub(passed_at.as_micros());
        self.measured = Some(match self.measured {
            None => Measured { eighths_of_mean: 8 * took, quarters_of_deviation: 2 * took },
            Some(Measured { eighths_of_mean: mean, quarters_of_deviation: deviation }) => Measured {
                eighths_of_mean: mean - mean / 8 + took,
                quarters_of_deviation: deviation - deviation / 4 + took.abs_diff(mean / 8),
            },
        });
    }

    /// The token was sent again.
    pub(super) const fn sent_again(&mut self) {
        self.again = self.again.saturating_add(1);
    }

    /// How long after it was sent the token is late, at most `most`. Each time that it is sent again the time doubles.
    pub(super) fn late_after(&self, most: Duration) -> Duration {
        match (self.passed_at, self.measured) {
            (Some(_), Some(measured)) => {
                let late = measured.eighths_of_mean / 8 + measured.quarters_of_deviation;
                let late = Duration::from_micros(late).max(LEAST);
                late.saturating_mul(1 << self.again.min(16)).min(most)
            }
            _ => most,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_millis(238);

    fn at(us: u64) -> Instant {
        Instant::from_micros(us)
    }

    /// After rotations of these lengths, in microseconds.
    fn after(rotations: impl IntoIterator<Item = u64>) -> Turnaround {
        let (mut turnaround, mut now) = (Turnaround::default(), 0);
        for rotation in rotations {
            turnaround.passed(at(now), true);
            now += rotation;
            turnaround.arrived(at(now));
        }
        turnaround.passed(at(now), true);
        turnaround
    }

    #[test]
    fn the_token_is_late_after_the_usual_time_and_its_spread() {
        assert_eq!(after([]).late_after(MOST), MOST, "nothing was measured yet");
        assert_eq!(after([300; 50]).late_after(MOST), LEAST);
        let steady = after([10_000; 50]).late_after(MOST);
        assert!((10_000..10_100).contains(&steady.as_micros()), "{steady:?}");
        let uneven = after((0..100).map(|n| 5_000 + n % 2 * 10_000)).late_after(MOST);
        assert!((28_000..32_000).contains(&uneven.as_micros()), "{uneven:?}");
        assert_eq!(after([200_000; 50]).late_after(Duration::from_millis(100)), Duration::from_millis(100));
    }

    #[test]
    fn each_repetition_waits_twice_as_long_as_the_last() {
        let mut turnaround = after([300; 50]);
        let waits: Vec<u128> = (0..9)
            .map(|_| {
                let wait = turnaround.late_after(MOST).as_millis();
                turnaround.sent_again();
                wait
            })
            .collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 238, 238]);
    }

    #[test]
    fn rotations_with_a_repetition_or_a_held_token_are_no_measure() {
        let mut turnaround = after([300; 50]);
        turnaround.sent_again();
        turnaround.arrived(at(900_000));
        turnaround.passed(at(900_000), false);
        assert_eq!(turnaround.late_after(MOST), MOST, "it may be held");
        turnaround.arrived(at(1_800_000));
        turnaround.passed(at(1_800_000), true);
        assert_eq!(turnaround.late_after(MOST), LEAST);
    }
}
