//! The end of connections: closed by the server, disconnected for a violation, or closed by the client.

use rustix::event::epoll;

use super::census::Kind;
use super::closer::Remains;
use super::connection::Reason;
use super::quiet::About;
use super::table::Client;
use super::{Incoming, Server};
use crate::ids::ConnId;
use crate::ipc::credentials::Credentials;

impl Server {
    /// Closes a connection: nothing more is read from it, and messages sent to it are still delivered for up to
    /// [`Options::linger`](super::Options::linger). [`Incoming::Closed`] follows.
    pub fn close(&mut self, conn: ConnId) {
        let until = self.now + self.options.linger;
        let Some(client) = self.table.open(conn).filter(|client| client.lingers.is_none()) else { return };
        if client.hung_up {
            self.remove(conn);
            return;
        }
        client.lingers = Some(until);
        client.disable();
        let buffers = std::mem::take(&mut client.buffers);
        self.closer.take(Remains::Buffers(buffers), None);
        self.stats.closed += 1;
        self.notices.push_back(Incoming::Closed { conn });
        self.look_again(conn);
        self.flush_client(conn);
        self.finish_lingering(conn);
    }

    /// Stops accepting and closes every connection as [`Self::close`] does. The shutdown is complete when
    /// [`Self::connections`] is 0 or the server is dropped.
    pub fn shutdown(&mut self) {
        self.resume_at = None;
        for endpoint in &mut self.endpoints {
            if endpoint.listener.take().is_some() {
                endpoint.address.remove();
            }
        }
        for id in self.table.newcomers() {
            self.discard(id);
        }
        let open: Vec<_> = self.table.connections().map(|client| client.id).collect();
        for conn in open {
            self.close(conn);
        }
    }

    /// Removes a client that the server has closed, once it has read everything or its time is up.
    pub(super) fn finish_lingering(&mut self, conn: ConnId) {
        let now = self.now;
        let Some(client) = self.table.open(conn) else { return };
        let Some(until) = client.lingers else { return };
        if client.is_drained() || until <= now {
            self.discard(conn);
        } else {
            self.look_again(conn);
        }
    }

    /// Disconnects at once a client that violates the rules or does not read.
    pub(super) fn throw_out(&mut self, conn: ConnId, reason: &Reason) {
        let Some(client) = self.table.open(conn) else { return };
        let Credentials { pid, uid, .. } = client.peer;
        let service = client.service.0;
        self.stats.thrown_out += 1;
        let name = self
            .endpoints
            .iter()
            .find(|endpoint| endpoint.service.0 == service)
            .map_or("?", |endpoint| endpoint.name.as_str());
        if let Some(left_out) = self.quiet.due(self.now, uid, About::ThrownOut) {
            tracing::warn!(pid, uid, service = name, %reason, left_out, "disconnected a client");
        }
        self.remove(conn);
    }

    /// Removes a client and reports it closed, unless [`Self::close`] has done so.
    pub(super) fn remove(&mut self, conn: ConnId) {
        let Some(client) = self.table.open(conn) else { return };
        if client.lingers.is_none() {
            self.notices.push_back(Incoming::Closed { conn });
            self.stats.closed += 1;
        }
        self.discard(conn);
    }

    /// Hands a client's socket and files over to be closed.
    pub(super) fn discard(&mut self, id: ConnId) {
        let Some(mut client) = self.table.remove(id) else { return };
        // Otherwise epoll would report it until it is closed.
        let _ = epoll::delete(&self.epoll, client.socket());
        if let Client::Open(connection) = &mut client {
            connection.forget();
            connection.part();
        }
        let mut owner = client.owner();
        if owner.1 == Kind::Newcomer {
            self.census.turned_away(owner.0);
            owner.1 = Kind::TurnedAway;
        }
        self.closer.take(client.into_remains(), Some(owner));
    }

    /// Updates the counts for everything that has been closed meanwhile.
    pub(super) fn note_closed(&mut self) {
        while let Some((user, kind)) = self.closer.closed() {
            self.census.went(user, kind);
        }
    }
}
