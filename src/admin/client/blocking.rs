//! Administration without an asynchronous runtime: for programs with a main loop of their own, such as resource
//! managers, and for simple ones.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Shutdown, calls};
use crate::admin::reload::Reload;
use crate::admin::status::{NodeStatus, OwnLink};
use crate::admin::survey::NodeKey;
use crate::ids::{NodeId, ServiceId};
use crate::service::channel::{Channel, Dial};
use crate::service::client::blocking::Events;
use crate::service::client::{Error, Line, Source};

/// The way to the administration of one daemon, or of one node in this process; see
/// [`admin::Client`](super::Client), whose calls these are. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    line: Line,
}

impl Client {
    /// A client whose connections are opened by `dial`. Nothing is opened yet.
    pub fn new(dial: Arc<dyn Dial>) -> Self {
        Self { line: Line::new(dial, ServiceId::CFG) }
    }

    /// See [`super::Client::local_id`].
    ///
    /// # Errors
    /// As there.
    pub fn local_id(&self) -> Result<NodeId, Error> {
        self.line.ask_blocking(&calls::local_id())
    }

    /// See [`super::Client::addresses`].
    ///
    /// # Errors
    /// As there.
    pub fn addresses(&self, node: NodeId) -> Result<Vec<IpAddr>, Error> {
        self.line.ask_blocking(&calls::addresses(node))
    }

    /// See [`super::Client::status`].
    ///
    /// # Errors
    /// As there.
    pub fn status(&self, node: NodeId) -> Result<NodeStatus, Error> {
        self.line.ask_blocking(&calls::status(node))
    }

    /// See [`super::Client::own_links`].
    ///
    /// # Errors
    /// As there.
    pub fn own_links(&self) -> Result<Vec<OwnLink>, Error> {
        self.line.ask_blocking(&calls::own_links())
    }

    /// See [`super::Client::kill`].
    ///
    /// # Errors
    /// As there.
    pub fn kill(&self, node: NodeId, reason: &str) -> Result<(), Error> {
        self.line.ask_blocking(&calls::kill(node, reason)?)
    }

    /// See [`super::Client::shutdown`].
    ///
    /// # Errors
    /// As there.
    pub fn shutdown(&self, how: Shutdown) -> Result<(), Error> {
        self.line.apart().ask_blocking(&calls::shutdown(how))
    }

    /// See [`super::Client::shutdown_requests`].
    ///
    /// # Errors
    /// As there.
    pub fn shutdown_requests(&self) -> Result<Events<ShutdownRequest>, Error> {
        let channel = self.line.open_blocking()?;
        calls::track().over_blocking(&*channel)?;
        let answers = Arc::clone(&channel);
        Ok(Events::new(Source::new(channel, move |event: &[u8]| {
            let how = calls::question(event)?;
            Ok(how.map(|how| ShutdownRequest { how, channel: Arc::clone(&answers) }))
        })))
    }

    /// See [`super::Client::reload`].
    ///
    /// # Errors
    /// As there.
    pub fn reload(&self) -> Result<Reload, Error> {
        self.line.apart().ask_blocking(&calls::reload())
    }

    /// See [`super::Client::keys`].
    ///
    /// # Errors
    /// As there.
    pub fn keys(&self) -> Result<Vec<NodeKey>, Error> {
        self.line.apart().ask_blocking(&calls::keys())
    }

    /// See [`super::Client::new_key`].
    ///
    /// # Errors
    /// As there.
    pub fn new_key(&self) -> Result<Vec<NodeKey>, Error> {
        self.line.apart().ask_blocking(&calls::new_key())
    }

    /// See [`super::Client::reopen_logs`].
    ///
    /// # Errors
    /// As there.
    pub fn reopen_logs(&self) -> Result<(), Error> {
        self.line.apart().ask_blocking(&calls::reopen_logs())
    }
}

/// Somebody wants to shut this node down: may he? See [`admin::ShutdownRequest`](super::ShutdownRequest).
#[must_use = "a request that is not answered counts as refused, after a time-out"]
pub struct ShutdownRequest {
    how: Shutdown,
    channel: Arc<dyn Channel>,
}

impl ShutdownRequest {
    /// See [`super::ShutdownRequest::how`].
    pub const fn how(&self) -> Shutdown {
        self.how
    }

    /// Yes.
    ///
    /// # Errors
    /// As [`super::ShutdownRequest::agree`].
    pub fn agree(self) -> Result<(), Error> {
        calls::answer(true).over_blocking(&*self.channel)
    }

    /// No.
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
