//! Hints under an error: where a setting stands and what it may be.

use super::keys;
use super::map::Map;

/// Where a setting stands and what it may be, for hints.
pub(super) fn explain(map: &Map, name: &str) -> String {
    let mut text = match map.entry(name) {
        Some(entry) => format!("{name} = {} at {}", entry.value, entry.origin),
        None => format!("{name} is not given"),
    };
    if let Some(key) = keys::find(name) {
        if !key.words.is_empty() {
            text += &format!("; allowed: {}", key.words.join(", "));
            if let Some(entry) = map.entry(name)
                && let Some(word) = entry.value.as_text()
                && let Some(meant) = keys::nearest(&word, key.words.iter().copied())
            {
                text += &format!("; did you mean {meant}?");
            }
        } else if !key.default.is_empty() {
            text += &format!("; default: {}", key.default);
        }
    }
    text
}
