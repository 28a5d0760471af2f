//! The map of statistics: what may be written to it, and who hears of what in it. Statistics are computed
//! when they are read, so a tracker is served by looking at them now and then.
//!
//! Source: corosync `exec/stats.c`.

use std::collections::BTreeMap;
use std::time::Duration;

use zerocopy::IntoBytes;

use super::requests::notification;
use super::service::payload;
use super::trackers::Tracker;
use super::wire::track;
use crate::error::Status;
use crate::service::{Effects, Statistics};
use crate::value::Value;

/// How often tracked statistics are looked at.
pub(super) const EVERY: Duration = Duration::from_millis(1500);

/// Shortest time between two looks.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// All statistics begin with this.
const ALL: &str = "stats.";
const CLEAR: &str = "stats.clear.";
/// What comes and goes here is not told.
const SCHEDMISS: &str = "stats.schedmiss.";

/// A write: only some names have an effect.
pub(super) fn set(name: &str, effects: &mut dyn Effects) -> Result<(), Status> {
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
    effects.clear_statistics(which);
    Ok(())
}

/// Why a key cannot be removed or added to.
pub(super) fn refuse_write(name: &str) -> Status {
    if name.starts_with(CLEAR) { Status::NotSupported } else { Status::Access }
}

/// Whether there can be a tracker of this kind: one with a prefix has to want to know both what comes and
/// what goes.
pub(super) const fn can_track(kind: i32) -> bool {
    kind & track::PREFIX == 0 || kind & track::ADD != 0 && kind & track::DELETE != 0
}

/// Those who track statistics.
#[derive(Debug, Default)]
pub(super) struct Lookouts {
    singles: BTreeMap<u64, (Tracker, Option<Value>)>,
    prefixes: BTreeMap<u64, Tracker>,
    /// All statistics at the last look, while there are `prefixes`.
    known: BTreeMap<String, Value>,
}

impl Lookouts {
    pub(super) fn len(&self) -> usize {
        self.singles.len() + self.prefixes.len()
    }

    pub(super) fn any_prefix(&self) -> bool {
        !self.prefixes.is_empty()
    }

    /// Adds one, which hears of changes from now on. There must have been a look just before.
    pub(super) fn add(&mut self, handle: u64, tracker: Tracker, effects: &dyn Effects) {
        if tracker.is_prefix() {
            if self.prefixes.is_empty() {
                self.known = effects.statistics(ALL).into_iter().collect();
            }
            self.prefixes.insert(handle, tracker);
        } else {
            let found = effects.statistics(&tracker.key);
            let value = found.into_iter().find(|(name, _)| **name == *tracker.key).map(|(_, value)| value);
            self.singles.insert(handle, (tracker, value));
        }
    }

    /// Removes one. What its client calls it.
    pub(super) fn remove(&mut self, handle: u64) -> Option<u64> {
        if let Some((tracker, _)) = self.singles.remove(&handle) {
            return Some(tracker.inst);
        }
        let tracker = self.prefixes.remove(&handle)?;
        if self.prefixes.is_empty() {
            self.known = BTreeMap::new();
        }
        Some(tracker.inst)
    }

    /// Tells what has changed since the last look. How many notifications that were.
    pub(super) fn look(&mut self, effects: &mut dyn Effects) -> u64 {
        if self.len() == 0 {
            return 0;
        }
        let now: BTreeMap<String, Value> = effects.statistics(ALL).into_iter().collect();
        let mut told = 0;
        if self.any_prefix() {
            let came = now.iter().filter(|(name, _)| !self.known.contains_key(*name));
            let went = self.known.iter().filter(|(name, _)| !now.contains_key(*name));
            let went = went.map(|(name, value)| (name, value, track::DELETE));
            let all = went.chain(came.map(|(name, value)| (name, value, track::ADD)));
            for (name, value, event) in all.filter(|(name, ..)| !name.starts_with(SCHEDMISS)) {
                for tracker in self.prefixes.values().filter(|tracker| name.starts_with(&*tracker.key)) {
                    tell(tracker, name, event, value, effects);
                    told += 1;
                }
            }
            self.known.clone_from(&now);
        }
        for (tracker, last) in self.singles.values_mut() {
            let value = now.get(&*tracker.key);
            if value == last.as_ref() {
                continue;
            }
            let old = std::mem::replace(last, value.cloned());
            match (old, value) {
                (None, Some(value)) => {
                    if tracker.kind & track::ADD != 0 {
                        tell(tracker, &tracker.key, track::ADD, value, effects);
                        told += 1;
                    }
                    if value.number() != Some(0) {
                        tell(tracker, &tracker.key, track::MODIFY, value, effects);
                        told += 1;
                    }
                }
                (Some(old), None) if tracker.kind & track::DELETE != 0 => {
                    tell(tracker, &tracker.key, track::DELETE, &old, effects);
                    told += 1;
                }
                (Some(_), Some(value)) => {
                    tell(tracker, &tracker.key, track::MODIFY, value, effects);
                    told += 1;
                }
                (_, None) => {}
            }
        }
        told
    }
}

/// One notification; new and old value are the same.
fn tell(tracker: &Tracker, name: &str, event: i32, value: &Value, effects: &mut dyn Effects) {
    let head = notification(tracker.inst, name, event, Some(value), Some(value));
    effects.event(tracker.conn, head.as_bytes(), &payload(Some(value), Some(value)));
}
