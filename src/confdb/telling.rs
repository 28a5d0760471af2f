//! Sends notifications to the trackers of a changed key, a limited number at a time: the rest follows after the ring
//! has had its turn, in the order of the changes. The client that made a change is answered when all trackers have
//! been notified.

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

/// Number of steps done at a time: trackers checked, notified, compared or removed. A notification counts one more
/// for each 512 bytes of its values.
pub(super) const AT_A_TIME: usize = 1024;

/// Shortest time between two passes.
const PAUSE: Duration = Duration::from_micros(1);

/// The notifications and other steps that remain.
#[derive(Debug, Default)]
pub(super) struct Tellings {
    queue: VecDeque<Telling>,
    /// Number of entries in the queue that are changes of keys in the database; the others are about
    /// statistics.
    changes: usize,
    /// Trackers of closed connections, to be removed.
    gone: VecDeque<(ConnId, BTreeSet<u64>)>,
    /// Number of steps left in this pass.
    allowance: usize,
    /// The time of the last pass.
    went_at: Instant,
    /// Number of steps done since the start.
    work: u64,
}

#[derive(Debug)]
enum Telling {
    News(Box<News>),
    /// Compares the trackers of single statistics after this handle with the current values.
    Sweep {
        all: Arc<Snapshot>,
        last: u64,
        until: u64,
    },
}

/// A change of a key that its trackers are to be notified of.
struct News {
    shelf: Shelf,
    key: Box<str>,
    event: i32,
    /// The part of the notification that is the same for all receivers.
    head: NotifyBytes,
    payload: Bytes,
    place: Place,
    /// The newest tracker at the time of the change.
    until: u64,
    /// The client that is answered after the last notification.
    owed: Option<Owed>,
}

impl std::fmt::Debug for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("News").field("key", &self.key).field("place", &self.place).finish_non_exhaustive()
    }
}

impl Tellings {
    /// Whether a change of a key has not been reported to all its trackers yet.
    pub(super) const fn is_telling(&self) -> bool {
        self.changes > 0
    }

    /// Whether a check of statistics has not been reported to all trackers yet.
    pub(super) fn is_comparing(&self) -> bool {
        self.queue.len() > self.changes
    }

    /// The time of the next pass, if anything is left.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.queue.is_empty() || !self.gone.is_empty()).then(|| self.went_at + PAUSE)
    }

    pub(super) const fn work(&self) -> u64 {
        self.work
    }

    /// Begins a new pass.
    pub(super) fn begin(&mut self) {
        self.allowance = AT_A_TIME;
    }

    /// Counts work that was done outside of this queue.
    pub(super) fn charge(&mut self, units: usize) {
        self.work += units as u64;
    }

    /// Queues the trackers of a closed connection for removal.
    pub(super) fn forget(&mut self, conn: ConnId, trackers: BTreeSet<u64>) {
        if !trackers.is_empty() {
            self.gone.push_back((conn, trackers));
        }
    }

    /// Queues a comparison of single statistics with their current values.
    pub(super) fn sweep(&mut self, all: Arc<Snapshot>, until: u64) {
        self.queue.push_back(Telling::Sweep { all, last: 0, until });
    }
}

impl Desk {
    /// Queues the notifications of a change for its trackers.
    pub(super) fn tell(
        &mut self,
        shelf: Shelf,
        key_and_event: (&str, i32),
        values: (Option<&Value>, Option<&Value>),
        owed: Option<Owed>,
    ) {
        self.tell_up_to(self.handles, shelf, key_and_event, values, owed);
    }

    /// As `tell`, for the trackers up to this handle.
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

    /// Does the remaining steps, as many as this pass allows.
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

    /// Sends the notifications of one change; returns the change if some remain.
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
            // A closed connection still has trackers for a while.
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

    /// Compares single statistics with their current values; returns the last handle if some remain.
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
