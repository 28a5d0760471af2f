//! The keys `runtime.votequorum.` of the database, which show the state of the votes.

use super::device::Device;
use crate::quorum::tie_breaker::TieBreaker;
use crate::quorum::votes::Votes;
use crate::service::Database;
use crate::value::Value;

/// Which keys exist besides those that always do. A key that exists once remains.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    /// Whether `wait_for_all` was on at any time, so that `wait_for_all_status` exists.
    pub(super) waiting: bool,
    /// Whether the configuration was read again or has a tie breaker, so that `atb_type` exists.
    pub(super) tie_breaker: bool,
}

impl Shown {
    /// Writes the state to the database.
    pub(super) fn publish(&self, votes: &Votes, device: &Device, database: &mut Database) {
        let mut set = |key: &str, value: Value| database.set(&format!("runtime.votequorum.{key}"), value);
        let rules = &votes.rules;
        set("ev_barrier", Value::U32(votes.ev_barrier()));
        set("two_node", Value::U8(rules.two_node.into()));
        if let Some((lowest, highest)) = votes.extremes() {
            set("lowest_node_id", Value::U32(lowest.get()));
            set("highest_node_id", Value::U32(highest.get()));
        }
        if self.waiting {
            set("wait_for_all_status", Value::U8(votes.waiting().into()));
        }
        if self.tie_breaker {
            set("atb_type", Value::U32(rules.tie_breaker.as_ref().map_or(0, TieBreaker::code)));
        }
        if let Some(can_operate) = device.shown_can_operate() {
            set("qdevice_can_operate", Value::U8(can_operate.into()));
        }
        if device.shows_master_wins {
            set("qdevice_master_wins", Value::U8(rules.master_wins.into()));
        }
        if rules.expected_votes_tracking {
            set("ev_tracking_barrier", Value::U32(votes.ev_tracking_barrier()));
        }
    }
}
