//! The valid names of keys, and the keys that are read-only for clients.
//!
//! Source: corosync `exec/icmap.c` (`icmap_is_valid_name_char`), `exec/main.c` (`set_icmap_ro_keys_flag`),
//! `exec/votequorum.c`.

use crate::service::Database;

/// The prefix of the counters of services.
pub(super) const COUNTERS: &str = "runtime.services.";

/// Whether a key is a counter of a service.
pub(super) fn is_counter(name: &str) -> bool {
    name.starts_with(COUNTERS) && (name.ends_with(".rx") || name.ends_with(".tx"))
}

/// Shortest name of a key, in bytes.
pub const NAME_LEAST: usize = 3;

/// Longest name of a key, in bytes.
pub const NAME_LIMIT: usize = 255;

/// Whether a name is valid for a key: 3 to 255 of `A-Z a-z 0-9 . _ - / :`.
pub(super) fn is_valid(name: &str) -> bool {
    (NAME_LEAST..=NAME_LIMIT).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte))
}

const READ_ONLY_PREFIXES: [&str; 7] = [
    "internal_configuration.",
    "nodelist.",
    "runtime.config.",
    "runtime.services.",
    "runtime.totem.",
    "system.",
    "uidgid.config.",
];

const READ_ONLY: [&str; 18] = [
    "config.reload_in_progress",
    "config.totemconfig_reload_in_progress",
    "nodelist.local_node_pos",
    "totem.clear_node_high_bit",
    "totem.cluster_name",
    "totem.crypto_cipher",
    "totem.crypto_hash",
    "totem.crypto_model",
    "totem.ip_version",
    "totem.key",
    "totem.keyfile",
    "totem.netmtu",
    "totem.nodeid",
    "totem.rrp_mode",
    "totem.secauth",
    "totem.threads",
    "totem.transport",
    "totem.version",
];

/// Read-only only with the quorum provider corosync_votequorum.
const READ_ONLY_VOTES: [&str; 7] = [
    "quorum.allow_downscale",
    "quorum.auto_tie_breaker",
    "quorum.auto_tie_breaker_node",
    "quorum.expected_votes_tracking",
    "quorum.last_man_standing",
    "quorum.last_man_standing_window",
    "quorum.wait_for_all",
];

/// Whether a key is read-only for clients.
pub(super) fn is_read_only(name: &str, database: &Database) -> bool {
    READ_ONLY_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || READ_ONLY.binary_search(&name).is_ok()
        || READ_ONLY_VOTES.binary_search(&name).is_ok()
            && database.get("quorum.provider").and_then(|value| value.as_text()).as_deref()
                == Some("corosync_votequorum")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Database;
    use crate::value::Value;

    #[test]
    fn names_are_valid_as_in_icmap() {
        for good in ["abc", "a.b", "A-Z_0/9:x", &"x".repeat(255)] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "ab", "a b c", "abc\u{fffd}", "a*bc", &"x".repeat(256)] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_quorum_keys_follow_the_provider() {
        assert!(READ_ONLY.is_sorted() && READ_ONLY_VOTES.is_sorted());
        let mut store = Database::default();
        for name in ["totem.version", "nodelist.node.0.nodeid", "runtime.config.totem.token", "system.x"] {
            assert!(is_read_only(name, &store), "{name}");
        }
        for name in ["totem.token", "runtime.members.1.ip", "quorum.provider", "quorum.wait_for_all", "abc"] {
            assert!(!is_read_only(name, &store), "{name}");
        }
        store.set("quorum.provider", Value::text("corosync_votequorum"));
        assert!(is_read_only("quorum.wait_for_all", &store));
        assert!(!is_read_only("quorum.expected_votes", &store));
    }
}
