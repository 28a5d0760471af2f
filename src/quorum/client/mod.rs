//! The library for applications that need to know whether their partition is quorate. It works the same over IPC and
//! inside the process of the node.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use annulus::client::Client;
//!
//! let quorum = Client::connect().await?.quorum().clone();
//! let info = quorum.info().await?;
//! println!("quorate: {}, ring {}, members {:?}", info.quorate, info.ring, info.members);
//! if let Some(votes) = &info.votes {
//!     println!("{} of {} votes, {} needed", votes.total_votes, votes.expected_votes, votes.quorum);
//! }
//!
//! let mut changes = quorum.changes().await?; // begins with the present state
//! while let Some(change) = changes.next().await {
//!     let change = change?;
//!     println!("quorate: {}, joined {:?}, left {:?}", change.quorate, change.joined, change.left);
//! }
//! # Ok(()) }
//! ```
//!
//! Corosync's counterpart: `lib/quorum.c`, `lib/votequorum.c`; `quorum_overview(3)`, `votequorum_overview(3)`.
//! The counterparts of their calls:
//!
//! | libquorum, libvotequorum | here |
//! |---|---|
//! | `quorum_initialize`, `quorum_model_initialize`, `votequorum_initialize` | [`Client::new`] |
//! | `quorum_getquorate` | [`Client::is_quorate`], [`Client::info`] |
//! | `quorum_trackstart`, `quorum_dispatch` and the callbacks | [`Client::changes`], [`blocking::Client::changes`] |
//! | `quorum_fd_get`, `votequorum_fd_get` | the result of [`blocking::Client::changes`] is
//! [`AsFd`](std::os::fd::AsFd) |
//! | `votequorum_getinfo` | [`Client::info`], [`Client::node`], [`Client::nodes`] |
//! | `votequorum_setexpected`, `votequorum_setvotes` | [`Client::set_expected_votes`], [`Client::set_votes`] |
//! | `votequorum_trackstart` and the callbacks | [`Client::vote_events`] |
//! | `votequorum_qdevice_register` and related calls | [`Client::register_device`], [`Device`] |
//!
//! | file | what |
//! |---|---|
//! | `info.rs` | answers to queries: [`QuorumInfo`], [`VoteInfo`] |
//! | `change.rs` | events: [`QuorumChange`], [`VoteEvent`] |
//! | `calls.rs` | the calls that both kinds of client have in common |
//! | `device.rs` | [`Device`]: votes for an arbiter outside of the cluster |
//! | `blocking.rs` | the same without an asynchronous runtime |

pub mod blocking;
mod calls;
mod change;
mod device;
mod info;

use std::sync::Arc;

pub use change::{QuorumChange, VoteEvent};
pub use device::Device;
pub use info::{DeviceInfo, NodeState, QuorumInfo, VoteInfo};

use crate::error::Status;
use crate::ids::{NodeId, ServiceId};
use crate::service::channel::{ChannelError, Dial, End};
use crate::service::client::{Error, Events, Line, Source, both};
use change::{Changes, Snapshot};

/// A client of the quorum of one daemon, or of one node in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    quorum: Line,
    votes: Line,
}

both! {
    Client, blocking::Client { quorum: ServiceId::QUORUM, votes: ServiceId::VOTEQUORUM }:

    /// Whether this node's partition is quorate.
    ///
    /// # Errors
    /// No daemon runs, or it refuses this user.
    fn is_quorate(&self) -> bool = self.quorum, calls::is_quorate();

    /// The votes of a node, whether or not it is on the ring.
    ///
    /// # Errors
    /// [`Status::NotExist`]: the node was never a member; [`Status::NotSupported`]: there is no votequorum; or no
    /// daemon runs, or it refuses this user.
    fn node(&self, node: NodeId) -> VoteInfo = self.votes, calls::votes(Some(node));

    /// Sets the expected votes (the number of votes when all nodes are present) on all members of the ring. The value
    /// is kept until nodes with more votes join or the daemon is restarted.
    ///
    /// # Errors
    /// [`Status::InvalidParam`]: fewer than the present votes, or so many that quorum would be lost;
    /// otherwise as [`Client::node`].
    fn set_expected_votes(&self, votes: u32) -> () = self.votes, calls::set_expected(votes);

    /// Sets the votes of a node until its daemon is restarted.
    ///
    /// # Errors
    /// [`Status::InvalidParam`]: quorum would be lost, or two partitions could have it; [`Status::NameNotFound`]: the
    /// node was never a member; otherwise as [`Client::node`].
    fn set_votes(&self, node: NodeId, votes: u32) -> () = self.votes, calls::set_votes(node, votes);
}

