//! The desk of CPG: exec messages, and the events that result from them.
//!
//! Source: corosync `exec/cpg.c`; docs/protocol/services.md, "Answers of CPG" and "Membership of groups".
//! Differences that a client could notice: a connection that has left a group can join again (Corosync
//! intends to allow it), a leave names only the connection's own process, and a membership event never has
//! more entries in one list than libcpg has room for.

use zerocopy::{IntoBytes, U32};

use super::desk::{Connection, Desk, Leaving, State};
use super::name::Member;
use super::requests;
use super::wire::{self, Exec, exec, request, response};
use crate::error::Status;
use crate::ids::{ConnId, Piece, ServiceId};
use crate::service::wire::ReplyHeaderBytes;
use crate::service::{Delivery, Effects, Request, Service, Synchronised};
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

    fn deliver(&mut self, delivery: Delivery, effects: &mut dyn Effects) {
        let Delivery { from, function, message, order } = delivery;
        let Some(decoded) = Exec::decode(function, &message, order) else {
            self.stats.malformed += 1;
            if let Some(held_back) = self.logs.malformed.may_speak(effects.now()) {
                let length = message.len();
                tracing::warn!(%from, function, length, held_back, "malformed group message dropped");
            }
            return;
        };
        match decoded {
            Exec::Join { group, pid } => self.process_joined(Member { node: from, pid }, group, effects),
            Exec::Leave { group, pid, reason } => {
                self.process_left(Member { node: from, pid }, group, reason, effects);
            }
            Exec::JoinList(list) => {
                self.stats.long_join_lists += self.exchange.join_list(from, &list) as u64;
            }
            Exec::DownList => self.exchange.down_list(from),
            // The payload is a slice of `message`, as the decoder cut it, so `slice_ref` finds it there.
            Exec::Mcast { group, pid, payload } => {
                let size = size_of::<wire::DeliverBytes>() + payload.len();
                let head = wire::DeliverBytes {
                    header: ReplyHeaderBytes::new(response::DELIVER, size, Status::Ok),
                    name: wire::NameBytes::new(group),
                    msglen: U32::new(payload.len() as u32),
                    pad_msglen: [0; 4],
                    node: U32::new(from.get()),
                    pad_node: [0; 4],
                    pid: U32::new(pid),
                    pad_pid: [0; 4],
                };
                let event = (head.as_bytes(), &message.slice_ref(payload));
                self.hand_out((from, pid), group, event, Piece::Whole, effects);
            }
            Exec::PartialMcast { group, pid, msglen, kind, payload } => {
                let size = size_of::<wire::PartialDeliverBytes>() + payload.len();
                let head = wire::PartialDeliverBytes {
                    header: ReplyHeaderBytes::new(response::PARTIAL_DELIVER, size, Status::Ok),
                    name: wire::NameBytes::new(group),
                    msglen: U32::new(msglen),
                    pad_msglen: [0; 4],
                    fraglen: U32::new(payload.len() as u32),
                    pad_fraglen: [0; 4],
                    node: U32::new(from.get()),
                    pad_node: [0; 4],
                    pid: U32::new(pid),
                    pad_pid: [0; 4],
                    kind: U32::new(kind),
                    pad_kind: [0; 4],
                };
                let event = (head.as_bytes(), &message.slice_ref(payload));
                let piece = if kind == wire::FRAGMENT_LAST { Piece::Last } else { Piece::Part };
                self.hand_out((from, pid), group, event, piece, effects);
            }
        }
    }

    fn connected(&mut self, conn: ConnId, _effects: &mut dyn Effects) {
        self.connections.insert(conn, Connection::default());
    }

    fn request(&mut self, conn: ConnId, function: u16, request: Request<'_>, effects: &mut dyn Effects) {
        if self.answer(conn, function, request, effects).is_none() {
            tracing::debug!(?conn, function, length = request.bytes.len(), "request too short");
            if function == request::MCAST {
                self.stats.dropped_requests += 1;
            } else {
                effects.reply(conn, &requests::refusal(function, Status::InvalidParam));
            }
        }
    }

    fn disconnected(&mut self, conn: ConnId, effects: &mut dyn Effects) {
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
                self.send_leaves(effects);
            }
        }
    }

    fn retry(&mut self, effects: &mut dyn Effects) {
        self.send_leaves(effects);
    }

    fn view(&mut self, _view: &View, _effects: &mut dyn Effects) {}

    fn sync(&mut self) -> Option<&mut dyn Synchronised> {
        Some(self)
    }
}
