//! Sections `system`, `resources` and `uidgid`: the daemon's settings for its host, and who may connect.
//!
//! Source: `corosync.conf(5)`; corosync `exec/main.c`, `exec/mon.c`, `exec/wd.c`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::error::ConfigError;
use super::map::Map;

/// State directory of Corosync, and of a daemon of root that is not a named instance.
pub const STATE_DIR: &str = "/var/lib/corosync";

/// Type of the IPC for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpcType {
    /// The best type of the platform: on Linux shared memory.
    Native,
    /// IPC through shared memory.
    Shm,
    /// IPC through sockets, which this version does not support.
    Socket,
}

/// Scheduling priority without round-robin scheduling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchedPriority {
    /// The highest priority that the system has.
    Max,
    /// The lowest priority that the system has.
    Min,
    /// A nice value.
    Nice(i32),
}

/// Whether to do something, with an automatic choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ternary {
    /// Do it always.
    Yes,
    /// Never do it.
    No,
    /// Do it if it is needed.
    Auto,
}

/// Section `system`. Reload: refused, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// Type of the IPC for clients. Default: native.
    pub ipc_type: IpcType,
    /// Whether to request round-robin real-time scheduling. Default: yes.
    pub sched_rr: bool,
    /// The priority without `sched_rr`, as it is written; see [`System::priority`]. Default: none.
    pub priority: Option<String>,
    /// Whether the daemon leaves its control group. Default: auto.
    pub move_to_root_cgroup: Ternary,
    /// Whether knet may run without real-time resources. Default: no.
    pub allow_knet_handle_fallback: bool,
    /// Directory of the ring id and the flight recorder (blackbox). Default: `/var/lib/corosync`.
    pub state_dir: PathBuf,
}

impl System {
    /// The scheduling priority. Corosync reads it only when it sets the priority, so an invalid word is no error of
    /// the file.
    ///
    /// # Errors
    /// The word is none of `max`, `min` and a number.
    pub fn priority(&self) -> Result<Option<SchedPriority>, ConfigError> {
        let Some(word) = self.priority.as_deref() else { return Ok(None) };
        Ok(Some(match word {
            "max" => SchedPriority::Max,
            "min" => SchedPriority::Min,
            number => match number.parse() {
                Ok(nice) => SchedPriority::Nice(nice),
                Err(_) => {
                    let error = ConfigError::rule(format!("Priority value {number} is invalid"));
                    return Err(error.hint("system.priority is max, min or a number"));
                }
            },
        }))
    }
}

/// Users and groups that may connect besides root. Reload: yes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Ids of the users.
    pub uids: BTreeSet<u32>,
    /// Ids of the groups.
    pub gids: BTreeSet<u32>,
}

/// A threshold of section `resources.system`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// Interval of the measurements, in ms.
    pub poll_period: Option<u64>,
    /// The value from which on it is a failure.
    pub max: Option<String>,
    /// The action after a failure.
    pub recovery: Option<String>,
}

/// Section `resources`. It is parsed and stored in the database, but has no effect in this version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Seconds until the watchdog resets this host. Default: 6.
    pub watchdog_timeout: Option<u32>,
    /// Path of the watchdog device. Default: `/dev/watchdog`.
    pub watchdog_device: Option<String>,
    /// Threshold for the memory in use.
    pub memory_used: Resource,
    /// Threshold for the load average over 15 minutes.
    pub load_15min: Resource,
}

pub(super) fn read(map: &Map) -> System {
    let text = |key: &str| map.text(&format!("system.{key}")).map(|text| text.into_owned());
    System {
        // The parsers accept no other words.
        ipc_type: match text("qb_ipc_type").as_deref() {
            Some("shm") => IpcType::Shm,
            Some("socket") => IpcType::Socket,
            Some(_) | None => IpcType::Native,
        },
        sched_rr: text("sched_rr").as_deref() != Some("no"),
        priority: text("priority"),
        move_to_root_cgroup: match text("move_to_root_cgroup").as_deref() {
            Some("yes") => Ternary::Yes,
            Some("no") => Ternary::No,
            Some(_) | None => Ternary::Auto,
        },
        allow_knet_handle_fallback: text("allow_knet_handle_fallback").as_deref() == Some("yes"),
        state_dir: PathBuf::from(text("state_dir").unwrap_or_else(|| STATE_DIR.to_owned())),
    }
}

pub(super) fn access(map: &Map) -> Access {
    let ids = |prefix: &str| {
        map.with_prefix(prefix).filter_map(|(name, _)| name[prefix.len()..].parse().ok()).collect()
    };
    Access { uids: ids("uidgid.config.uid."), gids: ids("uidgid.config.gid.") }
}

pub(super) fn resources(map: &Map) -> Resources {
    let text = |name: String| map.text(&name).map(|text| text.into_owned());
    let resource = |key: &str| Resource {
        poll_period: map
            .entry(&format!("resources.system.{key}.poll_period"))
            .and_then(|entry| entry.value.number()?.try_into().ok()),
        max: text(format!("resources.system.{key}.max")),
        recovery: text(format!("resources.system.{key}.recovery")),
    };
    Resources {
        watchdog_timeout: map.u32("resources.watchdog_timeout"),
        watchdog_device: text("resources.watchdog_device".to_owned()),
        memory_used: resource("memory_used"),
        load_15min: resource("load_15min"),
    }
}
