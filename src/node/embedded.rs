//! A node of the ring inside the process of an application.

use std::sync::Arc;

use super::command::{Handle, Refused, Status};
use super::queue::Source;
use super::thread::RingThread;
use crate::admin;
use crate::client::{Client, blocking};
use crate::confdb;
use crate::config::timeouts::Timeouts;
use crate::cpg::{self, JoinOptions};
use crate::ids::NodeId;
use crate::quorum;
use crate::view::View;

/// A node of the ring inside this process: no daemon, no IPC, the same process groups.
///
/// It runs in a thread of its own, so tasks of the application that block do not cost it the token; they only delay
/// what the application itself sends and receives. [`Node::leave`] removes it from the ring at once.
/// Dropping it stops it like a crash, and the other nodes notice after a timeout.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use annulus::node::Node;
///
/// let peers = [(1, "10.0.0.1".parse()?), (2, "10.0.0.2".parse()?), (3, "10.0.0.3".parse()?)];
/// let node = Node::builder().id(1).peers(peers).start().await?;
/// let group = node.join("example").await?;
/// group.multicast("hello").await?;
/// node.leave().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Node {
    me: NodeId,
    handle: Handle,
    client: Client,
    thread: RingThread,
}

impl Node {
    /// The node that runs in this thread.
    pub(super) fn new(me: NodeId, handle: Handle, thread: RingThread) -> Self {
        let client = Client::new(Arc::new(handle.clone()));
        Self { me, handle, client, thread }
    }

    /// The id of this node.
    pub const fn id(&self) -> NodeId {
        self.me
    }

    /// The handle of its driver, for calls that [`Node`] does not offer.
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// A client of this node, as a program has one of a daemon.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The same as [`Node::client`] for threads without an asynchronous runtime.
    pub fn blocking(&self) -> blocking::Client {
        blocking::Client::new(Arc::new(self.handle.clone()))
    }

    /// Client of CPG, the closed process groups.
    pub const fn cpg(&self) -> &cpg::Client {
        self.client.cpg()
    }

    /// Client of the quorum service: whether this part of the cluster may act, and who votes on that.
    pub const fn quorum(&self) -> &quorum::Client {
        self.client.quorum()
    }

    /// Client of this node's configuration database.
    pub const fn confdb(&self) -> &confdb::Client {
        self.client.confdb()
    }

    /// Client of this node's statistics.
    pub const fn statistics(&self) -> &confdb::Client {
        self.client.statistics()
    }

    /// Client of the administration service: status, reload, shutdown.
    pub const fn cfg(&self) -> &admin::Client {
        self.client.cfg()
    }

    /// Joins a process group, see [`cpg::Client::join`]. Waits for the first ring.
    ///
    /// # Errors
    /// As [`cpg::Client::join`].
    pub async fn join(&self, group: impl AsRef<[u8]>) -> Result<cpg::Group, cpg::Error> {
        self.client.join(group).await
    }

    /// Joins a process group, see [`cpg::Client::join_with`]. Waits for the first ring.
    ///
    /// # Errors
    /// As [`cpg::Client::join_with`].
    pub async fn join_with(
        &self,
        group: impl AsRef<[u8]>,
        options: &JoinOptions,
    ) -> Result<cpg::Group, cpg::Error> {
        self.client.join_with(group, options).await
    }

    /// Waits until the first ring has formed and its services have synchronised. This node may be its only member.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn ready(&self) -> Result<(), Refused> {
        self.handle.ready().await
    }

    /// Returns the state of the node.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn status(&self) -> Result<Status, Refused> {
        self.handle.status().await
    }

    /// Reports the configuration changes of the ring from now on; see [`Handle::views`].
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn views(&self) -> Result<Source<View>, Refused> {
        self.handle.views().await
    }

    /// Uses other timers and limits from now on; see [`Handle::reconfigure`].
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn reconfigure(&self, timeouts: Timeouts) -> Result<(), Refused> {
        self.handle.reconfigure(timeouts).await
    }

    /// Fault injection, for tests and demonstrations: drops all datagrams to and from exactly these nodes.
    ///
    /// # Errors
    /// The node has stopped, or its transport is not udpu.
    pub async fn cut(&self, peers: impl IntoIterator<Item = u32>) -> Result<(), Refused> {
        let peers: Vec<_> = peers.into_iter().filter_map(NodeId::new).collect();
        self.handle.cut(&peers).await
    }

    /// Ends the fault injection of [`Node::cut`].
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn heal(&self) -> Result<(), Refused> {
        self.handle.cut(&[]).await
    }

    /// Ends the connections of this process to the node, leaves the ring and stops the node. The other nodes form a
    /// new ring at once.
    ///
    /// # Errors
    /// The node had stopped already.
    pub async fn leave(self) -> Result<(), Refused> {
        let left = self.handle.leave().await;
        // The sockets are closed when this returns, so that another node can use the address.
        self.thread.join().await;
        left
    }
}
