//! Decides which received datagrams are handed up to the caller of the transport.

use std::io;
use std::net::SocketAddr;

use super::peers::Peers;
use super::probes;
use super::received::{Judge, Up};
use super::source_port::Shows;
use super::stats::{Logs, Stats};
use super::sys::Arrival;

/// Judges each datagram on arrival, and counts it.
pub(super) struct Gate<'a> {
    pub(super) peers: &'a mut Peers,
    pub(super) stats: &'a mut Stats,
    pub(super) logs: &'a mut Logs,
    /// Whether datagrams from senders outside of the node list are refused.
    pub(super) block_unlisted: bool,
    /// The source address of this node's own multicasts, if the network may return them.
    pub(super) own: Option<SocketAddr>,
    /// The source ports that peers send from.
    pub(super) sources: Sources,
}

/// The source port that a peer's datagrams must have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sources {
    /// Always this port.
    Always(u16),
    /// This port, once a datagram from it has shown that the peer uses no other.
    Shown(u16, fn(&[u8]) -> Shows),
}

impl Judge for Gate<'_> {
    fn called(&mut self) {
        self.stats.recv_calls += 1;
    }

    fn failed(&mut self, error: &io::Error) {
        self.stats.recv_errors.add(error.raw_os_error().unwrap_or(0));
        if let Some(held_back) = self.logs.receive.may_speak() {
            tracing::warn!(%error, held_back, "receiving failed; the ring goes on and tries again");
        }
    }

    fn judge(&mut self, arrival: &Arrival, bytes: &mut [u8], up: &mut Up<'_>) {
        let mut start = 0;
        // An empty datagram is handed up too.
        loop {
            let end = bytes.len().min(start + arrival.each());
            if self.admits(arrival, &bytes[start..end]) {
                up.part(start..end);
            }
            start = end;
            if start == bytes.len() {
                return;
            }
        }
    }
}

impl Gate<'_> {
    /// Whether to hand up the datagram with these bytes.
    fn admits(&mut self, arrival: &Arrival, bytes: &[u8]) -> bool {
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
        if probes::is_probe(bytes) {
            self.stats.probes += 1;
            return false;
        }
        if let (Some(from), Some(peer)) = (arrival.from, peer)
            && !self.admits_port(from.port(), peer, bytes)
        {
            self.stats.dropped_in.port += 1;
            self.report_port(from);
            return false;
        }
        if arrival.truncated {
            self.stats.dropped_in.truncated += 1;
            return false;
        }
        self.stats.received.add(bytes.len());
        if let Some(peer) = peer {
            self.stats.peers[peer].received.add(bytes.len());
        }
        true
    }

    fn admits_port(&mut self, from: u16, peer: usize, bytes: &[u8]) -> bool {
        match self.sources {
            Sources::Always(port) => from == port,
            Sources::Shown(port, shows) => self.peers.source_port(peer).admits(from == port, || shows(bytes)),
        }
    }

    fn report_port(&mut self, from: SocketAddr) {
        if let Some(held_back) = self.logs.port.may_speak() {
            let (Sources::Always(expected) | Sources::Shown(expected, _)) = self.sources;
            tracing::warn!(
                %from,
                expected,
                held_back,
                "datagram refused: its host's daemon sends from another port, so another program there sends to the \
                 ring; find it with ss -uap on that host"
            );
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
