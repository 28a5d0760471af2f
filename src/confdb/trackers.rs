//! Who wants to hear of which keys: found by exact key, by prefix, or as listeners to everything, without
//! looking at trackers that a change does not concern.
//!
//! Source: corosync `exec/icmap.c`, `icmap_track_add`, `icmap_notify`.

use std::collections::{BTreeMap, HashMap};

use super::wire::track;
use crate::ids::ConnId;

/// Trackers that all clients together may have; further ones are refused with NO_RESOURCES.
///
/// Corosync has no such bound.
pub const TRACKERS_LIMIT: usize = 1 << 16;

/// One client's interest in a key, or in all keys with a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tracker {
    /// Whose.
    pub(super) conn: ConnId,
    /// What the client calls it.
    pub(super) inst: u64,
    /// Bits of [`track`].
    pub(super) kind: i32,
    /// The key or prefix.
    pub(super) key: Box<str>,
}

impl Tracker {
    pub(super) const fn is_prefix(&self) -> bool {
        self.kind & track::PREFIX != 0
    }

    /// Whether keys under `prefix` may concern it.
    pub(super) fn touches(&self, prefix: &str) -> bool {
        self.key.starts_with(prefix) || self.is_prefix() && prefix.starts_with(&*self.key)
    }
}

/// All trackers, by handle and by what they listen to. The lists are in the order of coming.
#[derive(Debug, Default)]
pub(super) struct Trackers {
    all: BTreeMap<u64, Tracker>,
    exact: HashMap<Box<str>, Vec<u64>>,
    prefixes: HashMap<Box<str>, Vec<u64>>,
    /// Lengths that occur among `prefixes`, and how often.
    lengths: BTreeMap<usize, usize>,
    root: Vec<u64>,
}

impl Trackers {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Adds a tracker under a handle that is new.
    pub(super) fn add(&mut self, handle: u64, tracker: Tracker) {
        match (tracker.is_prefix(), tracker.key.len()) {
            (true, 0) => self.root.push(handle),
            (true, length) => {
                let list = self.prefixes.entry(tracker.key.clone()).or_default();
                if list.is_empty() {
                    *self.lengths.entry(length).or_default() += 1;
                }
                list.push(handle);
            }
            // No key has the empty name: it never fires.
            (false, 0) => {}
            (false, _) => self.exact.entry(tracker.key.clone()).or_default().push(handle),
        }
        self.all.insert(handle, tracker);
    }

    /// Removes a connection's tracker.
    pub(super) fn remove(&mut self, conn: ConnId, handle: u64) -> Option<Tracker> {
        if self.all.get(&handle)?.conn != conn {
            return None;
        }
        let tracker = self.all.remove(&handle)?;
        match (tracker.is_prefix(), tracker.key.len()) {
            (true, 0) => self.root.retain(|other| *other != handle),
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

    /// Who hears of `event`, one bit of [`track`], at `key`; in the order in which they are told: the exact
    /// key's trackers, newest first; those of prefixes, longest prefix first and oldest first; those of
    /// everything, newest first.
    pub(super) fn concerned(&self, key: &str, event: i32) -> impl Iterator<Item = &Tracker> {
        let exact = self.exact.get(key).into_iter().flat_map(|list| list.iter().rev());
        let lengths = self.lengths.range(..=key.len()).rev();
        let prefixes = lengths
            .filter_map(move |(length, _)| self.prefixes.get(key.get(..*length)?))
            .flat_map(|list| list.iter());
        exact
            .chain(prefixes)
            .chain(self.root.iter().rev())
            .filter_map(|handle| self.all.get(handle))
            .filter(move |tracker| tracker.kind & event != 0)
    }
}

/// Takes a handle out of the list under `key`. Whether the list was its last.
fn forget(lists: &mut HashMap<Box<str>, Vec<u64>>, key: &str, handle: u64) -> bool {
    let Some(list) = lists.get_mut(key) else { return false };
    list.retain(|other| *other != handle);
    let empty = list.is_empty();
    if empty {
        lists.remove(key);
    }
    empty
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker(inst: u64, key: &str, kind: i32) -> Tracker {
        Tracker { conn: ConnId(1), inst, kind, key: key.into() }
    }

    fn told(trackers: &Trackers, key: &str, event: i32) -> Vec<u64> {
        trackers.concerned(key, event).map(|tracker| tracker.inst).collect()
    }

    #[test]
    fn the_order_is_exact_then_longest_prefix_then_everything() {
        let mut trackers = Trackers::default();
        let all = track::ADD | track::MODIFY | track::DELETE;
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
            let kind = if prefix { all | track::PREFIX } else { all };
            trackers.add(handle as u64, tracker(handle as u64, key, kind));
        }
        assert_eq!(told(&trackers, "a.b", track::ADD), [5, 2, 3, 1, 4, 6, 0]);
        assert_eq!(told(&trackers, "a.bc", track::ADD), [8, 3, 1, 4, 6, 0]);
        assert_eq!(told(&trackers, "xyz", track::ADD), [6, 0]);
    }

    #[test]
    fn each_hears_only_what_it_asked_for() {
        let mut trackers = Trackers::default();
        trackers.add(1, tracker(1, "key", track::ADD));
        trackers.add(2, tracker(2, "key", track::DELETE | track::MODIFY));
        assert_eq!(told(&trackers, "key", track::ADD), [1]);
        assert_eq!(told(&trackers, "key", track::MODIFY), [2]);
        assert_eq!(trackers.remove(ConnId(2), 1), None, "another's");
        assert!(trackers.remove(ConnId(1), 1).is_some());
        assert_eq!(trackers.remove(ConnId(1), 1), None);
        assert_eq!(told(&trackers, "key", track::ADD), [0; 0]);
    }

    #[test]
    fn nothing_is_kept_of_those_that_are_gone() {
        let mut trackers = Trackers::default();
        for handle in 0..100 {
            let kind = track::ADD | if handle % 2 == 0 { track::PREFIX } else { 0 };
            trackers.add(handle, tracker(handle, ["", "abc", "abcd"][handle as usize % 3], kind));
        }
        for handle in 0..100 {
            assert!(trackers.remove(ConnId(1), handle).is_some());
        }
        let Trackers { all, exact, prefixes, lengths, root } = trackers;
        assert!(all.is_empty() && exact.is_empty() && prefixes.is_empty() && lengths.is_empty());
        assert!(root.is_empty());
    }
}
