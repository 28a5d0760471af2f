//! Sending events, and the limit on the memory that waits for slow readers.

use bytes::Bytes;

use super::Server;
use super::connection::Reason;
use crate::ids::{ConnId, Piece};

/// Bytes of events that are copied into ring buffers between two calls of [`Server::flush`], as one message of 1 MiB
/// to thousands of members amounts to gigabytes. The rest waits, with one payload for all, and is copied in later
/// turns.
const COPIED: usize = 4 << 20;

impl Server {
    /// Sends an event, `head` followed by `payload`; [`Self::flush`] announces it at the latest. It is queued if the
    /// client's ring buffer has no room; the queues of many clients share one payload. A client with more than half
    /// of [`Options::event_backlog`] queued may not multicast until it has read most of that; one with more than all
    /// of it and twice its longest message is disconnected. If more than [`Options::all_backlogs`] is queued for all
    /// clients together, the client with most is disconnected. An event to a client that is gone is ignored.
    ///
    /// [`Options::event_backlog`]: super::Options::event_backlog
    /// [`Options::all_backlogs`]: super::Options::all_backlogs
    pub fn event(&mut self, conn: ConnId, head: &[u8], payload: &Bytes) {
        self.announce_later(conn, head, payload, None);
    }

    /// As [`Self::event`], for a client's own multicast; of these only 2 MiB may be queued before it is held back. A
    /// message in pieces counts when its last piece is queued.
    pub fn echo(&mut self, conn: ConnId, head: &[u8], payload: &Bytes, piece: Piece) {
        self.announce_later(conn, head, payload, Some(piece));
    }

    fn announce_later(&mut self, conn: ConnId, head: &[u8], payload: &Bytes, own: Option<Piece>) {
        let at_once = self.copied < COPIED;
        let Some(client) = self.active(conn) else { return };
        let result = client.event(head, payload, own, at_once);
        client.throttle();
        let (batch, waits) = (client.has_batch(), client.waiting() > 0);
        let first = !std::mem::replace(&mut client.dirty, true);
        if first {
            self.dirty.push_back(conn);
        }
        self.stats.events += 1;
        if at_once {
            self.copied += head.len() + payload.len();
        }
        match result {
            Ok(()) if batch => self.flush_client(conn),
            Ok(()) => {}
            Err(reason) => self.throw_out(conn, &reason),
        }
        if waits {
            self.relieve();
        }
    }

    /// Keeps the memory that waits for slow readers within its limit: disconnects the client with most of it, and
    /// then the next, until it fits.
    ///
    /// The queue of a disconnected client is freed in steps. As long as that goes on, no further client is
    /// disconnected, unless more arrives than is freed.
    pub(super) fn relieve(&mut self) {
        let limit = self.options.all_backlogs;
        loop {
            let held = self.pool.held();
            let most = if self.pool.has_abandoned() { limit.saturating_add(limit / 4) } else { limit };
            if held <= most {
                return;
            }
            let largest = self.table.connections().max_by_key(|client| client.waiting());
            let Some(largest) = largest.filter(|client| client.waiting() > 0) else {
                // No client has a queue: all of the memory is abandoned.
                self.pool.free(usize::MAX);
                return;
            };
            let (conn, bytes) = (largest.id, largest.waiting());
            self.throw_out(conn, &Reason::AllBacklogs { bytes, held, limit });
        }
    }
}
