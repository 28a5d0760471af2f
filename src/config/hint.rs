//! Hints under an error: where a setting stands, what it was derived from, and which values it may have.

use super::bytes::unusual;
use super::keys;
use super::map::{Entry, Map, Origin};
use crate::value::Value;

/// Most items that are listed for a pattern.
const LISTED: usize = 4;

/// Describes the place of a setting and its allowed values. A derived setting has the place of its source; for a name
/// with `*` the settings that are given are listed.
pub(super) fn explain(map: &Map, name: &str) -> String {
    if name.contains('*') {
        let given = map.iter().filter(|(given, _)| keys::matches(name, given)).take(LISTED);
        let lines: Vec<String> = given.map(|(given, _)| explain(map, given)).collect();
        return if lines.is_empty() { format!("{name} is not given") } else { lines.join("\n") };
    }
    let Some(entry) = map.entry(name) else {
        let default = keys::find(name).map_or("", |key| key.default);
        return if default.is_empty() {
            format!("{name} is not given")
        } else {
            format!("{name} is not given; default: {default}")
        };
    };
    let mut text = place(name, entry);
    let word = entry.value.as_text();
    if let Some(key) = keys::find(name) {
        if !key.words.is_empty() {
            // If the word is allowed and was refused for another reason, no other word is suggested.
            if !word.as_ref().is_some_and(|word| key.words.contains(&word.as_ref())) {
                text += &format!("; allowed: {}", key.words.join(", "));
                if let Some(meant) = word.and_then(|word| keys::nearest(&word, key.words.iter().copied())) {
                    text += &format!("; did you mean {meant}?");
                }
            }
        } else if !key.default.is_empty() && !matches!(entry.origin, Origin::DerivedFrom { .. }) {
            text += &format!("; default: {}", key.default);
        }
    }
    if let Value::Text(bytes) = &entry.value
        && let Some(what) = unusual(bytes)
    {
        text += &format!("\nthe value {what}");
    }
    text
}

/// As [`explain`], for a setting that is computed from `sources` unless it is given.
pub(super) fn explain_made(map: &Map, name: &str, sources: &[&str]) -> String {
    let mut text = explain(map, name);
    if map.entry(name).is_none() {
        for source in sources {
            if let Some(entry) = map.entry(source) {
                text += &format!("\nit follows from {}", place(source, entry));
            }
        }
    }
    text
}

/// The setting with its value and place. The value of a key is hidden.
pub(super) fn place(name: &str, entry: &Entry) -> String {
    let value = if name == "totem.key" { "(hidden)".to_owned() } else { entry.value.to_string() };
    match &entry.origin {
        Origin::Default => format!("{name} = {value} by default"),
        Origin::DerivedFrom { name: source, path, line } => {
            format!("{source} at {}:{line}, from which {name} = {value} is made", path.display())
        }
        origin @ (Origin::File { .. } | Origin::Derived) => {
            format!("{name} = {value} at {origin}")
        }
    }
}

/// The place of the first setting of a section such as `nodelist.node.3.`; empty if it has none.
pub(super) fn explain_section(map: &Map, prefix: &str) -> String {
    map.with_prefix(prefix).next().map(|(name, entry)| place(name, entry)).unwrap_or_default()
}
