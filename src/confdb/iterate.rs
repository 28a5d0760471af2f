//! Iterations of clients. One is a place in the order of names, not a list: the database may change under
//! it, and nothing is copied to begin one.

use std::collections::{BTreeMap, VecDeque};

use super::wire;
use crate::error::Status;
use crate::service::{Database, Effects};
use crate::value::Value;

/// Iterations that one connection may have at a time; further ones are refused with NO_RESOURCES.
///
/// Corosync has no such bound.
pub const ITERATIONS_LIMIT: usize = 256;

/// Statistics that are taken at a time: each time all of them are computed.
pub(super) const CHUNK: usize = 128;

/// One iteration's place.
#[derive(Debug)]
struct Iteration {
    prefix: Box<str>,
    /// The name that was given last.
    last: Option<Box<str>>,
    /// Statistics: the next ones.
    ahead: VecDeque<Entry>,
    ended: bool,
}

/// What a step of an iteration tells: name, number of the type, length as libcmap is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Box<str>,
    pub(super) kind: u8,
    pub(super) len: usize,
}

/// The iterations of one connection.
#[derive(Debug, Default)]
pub(super) struct Iterations(BTreeMap<u64, Iteration>);

impl Iterations {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Begins one under a handle that is new.
    pub(super) fn open(&mut self, handle: u64, prefix: &str) -> Result<(), Status> {
        if self.0.len() >= ITERATIONS_LIMIT {
            return Err(Status::NoResources);
        }
        let place = Iteration { prefix: prefix.into(), last: None, ahead: VecDeque::new(), ended: false };
        self.0.insert(handle, place);
        Ok(())
    }

    /// The next key of the database.
    pub(super) fn next(&mut self, handle: u64, database: &dyn Database) -> Result<Entry, Status> {
        let place = self.0.get_mut(&handle).ok_or(Status::BadHandle)?;
        let (name, value) =
            database.following(&place.prefix, place.last.as_deref()).ok_or(Status::NoSections)?;
        place.last = Some(name.into());
        Ok(Entry { name: name.into(), kind: wire::type_code(value), len: wire::value_len(value) })
    }

    /// The next of the statistics, and how many had to be computed for it. A text's length is told as 0, as Corosync does.
    pub(super) fn next_statistic(
        &mut self,
        handle: u64,
        effects: &dyn Effects,
    ) -> (Result<Entry, Status>, usize) {
        let Some(place) = self.0.get_mut(&handle) else { return (Err(Status::BadHandle), 0) };
        let mut computed = 0;
        if place.ahead.is_empty() && !place.ended {
            let all = effects.statistics(&place.prefix);
            computed = all.len();
            let start =
                place.last.as_ref().map_or(0, |last| all.partition_point(|(name, _)| **name <= **last));
            place.ended = all.len() - start <= CHUNK;
            place.ahead =
                all.into_iter().skip(start).take(CHUNK).map(|(name, value)| entry(name, &value)).collect();
        }
        let entry = place.ahead.pop_front().ok_or(Status::NoSections);
        if let Ok(entry) = &entry {
            place.last = Some(entry.name.clone());
        }
        (entry, computed)
    }

    /// Ends one.
    pub(super) fn close(&mut self, handle: u64) -> Result<(), Status> {
        self.0.remove(&handle).map(drop).ok_or(Status::BadHandle)
    }
}

fn entry(name: String, value: &Value) -> Entry {
    let len = if matches!(value, Value::Text(_)) { 0 } else { wire::value_len(value) };
    Entry { name: name.into(), kind: wire::type_code(value), len }
}
