//! Whether a link works: pings and pongs, up and down.
//!
//! Differs from libknet where nobody must match. A young link is given no more time than an old one. A link that
//! keeps falling has to prove itself for longer. What ICMP says only raises a doubt, and pings settle it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::output::{Cause, Path};
use super::settings::LinkSettings;
use super::stats::LinkStats;
use crate::time::Instant;

/// A link that was up for this long has forgotten its earlier falls.
const STEADY: Duration = Duration::from_secs(30);

/// Falls soon after each other that are not held against a link.
const FORGIVEN: u32 = 2;

/// Each further one doubles the pongs that it takes to come up, this often at most.
const DOUBLINGS: u32 = 3;

/// The same if no other link reaches the host: then a bad one is better than none.
const DOUBLINGS_ALONE: u32 = 1;

/// Pings no closer than this, whatever the settings say.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

/// One link, watched.
#[derive(Debug)]
pub(super) struct Link {
    watch: LinkSettings,
    state: State,
    since: Instant,
    cause: Option<Cause>,
    /// When the next ping leaves.
    ping_due: Instant,
    /// When the last one left.
    last_ping: Option<Instant>,
    /// When the first ping left of those that nothing has answered yet.
    waiting_since: Option<Instant>,
    /// When the newest ping left that was answered.
    answered: Option<Instant>,
    /// When the last pong came, since the link was down last.
    last_pong: Option<Instant>,
    /// Pongs since then that count for coming up.
    pongs: u32,
    /// Falls soon after each other.
    falls: u32,
    doubt: Option<Doubt>,
    /// When the last doubt arose, so that false reports do not make pings without end.
    doubted: Option<Instant>,
    pub(super) stats: LinkStats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// This host's own address is gone.
    Gone,
    Down,
    Up,
}

/// A link that may be broken while its time has not run out.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    since: Instant,
    /// The kernel reported that the host is unreachable; then the link falls unless pings are answered.
    reported: bool,
    /// Whether the second ping for it has left.
    asked_again: bool,
}

/// What is due on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Send a ping.
    Ping,
    /// It has just gone down.
    Down(Cause),
}

/// What a pong did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Answers none of the last pings.
    Nothing,
    /// The link is as it was.
    Pong,
    /// The link is up now.
    Up,
}

impl Link {
    pub(super) fn new(watch: LinkSettings, now: Instant) -> Self {
        Self {
            watch,
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

    /// Whether a pong came since the link was down last.
    pub(super) fn is_heard(&self) -> bool {
        self.last_pong.is_some()
    }

    /// Whether another link is to be preferred for now.
    pub(super) fn is_doubted(&self) -> bool {
        self.doubt.is_some()
    }

    /// When it came up or went down last.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Why it went down, unless it is up or never was.
    pub(super) fn cause(&self) -> Option<Cause> {
        self.cause
    }

    pub(super) fn watch(&self) -> &LinkSettings {
        &self.watch
    }

    /// Time between pings.
    pub(super) fn interval(&self) -> Duration {
        self.watch.ping_interval.max(LEAST_INTERVAL)
    }

    /// Mean round trip.
    pub(super) fn latency(&self) -> Duration {
        Duration::from_micros(self.stats.latency_ave.into())
    }

    /// Goes by other timers from now on.
    pub(super) fn set_watch(&mut self, watch: LinkSettings) {
        self.watch = watch;
        if let Some(last) = self.last_ping {
            self.ping_due = self.ping_due.min(last + self.interval());
        }
    }

    /// What is due at `now`; to be asked until it is nothing.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Act> {
        if self.state == State::Gone {
            return None;
        }
        if self.last_pong.is_some_and(|last| now >= last + self.tolerance())
            && let Some(down) = self.fall(now, Cause::Silence)
        {
            return Some(down);
        }
        if let Some(doubt) = &mut self.doubt {
            let patience = Self::patience(&self.watch, &self.stats);
            if doubt.reported && now >= doubt.since + patience * 2 {
                return self.fall(now, Cause::Unreachable);
            }
            if !doubt.asked_again && now >= doubt.since + patience {
                doubt.asked_again = true;
                return Some(Act::Ping);
            }
        } else if self.is_overdue(now) {
            self.doubt = Some(Doubt { since: now, reported: false, asked_again: false });
            return Some(Act::Ping);
        }
        if now >= self.ping_due {
            self.ping_due = now + self.interval();
            return Some(Act::Ping);
        }
        None
    }

    /// When [`Link::poll`] has something to do; `None` while the interface is gone.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.state == State::Gone {
            return None;
        }
        let patience = Self::patience(&self.watch, &self.stats);
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

