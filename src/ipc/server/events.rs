//! Events, and the bound on all that waits for slow readers.

use bytes::Bytes;

use super::Server;
use super::connection::Reason;
use crate::ids::{ConnId, Piece};

/// Bytes of events that are copied into rings between two calls of [`Server::flush`], which goes on with the rest, a
/// turn at a time: a message of 1 MiB to thousands of members is gigabytes. Until then they wait, held once for all.
const COPIED: usize = 4 << 20;

impl Server {
    /// Sends an event, `head` and then `payload`. It is announced by [`Self::flush`] at the latest. It is
    /// queued if the client's ring has no room; the queues of many clients hold one payload together. A client that
    /// lets half of [`Options::event_backlog`] wait may not multicast until it has read most of it; one that lets more
    /// than all of it and twice its longest message wait is disconnected. When more than [`Options::all_backlogs`]
    /// waits for all clients together, the one that lets most wait is disconnected. A client that is gone is no error.
    ///
    /// [`Options::event_backlog`]: super::Options::event_backlog
    /// [`Options::all_backlogs`]: super::Options::all_backlogs
    pub fn event(&mut self, conn: ConnId, head: &[u8], payload: &Bytes) {
        self.announce_later(conn, head, payload, None);
    }

    /// The same for an event that tells a client what it has multicast itself: of these it may let 2 MiB wait. Of a
    /// message that comes in pieces none counts before the last one is here.
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

    /// Sees to it that what waits for slow readers, all of it together, stays within its bound: whoever lets most wait
    /// has to go, and then whoever lets most wait of the others.
    ///
    /// What an earlier one let wait is freed little by little. As long as that goes on, nobody else has to go, unless
    /// more comes than is freed.
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
                // Nobody lets anything wait: all of it is about to be freed.
                self.pool.free(usize::MAX);
                return;
            };
            let (conn, bytes) = (largest.id, largest.waiting());
            self.throw_out(conn, &Reason::AllBacklogs { bytes, held, limit });
        }
    }
}
