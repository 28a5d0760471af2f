//! The desk: connections of clients, notifications, and exec messages.
//!
//! Source: corosync `exec/cmap.c`, `exec/icmap.c`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bytes::Bytes;

use super::iterate::Iterations;
use super::react::Settings;
use super::requests::{handle_reply, refusal};
use super::statistics::{self, Looked, Lookouts};
use super::sync::VersionCheck;
use super::telling::Tellings;
use super::trackers::{Place, Trackers};
use super::wire::{self, exec, request, response, track};
use super::{members, published};
use crate::error::Status;
use crate::ids::{ConnId, NodeId, ServiceId};
use crate::quiet::Quiet;
use crate::service::wire::plain_reply;
use crate::service::{Change, Delivery, Effects, Notice, Request, Service, Synchronised};
use crate::time::Instant;
use crate::value::Value;
use crate::view::View;

/// Addresses of the cluster's nodes, in the order of their links.
pub type Addresses = BTreeMap<NodeId, Vec<IpAddr>>;

/// The counters of the desk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Exec messages that are too short or have invalid lengths; dropped.
    pub malformed: u64,
    /// Requests that are too short for their kind; answered `CS_ERR_INVALID_PARAM`.
    pub short_requests: u64,
    /// Notifications sent.
    pub notifications: u64,
}

/// The desk of service 0, the configuration and statistics database.
#[derive(Debug)]
pub struct Desk {
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
    pub(super) users: BTreeMap<u32, usize>,
    /// When the counters of services were last copied to the database.
    pub(super) refreshed_at: Option<Instant>,
    /// The client whose change is being reported, and which is answered after that.
    pub(super) owed: Option<Owed>,
    pub(super) version: VersionCheck,
    pub(super) settings: Settings,
    pub(super) stats: Stats,
    /// The limit of log lines about malformed messages.
    malformed: Quiet,
    pub(super) handles: u64,
}

/// The map that a connection uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shelf {
    /// Configuration and state, stored.
    #[default]
    Config,
    /// Statistics, computed when they are read.
    Statistics,
}

/// The state of a client.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) user: u32,
    pub(super) shelf: Shelf,
    pub(super) iterations: Iterations,
    pub(super) trackers: BTreeSet<u64>,
}

/// An answer that follows after the notifications of the change that it is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    pub(super) conn: ConnId,
    pub(super) response: i32,
}

