//! Detects whether a link works: pings and pongs, up and down.
//!
//! Differs from libknet where the wire does not require the same behaviour. A new link gets no more time than
//! an old one. A link that goes down repeatedly needs more pongs to come up. ICMP messages only raise a
//! doubt, which pings decide.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::output::{Cause, Path};
use super::settings::LinkSettings;
use super::stats::LinkStats;
use crate::time::Instant;

/// If a link was up for this long, its earlier falls no longer count.
const STEADY: Duration = Duration::from_secs(30);

/// Number of falls in quick succession that have no consequence.
const FORGIVEN: u32 = 2;

/// Each further fall doubles the number of pongs needed to come up, at most this many times.
const DOUBLINGS: u32 = 3;

/// The limit of doublings if no other link to the host is up: then a bad link is better than none.
const DOUBLINGS_ALONE: u32 = 1;

/// Minimum time between pings, whatever the settings say.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

/// The monitoring state of one link.
#[derive(Debug)]
pub(super) struct Link {
    watch: LinkSettings,
    /// See [`Link::hurry`].
    token: Option<Duration>,
    state: State,
    since: Instant,
    cause: Option<Cause>,
    /// When the next ping is due.
    ping_due: Instant,
    /// When the last ping was sent.
    last_ping: Option<Instant>,
    /// When the first unanswered ping was sent, if there is one.
    waiting_since: Option<Instant>,
    /// When the newest answered ping was sent.
    answered: Option<Instant>,
    /// When the last pong arrived; `None` since the link last went down.
    last_pong: Option<Instant>,
    /// Pongs since the link last went down that count towards coming up.
    pongs: u32,
    /// Number of falls in quick succession.
    falls: u32,
    doubt: Option<Doubt>,
    /// When a report last raised a doubt, so that false reports do not cause endless pings.
    doubted: Option<Instant>,
    pub(super) stats: LinkStats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// This host has lost its own address on the link.
    Gone,
    Down,
    Up,
}

/// A doubt whether the link works, before its time-out has expired.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    since: Instant,
    /// Whether the kernel reported the host as unreachable; then the link goes down unless a ping is
    /// answered.
    reported: bool,
    /// Whether the second ping because of the doubt was sent.
    asked_again: bool,
}

/// An action that is due on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Send a ping.
    Ping,
    /// The link has just gone down.
    Down(Cause),
}

/// The effect of a pong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It answers no recent ping.
    Nothing,
    /// It was counted, and the state of the link is unchanged.
    Pong,
    /// The link has come up.
    Up,
}

