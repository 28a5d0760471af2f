//! The answer that is owed to a client which has changed a key.

use super::wire::{Function, Reply};
use crate::ids::ConnId;
use crate::service::Context;

/// The answer to a write that has changed a key. It is owed until all trackers of the key have been notified of the
/// change.
///
/// A client that changes keys must wait for those that are notified of them. Clients send one request at a time, so none
/// makes changes faster than their notifications are sent. And as with Corosync, when a client gets its answer,
/// the notifications of its change have been written for all trackers.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwedAnswer {
    /// The client that has changed the key.
    pub(super) conn: ConnId,
    /// What it has asked for.
    pub(super) function: Function,
}

impl OwedAnswer {
    /// Answers the client: the change is made, and all have been notified of it.
    pub(super) fn give(self, context: &mut Context<'_>) {
        context.reply(self.conn, Reply::Done.encode(self.function));
    }
}
