//! A program's way to the daemon on this host: [`Client`] connects to annulus' own daemon or to Corosync's,
//! and has the same calls and types as [`node::Node`](crate::node), which is a daemon of its own.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use annulus::client::Client;
//!
//! let client = Client::connect().await?;
//! println!("node {}", client.local_id().await?);
//! let group = client.join("example").await?;
//! group.multicast("hello").await?;
//! # Ok(()) }
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cpg::{self, GroupName, JoinOptions, Member};
use crate::ids::NodeId;
use crate::ipc::Rendezvous;
use crate::service::channel::IpcDial;

/// The way to the daemon on this host. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    cpg: cpg::Client,
}

/// Which daemon to connect to.
#[derive(Clone, Debug, Default)]
pub struct Connect {
    dial: IpcDial,
}

impl Client {
    /// Connects to the daemon.
    ///
    /// # Errors
    /// [`cpg::Error::Channel`]: it does not run, is not ready, or refuses this user; the message says what
    /// to do.
    pub async fn connect() -> Result<Self, cpg::Error> {
        Connect::default().connect().await
    }

    /// To connect to the instance of this name: `Client::instance("blue").connect()`. Instances are told
    /// apart by the names of their sockets, so several daemons can run on one host.
    pub fn instance(name: impl Into<String>) -> Connect {
        Connect { dial: IpcDial::instance(name) }
    }

    /// Closed process groups.
    pub fn cpg(&self) -> &cpg::Client {
        &self.cpg
    }

    /// Joins a group, see [`cpg::Client::join`].
    ///
    /// # Errors
    /// As there.
    pub async fn join(&self, group: impl AsRef<[u8]>) -> Result<cpg::Group, cpg::Error> {
        self.cpg.join(group).await
    }

    /// Joins a group, see [`cpg::Client::join_with`].
    ///
    /// # Errors
    /// As there.
    pub async fn join_with(
        &self,
        group: impl AsRef<[u8]>,
        options: &JoinOptions,
    ) -> Result<cpg::Group, cpg::Error> {
        self.cpg.join_with(group, options).await
    }

    /// The id of the node, see [`cpg::Client::local_id`].
    ///
    /// # Errors
    /// As there.
    pub async fn local_id(&self) -> Result<NodeId, cpg::Error> {
        self.cpg.local_id().await
    }

    /// Who is in a group, see [`cpg::Client::membership`].
    ///
    /// # Errors
    /// As there.
    pub async fn membership(&self, group: impl AsRef<[u8]>) -> Result<Vec<Member>, cpg::Error> {
        self.cpg.membership(group).await
    }

    /// All groups and their members, see [`cpg::Client::groups`].
    ///
    /// # Errors
    /// As there.
    pub async fn groups(&self) -> Result<BTreeMap<GroupName, Vec<Member>>, cpg::Error> {
        self.cpg.groups().await
    }
}

impl Connect {
    /// Looks for the sockets in another way than the host is set up for.
    pub fn at(self, rendezvous: Rendezvous) -> Self {
        Self { dial: self.dial.at(rendezvous) }
    }

    /// Connects.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect(self) -> Result<Client, cpg::Error> {
        let cpg = cpg::Client::new(Arc::new(self.dial));
        cpg.local_id().await?;
        Ok(Client { cpg })
    }

    /// Connects, for use without an asynchronous runtime.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect_blocking(self) -> Result<cpg::blocking::Client, cpg::Error> {
        let cpg = cpg::blocking::Client::new(Arc::new(self.dial));
        cpg.local_id()?;
        Ok(cpg)
    }
}
