//! Iterations of clients. An iteration is a position in the order of names, not a list: the database may
//! change in the meantime, and beginning an iteration copies nothing.

use std::collections::{BTreeMap, VecDeque};

use super::wire::Listed;
use crate::error::Status;
use crate::service::{Context, Database};

/// Largest number of open iterations of one connection; further ones are refused with NO_RESOURCES.
///
/// Corosync has no such limit.
pub const ITERATIONS_LIMIT: usize = 256;

/// Number of statistics that are fetched at a time; each time all statistics are computed.
pub(crate) const CHUNK: usize = 128;

/// The position of one iteration.
#[derive(Debug)]
struct Iteration {
    prefix: Box<str>,
    /// The last name that was returned.
    last: Option<Box<str>>,
    /// Only for statistics: the entries that are returned next.
    ahead: VecDeque<Listed>,
    ended: bool,
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
    pub(super) fn next(&mut self, handle: u64, database: &Database) -> Result<Listed, Status> {
        let place = self.0.get_mut(&handle).ok_or(Status::BadHandle)?;
        let (name, value) =
            database.following(&place.prefix, place.last.as_deref()).ok_or(Status::NoSections)?;
        place.last = Some(name.into());
        Ok(Listed::key(name, value))
    }

    /// Returns the next statistic, and the number of statistics that were computed for it.
    pub(super) fn next_statistic(
        &mut self,
        handle: u64,
        context: &Context<'_>,
    ) -> (Result<Listed, Status>, usize) {
        let Some(place) = self.0.get_mut(&handle) else { return (Err(Status::BadHandle), 0) };
        let mut computed = 0;
        if place.ahead.is_empty() && !place.ended {
            let all = context.statistics(&place.prefix);
            computed = all.len();
            let start =
                place.last.as_ref().map_or(0, |last| all.partition_point(|(name, _)| **name <= **last));
            place.ended = all.len() - start <= CHUNK;
            let ahead = all.into_iter().skip(start).take(CHUNK);
            place.ahead = ahead.map(|(name, value)| Listed::statistic(name, &value)).collect();
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
