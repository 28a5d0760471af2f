//! Iterations of clients. An iteration is a position in the order of names, not a list: the database may
//! change in the meantime, and beginning an iteration copies nothing.

use std::collections::{BTreeMap, VecDeque};

use super::wire;
use crate::error::Status;
use crate::service::{Database, Effects};
use crate::value::Value;

/// Largest number of open iterations of one connection; further ones are refused with NO_RESOURCES.
///
/// Corosync has no such limit.
pub const ITERATIONS_LIMIT: usize = 256;

/// Number of statistics that are fetched at a time; each time all statistics are computed.
pub(super) const CHUNK: usize = 128;

/// The position of one iteration.
#[derive(Debug)]
struct Iteration {
    prefix: Box<str>,
    /// The last name that was returned.
    last: Option<Box<str>>,
    /// Only for statistics: the entries that are returned next.
    ahead: VecDeque<Entry>,
    ended: bool,
}

/// One entry of an iteration: name, type number, and length as libcmap gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Box<str>,
    pub(super) kind: u8,
    pub(super) len: usize,
}

/// The open iterations of one connection, by handle.
#[derive(Debug, Default)]
pub(super) struct Iterations(BTreeMap<u64, Iteration>);

impl Iterations {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Begins an iteration under a new handle.
    pub(super) fn open(&mut self, handle: u64, prefix: &str) -> Result<(), Status> {
        if self.0.len() >= ITERATIONS_LIMIT {
            return Err(Status::NoResources);
        }
        let place = Iteration { prefix: prefix.into(), last: None, ahead: VecDeque::new(), ended: false };
        self.0.insert(handle, place);
        Ok(())
    }

    /// Returns the next key of the database.
    pub(super) fn next(&mut self, handle: u64, database: &dyn Database) -> Result<Entry, Status> {
        let place = self.0.get_mut(&handle).ok_or(Status::BadHandle)?;
        let (name, value) =
            database.following(&place.prefix, place.last.as_deref()).ok_or(Status::NoSections)?;
        place.last = Some(name.into());
        Ok(Entry { name: name.into(), kind: wire::type_code(value), len: wire::value_len(value) })
    }

    /// Returns the next statistic, and the number of statistics that were computed for it. The length of a text is
    /// given as 0, as in Corosync.
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

    /// Ends an iteration.
    pub(super) fn close(&mut self, handle: u64) -> Result<(), Status> {
        self.0.remove(&handle).map(drop).ok_or(Status::BadHandle)
    }
}

fn entry(name: String, value: &Value) -> Entry {
    let len = if matches!(value, Value::Text(_)) { 0 } else { wire::value_len(value) };
    Entry { name: name.into(), kind: wire::type_code(value), len }
}
