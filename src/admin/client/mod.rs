//! The library for applications that administer nodes. It works the same over IPC and inside the process of
//! the node.
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
//! let mut requests = cfg.shutdown_requests().await?; // this program is asked from now on
//! while let Some(request) = requests.next().await {
//!     request?.agree().await?;
//! }
//! # Ok(()) }
//! ```
//!
//! Corosync's counterpart: `lib/cfg.c`; `corosync_cfg.h`. The counterparts of its calls:
//!
//! | libcfg | here |
//! |---|---|
//! | `corosync_cfg_initialize`, `_finalize` | [`Client::new`] |
//! | `corosync_cfg_local_get`, `_get_node_addrs` | [`Client::local_id`], [`Client::addresses`] |
//! | `corosync_cfg_node_status_get`, `_ring_status_get` | [`Client::status`], [`Client::own_links`] |
//! | `corosync_cfg_kill_node` | [`Client::kill`] |
//! | `corosync_cfg_try_shutdown` | [`Client::shutdown`] |
//! | `corosync_cfg_trackstart`, `_dispatch`, `_replyto_shutdown`, `_trackstop` | [`Client::shutdown_requests`], [`ShutdownRequest`]; dropping the stream |
//! | `corosync_cfg_fd_get` | the result of [`blocking::Client::shutdown_requests`] is [`AsFd`](std::os::fd::AsFd) |
//! | `corosync_cfg_reload_config`, `_reopen_log_files` | [`Client::reload`], [`Client::reopen_logs`] |
//!
//! | file | what |
//! |---|---|
//! | `shutdown.rs` | [`Shutdown`]: ways to shut down; [`ShutdownRequest`]: the question before a shutdown |
//! | `calls.rs` | the calls that both kinds of client have in common |
//! | `blocking.rs` | the same without an asynchronous runtime |

pub mod blocking;
mod calls;
mod shutdown;

use std::net::IpAddr;
use std::sync::Arc;

pub use shutdown::{Shutdown, ShutdownRequest};

use super::key_use::NodeKey;
use super::reloaded::Reload;
use super::status::{NodeStatus, OwnLink};
use crate::ids::{NodeId, ServiceId};
use crate::service::channel::Dial;
use crate::service::client::{Error, Events, Line, Source, both};

/// A client of the administration of one daemon, or of one node in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    line: Line,
}

