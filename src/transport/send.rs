//! Sending: every datagram to its destinations, many with one system call, and without long waits.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::{SockAddr, Socket};

use super::peers::Peers;
use super::run::Run;
use super::stats::{Logs, Stats};
use super::sys::{self, Departure, SEND_BATCH};
use crate::ids::Destination;

/// How long one batch may wait for room in the socket buffer. A network card empties a full buffer faster;
/// what does not fit then is lost, as it may be on the network, and the ring retransmits it.
const PATIENCE: Duration = Duration::from_millis(2);

/// Minimum time that each wait is charged with, so that a poll which returns at once without room cannot be
/// repeated endlessly.
const WAIT_AT_LEAST: Duration = Duration::from_micros(100);

/// The messages to be sent, as legs: a leg is one message to one destination.
pub(super) trait Legs {
    /// The pieces of a message.
    type Parts<'a>: Iterator<Item = &'a [u8]>
    where
        Self: 'a;

    /// The number of legs. May change only in [`Legs::failed`].
    fn count(&self) -> usize;

    /// The message of a leg, and its destination.
    fn departure(&self, leg: usize) -> Departure<'_, Self::Parts<'_>>;

    /// Whether the leg is for a single node. Then it is a token, whose loss costs the ring much more than a
    /// frame's.
    fn is_token(&self, leg: usize) -> bool;

    /// The counters of system calls and of what could not be sent.
    fn stats(&mut self) -> &mut Stats;

    /// The leg is sent again because the socket buffer was full.
    fn retried(&mut self, leg: usize);

    /// The leg was sent.
    fn sent(&mut self, leg: usize);

    /// The kernel refused the leg. Returns whether to try it again, perhaps in another form.
    fn failed(&mut self, leg: usize, error: &io::Error) -> bool;

    /// These legs were dropped because the buffer stayed full.
    fn dropped(&mut self, legs: Range<usize>);
}

/// Sends all legs, or counts why not. Takes at most twice [`PATIENCE`] longer than the system calls.
pub(super) fn send_all(socket: &Socket, legs: &mut impl Legs) {
    let mut next = 0;
    let mut patience = PATIENCE;
    let mut token_patience = PATIENCE;
    while next < legs.count() {
        legs.stats().send_calls += 1;
        match send_chunk(socket, legs, next) {
            Ok(sent) => {
                for leg in next..next + sent {
                    legs.sent(leg);
                }
                next += sent;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if patience.is_zero() {
                    // A token may wait once more; everything before it is dropped.
                    let token = (next..legs.count()).find(|leg| legs.is_token(*leg));
                    let keep = token.filter(|_| !token_patience.is_zero()).unwrap_or(legs.count());
                    patience = std::mem::take(&mut token_patience);
                    legs.dropped(next..keep);
                    next = keep;
                } else {
                    legs.stats().send_waits += 1;
                    legs.retried(next);
                    patience = patience.saturating_sub(wait_for_room(socket, patience));
                }
            }
            Err(error) => {
                if !legs.failed(next, &error) {
                    next += 1;
                }
            }
        }
    }
}

fn send_chunk(socket: &Socket, legs: &impl Legs, from: usize) -> io::Result<usize> {
    let end = legs.count().min(from + SEND_BATCH);
    let sent = sys::send_many(socket.as_fd(), (from..end).map(|leg| legs.departure(leg)))?;
    assert!(0 < sent && sent <= end - from, "the kernel sent {sent} of {} messages", end - from);
    Ok(sent)
}

/// Counts and logs messages that were dropped because the buffer stayed full.
pub(super) fn count_dropped(dropped: usize, stats: &mut Stats, logs: &mut Logs) {
    stats.dropped_out.buffer_full += dropped as u64;
    if dropped > 0
        && let Some(held_back) = logs.buffer.may_speak()
    {
        tracing::warn!(
            dropped,
            held_back,
            "the send buffer stays full, frames were dropped and will be sent again by the ring; the interface \
             is slower than this node sends, or stuck"
        );
    }
}

/// One message to one destination: the positions of its frames in the batch, and the peer or the group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leg {
    pub(super) run: Run,
    pub(super) to: Target,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// The node at this position of the node list.
    Peer(usize),
    /// The multicast group or broadcast address.
    Group,
}

