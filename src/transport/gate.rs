//! Which received datagrams are handed up.

use std::io;
use std::net::SocketAddr;

use super::peers::Peers;
use super::stats::{Logs, Stats};
use super::sys::Arrival;

/// Judges each datagram as it arrives, and counts it.
pub(super) struct Gate<'a> {
    pub(super) peers: &'a mut Peers,
    pub(super) stats: &'a mut Stats,
    pub(super) logs: &'a mut Logs,
    /// Whether a sender that is not in the node list is refused.
    pub(super) block_unlisted: bool,
    /// What this node's own multicasts come from, if the network may bring them back.
    pub(super) own: Option<SocketAddr>,
}

impl Gate<'_> {
    /// Whether to hand the datagram up.
    pub(super) fn admits(&mut self, arrival: &Arrival) -> bool {
        if let (Some(from), Some(own)) = (arrival.from, self.own)
            && (from.ip(), from.port()) == (own.ip(), own.port())
        {
            self.stats.dropped_in.own += 1;
            return false;
        }
        let peer = arrival.from.and_then(|from| self.peers.from(from.ip()));
        if peer.is_none() && self.block_unlisted {
            self.stats.dropped_in.unlisted += 1;
            self.report_unlisted(arrival.from);
            return false;
        }
        if arrival.truncated {
            self.stats.dropped_in.truncated += 1;
            return false;
        }
        self.stats.received.add(arrival.len);
        if let Some(peer) = peer {
            self.stats.peers[peer].received.add(arrival.len);
        }
        true
    }

    /// Counts a failed receive call.
    pub(super) fn failed(&mut self, error: &io::Error) {
        self.stats.recv_errors.add(error.raw_os_error().unwrap_or(0));
        if let Some(held_back) = self.logs.receive.may_speak() {
            tracing::warn!(%error, held_back, "receiving failed; the ring goes on and tries again");
        }
    }

    fn report_unlisted(&mut self, from: Option<SocketAddr>) {
        if let Some(held_back) = self.logs.refused.may_speak() {
            let from = from.map_or_else(|| "an unknown address".to_owned(), |from| from.to_string());
            tracing::warn!(
                from,
                held_back,
                "datagram refused, its sender is not in the node list; if it belongs to this cluster, add it on every \
                 node, else give the other cluster another mcastport"
            );
        }
    }
}