impl Link {
    pub(super) fn new(watch: LinkSettings, now: Instant) -> Self {
        Self {
            watch,
            token: None,
            state: State::Down,
            since: now,
            cause: None,
            ping_due: now,
            last_ping: None,
            waiting_since: None,
            answered: None,
            last_pong: None,
            pongs: 0,
            falls: 0,
            doubt: None,
            doubted: None,
            stats: LinkStats::default(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Whether a pong arrived since the link last went down.
    pub(super) fn is_heard(&self) -> bool {
        self.last_pong.is_some()
    }

    /// Whether another link should be preferred for now.
    pub(super) fn is_doubted(&self) -> bool {
        self.doubt.is_some()
    }

    /// When the link last came up or went down.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Why the link went down; `None` if it is up or never was.
    pub(super) fn cause(&self) -> Option<Cause> {
        self.cause
    }

    pub(super) fn watch(&self) -> &LinkSettings {
        &self.watch
    }

    /// Time between two periodic pings.
    pub(super) fn interval(&self) -> Duration {
        let interval = self.watch.ping_interval;
        let soon =
            self.token.map_or(interval, |token| token / self.watch.pong_count.max(1).saturating_mul(2));
        interval.min(soon).max(LEAST_INTERVAL)
    }

    /// Time without a pong after which the link goes down. How late a pong may be to count is the configured time, so
    /// that a link which has become slow can come up again.
    fn timeout(&self) -> Duration {
        let timeout = self.watch.ping_timeout;
        self.token.map_or(timeout, |token| timeout.min(token / self.watch.pong_count.max(1)))
    }

    /// Mean round-trip time.
    pub(super) fn latency(&self) -> Duration {
        Duration::from_micros(self.stats.latency_ave.into())
    }

    /// Changes the timers of the link.
    pub(super) fn set_watch(&mut self, watch: LinkSettings) {
        self.watch = watch;
        self.ping_in_time();
    }

    /// Sets the token time-out in force, before which silence is to be noticed; `None`: the link's own times do.
    pub(super) fn hurry(&mut self, now: Instant, token: Option<Duration>) {
        let before = self.timeout();
        self.token = token;
        if self.timeout() < before {
            // The pings so far were as rare as the longer time allowed, so their silence says nothing yet.
            [&mut self.last_pong, &mut self.waiting_since].into_iter().flatten().for_each(|time| *time = now);
            if let Some(doubt) = &mut self.doubt {
                doubt.since = now;
            }
        }
        self.ping_in_time();
    }

    fn ping_in_time(&mut self) {
        if let Some(last) = self.last_ping {
            self.ping_due = self.ping_due.min(last + self.interval());
        }
    }

    /// The next action due at `now`; must be called until it returns `None`.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Act> {
        if self.state == State::Gone {
            return None;
        }
        if self.last_pong.is_some_and(|last| now >= last + self.tolerance())
            && let Some(down) = self.fall(now, Cause::Silence)
        {
            return Some(down);
        }
        let patience = self.patience();
        if let Some(doubt) = &mut self.doubt {
            if doubt.reported && now >= doubt.since + patience * 2 {
                return self.fall(now, Cause::Unreachable);
            }
            if !doubt.asked_again && now >= doubt.since + patience {
                doubt.asked_again = true;
                return Some(Act::Ping);
            }
        } else if self.is_overdue(now, patience) {
            self.doubt = Some(Doubt { since: now, reported: false, asked_again: false });
            return Some(Act::Ping);
        }
        if now >= self.ping_due {
            self.ping_due = now + self.interval();
            return Some(Act::Ping);
        }
        None
    }

    /// When [`Link::poll`] next has an action; `None` while the interface is gone.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.state == State::Gone {
            return None;
        }
        let patience = self.patience();
        let silence = self.last_pong.map(|last| last + self.tolerance());
        let doubt = match self.doubt {
            Some(doubt) if !doubt.asked_again => Some(doubt.since + patience),
            Some(doubt) if doubt.reported => Some(doubt.since + patience * 2),
            Some(_) => None,
            None if self.is_up() => self.waiting_since.map(|since| since + patience),
            None => None,
        };
        [silence, doubt].into_iter().flatten().chain([self.ping_due]).min()
    }

    /// This host was suspended for `late`, which does not count as silence of the other host.
    pub(super) fn excuse(&mut self, now: Instant, late: Duration) {
        let times = [&mut self.last_pong, &mut self.waiting_since];
        for time in times.into_iter().flatten() {
            *time = now.min(*time + late);
        }
        if let Some(doubt) = &mut self.doubt {
            doubt.since = now.min(doubt.since + late);
        }
    }

    /// Records that a ping is sent now.
    pub(super) fn pinged(&mut self, now: Instant) {
        self.last_ping = Some(now);
        self.waiting_since = self.waiting_since.or(Some(now));
    }

    /// Handles a pong that answers the ping sent at `sent`. `timed`: the ping was periodic; only those count
    /// towards coming up. `alone`: no other link to the host is up.
    pub(super) fn pong(&mut self, now: Instant, sent: Instant, timed: bool, alone: bool) -> Heard {
        let newest = self.last_ping.is_some_and(|last| sent <= last)
            && self.answered.is_none_or(|answered| sent > answered)
            && now.since(sent) <= self.watch.ping_timeout * 2;
        if self.state == State::Gone || !newest {
            return Heard::Nothing;
        }
        self.answered = Some(sent);
        self.last_pong = Some(now);
        self.waiting_since = self.last_ping.filter(|&last| last > sent);
        if self.doubt.is_some_and(|doubt| sent >= doubt.since) {
            self.doubt = None;
        }
        let trip = now.since(sent);
        if trip > self.watch.ping_timeout {
            return Heard::Pong;
        }
        let micros = u32::try_from(trip.as_micros()).unwrap_or(u32::MAX);
        self.stats.round_trip(micros, self.watch.ping_precision);
        if self.state == State::Up || !timed {
            return Heard::Pong;
        }
        self.pongs = self.pongs.saturating_add(1);
        if self.pongs < self.needed(alone) {
            return Heard::Pong;
        }
        self.state = State::Up;
        self.since = now;
        self.cause = None;
        self.stats.up_count = self.stats.up_count.saturating_add(1);
        Heard::Up
    }

