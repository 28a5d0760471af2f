//! Warns of unknown names that resemble known ones: `corosync.conf` accepts any name, so a typing error has no effect
//! and causes no error.

use crate::config::hint::place;
use crate::config::keys::{self, KEYS};
use crate::config::map::Map;

/// Most warnings of this kind for one file; further ones are only counted.
const LISTED: usize = 20;

/// Most unknown names that are examined; a file with more contains data of some other program.
const LOOKED_AT: usize = 4096;

/// Names that are not in the table of settings but are known, each with all names below it: read by other programs,
/// obsolete, of later versions of Corosync, or made by the parser.
const FOREIGN: &[&str] = &[
    "logging.logging_daemon",
    "nodelist.local_node_pos",
    "nozzle",
    "pload",
    "quorum.device.heuristics",
    "quorum.device.net",
    "resources.process",
    "totem.cluster_uuid",
    "totem.interface.*.member",
    "totem.ip_dscp",
    "totem.vsftype",
    "uidgid.config",
];

/// Sections without any key in the table of settings.
const SECTIONS: &[&str] = &["uidgid", "nozzle", "pload"];

/// Keys that the parser accepts and does not store.
const TAKEN: &[(&str, &str)] = &[("totem.interface", "linknumber"), ("logging.logger_subsys", "subsys")];

/// Makes a warning for each unknown name that resembles a known one.
pub(super) fn warnings(map: &Map) -> Vec<String> {
    let unknown = map.iter().filter(|(name, _)| keys::find(name).is_none()).take(LOOKED_AT);
    let suspects = unknown.filter_map(|(name, entry)| Some((name, entry, meant(name)?)));
    let mut all: Vec<String> = suspects
        .map(|(name, entry, meant)| {
            format!("{} has no effect: the name is unknown; did you mean {meant}?", place(name, entry))
        })
        .collect();
    let more = all.len().saturating_sub(LISTED);
    if more > 0 {
        all.truncate(LISTED);
        all.push(format!("{more} more names are unknown and resemble known ones."));
    }
    all
}

/// The known name that was probably meant by an unknown one.
fn meant(name: &str) -> Option<String> {
    if FOREIGN.iter().any(|foreign| covers(foreign, name)) {
        return None;
    }
    let parts: Vec<&str> = name.split('.').collect();
    for (depth, part) in parts.iter().enumerate() {
        let before = parts[..depth].join(".");
        let known = known_after(&before);
        if known.contains(part) {
            continue;
        }
        if known.contains(&"*") && depth + 1 < parts.len() {
            continue;
        }
        let known = if known.contains(&"*") { known_after(&format!("{before}.*")) } else { known };
        if known.contains(part) {
            return None; // a link's setting without the link's number
        }
        let near = keys::slip_of(part, known.iter().copied()).or_else(|| ending(part, &known));
        if let Some(near) = near {
            let rest = parts[depth + 1..].iter().copied();
            let meant: Vec<&str> = parts[..depth].iter().copied().chain([near]).chain(rest).collect();
            return Some(meant.join("."));
        }
        return elsewhere(&parts);
    }
    None
}

/// Whether `name` is `pattern` or below it.
fn covers(pattern: &str, name: &str) -> bool {
    let depth = pattern.split('.').count();
    let head: Vec<&str> = name.split('.').take(depth).collect();
    keys::matches(pattern, &head.join("."))
}

/// The names that may follow `before`, which is empty at top level.
fn known_after(before: &str) -> Vec<&'static str> {
    let depth = if before.is_empty() { 0 } else { before.split('.').count() };
    let mut known: Vec<&'static str> = Vec::new();
    for key in KEYS {
        let mut parts = key.name.split('.');
        let head: Vec<&str> = parts.by_ref().take(depth).collect();
        if (depth == 0 || keys::matches(&head.join("."), before))
            && let Some(next) = parts.next()
            && !known.contains(&next)
        {
            known.push(next);
        }
    }
    if depth == 0 {
        known.extend(SECTIONS);
    }
    known.extend(TAKEN.iter().filter(|(section, _)| before.starts_with(section)).map(|(_, key)| *key));
    known
}

/// The only known name that ends in `part`, such as `quorum_votes` for `votes`.
fn ending(part: &str, known: &[&'static str]) -> Option<&'static str> {
    let mut found =
        known.iter().filter(|name| name.strip_suffix(part).is_some_and(|head| head.ends_with('_')));
    let first = found.next()?;
    found.next().is_none().then_some(*first)
}

/// A setting of the same name in another section.
fn elsewhere(parts: &[&str]) -> Option<String> {
    let last = parts.last()?;
    // Within a section of its own, a program may use any names.
    if parts.len() > 1 && !known_after("").contains(parts.first()?) {
        return None;
    }
    let mut found = KEYS.iter().filter(|key| key.name.split('.').next_back() == Some(last));
    let first = found.next()?;
    found.next().is_none().then(|| first.name.to_owned())
}
