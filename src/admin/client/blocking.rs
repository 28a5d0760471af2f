//! Administration without an asynchronous runtime, for simple programs and for programs with a main loop of their
//! own, such as resource managers.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Shutdown, calls};
use crate::admin::key_use::NodeKey;
use crate::admin::reloaded::Reload;
use crate::admin::status::{NodeStatus, OwnLink};
use crate::ids::{NodeId, ServiceId};
use crate::service::channel::{Channel, Dial};
use crate::service::client::blocking::Events;
use crate::service::client::{Error, Line, Source};

/// A blocking client of the administration of one daemon, or of one node in this process, with the calls of
/// [`admin::Client`](super::Client). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    line: Line,
}

impl Client {
    /// A client whose connections are opened by `dial`. Opens no connection yet.
    pub fn new(dial: Arc<dyn Dial>) -> Self {
        Self { line: Line::new(dial, ServiceId::CFG) }
    }

    /// The id of the node; see [`super::Client::local_id`].
    ///
    /// # Errors
    /// As [`super::Client::local_id`].
    pub fn local_id(&self) -> Result<NodeId, Error> {
        self.line.ask_blocking(&calls::local_id())
    }

    /// The addresses of a node; see [`super::Client::addresses`].
    ///
    /// # Errors
    /// As [`super::Client::addresses`].
    pub fn addresses(&self, node: NodeId) -> Result<Vec<IpAddr>, Error> {
        self.line.ask_blocking(&calls::addresses(node))
    }

    /// The state of the links to a node; see [`super::Client::status`].
    ///
    /// # Errors
    /// As [`super::Client::status`].
    pub fn status(&self, node: NodeId) -> Result<NodeStatus, Error> {
        self.line.ask_blocking(&calls::status(node))
    }

    /// This node's own links; see [`super::Client::own_links`].
    ///
    /// # Errors
    /// As [`super::Client::own_links`].
    pub fn own_links(&self) -> Result<Vec<OwnLink>, Error> {
        self.line.ask_blocking(&calls::own_links())
    }

    /// Ends the daemon of a node; see [`super::Client::kill`].
    ///
    /// # Errors
    /// As [`super::Client::kill`].
    pub fn kill(&self, node: NodeId, reason: &str) -> Result<(), Error> {
        self.line.ask_blocking(&calls::kill(node, reason)?)
    }

    /// Shuts this node down; see [`super::Client::shutdown`].
    ///
    /// # Errors
    /// As [`super::Client::shutdown`].
    pub fn shutdown(&self, how: Shutdown) -> Result<(), Error> {
        self.line.apart().ask_blocking(&calls::shutdown(how))
    }

    /// Subscribes to questions before a shutdown; see [`super::Client::shutdown_requests`].
    ///
    /// # Errors
    /// As [`super::Client::shutdown_requests`].
    pub fn shutdown_requests(&self) -> Result<Events<ShutdownRequest>, Error> {
        let channel = self.line.open_blocking()?;
        calls::track().over_blocking(&*channel)?;
        let answers = Arc::clone(&channel);
        Ok(Events::new(Source::new(channel, move |event: &[u8]| {
            let how = calls::question(event)?;
            Ok(how.map(|how| ShutdownRequest { how, channel: Arc::clone(&answers) }))
        })))
    }

    /// Reloads the configuration of all nodes; see [`super::Client::reload`].
    ///
    /// # Errors
    /// As [`super::Client::reload`].
    pub fn reload(&self) -> Result<Reload, Error> {
        self.line.apart().ask_blocking(&calls::reload())
    }

    /// The keys in use on all nodes; see [`super::Client::keys`].
    ///
    /// # Errors
    /// As [`super::Client::keys`].
    pub fn keys(&self) -> Result<Vec<NodeKey>, Error> {
        self.line.apart().ask_blocking(&calls::keys())
    }

    /// Gives the cluster a new key; see [`super::Client::new_key`].
    ///
    /// # Errors
    /// As [`super::Client::new_key`].
    pub fn new_key(&self) -> Result<Vec<NodeKey>, Error> {
        self.line.apart().ask_blocking(&calls::new_key())
    }

    /// Reopens this node's log files; see [`super::Client::reopen_logs`].
    ///
    /// # Errors
    /// As [`super::Client::reopen_logs`].
    pub fn reopen_logs(&self) -> Result<(), Error> {
        self.line.apart().ask_blocking(&calls::reopen_logs())
    }
}

/// The question whether this node may be shut down, for blocking programs; see
/// [`admin::ShutdownRequest`](super::ShutdownRequest).
#[must_use = "a request that is not answered counts as refused, after a time-out"]
pub struct ShutdownRequest {
    how: Shutdown,
    channel: Arc<dyn Channel>,
}

impl ShutdownRequest {
    /// The kind of shutdown; see [`super::ShutdownRequest::how`].
    pub const fn how(&self) -> Shutdown {
        self.how
    }

    /// Agrees to the shutdown.
    ///
    /// # Errors
    /// As [`super::ShutdownRequest::agree`].
    pub fn agree(self) -> Result<(), Error> {
        calls::answer(true).over_blocking(&*self.channel)
    }

    /// Objects to the shutdown.
    ///
    /// # Errors
    /// As [`super::ShutdownRequest::agree`].
    pub fn refuse(self) -> Result<(), Error> {
        calls::answer(false).over_blocking(&*self.channel)
    }
}

impl std::fmt::Debug for ShutdownRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShutdownRequest").field("how", &self.how).finish_non_exhaustive()
    }
}
