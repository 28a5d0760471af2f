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

client! {
    /// A client of one daemon, or of one node in this process, with the calls of [`client::Client`](super::Client).
    /// Cheap to clone.
    cpg::blocking::Client, quorum::blocking::Client, confdb::blocking::Client, admin::blocking::Client
}

impl Client {
    /// Connects to the daemon.
    ///
    /// # Errors
    /// As [`super::Client::connect`].
    pub fn connect() -> Result<Self, cpg::Error> {
        super::Connect::default().connect_blocking()
    }

    /// Returns the id of the node.
    ///
    /// # Errors
    /// The daemon cannot be reached, or refuses this user.
    pub fn local_id(&self) -> Result<NodeId, cpg::Error> {
        self.cpg.local_id()
    }
}
