//! Sends notifications to the trackers of a changed key, a limited number at a time: the rest follows after the ring
//! has had its turn, in the order of the changes. The client that made a change is answered when all trackers have
//! been notified.

use zerocopy::{IntoBytes, U64};

use super::connection::{Owed, Shelf};
use super::desk::Desk;
use super::names;
use super::pending::{News, Telling};
use super::statistics::{Looked, Snapshot};
use super::trackers::Place;
use super::wire::{reply, response, track};
use crate::error::Status;
use crate::service::wire::plain_reply;
use crate::service::{Change, Effects};
use crate::value::Value;

/// Number of statistics whose computation takes as long as sending a notification.
pub(super) const STATISTICS_A_STEP: usize = 8;

impl Desk {
    /// Begins to notify the trackers of a key. `owed`: the client that is answered when all have been
    /// notified.
    pub(super) fn notify(&mut self, change: &Change, owed: Option<Owed>, effects: &mut dyn Effects) {
        let event = match (&change.old, &change.new) {
            (None, _) => track::ADD,
            (Some(_), None) => track::DELETE,
            (Some(_), Some(_)) => track::MODIFY,
        };
        // Corosync's fast counters are reported without an old value.
        let old = change.old.as_ref().filter(|_| !names::is_counter(&change.name));
        if self.trackers.next(&change.name, self.handles, &mut Place::default()).is_some() {
            self.tell(Shelf::Config, (&change.name, event), (change.new.as_ref(), old), owed);
            self.go_on(effects);
        } else if let Some(Owed { conn, response }) = owed {
            effects.reply(conn, &plain_reply(response, Status::Ok));
        }
    }

    /// Checks all statistics, and begins to notify their trackers of what has changed since the last check.
    pub(super) fn look(&mut self, effects: &mut dyn Effects) {
        let Looked { all, moved, begun } = self.lookouts.look(effects);
        self.looked_at = Some(effects.now());
        self.tellings.charge(all.len() / STATISTICS_A_STEP);
        // Only trackers from before those that begin now; the new ones are notified of later changes only.
        let before = begun.first().map_or(self.handles, |(first, _)| first - 1);
        for (name, value, event) in &moved {
            if self.lookouts.prefixes().next(name, before, &mut Place::default()).is_some() {
                let value = Some(value);
                self.tell_up_to(before, Shelf::Statistics, (name, *event), (value, value), None);
            }
        }
        if self.lookouts.any_single() {
            self.tellings.sweep(all, self.handles);
        }
        for (handle, conn) in begun {
            effects.reply(conn, &reply::handle_reply(response::TRACK_ADD, Ok(handle)));
        }
        self.go_on(effects);
    }

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
            head: reply::notification(0, key, event, new, old),
            payload: reply::payload(new, old),
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
