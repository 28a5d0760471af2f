//! From a new socket to an accepted client.
//!
//! A client that has not said who it is costs one descriptor and nothing else, for a limited time and in
//! limited number. Files are made only for those who may come in.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SendFlags, SocketFlags};

use super::connection::Connection;
use super::options::{Admission, Refusal};
use super::poll::interest;
use super::table::{Client, Newcomer};
use super::{Incoming, Listening, Server, listener_id, token};
use crate::ids::ConnId;
use crate::ipc::credentials::{self, Credentials};
use crate::ipc::files::RingFiles;
use crate::ipc::ring::Memory;
use crate::ipc::wire::{self, ConnectRequest, ConnectResponse};

/// Clients that may be on the way in at once.
const MOST_NEW: usize = 128;
/// How many of them may be of one user other than root.
const MOST_NEW_PER_USER: usize = 32;
/// Clients accepted at one go, before others have their turn.
const ACCEPT_BATCH: usize = 16;
/// How often the log tells of such a crowd.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// How long nobody is accepted when the process is out of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Accepts who waits at an endpoint.
    pub(super) fn accept(&mut self, endpoint: usize) {
        for _ in 0..ACCEPT_BATCH {
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
                    tracing::warn!(%error, service = self.endpoints[endpoint].name,
                                   "cannot accept clients; trying again in {PAUSE:?}");
                    self.pause();
                    return;
                }
            }
        }
    }

    fn pause(&mut self) {
        for endpoint in &self.endpoints {
            if let Some(listener) = &endpoint.listener {
                let _ = rustix::event::epoll::delete(&self.epoll, listener);
            }
        }
        self.resume_at = Some(self.now + PAUSE);
    }

    /// Accepts again after a pause.
    pub(super) fn resume(&mut self) {
        self.resume_at = None;
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            if let Some(listener) = &endpoint.listener {
                let flags = rustix::event::epoll::EventFlags::IN;
                let _ = rustix::event::epoll::add(&self.epoll, listener, token(listener_id(index)), flags);
            }
        }
    }

    fn welcome(&mut self, endpoint: usize, socket: std::os::fd::OwnedFd) -> io::Result<()> {
        let caller = credentials::connected_by(socket.as_fd())?;
        let same = |newcomer: &Newcomer| caller.uid != 0 && newcomer.caller.uid == caller.uid;
        if self.table.newcomers().count() >= MOST_NEW
            || self.table.newcomers().filter(|newcomer| same(newcomer)).count() >= MOST_NEW_PER_USER
        {
            self.stats.turned_away += 1;
            // Whoever does this does it often; the log is not for them to fill.
            if self.warn_after <= self.now {
                self.warn_after = self.now + WARN_EVERY;
                tracing::warn!(
                    pid = caller.pid,
                    uid = caller.uid,
                    "too many clients have not said who they are"
                );
            }
            return Ok(());
        }
        rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        let request = [0; ConnectRequest::LEN];
        let id = self.table.insert(|id| {
            Client::New(Newcomer { id, endpoint, socket, caller, request, got: 0, sender: None })
        });
        let Some(id) = id else {
            self.stats.turned_away += 1;
            return Ok(());
        };
        self.handshakes.push_back((self.now + self.options.handshake, id));
        let flags = rustix::event::epoll::EventFlags::IN | rustix::event::epoll::EventFlags::RDHUP;
        let newcomer = self.table.newcomer(id).expect("just inserted");
        if let Err(error) = rustix::event::epoll::add(&self.epoll, &newcomer.socket, token(id), flags) {
            self.table.remove(id);
            return Err(error.into());
        }
        Ok(())
    }

    /// Disconnects those that took too long to say who they are.
    pub(super) fn expire_handshakes(&mut self) {
        while let Some(&(at, id)) = self.handshakes.front() {
            if let Some(newcomer) = self.table.newcomer(id) {
                if at > self.now {
                    break;
                }
                let Credentials { pid, uid, .. } = newcomer.caller;
                tracing::debug!(pid, uid, "a client connected and said nothing; disconnected");
                self.stats.turned_away += 1;
                self.table.remove(id);
            }
            self.handshakes.pop_front();
        }
    }

    /// Something arrived from a client that is not accepted yet.
    pub(super) fn greet(&mut self, id: ConnId, admit: &dyn Admission) {
        let Some(newcomer) = self.table.newcomer(id) else { return };
        match receive(newcomer) {
            Ok(false) => return,
            Ok(true) => {}
            Err(_) => {
                self.stats.turned_away += 1;
                self.table.remove(id);
                return;
            }
        }
        let Some(newcomer) = self.table.take_newcomer(id) else { return };
        match self.admit(newcomer, admit) {
            Ok(connection) => {
                self.stats.accepted += 1;
                let (service, peer) = (connection.service, connection.peer);
                self.notices.push_back(Incoming::Connected { conn: id, service, peer });
                self.table.promote(connection);
            }
            Err(()) => {
                self.stats.turned_away += 1;
                self.table.release(id);
            }
        }
    }

    /// Makes a connection of a newcomer that has said who it is, and answers it.
    fn admit(&self, newcomer: Newcomer, admit: &dyn Admission) -> Result<Connection, ()> {
        let request = ConnectRequest::read(&newcomer.request);
        // Not a libqb client, or one without credentials: no answer, as libqb does.
        let peer = newcomer.sender.filter(|_| request.id == wire::AUTHENTICATE).ok_or(())?;
        let max = request.max_size.max(wire::LEAST_MAX);
        let (id, endpoint) = (newcomer.id, &self.endpoints[newcomer.endpoint]);
        let (files, memories) = match self.prepare(id, endpoint, peer, max, admit) {
            Ok(made) => made,
            Err(errno) => {
                send_whole(&newcomer.socket, &ConnectResponse::Refused(errno));
                return Err(());
            }
        };
        let names = files.paths.each_ref().map(|path| path.clone().into_bytes());
        let who = (endpoint.service, peer);
        let (max_len, backlog) = (max as usize, self.options.event_backlog);
        let mut connection = Connection::new(id, who, newcomer.socket, files, memories, max_len, backlog);
        connection.set_flow(endpoint.flow);
        let _ = rustix::net::sockopt::set_socket_passcred(connection.socket(), false);
        let response =
            ConnectResponse::Accepted { kind: wire::SHARED_MEMORY, max_size: max, cookie: id.0, names };
        // A client that hung up meanwhile is noticed later by its first event.
        if !send_whole(connection.socket(), &response) {
            return Err(());
        }
        // Reports again whatever has arrived since.
        rustix::event::epoll::modify(&self.epoll, connection.socket(), token(id), interest(false))
            .map_err(drop)?;
        Ok(connection)
    }

    /// Decides about a client and makes its files. The error is the errno to answer with.
    fn prepare(
        &self,
        id: ConnId,
        endpoint: &Listening,
        peer: Credentials,
        max: u32,
        admit: &dyn Admission,
    ) -> Result<(RingFiles, [Memory; 3]), i32> {
        let service = endpoint.name.as_str();
        let Credentials { pid, uid, gid } = peer;
        if max > self.options.max_message {
            let limit = self.options.max_message;
            tracing::warn!(
                pid,
                uid,
                service,
                asked = max,
                limit,
                "a client asks for larger messages than allowed"
            );
            return Err(libc::EMSGSIZE);
        }
        self.check_room(peer).and_then(|()| admit.admit(endpoint.service, &peer)).map_err(|refusal| {
            tracing::info!(pid, uid, gid, service, reason = %refusal, "refused a connection");
            refusal.errno()
        })?;
        let place = id.0 & 0xffff;
        RingFiles::create(&self.options.directory, service, peer, place, max as usize).map_err(|error| {
            tracing::warn!(pid, uid, service, directory = ?self.options.directory, %error,
                           "cannot make the shared memory of a connection; is it full?");
            error.raw_os_error().unwrap_or(libc::EIO)
        })
    }

    /// Whether one more connection of that user is within the limits.
    fn check_room(&self, peer: Credentials) -> Result<(), Refusal> {
        let all = self.table.connections().count();
        let own = || self.table.connections().filter(|connection| connection.peer.uid == peer.uid).count();
        let full =
            all >= self.options.max_connections || (peer.uid != 0 && own() >= self.options.max_per_user);
        if full { Err(Refusal::TooMany) } else { Ok(()) }
    }
}

/// Receives more of the first message. Whether it is complete; an error if the client is gone.
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

/// Sends a response in one call: older clients fail if only part of it is there when they look.
fn send_whole(socket: &std::os::fd::OwnedFd, response: &ConnectResponse) -> bool {
    let bytes = response.to_bytes();
    rustix::net::send(socket, &bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) == Ok(bytes.len())
}
