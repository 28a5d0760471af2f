//! The desk of service 5: counts votes, and decides whether this partition is quorate.
//!
//! Source: corosync `exec/votequorum.c`; `votequorum(5)`. Differences that another node or a client could
//! notice: a node may only send its own data; a client that disconnects while it registers a device cancels
//! the registration; no NODEINFO is queued before the first ring, because the one in its synchronisation says
//! the same.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the desk |
//! | `exec.rs` | exec messages of all nodes |
//! | `sync.rs` | its part in the synchronisation after a new ring |
//! | `requests.rs` | requests of clients and their answers |
//! | `device.rs` | the quorum device: its registration, its polls and their time-out |
//! | `outbox.rs` | messages that wait to be multicast |

mod device;
mod exec;
mod outbox;
mod requests;
mod sync;

use std::time::Duration;

use bytes::Bytes;
use zerocopy::{IntoBytes, U32};

use self::device::Device;
use self::outbox::{Outbox, Words};
use super::settings::{self, Fixed, Found, Moment, Reading, Wrong};
use super::tie_breaker::TieBreaker;
use super::votes::{Outcome, Rules, Votes};
use super::wire::exec::{Exec, Param, Subject, flag, function};
use super::wire::votequorum::{self as wire, request};
use crate::ids::{ConnId, NodeId, RingId, ServiceId};
use crate::quiet::Quiet;
use crate::service::{
    Database, Delivery, Effects, Full, Notice, Order, Quorate, Request, Service, Synchronised,
};
use crate::time::Instant;
use crate::value::Value;
use crate::view::View;

const RELOADING: &str = "config.totemconfig_reload_in_progress";
const RELOAD_STATUS: &str = "config.reload_status";
const CANCEL_WAITING: &str = "quorum.cancel_wait_for_all";

/// The counters of the desk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Exec messages that are too short or contain an unknown number; dropped.
    pub malformed: u64,
    /// Messages in which a node sends data of another node; dropped.
    pub impostors: u64,
    /// Messages of nodes that have no room in the table, or that are not on the ring; dropped.
    pub refused: u64,
}

/// The desk of service 5, votequorum.
#[derive(Debug)]
pub struct Desk {
    me: NodeId,
    votes: Votes,
    fixed: Fixed,
    device: Device,
    outbox: Outbox,
    /// Clients that are notified of changes, newest first.
    trackers: Vec<Tracker>,
    ring: Option<RingId>,
    /// True from a new ring to the end of this desk's part in its synchronisation.
    syncing: bool,
    /// This node has been in no operating ring for too long: it is not quorate, whatever the votes of the last ring
    /// were. The vote does not change, and is counted again in the next ring.
    ringless: bool,
    /// The state of this desk's part in the synchronisation.
    step: sync::Step,
    /// When expected votes are to be lowered to those of the remaining nodes.
    last_man_at: Option<Instant>,
    /// A reload runs, so the settings in the database may be partly old and partly new.
    reloading: bool,
    /// Whether `wait_for_all` was on at any time.
    has_waited: bool,
    /// Whether the keys of the tie breaker are shown: the configuration was read again, or has one.
    shows_tie_breaker: bool,
    leaving: Leaving,
    /// The numbers in the last log line about waiting for all nodes.
    logged_waiting: Option<(u32, u32)>,
    stats: Stats,
    logs: Logs,
}

/// The limits of the log lines that other nodes or clients can cause without limit.
#[derive(Debug, Default)]
struct Logs {
    malformed: Quiet,
    impostor: Quiet,
    reset: Quiet,
    settings: Quiet,
}

#[derive(Clone, Copy, Debug)]
struct Tracker {
    conn: ConnId,
    context: u64,
}

/// Whether this node is about to leave cleanly, and has told the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    Telling,
    Told,
}

