//! Changes of keys that have an effect on the node.
//!
//! Source: `cmap_keys(7)`; corosync `exec/totemconfig.c` (`totem_change_notify`), `exec/logconfig.c`,
//! `exec/main.c`.

use super::desk::Desk;
use super::published::{self, DUMP_FLIGHT_DATA, DUMP_STATE, FORCE_GATHER};
use super::wire::CONFIG_VERSION;
use crate::config;
use crate::config::map::{Map, Origin};
use crate::config::timeouts::Timeouts;
use crate::service::{Change, Context, Database, Order};
use crate::value::Value;

/// Set while a reload changes keys; the changes take effect together at its end.
const RELOADING: &str = "config.reload_in_progress";
const RELOADING_TOTEM: &str = "config.totemconfig_reload_in_progress";

impl Desk {
    /// Acts on a change, after the trackers of the key have been notified.
    pub(super) fn react(&mut self, change: &Change, context: &mut Context<'_>) {
        let set_to = change.new.as_ref();
        match &*change.name {
            CONFIG_VERSION => self.version_changed(context),
            FORCE_GATHER if set_to.and_then(|value| value.as_text()).as_deref() != Some("no") => {
                context.database().set(FORCE_GATHER, Value::text("no"));
                tracing::info!("a new ring is formed, as {FORCE_GATHER} asks for");
                context.order(Order::Gather);
            }
            DUMP_STATE if set_to.is_some() => context.order(Order::DumpState),
            DUMP_FLIGHT_DATA if set_to.is_some() => {
                tracing::info!(
                    "there is no flight recorder here; the log has the state of this node instead"
                );
                context.order(Order::DumpState);
            }
            RELOADING if set_to != Some(&Value::U8(1)) => {
                self.take_logging(context);
            }
            RELOADING_TOTEM if set_to != Some(&Value::U8(1)) => self.take_timeouts(context),
            name if name.starts_with("totem.") && has_twin(name) => self.take_timeouts(context),
            name if name.starts_with("logging.") => self.take_logging(context),
            _ => {}
        }
    }

    /// Records that these timers and limits of the configuration are in use already.
    pub(super) fn know_timeouts(&mut self, timeouts: Timeouts) {
        self.settings.timeouts = Some(timeouts);
    }

    fn take_timeouts(&mut self, context: &mut Context<'_>) {
        if context.database().get(RELOADING_TOTEM) == Some(&Value::U8(1)) {
            return;
        }
        let Some(mut map) = self.section("totem.", context) else { return };
        let Some(nodes) = self.section("nodelist.", context) else { return };
        for (name, entry) in nodes.iter() {
            // It comes from the database, so it fits.
            let _ = map.set(name.as_bytes(), entry.value.clone(), Origin::Derived);
        }
        match config::timeouts_of(&map) {
            Ok(timeouts) => {
                published::totem(context.database(), &timeouts);
                self.take_watching(&map, &timeouts, context);
                if self.settings.timeouts.as_ref() != Some(&timeouts) {
                    self.settings.timeouts = Some(timeouts.clone());
                    context.order(Order::Reconfigure(Box::new(timeouts)));
                }
            }
            Err(error) => {
                if let Some(held_back) = self.settings.logs.timeouts.may_speak(context.now()) {
                    tracing::error!(held_back, "{error}; the ring's timers stay as they are");
                }
            }
        }
    }

    /// On knet, the settings for watching links are updated as well.
    fn take_watching(&mut self, map: &Map, timeouts: &Timeouts, context: &mut Context<'_>) {
        if map.text("totem.transport").is_some_and(|transport| transport != "knet") {
            return;
        }
        match config::watching_of(map, timeouts) {
            Ok(watching) => {
                if self.settings.watching.as_ref() != Some(&watching) {
                    self.settings.watching = Some(watching.clone());
                    context.order(Order::Watch(Box::new(watching)));
                }
            }
            Err(error) => {
                if let Some(held_back) = self.settings.logs.links.may_speak(context.now()) {
                    tracing::error!(held_back, "{error}; the links stay as they are");
                }
            }
        }
    }

    fn take_logging(&mut self, context: &mut Context<'_>) {
        if context.database().get(RELOADING) == Some(&Value::U8(1)) {
            return;
        }
        let Some(section) = self.section("logging.", context) else { return };
        match config::logging_of(&section) {
            Ok(logging) => {
                if self.settings.logging.as_ref() != Some(&logging) {
                    self.settings.logging = Some(logging.clone());
                    context.order(Order::Logging(Box::new(logging)));
                }
            }
            Err(error) => {
                if let Some(held_back) = self.settings.logs.logging.may_speak(context.now()) {
                    tracing::error!(held_back, "{error}; logging stays as it is");
                }
            }
        }
    }

    /// A section of the database; `None`, and a log line with the reason, if it cannot be read.
    fn section(&mut self, section: &str, context: &mut Context<'_>) -> Option<Map> {
        let found = copy(context.database(), section);
        if found.is_none()
            && let Some(held_back) = self.settings.logs.section.may_speak(context.now())
        {
            tracing::error!(
                held_back,
                "the database has more than {SECTION_LIMIT} keys that begin with {section}: changes of settings there \
                 have no effect until some are removed"
            );
        }
        found
    }
}

/// Whether a key of section totem has an effective value in `runtime.config.totem`.
fn has_twin(name: &str) -> bool {
    let Some(setting) = name.strip_prefix("totem.") else { return false };
    setting == "token_coefficient"
        || setting == "token_floor"
        || setting == "block_unlisted_ips"
        || setting == "cancel_token_hold_on_retransmit"
        || setting.starts_with("knet_")
        || setting.starts_with("interface.")
        || TWINS.binary_search(&setting).is_ok()
}

const TWINS: [&str; 19] = [
    "consensus",
    "downcheck",
    "fail_recv_const",
    "heartbeat_failures_allowed",
    "hold",
    "join",
    "loss_limit",
    "loss_patience",
    "max_messages",
    "max_network_delay",
    "merge",
    "miss_count_const",
    "send_join",
    "seqno_unchanged_const",
    "token",
    "token_retransmit",
    "token_retransmits_before_loss_const",
    "token_warning",
    "window_size",
];

/// Largest number of keys of a section that are read at each change of one of them. The node list with the largest
/// possible number of nodes has less than half as many.
const SECTION_LIMIT: usize = 8192;

/// A section of the database in the form from which the configuration is read. `None`: a client has added so many
/// keys that reading them would take too long.
fn copy(database: &Database, section: &str) -> Option<Map> {
    let mut map = Map::default();
    for (n, (name, value)) in database.range(section).enumerate() {
        if n >= SECTION_LIMIT {
            return None;
        }
        // No setting has a value that does not fit.
        let _ = map.set(name.as_bytes(), value.clone(), Origin::Derived);
    }
    Some(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_are_sorted() {
        assert!(TWINS.is_sorted());
        assert!(has_twin("totem.token") && has_twin("totem.token_coefficient"));
        assert!(!has_twin("totem.cluster_name") && !has_twin("quorum.token"));
    }
}
