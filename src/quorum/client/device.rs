//! A quorum device: the vote of an arbiter outside of the cluster.

use super::calls;
use crate::ids::RingId;
use crate::service::client::{Error, Line};

/// A quorum device that is registered at this node, made by
/// [`Client::register_device`](super::Client::register_device).
///
/// It must [`poll`](Device::poll) again and again, within `quorum.device.timeout` (10 s), and once for each new
/// ring within `quorum.device.sync_timeout` (30 s): until then the whole ring waits. New rings are told by
/// [`Client::vote_events`](super::Client::vote_events). Dropping it does not unregister it; without polls it
/// counts as gone after the time-out.
///
/// Source: `votequorum_qdevice_register(3)` and its sisters.
#[derive(Debug)]
pub struct Device {
    line: Line,
    name: String,
}

impl Device {
    pub(super) fn new(line: Line, name: &str) -> Self {
        Self { line, name: name.to_owned() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says that it is alive, and whether it votes for the part of the cluster that this ring is.
    ///
    /// # Errors
    /// [`Status::MessageError`](crate::error::Status::MessageError): the ring is another one by now;
    /// [`Status::NotExist`](crate::error::Status::NotExist): it is not registered any more; no daemon.
    pub async fn poll(&self, vote: bool, ring: RingId) -> Result<(), Error> {
        self.line.ask(calls::poll_device(&self.name, vote, ring)?).await
    }

    /// Lets the part that has its vote win, whatever the numbers, or not.
    ///
    /// # Errors
    /// As [`Device::poll`].
    pub async fn master_wins(&self, allow: bool) -> Result<(), Error> {
        self.line.ask(calls::master_wins(&self.name, allow)?).await
    }

    /// Gives it another name, on all nodes. That takes a moment: until [`Client::node`](super::Client::node) tells
    /// the new one, polls are refused with [`Status::InvalidParam`](crate::error::Status::InvalidParam).
    ///
    /// # Errors
    /// [`Error::Invalid`]: no name for a device; and as [`Device::poll`].
    pub async fn rename(&mut self, name: &str) -> Result<(), Error> {
        self.line.ask(calls::rename_device(&self.name, name)?).await?;
        name.clone_into(&mut self.name);
        Ok(())
    }

    /// Takes it out of this node's count.
    ///
    /// # Errors
    /// As [`Device::poll`].
    pub async fn unregister(self) -> Result<(), Error> {
        self.line.ask(calls::unregister_device(&self.name)?).await
    }
}
