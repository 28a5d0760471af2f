//! The desk: connections of clients, notifications, and exec messages.
//!
//! Source: corosync `exec/cmap.c`, `exec/icmap.c`.

use super::connection::Connection;
use super::desk::Desk;
use super::members;
use super::wire::{self, exec, request};
use crate::ids::{ConnId, ServiceId};
use crate::service::{Context, Delivery, Notice, Request, Service, Synchronised};
use crate::time::{Instant, earliest};
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

    fn deliver(&mut self, delivery: Delivery, context: &mut Context<'_>) {
        let Delivery { from, message, order, .. } = delivery;
        let Some(version) = wire::decode_version(&message, order) else {
            self.stats.malformed += 1;
            if let Some(held_back) = self.malformed.may_speak(context.now()) {
                let length = message.len();
                tracing::warn!(%from, length, held_back, "malformed message of the database dropped");
            }
            return;
        };
        self.version.heard(from != self.me, version);
        members::set_version(from, version, context);
    }

    fn connected(&mut self, conn: ConnId, context: &mut Context<'_>) {
        let connection = Connection { user: context.user(conn), ..Connection::default() };
        self.connections.insert(conn, connection);
    }

    fn request(&mut self, conn: ConnId, function: u16, request: Request<'_>, context: &mut Context<'_>) {
        self.tellings.begin();
        self.handle(conn, function, request, context);
    }

    fn disconnected(&mut self, conn: ConnId, context: &mut Context<'_>) {
        let Some(connection) = self.connections.remove(&conn) else { return };
        self.count_trackers(connection.user, |all| all.saturating_sub(connection.trackers.len()));
        self.tellings.begin();
        self.tellings.forget(conn, connection.trackers);
        self.go_on(context);
    }

    fn retry(&mut self, context: &mut Context<'_>) {
        self.tell_version(context);
    }

    fn noticed(&mut self, notice: &Notice, context: &mut Context<'_>) {
        let Notice::Changed(change) = notice else { return };
        let owed = self.owed.take();
        self.notify(change, owed, context);
        self.react(change, context);
    }

    fn deadline(&self) -> Option<Instant> {
        earliest([self.look_at, self.tellings.deadline()])
    }

    fn expired(&mut self, context: &mut Context<'_>) {
        self.tellings.begin();
        self.go_on(context);
        if self.look_at.is_none_or(|at| at > context.now()) {
            return;
        }
        // The changes found by the last check are reported first.
        if self.tellings.is_comparing() {
            return;
        }
        self.look_at = None;
        if self.lookouts.len() > 0 {
            self.look(context);
        }
        if self.counters_tracked > 0 {
            self.refresh(context);
        }
        self.set_look(context.now());
    }

    fn view(&mut self, view: &View, context: &mut Context<'_>) {
        members::follow(view, &self.addresses, context);
    }

    fn sync(&mut self) -> Option<&mut dyn Synchronised> {
        Some(self)
    }
}
