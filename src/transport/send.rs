//! Sending: every datagram to its destinations, many with one call, never waiting long.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::{SockAddr, Socket};

use super::peers::Peers;
use super::stats::{Logs, Stats};
use super::sys::{self, Departure, SEND_BATCH};
use crate::ids::Destination;

/// How long one batch may wait for room in the socket buffer. A network card drains a full buffer faster; what
/// does not fit then is lost as on the wire, and the ring's retransmission brings it.
const PATIENCE: Duration = Duration::from_millis(2);

/// Least time that a wait costs, so that a poll that returns at once without room cannot be repeated for ever.
const WAIT_AT_LEAST: Duration = Duration::from_micros(100);

/// One datagram to one destination: which frame of the batch, to which peer (or to the group).
#[derive(Clone, Copy, Debug)]
pub(super) struct Leg {
    pub(super) frame: usize,
    pub(super) to: Target,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// The node at this position of the node list.
    Peer(usize),
    /// The multicast group or broadcast address.
    Group,
}

/// A batch on its way out.
pub(super) struct Outgoing<'a> {
    pub(super) socket: &'a Socket,
    pub(super) group: Option<&'a SockAddr>,
    pub(super) batch: &'a [(Destination, Bytes)],
    pub(super) legs: &'a [Leg],
    pub(super) peers: &'a mut Peers,
    pub(super) stats: &'a mut Stats,
    pub(super) logs: &'a mut Logs,
}

impl Outgoing<'_> {
    /// Sends all of it, or counts why not. Takes at most twice [`PATIENCE`] longer than the system calls.
    pub(super) fn send(mut self) {
        let mut rest = self.legs;
        let mut patience = PATIENCE;
        let mut token_patience = PATIENCE;
        while !rest.is_empty() {
            let chunk = &rest[..rest.len().min(SEND_BATCH)];
            self.stats.send_calls += 1;
            match self.send_chunk(chunk) {
                Ok(sent) => {
                    for leg in &chunk[..sent] {
                        self.count_sent(*leg);
                    }
                    rest = &rest[sent..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if patience.is_zero() {
                        rest = self.drop_to_next_token(rest, &mut token_patience, &mut patience);
                    } else {
                        self.stats.send_waits += 1;
                        patience = patience.saturating_sub(wait_for_room(self.socket, patience));
                    }
                }
                Err(error) => {
                    self.count_failed(chunk[0], &error);
                    rest = &rest[1..];
                }
            }
        }
    }

    fn send_chunk(&self, chunk: &[Leg]) -> io::Result<usize> {
        let departures = chunk.iter().map(|leg| Departure {
            to: match (leg.to, self.group) {
                (Target::Peer(position), _) => self.peers.addr(position),
                (Target::Group, Some(group)) => group,
                (Target::Group, None) => unreachable!("a leg to the group without a group"),
            },
            payload: &self.batch[leg.frame].1,
        });
        let sent = sys::send_many(self.socket.as_fd(), departures)?;
        assert!(0 < sent && sent <= chunk.len(), "the kernel sent {sent} of {} datagrams", chunk.len());
        Ok(sent)
    }

    /// The buffer stays full: gives up frames up to the next one for a single node. That is a token, whose loss costs
    /// the ring far more than a frame's, so the first of them may wait once more.
    fn drop_to_next_token<'l>(
        &mut self,
        legs: &'l [Leg],
        token_patience: &mut Duration,
        patience: &mut Duration,
    ) -> &'l [Leg] {
        let is_token = |leg: &Leg| matches!(self.batch[leg.frame].0, Destination::Node(_));
        let keep = match legs.iter().position(is_token) {
            Some(keep) if !token_patience.is_zero() => keep,
            Some(_) | None => legs.len(),
        };
        *patience = std::mem::take(token_patience);
        self.stats.dropped_out.buffer_full += keep as u64;
        if keep > 0
            && let Some(held_back) = self.logs.buffer.may_speak()
        {
            tracing::warn!(
                dropped = keep,
                held_back,
                "the send buffer stays full, frames were dropped and will be sent again by the ring; the interface \
                 is slower than this node sends, or stuck"
            );
        }
        &legs[keep..]
    }

    fn count_sent(&mut self, leg: Leg) {
        let bytes = self.batch[leg.frame].1.len();
        self.stats.sent.add(bytes);
        if let Target::Peer(position) = leg.to {
            self.stats.peers[position].sent.add(bytes);
        }
    }

    fn count_failed(&mut self, leg: Leg, error: &io::Error) {
        let errno = error.raw_os_error().unwrap_or(0);
        let bytes = self.batch[leg.frame].1.len();
        self.stats.dropped_out.failed += 1;
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

/// Waits until the socket has room, at most `patience`; returns how much of it was used.
fn wait_for_room(socket: &Socket, patience: Duration) -> Duration {
    let started = Instant::now();
    let timeout = Timespec { tv_sec: 0, tv_nsec: patience.as_nanos().min(999_999_999) as _ };
    // An error (EINTR above all) is as good as a wake-up: the next send tells.
    let _ = rustix::event::poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&timeout));
    started.elapsed().max(WAIT_AT_LEAST)
}
