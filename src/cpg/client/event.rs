//! What a member of a group is told, in one order.

use bytes::Bytes;

use crate::cpg::name::{Member, Reason};
use crate::ids::{NodeId, RingId};
use crate::service::channel::End;

/// Something that happened in a group.
///
/// All members of a group get the same messages and views in the same order, as long as they are
/// together: a message is delivered between the same two views at everybody who delivers it. What comes
/// when, as `cpg_overview(3)` and its sisters have it:
///
/// * The first event is the [`Event::View`] with which this member came in. After it comes an
///   [`Event::Ring`], unless [`JoinOptions::initial_ring`](super::JoinOptions::initial_ring) is off.
/// * A member's messages come after the view that brings it, and none comes after the view that takes it
///   away. One's own messages are delivered too.
/// * When the ring changes, views come first: one for those who went with their nodes, one for those
///   who came, each if there are any; and then an [`Event::Ring`], always. Messages of the old ring come
///   before all of them.
///
/// **What a member of a group cannot see** is the transitional configuration of extended virtual
/// synchrony: which messages before a view were delivered when only the nodes that go on together were
/// sure to get them. The protocol between daemon and client has no place for it. For [`Guarantee::Safe`]
/// messages this means: one delivered just before a view may be held only by the members that are not in
/// that view's `left` with [`Reason::NodeDown`]. A program with the ring in its own process sees both
/// kinds of configuration in `Node::views`.
///
/// [`Guarantee::Safe`]: crate::ids::Guarantee::Safe
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A message, whole, whatever pieces it was sent in.
    Message {
        /// Who sent it.
        from: Member,
        /// What.
        payload: Bytes,
    },
    /// The membership of the group changed.
    View(GroupView),
    /// The ring changed. Comes at every member at every change of the ring, also when the membership of
    /// the group stayed as it was.
    Ring(RingView),
    /// A message was sent to the group that this member did not assemble. The others may have got it: a
    /// replica has lost its place in the history now, and should get the state anew.
    Undelivered {
        /// Who sent it.
        from: Member,
        /// How long it claims to be.
        bytes: u64,
        /// Why not.
        why: Undelivered,
    },
    /// The connection has ended; the last event. The group sees this member leave.
    Disconnected {
        /// Why.
        reason: End,
    },
}

/// Who is in a group, and how that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupView {
    /// The members after the change, by node and process.
    pub members: Vec<Member>,
    /// Who came.
    pub joined: Vec<Change>,
    /// Who went.
    pub left: Vec<Change>,
}

impl GroupView {
    /// Whether `member` is in it.
    pub fn contains(&self, member: Member) -> bool {
        self.members.contains(&member)
    }
}

/// One who came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who.
    pub member: Member,
    /// Why.
    pub reason: Reason,
}

/// The ring that carries the groups; always a regular configuration (see [`Event`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingView {
    /// Its name, unique in the life of the cluster.
    pub ring: RingId,
    /// The nodes in it.
    pub members: Vec<NodeId>,
}

/// Why a message was not assembled from its pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Undelivered {
    /// It is longer than [`JoinOptions::message_limit`](super::JoinOptions::message_limit).
    #[error("longer than this member's limit of {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// Too many long messages were on their way at once.
    #[error("too many long messages at once: more than {limit} bytes, or {senders} senders")]
    NoRoom {
        /// The limit in bytes.
        limit: usize,
        /// The limit in senders.
        senders: usize,
    },
    /// Its pieces do not add up to the length that they claim.
    #[error("its pieces do not fit together")]
    Broken,
}
