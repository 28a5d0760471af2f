//! Phase changes: which phase comes next, and why. A phase decides this, and `Srp` carries it out.

use std::fmt;

use crate::ids::NodeId;
use crate::totem::wire::CommitToken;

/// The phase to enter.
#[derive(Debug)]
pub(super) enum Next {
    /// Agree on the members of the next ring.
    Gather(Cause),
    /// Fill in this commit token and pass it on.
    Commit(CommitToken),
    /// Exchange the messages of the old rings that this commit token lists.
    Recovery(CommitToken),
}

/// Why a node gathers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// This node has just started.
    Start,
    /// Not all nodes agreed within the consensus time-out.
    ConsensusTimeout,
    /// Members of the old ring were silent, while this node gathered with new nodes.
    Silent,
    /// No token arrived within the token time-out on an operational ring.
    TokenLost,
    /// The nodes agreed, but the representative sent no commit token.
    NoCommitToken,
    /// The commit token was lost during the commit phase.
    CommitTokenLost,
    /// The token was lost during the recovery.
    RecoveryTokenLost,
    /// The token circulated, but the recovery made no progress.
    RecoveryStalled,
    /// Members were silent during the services' synchronisation, and the ring is formed without them.
    Unsynchronised,
    /// Members are excluded for a while.
    LeftOut,
    /// This node cannot receive what the others send.
    CannotReceive,
    /// This node lacks a message that no member has.
    NobodyHas,
    /// This node has delivered a message that no member of the ring sent.
    NeverSent,
    /// The given node sent a data frame of another ring.
    ForeignMessage(NodeId),
    /// The given node, another ring's representative, sent a merge detect message.
    MergeDetect(NodeId),
    /// The given node sent a join message with something new while this node gathered.
    Join(NodeId),
    /// The given node announced that it is leaving.
    Leave(NodeId),
    /// The given node sent a join message while this node was on a ring.
    JoinOperational(NodeId),
    /// The given node sent a join message during the commit phase.
    JoinCommit(NodeId),
    /// The given node sent a join message during the recovery.
    JoinRecovery(NodeId),
    /// The host of the given node says that its process has ended.
    Ended(NodeId),
    /// The network interface disappeared or came back.
    Interface,
    /// This node's disk has finally reserved ring ids.
    Reserved,
    /// The caller asked for it.
    Forced,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("this node started"),
            Self::ConsensusTimeout => f.write_str("not all nodes agreed in time"),
            Self::Ended(node) => write!(f, "the process of node {node} has ended"),
            Self::Silent => f.write_str("members of the ring were silent"),
            Self::TokenLost => f.write_str("the token was lost"),
            Self::NoCommitToken => f.write_str("the representative sent no commit token"),
            Self::CommitTokenLost => f.write_str("the commit token was lost"),
            Self::RecoveryTokenLost => f.write_str("the token was lost during recovery"),
            Self::RecoveryStalled => f.write_str("the recovery did not get on"),
            Self::Unsynchronised => f.write_str("the services could not be synchronised"),
            Self::LeftOut => f.write_str("members are left out for a while"),
            Self::CannotReceive => f.write_str("this node fails to receive what the others send"),
            Self::NobodyHas => f.write_str("the token counts a message that nobody has"),
            Self::NeverSent => f.write_str("a message came that nobody on the ring sent"),
            Self::ForeignMessage(node) => write!(f, "a message came from another ring, node {node}"),
            Self::MergeDetect(node) => write!(f, "another ring is reachable, represented by node {node}"),
            Self::Join(node) => write!(f, "node {node} proposes another membership"),
            Self::Leave(node) => write!(f, "node {node} is leaving"),
            Self::JoinOperational(node) => write!(f, "node {node} wants to form a ring"),
            Self::JoinCommit(node) => write!(f, "node {node} changed its mind during commit"),
            Self::JoinRecovery(node) => write!(f, "node {node} changed its mind during recovery"),
            Self::Interface => f.write_str("the network interface came or went"),
            Self::Reserved => f.write_str("ring ids are reserved on disk at last"),
            Self::Forced => f.write_str("it was asked for"),
        }
    }
}
