//! One running node of a ring: the driver task that joins transport, stack and clients, and the [`Handle`] through
//! which code in this process talks to it. A [`Node`] contains both, for an application that is itself a member of
//! the cluster.
//!
//! Corosync's counterpart: `exec/main.c` (the loop, the stored ring id).
//!
//! | file | what |
//! |---|---|
//! | `mod.rs`, `builder.rs` | [`Node`]: a node inside an application; its settings |
//! | `links.rs` | from a configuration to the transport's options for knet |
//! | `knet.rs` | [`Knet`]: the same for a program without a configuration |
//! | `plan.rs` | the parts of a node, decided before anything is opened |
//! | `inspect.rs` | checks of a configuration before a start |
//! | `error.rs` | [`NodeError`] |
//! | `driver.rs` | the loop: the one task that owns everything, and the only real clock |
//! | `errands.rs` | tasks that the node leaves to the program around it |
//! | `edge.rs` | the surroundings of the stack: sockets, clients, store, listeners |
//! | `clients.rs`, `doorbell.rs`, `admission.rs` | clients over IPC: when to read from which; who may connect |
//! | `command.rs` | commands to the driver; connections to services from code in this process |
//! | `locals.rs` | the driver's side of those connections |
//! | `local.rs` | those connections as [`Channel`](crate::service::channel::Channel)s, for the client libraries |
//! | `queue.rs` | bounded queue from the driver to a listener: async, or by descriptor |
//! | `statistics.rs` | statistics of clients and of a late loop, for the database |
//! | `file.rs` | a number in a small file: read, replaced or overwritten |
//! | `keeper.rs` | stores a number on a disk that may be full, slow or broken |
//! | `kept_votes.rs` | the highest expected votes seen, kept over restarts |
//! | `keys.rs` | the key in use and the next one |
//! | `store.rs` | the ring ids used, kept over restarts |
//! | `watch.rs` | periodic checks: lateness of the loop, the interface |

pub mod admission;
mod builder;
pub mod clients;
pub mod command;
mod doorbell;
mod driver;
mod edge;
pub mod errands;
mod error;
mod file;
pub mod inspect;
mod keeper;
mod kept_votes;
mod keys;
mod knet;
mod links;
pub mod local;
mod locals;
mod plan;
pub mod queue;
mod share;
mod source_port;
mod stalls;
mod statistics;
pub mod store;
mod watch;

use std::sync::Arc;

use tokio::task::JoinHandle;

pub use self::builder::Builder;
use self::command::{Handle, Refused, Status};
pub use self::error::NodeError;
pub use self::knet::Knet;
use self::queue::Source;
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
/// It runs as a task of the tokio runtime in which it was started. [`Node::leave`] removes it from the ring at once.
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
    task: JoinHandle<()>,
}

impl Node {
    /// Makes the settings of a node to start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn new(me: NodeId, handle: Handle, task: JoinHandle<()>) -> Self {
        let client = Client::new(Arc::new(handle.clone()));
        Self { me, handle, client, task }
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
    pub async fn leave(mut self) -> Result<(), Refused> {
        let left = self.handle.leave().await;
        // The sockets are closed when this returns, so that another node can use the address.
        let _ = (&mut self.task).await;
        left
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}
