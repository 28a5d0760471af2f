//! The desk of CPG: exec messages, and the events that result from them.
//!
//! Source: corosync `exec/cpg.c`; docs/protocol/services.md, "Answers of CPG" and "Membership of groups".
//! Differences that a client could notice: a connection that has left a group can join again (Corosync
//! intends to allow it), a leave names only the connection's own process, and a membership event never has
//! more entries in one list than libcpg has room for.

use super::desk::{Connection, Desk, Leaving, State};
use super::name::Member;
use super::wire::reply::refusal;
use super::wire::{self, Event, Exec, Place, exec, request};
use crate::error::Status;
use crate::ids::{ConnId, Piece, ServiceId};
use crate::service::{Context, Delivery, Request, Service, Synchronised};
use crate::view::View;

impl Service for Desk {
    fn id(&self) -> ServiceId {
        ServiceId::CPG
    }

    fn functions(&self) -> u16 {
        exec::COUNT
    }

    fn requests(&self) -> u16 {
        request::COUNT
    }

    fn needs_flow_control(&self, request: u16) -> bool {
        !matches!(
            request,
            request::MEMBERSHIP
                | request::LOCAL_GET
                | request::ITERATION_INITIALIZE
                | request::ITERATION_NEXT
                | request::ITERATION_FINALIZE
        )
    }

    fn answers(&self, request: u16) -> bool {
        request != request::MCAST
    }

    fn settled(&self) -> bool {
        self.leaving.is_empty()
    }

    fn deliver(&mut self, delivery: Delivery, context: &mut Context<'_>) {
        let Delivery { from, function, message, order } = delivery;
        let Some(decoded) = Exec::decode(function, &message, order) else {
            self.stats.malformed += 1;
            if let Some(held_back) = self.logs.malformed.may_speak(context.now()) {
                let length = message.len();
                tracing::warn!(%from, function, length, held_back, "malformed group message dropped");
            }
            return;
        };
        match decoded {
            Exec::Join { group, pid } => self.process_joined(Member { node: from, pid }, group, context),
            Exec::Leave { group, pid, reason } => {
                self.process_left(Member { node: from, pid }, group, reason, context);
            }
            Exec::JoinList(list) => {
                self.stats.long_join_lists += self.exchange.join_list(from, &list) as u64;
            }
            Exec::DownList => self.exchange.down_list(from),
            // The payload is a slice of `message`, as the decoder cut it, so `slice_ref` finds it there.
            Exec::Mcast { group, pid, payload } => {
                let sender = Member { node: from, pid };
                let event = Event::Deliver { group, sender, payload };
                self.hand_out(sender, group, (event, message.slice_ref(payload)), Piece::Whole, context);
            }
            Exec::PartialMcast { group, pid, total, place, payload } => {
                let sender = Member { node: from, pid };
                let event = Event::PartialDeliver { group, sender, total, place, payload };
                let piece = if place == Place::Last { Piece::Last } else { Piece::Part };
                self.hand_out(sender, group, (event, message.slice_ref(payload)), piece, context);
            }
        }
    }

    fn connected(&mut self, conn: ConnId, _context: &mut Context<'_>) {
        self.connections.insert(conn, Connection::default());
    }

    fn request(&mut self, conn: ConnId, function: u16, request: Request<'_>, context: &mut Context<'_>) {
        let Some(decoded) = wire::Request::decode(function, [request.bytes, request.tail]) else {
            tracing::debug!(?conn, function, length = request.bytes.len(), "request too short");
            if function == request::MCAST {
                self.stats.dropped_requests += 1;
            } else {
                context.reply(conn, refusal(function, Status::InvalidParam));
            }
            return;
        };
        match self.answer(conn, decoded, context) {
            Some(Ok(reply)) => context.reply(conn, reply.encode(function)),
            Some(Err(status)) => context.reply(conn, refusal(function, status)),
            None => {}
        }
    }

    fn disconnected(&mut self, conn: ConnId, context: &mut Context<'_>) {
        let Some(connection) = self.connections.remove(&conn) else { return };
        self.owed_totem_conf.retain(|other| *other != conn);
        match connection.state {
            State::Out => {}
            State::Leaving(seat) => {
                self.groups.unlisten(seat.group.as_bytes(), conn);
                self.seats.remove(&seat);
                // The leave message is on its way already.
                self.leaving.push(Leaving { seat, sent: true });
            }
            State::Joining(seat) | State::In(seat) => {
                self.groups.unlisten(seat.group.as_bytes(), conn);
                self.seats.remove(&seat);
                self.leaving.push(Leaving { seat, sent: false });
                self.send_leaves(context);
            }
        }
    }

    fn retry(&mut self, context: &mut Context<'_>) {
        self.send_leaves(context);
    }

    fn view(&mut self, _view: &View, _context: &mut Context<'_>) {}

    fn sync(&mut self) -> Option<&mut dyn Synchronised> {
        Some(self)
    }
}
