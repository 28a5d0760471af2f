//! What a transport counts, and how often it may speak of it.

use std::net::IpAddr;
use std::time::Instant as Clock;

use crate::ids::NodeId;
use crate::quiet;
use crate::time::Instant;

/// Counters since the transport was opened; they survive a reopened socket and a changed node list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams that the kernel took, one for each destination.
    pub sent: Traffic,
    /// Datagrams accepted and handed up.
    pub received: Traffic,
    /// Datagrams to this node itself, which never reach a socket. Not in `sent`; in `received` once handed up.
    pub looped: Traffic,
    /// Calls of `sendmmsg`.
    pub send_calls: u64,
    /// Calls of `recvmmsg`.
    pub recv_calls: u64,
    /// Times a full socket buffer made a send wait.
    pub send_waits: u64,
    /// Outgoing datagrams that were not sent.
    pub dropped_out: DroppedOut,
    /// Incoming datagrams that were not handed up.
    pub dropped_in: DroppedIn,
    /// Send errors to the multicast group or broadcast address; those to a peer are in `peers`.
    pub group_errors: Errors,
    /// Errors of `recvmmsg`.
    pub recv_errors: Errors,
    /// One entry for each node of the node list, in its order.
    pub peers: Vec<PeerStats>,
    /// Receive buffer that the kernel gave the socket that carries the data, in bytes as the kernel accounts.
    pub recv_buffer: usize,
    /// Send buffer that the kernel gave, in bytes as the kernel accounts.
    pub send_buffer: usize,
    /// The code point that the kernel says it sends with; `None` if none was asked for.
    pub dscp: Option<u8>,
}

/// Datagrams and their payload bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Number of datagrams.
    pub datagrams: u64,
    /// Sum of their UDP payloads, in bytes.
    pub bytes: u64,
}

impl Traffic {
    pub(super) fn add(&mut self, bytes: usize) {
        self.datagrams += 1;
        self.bytes += bytes as u64;
    }
}

/// Outgoing datagrams that were not sent, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DroppedOut {
    /// For a node that is not in the node list.
    pub unknown_node: u64,
    /// The socket buffer stayed full for longer than a send may wait.
    pub buffer_full: u64,
    /// The kernel refused it; see the errors of each peer and of the group.
    pub failed: u64,
    /// There was no socket, because the interface is gone and came back in a way that could not be bound.
    pub no_socket: u64,
    /// For this node itself while too many such datagrams waited.
    pub loop_full: u64,
}

/// Incoming datagrams that were not handed up, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DroppedIn {
    /// From an address that is not in the node list.
    pub unlisted: u64,
    /// From the address of a node, but not from the port that its daemon sends from.
    pub port: u64,
    /// Longer than the receive buffer.
    pub truncated: u64,
    /// This node's own multicast or broadcast, brought back by the network.
    pub own: u64,
    /// Thrown away by the kernel, nearly always because the socket's receive buffer was full. Brought up to
    /// date by [`Transport::check_interface`](super::Transport::check_interface).
    pub kernel: u64,
}

/// Traffic with one node of the node list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStats {
    /// The node.
    pub id: NodeId,
    /// Its address.
    pub addr: IpAddr,
    /// Datagrams addressed to it alone (on udpu this includes those for everybody).
    pub sent: Traffic,
    /// Datagrams from its address that were handed up.
    pub received: Traffic,
    /// Why datagrams to it could not be sent.
    pub errors: Errors,
}

/// Errors counted by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors(Vec<(i32, u64)>);

impl Errors {
    /// How many errors of all kinds.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|&(_, count)| count).sum()
    }

    /// How many of this error number (`libc::ENETUNREACH` and so on).
    pub fn count(&self, errno: i32) -> u64 {
        self.0.iter().find(|&&(known, _)| known == errno).map_or(0, |&(_, count)| count)
    }

    /// Error numbers and how often each came, in the order in which they first came.
    pub fn iter(&self) -> impl Iterator<Item = (i32, u64)> {
        self.0.iter().copied()
    }

    /// Grows by one entry for each distinct number, of which the kernel has fewer than 150.
    pub(super) fn add(&mut self, errno: i32) {
        match self.0.iter_mut().find(|(known, _)| *known == errno) {
            Some((_, count)) => *count += 1,
            None => self.0.push((errno, 1)),
        }
    }
}

/// The limits of each kind of line that a fault which lasts would repeat; those about a node are with the node.
#[derive(Debug, Default)]
pub(super) struct Logs {
    pub(super) refused: Quiet,
    pub(super) port: Quiet,
    pub(super) receive: Quiet,
    pub(super) buffer: Quiet,
    pub(super) group: Quiet,
    pub(super) unknown: Quiet,
    pub(super) overflow: Quiet,
    pub(super) interface: Quiet,
}

/// Counts what the kernel had dropped at the sockets, all in all, until now.
pub(super) fn count_kernel_drops(now: u64, stats: &mut Stats, logs: &mut Logs) {
    let new = now.saturating_sub(stats.dropped_in.kernel);
    stats.dropped_in.kernel = now;
    if new > 0
        && let Some(held_back) = logs.overflow.may_speak()
    {
        tracing::warn!(
            new,
            recv_buffer = stats.recv_buffer,
            held_back,
            "the receive buffer overflowed, frames were lost and must be sent again; this node is too slow for what \
             the others send (starved of CPU?), or the buffer too small (sysctl net.core.rmem_max)"
        );
    }
}

/// A limit for lines of the log by the clock, which the core has not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet {
    start: Clock,
    limit: quiet::Quiet,
}

impl Default for Quiet {
    fn default() -> Self {
        Self { start: Clock::now(), limit: quiet::Quiet::default() }
    }
}

impl Quiet {
    /// `Some(lines held back since the last one)` if a line may be written now.
    pub(super) fn may_speak(&mut self) -> Option<u64> {
        self.limit.may_speak(Instant::ZERO + self.start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_number() {
        let mut errors = Errors::default();
        errors.add(libc::ENETUNREACH);
        errors.add(libc::EPERM);
        errors.add(libc::ENETUNREACH);
        assert_eq!((errors.total(), errors.count(libc::ENETUNREACH), errors.count(libc::EIO)), (3, 2, 0));
        assert_eq!(errors.iter().collect::<Vec<_>>(), [(libc::ENETUNREACH, 2), (libc::EPERM, 1)]);
    }
}
