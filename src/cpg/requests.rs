//! Handles the requests of CPG's clients.
//!
//! Source: corosync `exec/cpg.c`, `message_handler_req_lib_cpg_*`.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, U32, U64};

use super::desk::{Connection, Desk, MEMBERS_MAX, Seat, State};
use super::groups::PROCESSES_PER_NODE;
use super::iterate::Scope;
use super::name::{GroupName, Member, Reason};
use super::wire::{self, LE, NE, exec, request, response};
use crate::error::Status;
use crate::ids::{ConnId, Guarantee, NodeId, ServiceId};
use crate::service::wire::{HeaderBytes, MAX_MESSAGE, ReplyHeaderBytes, empty_reply, plain_reply};
use crate::service::{Effects, Full, Request};

impl Desk {
    /// Handles a request and answers it; returns `None` without an answer if it is too short for its fixed
    /// fields.
    pub(super) fn answer(
        &mut self,
        conn: ConnId,
        function: u16,
        request: Request<'_>,
        effects: &mut dyn Effects,
    ) -> Option<()> {
        match function {
            request::JOIN => {
                let status = self.join(conn, fixed(request)?.0, effects);
                effects.reply(conn, &plain_reply(response::JOIN, status));
            }
            request::LEAVE => {
                let status = self.leave(conn, fixed(request)?.0, effects);
                effects.reply(conn, &plain_reply(response::LEAVE, status));
            }
            request::MCAST => {
                let (bytes, payload) = fixed(request)?;
                let status = self.mcast(conn, bytes, [payload, request.tail], effects);
                if status != Status::Ok {
                    self.stats.dropped_requests += 1;
                    if let Some(held_back) = self.logs.dropped_request.may_speak(effects.now()) {
                        tracing::warn!(?conn, %status, held_back, "multicast request dropped");
                    }
                }
            }
            request::MEMBERSHIP => {
                let bytes: &wire::MembershipRequestBytes = fixed(request)?.0;
                effects.reply(conn, self.membership(bytes.name.name()).as_bytes());
            }
            request::LOCAL_GET => {
                let size = size_of::<wire::LocalGetReplyBytes>();
                let header = ReplyHeaderBytes::new(response::LOCAL_GET, size, Status::Ok);
                let node = U32::<NE>::new(self.me.get());
                effects.reply(conn, wire::LocalGetReplyBytes { header, node, pad: [0; 4] }.as_bytes());
            }
            request::ITERATION_INITIALIZE => {
                let (status, handle) = match self.iterate(conn, fixed(request)?.0) {
                    Ok(handle) => (Status::Ok, handle),
                    Err(status) => (status, 0),
                };
                let size = size_of::<wire::IterateReplyBytes>();
                let header = ReplyHeaderBytes::new(response::ITERATION_INITIALIZE, size, status);
                effects.reply(conn, wire::IterateReplyBytes { header, handle: U64::new(handle) }.as_bytes());
            }
            request::ITERATION_NEXT => {
                let bytes: &wire::HandleRequestBytes = fixed(request)?.0;
                effects.reply(conn, self.iterate_next(conn, bytes.handle.get()).as_bytes());
            }
            request::ITERATION_FINALIZE => {
                let bytes: &wire::HandleRequestBytes = fixed(request)?.0;
                let connection = self.connections.get_mut(&conn);
                let closed = connection.map(|connection| connection.iterations.close(bytes.handle.get()));
                let status = closed.map_or(Status::BadHandle, |closed| closed.err().unwrap_or(Status::Ok));
                effects.reply(conn, &plain_reply(response::ITERATION_FINALIZE, status));
            }
            request::FINALIZE => {
                self.finalize(conn);
                effects.reply(conn, &plain_reply(response::FINALIZE, Status::Ok));
            }
            request::ZC_ALLOC => {
                let bytes: &wire::ZcAllocRequestBytes = fixed(request)?.0;
                let end = bytes.path.iter().position(|byte| *byte == 0)?;
                let opened = effects.buffer_open(conn, &bytes.path[..end], bytes.map_size.get());
                // libcpg does not evaluate this error; the application gets it at its first send.
                let status = opened.err().unwrap_or(Status::Ok);
                effects.reply(conn, &plain_reply(0, status));
            }
            request::ZC_FREE => {
                let bytes: &wire::ZcFreeRequestBytes = fixed(request)?.0;
                effects.buffer_close(conn, bytes.token.get());
                effects.reply(conn, &plain_reply(0, Status::Ok));
            }
            request::ZC_EXECUTE => {
                let bytes: &wire::HandleRequestBytes = fixed(request)?.0;
                let status = self.zc_execute(conn, bytes.handle.get(), effects);
                effects.reply(conn, &plain_reply(response::MCAST, status));
            }
            request::PARTIAL_MCAST => {
                let (bytes, payload) = fixed(request)?;
                let status = self.partial_mcast(conn, bytes, [payload, request.tail], effects);
                effects.reply(conn, &plain_reply(response::PARTIAL_MCAST, status));
            }
            _ => return None,
        }
        Some(())
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

    fn join(&mut self, conn: ConnId, bytes: &wire::JoinRequestBytes, effects: &mut dyn Effects) -> Status {
        let Some(Ok(group)) = bytes.name.name().map(GroupName::new) else {
            return Status::NameTooLong;
        };
        let seat = Seat { pid: bytes.pid.get(), group };
        if let Some(holder) = self.seats.get(&seat) {
            let closing = self.connections.get(holder).is_some_and(|holder| holder.finalized);
            return if closing { Status::TryAgain } else { Status::Exist };
        }
        let member = Member { node: self.me, pid: seat.pid };
        let on_its_way = self.leaving.iter().any(|leaving| leaving.seat == seat || !leaving.sent);
        if on_its_way || self.groups.contains(seat.group.as_bytes(), member) {
            return Status::TryAgain;
        }
        let Some(connection) = self.connections.get_mut(&conn) else { return Status::BadHandle };
        match connection.state {
            State::Out if connection.finalized => return Status::BadHandle,
            State::Out => {}
            State::Leaving(_) => return Status::Busy,
            State::Joining(_) | State::In(_) => return Status::Exist,
        }
        if self.seats.len() + self.leaving.len() >= PROCESSES_PER_NODE {
            return Status::NoResources;
        }
        let message = wire::ProcBytes::new(exec::PROC_JOIN, &seat.group, seat.pid, Reason::Join);
        if let Err(Full) = effects.multicast_undivided(Guarantee::Agreed, message.as_bytes()) {
            return Status::TryAgain;
        }
        if bytes.flags.get() & wire::JOIN_FLAG_TOTEM_CONF != 0 {
            self.owed_totem_conf.push(conn);
        }
        self.seats.insert(seat.clone(), conn);
        connection.state = State::Joining(seat);
        Status::Ok
    }

    fn leave(&mut self, conn: ConnId, bytes: &wire::LeaveRequestBytes, effects: &mut dyn Effects) -> Status {
        let Some(connection) = self.connections.get_mut(&conn) else { return Status::BadHandle };
        let seat = match &connection.state {
            State::Out | State::Leaving(_) => return Status::NotExist,
            State::Joining(_) => return Status::Busy,
            State::In(seat) => seat.clone(),
        };
        if bytes.name.name() != Some(seat.group.as_bytes()) {
            return Status::NotExist;
        }
        let message = wire::ProcBytes::new(exec::PROC_LEAVE, &seat.group, seat.pid, Reason::Leave);
        if let Err(Full) = effects.multicast_undivided(Guarantee::Agreed, message.as_bytes()) {
            return Status::TryAgain;
        }
        connection.state = State::Leaving(seat);
        Status::Ok
    }

    /// Multicasts a message of a member. The request and the payload together hold `msglen` bytes.
    fn mcast(
        &mut self,
        conn: ConnId,
        bytes: &wire::McastRequestBytes,
        pieces: [&[u8]; 2],
        effects: &mut dyn Effects,
    ) -> Status {
        let Some(seat) = self.connections.get(&conn).and_then(Connection::sender) else {
            return Status::NotExist;
        };
        let Some(payload) = first_bytes(pieces, bytes.msglen.get()) else {
            return Status::InvalidParam;
        };
        let size = size_of::<wire::McastBytes<LE>>() + payload[0].len() + payload[1].len();
        if size > MAX_MESSAGE {
            return Status::TooBig;
        }
        let head = wire::McastBytes::<LE> {
            header: HeaderBytes::exec(ServiceId::CPG, exec::MCAST, size),
            name: wire::NameBytes::new(seat.group.as_bytes()),
            msglen: U32::new(bytes.msglen.get()),
            pad_msglen: [0; 4],
            pid: U32::new(seat.pid),
            pad_pid: [0; 4],
            source: source(self.me, conn),
        };
        let guarantee = guarantee(bytes.guarantee.get());
        match effects.multicast(guarantee, &[head.as_bytes(), payload[0], payload[1]]) {
            Ok(()) => Status::Ok,
            Err(Full) => Status::TryAgain,
        }
    }

    fn partial_mcast(
        &mut self,
        conn: ConnId,
        bytes: &wire::PartialMcastRequestBytes,
        pieces: [&[u8]; 2],
        effects: &mut dyn Effects,
    ) -> Status {
        let Some(connection) = self.connections.get_mut(&conn) else { return Status::BadHandle };
        if bytes.kind.get() == wire::FRAGMENT_FIRST {
            connection.transitions_at_first = connection.transitions;
        }
        if connection.transitions_at_first != connection.transitions {
            return Status::Interrupt;
        }
        let Some(seat) = connection.sender() else { return Status::NotExist };
        let Some(payload) = first_bytes(pieces, bytes.fraglen.get()) else {
            return Status::InvalidParam;
        };
        let size = size_of::<wire::PartialMcastBytes<LE>>() + payload[0].len() + payload[1].len();
        if size > MAX_MESSAGE {
            return Status::TooBig;
        }
        let head = wire::PartialMcastBytes::<LE> {
            header: HeaderBytes::exec(ServiceId::CPG, exec::PARTIAL_MCAST, size),
            name: wire::NameBytes::new(seat.group.as_bytes()),
            msglen: U32::new(bytes.msglen.get()),
            pad_msglen: [0; 4],
            fraglen: U32::new(bytes.fraglen.get()),
            pad_fraglen: [0; 4],
            pid: U32::new(seat.pid),
            pad_pid: [0; 4],
            kind: U32::new(bytes.kind.get()),
            pad_kind: [0; 4],
            source: source(self.me, conn),
        };
        let guarantee = guarantee(bytes.guarantee.get());
        match effects.multicast(guarantee, &[head.as_bytes(), payload[0], payload[1]]) {
            Ok(()) => Status::Ok,
            Err(Full) => Status::TryAgain,
        }
    }

    fn membership(&self, name: Option<&[u8]>) -> wire::MembershipReplyBytes {
        let mut reply = wire::MembershipReplyBytes::new_zeroed();
        reply.header = ReplyHeaderBytes::new(response::MEMBERSHIP, size_of_val(&reply), Status::Ok);
        let members = name.map_or(&[][..], |name| self.groups.members(name));
        let members = &members[..members.len().min(MEMBERS_MAX)];
        reply.count = U32::new(members.len() as u32);
        for (place, member) in reply.members.iter_mut().zip(members) {
            *place = wire::AddressBytes::new(*member, Reason::Other(0));
        }
        reply
    }

    fn iterate(&mut self, conn: ConnId, bytes: &wire::IterateRequestBytes) -> Result<u64, Status> {
        let scope = match bytes.kind.get() {
            wire::ITERATE_NAMES => Scope::Names,
            wire::ITERATE_GROUP => Scope::Group(bytes.name.name().ok_or(Status::NameTooLong)?),
            wire::ITERATE_ALL => Scope::All,
            _ => return Err(Status::InvalidParam),
        };
        let connection = self.connections.get_mut(&conn).ok_or(Status::BadHandle)?;
        connection.iterations.open(scope, self.groups.processes())
    }

    fn iterate_next(&mut self, conn: ConnId, handle: u64) -> wire::IterateNextReplyBytes {
        let mut reply = wire::IterateNextReplyBytes::new_zeroed();
        let size = size_of_val(&reply);
        let entry = match self.connections.get_mut(&conn) {
            Some(connection) => connection.iterations.next(handle),
            None => Err(Status::BadHandle),
        };
        let status = match entry {
            Ok(entry) => {
                reply.name = wire::NameBytes::new(entry.group.as_bytes());
                if let Some(member) = entry.member {
                    reply.node = U32::new(member.node.get());
                    reply.pid = U32::new(member.pid);
                }
                Status::Ok
            }
            Err(status) => status,
        };
        reply.header = ReplyHeaderBytes::new(response::ITERATION_NEXT, size, status);
        reply
    }

    /// Multicasts the message in a client's zero-copy buffer.
    fn zc_execute(&mut self, conn: ConnId, token: u64, effects: &mut dyn Effects) -> Status {
        let request = match effects.buffer_read(conn, token) {
            Ok(request) => request,
            Err(status) => return status,
        };
        match wire::McastRequestBytes::ref_from_prefix(&request) {
            Ok((bytes, payload)) => self.mcast(conn, bytes, [payload, &[]], effects),
            Err(_) => Status::InvalidParam,
        }
    }
}

/// The fixed part of a request, and the rest of the first piece.
fn fixed<T: FromBytes + KnownLayout + Immutable + zerocopy::Unaligned>(
    request: Request<'_>,
) -> Option<(&T, &[u8])> {
    T::ref_from_prefix(request.bytes).ok()
}

/// The first `length` bytes of two pieces; `None` if they are shorter.
fn first_bytes(pieces: [&[u8]; 2], length: u32) -> Option<[&[u8]; 2]> {
    let length = usize::try_from(length).ok()?;
    let first = &pieces[0][..pieces[0].len().min(length)];
    Some([first, pieces[1].get(..length - first.len())?])
}

fn guarantee(number: u32) -> Guarantee {
    if number == wire::TYPE_SAFE { Guarantee::Safe } else { Guarantee::Agreed }
}

fn source(me: NodeId, conn: ConnId) -> wire::SourceBytes<LE> {
    wire::SourceBytes { node: U32::new(me.get()), pad: [0; 4], conn: U64::new(conn.0) }
}

/// A reply that contains only a status, with the id and length that the client expects for this request.
pub(super) fn refusal(function: u16, status: Status) -> Vec<u8> {
    let (id, size) = match function {
        request::LEAVE => (response::LEAVE, 24),
        request::MEMBERSHIP => (response::MEMBERSHIP, size_of::<wire::MembershipReplyBytes>()),
        request::LOCAL_GET => (response::LOCAL_GET, size_of::<wire::LocalGetReplyBytes>()),
        request::ITERATION_INITIALIZE => {
            (response::ITERATION_INITIALIZE, size_of::<wire::IterateReplyBytes>())
        }
        request::ITERATION_NEXT => (response::ITERATION_NEXT, size_of::<wire::IterateNextReplyBytes>()),
        request::ITERATION_FINALIZE => (response::ITERATION_FINALIZE, 24),
        request::FINALIZE => (response::FINALIZE, 24),
        request::ZC_EXECUTE => (response::MCAST, 24),
        request::PARTIAL_MCAST => (response::PARTIAL_MCAST, 24),
        _ => (response::JOIN, 24),
    };
    empty_reply(id, size, status)
}
