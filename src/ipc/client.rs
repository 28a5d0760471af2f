//! The client's end of a connection, used by the libraries.
//!
//! Also works with a libqb server. Unlike libqb's client, it never truncates the ring buffer files; it reads the
//! events that a closing server has left before it reports the end, and leaves removing the files to the server
//! unless that is dead.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::Pid;

use super::address::Rendezvous;
use super::credentials;
use super::error::{ConnectError, IpcError};
use super::holder;
use super::ring::{self, Memory, Reader, Writer};
use super::shm::Mapping;
use super::wire::{AUTHENTICATE, ConnectRequest, ConnectResponse, SHARED_MEMORY};

/// Requested maximum message length in bytes, as Corosync's libraries request it.
const MAX_MESSAGE: u32 = 1 << 20;
/// Greatest maximum message length that is accepted from a server, in bytes.
const MOST: u32 = 64 << 20;
/// Longest wait for the daemon's answer to a connection request.
const ANSWER: Duration = Duration::from_secs(30);
/// Interval in which a client that waits for a response checks that the daemon still runs.
const SLICE: Duration = Duration::from_millis(250);
/// Interval in which a client that waits for room in the request ring buffer tries again.
const ROOM: Duration = Duration::from_millis(1);
/// Number of events after which their doorbell bytes are read together.
const DRAIN_EVERY: usize = 64;

/// The states of flow control in which a request is not sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlowLimit {
    /// An ordinary request: only while the service is closed altogether.
    #[default]
    Ordinary,
    /// A CPG multicast: also during a synchronisation, or while the send queue is full.
    Multicast,
}

/// A connection to one service of the daemon.
///
/// May be shared between threads: requests are serialised, and events are read independently of them. Its descriptor
/// ([`AsFd`]) is readable when there may be events.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    server: u32,
    max: usize,
    names: [Vec<u8>; 3],
    requests: Mutex<Writer>,
    responses: Mutex<Reader>,
    events: Mutex<Events>,
}

#[derive(Debug)]
struct Events {
    ring: Reader,
    /// Number of events read whose doorbell bytes are still in the socket.
    owed: usize,
}

