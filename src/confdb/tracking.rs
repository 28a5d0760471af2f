//! Trackers of clients: how many there may be, and where they are kept.
//!
//! Source: corosync `exec/cmap.c`, `message_handler_req_lib_cmap_track_add`, `_track_delete`.

use super::desk::Desk;
use super::events::Interest;
use super::names;
use super::shelf::Shelf;
use super::statistics::{self, Start};
use super::trackers::{TRACKERS_LIMIT, Tracker, USER_TRACKERS_LIMIT};
use crate::error::Status;
use crate::ids::ConnId;
use crate::service::Context;

/// The user whose trackers are limited by [`TRACKERS_LIMIT`] alone.
const ROOT: u32 = 0;

/// Largest number of trackers of one connection; further ones are refused with NO_RESOURCES.
///
/// Corosync has no such limit.
pub const CONNECTION_TRACKERS_LIMIT: usize = 8192;

impl Desk {
    /// Adds a tracker of a key or prefix. Returns its handle, and when it begins. `inst` is the client's own number for
    /// it.
    pub(super) fn track(
        &mut self,
        conn: ConnId,
        key: &str,
        interest: Option<Interest>,
        inst: u64,
        context: &mut Context<'_>,
    ) -> Result<(u64, Start), Status> {
        let interest = interest.ok_or(Status::InvalidParam)?;
        let handle = self.new_handle();
        let number_of_trackers = self.number_of_trackers();
        let connection = self.connections.get_mut(&conn).ok_or(Status::BadHandle)?;
        let user = connection.user;
        let of_user = self.users.get(&user).copied().unwrap_or(0);
        if connection.trackers.len() >= CONNECTION_TRACKERS_LIMIT
            || number_of_trackers >= TRACKERS_LIMIT
            || user != ROOT && of_user >= USER_TRACKERS_LIMIT
        {
            return Err(Status::NoResources);
        }
        if connection.shelf == Shelf::Statistics && !statistics::can_track(interest) {
            return Err(Status::NotSupported);
        }
        connection.trackers.insert(handle);
        let tracker = Tracker { conn, inst, interest, key: key.into() };
        let start = match connection.shelf {
            Shelf::Config => {
                if tracker.touches(names::COUNTERS) {
                    self.counters_tracked += 1;
                }
                self.trackers.add(handle, tracker);
                Start::AtOnce
            }
            Shelf::Statistics => self.lookouts.add(handle, tracker, context),
        };
        if start == Start::NextCheck {
            self.look_soon(context.now());
        }
        self.count_trackers(user, |all| all + 1);
        self.set_look(context.now());
        Ok((handle, start))
    }

    /// Removes a tracker. Returns the client's own number for it.
    pub(super) fn untrack(&mut self, conn: ConnId, handle: u64) -> Result<u64, Status> {
        let connection = self.connections.get_mut(&conn).ok_or(Status::BadHandle)?;
        // The client does not know the handle of a newcomer yet.
        if self.lookouts.is_newcomer(handle) || !connection.trackers.remove(&handle) {
            return Err(Status::BadHandle);
        }
        let user = connection.user;
        self.count_trackers(user, |all| all.saturating_sub(1));
        self.drop_tracker(conn, handle).ok_or(Status::BadHandle)
    }

    /// Changes the number of trackers of a user's clients.
    pub(super) fn count_trackers(&mut self, user: u32, change: impl FnOnce(usize) -> usize) {
        let count = self.users.entry(user).or_default();
        *count = change(*count);
        if *count == 0 {
            self.users.remove(&user);
        }
    }
}
