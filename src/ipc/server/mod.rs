//! The server: listens for every service, accepts clients, and hands out their requests one at a time.
//!
//! Nothing here blocks, and messages are opaque. All descriptors are gathered in one epoll descriptor, which is
//! readable when [`Server::next`] has something to do.
//!
//! | file | what |
//! |---|---|
//! | `accept.rs` | from a new socket to an accepted client |
//! | `census.rs` | number of clients of each user |
//! | `closer.rs` | closes descriptors that came from clients, in threads of its own |
//! | `connection.rs` | one client: ring buffers, and messages that wait for room |
//! | `counters.rs` | counters of each client |
//! | `events.rs` | events, and the limit on memory for slow readers |
//! | `leaving.rs` | the end of connections |
//! | `options.rs` | limits, endpoints, admission |
//! | `poll.rs` | events of descriptors and timers |
//! | `quiet.rs` | limits log lines that users can cause |
//! | `requests.rs` | whose requests are read, and when |
//! | `table.rs` | clients by id |
//! | `turn.rs` | limits the work of one turn |

mod accept;
mod census;
mod closer;
mod connection;
mod counters;
mod events;
mod leaving;
mod options;
mod poll;
mod quiet;
mod requests;
mod table;
mod turn;

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use bytes::Bytes;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::census::{Census, Kind};
use self::closer::{Closer, Remains};
use self::connection::{Connection, interest};
pub use self::counters::{About, Counters};
pub use self::options::{Admission, Endpoint, Flow, Options, Refusal};
use self::quiet::Quiet;
use self::table::Table;
use self::turn::Turn;
use super::address::{self, Address};
use super::credentials::Credentials;
use super::error::IpcError;
use super::files;
use super::pool::Pool;
use crate::error::Status;
use crate::ids::{ConnId, ServiceId};
use crate::time::{Instant, earliest};

/// Requests taken from one client before others have their turn.
const BUDGET: u32 = 50;
/// Requests taken before the descriptors are polled again.
const POLL_EVERY: u32 = 64;
/// Delay until a client without room is looked at again, in case the kernel does not report it.
const SLOW: Duration = Duration::from_millis(2);
/// Descriptors reported by one poll at most.
const EVENTS: usize = 64;
/// Blocks of abandoned queues freed at a time, each of up to 128 messages.
const FREED: usize = 4;
/// This bit is set in the tokens of listeners, and never in ids of clients.
const LISTENER: u64 = 1 << 63;

/// What [`Server::next`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A client was accepted. Events may be sent to it at once.
    Connected {
        /// The id of the connection.
        conn: ConnId,
        /// The service.
        service: ServiceId,
        /// The client's process and user.
        peer: Credentials,
    },
    /// A client sent a request. It is in the caller's buffer as a private copy, at least a header long, and as long
    /// as its header says. Its id is not checked.
    Request {
        /// The connection that sent it.
        conn: ConnId,
    },
    /// A connection has ended: the client closed it or died, was disconnected, or [`Server::close`] was called.
    /// Reported once for each connection that was reported as connected; nothing comes from it afterwards.
    Closed {
        /// The id of the connection.
        conn: ConnId,
    },
}

/// Counters of a server since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Number of clients accepted.
    pub accepted: u64,
    /// Clients refused, silent, not speaking the protocol, or over a limit.
    pub turned_away: u64,
    /// Connections that have ended, for whatever reason.
    pub closed: u64,
    /// Clients disconnected because they violated the rules or did not read.
    pub thrown_out: u64,
    /// Requests handed out.
    pub requests: u64,
    /// Replies accepted for sending.
    pub replies: u64,
    /// Events accepted for sending.
    pub events: u64,
}

/// The listener of one service.
struct Listening {
    service: ServiceId,
    name: String,
    address: Address,
    listener: Option<OwnedFd>,
    flow: Flow,
    /// Whether reading from its clients is suspended, although they may send.
    paused: bool,
}

