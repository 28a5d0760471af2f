//! The events of a group, which all members receive in one order.

use bytes::Bytes;

use crate::cpg::name::{Member, Reason};
use crate::ids::{NodeId, RingId};
use crate::service::channel::End;

/// An event in a group.
///
/// All members of a group receive the same messages and views in the same order while they are together:
/// every member that delivers a message delivers it between the same two views. The order of events, as in
/// `cpg_overview(3)` and related manual pages:
///
/// * The first event is the [`Event::View`] in which this member joined. It is followed by an
///   [`Event::Ring`], unless [`JoinOptions::initial_ring`](super::JoinOptions::initial_ring) is false.
/// * A member's messages come after the view in which it joined and before the view in which it left. A
///   member also receives its own messages.
/// * When the ring changes, views come first: one with the members that left with their nodes and one with
///   those that joined with theirs, each only if there are any. Then an [`Event::Ring`] always follows.
///   Messages of the old ring come before all of these.
///
/// **A member of a group cannot see** the transitional configuration of extended virtual synchrony: which
/// messages before a view were delivered when only the nodes that go on together were certain to deliver
/// them. The protocol between daemon and client cannot express it. For [`Guarantee::Safe`] messages this
/// means: a message delivered just before a view may be held only by the members that are not in that view's
/// `left` with [`Reason::NodeDown`]. A program with the ring in its own process sees both kinds of
/// configuration in `Node::views`.
///
/// [`Guarantee::Safe`]: crate::ids::Guarantee::Safe
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A complete message, even if it was sent in several pieces.
    Message {
        /// The sender.
        from: Member,
        /// The content.
        payload: Bytes,
    },
    /// The membership of the group changed.
    View(GroupView),
    /// The ring changed. Every member receives this event at every change of the ring, also when the
    /// membership of the group stays the same.
    Ring(RingView),
    /// A message to the group that this member could not assemble. Other members may have delivered it, so a
    /// replica that receives this event has missed part of the history and should fetch the state again.
    Undelivered {
        /// The sender.
        from: Member,
        /// The announced length of the message in bytes.
        bytes: u64,
        /// Why it was not assembled.
        why: Undelivered,
    },
    /// The connection has ended; this is the last event. The other members see this member leave.
    Disconnected {
        /// Why the connection ended.
        reason: End,
    },
}

/// The membership of a group after a change, and the difference to the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupView {
    /// The members after the change, by node and process.
    pub members: Vec<Member>,
    /// The members that joined.
    pub joined: Vec<Change>,
    /// The members that left.
    pub left: Vec<Change>,
}

impl GroupView {
    /// Whether `member` is in `members`.
    pub fn contains(&self, member: Member) -> bool {
        self.members.contains(&member)
    }
}

/// A member that joined or left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The member.
    pub member: Member,
    /// Why it joined or left.
    pub reason: Reason,
}

/// The ring that carries the groups; always a regular configuration (see [`Event`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingView {
    /// The ring id, unique in the life of the cluster.
    pub ring: RingId,
    /// The nodes in the ring.
    pub members: Vec<NodeId>,
}

/// Why a message was not assembled from its pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Undelivered {
    /// It is longer than [`JoinOptions::message_limit`](super::JoinOptions::message_limit).
    #[error("longer than this member's limit of {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// Too many long messages were being assembled at once.
    #[error("too many long messages at once: more than {limit} bytes, or {senders} senders")]
    NoRoom {
        /// The limit in bytes for all of them.
        limit: usize,
        /// The limit for the number of senders.
        senders: usize,
    },
    /// The pieces do not add up to the announced length.
    #[error("its pieces do not fit together")]
    Broken,
}
