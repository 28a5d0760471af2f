//! The requests of the quorum device, and what follows if there are none for too long.
//!
//! Source: corosync `exec/votequorum.c`; `votequorum_qdevice_*(3)`.

use super::answer::Answer;
use super::desk::Desk;
use crate::error::Status;
use crate::ids::{ConnId, NodeId, RingId};
use crate::quorum::wire::exec::{Exec, flag};
use crate::quorum::wire::votequorum::Reply;
use crate::service::Context;

/// All flags that describe the device.
const ALL: u32 =
    flag::QDEVICE_REGISTERED | flag::QDEVICE_ALIVE | flag::QDEVICE_CAST_VOTE | flag::QDEVICE_MASTER_WINS;

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

    /// Handles a registration. A new one is answered when all nodes have received it.
    pub(super) fn device_register(&mut self, conn: ConnId, name: &[u8], context: &mut Context<'_>) -> Answer {
        if !self.device.can_operate() {
            return Status::Access.into();
        }
        if self.device_has(flag::QDEVICE_REGISTERED) {
            return if name == self.device.name { Status::Ok } else { Status::Exist }.into();
        }
        if self.device.pending.is_some() || !self.outbox.post(&Exec::DeviceRegister { register: true, name })
        {
            return Status::TryAgain.into();
        }
        self.device.pending = Some((conn, name.to_vec()));
        self.send(context);
        Answer::Later
    }

    /// A registration was delivered.
    pub(super) fn device_registered(&mut self, from: NodeId, name: &[u8], context: &mut Context<'_>) {
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
            self.send(context);
            Status::Ok
        } else {
            Status::Exist
        };
        context.reply(conn, Reply::Status(status).encode());
    }

    pub(super) fn device_unregister(&mut self, name: &[u8], context: &mut Context<'_>) -> Result<(), Status> {
        self.device_known(name)?;
        if !self.outbox.post(&Exec::DeviceRegister { register: false, name }) {
            return Err(Status::TryAgain);
        }
        self.device.silent_at = None;
        self.device.awaited = false;
        self.votes.nodes.us_mut().set(ALL, false);
        self.outbox.info = true;
        self.send(context);
        Ok(())
    }

    pub(super) fn device_update(
        &mut self,
        old_name: &[u8],
        new_name: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), Status> {
        self.device_known(old_name)?;
        if !self.outbox.post(&Exec::DeviceReconfigure { old_name, new_name }) {
            return Err(Status::NoResources);
        }
        self.send(context);
        Ok(())
    }

    /// Handles a poll: the device votes for a ring.
    pub(super) fn device_poll(
        &mut self,
        name: &[u8],
        cast_vote: bool,
        ring: Option<RingId>,
        context: &mut Context<'_>,
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
        self.device.silent_at = Some(context.now() + self.device.timeout());
        self.device.awaited = false;
        self.send(context);
        Ok(())
    }

    pub(super) fn device_master_wins(
        &mut self,
        name: &[u8],
        allow: bool,
        context: &mut Context<'_>,
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
        self.publish(context.database());
        self.send(context);
        Ok(())
    }

    /// The device has been silent for too long.
    pub(super) fn device_is_silent(&mut self, context: &mut Context<'_>) {
        self.device.silent_at = None;
        self.device.awaited = false;
        if !self.device_has(flag::QDEVICE_ALIVE) {
            return;
        }
        self.votes.nodes.us_mut().set(flag::QDEVICE_ALIVE | flag::QDEVICE_CAST_VOTE, false);
        tracing::info!("lost contact with quorum device {}", String::from_utf8_lossy(&self.device.name));
        self.outbox.info = true;
        self.send(context);
    }
}