/// The server's end of all connections.
///
/// When its descriptor is readable or its deadline has passed, call [`Self::next`] until it returns `None`, and then
/// [`Self::flush`] once. Requests that a client sent before it closed or died are still handed out before its
/// [`Incoming::Closed`], so that an accepted multicast is not lost. (libqb drops them.)
pub struct Server {
    options: Options,
    epoll: OwnedFd,
    endpoints: Vec<Listening>,
    table: Table,
    /// Clients that may have requests, in the order of their turns.
    ready: VecDeque<ConnId>,
    /// Clients with unannounced events.
    dirty: VecDeque<ConnId>,
    /// Clients that have to read first, or that linger.
    slow: VecDeque<ConnId>,
    slow_at: Option<Instant>,
    handshakes: VecDeque<(Instant, ConnId)>,
    resume_at: Option<Instant>,
    notices: VecDeque<Incoming>,
    /// The memory of all queues for slow readers.
    pool: Pool,
    /// Reports of descriptors that were not handled yet. They are not reported again.
    reported: VecDeque<(EventFlags, u64)>,
    census: Census,
    closer: Closer,
    quiet: Quiet,
    turn: Turn,
    announcing: Turn,
    /// Whether the last turn ended before its work was done.
    unfinished: bool,
    /// Whether events are left to be announced in the next turn.
    untold: bool,
    /// Bytes of events written to ring buffers since the last [`Self::flush`].
    copied: usize,
    since_poll: u32,
    now: Instant,
    stats: Stats,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("options", &self.options)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Server {
    /// Listens for clients of the given services, after removing the files that a dead server has left.
    ///
    /// # Errors
    /// A name is invalid, an address is taken, or there are no more descriptors.
    pub fn bind(options: Options, endpoints: Vec<Endpoint>) -> Result<Self, IpcError> {
        let system = |what| move |source: rustix::io::Errno| IpcError::System { what, source: source.into() };
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(system("cannot make an epoll descriptor"))?;
        let mut server = Self {
            turn: Turn::new(options.turn, options.turn_steps),
            announcing: Turn::new(options.turn, options.turn_steps),
            options,
            epoll,
            endpoints: Vec::new(),
            table: Table::default(),
            ready: VecDeque::new(),
            dirty: VecDeque::new(),
            slow: VecDeque::new(),
            slow_at: None,
            handshakes: VecDeque::new(),
            resume_at: None,
            notices: VecDeque::new(),
            pool: Pool::default(),
            reported: VecDeque::new(),
            census: Census::default(),
            closer: Closer::default(),
            quiet: Quiet::default(),
            unfinished: false,
            untold: false,
            copied: 0,
            since_poll: 0,
            now: Instant::ZERO,
            stats: Stats::default(),
        };
        for (index, Endpoint { service, name }) in endpoints.into_iter().enumerate() {
            check_name(&name)?;
            let address = server.options.rendezvous.address(&name);
            let listener = address.listen()?;
            epoll::add(&server.epoll, &listener, token(listener_id(index)), EventFlags::IN)
                .map_err(system("cannot watch a listening socket"))?;
            let listener = Some(listener);
            let flow = Flow::Open;
            server.endpoints.push(Listening { service, name, address, listener, flow, paused: false });
        }
        if let Some(why) = server.options.rendezvous.seclusion() {
            tracing::error!("{why}");
        }
        // Only now, because owning the addresses shows that no other server of these services runs here.
        let names: Vec<&str> = server.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
        let swept = files::sweep(&server.options.directory, &names);
        if swept > 0 {
            tracing::info!(swept, directory = ?server.options.directory, "removed the ring files of a dead server");
        }
        Ok(server)
    }

    /// Works until there is something for the caller. `None`: nothing until the descriptor is readable or
    /// [`Self::deadline`] passes. If the turn is over before the work is done (see [`Options::turn`]), the deadline
    /// has passed already: the caller looks at its other sockets first, and the next call begins another turn.
    ///
    /// The bytes of a request replace the content of `buf`, whose capacity is reused.
    pub fn next(&mut self, now: Instant, admit: &dyn Admission, buf: &mut Vec<u8>) -> Option<Incoming> {
        self.now = now;
        self.note_closed();
        self.pool.free(FREED);
        self.pass_deadlines();
        loop {
            if self.turn.is_spent() {
                self.end_turn(true);
                return None;
            }
            if let Some(notice) = self.notices.pop_front() {
                self.turn.step();
                return Some(notice);
            }
            if self.since_poll < POLL_EVERY
                && let Some(conn) = self.take_request(buf)
            {
                self.since_poll += 1;
                self.stats.requests += 1;
                return Some(Incoming::Request { conn });
            }
            let more = !self.notices.is_empty() || !self.ready.is_empty();
            self.since_poll = 0;
            if !self.poll(admit) && !more {
                self.end_turn(false);
                return None;
            }
        }
    }

    /// Waits until a client has brought something, at most for this long.
    pub fn wait(&self, longest: Duration) {
        let longest = Timespec::try_from(longest).unwrap_or_default();
        // An error ends the wait early, which does no harm.
        let _ = poll(&mut [PollFd::new(self, PollFlags::IN)], Some(&longest));
    }

    fn end_turn(&mut self, unfinished: bool) {
        self.unfinished = unfinished;
        self.turn.end();
    }

    /// Sends the reply to a request. It is queued if the client's ring buffer has no room, and no further requests of
    /// the client are read until it has read this. A reply to a client that is gone is ignored.
    pub fn reply(&mut self, conn: ConnId, bytes: &[u8]) {
        // Events that a request has caused must be readable before its reply.
        if self.table.open(conn).is_some_and(|client| client.dirty) {
            self.flush_client(conn);
        }
        let Some(client) = self.active(conn) else { return };
        let result = client.reply(bytes);
        let waits = client.owes_replies();
        self.stats.replies += 1;
        match result {
            Ok(()) if waits => {
                self.look_again(conn);
                self.relieve();
            }
            Ok(()) => {}
            Err(reason) => self.throw_out(conn, &reason),
        }
    }

    /// Announces the events since the last call, with one semaphore operation and one send for each client. Ends the
    /// turn of [`Self::next`] and is a turn itself: with very many clients, the rest follows in the next one.
    pub fn flush(&mut self) {
        self.turn.end();
        self.copied = 0;
        while !self.dirty.is_empty() && self.announcing.step() {
            let Some(conn) = self.dirty.pop_front() else { break };
            if let Some(client) = self.table.open(conn) {
                client.dirty = false;
                self.flush_client(conn);
            }
        }
        self.announcing.end();
        self.untold = !self.dirty.is_empty();
    }

    /// When to call [`Self::next`] even if the descriptor is not readable: at once if work is left, otherwise at the
    /// end of a handshake or to look again at a client without room.
    pub fn deadline(&self) -> Option<Instant> {
        let waits = self.unfinished
            || self.untold
            || self.closer.has_rest()
            || !self.reported.is_empty()
            || self.pool.has_abandoned();
        if waits || !self.ready.is_empty() || !self.notices.is_empty() {
            return Some(self.now);
        }
        let handshake = self.handshakes.front().map(|&(at, _)| at);
        earliest([self.slow_at, handshake, self.resume_at])
    }

    /// Whether [`Self::next`] returned `None` only because the turn was over. The descriptor may then not become
    /// readable for the work that is left.
    pub const fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// Number of accepted connections, including those that are being closed.
    pub fn connections(&self) -> usize {
        self.census.count(Kind::Connection)
    }

    /// Bytes that wait for slow readers, for all clients together; see [`Options::all_backlogs`].
    pub fn waiting(&self) -> usize {
        self.pool.held()
    }

    /// Counters since the start.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The clients, except those that are being closed.
    pub fn clients(&self) -> impl Iterator<Item = About> {
        let open = |client: &&Connection| client.lingers.is_none() && !client.hung_up;
        self.table.connections().filter(open).map(Connection::about)
    }

    /// One client by its id.
    pub fn about(&self, conn: ConnId) -> Option<About> {
        let client = self.table.find(conn)?;
        (client.lingers.is_none() && !client.hung_up).then(|| client.about())
    }

    /// Counts a request that the caller refused: its id or size is invalid, or, with `overload`, the service could
    /// not take it then.
    pub fn count_refused(&mut self, conn: ConnId, overload: bool) {
        let Some(client) = self.table.open(conn) else { return };
        if overload {
            client.counters.overload += 1;
        } else {
            client.counters.invalid_request += 1;
        }
    }

    /// Resets the counters of all clients, and of those that are gone.
    pub fn clear_counters(&mut self) {
        self.stats.closed = 0;
        for client in self.table.connections_mut() {
            client.counters = Counters::default();
        }
    }

    /// Opens a zero-copy buffer file that a client made; see `service::Edge::buffer_open`.
    ///
    /// # Errors
    /// The status for the client: [`Status::InvalidParam`], [`Status::Access`] or [`Status::NotExist`] for a path,
    /// size or file that libcpg does not make; [`Status::NoResources`] if too many are open.
    pub fn buffer_open(&mut self, conn: ConnId, path: &[u8], size: u64) -> Result<u64, Status> {
        if self.table.connections().map(|client| client.buffers.len()).sum::<usize>()
            >= self.options.max_buffers
        {
            return Err(Status::NoResources);
        }
        let client = self.active(conn).ok_or(Status::BadHandle)?;
        client.buffers.open(path, size, client.peer.uid).map_err(|refused| {
            if let Some(file) = refused.file {
                self.closer.take(Remains::File(file), None);
            }
            refused.status
        })
    }

    /// A private copy of the multicast request in a zero-copy buffer: 40-byte header and payload, with consistent
    /// lengths.
    ///
    /// # Errors
    /// The status for the client: [`Status::BadHandle`] for an unknown token, [`Status::InvalidParam`] or
    /// [`Status::TooBig`] for invalid lengths.
    pub fn buffer_read(&mut self, conn: ConnId, token: u64) -> Result<Bytes, Status> {
        self.active(conn).ok_or(Status::BadHandle)?.buffers.read(token)
    }

    /// Closes a zero-copy buffer; an unknown token is ignored.
    pub fn buffer_close(&mut self, conn: ConnId, token: u64) {
        if let Some(client) = self.active(conn)
            && let Some(buffer) = client.buffers.close(token)
        {
            self.closer.take(Remains::File(buffer), None);
        }
    }

    /// A client that is neither closed by the server nor gone.
    fn active(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.table.open(conn).filter(|client| client.lingers.is_none() && !client.hung_up)
    }

    /// Moves messages that wait for a client to its ring buffers as far as there is room.
    fn flush_client(&mut self, conn: ConnId) {
        let Some(client) = self.table.open(conn) else { return };
        let owed = client.owes_replies();
        if let Err(reason) = client.flush() {
            self.throw_out(conn, &reason);
            return;
        }
        client.throttle();
        let (wants, owes) = (client.wants_room(), client.owes_replies());
        if wants != client.watches_room {
            client.watches_room = wants;
            // Also reports at once if there is room again already.
            let _ = epoll::modify(&self.epoll, client.socket(), token(conn), interest(wants));
        }
        if wants || owes {
            self.look_again(conn);
        }
        if owed && !owes {
            self.make_ready(conn);
        }
    }

    /// Schedules another look at a client.
    fn look_again(&mut self, conn: ConnId) {
        if let Some(client) = self.table.open(conn)
            && !std::mem::replace(&mut client.slow, true)
        {
            self.slow.push_back(conn);
            self.slow_at.get_or_insert(self.now + SLOW);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for endpoint in &self.endpoints {
            if endpoint.listener.is_some() {
                endpoint.address.remove();
            }
        }
        for client in self.table.drain() {
            if let table::Client::Open(connection) = &client {
                connection.part();
            }
            self.closer.take(client.into_remains(), None);
        }
    }
}

/// Asserts at compile time that a server can be moved to another thread.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Server>();
};

fn token(id: ConnId) -> EventData {
    EventData::new_u64(id.0)
}

fn listener_id(index: usize) -> ConnId {
    ConnId(LISTENER | index as u64)
}

fn check_name(name: &str) -> Result<(), IpcError> {
    let wrong = |reason| Err(IpcError::Name { name: name.to_owned(), reason });
    match name {
        "" => wrong("is empty"),
        name if name.len() > address::NAME => wrong("is longer than 106 bytes"),
        name if name.contains(['/', '\0']) => wrong("contains a '/' or NUL"),
        name if name.contains("XXXXXX") => wrong("contains XXXXXX, which clients take for a template"),
        _ => Ok(()),
    }
}
