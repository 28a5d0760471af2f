//! A client of the daemon on this host without an asynchronous runtime, for programs with a main loop of their own,
//! such as resource managers, and for simple programs.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use annulus::client::blocking::Client;
//!
//! let client = Client::connect()?;
//! println!("node {}, quorate: {}", client.local_id()?, client.quorum().is_quorate()?);
//! println!("token: {:?} ms", client.confdb().get::<u32>("totem.token")?);
//! # Ok(()) }
//! ```

use std::sync::Arc;

use crate::admin;
use crate::confdb::{self, Map};
use crate::cpg;
use crate::ids::NodeId;
use crate::quorum;
use crate::service::channel::Dial;

/// A client of one daemon, or of one node in this process, with the calls of [`client::Client`](super::Client). Cheap
/// to clone.
#[derive(Clone, Debug)]
pub struct Client {
    cpg: cpg::blocking::Client,
    quorum: quorum::blocking::Client,
    confdb: confdb::blocking::Client,
    statistics: confdb::blocking::Client,
    cfg: admin::blocking::Client,
}

impl Client {
    /// Connects to the daemon.
    ///
    /// # Errors
    /// As [`super::Client::connect`].
    pub fn connect() -> Result<Self, cpg::Error> {
        super::Connect::default().connect_blocking()
    }

    /// A client whose connections are opened by `dial` when they are needed.
    pub fn new(dial: Arc<dyn Dial>) -> Self {
        Self {
            cpg: cpg::blocking::Client::new(Arc::clone(&dial)),
            quorum: quorum::blocking::Client::new(Arc::clone(&dial)),
            confdb: confdb::blocking::Client::new(Arc::clone(&dial), Map::Configuration),
            statistics: confdb::blocking::Client::new(Arc::clone(&dial), Map::Statistics),
            cfg: admin::blocking::Client::new(dial),
        }
    }

    /// Returns the id of the node.
    ///
    /// # Errors
    /// The daemon cannot be reached, or refuses this user.
    pub fn local_id(&self) -> Result<NodeId, cpg::Error> {
        self.cpg.local_id()
    }

    /// Client of CPG, the closed process groups.
    pub fn cpg(&self) -> &cpg::blocking::Client {
        &self.cpg
    }

    /// Client of the quorum service: whether this node's part of the cluster may act, and who votes on that.
    pub fn quorum(&self) -> &quorum::blocking::Client {
        &self.quorum
    }

    /// Client of the configuration database.
    pub fn confdb(&self) -> &confdb::blocking::Client {
        &self.confdb
    }

    /// Client of the node's statistics.
    pub fn statistics(&self) -> &confdb::blocking::Client {
        &self.statistics
    }

    /// Client of the administration service: status, reload, shutdown.
    pub fn cfg(&self) -> &admin::blocking::Client {
        &self.cfg
    }
}
