//! A client of the daemon on this host: [`Client`] connects to annulus' own daemon or to Corosync's. It has the same
//! calls and types as [`node::Node`](crate::node), which is a node inside the process.
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

/// Defines a client that consists of a client of each service.
macro_rules! client {
    ($(#[$about:meta])* $cpg:ty, $quorum:ty, $confdb:ty, $admin:ty) => {
        $(#[$about])*
        #[derive(Clone, Debug)]
        pub struct Client {
            cpg: $cpg,
            quorum: $quorum,
            confdb: $confdb,
            statistics: $confdb,
            cfg: $admin,
        }

        impl Client {
            /// A client whose connections are opened by `dial` when they are needed.
            pub fn new(dial: Arc<dyn Dial>) -> Self {
                Self {
                    cpg: <$cpg>::new(Arc::clone(&dial)),
                    quorum: <$quorum>::new(Arc::clone(&dial)),
                    confdb: <$confdb>::new(Arc::clone(&dial), Map::Configuration),
                    statistics: <$confdb>::new(Arc::clone(&dial), Map::Statistics),
                    cfg: <$admin>::new(dial),
                }
            }

            /// Client of CPG, the closed process groups.
            pub const fn cpg(&self) -> &$cpg {
                &self.cpg
            }

            /// Client of the quorum service: whether this node's part of the cluster may act, and who votes on that.
            pub const fn quorum(&self) -> &$quorum {
                &self.quorum
            }

            /// Client of the configuration database.
            pub const fn confdb(&self) -> &$confdb {
                &self.confdb
            }

            /// Client of the node's statistics.
            pub const fn statistics(&self) -> &$confdb {
                &self.statistics
            }

            /// Client of the administration service: status, reload, shutdown.
            pub const fn cfg(&self) -> &$admin {
                &self.cfg
            }
        }
    };
}

pub mod blocking;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::admin;
use crate::confdb::{self, Map};
use crate::cpg::{self, GroupName, JoinOptions, Member};
use crate::ids::NodeId;
use crate::ipc::Rendezvous;
use crate::quorum;
use crate::service::channel::{Dial, IpcDial};

pub use crate::service::client::{Error, Events};

client! {
    /// A client of the daemon on this host, or of one node in this process. Cheap to clone.
    cpg::Client, quorum::Client, confdb::Client, admin::Client
}

/// Selects the daemon to connect to.
#[derive(Clone, Debug, Default)]
pub struct Connect {
    dial: IpcDial,
}

impl Client {
    /// Connects to the daemon.
    ///
    /// # Errors
    /// [`cpg::Error::Channel`]: the daemon does not run, is not ready, or refuses this user; the message names the
    /// remedy.
    pub async fn connect() -> Result<Self, cpg::Error> {
        Connect::default().connect().await
    }

    /// Selects the instance with this name: `Client::instance("blue").connect()`. Each instance has its own socket
    /// names, so several daemons can run on one host.
    pub fn instance(name: impl Into<String>) -> Connect {
        Connect { dial: IpcDial::instance(name) }
    }

    /// Joins a group, see [`cpg::Client::join`].
    ///
    /// # Errors
    /// As [`cpg::Client::join`].
    pub async fn join(&self, group: impl AsRef<[u8]>) -> Result<cpg::Group, cpg::Error> {
        self.cpg.join(group).await
    }

    /// Joins a group, see [`cpg::Client::join_with`].
    ///
    /// # Errors
    /// As [`cpg::Client::join_with`].
    pub async fn join_with(
        &self,
        group: impl AsRef<[u8]>,
        options: &JoinOptions,
    ) -> Result<cpg::Group, cpg::Error> {
        self.cpg.join_with(group, options).await
    }

    /// Returns the id of the node, see [`cpg::Client::local_id`].
    ///
    /// # Errors
    /// As [`cpg::Client::local_id`].
    pub async fn local_id(&self) -> Result<NodeId, cpg::Error> {
        self.cpg.local_id().await
    }

    /// Returns the members of a group, see [`cpg::Client::membership`].
    ///
    /// # Errors
    /// As [`cpg::Client::membership`].
    pub async fn membership(&self, group: impl AsRef<[u8]>) -> Result<Vec<Member>, cpg::Error> {
        self.cpg.membership(group).await
    }

    /// Returns all groups and their members, see [`cpg::Client::groups`].
    ///
    /// # Errors
    /// As [`cpg::Client::groups`].
    pub async fn groups(&self) -> Result<BTreeMap<GroupName, Vec<Member>>, cpg::Error> {
        self.cpg.groups().await
    }
}

impl Connect {
    /// Finds the sockets in this way instead of the one that this host is set up for.
    pub fn at(self, rendezvous: Rendezvous) -> Self {
        Self { dial: self.dial.at(rendezvous) }
    }

    /// Also trusts a daemon run by the user with this id; see [`IpcDial::trusting`].
    pub fn trusting(self, uid: u32) -> Self {
        Self { dial: self.dial.trusting(uid) }
    }

    /// Connects to the daemon.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect(self) -> Result<Client, cpg::Error> {
        let client = Client::new(Arc::new(self.dial));
        client.local_id().await?;
        Ok(client)
    }

    /// Connects to the daemon, for use without an asynchronous runtime.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect_blocking(self) -> Result<blocking::Client, cpg::Error> {
        let client = blocking::Client::new(Arc::new(self.dial));
        client.local_id()?;
        Ok(client)
    }
}
