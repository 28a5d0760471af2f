//! Detects that this process did not run, and says so.
//!
//! The loop is to run whenever something arrives, and at the latest at the time until which it sleeps. A process that
//! is stopped (SIGSTOP), starved of processor time or waits for memory runs later, which the clock shows. A machine that
//! is suspended stops this clock as well; then `CLOCK_BOOTTIME`, which goes on, has moved against it. A hypervisor may
//! stop all clocks of its guest: such a pause shows only in what the other nodes have done meanwhile.
//!
//! A node that did not run for longer than the token time-out was given up by the others, and by nobody's fault but its
//! host's: so it says what happened, when, and what to look for.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::quiet::Quiet;
use crate::time::Instant;

/// An absence is one of more than this fraction of the token time-out.
const NOTICED: u32 = 2;

/// When this process ran, and was to run; see the module.
#[derive(Debug)]
pub(super) struct Absence {
    /// When the loop last ran; `None` before its first turn.
    ran_at: Option<Instant>,
    /// The time until which the loop sleeps, if it does.
    sleeps_until: Option<Instant>,
    /// For how long this machine was suspended since it was booted.
    suspended: Duration,
    quiet: Quiet,
}

/// A time for which this process did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Away {
    /// All of it.
    pub(super) time: Duration,
    /// The part of it for which the machine was suspended.
    pub(super) suspended: Duration,
}

impl Absence {
    pub(super) fn new() -> Self {
        Self { ran_at: None, sleeps_until: None, suspended: suspended(), quiet: Quiet::default() }
    }

    /// The loop goes to sleep until this time.
    pub(super) const fn sleeps(&mut self, until: Instant) {
        self.sleeps_until = Some(until);
    }

    /// The loop runs. Returns for how long it did not run since the last call, if that is long for this token time-out.
    pub(super) fn runs(&mut self, now: Instant, token: Duration) -> Option<Away> {
        self.compare(now, suspended(), token)
    }

    fn compare(&mut self, now: Instant, suspended: Duration, token: Duration) -> Option<Away> {
        // Until then the loop slept because there was nothing to do.
        let ran_at = self.ran_at.replace(now).unwrap_or(now);
        let ready = self.sleeps_until.take().unwrap_or(ran_at).max(ran_at);
        let before = std::mem::replace(&mut self.suspended, suspended);
        let suspended = suspended.saturating_sub(before);
        let time = now.since(ready) + suspended;
        (time > token / NOTICED).then_some(Away { time, suspended })
    }

    /// Logs an absence that has just ended, unless others were logged lately.
    pub(super) fn tell(&mut self, now: Instant, away: Away, token: Duration) {
        let Some(held_back) = self.quiet.may_speak(now) else { return };
        let ended = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (from, to) = (of_day(ended.saturating_sub(away.time)), of_day(ended));
        let so = if away.time > token {
            "the others have given this node up, or were not running either; it asks them to take it back"
        } else {
            "the others waited for it, and give this node up if it takes longer than that time-out"
        };
        // The two clocks are read one after the other, so a little of it means nothing.
        let look_for = if away.suspended < away.time / 2 {
            "This process was stopped, or its host has too little processor time or memory: look for CPU overcommit or a \
             CPU quota, swapping, and a hypervisor that pauses, snapshots or migrates this machine; let the daemon have \
             real-time priority"
        } else {
            "This machine was suspended: do not suspend a running member, and let a hypervisor snapshot or migrate it \
             only if that takes less time"
        };
        tracing::warn!(
            target: "annulus::node",
            held_back,
            "This node did not run for {:.3} s, from {from} to {to} UTC (the token time-out is {:.3} s): {so}. {look_for}, \
             or configure a longer token",
            away.time.as_secs_f64(),
            token.as_secs_f64(),
        );
    }
}

/// For how long this machine was suspended since it was booted.
fn suspended() -> Duration {
    // In this order the difference is never too small.
    let (running, all) = (clock_gettime(ClockId::Monotonic), clock_gettime(ClockId::Boottime));
    let of = |time: rustix::time::Timespec| {
        Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
    };
    of(all).saturating_sub(of(running))
}

/// The time of day of a time since 1970, in UTC.
fn of_day(since: Duration) -> String {
    let (seconds, millis) = (since.as_secs() % 86_400, since.subsec_millis());
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quiet::written::text_during;

    const TOKEN: Duration = Duration::from_secs(1);

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1000 * ms)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn absence() -> Absence {
        Absence { ran_at: Some(at(0)), sleeps_until: None, suspended: ms(50), quiet: Quiet::default() }
    }

    #[test]
    fn sleep_until_the_next_deadline_is_no_absence() {
        let mut absence = absence();
        absence.sleeps(at(2000));
        assert_eq!(absence.compare(at(2400), ms(50), TOKEN), None, "a little late");
        absence.sleeps(at(4000));
        assert_eq!(absence.compare(at(2700), ms(50), TOKEN), None, "something arrived");
        absence.sleeps(at(3000));
        let away = Away { time: ms(501), suspended: ms(0) };
        assert_eq!(absence.compare(at(3501), ms(50), TOKEN), Some(away));
    }

    #[test]
    fn what_comes_before_the_first_turn_is_no_absence() {
        let mut absence = Absence { ran_at: None, ..absence() };
        assert_eq!(absence.compare(at(9000), ms(50), TOKEN), None);
        assert!(absence.compare(at(9600), ms(50), TOKEN).is_some());
    }

    #[test]
    fn a_loop_that_does_not_sleep_is_away_between_two_turns() {
        let mut absence = absence();
        assert_eq!(absence.compare(at(500), ms(50), TOKEN), None);
        let away = Away { time: ms(7000), suspended: ms(0) };
        assert_eq!(absence.compare(at(7500), ms(50), TOKEN), Some(away));
        assert_eq!(absence.compare(at(7501), ms(50), TOKEN), None, "told once");
    }

    #[test]
    fn a_suspended_machine_was_away_although_its_clock_stood() {
        let mut absence = absence();
        absence.sleeps(at(200));
        let away = Away { time: ms(60_000), suspended: ms(60_000) };
        assert_eq!(absence.compare(at(100), ms(60_050), TOKEN), Some(away));
        assert_eq!(absence.compare(at(101), ms(60_050), TOKEN), None);
    }

    #[test]
    fn one_line_says_when_how_long_and_what_to_look_for() {
        let mut absence = absence();
        let text = text_during(|| {
            for second in 0..5 {
                absence.tell(at(1000 * second), Away { time: ms(7312), suspended: ms(0) }, TOKEN);
            }
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in ["did not run for 7.312 s, from ", "is 1.000 s): the others have given", "CPU overcommit"]
        {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        let text =
            text_during(|| absence.tell(at(60_000), Away { time: ms(600), suspended: ms(600) }, TOKEN));
        for part in ["held_back=4", "the others waited for it", "This machine was suspended"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn the_time_of_day_is_that_of_utc() {
        assert_eq!(of_day(Duration::ZERO), "00:00:00.000");
        assert_eq!(of_day(Duration::from_millis(1_767_225_599_042)), "23:59:59.042");
    }

    #[test]
    fn the_clocks_of_this_machine_can_be_compared() {
        let first = suspended();
        assert!(suspended().abs_diff(first) < Duration::from_secs(1), "this machine was suspended meanwhile");
    }
}
