//! One client: its socket, its three ring buffers, and the messages that wait for room in them.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use bytes::Bytes;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::closer::Remains;
use super::counters::{About, Counters};
use super::options::Flow;
use crate::ids::{ConnId, Piece, ServiceId};
use crate::ipc::backlog::Backlog;
use crate::ipc::buffers::Buffers;
use crate::ipc::credentials::{self, Arrived, Credentials};
use crate::ipc::files::{self, RingFiles};
use crate::ipc::pool::Pool;
use crate::ipc::ring::{Memory, Reader, RingError, Writer};
use crate::ipc::wire::{self, RequestHeader};
use crate::time::Instant;

/// Doorbell bytes in one send. Fewer would need more calls; with more, the client's reading is noticed later, since
/// the kernel reports only whole sends as read.
const DOORBELLS: usize = 256;
/// Requests after which the client's doorbell bytes are read together. A client's socket holds 278; once it is full,
/// the client spins.
const DRAIN_EVERY: u32 = 64;
/// Sends of a client that are read at once. Further ones make the socket readable again.
const MOST_READS: usize = 16;
/// Bytes of replies that may wait for room. No requests are read from a client while replies wait, so there are few.
const REPLY_BACKLOG: usize = 4 << 20;
/// Bytes of a client's own messages that may wait for it; at half of this its multicasts are held back, unless
/// [`Options::event_backlog`] is less. More would not keep the ring any busier.
///
/// [`Options::event_backlog`]: super::options::Options::event_backlog
const THROTTLED: usize = 4 << 20;

/// Why a client is disconnected.
#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error("its request ring is corrupt: {0}")]
    Requests(RingError),
    #[error("its response ring cannot be used: {0}")]
    Responses(RingError),
    #[error("its event ring cannot be used: {0}")]
    Events(RingError),
    #[error("a request of {got} bytes says that it has {size}")]
    Size { got: usize, size: i32 },
    #[error("it does not read its events: {waiting} wait, the limit is {limit} bytes")]
    EventBacklog { waiting: usize, limit: usize },
    #[error(
        "it is the slowest reader: {bytes} bytes wait for it, {held} for all clients together; the limit is {limit}"
    )]
    AllBacklogs { bytes: usize, held: usize, limit: usize },
    #[error("it does not read its responses: {0} wait")]
    ReplyBacklog(usize),
    #[error("it sent descriptors, which no request has")]
    Descriptors,
    #[error("its socket failed: {0}")]
    Socket(Errno),
}

/// The result of [`Connection::take`].
pub(super) enum Take {
    Request,
    Nothing,
    /// The client asked to be disconnected.
    Goodbye,
}

/// The limits of one client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Longest message of the client, in bytes.
    pub(super) max: usize,
    /// Bytes of events that may wait for it; see [`Options::event_backlog`](super::options::Options::event_backlog).
    pub(super) event_backlog: usize,
}

/// An accepted client.
pub(super) struct Connection {
    pub(super) id: ConnId,
    pub(super) service: ServiceId,
    pub(super) peer: Credentials,
    /// Bytes of shared memory that its ring buffers can hold.
    pub(super) memory: u64,
    pub(super) buffers: Buffers,
    pub(super) counters: Counters,
    /// Requests that may still be taken before other clients have their turn.
    pub(super) budget: u32,
    /// Whether it is in the queue of clients that may have requests.
    pub(super) ready: bool,
    /// Whether it is in the list of clients with unannounced events.
    pub(super) dirty: bool,
    /// Whether it is in the list of clients that are looked at again after a while.
    pub(super) slow: bool,
    /// Whether its socket is registered for writability.
    pub(super) watches_room: bool,
    /// The client is gone; its requests in the ring buffer are still processed.
    pub(super) hung_up: bool,
    /// Set if the server has closed it: the time until which it waits for the client to read its last events.
    pub(super) lingers: Option<Instant>,
    socket: OwnedFd,
    requests: Reader,
    responses: Writer,
    events: Writer,
    replies: Backlog,
    backlog: Backlog,
    event_backlog: usize,
    most_waiting: usize,
    flow: Flow,
    /// Whether multicasts are held back until the client reads its events.
    throttled: bool,
    /// Events in the ring buffer that the semaphore does not count yet.
    unposted: u32,
    /// Doorbell bytes that the socket has not taken yet.
    owed: usize,
    /// Requests taken since the doorbell bytes were last read.
    taken: u32,
    files: RingFiles,
}