impl Desk {
    /// The desk of this node, with the configuration in `database`. `kept`: the highest number of expected votes that
    /// was stored; `None` if it cannot be stored.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub fn new(me: NodeId, database: &mut dyn Database, kept: Option<u32>) -> Result<Self, Wrong> {
        let Reading { fixed, plan, .. } = Reading::at_start(database, kept)?;
        let kept = kept.unwrap_or(0);
        let rules = Rules { device_votes: plan.device_votes.unwrap_or(0), ..plan.rules };
        let mut desk = Self {
            me,
            has_waited: rules.wait_for_all,
            shows_tie_breaker: fixed.tie_breaker.is_some(),
            votes: Votes::new(me, rules, kept),
            fixed,
            device: Device::new(plan.device),
            outbox: Outbox::default(),
            trackers: Vec::new(),
            ring: None,
            syncing: true,
            ringless: false,
            step: sync::Step::Done,
            last_man_at: None,
            reloading: false,
            leaving: Leaving::No,
            logged_waiting: None,
            stats: Stats::default(),
            logs: Logs::default(),
        };
        desk.votes.configure(plan.votes, plan.expected.unwrap_or(0));
        // Before the first ring there is nobody to notify of the result.
        desk.votes.recalculate(false, false);
        database.set("runtime.votequorum.this_node_id", Value::U32(me.get()));
        desk.publish(database);
        Ok(desk)
    }

    /// The state of the votes.
    pub const fn votes(&self) -> &Votes {
        &self.votes
    }

    /// The counters.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Applies a wrong rule, for tests that show that the search detects it.
    #[cfg(test)]
    pub(super) fn break_a_rule(&mut self, wrong: super::votes::Wrong) {
        self.votes.wrong = Some(wrong);
    }

    /// Counts the votes again and acts on the result.
    fn recalculate(&mut self, allow_decrease: bool, by_nodes: bool, effects: &mut dyn Effects) {
        let outcome = self.votes.recalculate(allow_decrease, by_nodes);
        self.act(outcome, effects);
    }

    fn act(&mut self, outcome: Outcome, effects: &mut dyn Effects) {
        if outcome.raised {
            self.tell_expected(effects);
        }
        if let Some(votes) = outcome.keep {
            effects.order(Order::KeepVotes(votes));
        }
        if let Some((votes, expected)) = outcome.waiting
            && self.logged_waiting.replace((votes, expected)) != Some((votes, expected))
        {
            tracing::info!(
                "Waiting for all cluster members. Current votes: {votes} expected_votes: {expected}"
            );
        }
        if outcome.changed {
            let now = self.votes.threshold(true, 0, false);
            tracing::info!(
                votes = now.votes,
                needed = self.votes.quorum(),
                expected = self.votes.nodes.us().expected,
                "{}",
                if self.votes.quorate() {
                    "quorum regained, resuming activity"
                } else {
                    "quorum lost, blocking activity"
                }
            );
            if !self.syncing && !self.ringless {
                self.announce(effects);
            }
        }
        self.publish(effects.database());
    }

    /// Announces the decision to all desks.
    fn announce(&self, effects: &mut dyn Effects) {
        let Some(ring) = self.ring else { return };
        let members = if self.ringless { vec![self.me] } else { self.votes.members().to_vec() };
        effects.announce(Notice::Quorum(Quorate { ring, members, quorate: self.quorate() }));
    }

    /// Whether this node is quorate.
    pub const fn quorate(&self) -> bool {
        self.votes.quorate() && !self.ringless
    }

    /// This node is in no operating ring. The others may have formed theirs and be quorate, so this node is not
    /// quorate, and its clients see it alone, with the id of its last ring.
    fn lost_its_ring(&mut self, effects: &mut dyn Effects) {
        if !std::mem::replace(&mut self.ringless, true) {
            self.announce(effects);
        }
    }

    /// How long a synchronisation may wait for the quorum device of any node.
    pub fn sync_takes(&self) -> Duration {
        self.device.sync_takes()
    }

    fn publish(&mut self, database: &mut dyn Database) {
        let mut set = |key: &str, value: Value| database.set(&format!("runtime.votequorum.{key}"), value);
        let rules = &self.votes.rules;
        set("ev_barrier", Value::U32(self.votes.ev_barrier()));
        set("two_node", Value::U8(rules.two_node.into()));
        if let Some((lowest, highest)) = self.votes.extremes() {
            set("lowest_node_id", Value::U32(lowest.get()));
            set("highest_node_id", Value::U32(highest.get()));
        }
        if self.has_waited {
            set("wait_for_all_status", Value::U8(self.votes.waiting().into()));
        }
        if self.shows_tie_breaker {
            set("atb_type", Value::U32(rules.tie_breaker.as_ref().map_or(0, TieBreaker::code)));
        }
        if let Some(can_operate) = self.device.shown_can_operate() {
            set("qdevice_can_operate", Value::U8(can_operate.into()));
        }
        if self.device.shows_master_wins {
            set("qdevice_master_wins", Value::U8(rules.master_wins.into()));
        }
        if rules.expected_votes_tracking {
            set("ev_tracking_barrier", Value::U32(self.votes.ev_tracking_barrier()));
        }
    }

    fn tell_expected(&self, effects: &mut dyn Effects) {
        let expected = self.votes.nodes.us().expected;
        for Tracker { conn, context } in &self.trackers {
            let event = wire::ExpectedVotesBytes::new(*context, expected);
            effects.event(*conn, event.as_bytes(), &Bytes::new());
        }
    }

    fn tell_quorum(&self, trackers: &[Tracker], quorate: bool, effects: &mut dyn Effects) {
        if trackers.is_empty() {
            return;
        }
        let state = |id, state| wire::NodeStateBytes { node: U32::new(id), state: U32::new(state) };
        let mut nodes: Vec<_> =
            self.votes.nodes.iter().map(|(id, node)| state(id.get(), node.state.code())).collect();
        if self.votes.nodes.us().has(flag::QDEVICE_REGISTERED) {
            nodes.push(state(0, wire::STATE_NONE));
        }
        for Tracker { conn, context } in trackers {
            effects.event(*conn, &wire::quorum(quorate, *context, &nodes), &Bytes::new());
        }
    }

    fn tell_nodelist(&self, trackers: &[Tracker], effects: &mut dyn Effects) {
        for Tracker { conn, context } in trackers {
            let event = wire::nodelist(*context, self.ring, self.votes.members());
            effects.event(*conn, &event, &Bytes::new());
        }
    }

    /// Multicasts the messages that are due. Those that cannot be sent now remain due.
    fn flush(&mut self, effects: &mut dyn Effects) -> Result<(), Full> {
        let us = self.votes.nodes.us();
        let me = Subject::Node(self.me);
        let flags = us.flags | if self.leaving == Leaving::No { 0 } else { flag::LEAVING };
        let info = Exec::NodeInfo { subject: me, votes: us.votes, expected_votes: us.expected, flags };
        let device_votes = self.votes.rules.device_votes;
        let words = Words {
            info,
            device_info: Exec::NodeInfo {
                subject: Subject::Device,
                votes: device_votes,
                expected_votes: 0,
                flags: 0,
            },
            register: Exec::DeviceRegister { register: true, name: &self.device.name },
            cancel_waiting: Exec::Reconfigure { subject: me, param: Param::CancelWaitForAll, value: 0 },
            votes: Exec::Reconfigure { subject: me, param: Param::NodeVotes, value: us.votes },
            expected: Exec::Reconfigure { subject: me, param: Param::ExpectedVotes, value: us.expected },
        };
        self.outbox.flush(&words, effects)
    }

    /// Multicasts the messages that are due as far as there is room; [`Service::retry`] is called for the
    /// rest.
    fn send(&mut self, effects: &mut dyn Effects) {
        let _later = self.flush(effects);
    }

    /// Applies a changed configuration.
    fn read_again(&mut self, effects: &mut dyn Effects) {
        let found = Found::read(effects.database());
        let us = *self.votes.nodes.us();
        let moment = Moment::Running { device_registered: us.has(flag::QDEVICE_REGISTERED) };
        let plan = match settings::plan(&found, &self.fixed, self.votes.ev_tracking_barrier(), moment) {
            Ok(plan) => plan,
            Err(wrong) => {
                if let Some(held_back) = self.logs.settings.may_speak(effects.now()) {
                    tracing::error!(held_back, "{wrong}; the quorum settings stay as they were");
                }
                return;
            }
        };
        self.shows_tie_breaker = true;
        self.device.configure(plan.device);
        let now = &mut self.votes.rules;
        *now = Rules {
            device_votes: plan.device_votes.unwrap_or(now.device_votes),
            master_wins: now.master_wins,
            last_man_standing: now.last_man_standing,
            ..plan.rules
        };
        if !now.wait_for_all && self.votes.waiting() {
            self.votes.set_waiting(false);
        }
        self.has_waited |= self.votes.rules.wait_for_all;
        self.votes.configure(plan.votes, plan.expected.unwrap_or(us.expected));
        let us_now = self.votes.nodes.us();
        self.outbox.info = true;
        self.outbox.device_info = true;
        self.outbox.votes |= us_now.votes != us.votes;
        self.outbox.expected |= us_now.expected != us.expected;
        self.publish(effects.database());
        self.send(effects);
    }

    fn changed(&mut self, name: &str, new: Option<&Value>, effects: &mut dyn Effects) {
        let number = new.and_then(Value::number).unwrap_or(0);
        if name == RELOADING {
            self.reloading = number != 0;
            let failed = effects
                .database()
                .get(RELOAD_STATUS)
                .and_then(Value::number)
                .is_some_and(|status| status != 1);
            if new.is_some() && !self.reloading && !failed {
                self.read_again(effects);
            }
            return;
        }
        let ours = name.starts_with("quorum.") || name.starts_with("nodelist.");
        if !ours || self.reloading {
            return;
        }
        if name == CANCEL_WAITING {
            if number >= 1 {
                effects.database().set(CANCEL_WAITING, Value::U8(0));
                self.outbox.cancel_waiting = true;
                self.send(effects);
            }
            return;
        }
        self.read_again(effects);
    }

    fn last_man_window(&self) -> Duration {
        self.fixed.last_man_standing_window
    }
}

