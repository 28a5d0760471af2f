//! The desk's part in the synchronisation after a new ring: every node sends its votes; a node with a quorum
//! device delays the synchronisation until the device has voted for the new ring or exceeded its time-out.

use std::time::Duration;

use super::desk::{Desk, Step};
use super::telling;
use crate::quorum::wire::exec::flag;
use crate::service::{Context, Full, Progress, SyncView, Synchronised};

impl Synchronised for Desk {
    fn begin(&mut self, view: &SyncView, context: &mut Context<'_>) {
        self.syncing = true;
        self.step = Step::Begun;
        self.ring = Some(view.ring);
        self.device.awaited = false;
        if self.votes.ring(&view.members) {
            self.last_man_at = Some(context.now() + self.fixed.last_man_standing_window);
        }
        if self.votes.nodes.us().has(flag::QDEVICE_REGISTERED | flag::QDEVICE_ALIVE) {
            self.device.silent_at = Some(context.now() + self.device.sync_timeout());
            self.device.awaited = true;
        }
    }

    fn process(&mut self, context: &mut Context<'_>) -> Progress {
        if self.step == Step::Begun {
            self.outbox.info = true;
            self.outbox.device_info = true;
            self.outbox.register = !self.device.name.is_empty();
            self.step = Step::Speaking;
        }
        // Includes messages that came while the device was awaited: its vote must be known before all nodes
        // count.
        if let Err(Full) = self.flush(context) {
            return Progress::Again;
        }
        if self.step == Step::Speaking {
            telling::nodelist(&self.trackers, self.ring, &self.votes, context);
            self.step = Step::Spoken;
        }
        if self.device.awaited && self.votes.nodes.us().has(flag::QDEVICE_REGISTERED) {
            return Progress::Again;
        }
        Progress::Done
    }

    /// Another node may have a device even if this one has none.
    fn may_be_silent(&self) -> Duration {
        self.device.sync_timeout()
    }

    fn activate(&mut self, context: &mut Context<'_>) {
        self.recalculate(false, false, context);
        self.ringless = false;
        self.announce(context);
        self.syncing = false;
        self.step = Step::Done;
    }

    fn abort(&mut self) {}
}
