//! The desk's part in the synchronisation after a new ring: every node sends its votes; a node with a quorum
//! device delays the synchronisation until the device has voted for the new ring or exceeded its time-out.

use std::time::Duration;

use super::Desk;
use crate::quorum::wire::exec::flag;
use crate::service::{Effects, Full, Progress, SyncView, Synchronised};

/// The state of the desk's part in the synchronisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing has been prepared.
    Begun,
    /// The messages have been prepared and are being sent.
    Speaking,
    /// The messages have been sent; the device may still be awaited.
    Spoken,
    /// Nothing is left to do.
    Done,
}

impl Synchronised for Desk {
    fn begin(&mut self, view: &SyncView, effects: &mut dyn Effects) {
        self.syncing = true;
        self.step = Step::Begun;
        self.ring = Some(view.ring);
        self.device.awaited = false;
        if self.votes.ring(&view.members) {
            self.last_man_at = Some(effects.now() + self.last_man_window());
        }
        if self.votes.nodes.us().has(flag::QDEVICE_REGISTERED | flag::QDEVICE_ALIVE) {
            self.device.silent_at = Some(effects.now() + self.device.sync_timeout());
            self.device.awaited = true;
        }
    }

    fn process(&mut self, effects: &mut dyn Effects) -> Progress {
        if self.step == Step::Begun {
            self.outbox.info = true;
            self.outbox.device_info = true;
            self.outbox.register = !self.device.name.is_empty();
            self.step = Step::Speaking;
        }
        // Includes messages that came while the device was awaited: its vote must be known before all nodes
        // count.
        if let Err(Full) = self.flush(effects) {
            return Progress::Again;
        }
        if self.step == Step::Speaking {
            self.tell_nodelist(&self.trackers, effects);
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

    fn activate(&mut self, effects: &mut dyn Effects) {
        self.recalculate(false, false, effects);
        self.ringless = false;
        self.announce(effects);
        self.syncing = false;
        self.step = Step::Done;
    }

    fn abort(&mut self) {}
}
