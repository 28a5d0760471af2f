//! The subscriptions to changes of keys. They are found by exact key, by prefix, or as listeners to all keys,
//! without looking at trackers that a change does not concern.
//!
//! Source: corosync `exec/icmap.c`, `icmap_track_add`, `icmap_notify`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use super::events::{Interest, Scope};
use crate::ids::ConnId;

/// Largest number of trackers of all clients together; further ones are refused with NO_RESOURCES.
///
/// Corosync has no such limit.
pub const TRACKERS_LIMIT: usize = 1 << 16;

/// Largest number of trackers of the clients of one user other than root; further ones are refused with
/// NO_RESOURCES.
pub const USER_TRACKERS_LIMIT: usize = TRACKERS_LIMIT / 2;

/// One client's subscription to a key, or to all keys with a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tracker {
    /// The connection of the client.
    pub(super) conn: ConnId,
    /// The client's own number for the tracker.
    pub(super) inst: u64,
    /// What the client wants to be notified of.
    pub(super) interest: Interest,
    /// The key or the prefix.
    pub(super) key: Box<str>,
}

impl Tracker {
    pub(super) const fn is_prefix(&self) -> bool {
        matches!(self.interest.scope, Scope::Prefix)
    }

    /// Whether keys with `prefix` may concern it.
    pub(super) fn touches(&self, prefix: &str) -> bool {
        self.key.starts_with(prefix) || self.is_prefix() && prefix.starts_with(&*self.key)
    }
}

/// All trackers, by handle and by key or prefix. Handles increase, so their order is that of creation.
#[derive(Debug, Default)]
pub(super) struct Trackers {
    all: BTreeMap<u64, Tracker>,
    exact: HashMap<Box<str>, BTreeSet<u64>>,
    prefixes: HashMap<Box<str>, BTreeSet<u64>>,
    /// The lengths of the prefixes in `prefixes`, each with the number of prefixes.
    lengths: BTreeMap<usize, usize>,
    root: BTreeSet<u64>,
}

/// The position in the trackers that a key concerns; see [`Trackers::next`]. It stays valid while trackers are added
/// and removed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Place {
    /// Before the first tracker.
    #[default]
    Start,
    /// Among the trackers of the exact key, after this handle.
    Exact(u64),
    /// Among the trackers of the prefix of this length, after this handle.
    Prefix(usize, u64),
    /// Among the trackers of all keys, after this handle.
    Root(u64),
    /// After the last tracker.
    End,
}

impl Trackers {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds a tracker under a handle that is higher than all earlier ones.
    pub(super) fn add(&mut self, handle: u64, tracker: Tracker) {
        match (tracker.is_prefix(), tracker.key.len()) {
            (true, 0) => {
                self.root.insert(handle);
            }
            (true, length) => {
                let set = self.prefixes.entry(tracker.key.clone()).or_default();
                if set.is_empty() {
                    *self.lengths.entry(length).or_default() += 1;
                }
                set.insert(handle);
            }
            // No key has an empty name, so this tracker is never notified.
            (false, 0) => {}
            (false, _) => {
                self.exact.entry(tracker.key.clone()).or_default().insert(handle);
            }
        }
        self.all.insert(handle, tracker);
    }

    /// Removes a tracker of a connection.
    pub(super) fn remove(&mut self, conn: ConnId, handle: u64) -> Option<Tracker> {
        if self.all.get(&handle)?.conn != conn {
            return None;
        }
        let tracker = self.all.remove(&handle)?;
        match (tracker.is_prefix(), tracker.key.len()) {
            (true, 0) => {
                self.root.remove(&handle);
            }
            (true, length) => {
                if forget(&mut self.prefixes, &tracker.key, handle)
                    && let Some(count) = self.lengths.get_mut(&length)
                {
                    *count -= 1;
                    if *count == 0 {
                        self.lengths.remove(&length);
                    }
                }
            }
            (false, 0) => {}
            (false, _) => {
                forget(&mut self.exact, &tracker.key, handle);
            }
        }
        Some(tracker)
    }

    /// The next tracker that `key` concerns, among those up to handle `until` and whatever events it listens to. The
    /// order is that of notification: trackers of the exact key, newest first; those of prefixes, longest prefix
    /// first, and oldest first for the same prefix; those of all keys, newest first. Costs a few look-ups, however
    /// many trackers there are.
    pub(super) fn next(&self, key: &str, until: u64, place: &mut Place) -> Option<&Tracker> {
        loop {
            let found = match *place {
                Place::Start | Place::Exact(_) => {
                    let set = self.exact.get(key);
                    let before = if let Place::Exact(last) = *place { last } else { until.saturating_add(1) };
                    set.and_then(|set| set.range(..before).next_back())
                        .map(|found| (*found, Place::Exact(*found)))
                }
                Place::Prefix(length, last) => {
                    let set = key.get(..length).and_then(|prefix| self.prefixes.get(prefix));
                    let after = (Bound::Excluded(last), Bound::Included(until));
                    set.and_then(|set| set.range(after).next())
                        .map(|found| (*found, Place::Prefix(length, *found)))
                }
                Place::Root(last) => {
                    self.root.range(..last).next_back().map(|found| (*found, Place::Root(*found)))
                }
                Place::End => return None,
            };
            if let Some((handle, now)) = found {
                *place = now;
                return self.all.get(&handle);
            }
            *place = match *place {
                Place::Start | Place::Exact(_) => self.shorter(key.len().saturating_add(1), until),
                Place::Prefix(length, _) => self.shorter(length, until),
                Place::Root(_) | Place::End => Place::End,
            };
        }
    }

