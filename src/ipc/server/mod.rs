//! The server: listens for every service, accepts clients, hands their requests out one at a time.
//!
//! Nothing here blocks and nothing here knows what a message means. All descriptors are behind one epoll
//! descriptor, readable when [`Server::next`] has something to do.
//!
//! | file | what |
//! |---|---|
//! | `accept.rs` | from a new socket to an accepted client |
//! | `census.rs` | how many clients each user has |
//! | `closer.rs` | closes what came from clients, on a thread of its own |
//! | `connection.rs` | one client: rings, what waits for room in them |
//! | `counters.rs` | what is counted of each client |
//! | `events.rs` | events, and the bound on all that waits for slow readers |
//! | `leaving.rs` | how clients go |
//! | `options.rs` | limits, endpoints, who may connect |
//! | `poll.rs` | what the descriptors and the clock report |
//! | `quiet.rs` | how often the log tells of what a user does |
//! | `requests.rs` | whose requests are read, and when |
//! | `table.rs` | clients by id |
//! | `turn.rs` | how much is done before the caller has its turn |

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

use self::census::{Census, Kind};
use self::closer::{Closer, Remains};
use self::connection::Connection;
pub use self::counters::{About, Counters};
pub use self::options::{Admission, Endpoint, Flow, Options, Refusal};
use self::poll::interest;
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
use crate::time::Instant;

/// Requests taken from one client before the others have their turn.
const BUDGET: u32 = 50;
/// Requests taken before it is looked whether others have rung.
const POLL_EVERY: u32 = 64;
/// How long until a client that has no room is looked at again, should the kernel not report it.
const SLOW: Duration = Duration::from_millis(2);
/// Descriptors that one look reports at most.
const EVENTS: usize = 64;
/// Pieces of abandoned queues that are freed at a time, each of up to 128 messages.
const FREED: usize = 4;
/// Tokens of listeners have this bit, which ids of clients never have.
const LISTENER: u64 = 1 << 63;

/// What [`Server::next`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A client was accepted. It may be sent events at once.
    Connected {
        /// Its name from now on.
        conn: ConnId,
        /// What it connected to.
        service: ServiceId,
        /// Who it is.
        peer: Credentials,
    },
    /// A client sent a request. It is in the caller's buffer: a private copy, at least a header long, and
    /// as long as its header says. Its id is not checked.
    Request {
        /// Whose request.
        conn: ConnId,
    },
    /// A client is gone: closed, died, thrown out, or closed by [`Server::close`]. Reported once for each
    /// that was reported connected; nothing comes from it after this.
    Closed {
        /// Which.
        conn: ConnId,
    },
}

/// Counters of a server since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Clients accepted.
    pub accepted: u64,
    /// Clients turned away: refused, silent, not speaking the protocol, or over a limit.
    pub turned_away: u64,
    /// Clients that are gone, whatever the reason.
    pub closed: u64,
    /// Clients disconnected because they broke the rules or did not read.
    pub thrown_out: u64,
    /// Requests handed out.
    pub requests: u64,
    /// Replies taken.
    pub replies: u64,
    /// Events taken.
    pub events: u64,
}

/// One service's listener.
struct Listening {
    service: ServiceId,
    name: String,
    address: Address,
    listener: Option<OwnedFd>,
    flow: Flow,
    /// Nothing is read from its clients, though they may send.
    paused: bool,
}

