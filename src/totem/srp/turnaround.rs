//! How long a rotation takes, and when the token is late.
//!
//! A token that was lost stops the ring until the node that passed it on sends it again. Corosync does that after a
//! fixed part of the token time-out, hundreds of milliseconds, while a rotation takes a fraction of one. So the time is
//! measured, as TCP does for its segments (RFC 6298: mean and mean deviation, no samples of what was sent twice; but a
//! rotation can contain a loss that this node does not know of, so one that is out of line counts as less than it is),
//! and the token is sent again as soon as it is clearly late. A token sent again needlessly is harmless: its receiver knows
//! its number (`token_seq`).
//!
//! Only the node that passed the token on last can repeat it, and on an idle ring that node does not know for how long
//! the representative holds it. The representative does: when its token does not come back it sends it again, and each
//! node that has passed that token on already does the same in its turn, up to the one whose token was lost.

use std::time::Duration;

use crate::time::Instant;

/// The token is never sent again earlier than this, because programs are scheduled and timers expire this late.
const LEAST: Duration = Duration::from_millis(2);

/// After so many tokens in succession that were sent again a long rotation is what is to be expected.
const SLOWER: u32 = 2;

/// More tokens in succession than this are not lost by chance.
const CHANCE: u32 = 4;

/// So long a frame that the token has overtaken is waited for, unless a rotation takes longer.
const LATE: Duration = Duration::from_millis(50);

/// The times of the last rotations.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turnaround {
    /// When this node passed the token on, if it circulates without being held.
    passed_at: Option<Instant>,
    /// When this node sent the token last.
    sent_at: Instant,
    /// Whether it was sent again since it was passed on, because it was late or because others did.
    again: bool,
    /// When this node sent it again because it was late, and how often since it was passed on: as often the time until it is
    /// late was doubled.
    repeated_at: Instant,
    doubled: u32,
    /// How often it is doubled from the start, since tokens came back at times that no loss explains.
    raised: u32,
    /// How many tokens in succession were sent again.
    streak: u32,
    /// How long the token takes to return; `None` before the first rotation.
    measured: Option<Measured>,
}

/// Mean and mean deviation, in fractions of a microsecond, so that rounding does not lower them for good.
#[derive(Clone, Copy, Debug)]
struct Measured {
    eighths_of_mean: u64,
    quarters_of_deviation: u64,
}

impl Measured {
    /// The time after which the token is late.
    fn late(self) -> Duration {
        Duration::from_micros(self.eighths_of_mean / 8 + self.quarters_of_deviation).max(LEAST)
    }

    /// Whether a token that came this long after it was sent again is the one that was sent again: the first was lost.
    fn explains(self, since: Duration) -> bool {
        (Duration::from_micros(self.eighths_of_mean / 16)..=self.late()).contains(&since)
    }
}

impl Turnaround {
    /// The token was passed on; `circulates`: no node is going to hold it.
    pub(super) const fn passed(&mut self, now: Instant, circulates: bool) {
        self.passed_at = if circulates { Some(now) } else { None };
        self.sent_at = now;
        self.again = false;
        self.doubled = 0;
    }

    /// A new ring is formed. `smaller`: of nodes of the last one, so that what was measured on it holds.
    pub(super) fn formed(&mut self, smaller: bool) {
        if smaller {
            // Nobody holds the commit token.
            (self.passed_at, self.again, self.doubled) = (None, true, 0);
        } else {
            *self = Self::default();
        }
    }

    /// The token has arrived.
    pub(super) fn arrived(&mut self, now: Instant) {
        let Some(passed_at) = self.passed_at.take() else { return };
        if self.again {
            if self.doubled == 0 {
                return; // the others did
            }
            let repaired =
                self.measured.is_some_and(|measured| measured.explains(now.since(self.repeated_at)));
            self.streak = self.streak.saturating_add(1);
            if !repaired || self.streak > CHANCE {
                self.raised = self.raised.saturating_add(1);
            }
            return;
        }
        self.streak = 0;
        let slower = std::mem::take(&mut self.raised) >= SLOWER;
        let took = now.as_micros().saturating_sub(passed_at.as_micros());
        self.measured = Some(match self.measured {
            None => Measured { eighths_of_mean: 8 * took, quarters_of_deviation: 2 * took },
            Some(Measured { eighths_of_mean: mean, quarters_of_deviation: deviation }) => {
                // Twice the deviation and an eighth of the mean.
                let most = if slower { took } else { deviation / 2 + mean / 64 };
                let took = took.clamp((mean / 8).saturating_sub(most), mean / 8 + most);
                Measured {
                    eighths_of_mean: mean - mean / 8 + took,
                    quarters_of_deviation: deviation - deviation / 4 + took.abs_diff(mean / 8),
                }
            }
        });
    }

    /// For how many visits of the token a frame may be late, at most `most`: two, if they take long enough for anything
    /// that was overtaken by the token to arrive.
    pub(super) fn patience(&self, most: u32) -> u32 {
        let rotation = self.measured.map_or(0, |measured| measured.eighths_of_mean / 8).max(1);
        let visits = LATE.as_micros() as u64 / rotation;
        u32::try_from(visits).unwrap_or(u32::MAX).max(2).min(most)
    }