impl Service for Desk {
    fn id(&self) -> ServiceId {
        ServiceId::VOTEQUORUM
    }

    fn functions(&self) -> u16 {
        function::COUNT
    }

    fn requests(&self) -> u16 {
        request::COUNT
    }

    fn needs_flow_control(&self, _request: u16) -> bool {
        false
    }

    fn settled(&self) -> bool {
        self.leaving != Leaving::Telling
    }

    fn leaving(&mut self, effects: &mut dyn Effects) {
        if self.votes.rules.allow_downscale && self.leaving == Leaving::No {
            self.leaving = Leaving::Telling;
            self.outbox.info = true;
            self.send(effects);
        }
    }

    fn deliver(&mut self, delivery: Delivery, effects: &mut dyn Effects) {
        let Delivery { from, function, message, order } = delivery;
        match Exec::decode(function, &message, order) {
            Some(exec) => self.heard(from, exec, effects),
            None => {
                self.stats.malformed += 1;
                if let Some(held_back) = self.logs.malformed.may_speak(effects.now()) {
                    let length = message.len();
                    tracing::warn!(%from, function, length, held_back, "malformed quorum message dropped");
                }
            }
        }
    }

    fn connected(&mut self, _conn: ConnId, _effects: &mut dyn Effects) {}

    fn request(&mut self, conn: ConnId, function: u16, request: Request<'_>, effects: &mut dyn Effects) {
        self.asked(conn, function, request, effects);
    }

