//! The library that an application uses to know whether its part of the cluster may act, the same over IPC and
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
//! let mut changes = quorum.changes().await?; // begins with how it is now
//! while let Some(change) = changes.next().await {
//!     let change = change?;
//!     println!("quorate: {}, joined {:?}, left {:?}", change.quorate, change.joined, change.left);
//! }
//! # Ok(()) }
//! ```
//!
//! Corosync's counterpart: `lib/quorum.c`, `lib/votequorum.c`; `quorum_overview(3)`, `votequorum_overview(3)`.
//! Where their calls went:
//!
//! | libquorum, libvotequorum | here |
//! |---|---|
//! | `quorum_initialize`, `quorum_model_initialize`, `votequorum_initialize` | [`Client::new`] |
//! | `quorum_getquorate` | [`Client::is_quorate`], [`Client::info`] |
//! | `quorum_trackstart`, `quorum_dispatch` and the callbacks | [`Client::changes`], [`blocking::Client::changes`] |
//! | `quorum_fd_get`, `votequorum_fd_get` | what [`blocking::Client::changes`] gives is [`AsFd`](std::os::fd::AsFd) |
//! | `votequorum_getinfo` | [`Client::info`], [`Client::node`], [`Client::nodes`] |
//! | `votequorum_setexpected`, `votequorum_setvotes` | [`Client::set_expected_votes`], [`Client::set_votes`] |
//! | `votequorum_trackstart` and the callbacks | [`Client::vote_events`] |
//! | `votequorum_qdevice_register` and its sisters | [`Client::register_device`], [`Device`] |
//!
//! | file | what |
//! |---|---|
//! | `info.rs` | what one asks for: [`QuorumInfo`], [`VoteInfo`] |
//! | `change.rs` | what one is told: [`QuorumChange`], [`VoteEvent`] |
//! | `calls.rs` | the questions that both kinds of client ask |
//! | `device.rs` | [`Device`]: the vote of an arbiter outside of the cluster |
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
use crate::service::client::{Error, Events, Line, Source};
use change::{Changes, Snapshot};

/// The way to the quorum of one daemon, or of one node in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    quorum: Line,
    votes: Line,
}

impl Client {
    /// A client whose connections are opened by `dial`. Nothing is opened yet.
    pub fn new(dial: Arc<dyn Dial>) -> Self {
        let quorum = Line::new(Arc::clone(&dial), ServiceId::QUORUM);
        Self { quorum, votes: Line::new(dial, ServiceId::VOTEQUORUM) }
    }

    /// Whether this node's part of the cluster may act.
    ///
    /// # Errors
    /// No daemon, or it refuses this user.
    pub async fn is_quorate(&self) -> Result<bool, Error> {
        self.quorum.ask(calls::is_quorate()).await
    }

    /// How it stands with quorum, ring and votes.
    ///
    /// # Errors
    /// No daemon, or it refuses this user.
    pub async fn info(&self) -> Result<QuorumInfo, Error> {
        let channel = self.quorum.open().await?;
        let provider = calls::newer_model().over(&*channel).await?;
        calls::state().over(&*channel).await?;
        // They were sent before the answer.
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

    /// Changes of quorum and membership, beginning with how it is now: as if everybody had just joined.
    ///
    /// # Errors
    /// No daemon, or it refuses this user.
    pub async fn changes(&self) -> Result<Events<QuorumChange>, Error> {
        let channel = self.quorum.open().await?;
        let mut changes = Changes::new(calls::newer_model().over(&*channel).await?);
        calls::track().over(&*channel).await?;
        Ok(Events::new(Source::new(channel, move |event: &[u8]| changes.read(event))))
    }

    /// What is known of the votes of a node, in the ring or not.
    ///
    /// # Errors
    /// [`Status::NotExist`]: a node that was never seen; [`Status::NotSupported`]: this cluster does not vote; no
    /// daemon, or it refuses this user.
    pub async fn node(&self, node: NodeId) -> Result<VoteInfo, Error> {
        self.votes.ask(calls::votes(Some(node))).await
    }

    /// What is known of the votes of all nodes that were ever seen, by id.
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

    /// Sets how many votes there are when all nodes are there, on all members of the ring. It holds until nodes
    /// with more votes come, or the daemon is started anew.
    ///
    /// # Errors
    /// [`Status::InvalidParam`]: fewer than there are now, or so many that quorum would be lost; and as
    /// [`Client::node`].
    pub async fn set_expected_votes(&self, votes: u32) -> Result<(), Error> {
        self.votes.ask(calls::set_expected(votes)).await
    }

    /// Sets the votes of a node, until its daemon is started anew.
    ///
    /// # Errors
    /// [`Status::InvalidParam`]: quorum would be lost or could be had twice; [`Status::NameNotFound`]: a node that
    /// was never seen; and as [`Client::node`].
    pub async fn set_votes(&self, node: NodeId, votes: u32) -> Result<(), Error> {
        self.votes.ask(calls::set_votes(node, votes)).await
    }

    /// What happens to the votes: more detail than [`Client::changes`], beginning with how it is now.
    ///
    /// # Errors
    /// As [`Client::node`].
    pub async fn vote_events(&self) -> Result<Events<VoteEvent>, Error> {
        let channel = self.votes.open().await?;
        calls::track_votes().over(&*channel).await?;
        Ok(Events::new(Source::new(channel, VoteEvent::read)))
    }

    /// Registers a quorum device: a program on this node that speaks for an arbiter outside of the cluster. If
    /// one is registered here under this name already, this takes it over.
    ///
    /// # Errors
    /// [`Status::Access`]: the section `quorum.device` does not go with the rest of the configuration; [`Status::Exist`]: another one is registered;
    /// [`Error::Invalid`]: no name for a device; and as [`Client::node`].
    pub async fn register_device(&self, name: &str) -> Result<Device, Error> {
        let register = calls::register_device(name)?;
        // The answer comes when all nodes know; other questions need not wait for it.
        let line = self.votes.apart();
        line.ask(register).await?;
        Ok(Device::new(line, name))
    }

    /// `None` where nobody votes.
    async fn own_votes(&self) -> Result<Option<VoteInfo>, Error> {
        votes_if_any(self.votes.ask(calls::votes(None)).await)
    }
}

/// Another provider than votequorum has no votes to tell of.
fn votes_if_any(asked: Result<VoteInfo, Error>) -> Result<Option<VoteInfo>, Error> {
    match asked {
        Err(Error::Channel(ChannelError::Refused { status: Status::NotSupported, .. })) => Ok(None),
        asked => asked.map(Some),
    }
}
