//! A configuration database of plain keys and values.

use std::collections::{BTreeMap, VecDeque};

use crate::service::{Change, Database};
use crate::value::Value;

/// The keys, and the changes since they were last taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    entries: BTreeMap<String, Value>,
    changes: VecDeque<Change>,
}

impl Keys {
    pub(super) fn take_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }
}

impl Database for Keys {
    fn get(&self, name: &str) -> Option<&Value> {
        self.entries.get(name)
    }

    fn range<'a>(&'a self, prefix: &'a str) -> Box<dyn Iterator<Item = (&'a str, &'a Value)> + 'a> {
        let all = self.entries.iter().map(|(name, value)| (name.as_str(), value));
        Box::new(all.filter(move |(name, _)| name.starts_with(prefix)))
    }

    fn following(&self, prefix: &str, last: Option<&str>) -> Option<(&str, &Value)> {
        let mut all = self.entries.iter().map(|(name, value)| (name.as_str(), value));
        all.find(|(name, _)| name.starts_with(prefix) && last.is_none_or(|last| *name > last))
    }

    fn set(&mut self, name: &str, value: Value) {
        let old = self.entries.insert(name.to_owned(), value.clone());
        if old.as_ref() != Some(&value) {
            self.changes.push_back(Change { name: name.into(), old, new: Some(value) });
        }
    }

    fn remove(&mut self, name: &str) -> bool {
        let old = self.entries.remove(name);
        let was_there = old.is_some();
        if was_there {
            self.changes.push_back(Change { name: name.into(), old, new: None });
        }
        was_there
    }
}
