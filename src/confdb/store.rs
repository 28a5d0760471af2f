//! Keys and values, ordered by key. Every change is noted until it is taken.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use crate::service::{Change, Database};
use crate::value::Value;

/// Keys that the database holds; further ones are refused.
///
/// Corosync has no such bound. A thousand nodes need less than 50,000.
pub const KEY_LIMIT: usize = 1 << 18;

/// The database.
#[derive(Debug, Default)]
pub struct Store {
    entries: BTreeMap<Arc<str>, Value>,
    changes: VecDeque<Change>,
}

impl Store {
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The earliest change that has not been taken yet.
    pub fn take_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }
}

impl Database for Store {
    fn get(&self, name: &str) -> Option<&Value> {
        self.entries.get(name)
    }

    fn range<'a>(&'a self, prefix: &'a str) -> Box<dyn Iterator<Item = (&'a str, &'a Value)> + 'a> {
        let from = self.entries.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        Box::new(
            from.take_while(move |(name, _)| name.starts_with(prefix)).map(|(name, value)| (&**name, value)),
        )
    }

    fn following(&self, prefix: &str, last: Option<&str>) -> Option<(&str, &Value)> {
        let from = match last {
            Some(last) if last >= prefix => Bound::Excluded(last),
            Some(_) | None => Bound::Included(prefix),
        };
        let (name, value) = self.entries.range::<str, _>((from, Bound::Unbounded)).next()?;
        name.starts_with(prefix).then_some((&**name, value))
    }

    fn set(&mut self, name: &str, value: Value) {
        if let Some((key, place)) =
            self.entries.range_mut::<str, _>((Bound::Included(name), Bound::Included(name))).next()
        {
            if *place != value {
                let old = std::mem::replace(place, value.clone());
                self.changes.push_back(Change { name: Arc::clone(key), old: Some(old), new: Some(value) });
            }
            return;
        }
        if self.entries.len() >= KEY_LIMIT {
            tracing::error!(name, "the configuration database is full; the key is not stored");
            return;
        }
        let name: Arc<str> = name.into();
        self.entries.insert(Arc::clone(&name), value.clone());
        self.changes.push_back(Change { name, old: None, new: Some(value) });
    }

    fn remove(&mut self, name: &str) -> bool {
        let Some((name, old)) = self.entries.remove_entry(name) else { return false };
        self.changes.push_back(Change { name, old: Some(old), new: None });
        true
    }
}
