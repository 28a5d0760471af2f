//! The state of the database's desk.

use core::net::IpAddr;
use std::collections::BTreeMap;

use super::connection::Connection;
use super::names;
use super::owed::OwedAnswer;
use super::pending::Tellings;
use super::settings::Settings;
use super::statistics::{self, Lookouts};
use super::trackers::Trackers;
use super::version::VersionCheck;
use crate::ids::{ConnId, NodeId};
use crate::quiet::Quiet;
use crate::time::Instant;

/// Addresses of the cluster's nodes, in the order of their links.
pub(crate) type Addresses = BTreeMap<NodeId, Vec<IpAddr>>;

/// The counters of the desk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Exec messages that are too short or have invalid lengths; dropped.
    pub malformed: u64,
    /// Requests that are too short for their kind; answered `CS_ERR_INVALID_PARAM`.
    pub short_requests: u64,
    /// Notifications sent.
    pub notifications: u64,
}

/// The desk of service 0, the configuration and statistics database.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(super) me: NodeId,
    pub(super) addresses: Addresses,
    pub(super) connections: BTreeMap<ConnId, Connection>,
    pub(super) trackers: Trackers,
    /// Trackers of statistics.
    pub(super) lookouts: Lookouts,
    /// Number of trackers that are notified of the counters of services.
    pub(super) counters_tracked: usize,
    /// When to check the statistics and counters; `None` while nobody tracks any.
    pub(super) look_at: Option<Instant>,
    pub(super) looked_at: Option<Instant>,
    /// Notifications that have not been sent yet.
    pub(super) tellings: Tellings,
    /// Number of trackers of each user's clients.
    pub(crate) users: BTreeMap<u32, usize>,
    /// When the counters of services were last copied to the database.
    pub(super) refreshed_at: Option<Instant>,
    /// The answer to a write, until this desk hears of the change that the write has made. From then on it is kept with
    /// the notifications of that change.
    pub(super) owed: Option<OwedAnswer>,
    pub(super) version: VersionCheck,
    pub(super) settings: Settings,
    pub(super) stats: Stats,
    /// The limit of log lines about malformed messages.
    pub(super) malformed: Quiet,
    pub(super) handles: u64,
}

impl Desk {
    /// The desk of this node, without clients.
    pub(crate) fn new(me: NodeId, addresses: Addresses) -> Self {
        Self {
            me,
            addresses,
            connections: BTreeMap::new(),
            trackers: Trackers::default(),
            lookouts: Lookouts::default(),
            counters_tracked: 0,
            look_at: None,
            looked_at: None,
            tellings: Tellings::default(),
            users: BTreeMap::new(),
            refreshed_at: None,
            owed: None,
            version: VersionCheck::default(),
            settings: Settings::default(),
            stats: Stats::default(),
            malformed: Quiet::default(),
            handles: 0,
        }
    }

    /// The counters.
    #[cfg(test)]
    pub(crate) const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Sets the addresses of the nodes, after a change of the configuration.
    pub(crate) fn set_addresses(&mut self, addresses: Addresses) {
        self.addresses = addresses;
    }

    /// Statistics have appeared or disappeared: their trackers are notified soon instead of with the next
    /// regular check.
    pub(crate) fn statistics_moved(&mut self, now: Instant) {
        if self.lookouts.any_prefix() {
            self.lookouts.moved();
            self.look_soon(now);
        }
    }

    /// Schedules a check of the statistics as early as allowed.
    pub(super) fn look_soon(&mut self, now: Instant) {
        let soon = self.looked_at.map_or(now, |at| now.max(at + statistics::PAUSE));
        self.look_at = Some(self.look_at.map_or(soon, |at| at.min(soon)));
    }

    /// Whether a change has not been reported to all its trackers yet. Until then no requests may be read, so that
    /// clients that make changes wait for those that are notified of them.
    pub(crate) fn is_telling(&self) -> bool {
        self.tellings.is_telling()
    }

    /// The work of this desk since the start, in steps that each cost about as much as a notification.
    pub(crate) const fn work(&self) -> u64 {
        self.tellings.work()
    }

    /// Number of trackers of all clients, those of closed connections that have not been removed yet included.
    pub(crate) fn number_of_trackers(&self) -> usize {
        self.trackers.len() + self.lookouts.len()
    }

    /// A handle that no iteration or tracker has had.
    pub(super) fn new_handle(&mut self) -> u64 {
        self.handles += 1;
        self.handles
    }

    /// Removes a tracker at the request of its connection. Returns the client's own number for it.
    pub(super) fn drop_tracker(&mut self, conn: ConnId, handle: u64) -> Option<u64> {
        let inst = match self.trackers.remove(conn, handle) {
            Some(tracker) => {
                if tracker.touches(names::COUNTERS) {
                    self.counters_tracked -= 1;
                }
                tracker.inst
            }
            None => self.lookouts.remove(conn, handle)?,
        };
        if self.lookouts.len() == 0 && self.counters_tracked == 0 {
            self.look_at = None;
        }
        Some(inst)
    }

    /// Schedules checks of statistics and counters while somebody tracks any.
    pub(super) fn set_look(&mut self, now: Instant) {
        if self.look_at.is_none() && (self.lookouts.len() > 0 || self.counters_tracked > 0) {
            self.look_at = Some(now + statistics::EVERY);
        }
    }
}
