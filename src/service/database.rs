//! The configuration database: keys and values, ordered by key. Every change is recorded until the desks have been
//! notified of it. Desks may change keys that are read-only to clients.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use super::notice::Change;
use crate::quiet::Quiet;
use crate::time::Instant;
use crate::value::Value;

/// Largest number of keys in the database; further ones are refused.
///
/// Corosync has no such limit. A thousand nodes need less than 50,000.
pub(crate) const KEY_LIMIT: usize = 1 << 18;

/// Limit for the bytes of all names, texts and binary values in the database; a value that would exceed it is
/// refused.
///
/// Corosync has no such limit. The configuration of a thousand nodes needs less than 4 MiB.
pub(crate) const BYTES_LIMIT: usize = 256 << 20;

/// The configuration database of a node.
#[derive(Debug, Default)]
pub struct Database {
    entries: BTreeMap<Arc<str>, Value>,
    changes: VecDeque<Change>,
    /// Number of bytes, counted as for [`BYTES_LIMIT`].
    bytes: usize,
    now: Instant,
    /// The limit of log lines about keys that are refused because the database is full.
    full: Quiet,
}

/// The number of bytes that a value counts.
const fn weight(value: &Value) -> usize {
    match value {
        Value::Text(bytes) | Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    }
}

impl Database {
    /// The number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sets the present time, which limits how often a full database is logged.
    pub const fn at(&mut self, now: Instant) {
        self.now = now;
    }

    fn refuse(&mut self, name: &str) {
        if let Some(held_back) = self.full.may_speak(self.now) {
            tracing::error!(name, held_back, "the configuration database is full; the key is not stored");
        }
    }

    /// Takes the earliest change that has not been taken yet.
    pub fn take_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// The value of a key.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entries.get(name)
    }

    /// The keys that begin with `prefix` and their values, in ascending order.
    pub fn range<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let from = self.entries.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(move |(name, _)| name.starts_with(prefix)).map(|(name, value)| (&**name, value))
    }

    /// The first key that begins with `prefix` and comes after `last`; without `last`, the first with the
    /// prefix.
    pub fn following(&self, prefix: &str, last: Option<&str>) -> Option<(&str, &Value)> {
        let from = match last {
            Some(last) if last >= prefix => Bound::Excluded(last),
            Some(_) | None => Bound::Included(prefix),
        };
        let (name, value) = self.entries.range::<str, _>((from, Bound::Unbounded)).next()?;
        name.starts_with(prefix).then_some((&**name, value))
    }

    /// Sets a key. No effect if the key already has that type and value, or if the database is full.
    pub fn set(&mut self, name: &str, value: Value) {
        if let Some((key, place)) =
            self.entries.range_mut::<str, _>((Bound::Included(name), Bound::Included(name))).next()
        {
            if *place != value {
                let bytes = self.bytes - weight(place) + weight(&value);
                if bytes > BYTES_LIMIT {
                    return self.refuse(name);
                }
                self.bytes = bytes;
                let old = std::mem::replace(place, value.clone());
                self.changes.push_back(Change { name: Arc::clone(key), old: Some(old), new: Some(value) });
            }
            return;
        }
        let bytes = self.bytes + name.len() + weight(&value);
        if self.entries.len() >= KEY_LIMIT || bytes > BYTES_LIMIT {
            return self.refuse(name);
        }
        self.bytes = bytes;
        let name: Arc<str> = name.into();
        self.entries.insert(Arc::clone(&name), value.clone());
        self.changes.push_back(Change { name, old: None, new: Some(value) });
    }

    /// Removes a key. Returns whether it existed.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some((name, old)) = self.entries.remove_entry(name) else { return false };
        self.bytes -= name.len() + weight(&old);
        self.changes.push_back(Change { name, old: Some(old), new: None });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quiet::written;

    #[test]
    fn a_full_database_refuses_values_until_keys_are_removed() {
        let mut store = Database::default();
        let big = || Value::Bytes(vec![1; 1 << 20]);
        let mut stored = 0;
        while store.get(&format!("key.{stored}")).is_some() || {
            store.set(&format!("key.{stored}"), big());
            store.take_change().is_some()
        } {
            stored += 1;
        }
        assert_eq!(stored, 255, "names count too");
        store.set("key.0", Value::text("small"));
        store.set("new", big());
        assert!(store.get("new").is_some());
        store.set("key.0", big());
        assert_eq!(store.get("key.0"), Some(&Value::text("small")));
        for n in 0..stored {
            assert!(store.remove(&format!("key.{n}")));
        }
        assert!(store.remove("new") && !store.remove("new"));
        assert_eq!((store.bytes, store.len()), (0, 0));
    }

    /// A client that goes on after the database is full causes only a few log lines.
    #[test]
    fn writes_to_a_full_database_do_not_fill_the_log() {
        let mut store = Database::default();
        for n in 0..KEY_LIMIT {
            store.set(&format!("key.{n}"), Value::U8(1));
            store.take_change();
        }
        let (lines, held_back) = written::during(|| {
            for millisecond in 0..60_000 {
                store.at(Instant::from_micros(millisecond * 1000));
                store.set("another", Value::U8(1));
            }
        });
        assert_eq!(store.len(), KEY_LIMIT);
        assert!((2..10).contains(&lines), "{lines} lines");
        assert!(held_back > 20_000, "{held_back} held back");
    }

    #[test]
    fn the_following_key_is_found_after_any_name() {
        let mut store = Database::default();
        for name in ["a.b", "b.a", "b.c", "c"] {
            store.set(name, Value::U8(1));
        }
        let following = |last| store.following("b.", last).map(|(name, _)| name);
        assert_eq!(following(None), Some("b.a"));
        assert_eq!(following(Some("b.a")), Some("b.c"));
        assert_eq!(following(Some("b.b")), Some("b.c"));
        assert_eq!(following(Some("b.c")), None);
        assert_eq!(following(Some("a")), Some("b.a"), "before the prefix");
        assert_eq!(following(Some("x")), None);
    }
}