    /// The position after the prefixes of this length.
    fn shorter(&self, length: usize, until: u64) -> Place {
        match self.lengths.range(..length).next_back() {
            Some((length, _)) => Place::Prefix(*length, 0),
            None => Place::Root(until.saturating_add(1)),
        }
    }
}

/// Removes a handle from the set under `key`. Returns whether the set is empty now.
fn forget(sets: &mut HashMap<Box<str>, BTreeSet<u64>>, key: &str, handle: u64) -> bool {
    let Some(set) = sets.get_mut(key) else { return false };
    set.remove(&handle);
    let empty = set.is_empty();
    if empty {
        sets.remove(key);
    }
    empty
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confdb::events::Event;

    fn tracker(inst: u64, key: &str, scope: Scope, events: &[Event]) -> Tracker {
        let interest = Interest { events: events.iter().copied().collect(), scope };
        Tracker { conn: ConnId(1), inst, interest, key: key.into() }
    }

    fn told(trackers: &Trackers, key: &str, event: Event) -> Vec<u64> {
        let mut place = Place::default();
        std::iter::from_fn(|| trackers.next(key, u64::MAX, &mut place))
            .filter(|tracker| tracker.interest.events.contain(event))
            .map(|tracker| tracker.inst)
            .collect()
    }

    #[test]
    fn the_order_is_exact_then_longest_prefix_then_everything() {
        let mut trackers = Trackers::default();
        let scope = |prefix| if prefix { Scope::Prefix } else { Scope::Key };
        for (handle, (key, prefix)) in [
            ("", true),
            ("a.", true),
            ("a.b", false),
            ("a.b", true),
            ("a.", true),
            ("a.b", false),
            ("", true),
            ("", false),
            ("a.bc", true),
            ("b.", true),
        ]
        .into_iter()
        .enumerate()
        {
            let tracker = tracker(handle as u64, key, scope(prefix), &Event::ALL);
            trackers.add(handle as u64 + 1, tracker);
        }
        assert_eq!(told(&trackers, "a.b", Event::Add), [5, 2, 3, 1, 4, 6, 0]);
        assert_eq!(told(&trackers, "a.bc", Event::Add), [8, 3, 1, 4, 6, 0]);
        assert_eq!(told(&trackers, "xyz", Event::Add), [6, 0]);
        // Trackers added after a change are not notified of it, and a position stays valid while others are
        // removed.
        let mut place = Place::default();
        let mut next = |trackers: &Trackers| trackers.next("a.b", 6, &mut place).map(|tracker| tracker.inst);
        assert_eq!(next(&trackers), Some(5));
        for handle in [6, 3, 2] {
            trackers.remove(ConnId(1), handle);
        }
        assert_eq!([(); 4].map(|()| next(&trackers)), [Some(3), Some(4), Some(0), None]);
        assert_eq!(next(&trackers), None);
    }

    #[test]
    fn trackers_find_only_their_own_keys() {
        let mut trackers = Trackers::default();
        trackers.add(1, tracker(1, "key", Scope::Key, &[Event::Add]));
        trackers.add(2, tracker(2, "key", Scope::Key, &[Event::Delete, Event::Modify]));
        assert_eq!(told(&trackers, "key", Event::Add), [1]);
        assert_eq!(told(&trackers, "key", Event::Modify), [2]);
        assert_eq!(trackers.remove(ConnId(2), 1), None, "another's");
        assert!(trackers.remove(ConnId(1), 1).is_some());
        assert_eq!(trackers.remove(ConnId(1), 1), None);
        assert_eq!(told(&trackers, "key", Event::Add), [0; 0]);
    }

    #[test]
    fn nothing_is_kept_of_removed_trackers() {
        let mut trackers = Trackers::default();
        for handle in 1..=100 {
            let scope = if handle % 2 == 0 { Scope::Prefix } else { Scope::Key };
            let key = ["", "abc", "abcd"][handle as usize % 3];
            trackers.add(handle, tracker(handle, key, scope, &[Event::Add]));
        }
        for handle in 1..=100 {
            assert!(trackers.remove(ConnId(1), handle).is_some());
        }
        let Trackers { all, exact, prefixes, lengths, root } = trackers;
        assert!(all.is_empty() && exact.is_empty() && prefixes.is_empty() && lengths.is_empty());
        assert!(root.is_empty());
    }
}
