//! Accepting a client: from the new socket to the connection.
//!
//! A client that has not identified itself costs one descriptor and nothing else; the time and the number of such
//! clients are limited. Files are made only for clients that are admitted.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SendFlags, SocketFlags};

use super::census::Kind;
use super::closer::Remains;
use super::connection::{Connection, Limits, interest};
use super::options::{Admission, Refusal};
use super::quiet::About;
use super::table::{Client, Newcomer, Table};
use super::{Incoming, Listening, Server, listener_id, token};
use crate::ids::ConnId;
use crate::ipc::credentials::{self, Credentials};
use crate::ipc::files::{self, RingFiles};
use crate::ipc::ring::Memory;
use crate::ipc::wire::{self, ConnectRequest, ConnectResponse};

/// Clients accepted at one time, before other work is done.
const ACCEPT_BATCH: usize = 16;
/// Pause of accepting when the process has no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// Pause of accepting when clients come faster than refused ones are closed.
const BREATH: Duration = Duration::from_millis(5);

impl Server {
    /// Accepts clients that wait at an endpoint.
    pub(super) fn accept(&mut self, endpoint: usize) {
        for taken in 0..ACCEPT_BATCH {
            // The call itself was a step already. Clients that are left wait in the listener, which stays readable.
            if taken > 0 && !self.turn.step() {
                return;
            }
            let Some(listener) = &self.endpoints[endpoint].listener else { return };
            match rustix::net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => {
                    if let Err(error) = self.welcome(endpoint, socket) {
                        tracing::debug!(%error, "a new client could not be watched");
                    }
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => {
                    if let Some(left_out) = self.quiet.due(self.now, 0, About::Accept) {
                        tracing::warn!(%error, left_out, service = self.endpoints[endpoint].name,
                                       "cannot accept clients; trying again every {PAUSE:?}");
                    }
                    self.pause(PAUSE);
                    return;
                }
            }
        }
    }

    fn pause(&mut self, time: Duration) {
        for endpoint in &self.endpoints {
            if let Some(listener) = &endpoint.listener {
                let _ = rustix::event::epoll::delete(&self.epoll, listener);
            }
        }
        self.resume_at = Some(self.now + time);
    }

