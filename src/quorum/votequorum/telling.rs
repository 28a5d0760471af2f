//! The events for clients that track.

use bytes::Bytes;

use crate::ids::{ConnId, RingId};
use crate::quorum::votes::Votes;
use crate::quorum::wire::exec::flag;
use crate::quorum::wire::votequorum::Event;
use crate::service::Context;

/// A client that is notified of changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tracker {
    pub(super) conn: ConnId,
    /// A number of the client, which is repeated in every event.
    pub(super) number: u64,
}

/// Tells the present number of expected votes.
pub(super) fn expected(trackers: &[Tracker], votes: &Votes, context: &mut Context<'_>) {
    tell(trackers, &Event::ExpectedVotes(votes.nodes.us().expected), context);
}

/// Tells whether this partition is quorate, and the states of all nodes.
pub(super) fn quorum(trackers: &[Tracker], votes: &Votes, quorate: bool, context: &mut Context<'_>) {
    if trackers.is_empty() {
        return;
    }
    let nodes: Vec<_> = votes.nodes.iter().map(|(id, node)| (id, node.state)).collect();
    let device = votes.nodes.us().has(flag::QDEVICE_REGISTERED);
    tell(trackers, &Event::Quorum { quorate, nodes: &nodes, device }, context);
}

/// Tells the ring and its members.
pub(super) fn nodelist(trackers: &[Tracker], ring: Option<RingId>, votes: &Votes, context: &mut Context<'_>) {
    tell(trackers, &Event::Nodelist { ring, members: votes.members() }, context);
}

fn tell(trackers: &[Tracker], event: &Event<'_>, context: &mut Context<'_>) {
    for Tracker { conn, number } in trackers {
        context.event([*conn], &event.encode(*number), Bytes::new());
    }
}
