//! The library that an application uses to administer nodes, the same over IPC and inside the process of the
//! node.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use annulus::client::Client;
//!
//! let cfg = Client::connect().await?.cfg().clone();
//! let me = cfg.local_id().await?;
//! println!("node {me} at {:?}, {:?}", cfg.addresses(me).await?, cfg.status(me).await?.links[0]);
//! cfg.reload().await?;
//!
//! let mut requests = cfg.shutdown_requests().await?; // from now on this program is asked
//! while let Some(request) = requests.next().await {
//!     request?.agree().await?;
//! }
//! # Ok(()) }
//! ```
//!
//! Corosync's counterpart: `lib/cfg.c`; `corosync_cfg.h`. Where its calls went:
//!
//! | libcfg | here |
//! |---|---|
//! | `corosync_cfg_initialize`, `_finalize` | [`Client::new`] |
//! | `corosync_cfg_local_get`, `_get_node_addrs` | [`Client::local_id`], [`Client::addresses`] |
//! | `corosync_cfg_node_status_get`, `_ring_status_get` | [`Client::status`], [`Client::own_links`] |
//! | `corosync_cfg_kill_node` | [`Client::kill`] |
//! | `corosync_cfg_try_shutdown` | [`Client::shutdown`] |
//! | `corosync_cfg_trackstart`, `_dispatch`, `_replyto_shutdown`, `_trackstop` | [`Client::shutdown_requests`], [`ShutdownRequest`]; dropping the stream |
//! | `corosync_cfg_fd_get` | what [`blocking::Client::shutdown_requests`] gives is [`AsFd`](std::os::fd::AsFd) |
//! | `corosync_cfg_reload_config`, `_reopen_log_files` | [`Client::reload`], [`Client::reopen_logs`] |
//!
//! | file | what |
//! |---|---|
//! | `shutdown.rs` | [`Shutdown`]: ways to shut down; [`ShutdownRequest`]: to be asked before |
//! | `calls.rs` | the questions that both kinds of client ask |
//! | `blocking.rs` | the same without an asynchronous runtime |

pub mod blocking;
mod calls;
mod shutdown;

use std::net::IpAddr;
use std::sync::Arc;

pub use shutdown::{Shutdown, ShutdownRequest};

use super::reload::Reload;
use super::status::{NodeStatus, OwnLink};
use super::survey::NodeKey;
use crate::ids::{NodeId, ServiceId};
use crate::service::channel::Dial;
use crate::service::client::{Error, Events, Line, Source};

/// The way to the administration of one daemon, or of one node in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    line: Line,
}

impl Client {
    /// A client whose connections are opened by `dial`. Nothing is opened yet.
    pub fn new(dial: Arc<dyn Dial>) -> Self {
        Self { line: Line::new(dial, ServiceId::CFG) }
    }

    /// The id of the node.
    ///
    /// # Errors
    /// No daemon, or it refuses this user.
    pub async fn local_id(&self) -> Result<NodeId, Error> {
        self.line.ask(calls::local_id()).await
    }

    /// Where the configuration has a node: its addresses, by link.
    ///
    /// # Errors
    /// [`Status::NotExist`](crate::error::Status::NotExist): the configuration does not have it; no daemon, or it
    /// refuses this user.
    pub async fn addresses(&self, node: NodeId) -> Result<Vec<IpAddr>, Error> {
        self.line.ask(calls::addresses(node)).await
    }

    /// How the links from this node to that one are. One that is not known is not reachable, or is an error:
    /// [`Status::FailedOperation`](crate::error::Status::FailedOperation).
    ///
    /// # Errors
    /// No daemon, or it refuses this user.
    pub async fn status(&self, node: NodeId) -> Result<NodeStatus, Error> {
        self.line.ask(calls::status(node)).await
    }

    /// This node's own links, in words.
    ///
    /// # Errors
    /// No daemon, or it refuses this user.
    pub async fn own_links(&self) -> Result<Vec<OwnLink>, Error> {
        self.line.ask(calls::own_links()).await
    }

    /// Ends the daemon of a node at once, without a word to its clients. `reason` (at most 256 bytes) goes to its
    /// log.
    ///
    /// # Errors
    /// [`Status::NotExist`](crate::error::Status::NotExist): it is not on the ring; no daemon, or it refuses this
    /// user.
    pub async fn kill(&self, node: NodeId, reason: &str) -> Result<(), Error> {
        self.line.ask(calls::kill(node, reason)?).await
    }