impl Desk {
    /// The desk of this node, without clients.
    pub fn new(me: NodeId, addresses: Addresses) -> Self {
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
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Sets the addresses of the nodes, after a change of the configuration.
    pub fn set_addresses(&mut self, addresses: Addresses) {
        self.addresses = addresses;
    }

    /// Statistics have appeared or disappeared: their trackers are notified soon instead of with the next
    /// regular check.
    pub fn statistics_moved(&mut self, now: Instant) {
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
    pub fn is_telling(&self) -> bool {
        self.tellings.is_telling()
    }

    /// The work of this desk since the start, in steps that each cost about as much as a notification.
    pub const fn work(&self) -> u64 {
        self.tellings.work()
    }

    /// A handle that no iteration or tracker has had.
    pub(super) fn new_handle(&mut self) -> u64 {
        self.handles += 1;
        self.handles
    }

    /// Begins to notify the trackers of a key. `owed`: the client that is answered when all have been
    /// notified.
    fn notify(&mut self, change: &Change, owed: Option<Owed>, effects: &mut dyn Effects) {
        let event = match (&change.old, &change.new) {
            (None, _) => track::ADD,
            (Some(_), None) => track::DELETE,
            (Some(_), Some(_)) => track::MODIFY,
        };
        // Corosync's fast counters are reported without an old value.
        let old = change.old.as_ref().filter(|_| !published::is_counter(&change.name));
        if self.trackers.next(&change.name, self.handles, &mut Place::default()).is_some() {
            self.tell(Shelf::Config, (&change.name, event), (change.new.as_ref(), old), owed);
            self.go_on(effects);
        } else if let Some(Owed { conn, response }) = owed {
            effects.reply(conn, &plain_reply(response, Status::Ok));
        }
    }

    /// Removes a tracker at the request of its connection. Returns the client's own number for it.
    pub(super) fn drop_tracker(&mut self, conn: ConnId, handle: u64) -> Option<u64> {
        let inst = match self.trackers.remove(conn, handle) {
            Some(tracker) => {
                if tracker.touches(published::COUNTERS) {
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

    /// Checks all statistics, and begins to notify their trackers of what has changed since the last check.
    pub(super) fn look(&mut self, effects: &mut dyn Effects) {
        let Looked { all, moved, begun } = self.lookouts.look(effects);
        self.looked_at = Some(effects.now());
        self.tellings.charge(all.len() / STATISTICS_A_STEP);
        // Only trackers from before those that begin now; the new ones are notified of later changes only.
        let before = begun.first().map_or(self.handles, |(first, _)| first - 1);
        for (name, value, event) in &moved {
            if self.lookouts.prefixes().next(name, before, &mut Place::default()).is_some() {
                let value = Some(value);
                self.tell_up_to(before, Shelf::Statistics, (name, *event), (value, value), None);
            }
        }
        if self.lookouts.any_single() {
            self.tellings.sweep(all, self.handles);
        }
        for (handle, conn) in begun {
            effects.reply(conn, &handle_reply(response::TRACK_ADD, Ok(handle)));
        }
        self.go_on(effects);
    }
}

/// Number of statistics whose computation takes as long as sending a notification.
pub(super) const STATISTICS_A_STEP: usize = 8;

/// The part of a notification that is the same for all its receivers.
pub(super) fn payload(new: Option<&Value>, old: Option<&Value>) -> Bytes {
    let bytes = |value: Option<&Value>| value.map(wire::value_bytes).unwrap_or_default().into_owned();
    match (new, old) {
        (None, None) => Bytes::new(),
        _ => [bytes(new), bytes(old)].concat().into(),
    }
}

impl Service for Desk {
    fn id(&self) -> ServiceId {
        ServiceId::CMAP
    }

    fn functions(&self) -> u16 {
        exec::COUNT
    }

    fn requests(&self) -> u16 {
        request::COUNT
    }

    /// No request of a client uses the ring.
    fn needs_flow_control(&self, _request: u16) -> bool {
        false
    }

    fn deliver(&mut self, delivery: Delivery, effects: &mut dyn Effects) {
        let Delivery { from, message, order, .. } = delivery;
        let Some(version) = wire::decode_version(&message, order) else {
            self.stats.malformed += 1;
            if let Some(held_back) = self.malformed.may_speak(effects.now()) {
                let length = message.len();
                tracing::warn!(%from, length, held_back, "malformed message of the database dropped");
            }
            return;
        };
        self.version.heard(from != self.me, version);
        members::set_version(from, version, effects);
    }

    fn connected(&mut self, conn: ConnId, effects: &mut dyn Effects) {
        let connection = Connection { user: effects.user(conn), ..Connection::default() };
        self.connections.insert(conn, connection);
    }

    fn request(&mut self, conn: ConnId, function: u16, request: Request<'_>, effects: &mut dyn Effects) {
        self.tellings.begin();
        if self.answer(conn, function, request, effects).is_none() {
            tracing::debug!(?conn, function, length = request.bytes.len(), "request too short");
            self.stats.short_requests += 1;
            effects.reply(conn, &refusal(function, Status::InvalidParam));
        }
    }

    fn disconnected(&mut self, conn: ConnId, effects: &mut dyn Effects) {
        let Some(connection) = self.connections.remove(&conn) else { return };
        self.count_trackers(connection.user, |all| all.saturating_sub(connection.trackers.len()));
        self.tellings.begin();
        self.tellings.forget(conn, connection.trackers);
        self.go_on(effects);
    }

    fn retry(&mut self, effects: &mut dyn Effects) {
        self.tell_version(effects);
    }

    fn noticed(&mut self, notice: &Notice, effects: &mut dyn Effects) {
        let Notice::Changed(change) = notice else { return };
        let owed = self.owed.take();
        self.notify(change, owed, effects);
        self.react(change, effects);
    }

    fn deadline(&self) -> Option<Instant> {
        [self.look_at, self.tellings.deadline()].into_iter().flatten().min()
    }

    fn expired(&mut self, effects: &mut dyn Effects) {
        self.tellings.begin();
        self.go_on(effects);
        if self.look_at.is_none_or(|at| at > effects.now()) {
            return;
        }
        // The changes found by the last check are reported first.
        if self.tellings.is_comparing() {
            return;
        }
        self.look_at = None;
        if self.lookouts.len() > 0 {
            self.look(effects);
        }
        if self.counters_tracked > 0 {
            self.refresh(effects);
        }
        self.set_look(effects.now());
    }

    fn view(&mut self, view: &View, effects: &mut dyn Effects) {
        members::follow(view, &self.addresses, effects);
    }

    fn sync(&mut self) -> Option<&mut dyn Synchronised> {
        Some(self)
    }
}
