//! Changed keys of the database: another configuration, and the order to stop waiting for all nodes.

use super::desk::Desk;
use crate::quorum::settings::{self, Found, Moment};
use crate::quorum::votes::Rules;
use crate::quorum::wire::exec::flag;
use crate::service::Context;
use crate::value::Value;

const RELOADING: &str = "config.totemconfig_reload_in_progress";
const RELOAD_STATUS: &str = "config.reload_status";
const CANCEL_WAITING: &str = "quorum.cancel_wait_for_all";

impl Desk {
    /// Applies a changed configuration.
    fn read_again(&mut self, context: &mut Context<'_>) {
        let found = Found::read(context.database());
        let us = *self.votes.nodes.us();
        let moment = Moment::Running { device_registered: us.has(flag::QDEVICE_REGISTERED) };
        let plan = match settings::plan(&found, &self.fixed, self.votes.ev_tracking_barrier(), moment) {
            Ok(plan) => plan,
            Err(wrong) => {
                if let Some(held_back) = self.logs.settings.may_speak(context.now()) {
                    tracing::error!(held_back, "{wrong}; the quorum settings stay as they were");
                }
                return;
            }
        };
        self.shown.tie_breaker = true;
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
        self.shown.waiting |= self.votes.rules.wait_for_all;
        self.votes.configure(plan.votes, plan.expected.unwrap_or(us.expected));
        let us_now = self.votes.nodes.us();
        self.outbox.info = true;
        self.outbox.device_info = true;
        self.outbox.votes |= us_now.votes != us.votes;
        self.outbox.expected |= us_now.expected != us.expected;
        self.publish(context.database());
        self.send(context);
    }

    /// Handles a changed key of the database.
    pub(super) fn changed(&mut self, name: &str, new: Option<&Value>, context: &mut Context<'_>) {
        let number = new.and_then(Value::number).unwrap_or(0);
        if name == RELOADING {
            self.reloading = number != 0;
            let failed = context
                .database()
                .get(RELOAD_STATUS)
                .and_then(Value::number)
                .is_some_and(|status| status != 1);
            if new.is_some() && !self.reloading && !failed {
                self.read_again(context);
            }
            return;
        }
        let ours = name.starts_with("quorum.") || name.starts_with("nodelist.");
        if !ours || self.reloading {
            return;
        }
        if name == CANCEL_WAITING {
            if number >= 1 {
                context.database().set(CANCEL_WAITING, Value::U8(0));
                self.outbox.cancel_waiting = true;
                self.send(context);
            }
            return;
        }
        self.read_again(context);
    }
}