    /// Shuts this node down. Returns when that is decided.
    ///
    /// # Errors
    /// [`Status::Busy`](crate::error::Status::Busy): somebody who was asked does not agree;
    /// [`Status::Exist`](crate::error::Status::Exist): they are being asked already; no daemon, or it refuses this
    /// user.
    pub async fn shutdown(&self, how: Shutdown) -> Result<(), Error> {
        // The answer may take seconds; other questions need not wait for it.
        self.line.apart().ask(calls::shutdown(how)).await
    }

    /// Asks this program before the node shuts down, until the stream is dropped. Each request must be answered.
    ///
    /// # Errors
    /// No daemon, or it refuses this user.
    pub async fn shutdown_requests(&self) -> Result<Events<ShutdownRequest>, Error> {
        let channel = self.line.open().await?;
        calls::track().over(&*channel).await?;
        let answers = Arc::clone(&channel);
        Ok(Events::new(Source::new(channel, move |event: &[u8]| {
            let how = calls::question(event)?;
            Ok(how.map(|how| ShutdownRequest { how, channel: Arc::clone(&answers) }))
        })))
    }

    /// Lets all nodes of the ring read their configuration files again. All go over to them, or none does. Returns
    /// when that is decided and done on this node.
    ///
    /// With a daemon of Corosync, or members of Corosync on the ring, each node does what it thinks right with its
    /// own file, and this is about the node that was asked alone.
    ///
    /// # Errors
    /// [`Error::Told`] with the reasons, each with the nodes that have it, file and line. Its status:
    /// [`Status::InvalidParam`](crate::error::Status::InvalidParam): a file is wrong, changes what a running node
    /// cannot change (an id, an address), or differs from the others;
    /// [`Status::Timeout`](crate::error::Status::Timeout): a node did not read its file within 10 s, or there was no
    /// ring for 30 s. Otherwise: no daemon, or it refuses this user.
    pub async fn reload(&self) -> Result<Reload, Error> {
        self.line.apart().ask(calls::reload()).await
    }

    /// What each node encrypts with: those on the ring say so themselves, the others of the node list are told of.
    /// Takes up to 5 s if a node does not answer, as those of Corosync do not.
    ///
    /// # Errors
    /// [`Status::NotSupported`](crate::error::Status::NotSupported): the daemon is Corosync's. Otherwise: no daemon, or it
    /// refuses this user.
    pub async fn keys(&self) -> Result<Vec<NodeKey>, Error> {
        self.line.apart().ask(calls::keys()).await
    }

    /// Gives the cluster a new key: it is made on the node that is asked, goes through the ring to all others,
    /// encrypted with the old one, and takes the place of the key files. No node uses it before all have stored it.
    /// Returns when all use it and have replaced their files, with what each node encrypts with.
    ///
    /// # Errors
    /// [`Error::Told`] with the reason; the old key stays in use unless it says otherwise. Its status:
    /// [`Status::InvalidParam`](crate::error::Status::InvalidParam): nothing is encrypted, a node of the node list is not
    /// on the ring, one is Corosync's, a reload is changing the key, or a node cannot store the new one;
    /// [`Status::Timeout`](crate::error::Status::Timeout): a node did not answer;
    /// [`Status::TryAgain`](crate::error::Status::TryAgain): a new key is on its way already, or the ring changed
    /// meanwhile; [`Status::Library`](crate::error::Status::Library): all use the new key, and a node could not replace
    /// its key file. [`Status::NotSupported`](crate::error::Status::NotSupported): the daemon is Corosync's, or has no
    /// configuration file. Otherwise: no daemon, or it refuses this user.
    pub async fn new_key(&self) -> Result<Vec<NodeKey>, Error> {
        self.line.apart().ask(calls::new_key()).await
    }

    /// Closes and opens this node's log files, after they were rotated. Returns when that is done.
    ///
    /// # Errors
    /// One cannot be opened: the old one goes on, the log says which one and why, and the status is the kind
    /// of it, such as [`Status::NotExist`](crate::error::Status::NotExist) for a folder that is not there; no
    /// daemon, or it refuses this user.
    pub async fn reopen_logs(&self) -> Result<(), Error> {
        self.line.apart().ask(calls::reopen_logs()).await
    }
}
