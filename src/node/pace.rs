//! When the token waits for local clients.
//!
//! A rotation costs every node the same, whatever it carries. If clients send as fast as they can, a token that is
//! served the moment it arrives finds a message or two, takes the processor from the clients that would bring more, and
//! comes round again at once. So a token that clients have something for may wait a moment, in which they fill frames.
//!
//! A client that waits for its message to be delivered before it sends the next brings nothing in that time, and the
//! pause would only delay it. That is found out by trying: a pause in which too little comes is not repeated before
//! twice as many visits have passed as after the last such pause. An idle ring has no pauses at all.

use std::time::Duration;

/// Length of a pause.
const PAUSE: Duration = Duration::from_micros(150);
/// The token time-out divided by this is the longest pause, so that all pauses of a rotation of the largest ring are a
/// small part of it.
const SHARE: u32 = 5_000;
/// Requests that must come in a pause for the next visit to have one too.
const WORTH: u32 = 4;
/// Full frames that make a pause pointless.
const FULL: usize = 8;
/// Most visits without a pause between two attempts.
const MOST_SKIPPED: u32 = 256;

/// The pauses of one node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Visits that pass before the next attempt.
    skip: u32,
    /// The number of visits that were skipped after the last attempt in vain.
    skipped: u32,
    longest: Duration,
    /// The visit that has had its pause.
    paused: Option<u64>,
}

impl Pace {
    /// Pauses for a ring with this token time-out.
    pub(super) fn new(token: Duration) -> Self {
        Self { skip: 0, skipped: 1, longest: PAUSE.min(token / SHARE), paused: None }
    }

    /// How long the token that is here waits, if it does: `requests` have come since the last one, which fill `frames`
    /// frames. `visit` is the number of this visit. It has one pause at most, because forged tokens may seem to come,
    /// each of which would delay the ring.
    pub(super) fn pause(&mut self, visit: u64, requests: u32, frames: usize) -> Option<Duration> {
        if requests == 0 || frames >= FULL || self.paused == Some(visit) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.paused = Some(visit);
        Some(self.longest)
    }

    /// In the pause so many requests have come.
    pub(super) fn paused(&mut self, requests: u32) {
        if requests >= WORTH {
            self.skipped = 1;
        } else {
            self.skipped = (2 * self.skipped).min(MOST_SKIPPED);
            self.skip = self.skipped;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Duration = Duration::from_secs(1);

    #[test]
    fn the_token_waits_at_each_visit_for_clients_that_fill_the_pauses() {
        let mut pace = Pace::new(TOKEN);
        for visit in 0..100 {
            assert_eq!(pace.pause(visit, 1, 0), Some(PAUSE));
            pace.paused(WORTH);
            assert_eq!(pace.pause(visit, 9, 0), None, "the same visit waits once");
        }
        assert_eq!(pace.pause(100, 90, FULL), None, "the frames are full already");
        assert_eq!(pace.pause(100, 0, 0), None, "nobody sends");
    }

    #[test]
    fn the_token_rarely_waits_for_clients_that_wait_for_their_messages() {
        let mut pace = Pace::new(TOKEN);
        let mut pauses = 0;
        for visit in 0..100_000 {
            if pace.pause(visit, 1, 0).is_some() {
                pace.paused(0);
                pauses += 1;
            }
        }
        assert!((380..=400).contains(&pauses), "{pauses} pauses");
    }

    #[test]
    fn pauses_are_a_small_part_of_the_token_time_out() {
        let mut pace = Pace::new(Duration::from_millis(100));
        assert_eq!(pace.pause(0, 1, 0), Some(Duration::from_micros(20)));
    }
}
