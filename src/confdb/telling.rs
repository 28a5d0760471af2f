//! Sends notifications to the trackers of a changed key, a limited number at a time: the rest follows after the ring
//! has had its turn, in the order of the changes. The client that made a change is answered when all trackers have
//! been notified.

use super::desk::Desk;
use super::events::Event;
use super::names;
use super::owed::OwedAnswer;
use super::pending::{News, Telling};
use super::shelf::Shelf;
use super::statistics::{Looked, Snapshot};
use super::trackers::Place;
use super::wire::{Function, Reply};
use crate::service::{Change, Context};

/// Number of statistics whose computation takes as long as sending a notification.
pub(super) const STATISTICS_A_STEP: usize = 8;

impl Desk {
    /// Begins to notify the trackers of a key. `owed`: the answer to the client that has changed the key.
    pub(super) fn notify(&mut self, change: &Change, owed: Option<OwedAnswer>, context: &mut Context<'_>) {
        if self.trackers.next(&change.name, self.handles, &mut Place::default()).is_none() {
            if let Some(owed) = owed {
                owed.give(context);
            }
            return;
        }
        let event = match (&change.old, &change.new) {
            (None, _) => Event::Add,
            (Some(_), None) => Event::Delete,
            (Some(_), Some(_)) => Event::Modify,
        };
        // Corosync's fast counters are reported without an old value.
        let old = change.old.as_ref().filter(|_| !names::is_counter(&change.name));
        let values = (change.new.as_ref(), old);
        let news = News::new(Shelf::Config, (&change.name, event), values, self.handles);
        self.tellings.tell(News { owed, ..news });
        self.go_on(context);
    }

    /// Checks all statistics, and begins to notify their trackers of what has changed since the last check.
    pub(super) fn look(&mut self, context: &mut Context<'_>) {
        let Looked { all, moved, begun } = self.lookouts.look(context);
        self.looked_at = Some(context.now());
        self.tellings.charge(all.len() / STATISTICS_A_STEP);
        // Only trackers from before those that begin now; the new ones are notified of later changes only.
        let before = begun.first().map_or(self.handles, |(first, _)| first - 1);
        for (name, value, event) in &moved {
            if self.lookouts.prefixes().next(name, before, &mut Place::default()).is_some() {
                // Corosync sends the value of a statistic as the old and the new one.
                let values = (Some(value), Some(value));
                self.tellings.tell(News::new(Shelf::Statistics, (name, *event), values, before));
            }
        }
        if self.lookouts.any_single() {
            self.tellings.sweep(all, self.handles);
        }
        for (handle, conn) in begun {
            context.reply(conn, Reply::Handle(handle).encode(Function::Track));
        }
        self.go_on(context);
    }

    /// Does the remaining steps, as many as this pass allows.
    pub(super) fn go_on(&mut self, context: &mut Context<'_>) {
        let mut left = self.tellings.allowance;
        while left > 0
            && let Some(telling) = self.tellings.queue.pop_front()
        {
            let unfinished = match telling {
                Telling::News(news) => self.spread(news, &mut left, context).map(Telling::News),
                Telling::Sweep { all, last, until } => self
                    .compare(&all, (last, until), &mut left, context)
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
        self.tellings.went_at = context.now();
    }

    /// Sends the notifications of one change; returns the change if some remain.
    fn spread(
        &mut self,
        mut news: Box<News>,
        left: &mut usize,
        context: &mut Context<'_>,
    ) -> Option<Box<News>> {
        let trackers = match news.shelf {
            Shelf::Config => &self.trackers,
            Shelf::Statistics => self.lookouts.prefixes(),
        };
        let cost = 1 + news.notification.values_len() / 512;
        while *left > 0 {
            let Some(tracker) = trackers.next(&news.key, news.until, &mut news.place) else {
                self.tellings.changes -= usize::from(news.shelf == Shelf::Config);
                if let Some(owed) = news.owed {
                    owed.give(context);
                }
                return None;
            };
            *left -= 1;
            // A closed connection still has trackers for a while.
            if !tracker.interest.events.contain(news.event) || !self.connections.contains_key(&tracker.conn) {
                continue;
            }
            let (head, payload) = news.notification.to(tracker.inst);
            context.event([tracker.conn], head, payload.clone());
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
        context: &mut Context<'_>,
    ) -> Option<u64> {
        while *left > 0 {
            let (handle, told) = self.lookouts.compare_next(all, (last, until), context)?;
            last = handle;
            *left = left.saturating_sub(1 + told);
            self.stats.notifications += told as u64;
        }
        Some(last)
    }
}