    /// This host was asleep for so long: that does not count as silence of the other.
    pub(super) fn excuse(&mut self, now: Instant, late: Duration) {
        let times = [&mut self.last_pong, &mut self.waiting_since];
        for time in times.into_iter().flatten() {
            *time = now.min(*time + late);
        }
        if let Some(doubt) = &mut self.doubt {
            doubt.since = now.min(doubt.since + late);
        }
    }

    /// A ping leaves now.
    pub(super) fn pinged(&mut self, now: Instant) {
        self.last_ping = Some(now);
        self.waiting_since = self.waiting_since.or(Some(now));
    }

    /// A pong came that answers the ping sent at `sent`. `timed`: a periodic one; only those count for coming up.
    /// `alone`: no other link reaches the host.
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

    /// The kernel reported that the host cannot be reached. Anybody may have forged the message that says so, so a
    /// link that answers pings stays up.
    pub(super) fn unreachable(&mut self, now: Instant) -> Option<Act> {
        let again = self.doubted.is_some_and(|last| now < last + self.interval() / 2);
        if !self.is_up() || again {
            return None;
        }
        match &mut self.doubt {
            Some(doubt) if doubt.reported => return None,
            // The pings for it are on their way; they have their time from now.
            Some(doubt) => *doubt = Doubt { since: now, reported: true, asked_again: false },
            None => self.doubt = Some(Doubt { since: now, reported: true, asked_again: false }),
        }
        self.doubted = Some(now);
        Some(Act::Ping)
    }

    /// This host's own address is gone, or back.
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

    /// Goes down, if it is not down already, and begins anew in any case.
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

    /// Silence that is borne: never more than twice the time-out, unless pings are rarer than that.
    fn tolerance(&self) -> Duration {
        let timeout = self.watch.ping_timeout;
        let least = timeout.max(self.interval() + timeout / 2);
        least + self.latency().min(timeout / 2) * 2
    }

    /// How long an answer to a ping may take before the link is in doubt.
    fn patience(watch: &LinkSettings, stats: &LinkStats) -> Duration {
        let latency = Duration::from_micros(stats.latency_ave.into());
        (watch.ping_timeout / 5 + latency * 2).min(watch.ping_timeout / 2)
    }

    fn is_overdue(&self, now: Instant) -> bool {
        let patience = Self::patience(&self.watch, &self.stats);
        self.is_up() && self.waiting_since.is_some_and(|since| now >= since + patience)
    }

    /// Pongs that it takes to come up.
    fn needed(&self, alone: bool) -> u32 {
        let most = if alone { DOUBLINGS_ALONE } else { DOUBLINGS };
        let doublings = self.falls.saturating_sub(FORGIVEN).min(most);
        self.watch.pong_count.saturating_add(1).saturating_mul(1 << doublings)
    }
}

/// The 16 bytes of a ping that its pong brings back: when it was sent, and a number that nobody else can know.
///
/// By them a pong is told that answers a ping of an earlier life, of another link, or none at all.
pub(super) fn stamp(epoch: u64, path: Path, sent: Instant) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&sent.as_micros().to_le_bytes());
    bytes[8..].copy_from_slice(&proof(epoch, path, sent).to_le_bytes());
    bytes
}

/// When the ping was sent on this path in this life that has this stamp, if there is one.
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
