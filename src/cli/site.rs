//! The daemon that a tool talks to.

use std::sync::Arc;
use std::time::Duration;

use crate::admin;
use crate::client::blocking::Client;
use crate::confdb::{self, Map};
use crate::cpg;
use crate::ids::NodeId;
use crate::quorum;
use crate::service::channel::IpcDial;
use crate::service::client::Error;

/// How often a daemon that is not ready is asked again, a second apart.
const TRIES: u32 = 10;

/// Names users, by id and with commas between, whose daemons are trusted beside those of root and of the user.
const TRUSTED: &str = "ANNULUS_TRUST_UID";

/// The way to one daemon of this host. Nothing is opened before something is asked.
pub(super) struct Site {
    client: Client,
}

impl Site {
    /// To the daemon, or to the one of several that has this name.
    pub(super) fn new(instance: Option<&str>) -> Self {
        let dial = instance.map_or_else(IpcDial::default, IpcDial::instance);
        let trusted = std::env::var(TRUSTED).unwrap_or_default();
        let dial = trusted.split(',').filter_map(|uid| uid.trim().parse().ok()).fold(dial, IpcDial::trusting);
        Self { client: Client::new(Arc::new(dial)) }
    }

    pub(super) fn confdb(&self, map: Map) -> &confdb::blocking::Client {
        match map {
            Map::Configuration => self.client.confdb(),
            Map::Statistics => self.client.statistics(),
        }
    }

    pub(super) fn cpg(&self) -> &cpg::blocking::Client {
        self.client.cpg()
    }

    pub(super) fn quorum(&self) -> &quorum::blocking::Client {
        self.client.quorum()
    }

    pub(super) fn admin(&self) -> &admin::blocking::Client {
        self.client.cfg()
    }

    /// The id of the node.
    ///
    /// # Errors
    /// No daemon, or it refuses this user.
    pub(super) fn local(&self) -> Result<NodeId, Error> {
        self.admin().local_id()
    }

    /// Whether there is a daemon; waits a while for one that is only about to be ready.
    ///
    /// # Errors
    /// There is none, or it refuses this user.
    pub(super) fn reach(&self) -> Result<(), confdb::Error> {
        let mut tries = 0;
        loop {
            match self.client.confdb().get_value("totem.version") {
                Ok(_) => return Ok(()),
                Err(error) if error.status() == crate::error::Status::TryAgain && tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(Duration::from_secs(1));
                }
                Err(error) => return Err(error),
            }
        }
    }
}
