//! Counters of a transport, and rate limits of its log lines.

use std::net::IpAddr;
use std::time::Instant as Clock;

use crate::ids::NodeId;
use crate::quiet;
use crate::time::Instant;

/// Counters since the transport was opened; they are kept when sockets are reopened or the node list changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams that the kernel accepted, one for each destination.
    pub sent: Traffic,
    /// Datagrams accepted and handed up.
    pub received: Traffic,
    /// Datagrams from this node to itself, which never reach a socket. Not in `sent`, but in `received` once
    /// handed up.
    pub looped: Traffic,
    /// Number of `sendmmsg` calls.
    pub send_calls: u64,
    /// Number of `recvmmsg` calls.
    pub recv_calls: u64,
    /// Probes of other nodes, which ask whether a process receives here. Not in `received`.
    pub probes: u64,
    /// How often a send had to wait because the socket buffer was full.
    pub send_waits: u64,
    /// Outgoing datagrams that were not sent.
    pub dropped_out: DroppedOut,
    /// Incoming datagrams that were not handed up.
    pub dropped_in: DroppedIn,
    /// Send errors to the multicast group or broadcast address; those to a peer are in `peers`.
    pub group_errors: Errors,
    /// Errors of `recvmmsg`.
    pub recv_errors: Errors,
    /// One entry for each node of the node list, in node-list order.
    pub peers: Vec<PeerStats>,
    /// Receive buffer that the kernel granted to the socket for data, in bytes as the kernel accounts them.
    pub recv_buffer: usize,
    /// Send buffer that the kernel granted, in bytes as the kernel accounts them.
    pub send_buffer: usize,
    /// The code point that the kernel reports for sent packets; `None` if none was requested.
    pub dscp: Option<u8>,
}

/// Datagrams and their payload bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The number of datagrams.
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
    /// The destination is not in the node list.
    pub unknown_node: u64,
    /// The socket buffer stayed full for longer than a send may wait.
    pub buffer_full: u64,
    /// The kernel refused the datagram; see the errors of each peer and of the group.
    pub failed: u64,
    /// There was no socket, because the interface is gone or returned in a way that could not be bound.
    pub no_socket: u64,
    /// The datagram was for this node itself while too many of these waited.
    pub loop_full: u64,
}

/// Incoming datagrams that were not handed up, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DroppedIn {
    /// The source address is not in the node list.
    pub unlisted: u64,
    /// The source address is a node's, but the port is not the one from which its daemon sends.
    pub port: u64,
    /// The datagram was longer than the receive buffer.
    pub truncated: u64,
    /// The datagram was this node's own multicast or broadcast, returned by the network.
    pub own: u64,
    /// Dropped by the kernel, nearly always because the socket's receive buffer was full; datagrams that the kernel had
    /// combined into one message count as one. Updated by
    /// [`Transport::check_interface`](super::Transport::check_interface).
    pub kernel: u64,
}

/// Traffic with one node of the node list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStats {
    /// The node's id.
    pub id: NodeId,
    /// The node's address.
    pub addr: IpAddr,
    /// Datagrams addressed to it alone (on udpu this includes those for all nodes).
    pub sent: Traffic,
    /// Datagrams from the node's address that were handed up.
    pub received: Traffic,
    /// Why datagrams to it could not be sent.
    pub errors: Errors,
}

/// Errors, counted by error number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors(Vec<(i32, u64)>);

impl Errors {
    /// The number of errors of all kinds.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|&(_, count)| count).sum()
    }

    /// The number of errors with this number (`libc::ENETUNREACH` and so on).
    pub fn count(&self, errno: i32) -> u64 {
        self.0.iter().find(|&&(known, _)| known == errno).map_or(0, |&(_, count)| count)
    }

    /// Error numbers and how often each occurred, in the order of their first occurrence.
    pub fn iter(&self) -> impl Iterator<Item = (i32, u64)> {
        self.0.iter().copied()
    }

    /// Counts an error. Adds an entry for each new number, of which the kernel has fewer than 150.
    pub(super) fn add(&mut self, errno: i32) {
        match self.0.iter_mut().find(|(known, _)| *known == errno) {
            Some((_, count)) => *count += 1,
            None => self.0.push((errno, 1)),
        }
    }
}

/// Rate limits for each kind of log line that a lasting fault would repeat; those about a node are stored
/// with the node.
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

/// Counts what the kernel had dropped at the sockets, in total, until now.
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

/// A rate limit for log lines that uses the system clock, which the core does not have.
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
    /// `Some` with the number of lines suppressed since the last one, if a line may be logged now.
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