/// The server's end of all connections.
///
/// After its descriptor was readable, or its deadline has passed, call [`Self::next`] until it is `None`
/// and [`Self::flush`] once. Requests that a client had sent before it closed or died are still handed
/// out before its [`Incoming::Closed`]: a multicast that was accepted is not lost silently. (libqb drops
/// them.)
pub struct Server {
    options: Options,
    epoll: OwnedFd,
    endpoints: Vec<Listening>,
    table: Table,
    /// Clients that may have requests, in the order of their turns.
    ready: VecDeque<ConnId>,
    /// Clients with events that are not announced yet.
    dirty: VecDeque<ConnId>,
    /// Clients that have to read first, or linger.
    slow: VecDeque<ConnId>,
    slow_at: Option<Instant>,
    handshakes: VecDeque<(Instant, ConnId)>,
    resume_at: Option<Instant>,
    notices: VecDeque<Incoming>,
    /// What waits for slow readers.
    pool: Pool,
    /// What descriptors reported and was not looked at yet. They do not report it again.
    reported: VecDeque<(EventFlags, u64)>,
    census: Census,
    closer: Closer,
    quiet: Quiet,
    turn: Turn,
    announcing: Turn,
    /// A turn ended before its work.
    unfinished: bool,
    /// Events are left to be announced in the next turn.
    untold: bool,
    /// Bytes of events written into rings since the last [`Self::flush`].
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
    /// Listens for clients of the given services, after removing what a dead server left of them.
    ///
    /// # Errors
    /// A name that cannot be used, an address that is taken, or no descriptors.
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
        // Only now: having the addresses shows that no other server of these services runs here.
        let names: Vec<&str> = server.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
        let swept = files::sweep(&server.options.directory, &names);
        if swept > 0 {
            tracing::info!(swept, directory = ?server.options.directory, "removed the ring files of a dead server");
        }
        Ok(server)
    }

    /// Does what there is to do up to the next thing that concerns the caller. `None`: nothing more until
    /// the descriptor is readable or [`Self::deadline`] passes. It has passed already if there is more to do but the
    /// turn is over, see [`Options::turn`]: the caller goes to its other sockets first. The next call begins
    /// another turn.
    ///
    /// A request's bytes replace what is in `buf`, whose capacity is reused.
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

    fn end_turn(&mut self, unfinished: bool) {
        self.unfinished = unfinished;
        self.turn.end();
    }

    /// Answers a request. It is queued if the client's ring has no room; the client's next requests are
    /// not read until it has read this. A client that is gone is no error.
    pub fn reply(&mut self, conn: ConnId, bytes: &[u8]) {
        // What a request caused is there when its answer comes.
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

    /// Announces the events since the last call: per client one semaphore operation and one send. Ends the turn of
    /// [`Self::next`] and is one of its own: of very many clients, the rest is told in the next.
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

    /// When to call [`Self::next`] even if the descriptor is not readable: at once if there is work left,
    /// at the end of a handshake's time, to look again at a client that had no room.
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
        [self.slow_at, handshake, self.resume_at].into_iter().flatten().min()
    }

    /// Whether [`Self::next`] was `None` only because the turn was over: the descriptor may not be readable again for
    /// what is left.
    pub const fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// Accepted connections, those included that are being closed.
    pub fn connections(&self) -> usize {
        self.census.count(Kind::Connection)
    }

    /// What waits for slow readers, of all clients together; see [`Options::all_backlogs`]. Unit: bytes.
    pub fn waiting(&self) -> usize {
        self.pool.held()
    }

    /// Counters since the start.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The clients, those apart that are being closed.
    pub fn clients(&self) -> impl Iterator<Item = About> {
        let open = |client: &&Connection| client.lingers.is_none() && !client.hung_up;
        self.table.connections().filter(open).map(Connection::about)
    }

    /// One of them.
    pub fn about(&self, conn: ConnId) -> Option<About> {
        let client = self.table.find(conn)?;
        (client.lingers.is_none() && !client.hung_up).then(|| client.about())
    }

    /// The caller refused a request of a client: its id or size is impossible, or, with `overload`, the
    /// service could not take it now.
    pub fn count_refused(&mut self, conn: ConnId, overload: bool) {
        let Some(client) = self.table.open(conn) else { return };
        if overload {
            client.counters.overload += 1;
        } else {
            client.counters.invalid_request += 1;
        }
    }

    /// Sets all clients' counters back to zero, and that of clients that are gone.
    pub fn clear_counters(&mut self) {
        self.stats.closed = 0;
        for client in self.table.connections_mut() {
            client.counters = Counters::default();
        }
    }

    /// Takes over a zero-copy buffer file that a client made; see `service::Effects::buffer_open`.
    ///
    /// # Errors
    /// What to answer: [`Status::InvalidParam`], [`Status::Access`] or [`Status::NotExist`] for a path,
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

    /// The multicast request in a zero-copy buffer: 40-byte header and payload, a private copy in which
    /// the lengths agree.
    ///
    /// # Errors
    /// What to answer: [`Status::BadHandle`] for an unknown token, [`Status::InvalidParam`] or
    /// [`Status::TooBig`] for lengths that do not fit.
    pub fn buffer_read(&mut self, conn: ConnId, token: u64) -> Result<Bytes, Status> {
        self.active(conn).ok_or(Status::BadHandle)?.buffers.read(token)
    }

    /// Gives a zero-copy buffer back; an unknown token does nothing.
    pub fn buffer_close(&mut self, conn: ConnId, token: u64) {
        if let Some(client) = self.active(conn)
            && let Some(buffer) = client.buffers.close(token)
        {
            self.closer.take(Remains::File(buffer), None);
        }
    }

    /// A client that is neither closed by us nor gone.
    fn active(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.table.open(conn).filter(|client| client.lingers.is_none() && !client.hung_up)
    }

    /// Moves what waits for a client as far as it has room.
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
            // Also reports at once if there is room again by now.
            let _ = epoll::modify(&self.epoll, client.socket(), token(conn), interest(wants));
        }
        if wants || owes {
            self.look_again(conn);
        }
        if owed && !owes {
            self.make_ready(conn);
        }
    }

    /// Looks at a client again in a while.
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

/// A server may be driven from any thread.
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
