//! Connects a supervisor to the real daemon: implements the traits of the registry module.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::registry::{DeskError, Desks, QuorumWatch, Registry};
use crate::confdb::{self, Change, Map};
use crate::quorum::{self, QuorumChange};
use crate::service::channel::{Dial, IpcDial};
use crate::service::client::{Error, blocking::Events};

/// The key that is watched to notice the daemon's end. Every supervisor's keys begin with it.
const WATCHED: &str = "resources.process";

/// The daemon on this host (annulus' own or Corosync's), or a node in this process. Connections are opened only when
/// they are needed.
#[derive(Clone)]
pub struct Daemon {
    dial: Arc<dyn Dial>,
}

impl Daemon {
    /// Reaches the daemon through `dial`.
    pub fn at(dial: impl Dial) -> Self {
        Self { dial: Arc::new(dial) }
    }
}

/// The daemon that the programs of this host use by default.
impl Default for Daemon {
    fn default() -> Self {
        Self::at(IpcDial::default())
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon").finish_non_exhaustive()
    }
}

impl Desks for Daemon {
    fn registry(&self) -> Result<Box<dyn Registry>, DeskError> {
        let client = confdb::blocking::Client::new(Arc::clone(&self.dial), Map::Configuration);
        let sentinel = client.watch_key(WATCHED)?;
        Ok(Box::new(Keys { client, sentinel }))
    }

    fn quorum(&self) -> Result<Box<dyn QuorumWatch>, DeskError> {
        let changes = quorum::blocking::Client::new(Arc::clone(&self.dial)).changes()?;
        Ok(Box::new(Watch { changes, quorate: false }))
    }
}

/// A connection to the daemon's configuration database.
struct Keys {
    client: confdb::blocking::Client,
    /// A tracker connection that only serves to notice the daemon's end. The client itself would silently reconnect
    /// to a restarted daemon, which has none of the keys written before.
    sentinel: Events<Change>,
}

impl Keys {
    fn set(&mut self, key: &str, value: impl Into<crate::value::Value>) -> Result<(), DeskError> {
        self.check()?;
        Ok(self.client.set(key, value)?)
    }

    fn check(&mut self) -> Result<(), DeskError> {
        while self.sentinel.try_next()?.is_some() {}
        Ok(())
    }
}

impl Registry for Keys {
    fn set_str(&mut self, key: &str, value: &str) -> Result<(), DeskError> {
        self.set(key, value)
    }

    fn set_u64(&mut self, key: &str, value: u64) -> Result<(), DeskError> {
        self.set(key, value)
    }

    fn remove(&mut self, prefix: &str) -> Result<(), DeskError> {
        self.check()?;
        for entry in self.client.list(prefix)? {
            self.client.remove(&entry?.key)?;
        }
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.sentinel.as_fd())
    }
}

/// A connection to the quorum service that reports changes of quorum.
struct Watch {
    changes: Events<QuorumChange>,
    quorate: bool,
}

impl QuorumWatch for Watch {
    fn quorate(&mut self) -> Result<bool, DeskError> {
        while let Some(change) = self.changes.try_next()? {
            self.quorate = change.quorate;
        }
        Ok(self.quorate)
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }
}

impl From<Error> for DeskError {
    fn from(error: Error) -> Self {
        Self::new(error.status(), error.to_string())
    }
}

impl From<confdb::Error> for DeskError {
    fn from(error: confdb::Error) -> Self {
        Self::new(error.status(), error.to_string())
    }
}
