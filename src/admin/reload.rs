//! The reload of the configuration: who waits for it, and what it does to the database.
//!
//! Every node reads its own file when one of them asks for it. A file that cannot be used changes nothing
//! here, where Corosync has deleted keys by then. What the ring makes of it is for the stack.
//!
//! Source: corosync `exec/cfg.c`, the handler of `RELOAD_CONFIG`; services.md 4.5.

use crate::config::map::Map;
use crate::config::reload::is_fixed;
use crate::error::Status;
use crate::ids::ConnId;
use crate::service::Database;
use crate::value::Value;

/// Keys under these that a new file does not have are deleted.
const OF_THE_FILE: [&str; 6] = ["logging.", "totem.", "nodelist.", "quorum.", "uidgid.config.", "nozzle."];

/// Non-zero while a reload changes the database.
const IN_PROGRESS: &str = "config.reload_in_progress";
/// Non-zero from before the reload to its end: votequorum waits for it.
const TOTEM_IN_PROGRESS: &str = "config.totemconfig_reload_in_progress";
/// How the last reload ended: a status number.
const STATUS: &str = "config.reload_status";
/// What went wrong in it; absent if nothing did.
const ERROR_MESSAGE: &str = "config.reload_error_message";

/// Clients that may wait for a reload; further ones are told to try again.
const WAITING_LIMIT: usize = 1024;

/// Reloads that are to be done. One runs at a time; whatever is asked for meanwhile is one more, after it.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    /// Whose reply waits for the one that runs.
    running: Option<Vec<ConnId>>,
    /// Whose reply waits for the one after it.
    next: Option<Vec<ConnId>>,
}

impl Reloads {
    /// One more is asked for, perhaps by a client of this node. Whether it is to be begun now.
    pub(super) fn ask(&mut self, conn: Option<ConnId>) -> bool {
        let begin = self.running.is_none();
        let waiting = if begin { &mut self.running } else { &mut self.next };
        waiting.get_or_insert_default().extend(conn);
        begin
    }

    /// The one that ran is done. Who waited for it.
    pub(super) fn done(&mut self) -> Vec<ConnId> {
        let waited = self.running.take().unwrap_or_default();
        self.running = self.next.take();
        waited
    }

    /// Whether one is to be begun, after [`Reloads::done`].
    pub(super) const fn more(&self) -> bool {
        self.running.is_some()
    }

    /// Whether no further client may wait.
    pub(super) fn is_full(&self) -> bool {
        let waiting = |list: &Option<Vec<ConnId>>| list.as_ref().map_or(0, Vec::len);
        waiting(&self.running) + waiting(&self.next) >= WAITING_LIMIT
    }

    /// A client is gone.
    pub(super) fn forget(&mut self, conn: ConnId) {
        for waiting in [&mut self.running, &mut self.next].into_iter().flatten() {
            waiting.retain(|other| *other != conn);
        }
    }
}

/// Notes in the database that a new configuration could not be used, and why.
pub(super) fn refuse(why: &str, database: &mut dyn Database) {
    database.set(TOTEM_IN_PROGRESS, Value::U8(1));
    database.set(ERROR_MESSAGE, text(why));
    database.set(STATUS, Value::I32(Status::InvalidParam.code()));
    database.set(TOTEM_IN_PROGRESS, Value::U8(0));
}

/// Makes the database say what a new configuration says, in Corosync's order of changes. Returns the keys
/// whose old value stays, as they cannot change at run time.
pub(super) fn take_over(map: &Map, database: &mut dyn Database) -> Vec<String> {
    database.set(TOTEM_IN_PROGRESS, Value::U8(1));
    database.remove(ERROR_MESSAGE);
    database.set(IN_PROGRESS, Value::U8(1));
    for prefix in OF_THE_FILE {
        let gone: Vec<String> = database
            .range(prefix)
            .filter(|(name, _)| map.entry(name).is_none())
            .map(|(name, _)| name.to_owned())
            .collect();
        for name in gone {
            database.remove(&name);
        }
    }
    let mut refused = Vec::new();
    for (name, entry) in map.iter() {
        if is_fixed(name) && database.get(name) != Some(&entry.value) {
            refused.push(name.to_owned());
        } else {
            database.set(name, entry.value.clone());
        }
    }
    database.set(STATUS, Value::I32(Status::Ok.code()));
    database.set(TOTEM_IN_PROGRESS, Value::U8(0));
    database.set(IN_PROGRESS, Value::U8(0));
    refused
}

