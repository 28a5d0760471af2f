//! The quorum device: a program on this host that asks an arbiter outside of the cluster, and votes through
//! this node. It registers under a name on which all nodes must agree, polls within its time-out, and may
//! delay a synchronisation until it has voted.
//!
//! Source: corosync `exec/votequorum.c`; `corosync-qdevice(8)`.

use std::time::Duration;

use crate::ids::ConnId;
use crate::quorum::settings;
use crate::time::Instant;

/// The state of the device.
#[derive(Debug, Default)]
pub(super) struct Device {
    configured: Option<settings::Device>,
    /// Whether a device was configured at any time.
    shows: bool,
    /// Whether `runtime.votequorum.qdevice_master_wins` exists.
    pub(super) shows_master_wins: bool,
    /// The name of the device in the cluster; empty: none.
    pub(super) name: Vec<u8>,
    /// The time at which the device has been silent for too long.
    pub(super) silent_at: Option<Instant>,
    /// Whether the synchronisation waits for the device's vote.
    pub(super) awaited: bool,
    /// The client and name of a registration that is on its way around the ring.
    pub(super) pending: Option<(ConnId, Vec<u8>)>,
}

impl Device {
    pub(super) fn new(configured: Option<settings::Device>) -> Self {
        Self { shows: configured.is_some(), configured, ..Self::default() }
    }

    pub(super) fn configure(&mut self, configured: Option<settings::Device>) {
        self.shows |= configured.is_some();
        self.configured = configured;
    }

    /// Whether the configuration allows a device.
    pub(super) fn can_operate(&self) -> bool {
        self.configured.is_none_or(|device| device.can_operate)
    }

    /// The value of `runtime.votequorum.qdevice_can_operate`, if the key exists.
    pub(super) fn shown_can_operate(&self) -> Option<bool> {
        self.shows.then(|| self.can_operate())
    }

    /// The time within which the device must poll.
    pub(super) fn timeout(&self) -> Duration {
        self.configured.map_or(Duration::from_secs(10), |device| device.timeout)
    }

    /// How long a synchronisation may wait for a device; all nodes have the same configuration.
    pub(super) fn sync_takes(&self) -> Duration {
        self.configured.map_or(Duration::ZERO, |device| device.sync_timeout)
    }

    pub(super) fn sync_timeout(&self) -> Duration {
        self.configured.map_or(Duration::from_secs(30), |device| device.sync_timeout)
    }

    /// A client has disconnected. Its registration is kept: if it does not come back, the device exceeds its
    /// time-out.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.pending.take_if(|(pending, _)| *pending == conn);
    }
}
