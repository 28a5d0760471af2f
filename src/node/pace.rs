//! When the token waits for local clients.
//!
//! A rotation costs every node the same, whatever it carries. If clients send as fast as they can, a token that is
//! served the moment it arrives finds a message or two, takes the processor from the clients that would bring more, and
//! comes round again at once. So a token that clients have something for may wait a moment, in which they fill frames:
//! a pause.
//!
//! A client that waits for its message to be delivered before it sends the next brings nothing in that time, and the
//! pause would only delay it. But its next message may be there a moment after the token, because it got a processor
//! only when the other nodes had no more work for it, and would then wait for a whole rotation. So a token that clients
//! have nothing for, though they had a little for the one before, waits for the first message: it lingers.
//!
//! Whether either is worth it is found out by trying: one in which too little comes is not repeated before twice as
//! many visits have passed as after the last such attempt. An idle ring does not wait at all.

use std::time::Duration;

/// Length of a pause.
const PAUSE: Duration = Duration::from_micros(150);
/// Longest wait for the first message.
const LINGER: Duration = Duration::from_micros(25);
/// The token time-out divided by this is the longest wait, so that all waits of a rotation of the largest ring are a
/// small part of it.
const SHARE: u32 = 5_000;
/// Requests that must come in a pause for the next visit to have one too; fewer are a little.
const WORTH: u32 = 4;
/// Full frames that make a pause pointless.
const FULL: usize = 8;
/// Most visits without a wait between two attempts.
const MOST_SKIPPED: u32 = 256;

/// The waits of one node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pauses: Attempts,
    lingers: Attempts,
    /// The longest pause.
    pause: Duration,
    /// The longest wait for the first message.
    linger: Duration,
    /// The visit that has had its wait. It has one at most, because forged tokens may seem to come, each of which would
    /// delay the ring.
    waited: Option<u64>,
    /// Whether clients had a little for the last visit.
    little: bool,
}

/// Attempts, which become rarer while they fail.
#[derive(Clone, Copy, Debug)]
struct Attempts {
    /// Visits that pass before the next one.
    skip: u32,
    /// The number of visits that were skipped after the last one in vain.
    skipped: u32,
}

impl Attempts {
    const fn new() -> Self {
        Self { skip: 0, skipped: 1 }
    }

    /// Whether this visit is to have one.
    fn is_due(&mut self) -> bool {
        if self.skip == 0 {
            return true;
        }
        self.skip -= 1;
        false
    }

    fn made(&mut self, worth: bool) {
        if worth {
            *self = Self::new();
        } else {
            self.skipped = (2 * self.skipped).min(MOST_SKIPPED);
            self.skip = self.skipped;
        }
    }
}

impl Pace {
    /// Waits for a ring with this token time-out.
    pub(super) fn new(token: Duration) -> Self {
        let longest = token / SHARE;
        Self {
            pauses: Attempts::new(),
            lingers: Attempts::new(),
            pause: PAUSE.min(longest),
            linger: LINGER.min(longest),
            waited: None,
            little: false,
        }
    }

    /// How long the token that is here waits for clients to fill frames, if it does: `requests` have come since the
    /// last one, which fill `frames` frames. `visit` is the number of this visit.
    pub(super) fn pause(&mut self, visit: u64, requests: u32, frames: usize) -> Option<Duration> {
        let due = requests > 0 && frames < FULL && self.waited != Some(visit) && self.pauses.is_due();
        due.then(|| self.wait(visit, self.pause))
    }

    /// In the pause so many requests have come.
    pub(super) fn paused(&mut self, requests: u32) {
        self.pauses.made(requests >= WORTH);
    }

    /// How long the token that is here waits for the first request, if it does. The arguments are those of
    /// [`Pace::pause`].
    pub(super) fn linger(&mut self, visit: u64, requests: u32) -> Option<Duration> {
        if self.waited == Some(visit) {
            return None;
        }
        let expected = std::mem::replace(&mut self.little, (1..WORTH).contains(&requests));
        let due = expected && requests == 0 && self.lingers.is_due();
        due.then(|| self.wait(visit, self.linger))
    }

    /// In the wait for the first request so many have come.
    pub(super) fn lingered(&mut self, requests: u32) {
        self.little = requests > 0;
        self.lingers.made(requests > 0);
    }

    fn wait(&mut self, visit: u64, longest: Duration) -> Duration {
        self.waited = Some(visit);
        longest
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
    fn waits_are_a_small_part_of_the_token_time_out() {
        let mut pace = Pace::new(Duration::from_millis(100));
        assert_eq!(pace.pause(0, 1, 0), Some(Duration::from_micros(20)));
        assert_eq!(pace.linger(1, 1), None);
        assert_eq!(pace.linger(2, 0), Some(Duration::from_micros(20)));
    }

    #[test]
    fn the_token_waits_for_a_client_whose_message_comes_a_moment_late_at_each_visit() {
        let mut pace = Pace::new(TOKEN);
        assert_eq!(pace.linger(0, 0), None, "nobody has sent");
        assert_eq!(pace.linger(1, 1), None, "the message is here");
        for visit in 2..100 {
            assert_eq!(pace.linger(visit, 0), Some(LINGER), "visit {visit}");
            pace.lingered(1);
            assert_eq!(pace.linger(visit, 0), None, "the same visit waits once");
        }
    }

    #[test]
    fn the_token_rarely_waits_for_clients_that_bring_nothing_in_that_time() {
        let mut pace = Pace::new(TOKEN);
        let mut lingers = 0;
        for visit in 0..100_000 {
            if pace.linger(visit, u32::from(visit % 2 == 0)).is_some() {
                pace.lingered(0);
                lingers += 1;
            }
        }
        assert!((190..=210).contains(&lingers), "{lingers} waits");
    }

    #[test]
    fn an_idle_ring_does_not_wait() {
        let mut pace = Pace::new(TOKEN);
        assert_eq!(pace.linger(0, 1), None);
        assert_eq!(pace.linger(1, 0), Some(LINGER));
        pace.lingered(0);
        assert!((2..1000).all(|visit| pace.linger(visit, 0).is_none()));
    }
}
