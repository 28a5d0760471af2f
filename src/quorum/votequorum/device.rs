//! The quorum device: a program on this host that asks an arbiter outside of the cluster, and votes through
//! this node. It registers under a name on which all nodes must agree, polls within its time-out, and may
//! delay a synchronisation until it has voted.
//!
//! Source: corosync `exec/votequorum.c`; `corosync-qdevice(8)`, `votequorum_qdevice_*(3)`.

use std::time::Duration;

use super::Desk;
use crate::error::Status;
use crate::ids::{ConnId, NodeId, RingId};
use crate::quorum::settings;
use crate::quorum::wire::exec::{Exec, flag};
use crate::quorum::wire::votequorum::response;
use crate::service::Effects;
use crate::service::wire::plain_reply;
use crate::time::Instant;

/// All flags that describe the device.
const ALL: u32 =
    flag::QDEVICE_REGISTERED | flag::QDEVICE_ALIVE | flag::QDEVICE_CAST_VOTE | flag::QDEVICE_MASTER_WINS;

/// The state of the device.
#[derive(Debug)]
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
    pending: Option<(ConnId, Vec<u8>)>,
}

impl Device {
    pub(super) const fn new(configured: Option<settings::Device>) -> Self {
        Self {
            shows: configured.is_some(),
            configured,
            shows_master_wins: false,
            name: Vec::new(),
            silent_at: None,
            awaited: false,
            pending: None,
        }
    }

    pub(super) fn configure(&mut self, configured: Option<settings::Device>) {
        self.shows |= configured.is_some();
        self.configured = configured;
    }

    fn can_operate(&self) -> bool {
        self.configured.is_none_or(|device| device.can_operate)
    }

    /// The value of `runtime.votequorum.qdevice_can_operate`, if the key exists.
    pub(super) fn shown_can_operate(&self) -> Option<bool> {
        self.shows.then(|| self.can_operate())
    }

    fn timeout(&self) -> Duration {
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

impl Desk {
    fn device_has(&self, flags: u32) -> bool {
        self.votes.nodes.us().has(flags)
    }

    /// Checks that the device of this name is registered here.
    fn device_known(&self, name: &[u8]) -> Result<(), Status> {
        if !self.device_has(flag::QDEVICE_REGISTERED) {
            return Err(Status::NotExist);
        }
        if name != self.device.name { Err(Status::InvalidParam) } else { Ok(()) }
    }

    /// Handles a registration. `None`: the answer follows when all nodes have received it.
    pub(super) fn device_register(
        &mut self,
        conn: ConnId,
        name: &[u8],
        effects: &mut dyn Effects,
    ) -> Option<Status> {
        if !self.device.can_operate() {
            return Some(Status::Access);
        }
        if self.device_has(flag::QDEVICE_REGISTERED) {
            return Some(if name == self.device.name { Status::Ok } else { Status::Exist });
        }
        if self.device.pending.is_some() || !self.outbox.post(&Exec::DeviceRegister { register: true, name })
        {
            return Some(Status::TryAgain);
        }
        self.device.pending = Some((conn, name.to_vec()));
        self.send(effects);
        None
    }

    /// A registration was delivered.
    pub(super) fn device_registered(&mut self, from: NodeId, name: &[u8], effects: &mut dyn Effects) {
        if from != self.me {
            if self.device.name.is_empty() {
                self.device.name = name.to_vec();
            }
            return;
        }
        if self.device_has(flag::QDEVICE_REGISTERED) {
            return;
        }
        // Nobody may wait for it: it can come from an earlier client of this node, or from a synchronisation.
        let Some((conn, pending)) = self.device.pending.take() else { return };
        if self.device.name.is_empty() {
            self.device.name.clone_from(&pending);
        }
        let status = if pending == self.device.name {
            self.votes.nodes.us_mut().set(flag::QDEVICE_REGISTERED, true);
            self.outbox.info = true;
            self.outbox.device_info = true;
            self.send(effects);
            Status::Ok
        } else {
            Status::Exist
        };
        effects.reply(conn, &plain_reply(response::STATUS, status));
    }

    pub(super) fn device_unregister(&mut self, name: &[u8], effects: &mut dyn Effects) -> Result<(), Status> {
        self.device_known(name)?;
        if !self.outbox.post(&Exec::DeviceRegister { register: false, name }) {
            return Err(Status::TryAgain);
        }
        self.device.silent_at = None;
        self.device.awaited = false;
        self.votes.nodes.us_mut().set(ALL, false);
        self.outbox.info = true;
        self.send(effects);
        Ok(())
    }

    pub(super) fn device_update(
        &mut self,
        old_name: &[u8],
        new_name: &[u8],
        effects: &mut dyn Effects,
    ) -> Result<(), Status> {
        self.device_known(old_name)?;
        if !self.outbox.post(&Exec::DeviceReconfigure { old_name, new_name }) {
            return Err(Status::NoResources);
        }
        self.send(effects);
        Ok(())
    }

    /// Handles a poll: the device votes for a ring.
    pub(super) fn device_poll(
        &mut self,
        name: &[u8],
        cast_vote: bool,
        ring: Option<RingId>,
        effects: &mut dyn Effects,
    ) -> Result<(), Status> {
        if !self.device.can_operate() {
            return Err(Status::Access);
        }
        if !self.device_has(flag::QDEVICE_REGISTERED) {
            return Err(Status::NotExist);
        }
        if ring.is_none() || ring != self.ring {
            return Err(Status::MessageError);
        }
        self.device_known(name)?;
        let us = self.votes.nodes.us_mut();
        let before = us.flags;
        us.set(flag::QDEVICE_ALIVE, true);
        us.set(flag::QDEVICE_CAST_VOTE, cast_vote);
        self.outbox.info |= us.flags != before;
        self.device.silent_at = Some(effects.now() + self.device.timeout());
        self.device.awaited = false;
        self.send(effects);
        Ok(())
    }

    pub(super) fn device_master_wins(
        &mut self,
        name: &[u8],
        allow: bool,
        effects: &mut dyn Effects,
    ) -> Result<(), Status> {
        if !self.device.can_operate() {
            return Err(Status::Access);
        }
        self.device_known(name)?;
        let us = self.votes.nodes.us_mut();
        let before = us.flags;
        us.set(flag::QDEVICE_MASTER_WINS, allow);
        self.outbox.info |= us.flags != before;
        self.votes.rules.master_wins = allow;
        self.device.shows_master_wins = true;
        self.publish(effects.database());
        self.send(effects);
        Ok(())
    }

    /// The device has been silent for too long.
    pub(super) fn device_is_silent(&mut self, effects: &mut dyn Effects) {
        self.device.silent_at = None;
        self.device.awaited = false;
        if !self.device_has(flag::QDEVICE_ALIVE) {
            return;
        }
        self.votes.nodes.us_mut().set(flag::QDEVICE_ALIVE | flag::QDEVICE_CAST_VOTE, false);
        tracing::info!("lost contact with quorum device {}", String::from_utf8_lossy(&self.device.name));
        self.outbox.info = true;
        self.send(effects);
    }
}
