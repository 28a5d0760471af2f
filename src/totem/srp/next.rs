//! Where the protocol goes from a phase, and why: what a phase decides and `Srp` carries out.

use std::fmt;

use crate::ids::NodeId;
use crate::totem::wire::CommitToken;

/// The phase to go to.
#[derive(Debug)]
pub(super) enum Next {
    /// Find out who is there.
    Gather(Cause),
    /// Fill in this commit token and pass it on.
    Commit(CommitToken),
    /// Exchange messages of the old rings, which this commit token tells.
    Recovery(CommitToken),
}

/// Why a node gathers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It just started.
    Start,
    /// Not all answered in time.
    ConsensusTimeout,
    /// No token for the token time-out, on a ring.
    TokenLost,
    /// Agreed, but no commit token came.
    NoCommitToken,
    /// The commit token got lost.
    CommitTokenLost,
    /// The token got lost while old messages were exchanged.
    RecoveryTokenLost,
    /// The token turned, but the exchange of old messages did not get on.
    RecoveryStalled,
    /// Members kept silent in the synchronisation of the services.
    Unsynchronised,
    /// It cannot receive what the others send.
    CannotReceive,
    /// It lacks a message that nobody has.
    NobodyHas,
    /// It has handed up a message that nobody on the ring sent.
    NeverSent,
    /// A message of another ring.
    ForeignMessage(NodeId),
    /// Another ring's representative looks for rings.
    MergeDetect(NodeId),
    /// A join message with something new in it.
    Join(NodeId),
    /// A node left.
    Leave(NodeId),
    /// A join message came while on a ring.
    JoinOperational(NodeId),
    /// A join message came while the commit token went round.
    JoinCommit(NodeId),
    /// A join message came while old messages were exchanged.
    JoinRecovery(NodeId),
    /// The network interface came or went.
    Interface,
    /// Its disk has reserved ring ids at last.
    Reserved,
    /// Somebody asked for it.
    Forced,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("this node started"),
            Self::ConsensusTimeout => f.write_str("not all nodes agreed in time"),
            Self::TokenLost => f.write_str("the token was lost"),
            Self::NoCommitToken => f.write_str("the representative sent no commit token"),
            Self::CommitTokenLost => f.write_str("the commit token was lost"),
            Self::RecoveryTokenLost => f.write_str("the token was lost during recovery"),
            Self::RecoveryStalled => f.write_str("the recovery did not get on"),
            Self::Unsynchronised => f.write_str("the services could not be synchronised"),
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