impl Connection {
    pub(super) fn new(
        id: ConnId,
        (service, peer): (ServiceId, Credentials),
        socket: OwnedFd,
        files: RingFiles,
        memories: [Memory; 3],
        limits: Limits,
        pool: &Pool,
    ) -> Self {
        let Limits { max, event_backlog } = limits;
        let [requests, responses, events] = memories;
        // Requests sent before it was throttled, up to a full ring buffer, may still return to the client as events.
        let most_waiting = event_backlog.saturating_add(2 * max);
        Self {
            id,
            service,
            peer,
            memory: files::memory_of(max),
            buffers: Buffers::default(),
            counters: Counters::default(),
            budget: 0,
            ready: false,
            dirty: false,
            slow: false,
            watches_room: false,
            hung_up: false,
            lingers: None,
            socket,
            requests: Reader::new(requests, max),
            responses: Writer::new(responses, max),
            events: Writer::new(events, max),
            replies: Backlog::new(REPLY_BACKLOG, pool.clone()),
            backlog: Backlog::new(most_waiting, pool.clone()),
            most_waiting,
            event_backlog,
            flow: Flow::Open,
            throttled: false,
            unposted: 0,
            owed: 0,
            taken: 0,
            files,
        }
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Copies the next request into `buf`, truncated to the size in its header.
    pub(super) fn take(&mut self, buf: &mut Vec<u8>) -> Result<Take, Reason> {
        let mut found = self.requests.read(buf).map_err(Reason::Requests)?;
        if !found && self.taken == 0 {
            // A doorbell without a request is a stray byte, which must be removed. A request may have come in
            // between, and its byte may be removed too, so the ring buffer has to be looked at again.
            self.read_doorbells()?;
            found = self.requests.read(buf).map_err(Reason::Requests)?;
        }
        if !found {
            return Ok(Take::Nothing);
        }
        self.taken += 1;
        if self.taken >= DRAIN_EVERY {
            self.read_doorbells()?;
        }
        let got = buf.len();
        let header = RequestHeader::read(buf).ok_or(Reason::Size { got, size: 0 })?;
        if header.id == wire::DISCONNECT {
            return Ok(Take::Goodbye);
        }
        match usize::try_from(header.size) {
            Ok(size) if (RequestHeader::LEN..=got).contains(&size) => buf.truncate(size),
            _ => return Err(Reason::Size { got, size: header.size }),
        }
        self.counters.requests += 1;
        Ok(Take::Request)
    }

    /// Removes the doorbell bytes. Their number has no meaning, as the ring buffer's semaphore counts.
    pub(super) fn read_doorbells(&mut self) -> Result<(), Reason> {
        self.taken = 0;
        for _ in 0..MOST_READS {
            match credentials::discard(self.socket.as_fd()) {
                Arrived::Bytes(0) => {
                    self.hung_up = true;
                    break;
                }
                Arrived::Bytes(_) => {}
                Arrived::Nothing => break,
                Arrived::Descriptors => return Err(Reason::Descriptors),
            }
        }
        Ok(())
    }

    /// Writes a reply, or queues it.
    pub(super) fn reply(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        self.counters.responses += 1;
        if self.replies.is_empty() && self.responses.write(&[bytes]).map_err(Reason::Responses)? {
            self.responses.post(1);
        } else if !self.replies.push(bytes, &Bytes::new(), None) {
            return Err(Reason::ReplyBacklog(self.replies.len()));
        }
        Ok(())
    }

    /// Writes an event, or queues it if others wait already, if there is no room, or unless `at_once` is set.
    /// [`Self::flush`] announces it. `own` is set for the client's own multicasts.
    pub(super) fn event(
        &mut self,
        head: &[u8],
        payload: &Bytes,
        own: Option<Piece>,
        at_once: bool,
    ) -> Result<(), Reason> {
        self.counters.dispatched += 1;
        if at_once
            && self.backlog.is_empty()
            && self.events.write(&[head, payload]).map_err(Reason::Events)?
        {
            self.unposted += 1;
        } else if !self.backlog.push(head, payload, own) {
            return Err(Reason::EventBacklog { waiting: self.backlog.len(), limit: self.most_waiting });
        } else if at_once {
            self.counters.send_retries += 1;
        }
        Ok(())
    }

    /// Bytes that wait for room in its ring buffers.
    pub(super) fn waiting(&self) -> usize {
        self.backlog.size() + self.replies.size()
    }

    /// Whether there are so many unannounced events that the client should begin to read them.
    pub(super) fn has_batch(&self) -> bool {
        self.unposted as usize >= DOORBELLS
    }

    /// Moves waiting messages to the ring buffers as far as there is room, and announces them.
    ///
    /// Doorbell bytes are sent only after their events were posted, so there are never more bytes than events.
    pub(super) fn flush(&mut self) -> Result<(), Reason> {
        while let Some(pieces) = self.replies.front() {
            if !self.responses.write(&pieces).map_err(Reason::Responses)? {
                break;
            }
            self.replies.pop();
            self.responses.post(1);
        }
        while let Some(pieces) = self.backlog.front() {
            if !self.events.write(&pieces).map_err(Reason::Events)? {
                break;
            }
            self.backlog.pop();
            self.unposted += 1;
            self.counters.sent = self.counters.sent.wrapping_add(1);
        }
        if self.unposted > 0 {
            self.events.post(self.unposted);
            self.owed += self.unposted as usize;
            self.unposted = 0;
        }
        while self.owed > 0 && !self.hung_up {
            let batch = self.owed.min(DOORBELLS);
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::send(&self.socket, &[0; DOORBELLS][..batch], flags) {
                Ok(sent) => self.owed -= sent,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(Errno::PIPE | Errno::CONNRESET) => self.hang_up(),
                Err(error) => return Err(Reason::Socket(error)),
            }
        }
        Ok(())
    }

    /// Marks the client as gone: nothing more is sent to it.
    pub(super) fn hang_up(&mut self) {
        self.hung_up = true;
        self.forget();
        self.owed = 0;
        self.unposted = 0;
    }

    /// Drops the messages that wait for it.
    pub(super) fn forget(&mut self) {
        self.replies.clear();
        self.backlog.clear();
    }

    /// Whether the client has to read before more can be sent to it.
    pub(super) fn wants_room(&self) -> bool {
        self.owed > 0 || !self.backlog.is_empty()
    }

    /// Whether replies wait; no more requests are read then.
    pub(super) fn owes_replies(&self) -> bool {
        !self.replies.is_empty()
    }

    /// Whether the client has been sent everything and has read it.
    pub(super) fn is_drained(&self) -> bool {
        self.hung_up
            || (!self.wants_room() && !self.owes_replies() && credentials::all_read(self.socket.as_fd()))
    }

    /// Tells the client whether the service takes requests.
    pub(super) fn set_flow(&mut self, flow: Flow) {
        self.flow = flow;
        self.publish_flow();
    }

    /// Holds back the multicasts of a client that does not keep up with its events, so that a client that floods
    /// itself is slowed down rather than disconnected. Its other requests go on, as it may wait for a reply before it
    /// reads events again.
    ///
    /// The client's own messages count most. If messages of other nodes counted alike, a client could send nothing as
    /// long as they go on, since nothing here can hold them back.
    pub(super) fn throttle(&mut self) {
        let part = if self.throttled { 8 } else { 2 };
        let throttled = self.backlog.own() > self.event_backlog.min(THROTTLED) / part
            || self.backlog.size() > self.event_backlog / part;
        if throttled != self.throttled {
            self.throttled = throttled;
            self.publish_flow();
        }
    }

    fn publish_flow(&mut self) {
        let word = self.flow_word();
        if word != 0 && self.requests.memory().user().load(Ordering::Acquire) == 0 {
            self.counters.flow_control += 1;
        }
        self.requests.memory().user().store(word, Ordering::Release);
    }

    fn flow_word(&self) -> u32 {
        let flow = if self.throttled && self.flow == Flow::Open { Flow::Multicast } else { self.flow };
        flow.word()
    }

    /// The client's entry in the statistics.
    pub(super) fn about(&self) -> About {
        About {
            conn: self.id,
            service: self.service,
            peer: self.peer,
            counters: self.counters,
            queued: self.backlog.len(),
            flow: self.flow_word(),
        }
    }

    /// Stops the client from sending requests: libqb checks this before each.
    pub(super) fn disable(&self) {
        self.requests.memory().ref_count().store(0, Ordering::Release);
    }

    /// The parts that another thread has to close. The memory is unmapped here; its pages are freed with the files.
    pub(super) fn into_remains(self) -> Remains {
        Remains::Connection(self.socket, Box::new(self.files), self.buffers)
    }

    /// Tells the client that it is disconnected.
    pub(super) fn part(&self) {
        for memory in [self.requests.memory(), self.responses.memory(), self.events.memory()] {
            memory.ref_count().store(0, Ordering::Release);
        }
        // If the client has forked, another process may hold the descriptor; this affects all of them.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
    }
}

/// The events reported for an accepted client. They are edge-triggered, so that a client whose requests must wait
/// does not wake the server again and again. Every doorbell byte is an edge of its own (epoll(7)), whether it is read
/// or not.
pub(super) fn interest(room: bool) -> EventFlags {
    let base = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
    if room { base | EventFlags::OUT } else { base }
}