both! {
    Client, blocking::Client { line: ServiceId::CFG }:

    /// The id of the node.
    ///
    /// # Errors
    /// No daemon runs, or it refuses this user.
    fn local_id(&self) -> NodeId = self.line, calls::local_id();

    /// The addresses of a node in the configuration, by link.
    ///
    /// # Errors
    /// [`Status::NotExist`](crate::error::Status::NotExist): the node is not in the configuration; or no daemon runs,
    /// or it refuses this user.
    fn addresses(&self, node: NodeId) -> Vec<IpAddr> = self.line, calls::addresses(node);

    /// The state of the links from this node to another. An unknown node is reported as not reachable, or
    /// with the error [`Status::FailedOperation`](crate::error::Status::FailedOperation).
    ///
    /// # Errors
    /// No daemon runs, or it refuses this user.
    fn status(&self, node: NodeId) -> NodeStatus = self.line, calls::status(node);

    /// This node's own links, with their state as text.
    ///
    /// # Errors
    /// No daemon runs, or it refuses this user.
    fn own_links(&self) -> Vec<OwnLink> = self.line, calls::own_links();

    /// Ends the daemon of a node at once, without notice to its clients. `reason` (at most 256 bytes) is written to
    /// its log.
    ///
    /// # Errors
    /// [`Status::NotExist`](crate::error::Status::NotExist): the node is not on the ring; or no daemon runs, or it
    /// refuses this user.
    fn kill(&self, node: NodeId, reason: &str) -> () = self.line, calls::kill(node, reason)?;

    /// Shuts this node down. Returns when the shutdown has been decided.
    ///
    /// # Errors
    /// [`Status::Busy`](crate::error::Status::Busy): a program that was asked does not agree;
    /// [`Status::Exist`](crate::error::Status::Exist): another shutdown is being decided; or no daemon runs,
    /// or it refuses this user.
    // The answer may take seconds; calls on the other connection need not wait for it.
    fn shutdown(&self, how: Shutdown) -> () = self.line.apart(), calls::shutdown(how);

    /// Makes all nodes of the ring read their configuration files again. Either all nodes apply their files or none
    /// does. Returns when that has been decided and done on this node.
    ///
    /// With Corosync's daemon, or with nodes of Corosync on the ring, each node decides for itself about its own
    /// file, and the result is that of the queried node alone.
    ///
    /// # Errors
    /// [`Error::Told`] with the reasons, each with its nodes, file and line. Its status:
    /// [`Status::InvalidParam`](crate::error::Status::InvalidParam): a file is invalid, changes a setting
    /// that a running node cannot change (an id, an address), or differs from the others;
    /// [`Status::Timeout`](crate::error::Status::Timeout): a node did not read its file within 10 s, or there
    /// was no ring for 30 s. Otherwise: no daemon runs, or it refuses this user.
    fn reload(&self) -> Reload = self.line.apart(), calls::reload();

    /// The key, cipher and hash in use on each node: nodes on the ring report their own, the others of the node list
    /// are listed as away. Takes up to 5 s if a node does not answer; Corosync's nodes do not.
    ///
    /// # Errors
    /// [`Status::NotSupported`](crate::error::Status::NotSupported): the daemon is Corosync's. Otherwise: no daemon
    /// runs, or it refuses this user.
    fn keys(&self) -> Vec<NodeKey> = self.line.apart(), calls::keys();

    /// Gives the cluster a new key. The queried node generates it and sends it through the ring to all others,
    /// encrypted with the old key, and it replaces the key files. No node uses it before all have stored it. Returns
    /// the key, cipher and hash in use on each node when all use the new key and have replaced their files.
    ///
    /// # Errors
    /// [`Error::Told`] with the reason; the old key stays in use unless the reason says otherwise. Its
    /// status: [`Status::InvalidParam`](crate::error::Status::InvalidParam): the ring is not encrypted, a
    /// node of the node list is not on the ring, a node is Corosync's, a reload is changing the key, or a
    /// node cannot store the new one; [`Status::Timeout`](crate::error::Status::Timeout): a node did not
    /// answer; [`Status::TryAgain`](crate::error::Status::TryAgain): another change of the key is running, or
    /// the ring changed in the meantime; [`Status::Library`](crate::error::Status::Library): all use the new
    /// key, but a node could not replace its key file;
    /// [`Status::NotSupported`](crate::error::Status::NotSupported): the daemon is Corosync's, or has no
    /// configuration file. Otherwise: no daemon runs, or it refuses this user.
    fn new_key(&self) -> Vec<NodeKey> = self.line.apart(), calls::new_key();

    /// Closes and reopens this node's log files, for use after they were rotated. Returns when that is done.
    ///
    /// # Errors
    /// A file cannot be opened: the old one stays in use, the log gives file and reason, and the status is
    /// the kind of error, such as [`Status::NotExist`](crate::error::Status::NotExist) for a missing
    /// directory; or no daemon runs, or it refuses this user.
    fn reopen_logs(&self) -> () = self.line.apart(), calls::reopen_logs();
}

impl Client {
    /// Asks this program before the node is shut down, until the stream is dropped. Each request must be answered.
    ///
    /// # Errors
    /// No daemon runs, or it refuses this user.
    pub async fn shutdown_requests(&self) -> Result<Events<ShutdownRequest>, Error> {
        let channel = self.line.open().await?;
        calls::track().over(&*channel).await?;
        let answers = Arc::clone(&channel);
        Ok(Events::new(Source::new(channel, move |event: &[u8]| {
            let how = calls::question(event)?;
            Ok(how.map(|how| ShutdownRequest { how, channel: Arc::clone(&answers) }))
        })))
    }
}
