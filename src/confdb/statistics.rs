//! The map of statistics: what clients may write to it, and its trackers. Statistics are computed when they
//! are read, so changes for trackers are found by checking them periodically.
//!
//! Source: corosync `exec/stats.c`.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::events::{Event, Interest, Scope};
use super::trackers::{Tracker, Trackers};
use super::wire::Notification;
use crate::error::Status;
use crate::ids::ConnId;
use crate::service::{Context, Statistics};
use crate::value::Value;

/// The interval at which tracked statistics are checked.
pub(super) const EVERY: Duration = Duration::from_millis(1500);

/// Shortest time between two checks.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// The prefix of all statistics.
const ALL: &str = "stats.";
const CLEAR: &str = "stats.clear.";
/// Statistics that appear and disappear under this prefix are not reported.
const SCHEDMISS: &str = "stats.schedmiss.";

/// Handles a write by a client: only some names have an effect.
pub(super) fn set(name: &str, context: &mut Context<'_>) -> Result<(), Status> {
    let Some(which) = name.strip_prefix(CLEAR) else { return Err(Status::Access) };
    let which = [
        ("knet", Statistics::Knet),
        ("ipc", Statistics::Ipc),
        ("totem", Statistics::Totem),
        ("schedmiss", Statistics::Schedmiss),
        ("all", Statistics::All),
    ]
    .into_iter()
    .find(|(word, _)| which.starts_with(word));
    let (_, which) = which.ok_or(Status::NotSupported)?;
    context.clear_statistics(which);
    Ok(())
}

/// The status that refuses to remove a key or add to it.
pub(super) fn refuse_write(name: &str) -> Status {
    if name.starts_with(CLEAR) { Status::NotSupported } else { Status::Access }
}

/// Whether a tracker of statistics is possible: one with a prefix must ask for both added and removed keys.
pub(super) const fn can_track(Interest { events, scope }: Interest) -> bool {
    match scope {
        Scope::Key => true,
        Scope::Prefix => events.contain(Event::Add) && events.contain(Event::Delete),
    }
}

/// When a new tracker begins, and its client is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    AtOnce,
    /// With the next check of all statistics.
    NextCheck,
}

/// All statistics at one time, ascending by name.
pub(super) type Snapshot = Vec<(String, Value)>;

/// Finds a statistic in a snapshot.
fn find<'a>(all: &'a Snapshot, name: &str) -> Option<&'a Value> {
    let at = all.binary_search_by(|(other, _)| other.as_str().cmp(name)).ok()?;
    all.get(at).map(|(_, value)| value)
}

/// The trackers of statistics.
#[derive(Debug, Default)]
pub(super) struct Lookouts {
    singles: BTreeMap<u64, (Tracker, Option<Value>)>,
    prefixes: Trackers,
    /// Trackers with a prefix that begin with the next check; their clients are answered then.
    newcomers: BTreeMap<u64, Tracker>,
    /// All statistics at the last check, while there are `prefixes`.
    known: Arc<Snapshot>,
    /// Whether statistics have appeared or disappeared since the last check.
    moved: bool,
}

/// The result of a check.
pub(super) struct Looked {
    pub(super) all: Arc<Snapshot>,
    /// Name, value and event of the statistics that disappeared, followed by those that appeared.
    pub(super) moved: Vec<(String, Value, Event)>,
    /// Handles and connections of the trackers that begin with this check.
    pub(super) begun: Vec<(u64, ConnId)>,
}

impl Lookouts {
    pub(super) fn len(&self) -> usize {
        self.singles.len() + self.prefixes.len() + self.newcomers.len()
    }

    pub(super) fn any_prefix(&self) -> bool {
        !self.prefixes.is_empty()
    }

    pub(super) fn any_single(&self) -> bool {
        !self.singles.is_empty()
    }

    pub(super) fn any_newcomer(&self) -> bool {
        !self.newcomers.is_empty()
    }

    /// Whether the tracker has not begun, so that its client does not know of it yet.
    pub(super) fn is_newcomer(&self, handle: u64) -> bool {
        self.newcomers.contains_key(&handle)
    }

    pub(super) const fn prefixes(&self) -> &Trackers {
        &self.prefixes
    }

    /// Records that statistics have appeared or disappeared.
    pub(super) fn moved(&mut self) {
        self.moved = true;
    }