    /// The kernel reported that the host is unreachable. The underlying ICMP message may be forged, so a link
    /// on which pings are answered stays up.
    pub(super) fn unreachable(&mut self, now: Instant) -> Option<Act> {
        let again = self.doubted.is_some_and(|last| now < last + self.interval() / 2);
        if !self.is_up() || again {
            return None;
        }
        match &mut self.doubt {
            Some(doubt) if doubt.reported => return None,
            // The pings because of the doubt are on their way; their time starts now.
            Some(doubt) => *doubt = Doubt { since: now, reported: true, asked_again: false },
            None => self.doubt = Some(Doubt { since: now, reported: true, asked_again: false }),
        }
        self.doubted = Some(now);
        Some(Act::Ping)
    }

    /// Sets whether this host has its own address on the link.
    pub(super) fn set_interface(&mut self, now: Instant, up: bool) -> Option<Act> {
        match (up, self.state) {
            (false, State::Gone) | (true, State::Down | State::Up) => None,
            (false, State::Down | State::Up) => {
                let down = self.fall(now, Cause::Interface);
                self.state = State::Gone;
                self.cause = Some(Cause::Interface);
                down
            }
            (true, State::Gone) => {
                self.state = State::Down;
                self.ping_due = now;
                None
            }
        }
    }

    /// Takes the link down, if it is up, and resets its monitoring in any case.
    fn fall(&mut self, now: Instant, cause: Cause) -> Option<Act> {
        self.last_pong = None;
        self.pongs = 0;
        self.doubt = None;
        self.waiting_since = None;
        if self.state != State::Up {
            return None;
        }
        self.falls = if now.since(self.since) >= STEADY { 1 } else { self.falls.saturating_add(1) };
        self.state = State::Down;
        self.since = now;
        self.cause = Some(cause);
        self.stats.down_count = self.stats.down_count.saturating_add(1);
        Some(Act::Down(cause))
    }

    /// Silence after which the link goes down: at most twice the time-out, unless pings are rarer than that.
    fn tolerance(&self) -> Duration {
        let timeout = self.timeout();
        let least = timeout.max(self.interval() + timeout / 2);
        least + self.latency().min(timeout / 2) * 2
    }

    /// How long the answer to a ping may take before the link is in doubt.
    fn patience(&self) -> Duration {
        let timeout = self.timeout();
        (timeout / 5 + self.latency() * 2).min(timeout / 2)
    }

    fn is_overdue(&self, now: Instant, patience: Duration) -> bool {
        self.is_up() && self.waiting_since.is_some_and(|since| now >= since + patience)
    }

    /// Number of pongs needed to come up.
    fn needed(&self, alone: bool) -> u32 {
        let most = if alone { DOUBLINGS_ALONE } else { DOUBLINGS };
        let doublings = self.falls.saturating_sub(FORGIVEN).min(most);
        self.watch.pong_count.saturating_add(1).saturating_mul(1 << doublings)
    }
}

/// The 16 bytes of a ping that its pong returns: the time of sending, and a number that nobody else can know.
///
/// They reveal pongs that answer a ping of an earlier process or of another link, or none at all.
pub(super) fn stamp(epoch: u64, path: Path, sent: Instant) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&sent.as_micros().to_le_bytes());
    bytes[8..].copy_from_slice(&proof(epoch, path, sent).to_le_bytes());
    bytes
}

/// When the ping with this stamp was sent on this path by this process; `None` if it was not.
pub(super) fn stamped(epoch: u64, path: Path, stamp: [u8; 16]) -> Option<Instant> {
    let (sent, proven) = stamp.split_at(8);
    let sent = Instant::from_micros(u64::from_le_bytes(sent.try_into().ok()?));
    (proven == proof(epoch, path, sent).to_le_bytes()).then_some(sent)
}

fn proof(epoch: u64, path: Path, sent: Instant) -> u64 {
    let mut hasher = DefaultHasher::new();
    (epoch, path, sent).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
