//! The state of the desk, and what follows from a count of the votes.

use std::time::Duration;

use super::device::Device;
use super::outbox::{Outbox, Words};
use super::publish::Shown;
use super::telling::{self, Tracker};
use crate::ids::{NodeId, RingId};
use crate::quiet::Quiet;
use crate::quorum::settings::{self, Fixed, Reading};
#[cfg(test)]
use crate::quorum::votes::Wrong;
use crate::quorum::votes::{Outcome, Rules, Votes};
use crate::quorum::wire::exec::{Exec, Param, Subject, flag};
use crate::service::{Context, Database, Full, Notice, Order, Quorate};
use crate::time::Instant;
use crate::value::Value;

/// The counters of the desk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Exec messages that are too short or contain an unknown number; dropped.
    pub malformed: u64,
    /// Messages in which a node sends data of another node; dropped.
    pub impostors: u64,
    /// Messages of nodes that have no room in the table, or that are not on the ring; dropped.
    pub refused: u64,
}

/// The desk of service 5, votequorum.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(super) me: NodeId,
    pub(super) votes: Votes,
    pub(super) fixed: Fixed,
    pub(super) device: Device,
    pub(super) outbox: Outbox,
    /// Clients that are notified of changes, newest first.
    pub(super) trackers: Vec<Tracker>,
    pub(super) ring: Option<RingId>,
    /// True from a new ring to the end of this desk's part in its synchronisation.
    pub(super) syncing: bool,
    /// This node has been in no operating ring for too long: it is not quorate, whatever the votes of the last ring
    /// were. The vote does not change, and is counted again in the next ring.
    pub(super) ringless: bool,
    /// The state of this desk's part in the synchronisation.
    pub(super) step: Step,
    /// When expected votes are to be lowered to those of the remaining nodes.
    pub(super) last_man_at: Option<Instant>,
    /// A reload runs, so the settings in the database may be partly old and partly new.
    pub(super) reloading: bool,
    /// Which keys of the database show the state.
    pub(super) shown: Shown,
    pub(super) leaving: Leaving,
    /// The numbers in the last log line about waiting for all nodes.
    pub(super) logged_waiting: Option<(u32, u32)>,
    pub(super) stats: Stats,
    pub(super) logs: Logs,
}

/// The limits of the log lines that other nodes or clients can cause without limit.
#[derive(Debug, Default)]
pub(super) struct Logs {
    pub(super) malformed: Quiet,
    pub(super) impostor: Quiet,
    pub(super) reset: Quiet,
    pub(super) settings: Quiet,
}

/// Whether this node is about to leave cleanly, and has told the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    Telling,
    Told,
}

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

impl Desk {
    /// The desk of this node, with the configuration in `database`. `kept`: the highest number of expected votes that
    /// was stored; `None` if it cannot be stored.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub(crate) fn new(
        me: NodeId,
        database: &mut Database,
        kept: Option<u32>,
    ) -> Result<Self, settings::Wrong> {
        let Reading { fixed, plan, .. } = Reading::at_start(database, kept)?;
        let kept = kept.unwrap_or(0);
        let rules = Rules { device_votes: plan.device_votes.unwrap_or(0), ..plan.rules };
        let mut desk = Self {
            me,
            shown: Shown { waiting: rules.wait_for_all, tie_breaker: fixed.tie_breaker.is_some() },
            votes: Votes::new(me, rules, kept),
            fixed,
            device: Device::new(plan.device),
            outbox: Outbox::default(),
            trackers: Vec::new(),
            ring: None,
            syncing: true,
            ringless: false,
            step: Step::Done,
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
    #[cfg(test)]
    pub(crate) const fn votes(&self) -> &Votes {
        &self.votes
    }

    /// The counters.
    #[cfg(test)]
    pub(crate) const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Applies a wrong rule, for tests that show that the search detects it.
    #[cfg(test)]
    pub(crate) fn break_a_rule(&mut self, wrong: Wrong) {
        self.votes.wrong = Some(wrong);
    }

    /// Counts the votes again and acts on the result.
    pub(super) fn recalculate(&mut self, allow_decrease: bool, by_nodes: bool, context: &mut Context<'_>) {
        let outcome = self.votes.recalculate(allow_decrease, by_nodes);
        self.act(outcome, context);
    }

    /// Acts on the result of a count.
    fn act(&mut self, outcome: Outcome, context: &mut Context<'_>) {
        if outcome.raised {
            telling::expected(&self.trackers, &self.votes, context);
        }
        if let Some(votes) = outcome.keep {
            context.order(Order::KeepVotes(votes));
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
                self.announce(context);
            }
        }
        self.publish(context.database());
    }

    /// Announces the decision to all desks.
    pub(super) fn announce(&self, context: &mut Context<'_>) {
        let Some(ring) = self.ring else { return };
        let members = if self.ringless { vec![self.me] } else { self.votes.members().to_vec() };
        context.announce(Notice::Quorum(Quorate { ring, members, quorate: self.quorate() }));
    }

    /// Whether this node is quorate.
    pub(crate) const fn quorate(&self) -> bool {
        self.votes.quorate() && !self.ringless
    }

    /// This node is in no operating ring. The others may have formed theirs and be quorate, so this node is not
    /// quorate, and its clients see it alone, with the id of its last ring.
    pub(super) fn lost_its_ring(&mut self, context: &mut Context<'_>) {
        if !std::mem::replace(&mut self.ringless, true) {
            self.announce(context);
        }
    }

    /// How long a synchronisation may wait for the quorum device of any node.
    pub(crate) fn sync_takes(&self) -> Duration {
        self.device.sync_takes()
    }

    /// Writes the state to the database.
    pub(super) fn publish(&self, database: &mut Database) {
        self.shown.publish(&self.votes, &self.device, database);
    }

    /// Multicasts the messages that are due. Those that cannot be sent now remain due.
    pub(super) fn flush(&mut self, context: &mut Context<'_>) -> Result<(), Full> {
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
        self.outbox.flush(&words, context)
    }

    /// Multicasts the messages that are due as far as there is room; the rest is sent when the router calls
    /// [`retry`](crate::service::Service::retry).
    pub(super) fn send(&mut self, context: &mut Context<'_>) {
        let _later = self.flush(context);
    }
}