/// A text that the database can hold.
fn text(words: &str) -> Value {
    let mut bytes: Vec<u8> = words.bytes().filter(|byte| *byte != 0).collect();
    bytes.truncate(crate::value::VALUE_LIMIT - 1);
    Value::Text(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Noted;
    use super::*;
    use crate::config::map::Origin;

    fn database(entries: &[(&str, Value)]) -> Noted {
        let mut database = Noted::default();
        for (name, value) in entries {
            database.set(name, value.clone());
        }
        database.log.clear();
        database
    }

    fn map(entries: &[(&str, Value)]) -> Map {
        let mut map = Map::default();
        for (name, value) in entries {
            map.set(name.as_bytes(), value.clone(), Origin::Derived).unwrap();
        }
        map
    }

    /// The order of changes that clients of Corosync see.
    #[test]
    fn a_good_file_is_taken_over_between_the_flags() {
        let mut database = database(&[
            ("config.reload_error_message", Value::text("bad")),
            ("nodelist.node.2.nodeid", Value::U32(3)),
            ("pload.count", Value::U32(1)),
            ("runtime.members.1.status", Value::text("joined")),
            ("totem.transport", Value::text("udpu")),
            ("totem.token", Value::U32(3000)),
        ]);
        let new = map(&[
            ("totem.cluster_name", Value::text("added")),
            ("totem.token", Value::U32(5000)),
            ("totem.transport", Value::text("udp")),
            ("totem.window_size", Value::U32(60)),
        ]);
        let refused = take_over(&new, &mut database);
        assert_eq!(
            refused,
            ["totem.cluster_name", "totem.transport"],
            "changed or added, they wait for a restart"
        );
        assert_eq!(
            std::mem::take(&mut database.log),
            [
                "config.totemconfig_reload_in_progress=U8(1)",
                "-config.reload_error_message",
                "config.reload_in_progress=U8(1)",
                "-nodelist.node.2.nodeid",
                "totem.token=U32(5000)",
                "totem.window_size=U32(60)",
                "config.reload_status=I32(1)",
                "config.totemconfig_reload_in_progress=U8(0)",
                "config.reload_in_progress=U8(0)",
            ]
        );
        assert_eq!(database.get("totem.transport"), Some(&Value::text("udpu")));
        assert!(database.get("pload.count").is_some() && database.get("runtime.members.1.status").is_some());

        assert_eq!(take_over(&new, &mut database).len(), 2);
        assert_eq!(database.log.len(), 4, "nothing but the flags: {:?}", database.log);
    }

    /// One that is removed from the file disappears, although it needs a restart to take effect.
    #[test]
    fn a_fixed_key_can_be_removed() {
        let mut database = database(&[("totem.netmtu", Value::U32(1500))]);
        assert!(take_over(&Map::default(), &mut database).is_empty());
        assert!(database.get("totem.netmtu").is_none());
    }

    #[test]
    fn a_bad_file_changes_only_the_verdict() {
        let mut database = database(&[("totem.token", Value::U32(3000))]);
        refuse("corosync.conf:3: what is this?\0", &mut database);
        assert_eq!(database.get("totem.token"), Some(&Value::U32(3000)));
        assert_eq!(database.get(STATUS), Some(&Value::I32(7)));
        assert_eq!(database.get(ERROR_MESSAGE), Some(&Value::text("corosync.conf:3: what is this?")));
        assert_eq!(database.get(TOTEM_IN_PROGRESS), Some(&Value::U8(0)));
    }

    #[test]
    fn what_is_asked_for_meanwhile_is_one_more() {
        let mut reloads = Reloads::default();
        assert!(reloads.ask(Some(ConnId(1))));
        assert!(!reloads.ask(Some(ConnId(2))) && !reloads.ask(None) && !reloads.ask(Some(ConnId(3))));
        reloads.forget(ConnId(2));
        assert_eq!(reloads.done(), [ConnId(1)]);
        assert!(reloads.more());
        assert_eq!(reloads.done(), [ConnId(3)]);
        assert!(!reloads.more());
        assert!(reloads.ask(None));
        assert!(reloads.done().is_empty() && !reloads.more());
    }

    #[test]
    fn waiting_clients_are_limited() {
        let mut reloads = Reloads::default();
        for conn in 0..WAITING_LIMIT as u64 {
            assert!(!reloads.is_full());
            reloads.ask(Some(ConnId(conn)));
        }
        assert!(reloads.is_full());
    }
}
