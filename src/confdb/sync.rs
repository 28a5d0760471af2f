//! The desk's part in the synchronisation: nodes exchange the versions of their configurations, and a node
//! whose version is not the highest stops when it meets others.
//!
//! Source: corosync `exec/cmap.c`, `cmap_sync_*`.

use super::desk::Desk;
use super::wire::{self, CONFIG_VERSION, McastReason};
use crate::ids::Guarantee;
use crate::service::{Context, Database, Full, Order, Progress, SyncView, Synchronised};
use crate::value::Value;

/// This node's version; `None`: its configuration has none.
fn own_version(database: &Database) -> Option<u64> {
    match database.get(CONFIG_VERSION)? {
        Value::U64(version) => Some(*version),
        other => other.number().and_then(|number| number.try_into().ok()),
    }
}

impl Desk {
    /// Records that the version has changed.
    pub(super) fn version_changed(&mut self, context: &mut Context<'_>) {
        self.version.untold = true;
        self.tell_version(context);
    }

    /// Sends a changed version to the other nodes as soon as there is room.
    pub(super) fn tell_version(&mut self, context: &mut Context<'_>) {
        if self.version.untold {
            let message = wire::encode_version(McastReason::NewVersion, own_version(context.database()));
            self.version.untold =
                context.multicast_undivided(wire::exec::MCAST, Guarantee::Agreed, &message).is_err();
        }
    }
}

impl Synchronised for Desk {
    fn begin(&mut self, view: &SyncView, context: &mut Context<'_>) {
        let own = own_version(context.database()).unwrap_or(0);
        let check = &mut self.version;
        (check.own, check.highest) = (own, own);
        check.alone = view.transitional.is_empty();
    }

    fn process(&mut self, context: &mut Context<'_>) -> Progress {
        let message = wire::encode_version(McastReason::Sync, own_version(context.database()));
        match context.multicast_undivided(wire::exec::MCAST, Guarantee::Agreed, &message) {
            Ok(()) => Progress::Done,
            Err(Full) => Progress::Again,
        }
    }

    fn activate(&mut self, context: &mut Context<'_>) {
        let check = &mut self.version;
        if check.alone {
            tracing::debug!("Single node sync -> no action");
            return;
        }
        if std::mem::replace(&mut check.made, true) || check.own == 0 || check.highest == check.own {
            return;
        }
        tracing::error!(
            "Received config version ({}) is different than my config version ({})! Exiting",
            check.highest,
            check.own
        );
        context.order(Order::Shutdown);
    }

    fn abort(&mut self) {}
}
