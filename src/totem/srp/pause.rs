//! A pause of this process: it was stopped, got no processor, or its machine was suspended.
//!
//! A node that did not run has heard nothing, and that says nothing of the others. So the timers that would accuse them
//! go on from where they were, and give the others at least the time in which a token or a join message is repeated.
//! If the node was away for longer than the token time-out, the others have given *it* up; it has to find that out from
//! what waits in its sockets, and to ask them to take it back.
//!
//! For a short time after the pause the node catches up. Join messages that it reads then are old: whom they give up,
//! and what they agree on, may be over. They are not weighed, since the others repeat what still holds. But one that
//! was sent by a member of this ring after it had left the ring proves that the ring has ended, so this node gathers at
//! once in place of waiting for a token that cannot come. It asks with its own members and gives up nobody.
//!
//! Corosync's counterpart is its pause timer, which it consults only when a join message arrives.

use std::time::Duration;

use super::ring::Ring;
use super::timers::Timer;
use crate::time::Instant;
use crate::totem::wire::Join;

/// A pause that the core was not told of is one of more than this fraction of the token time-out, or of the time for which
/// members may be silent.
const NOTICED: u32 = 2;

/// If there is nothing else, there is an input after this fraction of the token time-out, so that a pause shows. It is more
/// than the time for which an idle token is held.
const ALIVE: u32 = 4;

/// What is known of pauses.
#[derive(Debug)]
pub(super) struct Pause {
    /// The last time at which this process is known to have run.
    ran_at: Instant,
    /// What waited in the sockets during a pause may not all have been read yet.
    pub(super) catching_up: bool,
}

impl Pause {
    pub(super) const fn new(now: Instant) -> Self {
        Self { ran_at: now, catching_up: false }
    }

    /// The process runs at `now`. Detects a pause that nobody told of: its inputs are too far apart.
    pub(super) fn runs(&mut self, ring: &mut Ring, now: Instant) {
        let patience =
            ring.hearing.map_or(ring.timeouts.token, |hearing| hearing.wait.min(ring.timeouts.token));
        if now.since(self.ran_at) > patience / NOTICED {
            self.ended(ring, now, now.since(self.ran_at));
        }
        self.ran_at = now;
        if !self.catching_up {
            ring.timers.start(Timer::Alive, now, ring.timeouts.token / ALIVE);
        }
    }

    /// The process did not run for `time` up to now. The clock need not have gone on meanwhile: that of a suspended
    /// machine stands. What it did go on since the last input is what the timers wait.
    pub(super) fn ended(&mut self, ring: &mut Ring, now: Instant, time: Duration) {
        let visible = now.since(self.ran_at);
        self.ran_at = now;
        tracing::debug!(ms = time.as_millis() as u64, "this process did not run; its timers wait as long");
        if !self.catching_up {
            ring.stats.pauses += 1;
        }
        self.catching_up = true;
        ring.refusals.clear();
        ring.timers.postpone(visible, now + ring.timeouts.token_retransmit);
        // By then the others have repeated their join messages; it must not look like another pause.
        ring.timers.start(Timer::Alive, now, ring.timeouts.join.min(ring.timeouts.token / ALIVE));
    }

    /// [`Timer::Alive`] has expired: what waited was read before.
    pub(super) fn caught_up(&mut self, ring: &mut Ring, now: Instant) {
        self.catching_up = false;
        ring.timers.start(Timer::Alive, now, ring.timeouts.token / ALIVE);
    }
}

/// Whether a join message, however old, proves that the ring of this node has ended.
pub(super) fn proves_the_end(ring: &Ring, join: &Join) -> bool {
    ring.members.contains(join.from) && join.ring_seq >= ring.current.seq
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totem::srp::sample::{self, node};

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1000 * ms)
    }

    /// Node 1 on a ring of two with the default time-outs, and when its token is overdue.
    fn awaiting(remaining: Duration) -> (Ring, Pause) {
        let mut ring = sample::ring(2);
        ring.timers.start(Timer::Token, at(0), remaining);
        (ring, Pause::new(at(0)))
    }

    #[test]
    fn a_pause_does_not_shorten_the_time_for_the_others() {
        for away in [1600, 3000, 30_000] {
            let (mut ring, mut pause) = awaiting(Duration::from_millis(1000));
            pause.runs(&mut ring, at(away));
            assert!(pause.catching_up);
            assert_eq!(ring.timers.take_due(at(away + 49)), None, "after {away} ms");
            assert_eq!(ring.timers.take_due(at(away + 50)), Some(Timer::Alive));
            assert_eq!(ring.timers.take_due(at(away + 999)), None, "after {away} ms");
            assert_eq!(ring.timers.take_due(at(away + 1000)), Some(Timer::Token), "but no longer either");
            assert_eq!(ring.stats.pauses, 1);
        }
    }

    #[test]
    fn the_others_have_time_to_repeat_a_token_that_was_nearly_overdue() {
        let (mut ring, mut pause) = awaiting(Duration::from_millis(1));
        pause.runs(&mut ring, at(5000));
        pause.caught_up(&mut ring, at(5050));
        let repeated = ring.timeouts.token_retransmit;
        assert_eq!(ring.timers.next(), Some(at(5000) + repeated));
        assert_eq!(ring.timers.take_due(at(5000) + repeated), Some(Timer::Token));
    }

    #[test]
    fn a_suspended_machine_has_paused_though_its_clock_stood() {
        let (mut ring, mut pause) = awaiting(Duration::from_millis(1000));
        pause.ended(&mut ring, at(10), Duration::from_secs(3600));
        assert!(pause.catching_up);
        pause.caught_up(&mut ring, at(60));
        assert_eq!(ring.timers.take_due(at(1009)), Some(Timer::Alive));
        assert_eq!(ring.timers.take_due(at(1009)), None);
        assert_eq!(ring.timers.take_due(at(1010)), Some(Timer::Token), "an hour is not waited for");
    }

    #[test]
    fn a_pause_that_was_told_is_not_noticed_again() {
        let (mut ring, mut pause) = awaiting(Duration::from_millis(1000));
        pause.ended(&mut ring, at(2000), Duration::from_millis(1900));
        pause.runs(&mut ring, at(2000));
        pause.runs(&mut ring, at(2040));
        assert_eq!(ring.stats.pauses, 1);
        assert_eq!(ring.timers.take_due(at(2999)), Some(Timer::Alive));
        assert_eq!(ring.timers.take_due(at(2999)), None);
        assert_eq!(ring.timers.take_due(at(3000)), Some(Timer::Token));
    }

    #[test]
    fn a_join_message_from_before_the_ring_proves_nothing() {
        let mut ring = sample::ring(2);
        ring.current.seq = 8;
        let join = |from, ring_seq| Join {
            from: node(from),
            leave: false,
            ring_seq,
            proc: vec![node(1), node(2)],
            failed: vec![node(1)],
        };
        assert!(proves_the_end(&ring, &join(2, 8)));
        assert!(proves_the_end(&ring, &join(2, 12)));
        assert!(!proves_the_end(&ring, &join(2, 4)));
        assert!(!proves_the_end(&ring, &join(3, 8)), "not a member");
    }
}
