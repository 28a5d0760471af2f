//! Handles the requests of the database's clients.
//!
//! Source: corosync `exec/cmap.c`, `message_handler_req_lib_cmap_*`; `cmap_overview(3)`.

use std::borrow::Cow;

use super::desk::Desk;
use super::owed::OwedAnswer;
use super::shelf::Shelf;
use super::statistics::{self, Start};
use super::telling::STATISTICS_A_STEP;
use super::wire::{Function, Listed, Reply, Request, refusal};
use super::writes::{self, Written};
use crate::error::Status;
use crate::ids::ConnId;
use crate::service::{self, Context, Service};

impl Desk {
    /// Handles a request with this number.
    pub(super) fn handle(
        &mut self,
        conn: ConnId,
        number: u16,
        request: service::Request<'_>,
        context: &mut Context<'_>,
    ) {
        let Some(shelf) = self.connections.get(&conn).map(|connection| connection.shelf) else {
            return context.reply(conn, refusal(number, Status::BadHandle));
        };
        // The router passes on no other number.
        let Some(function) = Function::of(number) else {
            return context.reply(conn, refusal(number, Status::InvalidParam));
        };
        let bytes: Cow<'_, [u8]> = match request.tail {
            [] => request.bytes.into(),
            tail => [request.bytes, tail].concat().into(),
        };
        match Request::decode(function, &bytes) {
            Some(request) => self.answer(conn, shelf, request, context),
            None => {
                tracing::debug!(?conn, function = number, length = request.bytes.len(), "request too short");
                self.stats.short_requests += 1;
                context.reply(conn, refusal(number, Status::InvalidParam));
            }
        }
    }

    /// Carries out a request of a client that uses the map `shelf`, and answers it.
    fn answer(&mut self, conn: ConnId, shelf: Shelf, request: Request<'_>, context: &mut Context<'_>) {
        let reply = match request {
            Request::Set { key, value } => {
                let outcome = match shelf {
                    Shelf::Config => writes::set(&key, value, context.database()),
                    Shelf::Statistics => statistics::set(&key, context).map(|()| Written::Unchanged),
                };
                return self.finish(conn, Function::Set, outcome, context);
            }
            Request::Delete { key } => {
                let outcome = match shelf {
                    Shelf::Config => writes::delete(&key, context.database()),
                    Shelf::Statistics => Err(statistics::refuse_write(&key)),
                };
                return self.finish(conn, Function::Delete, outcome, context);
            }
            Request::Adjust { key, step } => {
                let outcome = match shelf {
                    Shelf::Config => writes::adjust(&key, step, context.database()),
                    Shelf::Statistics => Err(statistics::refuse_write(&key)),
                };
                return self.finish(conn, Function::Adjust, outcome, context);
            }
            Request::Get { key, room } => encoded(Function::Get, self.get(shelf, &key, room, context)),
            Request::Iterate { prefix } => {
                let handle = self.iterate(conn, &prefix, context);
                encoded(Function::Iterate, handle.map(Reply::Handle))
            }
            Request::Next { handle } => {
                let next = self.next(conn, shelf, handle, context);
                encoded(Function::Next, next.map(Reply::Next))
            }
            Request::EndIteration { handle } => {
                encoded(Function::EndIteration, self.end_iteration(conn, handle).map(|()| Reply::Done))
            }
            Request::Track { key, interest, inst } => {
                match self.track(conn, &key, interest, inst, context) {
                    Ok((handle, Start::AtOnce)) => {
                        context.reply(conn, Reply::Handle(handle).encode(Function::Track));
                    }
                    // It is answered after the check.
                    Ok((_, Start::NextCheck)) => {}
                    Err(status) => context.reply(conn, Reply::Refused(status).encode(Function::Track)),
                }
                // The first tracker of statistics that appear or disappear is answered as soon as the statistics have
                // been checked.
                if self.lookouts.any_newcomer() && self.look_at.is_some_and(|at| at <= context.now()) {
                    self.expired(context);
                }
                return;
            }
            Request::Untrack { handle } => {
                encoded(Function::Untrack, self.untrack(conn, handle).map(Reply::Handle))
            }
            Request::ChooseMap { shelf } => {
                encoded(Function::ChooseMap, self.choose_map(conn, shelf).map(|()| Reply::Done))
            }
        };
        context.reply(conn, reply);
    }

    /// Answers a write, unless its answer follows after its notifications.
    fn finish(
        &mut self,
        conn: ConnId,
        function: Function,
        outcome: Result<Written, Status>,
        context: &mut Context<'_>,
    ) {
        match outcome {
            Ok(Written::Changed) => self.owed = Some(OwedAnswer { conn, function }),
            Ok(Written::Unchanged) => context.reply(conn, Reply::Done.encode(function)),
            Err(status) => context.reply(conn, Reply::Refused(status).encode(function)),
        }
    }

    fn get<'a>(
        &mut self,
        shelf: Shelf,
        key: &str,
        room: u64,
        context: &'a mut Context<'_>,
    ) -> Result<Reply<'a>, Status> {
        let value = match shelf {
            Shelf::Config => {
                self.refresh_if_under(key, context);
                context.database().get(key).map(Cow::Borrowed)
            }
            Shelf::Statistics => {
                let found = context.statistics(key);
                self.tellings.charge(1 + found.len() / STATISTICS_A_STEP);
                found.into_iter().find(|(name, _)| name == key).map(|(_, value)| Cow::Owned(value))
            }
        };
        Ok(Reply::Value { value: value.ok_or(Status::NotExist)?, room })
    }

    fn iterate(&mut self, conn: ConnId, prefix: &str, context: &mut Context<'_>) -> Result<u64, Status> {
        self.refresh_if_under(prefix, context);
        let handle = self.new_handle();
        let connection = self.connections.get_mut(&conn).ok_or(Status::BadHandle)?;
        connection.iterations.open(handle, prefix)?;
        Ok(handle)
    }

    fn next(
        &mut self,
        conn: ConnId,
        shelf: Shelf,
        handle: u64,
        context: &mut Context<'_>,
    ) -> Result<Listed, Status> {
        let connection = self.connections.get_mut(&conn).ok_or(Status::BadHandle)?;
        match shelf {
            Shelf::Config => connection.iterations.next(handle, context.database()),
            Shelf::Statistics => {
                let (next, computed) = connection.iterations.next_statistic(handle, context);
                self.tellings.charge(computed / STATISTICS_A_STEP);
                next
            }
        }
    }

    fn end_iteration(&mut self, conn: ConnId, handle: u64) -> Result<(), Status> {
        self.connections.get_mut(&conn).ok_or(Status::BadHandle)?.iterations.close(handle)
    }

    /// Chooses the map of a connection, which must have no iteration and no tracker. `None`: there is no such map.
    fn choose_map(&mut self, conn: ConnId, shelf: Option<Shelf>) -> Result<(), Status> {
        let connection = self.connections.get_mut(&conn).ok_or(Status::BadHandle)?;
        if !connection.iterations.is_empty() || !connection.trackers.is_empty() {
            return Err(Status::Busy);
        }
        connection.shelf = shelf.ok_or(Status::NotExist)?;
        Ok(())
    }
}

fn encoded(function: Function, outcome: Result<Reply<'_>, Status>) -> Vec<u8> {
    outcome.unwrap_or_else(Reply::Refused).encode(function)
}