impl Connection {
    /// Connects to the service `name` (`cpg`, `cfg`, ...) on this host.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect(name: &str) -> Result<Self, ConnectError> {
        Self::connect_at(&Rendezvous::of_this_host(), name)
    }

    /// Connects to the service `name`, found through `rendezvous`.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect_at(rendezvous: &Rendezvous, name: &str) -> Result<Self, ConnectError> {
        Self::connect_trusting(rendezvous, name, &[])
    }

    /// As [`Self::connect_at`], and also trusts a daemon run by one of the users `trusted`. Without them, the daemon
    /// must be run by root or by this user.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect_trusting(
        rendezvous: &Rendezvous,
        name: &str,
        trusted: &[u32],
    ) -> Result<Self, ConnectError> {
        let at = rendezvous.address(name);
        let address = at.to_string();
        let unreachable = |source| ConnectError::Unreachable { address: address.clone(), source };
        let socket = at.connect().map_err(unreachable)?;
        // While the daemon does not run, any user can listen under its name, so nothing is sent before this check.
        let listener = holder::at_other_end(socket.as_fd()).map_err(unreachable)?;
        if !listener.is_ours() && !trusted.contains(&listener.uid) {
            return Err(ConnectError::Untrusted { address, listener });
        }
        let request = ConnectRequest { id: AUTHENTICATE, max_size: MAX_MESSAGE }.to_bytes();
        match rustix::net::send(&socket, &request, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == request.len() => {}
            Ok(_) | Err(_) => return Err(ConnectError::Closed { address }),
        }
        let (response, server) = receive_response(&socket, &address)?;
        let _ = rustix::net::sockopt::set_socket_passcred(&socket, false);
        let protocol = |what| ConnectError::Protocol { address: address.clone(), what };
        let (kind, max, names) = match ConnectResponse::read(&response) {
            Some(ConnectResponse::Accepted { kind, max_size, names, .. }) => (kind, max_size, names),
            Some(ConnectResponse::Refused(errno)) => {
                return Err(ConnectError::Refused { address, reason: io::Error::from_raw_os_error(errno) });
            }
            None => return Err(protocol("a ring name without an end")),
        };
        if kind != SHARED_MEMORY {
            return Err(protocol("not shared memory (is system.qb_ipc_type set to socket?)"));
        }
        if !(1..=MOST).contains(&max) {
            return Err(protocol("no sensible message length"));
        }
        let max = max as usize;
        let names = names.map(|name| absolute(&name));
        let map = |name: &[u8], header| map_ring(name, header, max, &address);
        let requests = map(&names[0], ring::REQUEST_HEADER)?;
        let responses = map(&names[1], ring::HEADER)?;
        let events = map(&names[2], ring::HEADER)?;
        for memory in [&requests, &responses, &events] {
            memory.ref_count().fetch_add(1, Ordering::AcqRel);
        }
        Ok(Self {
            socket,
            server,
            max,
            names,
            requests: Mutex::new(Writer::new(requests, max)),
            responses: Mutex::new(Reader::new(responses, max)),
            events: Mutex::new(Events { ring: Reader::new(events, max), owed: 0 }),
        })
    }

    /// Length of the longest request, in bytes.
    pub fn max_message(&self) -> usize {
        self.max
    }

    /// Sends a request, given in pieces that begin with its header, and waits for its response.
    ///
    /// # Errors
    /// [`IpcError::TooLong`], and [`IpcError::TryAgain`] if the service is closed for now: the request was not sent.
    /// [`IpcError::Disconnected`]: the request may or may not have been carried out.
    pub fn call(&self, pieces: &[&[u8]]) -> Result<Vec<u8>, IpcError> {
        let mut response = Vec::new();
        self.call_into(pieces, &mut response)?;
        Ok(response)
    }

    /// As [`Self::call`], but writes the response to `response`, whose capacity is reused.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn call_into(&self, pieces: &[&[u8]], response: &mut Vec<u8>) -> Result<(), IpcError> {
        // Locked until the response arrives, because responses come in the order of requests.
        let mut responses = lock(&self.responses);
        loop {
            match self.post(pieces, FlowLimit::Ordinary) {
                // Multicasts of this process fill the ring buffer, and the daemon is reading them.
                Err(IpcError::TryAgain) if !self.is_closed_for(FlowLimit::Ordinary) => {
                    self.check_alive()?;
                    std::thread::sleep(ROOM);
                }
                result => break result?,
            }
        }
        loop {
            if responses.read_within(SLICE, response)? {
                return Ok(());
            }
            if self.check_alive().is_err() {
                // The daemon may have answered just before it closed the connection.
                return if responses.read(response)? { Ok(()) } else { Err(IpcError::Disconnected) };
            }
        }
    }

    /// Sends a request that has no response (a CPG multicast).
    ///
    /// # Errors
    /// [`IpcError::TryAgain`]: not sent because of flow control or lack of room. [`IpcError::TooLong`]: not sent.
    /// [`IpcError::Disconnected`].
    pub fn post(&self, pieces: &[&[u8]], limit: FlowLimit) -> Result<(), IpcError> {
        let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        if bytes > self.max {
            return Err(IpcError::TooLong { bytes, limit: self.max });
        }
        let mut requests = lock(&self.requests);
        // The server sets this to 0 when it disconnects a client. libqb's client expects exactly the value 2.
        if requests.memory().ref_count().load(Ordering::Acquire) != 2 {
            return Err(IpcError::Disconnected);
        }
        if held_back(&requests, limit) || !requests.write(pieces)? {
            return Err(IpcError::TryAgain);
        }
        requests.post(1);
        self.ring_doorbell()
    }

    /// Reads the next event into `buf`, whose capacity is reused. `false`: there is none until the descriptor is
    /// readable again.
    ///
    /// # Errors
    /// [`IpcError::Disconnected`], once the last event has been read. [`IpcError::Ring`].
    pub fn try_event(&self, buf: &mut Vec<u8>) -> Result<bool, IpcError> {
        let mut events = lock(&self.events);
        loop {
            if events.ring.read(buf)? {
                events.owed += 1;
                if events.owed >= DRAIN_EVERY {
                    let _ = self.read_doorbells(&mut events.owed);
                }
                return Ok(true);
            }
            // The ring buffer is empty. Read the doorbell bytes of the events that were read; one more byte belongs
            // to an event that has come since.
            let state = match events.owed {
                0 => self.peek_doorbell(),
                _ => self.read_doorbells(&mut events.owed),
            };
            match state {
                Ok(Doorbell::Rings) => {}
                Ok(Doorbell::Silent) => return Ok(false),
                Ok(Doorbell::Closed) | Err(_) => {
                    // Events sent before the server closed the connection are in the ring buffer by now.
                    return if events.ring.read(buf)? { Ok(true) } else { Err(IpcError::Disconnected) };
                }
            }
        }
    }

    /// Waits until there may be an event or the connection is closed; with `None` without a limit. Returns whether
    /// there may be an event.
    ///
    /// # Errors
    /// Polling the descriptor failed.
    pub fn wait(&self, limit: Option<Duration>) -> Result<bool, IpcError> {
        let ready = poll(&self.socket, PollFlags::IN, limit)
            .map_err(|error| IpcError::System { what: "cannot wait for an event", source: error.into() })?;
        Ok(!ready.is_empty())
    }

    fn is_closed_for(&self, limit: FlowLimit) -> bool {
        held_back(&lock(&self.requests), limit)
    }

    /// Sends the one byte that goes with a request. It is mandatory: a libqb server blocks altogether until it
    /// arrives.
    fn ring_doorbell(&self) -> Result<(), IpcError> {
        loop {
            match rustix::net::send(&self.socket, &[0], SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let ready = poll(&self.socket, PollFlags::OUT, None).unwrap_or(PollFlags::ERR);
                    if ready.intersects(PollFlags::HUP | PollFlags::ERR) {
                        return Err(IpcError::Disconnected);
                    }
                }
                Err(_) => return Err(IpcError::Disconnected),
            }
        }
    }

    fn read_doorbells(&self, owed: &mut usize) -> Result<Doorbell, Errno> {
        let mut bytes = [0_u8; 256];
        let want = (*owed).min(bytes.len());
        match rustix::net::recv(&self.socket, &mut bytes[..want], RecvFlags::DONTWAIT) {
            Ok((0, _)) => Ok(Doorbell::Closed),
            Ok((got, _)) => {
                *owed -= got;
                Ok(Doorbell::Rings)
            }
            Err(Errno::AGAIN) => Ok(Doorbell::Silent),
            Err(Errno::INTR) => Ok(Doorbell::Rings),
            Err(error) => Err(error),
        }
    }

    fn peek_doorbell(&self) -> Result<Doorbell, Errno> {
        let mut byte = [0_u8; 1];
        match rustix::net::recv(&self.socket, &mut byte, RecvFlags::DONTWAIT | RecvFlags::PEEK) {
            Ok((0, _)) => Ok(Doorbell::Closed),
            Ok(_) | Err(Errno::INTR) => Ok(Doorbell::Rings),
            Err(Errno::AGAIN) => Ok(Doorbell::Silent),
            Err(error) => Err(error),
        }
    }

    /// Checks that the daemon still holds its end.
    fn check_alive(&self) -> Result<(), IpcError> {
        match poll(&self.socket, PollFlags::empty(), Some(Duration::ZERO)) {
            Ok(flags) if !flags.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) => Ok(()),
            Ok(_) | Err(_) => Err(IpcError::Disconnected),
        }
    }

    /// Removes the files of a server that died without removing them.
    fn remove_files(&self) {
        for name in &self.names {
            for part in ["-data", "-header"] {
                let path = [name.as_slice(), part.as_bytes()].concat();
                let _ = rustix::fs::unlink(path.as_slice());
            }
        }
        let place = Path::new(std::ffi::OsStr::from_bytes(&self.names[0])).parent();
        // Only a directory of this connection itself, and rmdir fails for a directory that is not empty.
        let own = place.and_then(Path::file_name).is_some_and(|name| name.as_bytes().starts_with(b"qb-"));
        if let Some(place) = place.filter(|_| own) {
            let _ = rustix::fs::rmdir(place);
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let lost = self.check_alive().is_err();
        for memory in
            [lock(&self.requests).memory(), lock(&self.responses).memory(), lock(&self.events).ring.memory()]
        {
            memory.ref_count().store(0, Ordering::Release);
        }
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        let server = i32::try_from(self.server).ok().and_then(Pid::from_raw);
        // A live server removes the files itself, and one that is not visible may be alive.
        if lost && server.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(Errno::SRCH)) {
            self.remove_files();
        }
    }
}

