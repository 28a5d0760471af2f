//! Keys that the daemon publishes: its services and their counters, the effective settings of the ring, and
//! keys that operators set to trigger an action.
//!
//! Source: `cmap_keys(7)`; corosync `exec/service.c`, `exec/totemconfig.c`, `exec/main.c`, `exec/mon.c`,
//! `exec/wd.c`.

use std::time::Duration;

use super::desk::Desk;
use super::names::COUNTERS;
use crate::config::timeouts::Timeouts;
use crate::ids::ServiceId;
use crate::service::{Context, Database};
use crate::value::Value;

/// Set by operators; each change triggers a dump of the flight data.
pub(super) const DUMP_FLIGHT_DATA: &str = "runtime.blackbox.dump_flight_data";
/// Set by operators; each change triggers a log of the node's state.
pub(super) const DUMP_STATE: &str = "runtime.blackbox.dump_state";
/// Set by operators; each change makes the ring form the membership again.
pub(super) const FORCE_GATHER: &str = "runtime.force_gather";

/// Services of Corosync without clients and without a function here. They are listed because monitoring
/// programs look for them. Each with the number of its exec functions.
const SILENT: [(ServiceId, u16); 3] = [(ServiceId::PLOAD, 2), (ServiceId::MON, 0), (ServiceId::WD, 0)];

/// Sets the keys that exist from the start.
fn begin(database: &mut Database, timeouts: &Timeouts, services: impl IntoIterator<Item = (ServiceId, u16)>) {
    for (service, functions) in services.into_iter().chain(SILENT) {
        let Some(name) = service.name() else { continue };
        let ServiceId(id) = service;
        database.set(
            &format!("internal_configuration.service.{id}.name"),
            Value::text(format!("corosync_{name}")),
        );
        database.set(&format!("internal_configuration.service.{id}.ver"), Value::U32(0));
        database.set(&format!("{COUNTERS}{name}.service_id"), Value::U16(id));
        for function in 0..functions {
            for direction in ["rx", "tx"] {
                database.set(&format!("{COUNTERS}{name}.{function}.{direction}"), Value::U64(0));
            }
        }
    }
    for trigger in [DUMP_FLIGHT_DATA, DUMP_STATE, FORCE_GATHER] {
        database.set(trigger, Value::text("no"));
    }
    resources(database);
    totem(database, timeouts);
}

/// The keys of Corosync's resource monitor and watchdog while these are off.
fn resources(database: &mut Database) {
    for (resource, current) in [("memory_used", Value::I32(0)), ("load_15min", Value::F64(0.0))] {
        let mut missing = |what: &str, value: Value| {
            let name = format!("resources.system.{resource}.{what}");
            if database.get(&name).is_none() {
                database.set(&name, value);
            }
        };
        missing("current", current);
        missing("last_updated", Value::U64(0));
        missing("poll_period", Value::U64(3000));
        missing("state", Value::text("stopped"));
    }
    if database.get("resources.watchdog_timeout").is_none() {
        database.set("resources.watchdog_timeout", Value::U32(6));
    }
}