    pub(super) fn add(&mut self, handle: u64, tracker: Tracker, context: &Context<'_>) -> Start {
        if !tracker.is_prefix() {
            let found = context.statistics(&tracker.key);
            let value = find(&found, &tracker.key).cloned();
            self.singles.insert(handle, (tracker, value));
            return Start::AtOnce;
        }
        // A new tracker must not be notified of changes from before it was added.
        if self.any_prefix() && !self.moved {
            self.prefixes.add(handle, tracker);
            Start::AtOnce
        } else {
            self.newcomers.insert(handle, tracker);
            Start::NextCheck
        }
    }

    /// Removes a tracker. Returns the client's own number for it.
    pub(super) fn remove(&mut self, conn: ConnId, handle: u64) -> Option<u64> {
        let single = self.singles.remove(&handle).map(|(tracker, _)| tracker);
        if let Some(tracker) = single.or_else(|| self.newcomers.remove(&handle)) {
            return Some(tracker.inst);
        }
        let tracker = self.prefixes.remove(conn, handle)?;
        if self.prefixes.is_empty() {
            self.known = Arc::default();
        }
        Some(tracker.inst)
    }

    /// Checks all statistics, once for all trackers.
    pub(super) fn look(&mut self, context: &Context<'_>) -> Looked {
        let all = Arc::new(context.statistics(ALL));
        let mut moved = Vec::new();
        if self.any_prefix() {
            let known = std::mem::take(&mut self.known);
            let told = |(name, _): &&(String, Value)| !name.starts_with(SCHEDMISS);
            let with = |event| move |(name, value): &(String, Value)| (name.clone(), value.clone(), event);
            moved.extend(missing(&known, &all).filter(told).map(with(Event::Delete)));
            moved.extend(missing(&all, &known).filter(told).map(with(Event::Add)));
        }
        let begun = self.newcomers.iter().map(|(handle, tracker)| (*handle, tracker.conn)).collect();
        for (handle, tracker) in std::mem::take(&mut self.newcomers) {
            self.prefixes.add(handle, tracker);
        }
        self.moved = false;
        if self.any_prefix() {
            self.known = Arc::clone(&all);
        }
        Looked { all, moved, begun }
    }

    /// Compares a single statistic with its last value: that of the first tracker after `last` and up to `until`.
    /// Returns its handle, and the number of notifications sent.
    pub(super) fn compare_next(
        &mut self,
        all: &Snapshot,
        (last, until): (u64, u64),
        context: &mut Context<'_>,
    ) -> Option<(u64, usize)> {
        let after = (Bound::Excluded(last), Bound::Included(until));
        let (handle, (tracker, known)) = self.singles.range_mut(after).next()?;
        let value = find(all, &tracker.key);
        if value == known.as_ref() {
            return Some((*handle, 0));
        }
        let old = std::mem::replace(known, value.cloned());
        let mut told = 0;
        match (old, value) {
            (None, Some(value)) => {
                if tracker.interest.events.contain(Event::Add) {
                    tell(tracker, &tracker.key, Event::Add, value, context);
                    told += 1;
                }
                if value.number() != Some(0) {
                    tell(tracker, &tracker.key, Event::Modify, value, context);
                    told += 1;
                }
            }
            (Some(old), None) if tracker.interest.events.contain(Event::Delete) => {
                tell(tracker, &tracker.key, Event::Delete, &old, context);
                told += 1;
            }
            (Some(_), Some(value)) => {
                tell(tracker, &tracker.key, Event::Modify, value, context);
                told += 1;
            }
            (_, None) => {}
        }
        Some((*handle, told))
    }
}

/// The statistics in the first snapshot that are not in the second.
fn missing<'a>(from: &'a Snapshot, to: &'a Snapshot) -> impl Iterator<Item = &'a (String, Value)> {
    let mut other = to.iter().peekable();
    from.iter().filter(move |(name, _)| {
        while other.next_if(|(theirs, _)| theirs < name).is_some() {}
        other.peek().is_none_or(|(theirs, _)| theirs != name)
    })
}

/// Sends one notification; its new and old value are the same.
fn tell(tracker: &Tracker, name: &str, event: Event, value: &Value, context: &mut Context<'_>) {
    let mut notification = Notification::new(name, event, Some(value), Some(value));
    let (head, payload) = notification.to(tracker.inst);
    context.event([tracker.conn], head, payload.clone());
}