/// A batch that is being sent.
pub(super) struct Outgoing<'a> {
    pub(super) group: Option<&'a SockAddr>,
    pub(super) batch: &'a [(Destination, Bytes)],
    pub(super) legs: &'a mut Vec<Leg>,
    /// Cleared if the kernel does not cut messages into frames: the interface cannot, or frames are longer than its MTU.
    pub(super) cuts: &'a mut bool,
    pub(super) peers: &'a mut Peers,
    pub(super) stats: &'a mut Stats,
    pub(super) logs: &'a mut Logs,
}

/// Iterator over the frames of a message.
pub(super) struct Parts<'a>(std::slice::Iter<'a, (Destination, Bytes)>);

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.next().map(|(_, frame)| &frame[..])
    }
}

impl Legs for Outgoing<'_> {
    type Parts<'a>
        = Parts<'a>
    where
        Self: 'a;

    fn count(&self) -> usize {
        self.legs.len()
    }

    fn departure(&self, leg: usize) -> Departure<'_, Self::Parts<'_>> {
        let Leg { run, to } = self.legs[leg];
        let to = match (to, self.group) {
            (Target::Peer(position), _) => self.peers.addr(position),
            (Target::Group, Some(group)) => group,
            (Target::Group, None) => unreachable!("a leg to the group without a group"),
        };
        Departure { to, parts: Parts(self.batch[run.positions()].iter()), segment: run.segment }
    }

    fn is_token(&self, leg: usize) -> bool {
        matches!(self.batch[self.legs[leg].run.first].0, Destination::Node(_))
    }

    fn stats(&mut self) -> &mut Stats {
        self.stats
    }

    fn retried(&mut self, _leg: usize) {}

    fn sent(&mut self, leg: usize) {
        let Leg { run, to } = self.legs[leg];
        for (_, frame) in &self.batch[run.positions()] {
            self.stats.sent.add(frame.len());
            if let Target::Peer(position) = to {
                self.stats.peers[position].sent.add(frame.len());
            }
        }
    }

    fn failed(&mut self, leg: usize, error: &io::Error) -> bool {
        let refused = matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE));
        if refused && self.legs[leg].run.segment.is_some() {
            *self.cuts = false;
            let rest = self.legs.split_off(leg);
            self.legs
                .extend(rest.into_iter().flat_map(|leg| leg.run.split().map(move |run| Leg { run, ..leg })));
            return true;
        }
        self.count_failed(self.legs[leg], error);
        false
    }

    fn dropped(&mut self, legs: Range<usize>) {
        let frames = self.legs[legs].iter().map(|leg| leg.run.count).sum();
        count_dropped(frames, self.stats, self.logs);
    }
}

impl Outgoing<'_> {
    fn count_failed(&mut self, leg: Leg, error: &io::Error) {
        let errno = error.raw_os_error().unwrap_or(0);
        let bytes: usize = self.batch[leg.run.positions()].iter().map(|(_, frame)| frame.len()).sum();
        self.stats.dropped_out.failed += leg.run.count as u64;
        match leg.to {
            Target::Peer(position) => {
                let peer = &mut self.stats.peers[position];
                peer.errors.add(errno);
                if let Some(held_back) = self.peers.log(position).may_speak() {
                    tracing::warn!(
                        node = %peer.id, address = %peer.addr, bytes, %error, held_back,
                        "a datagram to a node could not be sent; check route, firewall and interface"
                    );
                }
            }
            Target::Group => {
                self.stats.group_errors.add(errno);
                if let Some(held_back) = self.logs.group.may_speak() {
                    let group = self.group.and_then(SockAddr::as_socket);
                    tracing::warn!(
                        ?group, bytes, %error, held_back,
                        "a datagram to the group could not be sent; check route, firewall and interface"
                    );
                }
            }
        }
    }
}

/// Waits until the socket has room, at most `patience`; returns the time used.
fn wait_for_room(socket: &Socket, patience: Duration) -> Duration {
    let started = Instant::now();
    let timeout = Timespec { tv_sec: 0, tv_nsec: patience.as_nanos().min(999_999_999) as _ };
    // An error (usually EINTR) counts as a wake-up: the next send shows whether there is room.
    let _ = rustix::event::poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&timeout));
    started.elapsed().max(WAIT_AT_LEAST)
}
