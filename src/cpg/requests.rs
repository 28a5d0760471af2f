//! Handles the requests of CPG's clients.
//!
//! Source: corosync `exec/cpg.c`, `message_handler_req_lib_cpg_*`.

use super::desk::{Connection, Desk, MEMBERS_MAX, Seat, State};
use super::groups::PROCESSES_PER_NODE;
use super::iterate::{Entry, Scope};
use super::name::{GroupName, Member, NameTooLong, Reason};
use super::wire::{ClientExec, Extent, Fragment, Message, Place, Reply, Request, ServiceExec};
use crate::error::Status;
use crate::ids::{ConnId, Guarantee};
use crate::service::{Context, Full};

impl Desk {
    /// Handles a request. Returns its answer, a reply or the status of a refusal; `None` for a multicast, which has
    /// none.
    pub(super) fn answer(
        &mut self,
        conn: ConnId,
        request: Request<'_>,
        context: &mut Context<'_>,
    ) -> Option<Result<Reply<'_>, Status>> {
        Some(match request {
            Request::Join { group, pid, totem_conf } => {
                self.join(conn, group, pid, totem_conf, context).map(|()| Reply::Done)
            }
            Request::Leave { group } => self.leave(conn, group, context).map(|()| Reply::Done),
            Request::Mcast(message) => {
                if let Err(status) = self.mcast(conn, message, context) {
                    self.stats.dropped_requests += 1;
                    if let Some(held_back) = self.logs.dropped_request.may_speak(context.now()) {
                        tracing::warn!(?conn, %status, held_back, "multicast request dropped");
                    }
                }
                return None;
            }
            Request::Membership { group } => Ok(Reply::Membership(self.membership(group))),
            Request::LocalGet => Ok(Reply::LocalGet(self.me)),
            Request::IterationInitialize { scope } => {
                scope.and_then(|scope| self.iterate(conn, scope)).map(Reply::IterationInitialize)
            }
            Request::IterationNext { handle } => self.iterate_next(conn, handle).map(Reply::IterationNext),
            Request::IterationFinalize { handle } => self.iterate_end(conn, handle).map(|()| Reply::Done),
            Request::Finalize => {
                self.finalize(conn);
                Ok(Reply::Done)
            }
            // libcpg does not evaluate the error; the application gets it at its first send.
            Request::ZcAlloc { path, size } => context.buffer_open(conn, path, size).map(|_| Reply::Done),
            Request::ZcFree { token } => {
                context.buffer_close(conn, token);
                Ok(Reply::Done)
            }
            Request::ZcExecute { token } => self.zc_execute(conn, token, context).map(|()| Reply::Done),
            Request::PartialMcast(fragment) => {
                self.partial_mcast(conn, fragment, context).map(|()| Reply::Done)
            }
        })
    }

    fn finalize(&mut self, conn: ConnId) {
        self.owed_totem_conf.retain(|other| *other != conn);
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.finalized = true;
        match &connection.state {
            State::Out => {}
            State::Joining(seat) | State::In(seat) | State::Leaving(seat) => {
                self.groups.unlisten(seat.group.as_bytes(), conn);
            }
        }
    }

    fn join(
        &mut self,
        conn: ConnId,
        group: Result<&[u8], NameTooLong>,
        pid: u32,
        totem_conf: bool,
        context: &mut Context<'_>,
    ) -> Result<(), Status> {
        let group = group.and_then(GroupName::new).map_err(|NameTooLong { .. }| Status::NameTooLong)?;
        let seat = Seat { pid, group };
        if let Some(holder) = self.seats.get(&seat) {
            let closing = self.connections.get(holder).is_some_and(|holder| holder.finalized);
            return Err(if closing { Status::TryAgain } else { Status::Exist });
        }
        let member = Member { node: self.me, pid };
        let on_its_way = self.leaving.iter().any(|leaving| leaving.seat == seat || !leaving.sent);
        if on_its_way || self.groups.contains(seat.group.as_bytes(), member) {
            return Err(Status::TryAgain);
        }
        let connection = self.connections.get_mut(&conn).ok_or(Status::BadHandle)?;
        match connection.state {
            State::Out if connection.finalized => return Err(Status::BadHandle),
            State::Out => {}
            State::Leaving(_) => return Err(Status::Busy),
            State::Joining(_) | State::In(_) => return Err(Status::Exist),
        }
        if self.seats.len() + self.leaving.len() >= PROCESSES_PER_NODE {
            return Err(Status::NoResources);
        }
        multicast_undivided(&ServiceExec::Join { group: &seat.group, pid }, context)?;
        if totem_conf {
            self.owed_totem_conf.push(conn);
        }
        self.seats.insert(seat.clone(), conn);
        connection.state = State::Joining(seat);
        Ok(())
    }

    fn leave(
        &mut self,
        conn: ConnId,
        group: Result<&[u8], NameTooLong>,
        context: &mut Context<'_>,
    ) -> Result<(), Status> {
        let connection = self.connections.get_mut(&conn).ok_or(Status::BadHandle)?;
        let seat = match &connection.state {
            State::Out | State::Leaving(_) => return Err(Status::NotExist),
            State::Joining(_) => return Err(Status::Busy),
            State::In(seat) => seat.clone(),
        };
        if group != Ok(seat.group.as_bytes()) {
            return Err(Status::NotExist);
        }
        let leave = ServiceExec::Leave { group: &seat.group, pid: seat.pid, reason: Reason::Leave };
        multicast_undivided(&leave, context)?;
        connection.state = State::Leaving(seat);
        Ok(())
    }

    /// Multicasts a message of a member.
    fn mcast(&mut self, conn: ConnId, message: Message<'_>, context: &mut Context<'_>) -> Result<(), Status> {
        let seat = self.connections.get(&conn).and_then(Connection::sender).ok_or(Status::NotExist)?;
        let payload = message.payload.ok_or(Status::InvalidParam)?;
        let sender = Member { node: self.me, pid: seat.pid };
        let exec = ClientExec { group: &seat.group, sender, conn, extent: Extent::Whole, payload };
        multicast(message.guarantee, &exec, context)
    }

    /// Multicasts a fragment of a member's message. A change of the membership since the first fragment interrupts the
    /// message.
    fn partial_mcast(
        &mut self,
        conn: ConnId,
        fragment: Fragment<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Status> {
        let Fragment { guarantee, total, place, payload } = fragment;
        let connection = self.connections.get_mut(&conn).ok_or(Status::BadHandle)?;
        if place == Place::First {
            connection.transitions_at_first = connection.transitions;
        }
        if connection.transitions_at_first != connection.transitions {
            return Err(Status::Interrupt);
        }
        let seat = connection.sender().ok_or(Status::NotExist)?;
        let payload = payload.ok_or(Status::InvalidParam)?;
        let sender = Member { node: self.me, pid: seat.pid };
        let extent = Extent::Fragment { total, place };
        let exec = ClientExec { group: &seat.group, sender, conn, extent, payload };
        multicast(guarantee, &exec, context)
    }

    /// The members of a group, as many as applications have room for. A name of invalid length is no group's.
    fn membership(&self, group: Result<&[u8], NameTooLong>) -> &[Member] {
        let members = group.map_or(&[][..], |group| self.groups.members(group));
        &members[..members.len().min(MEMBERS_MAX)]
    }

    fn iterate(&mut self, conn: ConnId, scope: Scope<'_>) -> Result<u64, Status> {
        let connection = self.connections.get_mut(&conn).ok_or(Status::BadHandle)?;
        connection.iterations.open(scope, self.groups.processes())
    }

    fn iterate_next(&mut self, conn: ConnId, handle: u64) -> Result<&Entry, Status> {
        self.connections.get_mut(&conn).ok_or(Status::BadHandle)?.iterations.next(handle)
    }

    fn iterate_end(&mut self, conn: ConnId, handle: u64) -> Result<(), Status> {
        self.connections.get_mut(&conn).ok_or(Status::BadHandle)?.iterations.close(handle)
    }

    /// Multicasts the message in a client's zero-copy buffer.
    fn zc_execute(&mut self, conn: ConnId, token: u64, context: &mut Context<'_>) -> Result<(), Status> {
        let request = context.buffer_read(conn, token)?;
        let message = Message::decode([&request, &[]]).ok_or(Status::InvalidParam)?;
        self.mcast(conn, message, context)
    }
}

fn multicast(guarantee: Guarantee, exec: &ClientExec<'_>, context: &mut Context<'_>) -> Result<(), Status> {
    let encoded = exec.encode().ok_or(Status::TooBig)?;
    context.multicast(exec.function(), guarantee, &encoded.pieces()).map_err(|Full| Status::TryAgain)
}

fn multicast_undivided(exec: &ServiceExec<'_>, context: &mut Context<'_>) -> Result<(), Status> {
    context
        .multicast_undivided(exec.function(), Guarantee::Agreed, &exec.encode())
        .map_err(|Full| Status::TryAgain)
}
