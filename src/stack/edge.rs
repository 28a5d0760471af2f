//! The world outside of the stack, as the stack sees it.

use bytes::Bytes;

use crate::error::Status;
use crate::ids::{ConnId, Destination, Piece, RingId};
use crate::service::router::Turned;
use crate::service::{Links, Order, Statistics};
use crate::value::Value;
use crate::view::View;

/// The world outside of the stack. Calls take effect in their order.
///
/// Frames may be collected until [`Edge::flush`]. The stack calls that before it delivers anything that
/// follows those frames, so that a client does not see a message before it is on the network.
pub trait Edge {
    /// Sends a datagram. One that cannot be sent is counted and lost, as on any network.
    fn send(&mut self, to: Destination, frame: Bytes);

    /// Sends the collected frames now.
    fn flush(&mut self);

    /// Reserves ring sequence numbers up to this one on stable storage, without blocking; when it is done,
    /// the stack must be given [`Input::Stored`](crate::totem::Input::Stored).
    fn store(&mut self, up_to: u64);

    /// Answers the request of `conn`.
    fn reply(&mut self, conn: ConnId, bytes: &[u8]);

    /// Sends an event to a client; see [`crate::service::Effects::event`].
    fn event(&mut self, conn: ConnId, head: &[u8], payload: &Bytes);

    /// Sends a client a message that it multicast itself; see [`crate::service::Effects::echo`].
    fn echo(&mut self, conn: ConnId, head: &[u8], payload: &Bytes, piece: Piece) {
        let _ = piece;
        self.event(conn, head, payload);
    }

    /// The user id of a client; see [`crate::service::Effects::user`].
    fn user(&self, conn: ConnId) -> u32 {
        let _ = conn;
        0
    }

    /// Maps a zero-copy buffer; see [`crate::service::Effects::buffer_open`].
    ///
    /// # Errors
    /// The status to answer.
    fn buffer_open(&mut self, conn: ConnId, path: &[u8], size: u64) -> Result<u64, Status>;

    /// Reads a zero-copy buffer; see [`crate::service::Effects::buffer_read`].
    ///
    /// # Errors
    /// The status to answer.
    fn buffer_read(&mut self, conn: ConnId, token: u64) -> Result<Bytes, Status>;

    /// Unmaps a zero-copy buffer.
    fn buffer_close(&mut self, conn: ConnId, token: u64);

    /// The statistics that are kept outside of the stack and whose names begin with `prefix`, ascending.
    fn statistics(&self, prefix: &str) -> Vec<(String, Value)>;

    /// Resets statistics that are kept outside of the stack to zero.
    fn clear_statistics(&mut self, which: Statistics);

    /// The state of the links to other nodes; `None` where links are not watched.
    fn links(&self) -> Option<Links> {
        None
    }

    /// A desk orders something that only the program around the node can do.
    fn order(&mut self, order: Order);

    /// A request of `conn` was refused before it reached its service.
    fn refused(&mut self, conn: ConnId, why: Turned);

    /// The ring has changed. Called before the services handle the change.
    fn view(&mut self, view: &View);

    /// The services of this ring are synchronised; requests are served again.
    fn synced(&mut self, ring: RingId);
}