/// `runtime.config.totem.*`: the effective settings of the ring.
pub(crate) fn totem(database: &mut Database, timeouts: &Timeouts) {
    let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    let given = |name: &str, default: u32| {
        let value = database.get(&format!("totem.{name}")).and_then(Value::number);
        value.and_then(|number| number.try_into().ok()).unwrap_or(default)
    };
    let word = |name: &str| database.get(&format!("totem.{name}")).and_then(|value| value.as_text());
    let unlisted = u32::from(word("block_unlisted_ips").as_deref() != Some("no"));
    let (pmtud_interval, mtu, threshold) =
        (given("knet_pmtud_interval", 30), given("knet_mtu", 0), given("knet_compression_threshold", 0));
    let level = match database.get("totem.knet_compression_level").and_then(Value::number) {
        Some(level) => level.try_into().unwrap_or(0),
        None => 0,
    };
    let model = word("knet_compression_model").map_or_else(|| "none".to_owned(), |model| model.into_owned());
    let numbers = [
        ("block_unlisted_ips", unlisted),
        ("cancel_token_hold_on_retransmit", timeouts.cancel_token_hold_on_retransmit.into()),
        ("consensus", ms(timeouts.consensus)),
        ("downcheck", ms(timeouts.downcheck)),
        ("fail_recv_const", timeouts.fail_recv_const),
        ("heartbeat_failures_allowed", timeouts.heartbeat_failures_allowed),
        ("hold", ms(timeouts.hold)),
        ("join", ms(timeouts.join)),
        ("knet_compression_threshold", threshold),
        ("knet_mtu", mtu),
        ("knet_pmtud_interval", pmtud_interval),
        ("max_messages", timeouts.max_messages),
        ("max_network_delay", ms(timeouts.max_network_delay)),
        ("merge", ms(timeouts.merge)),
        ("miss_count_const", timeouts.miss_count_const),
        ("send_join", ms(timeouts.send_join)),
        ("seqno_unchanged_const", timeouts.seqno_unchanged_const),
        ("token", ms(timeouts.token)),
        ("token_retransmit", ms(timeouts.token_retransmit)),
        ("token_retransmits_before_loss_const", timeouts.token_retransmits_before_loss_const),
        ("token_warning", timeouts.token_warning),
        ("window_size", timeouts.window_size),
    ];
    let pings = pings(database, ms(timeouts.token));
    for (name, number) in numbers {
        database.set(&format!("runtime.config.totem.{name}"), Value::U32(number));
    }
    database.set("runtime.config.totem.knet_compression_level", Value::I32(level));
    database.set("runtime.config.totem.knet_compression_model", Value::text(model));
    for (name, number) in pings {
        database.set(&name, Value::U32(number));
    }
}

/// The ping times of each link. Only knet uses them, but the keys exist with every transport.
fn pings(database: &Database, token: u32) -> Vec<(String, u32)> {
    let number = |name: &str| database.get(name).and_then(Value::number);
    let own = number("nodelist.local_node_pos").unwrap_or(0);
    let mut all = Vec::new();
    for link in 0..8 {
        let setting = |what: &str| {
            let number = number(&format!("totem.interface.{link}.{what}"));
            number.and_then(|number| u32::try_from(number).ok()).filter(|number| *number != 0)
        };
        let linked = database.get(&format!("nodelist.node.{own}.ring{link}_addr")).is_some()
            || database.get(&format!("totem.interface.{link}.bindnetaddr")).is_some();
        if linked {
            let pongs = setting("knet_pong_count").unwrap_or(2);
            let timeout = setting("knet_ping_timeout").unwrap_or(token / pongs);
            let interval = setting("knet_ping_interval").unwrap_or(token / pongs.saturating_mul(2));
            let name = format!("runtime.config.totem.interface.{link}.knet_ping_");
            all.push((format!("{name}interval"), interval));
            all.push((format!("{name}timeout"), timeout));
        }
    }
    all
}

impl Desk {
    /// Sets the keys that exist from the start; `services` are this node's services, each with the number of
    /// its exec functions.
    pub(crate) fn begin(
        &mut self,
        database: &mut Database,
        timeouts: &Timeouts,
        services: impl IntoIterator<Item = (ServiceId, u16)>,
    ) {
        begin(database, timeouts, services);
        self.know_timeouts(timeouts.clone());
    }

    /// Copies the counters of services to the database.
    pub(super) fn refresh(&mut self, context: &mut Context<'_>) {
        if self.refreshed_at.replace(context.now()) == Some(context.now()) {
            return;
        }
        for (name, value) in context.statistics(COUNTERS) {
            context.database().set(&name, value);
        }
    }

    /// As `refresh`, if the keys with the prefix `name` include counters.
    pub(super) fn refresh_if_under(&mut self, name: &str, context: &mut Context<'_>) {
        if name.starts_with(COUNTERS) || COUNTERS.starts_with(name) {
            self.refresh(context);
        }
    }
}
