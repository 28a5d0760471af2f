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
        let word = map.entry(name).and_then(|entry| entry.value.as_text());
        if !key.words.is_empty() {
            // A word that is allowed, and refused for something else, needs no other.
            if !word.as_ref().is_some_and(|word| key.words.contains(&word.as_ref())) {
                text += &format!("; allowed: {}", key.words.join(", "));
                if let Some(meant) = word.and_then(|word| keys::nearest(&word, key.words.iter().copied())) {
                    text += &format!("; did you mean {meant}?");
                }
            }
        } else if !key.default.is_empty() {
            text += &format!("; default: {}", key.default);
        }
    }
    text
}
