//! The reload of the configuration: the agreement of all nodes, and the changes of the database.
//!
//! When a node is asked for a reload, every node reads its own file. Either all apply what they have read or none
//! does: an unusable file changes nothing anywhere, whereas Corosync's nodes each decide for themselves, and have
//! deleted keys by the time they find a file invalid. The effect of a reload on the ring is the stack's task.
//!
//! | file | what |
//! |---|---|
//! | `agreement.rs` | [`Agreement`]: calls, rounds, verdicts, time-outs; pure |
//! | `verdicts.rs` | the decision that follows from all verdicts |
//! | `stories.rs` | tests of agreements of several nodes |
//!
//! Source: corosync `exec/cfg.c`, the handler of `RELOAD_CONFIG`; docs/protocol/services.md, "Reload".

mod agreement;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod tests;
mod verdicts;

pub(super) use agreement::{Act, Agreement, Judged};
pub(super) use verdicts::named;

use crate::config::Config;
use crate::config::map::{Map, Origin};
use crate::config::reload::{different_address, is_fixed};
use crate::config::totem::TransportKind;
use crate::error::Status;
use crate::service::Database;
use crate::value::Value;

/// Keys with these prefixes are deleted if a new file does not contain them.
const OF_THE_FILE: [&str; 6] = ["logging.", "totem.", "nodelist.", "quorum.", "uidgid.config.", "nozzle."];

/// Non-zero while a reload changes the database.
const IN_PROGRESS: &str = "config.reload_in_progress";
/// Non-zero from before the reload until its end; votequorum waits for its end.
const TOTEM_IN_PROGRESS: &str = "config.totemconfig_reload_in_progress";
/// The result of the last reload: a status number.
const STATUS: &str = "config.reload_status";
/// The error of the last reload; the key is absent if there was none.
const ERROR_MESSAGE: &str = "config.reload_error_message";

/// Records in the database that a reload was refused, and why.
pub(super) fn refuse(status: Status, why: &str, database: &mut Database) {
    database.set(TOTEM_IN_PROGRESS, Value::U8(1));
    database.set(ERROR_MESSAGE, text(why));
    database.set(STATUS, Value::I32(status.code()));
    database.set(TOTEM_IN_PROGRESS, Value::U8(0));
}

/// The settings that a new configuration changes although they cannot change at run time, each with its
/// place.
pub(super) fn kept<'a>(map: &'a Map, database: &Database) -> Vec<(&'a str, &'a Origin)> {
    let changed = map.iter().filter(|(name, entry)| keeps(name, &entry.value, database));
    changed.map(|(name, entry)| (name, &entry.origin)).collect()
}

fn keeps(name: &str, value: &Value, database: &Database) -> bool {
    is_fixed(name) && database.get(name) != Some(value)
}

/// An error in Corosync's words if a link of knet gets another address. Corosync's nodes refuse that, so on a ring
/// with one of them it is refused here too; otherwise the nodes would expect each other at different addresses. The
/// addresses are compared as written.
pub(super) fn readdressed(config: &Config, database: &Database) -> Option<String> {
    if config.totem.transport != TransportKind::Knet {
        return None;
    }
    let text = |name: &str| Some(database.get(name)?.as_text()?.into_owned());
    for (name, value) in database.range("nodelist.node.") {
        let position = name.strip_prefix("nodelist.node.").and_then(|rest| rest.strip_suffix(".nodeid"));
        let (Some(position), Some(id)) = (position, value.number()) else { continue };
        let now = config.nodes.iter().find(|node| node.id.is_some_and(|own| i128::from(own.get()) == id));
        for address in now.iter().flat_map(|node| &node.addresses) {
            let link = address.link;
            let Some(before) = text(&format!("nodelist.node.{position}.ring{link}_addr")) else { continue };
            if before != address.text {
                return Some(different_address(link, &before, &address.text).to_string());
            }
        }
    }
    None
}

/// Applies a new configuration to the database, in Corosync's order of changes, except for keys that cannot change at
/// run time. Returns the names of the changed keys.
pub(super) fn take_over(map: &Map, database: &mut Database) -> Vec<String> {
    database.set(TOTEM_IN_PROGRESS, Value::U8(1));
    database.remove(ERROR_MESSAGE);
    database.set(IN_PROGRESS, Value::U8(1));
    let mut changed = Vec::new();
    for prefix in OF_THE_FILE {
        let gone: Vec<String> = database
            .range(prefix)
            .filter(|(name, _)| map.entry(name).is_none())
            .map(|(name, _)| name.to_owned())
            .collect();
        for name in gone {
            database.remove(&name);
            changed.push(name);
        }
    }
    for (name, entry) in map.iter() {
        if keeps(name, &entry.value, database) || database.get(name) == Some(&entry.value) {
            continue;
        }
        database.set(name, entry.value.clone());
        changed.push(name.to_owned());
    }
    changed.sort_unstable();
    database.set(STATUS, Value::I32(Status::Ok.code()));
    database.set(TOTEM_IN_PROGRESS, Value::U8(0));
    database.set(IN_PROGRESS, Value::U8(0));
    changed
}

/// A text value that the database can hold, shortened if necessary.
fn text(words: &str) -> Value {
    let mut bytes: Vec<u8> = words.bytes().filter(|byte| *byte != 0).collect();
    bytes.truncate(crate::value::VALUE_LIMIT - 1);
    Value::Text(bytes)
}
