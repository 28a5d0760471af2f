//! One node of a ring, running: the driver task that joins transport, stack and clients, and the
//! [`Handle`] through which code in this process talks to it. A [`Node`] is both, for
//! an application that is a member of the cluster itself.
//!
//! Corosync's counterpart: `exec/main.c` (the loop, the stored ring id).
//!
//! | file | what |
//! |---|---|
//! | `mod.rs`, `builder.rs` | [`Node`]: a node inside an application; its settings |
//! | `links.rs` | the links of transport knet, from a configuration to the transport |
//! | `knet.rs` | [`Knet`]: the same for a program without one |
//! | `plan.rs` | what a node is made of, decided before anything is opened |
//! | `inspect.rs` | everything that can be said of a configuration before a start |
//! | `error.rs` | [`NodeError`] |
//! | `driver.rs` | the loop: the one task that owns everything, and the only real clock |
//! | `errands.rs` | what the node wants of the program around it |
//! | `edge.rs` | what the stack acts on: sockets, clients, store, listeners |
//! | `clients.rs`, `doorbell.rs`, `admission.rs` | clients over IPC: which are read when; who may connect |
//! | `command.rs` | what may be asked of the driver; connections to services from inside the process |
//! | `locals.rs` | those connections, at the driver's end |
//! | `local.rs` | those connections as [`Channel`](crate::service::channel::Channel)s, for the client libraries |
//! | `queue.rs` | bounded queue from the driver to a listener: async, or by descriptor |
//! | `statistics.rs` | what is counted of clients, and times at which the loop was late, for the database |
//! | `file.rs` | a number in a small file: read, and replaced as a whole or written over |
//! | `keeper.rs` | keeping a number on a disk that may be full, slow or broken |
//! | `kept_votes.rs` | the highest expected votes seen, kept over restarts |
//! | `keys.rs` | the key in use, and the one that may be used next |
//! | `store.rs` | the ring ids used, kept over restarts |
//! | `watch.rs` | was the loop late, is the interface still there |

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
/// It runs as a task of the tokio runtime that it was started in. [`Node::leave`] takes it out of the
/// ring at once; dropping it stops it without a word, as a crash would, and the others find out after a
/// timeout.
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
    /// Settings of a node to start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn new(me: NodeId, handle: Handle, task: JoinHandle<()>) -> Self {
        let client = Client::new(Arc::new(handle.clone()));
        Self { me, handle, client, task }
    }

    /// Its id.
    pub const fn id(&self) -> NodeId {
        self.me
    }

    /// The way to its driver, for what is not here.
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The same way to the node as a program has to a daemon.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The same for threads without an asynchronous runtime.
    pub fn blocking(&self) -> blocking::Client {
        blocking::Client::new(Arc::new(self.handle.clone()))
    }

    /// Closed process groups.
    pub const fn cpg(&self) -> &cpg::Client {
        self.client.cpg()
    }

    /// Whether this node's part of the cluster may act, and who votes on that.
    pub const fn quorum(&self) -> &quorum::Client {
        self.client.quorum()
    }

    /// The configuration database of this node.
    pub const fn confdb(&self) -> &confdb::Client {
        self.client.confdb()
    }

    /// The statistics of this node.
    pub const fn statistics(&self) -> &confdb::Client {
        self.client.statistics()
    }

    /// Administration of nodes: status, reload, shutdown.
    pub const fn cfg(&self) -> &admin::Client {
        self.client.cfg()
    }

    /// Joins a process group, see [`cpg::Client::join`]. Waits for the first ring.
    ///
    /// # Errors
    /// As there.
    pub async fn join(&self, group: impl AsRef<[u8]>) -> Result<cpg::Group, cpg::Error> {
        self.client.join(group).await
    }

    /// Joins a process group, see [`cpg::Client::join_with`]. Waits for the first ring.
    ///
    /// # Errors
    /// As there.
    pub async fn join_with(
        &self,
        group: impl AsRef<[u8]>,
        options: &JoinOptions,
    ) -> Result<cpg::Group, cpg::Error> {
        self.client.join_with(group, options).await
    }

    /// Waits until the first ring has formed and its services have synchronised. The ring may be of this
    /// node alone.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn ready(&self) -> Result<(), Refused> {
        self.handle.ready().await
    }

    /// How the node is.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn status(&self) -> Result<Status, Refused> {
        self.handle.status().await
    }

    /// Configuration changes of the ring from now on, beginning with the ring as it is; see
    /// [`Handle::views`].
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn views(&self) -> Result<Source<View>, Refused> {
        self.handle.views().await
    }

    /// Uses other timers and limits from now on.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn reconfigure(&self, timeouts: Timeouts) -> Result<(), Refused> {
        self.handle.reconfigure(timeouts).await
    }

    /// Fault injection, for tests and demonstrations: drops everything to and from exactly these nodes.
    ///
    /// # Errors
    /// The node has stopped, or its transport is not udpu.
    pub async fn cut(&self, peers: impl IntoIterator<Item = u32>) -> Result<(), Refused> {
        let peers: Vec<_> = peers.into_iter().filter_map(NodeId::new).collect();
        self.handle.cut(&peers).await
    }

    /// Ends what [`Node::cut`] began.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn heal(&self) -> Result<(), Refused> {
        self.handle.cut(&[]).await
    }

    /// Ends the connections of this process to the node, leaves the ring and stops the node. The others
    /// form a new ring at once.
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
