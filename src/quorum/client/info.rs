//! The answers to queries about quorum.

use zerocopy::FromBytes;

use crate::ids::{NodeId, RingId};
use crate::quorum::wire::name;
use crate::quorum::wire::votequorum::{InfoReplyBytes, info};
use crate::service::wire::read::Malformed;

/// The state of quorum, ring and votes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuorumInfo {
    /// Whether this node's partition is quorate. Always true without a provider.
    pub quorate: bool,
    /// Whether there is a quorum provider (`quorum.provider`).
    pub provider: bool,
    /// The current ring.
    pub ring: RingId,
    /// The members of the ring, ascending.
    pub members: Vec<NodeId>,
    /// The votes as this node sees them; `None` without votequorum.
    pub votes: Option<VoteInfo>,
}

/// The votes of one node, and those of the whole cluster as the queried node sees them.
///
/// Source: `votequorum_getinfo(3)`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VoteInfo {
    /// The node.
    pub node: NodeId,
    /// Its state.
    pub state: NodeState,
    /// The votes of the node.
    pub votes: u32,
    /// The number of votes that the node expects when all nodes are present.
    pub expected_votes: u32,
    /// The largest number that any member of the ring expects.
    pub highest_expected: u32,
    /// Sum of the votes of all members of the ring, including those of the quorum device if it casts them.
    pub total_votes: u32,
    /// The number of votes needed.
    pub quorum: u32,
    /// Whether the queried node is quorate.
    pub quorate: bool,
    /// `quorum.two_node`: one of two nodes is sufficient.
    pub two_node: bool,
    /// `quorum.wait_for_all`: not quorate before all nodes have been present once.
    pub wait_for_all: bool,
    /// `quorum.last_man_standing`: expected votes are lowered some time after nodes have gone.
    pub last_man_standing: bool,
    /// `quorum.auto_tie_breaker`: one half of the cluster may be sufficient.
    pub auto_tie_breaker: bool,
    /// `quorum.allow_downscale`: expected votes are lowered when nodes leave cleanly.
    pub allow_downscale: bool,
    /// The state of the quorum device.
    pub device: DeviceInfo,
}

/// The state of the quorum device: the flags are those of the node in question, name and votes those that the
/// queried node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// The name; empty if there is no device.
    pub name: String,
    /// The votes of the device.
    pub votes: u32,
    /// Whether it is registered at the node.
    pub registered: bool,
    /// Whether it has polled in time.
    pub alive: bool,
    /// Whether it votes for the node's partition.
    pub casts_vote: bool,
    /// Whether the partition with its vote is quorate, whatever the other votes are.
    pub master_wins: bool,
}

/// The state of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NodeState {
    /// It is on the ring.
    Member,
    /// It was on the ring and no longer is.
    Dead,
    /// It is about to leave cleanly.
    Leaving,
    /// A number that this version does not know.
    Other(u32),
}

impl NodeState {
    pub(super) const fn from_code(code: u32) -> Self {
        match code {
            1 => Self::Member,
            2 => Self::Dead,
            3 => Self::Leaving,
            other => Self::Other(other),
        }
    }
}

impl VoteInfo {
    /// Reads a reply.
    pub(super) fn read(reply: &[u8]) -> Result<Self, Malformed> {
        let bad = Malformed("answer (votes of a node)");
        let (reply, _) = InfoReplyBytes::ref_from_prefix(reply).map_err(|_| bad)?;
        let flags = reply.flags.get();
        let has = |flag| flags & flag != 0;
        Ok(Self {
            node: NodeId::new(reply.node.get()).ok_or(bad)?,
            state: NodeState::from_code(reply.state.get()),
            votes: reply.votes.get(),
            expected_votes: reply.expected_votes.get(),
            highest_expected: reply.highest_expected.get(),
            total_votes: reply.total_votes.get(),
            quorum: reply.quorum.get(),
            quorate: has(info::QUORATE),
            two_node: has(info::TWO_NODE),
            wait_for_all: has(info::WAIT_FOR_ALL),
            last_man_standing: has(info::LAST_MAN_STANDING),
            auto_tie_breaker: has(info::AUTO_TIE_BREAKER),
            allow_downscale: has(info::ALLOW_DOWNSCALE),
            device: DeviceInfo {
                name: String::from_utf8_lossy(name(&reply.device_name)).into_owned(),
                votes: reply.device_votes.get(),
                registered: has(info::QDEVICE_REGISTERED),
                alive: has(info::QDEVICE_ALIVE),
                casts_vote: has(info::QDEVICE_CAST_VOTE),
                master_wins: has(info::QDEVICE_MASTER_WINS),
            },
        })
    }
}