impl Client {
    /// The state of quorum, ring and votes.
    ///
    /// # Errors
    /// No daemon runs, or it refuses this user.
    pub async fn info(&self) -> Result<QuorumInfo, Error> {
        let channel = self.quorum.open().await?;
        let provider = calls::newer_model().over(&*channel).await?;
        calls::state().over(&*channel).await?;
        // The events were sent before the answer.
        let mut events = Events::new(Source::new(channel, |event: &[u8]| Snapshot::read(event)));
        let mut snapshot = Snapshot::default();
        while let Some(part) = events.next().await {
            snapshot = snapshot.and(part?);
            if snapshot.is_complete() {
                break;
            }
        }
        let votes = if provider { self.own_votes().await? } else { None };
        snapshot.info(provider, votes)
    }

    /// Changes of quorum and membership. The first one is the present state, with all members in `joined`.
    ///
    /// # Errors
    /// No daemon runs, or it refuses this user.
    pub async fn changes(&self) -> Result<Events<QuorumChange>, Error> {
        let channel = self.quorum.open().await?;
        let mut changes = Changes::new(calls::newer_model().over(&*channel).await?);
        calls::track().over(&*channel).await?;
        Ok(Events::new(Source::new(channel, move |event: &[u8]| changes.read(event))))
    }

    /// The votes of all nodes that were ever members, by node id.
    ///
    /// # Errors
    /// As [`Client::node`].
    pub async fn nodes(&self) -> Result<Vec<VoteInfo>, Error> {
        let channel = self.votes.open().await?;
        calls::vote_state().over(&*channel).await?;
        let mut events = Events::new(Source::new(channel, VoteEvent::read));
        let known = loop {
            match events.next().await {
                Some(event) => {
                    if let VoteEvent::Quorum { nodes, .. } = event? {
                        break nodes;
                    }
                }
                None => return Err(End::Lost.into()),
            }
        };
        let mut nodes = Vec::with_capacity(known.len());
        for (node, _) in known {
            nodes.push(self.node(node).await?);
        }
        nodes.sort_unstable_by_key(|info| info.node);
        Ok(nodes)
    }

    /// The events of votequorum, in more detail than [`Client::changes`]. They begin with the present state.
    ///
    /// # Errors
    /// As [`Client::node`].
    pub async fn vote_events(&self) -> Result<Events<VoteEvent>, Error> {
        let channel = self.votes.open().await?;
        calls::track_votes().over(&*channel).await?;
        Ok(Events::new(Source::new(channel, VoteEvent::read)))
    }

    /// Registers a quorum device, for a program on this node that votes for an arbiter outside of the cluster. If a
    /// device with this name is registered here already, the caller takes it over.
    ///
    /// # Errors
    /// [`Status::Access`]: the section `quorum.device` contradicts the rest of the configuration; [`Status::Exist`]:
    /// another device is registered; [`Error::Invalid`]: the name is invalid; otherwise as [`Client::node`].
    pub async fn register_device(&self, name: &str) -> Result<Device, Error> {
        let register = calls::register_device(name)?;
        // The answer comes when all nodes know of the device; calls on the other connection need not wait for
        // it.
        let line = self.votes.apart();
        line.ask(register).await?;
        Ok(Device::new(line, name))
    }

    /// The votes of the queried node; `None` without votequorum.
    async fn own_votes(&self) -> Result<Option<VoteInfo>, Error> {
        votes_if_any(self.votes.ask(calls::votes(None)).await)
    }
}

/// Providers other than votequorum have no votes.
fn votes_if_any(asked: Result<VoteInfo, Error>) -> Result<Option<VoteInfo>, Error> {
    match asked {
        Err(Error::Channel(ChannelError::Refused { status: Status::NotSupported, .. })) => Ok(None),
        asked => asked.map(Some),
    }
}
