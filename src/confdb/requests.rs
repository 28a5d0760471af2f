//! Handles the requests of the database's clients.
//!
//! Source: corosync `exec/cmap.c`, `message_handler_req_lib_cmap_*`; `cmap_overview(3)`.

use std::borrow::Cow;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::connection::{Connection, Owed, Shelf};
use super::desk::Desk;
use super::names;
use super::statistics;
use super::telling::STATISTICS_A_STEP;
use super::trackers::{TRACKERS_LIMIT, Tracker, USER_TRACKERS_LIMIT};
use super::wire::{self, reply, request, response, track};
use crate::error::Status;
use crate::ids::ConnId;
use crate::service::wire::plain_reply;
use crate::service::{Effects, Request, Service};
use crate::value::{VALUE_LIMIT, Value};

/// The user whose trackers are limited by [`TRACKERS_LIMIT`] alone.
const ROOT: u32 = 0;

/// Largest number of trackers of one connection; further ones are refused with NO_RESOURCES.
///
/// Corosync has no such limit.
pub const CONNECTION_TRACKERS_LIMIT: usize = 8192;

/// The fixed part of a request, and the rest; `None` if it is too short.
fn fixed<T: FromBytes + KnownLayout + Immutable + Unaligned>(bytes: &[u8]) -> Option<(&T, &[u8])> {
    T::ref_from_prefix(bytes).ok()
}