enum Doorbell {
    Rings,
    Silent,
    Closed,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether flow control forbids a request with this limit.
fn held_back(requests: &Writer, limit: FlowLimit) -> bool {
    let limit = match limit {
        FlowLimit::Ordinary => 1,
        FlowLimit::Multicast => 2,
    };
    (1..=limit).contains(&requests.memory().user().load(Ordering::Acquire))
}

/// Polls a socket. Returns the events; none if the time is up.
fn poll(socket: &OwnedFd, flags: PollFlags, limit: Option<Duration>) -> Result<PollFlags, Errno> {
    let until = limit.map(|limit| Instant::now() + limit);
    loop {
        let left = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            rustix::time::Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let mut fds = [PollFd::new(socket, flags)];
        match rustix::event::poll(&mut fds, left.as_ref()) {
            Ok(_) => return Ok(fds[0].revents()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Receives the whole response and the pid of its sender (0 if unknown).
fn receive_response(socket: &OwnedFd, address: &str) -> Result<(Vec<u8>, u32), ConnectError> {
    let closed = || ConnectError::Closed { address: address.to_owned() };
    let until = Instant::now() + ANSWER;
    let mut response = vec![0; ConnectResponse::LEN];
    let (mut got, mut server) = (0, 0);
    while got < response.len() {
        match credentials::receive(socket.as_fd(), &mut response[got..]) {
            Ok((0, _)) => return Err(closed()),
            Ok((more, sender)) => {
                got += more;
                server = sender.map_or(server, |sender| sender.pid);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let left = until.saturating_duration_since(Instant::now());
                let ready = poll(socket, PollFlags::IN, Some(left)).map_err(|_| closed())?;
                if ready.is_empty() {
                    return Err(ConnectError::Silent { address: address.to_owned() });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(closed()),
        }
    }
    Ok((response, server))
}

/// Completes a file name, as old servers send names without a directory.
fn absolute(name: &[u8]) -> Vec<u8> {
    if name.contains(&b'/') { name.to_vec() } else { [b"/dev/shm/qb-", name].concat() }
}

fn map_ring(name: &[u8], header_len: usize, max: usize, address: &str) -> Result<Memory, ConnectError> {
    let (header_path, data_path) = ([name, b"-header"].concat(), [name, b"-data"].concat());
    let data_len = ring::data_len(max);
    let header = map_file(&header_path, header_len)?;
    let (words, told) = Memory::described(&header);
    if words as usize * 4 != data_len || told != data_path {
        let what = "a ring whose header does not fit its name and message length";
        return Err(ConnectError::Protocol { address: address.to_owned(), what });
    }
    Ok(Memory::new(header, map_file(&data_path, data_len)?, data_len))
}

fn map_file(path: &[u8], len: usize) -> Result<Mapping, ConnectError> {
    let open = || -> io::Result<Mapping> {
        let file = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
        let size = u64::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0);
        if size < len as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // As in libqb's client, the client allocates the memory: if there is none, this call fails, instead of a
        // signal later.
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, len as u64) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
        Mapping::new(file.as_fd(), len, false)
    };
    open().map_err(|source| ConnectError::Files { path: String::from_utf8_lossy(path).into_owned(), source })
}
