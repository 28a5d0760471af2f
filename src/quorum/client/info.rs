//! What one asks about quorum.

use zerocopy::FromBytes;

use crate::ids::{NodeId, RingId};
use crate::quorum::wire::name;
use crate::quorum::wire::votequorum::{self, InfoReplyBytes, info};
use crate::service::wire::read::Malformed;

/// How it stands with quorum, ring and votes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuorumInfo {
    /// Whether this node's part of the cluster may act. Always, if there is no provider.
    pub quorate: bool,
    /// Whether something decides on quorum: `quorum.provider`.
    pub provider: bool,
    /// The ring.
    pub ring: RingId,
    /// Its members, ascending.
    pub members: Vec<NodeId>,
    /// The votes, as this node sees them; `None` if nobody votes.
    pub votes: Option<VoteInfo>,
}

/// Votes of one node, and with them of the whole cluster as the node that was asked sees it.
///
/// Source: `votequorum_getinfo(3)`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VoteInfo {
    /// Which node.
    pub node: NodeId,
    /// Where it is.
    pub state: NodeState,
    /// Its votes.
    pub votes: u32,
    /// How many votes it expects if all nodes are there.
    pub expected_votes: u32,
    /// The most that any member of the ring expects.
    pub highest_expected: u32,
    /// Votes of all members of the ring together; with those of the quorum device if it casts them.
    pub total_votes: u32,
    /// Votes that are needed.
    pub quorum: u32,
    /// Whether the node that was asked is quorate.
    pub quorate: bool,
    /// `quorum.two_node`: one of two nodes is enough.
    pub two_node: bool,
    /// `quorum.wait_for_all`: not quorate before all nodes have been there once.
    pub wait_for_all: bool,
    /// `quorum.last_man_standing`: expected votes go down as nodes go.
    pub last_man_standing: bool,
    /// `quorum.auto_tie_breaker`: one half of the cluster may be enough.
    pub auto_tie_breaker: bool,
    /// `quorum.allow_downscale`: expected votes go down when nodes leave in order.
    pub allow_downscale: bool,
    /// The quorum device.
    pub device: DeviceInfo,
}

/// The quorum device: who is registered is told of the node in question, name and votes as the node that was
/// asked has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its name; empty if there is none.
    pub name: String,
    /// Its votes.
    pub votes: u32,
    /// Whether it is registered at the node.
    pub registered: bool,
    /// Whether it has answered in time.
    pub alive: bool,
    /// Whether it votes for the node's part of the cluster.
    pub casts_vote: bool,
    /// Whether the part that has its vote wins, whatever the numbers.
    pub master_wins: bool,
}

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NodeState {
    /// On the ring.
    Member,
    /// It was there, and is not any more.
    Dead,
    /// It is about to leave in order.
    Leaving,
    /// A number of a later version.
    Other(u32),
}

impl NodeState {
    pub(super) const fn from_code(code: u32) -> Self {
        match code {
            votequorum::STATE_MEMBER => Self::Member,
            votequorum::STATE_DEAD => Self::Dead,
            votequorum::STATE_LEAVING => Self::Leaving,
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