impl Desk {
    /// Handles a request and answers it. `None`: it is too short for its kind; nothing was done.
    pub(super) fn answer(
        &mut self,
        conn: ConnId,
        function: u16,
        request: Request<'_>,
        effects: &mut dyn Effects,
    ) -> Option<()> {
        let bytes: Cow<'_, [u8]> = match request.tail {
            [] => request.bytes.into(),
            tail => [request.bytes, tail].concat().into(),
        };
        let Some(shelf) = self.connections.get(&conn).map(|connection| connection.shelf) else {
            effects.reply(conn, &reply::refusal(function, Status::BadHandle));
            return Some(());
        };
        match function {
            request::SET => {
                let (head, value) = fixed::<wire::SetRequestBytes>(&bytes)?;
                let outcome = match shelf {
                    Shelf::Config => self.set(conn, head, value, effects),
                    Shelf::Statistics => statistics::set(&head.key.name(), effects).map(|()| true),
                };
                finish(conn, response::SET, outcome, effects);
            }
            request::DELETE => {
                let (head, _) = fixed::<wire::KeyRequestBytes>(&bytes)?;
                let outcome = match shelf {
                    Shelf::Config => self.delete(conn, &head.key.name(), effects),
                    Shelf::Statistics => Err(statistics::refuse_write(&head.key.name())),
                };
                finish(conn, response::DELETE, outcome, effects);
            }
            request::ADJUST_INT => {
                let (head, _) = fixed::<wire::AdjustRequestBytes>(&bytes)?;
                let outcome = match shelf {
                    Shelf::Config => self.adjust(conn, &head.key.name(), head.step.get(), effects),
                    Shelf::Statistics => Err(statistics::refuse_write(&head.key.name())),
                };
                finish(conn, response::ADJUST_INT, outcome, effects);
            }
            request::GET => {
                let (head, _) = fixed::<wire::GetRequestBytes>(&bytes)?;
                let reply = self.get(shelf, &head.key.name(), head.len.get(), effects);
                effects.reply(conn, &reply);
            }
            request::ITER_INIT => {
                let (head, _) = fixed::<wire::KeyRequestBytes>(&bytes)?;
                let handle = self.iterate(conn, &head.key.prefix(), effects);
                effects.reply(conn, &reply::handle_reply(response::ITER_INIT, handle));
            }
            request::ITER_NEXT => {
                let (head, _) = fixed::<wire::HandleRequestBytes>(&bytes)?;
                let entry =
                    self.connections.get_mut(&conn).ok_or(Status::BadHandle).and_then(
                        |connection| match shelf {
                            Shelf::Config => {
                                connection.iterations.next(head.handle.get(), effects.database())
                            }
                            Shelf::Statistics => {
                                let (entry, all) =
                                    connection.iterations.next_statistic(head.handle.get(), effects);
                                self.tellings.charge(all / STATISTICS_A_STEP);
                                entry
                            }
                        },
                    );
                let entry = entry
                    .as_ref()
                    .map(|entry| (&*entry.name, entry.len, entry.kind))
                    .map_err(|status| *status);
                effects.reply(conn, reply::next_reply(entry).as_bytes());
            }
            request::ITER_FINALIZE => {
                let (head, _) = fixed::<wire::HandleRequestBytes>(&bytes)?;
                let connection = self.connections.get_mut(&conn);
                let closed =
                    connection.map_or(Err(Status::BadHandle), |all| all.iterations.close(head.handle.get()));
                let status = closed.err().unwrap_or(Status::Ok);
                effects.reply(conn, &plain_reply(response::ITER_FINALIZE, status));
            }
            request::TRACK_ADD => {
                let (head, _) = fixed::<wire::TrackRequestBytes>(&bytes)?;
                let handle = self.track(conn, &head.key.prefix(), head.kind.get(), head.inst.get(), effects);
                if let Some(handle) = handle.transpose() {
                    effects.reply(conn, &reply::handle_reply(response::TRACK_ADD, handle));
                }
                // The first tracker of statistics that appear or disappear is answered as soon as the statistics have
                // been checked.
                if self.lookouts.any_newcomer() && self.look_at.is_some_and(|at| at <= effects.now()) {
                    self.expired(effects);
                }
            }
            request::TRACK_DELETE => {
                let (head, _) = fixed::<wire::HandleRequestBytes>(&bytes)?;
                let inst = self.untrack(conn, head.handle.get()).ok_or(Status::BadHandle);
                effects.reply(conn, &reply::handle_reply(response::TRACK_DELETE, inst));
            }
            request::SET_CURRENT_MAP => {
                let (head, _) = fixed::<wire::MapRequestBytes>(&bytes)?;
                let status = self.choose_map(conn, head.map.get()).err().unwrap_or(Status::Ok);
                effects.reply(conn, &plain_reply(response::SET_CURRENT_MAP, status));
            }
            // The router passes on no other request id.
            _ => effects.reply(conn, &reply::refusal(function, Status::InvalidParam)),
        }
        Some(())
    }

    fn set(
        &mut self,
        conn: ConnId,
        head: &wire::SetRequestBytes,
        bytes: &[u8],
        effects: &mut dyn Effects,
    ) -> Result<bool, Status> {
        let name = head.key.name();
        if names::is_read_only(&name, effects.database()) {
            return Err(Status::Access);
        }
        let length = usize::try_from(head.len.get()).ok().filter(|length| *length <= VALUE_LIMIT);
        let bytes = length.and_then(|length| bytes.get(..length)).ok_or(Status::InvalidParam)?;
        let value = wire::value_from(head.kind, bytes).ok_or(Status::InvalidParam)?;
        if wire::value_len(&value) > VALUE_LIMIT {
            return Err(Status::InvalidParam);
        }
        if effects.database().get(&name).is_none() && !names::is_valid(&name) {
            return Err(Status::NameTooLong);
        }
        self.change(conn, response::SET, &name, value, effects)
    }

    /// Sets a key for a client, which is answered after the trackers of the key have been notified. Returns
    /// true if nothing changed, so that the answer is due now.
    fn change(
        &mut self,
        conn: ConnId,
        response: i32,
        name: &str,
        value: Value,
        effects: &mut dyn Effects,
    ) -> Result<bool, Status> {
        let database = effects.database();
        if database.get(name) == Some(&value) {
            return Ok(true);
        }
        database.set(name, value.clone());
        if database.get(name) != Some(&value) {
            return Err(Status::NoMemory);
        }
        self.owed = Some(Owed { conn, response });
        Ok(false)
    }

    fn delete(&mut self, conn: ConnId, name: &str, effects: &mut dyn Effects) -> Result<bool, Status> {
        let database = effects.database();
        if names::is_read_only(name, database) {
            return Err(Status::Access);
        }
        if !database.remove(name) {
            return Err(Status::NotExist);
        }
        self.owed = Some(Owed { conn, response: response::DELETE });
        Ok(false)
    }

    fn adjust(
        &mut self,
        conn: ConnId,
        name: &str,
        step: i32,
        effects: &mut dyn Effects,
    ) -> Result<bool, Status> {
        let database = effects.database();
        if names::is_read_only(name, database) {
            return Err(Status::Access);
        }
        let value = database.get(name).ok_or(Status::NotExist)?;
        // The sum wraps around at the width of the type.
        let value = match value {
            Value::I8(n) => Value::I8(n.wrapping_add(step as i8)),
            Value::U8(n) => Value::U8(n.wrapping_add(step as u8)),
            Value::I16(n) => Value::I16(n.wrapping_add(step as i16)),
            Value::U16(n) => Value::U16(n.wrapping_add(step as u16)),
            Value::I32(n) => Value::I32(n.wrapping_add(step)),
            Value::U32(n) => Value::U32(n.wrapping_add_signed(step)),
            Value::I64(n) => Value::I64(n.wrapping_add(step.into())),
            Value::U64(n) => Value::U64(n.wrapping_add_signed(step.into())),
            Value::F32(_) | Value::F64(_) | Value::Text(_) | Value::Bytes(_) => {
                return Err(Status::InvalidParam);
            }
        };
        self.change(conn, response::ADJUST_INT, name, value, effects)
    }

    fn get(&mut self, shelf: Shelf, name: &str, room: u64, effects: &mut dyn Effects) -> Vec<u8> {
        match shelf {
            Shelf::Config => {
                self.refresh_if_under(name, effects);
                reply::get_reply(effects.database().get(name), room)
            }
            Shelf::Statistics => {
                let found = effects.statistics(name);
                self.tellings.charge(1 + found.len() / STATISTICS_A_STEP);
                reply::get_reply(found.iter().find(|(found, _)| found == name).map(|(_, value)| value), room)
            }
        }
    }

    fn iterate(&mut self, conn: ConnId, prefix: &str, effects: &mut dyn Effects) -> Result<u64, Status> {
        self.refresh_if_under(prefix, effects);
        let handle = self.new_handle();
        let connection = self.connections.get_mut(&conn).ok_or(Status::BadHandle)?;
        connection.iterations.open(handle, prefix)?;
        Ok(handle)
    }

    /// Adds a tracker. `None`: it begins, and is answered, with the next check of the statistics.
    fn track(
        &mut self,
        conn: ConnId,
        key: &str,
        kind: i32,
        inst: u64,
        effects: &mut dyn Effects,
    ) -> Result<Option<u64>, Status> {
        if kind & !(track::ADD | track::DELETE | track::MODIFY | track::PREFIX) != 0 {
            return Err(Status::InvalidParam);
        }
        let handle = self.new_handle();
        let connection = self.connections.get_mut(&conn).ok_or(Status::BadHandle)?;
        let of_user = self.users.get(&connection.user).copied().unwrap_or(0);
        if connection.trackers.len() >= CONNECTION_TRACKERS_LIMIT
            || self.trackers.len() + self.lookouts.len() >= TRACKERS_LIMIT
            || connection.user != ROOT && of_user >= USER_TRACKERS_LIMIT
        {
            return Err(Status::NoResources);
        }
        let user = connection.user;
        let tracker = Tracker { conn, inst, kind, key: key.into() };
        let mut begun = true;
        match connection.shelf {
            Shelf::Config => {
                connection.trackers.insert(handle);
                if tracker.touches(names::COUNTERS) {
                    self.counters_tracked += 1;
                }
                self.trackers.add(handle, tracker);
            }
            Shelf::Statistics => {
                if !statistics::can_track(kind) {
                    return Err(Status::NotSupported);
                }
                connection.trackers.insert(handle);
                begun = self.lookouts.add(handle, tracker, effects);
                if !begun {
                    self.look_soon(effects.now());
                }
            }
        }
        self.count_trackers(user, |all| all + 1);
        self.set_look(effects.now());
        Ok(begun.then_some(handle))
    }

    /// Changes the number of trackers of a user's clients.
    pub(super) fn count_trackers(&mut self, user: u32, change: impl FnOnce(usize) -> usize) {
        let count = self.users.entry(user).or_default();
        *count = change(*count);
        if *count == 0 {
            self.users.remove(&user);
        }
    }

    fn untrack(&mut self, conn: ConnId, handle: u64) -> Option<u64> {
        let connection = self.connections.get_mut(&conn)?;
        if self.lookouts.is_newcomer(handle) || !connection.trackers.remove(&handle) {
            return None;
        }
        let user = connection.user;
        self.count_trackers(user, |all| all.saturating_sub(1));
        self.drop_tracker(conn, handle)
    }

    fn choose_map(&mut self, conn: ConnId, map: i32) -> Result<(), Status> {
        let connection: &mut Connection = self.connections.get_mut(&conn).ok_or(Status::BadHandle)?;
        if !connection.iterations.is_empty() || !connection.trackers.is_empty() {
            return Err(Status::Busy);
        }
        connection.shelf = match map {
            wire::MAP_ICMAP => Shelf::Config,
            wire::MAP_STATS => Shelf::Statistics,
            _ => return Err(Status::NotExist),
        };
        Ok(())
    }
}

/// Answers a write, unless its answer follows after its notifications.
fn finish(conn: ConnId, response: i32, outcome: Result<bool, Status>, effects: &mut dyn Effects) {
    match outcome {
        Ok(true) => effects.reply(conn, &plain_reply(response, Status::Ok)),
        Ok(false) => {}
        Err(status) => effects.reply(conn, &plain_reply(response, status)),
    }
}