    /// The token was sent again.
    pub(super) const fn sent_again(&mut self, now: Instant) {
        (self.sent_at, self.repeated_at) = (now, now);
        self.again = true;
        self.doubled = self.doubled.saturating_add(1);
    }

    /// Others miss the token that this node has passed on. Returns whether to send it again as well: not at any rate at
    /// which others send it.
    pub(super) fn came_again(&mut self, now: Instant) -> bool {
        let due = now.since(self.sent_at) >= LEAST;
        if due {
            self.sent_at = now;
            self.again = true;
        }
        due
    }

    /// How long after it was sent the token is late, at most `most`. Each time that it is sent again the time doubles;
    /// and with each token that was not lost though it was sent again, until one comes back that was sent only once, since
    /// a network that has become slower can be measured only so.
    pub(super) fn late_after(&self, most: Duration) -> Duration {
        // Nobody holds the token for longer than the time after which it is sent again.
        let circulates = self.passed_at.is_some() || self.again;
        match self.measured {
            Some(measured) if circulates => measured
                .late()
                .saturating_mul(1 << self.raised.saturating_add(self.doubled).min(16))
                .min(most),
            Some(_) | None => most,
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
    fn a_rotation_out_of_line_does_not_make_the_next_loss_cost_much_more() {
        let usual = after((0..50).map(|n| 10_000 + n % 2 * 1000)).late_after(MOST);
        let after_loss = after((0..50).map(|n| if n == 49 { 100_000 } else { 10_000 + n % 2 * 1000 }));
        assert!(after_loss.late_after(MOST) < usual * 2, "{usual:?}, {:?}", after_loss.late_after(MOST));
    }

    #[test]
    fn a_frame_is_waited_for_at_fewer_visits_where_rotations_are_long() {
        for (rotation, visits) in [(300, 5), (12_000, 4), (20_000, 2), (400_000, 2)] {
            assert_eq!(after([rotation; 50]).patience(5), visits, "{rotation}");
        }
        assert_eq!((after([]).patience(5), after([400_000]).patience(1)), (5, 1));
    }

    #[test]
    fn each_repetition_waits_twice_as_long_as_the_last() {
        let mut turnaround = after([300; 50]);
        let waits: Vec<u128> = (0..9)
            .map(|_| {
                let wait = turnaround.late_after(MOST).as_millis();
                turnaround.sent_again(at(0));
                wait
            })
            .collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 238, 238]);
    }

    #[test]
    fn rotations_with_a_repetition_or_a_held_token_are_no_measure() {
        let mut turnaround = after([300; 50]);
        turnaround.sent_again(at(2_000));
        turnaround.arrived(at(900_000));
        turnaround.passed(at(900_000), false);
        assert_eq!(turnaround.late_after(MOST), MOST, "it may be held");
        turnaround.arrived(at(1_800_000));
        turnaround.passed(at(1_800_000), true);
        assert_eq!(turnaround.late_after(MOST), 2 * LEAST, "it came at a time that no loss explains");
        turnaround.arrived(at(1_800_300));
        turnaround.passed(at(1_800_300), true);
        assert_eq!(turnaround.late_after(MOST), LEAST);
    }

    /// Otherwise each token would be sent again for as long as the network is slower than it was.
    #[test]
    fn a_network_that_becomes_slower_is_measured_again() {
        let (mut turnaround, mut now) = (after([300; 50]), 15_000);
        let mut again = Vec::new();
        for _ in 0..10 {
            let (end, mut times) = (now + 30_000, 0);
            loop {
                now += turnaround.late_after(MOST).as_micros() as u64;
                if now >= end {
                    break;
                }
                turnaround.sent_again(at(now));
                times += 1;
            }
            now = end;
            turnaround.arrived(at(now));
            turnaround.passed(at(now), true);
            again.push(times);
        }
        assert_eq!(again, [3, 3, 3, 3, 3, 2, 1, 0, 0, 0], "some rotations look as if tokens were lost");
    }

    #[test]
    fn losses_in_succession_do_not_make_the_next_one_cost_more() {
        let (mut turnaround, mut now) = (after([10_000; 50]), 500_000);
        for _ in 0..5 {
            assert_eq!(turnaround.late_after(MOST).as_millis(), 10);
            turnaround.sent_again(at(now + 10_000));
            now += 20_000;
            turnaround.arrived(at(now));
            turnaround.passed(at(now), true);
        }
    }

    #[test]
    fn a_token_that_comes_again_and_again_is_not_sent_as_often() {
        let mut turnaround = after([300]);
        let sent = (0..10_000).filter(|us| turnaround.came_again(at(300 + us))).count();
        assert_eq!(sent, 4, "each 2 ms");
    }

    #[test]
    fn what_was_measured_holds_for_a_smaller_ring_only() {
        for (smaller, late) in [(true, LEAST), (false, MOST)] {
            let mut turnaround = after([300; 50]);
            turnaround.formed(smaller);
            assert_eq!(turnaround.late_after(MOST), late);
            turnaround.arrived(at(900_000));
            turnaround.passed(at(900_000), true);
            assert_eq!(turnaround.late_after(MOST), late, "the commit token is no measure");
        }
    }
}
