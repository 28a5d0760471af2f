//! The notifications that have not been sent yet, in the order of the changes that they are about.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::events::Event;
use super::owed::OwedAnswer;
use super::shelf::Shelf;
use super::statistics::Snapshot;
use super::trackers::Place;
use super::wire::Notification;
use crate::ids::ConnId;
use crate::time::Instant;
use crate::value::Value;

/// Number of steps done at a time: trackers checked, notified, compared or removed. A notification counts one more
/// for each 512 bytes of its values.
pub(crate) const AT_A_TIME: usize = 1024;

/// Shortest time between two passes.
const PAUSE: Duration = Duration::from_micros(1);

/// The notifications and other steps that remain.
#[derive(Debug, Default)]
pub(super) struct Tellings {
    pub(super) queue: VecDeque<Telling>,
    /// Number of entries in the queue that are changes of keys in the database; the others are about
    /// statistics.
    pub(super) changes: usize,
    /// Trackers of closed connections, to be removed.
    pub(super) gone: VecDeque<(ConnId, BTreeSet<u64>)>,
    /// Number of steps left in this pass.
    pub(super) allowance: usize,
    /// The time of the last pass.
    pub(super) went_at: Instant,
    /// Number of steps done since the start.
    pub(super) work: u64,
}

#[derive(Debug)]
pub(super) enum Telling {
    News(Box<News>),
    /// Compares the trackers of single statistics after this handle with the current values.
    Sweep {
        all: Arc<Snapshot>,
        last: u64,
        until: u64,
    },
}

/// A change of a key that its trackers are to be notified of.
pub(super) struct News {
    pub(super) shelf: Shelf,
    pub(super) key: Box<str>,
    pub(super) event: Event,
    pub(super) notification: Notification,
    pub(super) place: Place,
    /// The newest tracker at the time of the change.
    pub(super) until: u64,
    /// The answer that follows after the last notification.
    pub(super) owed: Option<OwedAnswer>,
}

impl News {
    /// A change that nobody waits for, for the trackers up to the handle `until`.
    pub(super) fn new(
        shelf: Shelf,
        (key, event): (&str, Event),
        (new, old): (Option<&Value>, Option<&Value>),
        until: u64,
    ) -> Self {
        let notification = Notification::new(key, event, new, old);
        Self { shelf, key: key.into(), event, notification, place: Place::Start, until, owed: None }
    }
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

    /// Queues the notifications of a change.
    pub(super) fn tell(&mut self, news: News) {
        self.changes += usize::from(news.shelf == Shelf::Config);
        self.queue.push_back(Telling::News(Box::new(news)));
    }

    /// Queues a comparison of single statistics with their current values.
    pub(super) fn sweep(&mut self, all: Arc<Snapshot>, until: u64) {
        self.queue.push_back(Telling::Sweep { all, last: 0, until });
    }
}
