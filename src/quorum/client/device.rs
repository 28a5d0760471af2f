//! A quorum device: it votes for an arbiter outside of the cluster.

use super::{blocking, calls};
use crate::ids::RingId;
use crate::service::client::{Error, Line, both};

/// A quorum device that is registered at this node, made by
/// [`Client::register_device`](super::Client::register_device).
///
/// It must [`poll`](Device::poll) repeatedly, within `quorum.device.timeout` (10 s), and once for each new ring
/// within `quorum.device.sync_timeout` (30 s): until then the synchronisation of the whole ring waits.
/// [`Client::vote_events`](super::Client::vote_events) reports new rings. Dropping it does not unregister the device;
/// without polls the device counts as dead after the time-out.
///
/// Source: `votequorum_qdevice_register(3)` and the related manual pages.
#[derive(Debug)]
pub struct Device {
    line: Line,
    name: String,
}

both! {
    Device, blocking::Device:

    /// Reports that the device is alive, and whether it votes for the partition that has this ring.
    ///
    /// # Errors
    /// [`Status::MessageError`](crate::error::Status::MessageError): there is another ring now;
    /// [`Status::NotExist`](crate::error::Status::NotExist): the device is not registered any more; or no
    /// daemon runs.
    fn poll(&self, vote: bool, ring: RingId) -> () = self.line, calls::poll_device(&self.name, vote, ring)?;

    /// Switches `master_wins`: if it is on, the partition with the device's vote is quorate, whatever the
    /// other votes are.
    ///
    /// # Errors
    /// As [`Device::poll`].
    fn master_wins(&self, allow: bool) -> () = self.line, calls::master_wins(&self.name, allow)?;
}

impl Device {
    pub(super) fn new(line: Line, name: &str) -> Self {
        Self { line, name: name.to_owned() }
    }

    /// The name of the device.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Renames the device on all nodes. This takes a moment: until [`Client::node`](super::Client::node) shows the
    /// new name, polls are refused with [`Status::InvalidParam`](crate::error::Status::InvalidParam).
    ///
    /// # Errors
    /// [`Error::Invalid`]: the name is invalid; otherwise as [`Device::poll`].
    pub async fn rename(&mut self, name: &str) -> Result<(), Error> {
        self.line.ask(calls::rename_device(&self.name, name)?).await?;
        name.clone_into(&mut self.name);
        Ok(())
    }

    /// Unregisters the device at this node, so that its votes no longer count.
    ///
    /// # Errors
    /// As [`Device::poll`].
    pub async fn unregister(self) -> Result<(), Error> {
        self.line.ask(calls::unregister_device(&self.name)?).await
    }
}
