//! Telling those who track a key that it has changed, so many at a time: what is left goes on when the ring has had its
//! turn, in the order of the changes. Whoever made a change is answered when all have been told of it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use zerocopy::{IntoBytes, U64};

use super::requests::notification;
use super::service::{Desk, Owed, Shelf, payload};
use super::statistics::Snapshot;
use super::trackers::Place;
use super::wire::NotifyBytes;
use crate::error::Status;
use crate::ids::ConnId;
use crate::service::Effects;
use crate::service::wire::plain_reply;
use crate::time::Instant;
use crate::value::Value;

/// What is done at a time: trackers looked at, told, compared or forgotten. A notification counts once more for each 512
/// bytes of its values.
pub(super) const AT_A_TIME: usize = 1024;

/// Shortest time between two goes.
const PAUSE: Duration = Duration::from_micros(1);

/// What is left to do.
#[derive(Debug, Default)]
pub(super) struct Tellings {
    queue: VecDeque<Telling>,
    /// How many of them are changes of keys in the database; the others are about statistics.
    changes: usize,
    /// Trackers of connections that are gone.
    gone: VecDeque<(ConnId, BTreeSet<u64>)>,
    /// What may still be done in this go.
    allowance: usize,
    /// When the last go was.
    went_at: Instant,
    /// What was done since the start, in the same units.
    work: u64,
}

#[derive(Debug)]
enum Telling {
    News(Box<News>),
    /// The trackers of single statistics, compared with what these are, after this one.
    Sweep {
        all: Arc<Snapshot>,
        last: u64,
        until: u64,
    },
}

/// A change of a key that those who track it are to be told.
struct News {
    shelf: Shelf,
    key: Box<str>,
    event: i32,
    /// The notification but for who gets it, and the values.
    head: NotifyBytes,
    payload: Bytes,
    place: Place,
    /// The newest tracker at the time of the change.
    until: u64,
    /// Whoever waits for the end of it.
    owed: Option<Owed>,
}

impl std::fmt::Debug for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("News").field("key", &self.key).field("place", &self.place).finish_non_exhaustive()
    }
}

impl Tellings {
    /// Whether a change of a key has not been told to everybody yet.
    pub(super) const fn is_telling(&self) -> bool {
        self.changes > 0
    }

    /// Whether statistics that were looked at have not been told to everybody yet.
    pub(super) fn is_comparing(&self) -> bool {
        self.queue.len() > self.changes
    }

    /// When to go on.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.queue.is_empty() || !self.gone.is_empty()).then(|| self.went_at + PAUSE)
    }

    pub(super) const fn work(&self) -> u64 {
        self.work
    }

    /// A new go begins.
    pub(super) fn begin(&mut self) {
        self.allowance = AT_A_TIME;
    }

    /// Something was done at once that counts as much.
    pub(super) fn charge(&mut self, units: usize) {
        self.work += units as u64;
    }

    /// A connection is gone, and had these trackers.
    pub(super) fn forget(&mut self, conn: ConnId, trackers: BTreeSet<u64>) {
        if !trackers.is_empty() {
            self.gone.push_back((conn, trackers));
        }
    }

    /// Single statistics are to be compared with what they are now.
    pub(super) fn sweep(&mut self, all: Arc<Snapshot>, until: u64) {
        self.queue.push_back(Telling::Sweep { all, last: 0, until });
    }
}

impl Desk {
    /// Queues what those who track a key are to be told.
    pub(super) fn tell(
        &mut self,
        shelf: Shelf,
        key_and_event: (&str, i32),
        values: (Option<&Value>, Option<&Value>),
        owed: Option<Owed>,
    ) {
        self.tell_up_to(self.handles, shelf, key_and_event, values, owed);
    }

    /// The same, of the trackers up to this one.
    pub(super) fn tell_up_to(
        &mut self,
        until: u64,
        shelf: Shelf,
        (key, event): (&str, i32),
        (new, old): (Option<&Value>, Option<&Value>),
        owed: Option<Owed>,
    ) {
        let news = News {
            shelf,
            key: key.into(),
            event,
            head: notification(0, key, event, new, old),
            payload: payload(new, old),
            place: Place::Start,
            until,
            owed,
        };
        self.tellings.changes += usize::from(shelf == Shelf::Config);
        self.tellings.queue.push_back(Telling::News(Box::new(news)));
    }

    /// Does what is left, as far as this go allows.
    pub(super) fn go_on(&mut self, effects: &mut dyn Effects) {
        let mut left = self.tellings.allowance;
        while left > 0
            && let Some(telling) = self.tellings.queue.pop_front()
        {
            let unfinished = match telling {
                Telling::News(news) => self.spread(news, &mut left, effects).map(Telling::News),
                Telling::Sweep { all, last, until } => self
                    .compare(&all, (last, until), &mut left, effects)
                    .map(|last| Telling::Sweep { all, last, until }),
            };
            if let Some(telling) = unfinished {
                self.tellings.queue.push_front(telling);
            }
        }
        while left > 0
            && let Some((conn, trackers)) = self.tellings.gone.front_mut()
        {
            let conn = *conn;
            let handle = trackers.pop_first();
            if trackers.is_empty() {
                self.tellings.gone.pop_front();
            }
            if let Some(handle) = handle {
                self.drop_tracker(conn, handle);
            }
            left -= 1;
        }
        self.tellings.work += (self.tellings.allowance - left) as u64;
        self.tellings.allowance = left;
        self.tellings.went_at = effects.now();
    }

    /// Tells of one change; gives it back if somebody is left to be told.
    fn spread(
        &mut self,
        mut news: Box<News>,
        left: &mut usize,
        effects: &mut dyn Effects,
    ) -> Option<Box<News>> {
        let trackers = match news.shelf {
            Shelf::Config => &self.trackers,
            Shelf::Statistics => self.lookouts.prefixes(),
        };
        let cost = 1 + news.payload.len() / 512;
        while *left > 0 {
            let Some(tracker) = trackers.next(&news.key, news.until, &mut news.place) else {
                self.tellings.changes -= usize::from(news.shelf == Shelf::Config);
                if let Some(Owed { conn, response }) = news.owed {
                    effects.reply(conn, &plain_reply(response, Status::Ok));
                }
                return None;
            };
            *left -= 1;
            // A connection that is gone still has trackers for a while.
            if tracker.kind & news.event == 0 || !self.connections.contains_key(&tracker.conn) {
                continue;
            }
            news.head.inst = U64::new(tracker.inst);
            effects.event(tracker.conn, news.head.as_bytes(), &news.payload);
            *left = left.saturating_sub(cost);
            self.stats.notifications += 1;
        }
        Some(news)
    }

    /// Compares single statistics with what they are; gives the last one if some are left.
    fn compare(
        &mut self,
        all: &Snapshot,
        (mut last, until): (u64, u64),
        left: &mut usize,
        effects: &mut dyn Effects,
    ) -> Option<u64> {
        while *left > 0 {
            let (handle, told) = self.lookouts.compare_next(all, (last, until), effects)?;
            last = handle;
            *left = left.saturating_sub(1 + told);
            self.stats.notifications += told as u64;
        }
        Some(last)
    }
}