    fn disconnected(&mut self, conn: ConnId, _effects: &mut dyn Effects) {
        self.trackers.retain(|tracker| tracker.conn != conn);
        self.device.forget(conn);
    }

    fn retry(&mut self, effects: &mut dyn Effects) {
        self.send(effects);
    }

    fn noticed(&mut self, notice: &Notice, effects: &mut dyn Effects) {
        match notice {
            Notice::NoRing => self.lost_its_ring(effects),
            Notice::Changed(change) => self.changed(&change.name, change.new.as_ref(), effects),
            Notice::Quorum(quorate) => self.tell_quorum(&self.trackers, quorate.quorate, effects),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        // During a synchronisation it is not decided whether this partition is quorate, so expected votes are not
        // lowered then; nor without a ring, because the remaining nodes are not known.
        let last_man_at = self.last_man_at.filter(|_| !self.syncing && !self.ringless);
        [last_man_at, self.device.silent_at].into_iter().flatten().min()
    }

    fn expired(&mut self, effects: &mut dyn Effects) {
        let now = effects.now();
        if self.device.silent_at.is_some_and(|at| at <= now) {
            self.device_is_silent(effects);
        }
        if !self.syncing && !self.ringless && self.last_man_at.is_some_and(|at| at <= now) {
            self.last_man_at = None;
            if self.votes.quorate() {
                self.recalculate(true, true, effects);
                tracing::info!(
                    expected = self.votes.nodes.us().expected,
                    needed = self.votes.quorum(),
                    "last_man_standing: expected votes follow the nodes that are left"
                );
            }
        }
    }

    fn view(&mut self, _view: &View, _effects: &mut dyn Effects) {}

    fn sync(&mut self) -> Option<&mut dyn Synchronised> {
        Some(self)
    }
}
