//! The desk: connections of clients, notifications, and exec messages.
//!
//! Source: corosync `exec/cmap.c`, `exec/icmap.c`.

use super::connection::Connection;
use super::desk::Desk;
use super::members;
use super::wire::{self, exec, reply, request};
use crate::error::Status;
use crate::ids::{ConnId, ServiceId};
use crate::service::{Delivery, Effects, Notice, Request, Service, Synchronised};
use crate::time::Instant;
use crate::view::View;

impl Service for Desk {
    fn id(&self) -> ServiceId {
        ServiceId::CMAP
    }

    fn functions(&self) -> u16 {
        exec::COUNT
    }

    fn requests(&self) -> u16 {
        request::COUNT
    }

    /// No request of a client uses the ring.
    fn needs_flow_control(&self, _request: u16) -> bool {
        false
    }

    fn deliver(&mut self, delivery: Delivery, effects: &mut dyn Effects) {
        let Delivery { from, message, order, .. } = delivery;
        let Some(version) = wire::decode_version(&message, order) else {
            self.stats.malformed += 1;
            if let Some(held_back) = self.malformed.may_speak(effects.now()) {
                let length = message.len();
                tracing::warn!(%from, length, held_back, "malformed message of the database dropped");
            }
            return;
        };
        self.version.heard(from != self.me, version);
        members::set_version(from, version, effects);
    }

    fn connected(&mut self, conn: ConnId, effects: &mut dyn Effects) {
        let connection = Connection { user: effects.user(conn), ..Connection::default() };
        self.connections.insert(conn, connection);
    }

    fn request(&mut self, conn: ConnId, function: u16, request: Request<'_>, effects: &mut dyn Effects) {
        self.tellings.begin();
        if self.answer(conn, function, request, effects).is_none() {
            tracing::debug!(?conn, function, length = request.bytes.len(), "request too short");
            self.stats.short_requests += 1;
            effects.reply(conn, &reply::refusal(function, Status::InvalidParam));
        }
    }

    fn disconnected(&mut self, conn: ConnId, effects: &mut dyn Effects) {
        let Some(connection) = self.connections.remove(&conn) else { return };
        self.count_trackers(connection.user, |all| all.saturating_sub(connection.trackers.len()));
        self.tellings.begin();
        self.tellings.forget(conn, connection.trackers);
        self.go_on(effects);
    }

    fn retry(&mut self, effects: &mut dyn Effects) {
        self.tell_version(effects);
    }

    fn noticed(&mut self, notice: &Notice, effects: &mut dyn Effects) {
        let Notice::Changed(change) = notice else { return };
        let owed = self.owed.take();
        self.notify(change, owed, effects);
        self.react(change, effects);
    }

    fn deadline(&self) -> Option<Instant> {
        [self.look_at, self.tellings.deadline()].into_iter().flatten().min()
    }

    fn expired(&mut self, effects: &mut dyn Effects) {
        self.tellings.begin();
        self.go_on(effects);
        if self.look_at.is_none_or(|at| at > effects.now()) {
            return;
        }
        // The changes found by the last check are reported first.
        if self.tellings.is_comparing() {
            return;
        }
        self.look_at = None;
        if self.lookouts.len() > 0 {
            self.look(effects);
        }
        if self.counters_tracked > 0 {
            self.refresh(effects);
        }
        self.set_look(effects.now());
    }

    fn view(&mut self, view: &View, effects: &mut dyn Effects) {
        members::follow(view, &self.addresses, effects);
    }

    fn sync(&mut self) -> Option<&mut dyn Synchronised> {
        Some(self)
    }
}