    /// Resumes accepting after a pause.
    pub(super) fn resume(&mut self) {
        self.resume_at = None;
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            if let Some(listener) = &endpoint.listener {
                let flags = rustix::event::epoll::EventFlags::IN;
                let _ = rustix::event::epoll::add(&self.epoll, listener, token(listener_id(index)), flags);
            }
        }
    }

    fn welcome(&mut self, endpoint: usize, socket: OwnedFd) -> io::Result<()> {
        let caller = credentials::connected_by(socket.as_fd())?;
        let Credentials { pid, uid, .. } = caller;
        let room = self.census.has_room(uid, Kind::Newcomer, self.options.newcomers());
        if !room {
            self.stats.turned_away += 1;
            if let Some(left_out) = self.quiet.due(self.now, uid, About::Crowd) {
                tracing::warn!(pid, uid, left_out, "too many clients have not said who they are");
            }
            self.census.came(uid, Kind::TurnedAway);
            self.closer.take(Remains::Socket(socket), Some((uid, Kind::TurnedAway)));
            if self.census.count(Kind::TurnedAway) >= self.options.max_handshakes {
                self.pause(BREATH);
            }
            return Ok(());
        }
        self.census.came(uid, Kind::Newcomer);
        rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        let request = [0; ConnectRequest::LEN];
        let id = self.table.insert(|id| {
            Client::New(Newcomer { id, endpoint, socket, caller, request, got: 0, sender: None })
        });
        let Some(id) = id else {
            // Does not happen: the table has more places than there are descriptors.
            self.census.went(uid, Kind::Newcomer);
            self.stats.turned_away += 1;
            return Ok(());
        };
        self.handshakes.push_back((self.now + self.options.handshake, id));
        let flags = rustix::event::epoll::EventFlags::IN | rustix::event::epoll::EventFlags::RDHUP;
        let newcomer = self.table.newcomer(id).expect("just inserted");
        if let Err(error) = rustix::event::epoll::add(&self.epoll, &newcomer.socket, token(id), flags) {
            self.discard(id);
            return Err(error.into());
        }
        Ok(())
    }

    /// Disconnects clients that did not identify themselves in time.
    pub(super) fn expire_handshakes(&mut self) {
        while let Some(&(at, id)) = self.handshakes.front() {
            if let Some(newcomer) = self.table.newcomer(id) {
                if at > self.now {
                    break;
                }
                let Credentials { pid, uid, .. } = newcomer.caller;
                tracing::debug!(pid, uid, "a client connected and said nothing; disconnected");
                self.stats.turned_away += 1;
                self.discard(id);
            }
            self.handshakes.pop_front();
        }
    }

    /// Handles data from a client that is not accepted yet.
    pub(super) fn greet(&mut self, id: ConnId, admit: &dyn Admission) {
        let Some(newcomer) = self.table.newcomer(id) else { return };
        match receive(newcomer) {
            Ok(false) => return,
            Ok(true) => {}
            Err(_) => {
                self.stats.turned_away += 1;
                self.discard(id);
                return;
            }
        }
        let Some(newcomer) = self.table.take_newcomer(id) else { return };
        let caller = newcomer.caller.uid;
        match self.admit(newcomer, admit) {
            Ok(connection) => {
                self.stats.accepted += 1;
                let (service, peer) = (connection.service, connection.peer);
                self.census.went(caller, Kind::Newcomer);
                self.census.came(peer.uid, Kind::Connection);
                self.notices.push_back(Incoming::Connected { conn: id, service, peer });
                self.table.promote(connection);
            }
            Err(remains) => {
                self.stats.turned_away += 1;
                self.table.release(id);
                if let Some(socket) = remains.socket() {
                    let _ = rustix::event::epoll::delete(&self.epoll, socket);
                }
                self.census.turned_away(caller);
                self.closer.take(remains, Some((caller, Kind::TurnedAway)));
                if self.census.count(Kind::TurnedAway) >= self.options.max_handshakes {
                    self.pause(BREATH);
                }
            }
        }
    }

    /// Makes a connection of a newcomer that has identified itself, and answers it. Returns its socket for closing if
    /// it is refused.
    fn admit(&mut self, newcomer: Newcomer, admit: &dyn Admission) -> Result<Connection, Remains> {
        let request = ConnectRequest::read(&newcomer.request);
        // Not a libqb client, or one without credentials: as in libqb, it gets no answer.
        let Some(peer) = newcomer.sender.filter(|_| request.id == wire::AUTHENTICATE) else {
            return Err(Remains::Socket(newcomer.socket));
        };
        let max = request.max_size.max(wire::LEAST_MAX);
        let id = newcomer.id;
        let (files, memories) = match self.prepare(id, newcomer.endpoint, peer, max, admit) {
            Ok(made) => made,
            Err(errno) => {
                send_whole(&newcomer.socket, &ConnectResponse::Refused(errno));
                return Err(Remains::Socket(newcomer.socket));
            }
        };
        let endpoint = &self.endpoints[newcomer.endpoint];
        let names = files.paths.each_ref().map(|path| path.clone().into_bytes());
        let who = (endpoint.service, peer);
        let limits = Limits { max: max as usize, event_backlog: self.options.event_backlog };
        let mut connection = Connection::new(id, who, newcomer.socket, files, memories, limits, &self.pool);
        connection.set_flow(endpoint.flow);
        let _ = rustix::net::sockopt::set_socket_passcred(connection.socket(), false);
        let response =
            ConnectResponse::Accepted { kind: wire::SHARED_MEMORY, max_size: max, cookie: id.0, names };
        // If the client has hung up meanwhile, its next event shows that.
        let told = send_whole(connection.socket(), &response);
        // Makes epoll report again whatever has arrived since.
        let watched =
            rustix::event::epoll::modify(&self.epoll, connection.socket(), token(id), interest(false));
        if told && watched.is_ok() { Ok(connection) } else { Err(connection.into_remains()) }
    }

    /// Decides about a client and makes its files. The error is the errno for the client.
    fn prepare(
        &mut self,
        id: ConnId,
        endpoint: usize,
        peer: Credentials,
        max: u32,
        admit: &dyn Admission,
    ) -> Result<(RingFiles, [Memory; 3]), i32> {
        let Listening { service, name, .. } = &self.endpoints[endpoint];
        let Credentials { pid, uid, gid } = peer;
        let limit = self.options.max_message;
        // A client that is not admitted learns nothing about the limits.
        let verdict = admit.admit(*service, &peer).and_then(|()| {
            if max > limit {
                return Err(Refusal::TooLong { asked: max, limit });
            }
            if !self.census.has_room(uid, Kind::Connection, self.options.connections()) {
                return Err(Refusal::TooMany);
            }
            let room = has_memory(&self.table, self.options.max_memory, uid, max);
            if room { Ok(()) } else { Err(Refusal::NoMemory) }
        });
        if let Err(refusal) = verdict {
            if let Some(left_out) = self.quiet.due(self.now, uid, About::Refused) {
                let service = name.as_str();
                match refusal {
                    // Normal for any client that connects too early; it tries again.
                    Refusal::NotReady | Refusal::NoService => {
                        tracing::info!(pid, uid, gid, service, reason = %refusal, left_out, "refused a connection");
                    }
                    Refusal::TooMany | Refusal::TooLong { .. } | Refusal::NoMemory | Refusal::Denied => {
                        tracing::warn!(pid, uid, gid, service, reason = %refusal, left_out, "refused a connection");
                    }
                }
            }
            return Err(refusal.errno());
        }
        let place = id.0 & 0xffff;
        RingFiles::create(&self.options.directory, name, peer, place, max as usize).map_err(|error| {
            if let Some(left_out) = self.quiet.due(self.now, uid, About::Memory) {
                tracing::warn!(pid, uid, service = name.as_str(), directory = ?self.options.directory, %error, left_out,
                               "cannot make the shared memory of a connection; is it full?");
            }
            error.raw_os_error().unwrap_or(libc::EIO)
        })
    }
}

/// Whether another connection's shared memory stays within `limit` bytes for all users, and within half of it for
/// this user.
fn has_memory(table: &Table, limit: u64, uid: u32, max: u32) -> bool {
    let more = files::memory_of(max as usize);
    let (mut all, mut own) = (more, more);
    for client in table.connections() {
        all = all.saturating_add(client.memory);
        own = own.saturating_add(if client.peer.uid == uid { client.memory } else { 0 });
    }
    all <= limit && (uid == 0 || own <= limit / 2)
}

/// Receives more of the first message. Returns whether it is complete; an error if the client is gone.
fn receive(newcomer: &mut Newcomer) -> io::Result<bool> {
    let buf = &mut newcomer.request[newcomer.got..];
    match credentials::receive(newcomer.socket.as_fd(), buf) {
        Ok((0, _)) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok((got, sender)) => {
            newcomer.got += got;
            newcomer.sender = sender.or(newcomer.sender);
            Ok(newcomer.got == newcomer.request.len())
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Sends a response in one call, as older clients fail if they find only a part of it.
fn send_whole(socket: &OwnedFd, response: &ConnectResponse) -> bool {
    let bytes = response.to_bytes();
    rustix::net::send(socket, &bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) == Ok(bytes.len())
}
