//! How often which waiting time occurred, in classes of a quarter of an octave.

use std::time::Duration;

/// The classes reach from 1 us to more than an hour.
const CLASSES: usize = 128;

/// The number of times in each class. A time is overstated by at most a quarter.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    counts: [u32; CLASSES],
}

impl Default for Spread {
    fn default() -> Self {
        Self { counts: [0; CLASSES] }
    }
}

impl Spread {
    pub(super) fn note(&mut self, time: Duration) {
        let count = &mut self.counts[class(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))];
        *count = count.saturating_add(1);
    }

    /// Halves the weight of the times noted so far.
    pub(super) fn age(&mut self) {
        self.counts.iter_mut().for_each(|count| *count /= 2);
    }

    /// The shortest time that is not exceeded by `share` of the times, of 1000; zero if there are none.
    pub(super) fn below(&self, share: u32) -> Duration {
        let all: u64 = self.counts.iter().copied().map(u64::from).sum();
        let wanted = (all * u64::from(share)).div_ceil(1000);
        let mut sum = 0;
        let found = self.counts.iter().position(|count| {
            sum += u64::from(*count);
            sum >= wanted
        });
        found.filter(|_| all > 0).map_or(Duration::ZERO, |class| Duration::from_micros(limit(class)))
    }
}

/// The class of a time in us: 0 to 3 have classes of their own, each octave from then on has four.
fn class(us: u64) -> usize {
    let octave = us.max(4).ilog2() as usize;
    if us < 4 {
        us as usize
    } else {
        (4 * (octave - 1) + ((us >> (octave - 2)) & 3) as usize).min(CLASSES - 1)
    }
}

/// The longest time of a class in us.
const fn limit(class: usize) -> u64 {
    if class < 4 { class as u64 } else { ((class as u64 % 4 + 5) << (class / 4 - 1)) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_class_whose_limit_is_at_most_a_quarter_above_it() {
        for us in (0..5000).chain([1 << 20, (1 << 20) - 1, 3_650_000]) {
            let limit = limit(class(us));
            assert!(us <= limit && limit <= us + us / 4, "{us}: {limit}");
        }
        assert_eq!(class(u64::MAX), CLASSES - 1);
    }

    #[test]
    fn shares_are_counted_from_the_shortest_time() {
        let us = Duration::from_micros;
        let mut spread = Spread::default();
        assert_eq!(spread.below(500), Duration::ZERO);
        (0..98).for_each(|_| spread.note(us(100)));
        (0..2).for_each(|_| spread.note(us(100_000)));
        let median = spread.below(500);
        assert!(us(100) <= median && median <= us(125), "{median:?}");
        assert_eq!((spread.below(980), spread.below(0)), (median, Duration::ZERO));
        assert!(spread.below(990) >= us(100_000));
        spread.age();
        assert!(spread.below(990) >= us(100_000), "one of fifty is left");
        spread.age();
        assert_eq!(spread.below(990), median);
    }
}
