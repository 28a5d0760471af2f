//! Section `logging`: the targets of log messages, for the daemon and for single subsystems.
//!
//! Source: `corosync.conf(5)`; corosync `exec/mainconfig.c`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::ConfigError;
use super::map::Map;

/// How urgent a message is, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are those of syslog(3)")]
pub enum Priority {
    Emerg,
    Alert,
    Crit,
    Err,
    Warning,
    Notice,
    Info,
    Debug,
}

/// Whether debug messages are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Debug {
    /// Debug messages are not logged.
    Off,
    /// Debug messages are logged, whatever the priorities.
    On,
    /// Debug and trace messages are logged.
    Trace,
}

/// The time at the beginning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timestamp {
    /// No time.
    Off,
    /// Time with seconds.
    Seconds,
    /// Time with milliseconds.
    Millis,
}

/// The subsystems whose settings have an effect.
pub const SUBSYSTEMS: [&str; 11] =
    ["MAIN", "SERV", "TOTEM", "KNET", "SYNC", "CFG", "CPG", "QUORUM", "VOTEQ", "CMAP", "QB"];

/// The log targets of the daemon or of one subsystem. Reload: yes, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whether to log to standard error. Default: yes.
    pub to_stderr: bool,
    /// Whether to log to syslog. Default: yes.
    pub to_syslog: bool,
    /// Whether to log to the file. Default: no.
    pub to_logfile: bool,
    /// Path of the log file. Default: none.
    pub logfile: Option<PathBuf>,
    /// Least urgent priority that is written to the file. Default: info.
    pub logfile_priority: Priority,
    /// Least urgent priority that is sent to syslog. Default: info.
    pub syslog_priority: Priority,
    /// Name of the syslog facility. Default: `daemon`.
    pub syslog_facility: String,
    /// Whether debug messages are logged. Default: off.
    pub debug: Debug,
}

/// Section `logging`. Reload: yes, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// Format of the time in each line. Default: milliseconds.
    pub timestamp: Timestamp,
    /// Whether each line has its source file and line. Default: no.
    pub fileline: bool,
    /// Whether each line has its function name. Default: no.
    pub function_name: bool,
    /// Whether the flight recorder runs. Default: yes.
    pub blackbox: bool,
    /// The targets of all subsystems without settings of their own.
    pub main: Target,
    /// The targets of single subsystems, by name (`TOTEM`, `CPG`, ...). Settings that are not given are as in `main`,
    /// except that the facility is `daemon` and debug is off.
    pub subsystems: BTreeMap<String, Target>,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            to_stderr: true,
            to_syslog: true,
            to_logfile: false,
            logfile: None,
            logfile_priority: Priority::Info,
            syslog_priority: Priority::Info,
            syslog_facility: "daemon".to_owned(),
            debug: Debug::Off,
        }
    }
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            timestamp: Timestamp::Millis,
            fileline: false,
            function_name: false,
            blackbox: true,
            main: Target::default(),
            subsystems: BTreeMap::new(),
        }
    }
}

impl Logging {
    /// The targets of a subsystem.
    pub fn target(&self, subsystem: &str) -> &Target {
        self.subsystems.get(subsystem).unwrap_or(&self.main)
    }
}

/// Reads the section from the map.
///
/// # Errors
/// A word is invalid for its key.
pub(super) fn read(map: &Map) -> Result<Logging, ConfigError> {
    // In Corosync's order, so that of several invalid words the same is reported.
    let on_off = |key: &str, default: bool| {
        let name = format!("logging.{key}");
        match map.text(&name).as_deref() {
            None => Ok(default),
            Some("on") => Ok(true),
            Some("off") => Ok(false),
            Some(_) => Err(refused(map, &name, &format!("unknown value for {key}"))),
        }
    };
    let fileline = on_off("fileline", false)?;
    let function_name = on_off("function_name", false)?;
    let timestamp = match map.text("logging.timestamp").as_deref() {
        None | Some("hires") => Timestamp::Millis,
        Some("on") => Timestamp::Seconds,
        Some("off") => Timestamp::Off,
        Some(_) => return Err(refused(map, "logging.timestamp", "unknown value for timestamp")),
    };
    let blackbox = on_off("blackbox", true)?;
    let main = target(map, "logging.", Target::default())?;

    let mut subsystems = BTreeMap::new();
    const PREFIX: &str = "logging.logger_subsys.";
    for (name, entry) in map.with_prefix(PREFIX) {
        let Some(subsystem) = name[PREFIX.len()..].strip_suffix(".subsys") else { continue };
        if entry.value.as_text().as_deref() != Some(subsystem) {
            continue;
        }
        let defaults = Target { syslog_facility: "daemon".to_owned(), debug: Debug::Off, ..main.clone() };
        let own = target(map, &format!("{PREFIX}{subsystem}."), defaults)?;
        subsystems.insert(subsystem.to_owned(), own);
    }
    Ok(Logging { timestamp, fileline, function_name, blackbox, main, subsystems })
}

/// Applies the settings under `prefix` to `target`.
fn target(map: &Map, prefix: &str, mut target: Target) -> Result<Target, ConfigError> {
    let name = |key: &str| format!("{prefix}{key}");
    let switch = |key: &str, current: bool| {
        let name = name(key);
        match map.text(&name).as_deref() {
            None => Ok(current),
            Some("yes" | "on") => Ok(true),
            Some("no" | "off") => Ok(false),
            Some(_) => Err(refused(map, &name, &format!("unknown value for {key}"))),
        }
    };
    target.to_stderr = switch("to_stderr", target.to_stderr)?;
    target.to_syslog = switch("to_syslog", target.to_syslog)?;

    if let Some(facility) = map.text(&name("syslog_facility")) {
        let known =
            super::keys::find("logging.syslog_facility").is_some_and(|key| key.words.contains(&&*facility));
        if !known {
            return Err(refused(map, &name("syslog_facility"), "unknown syslog facility specified"));
        }
        target.syslog_facility = facility.into_owned();
    }
    let level = |key: &str, message: &str, current: Priority| match map.text(&name(key)) {
        None => Ok(current),
        Some(word) => priority(&word).ok_or_else(|| refused(map, &name(key), message)),
    };
    target.syslog_priority = level("syslog_level", "unknown syslog level specified", target.syslog_priority)?;
    target.syslog_priority =
        level("syslog_priority", "unknown syslog priority specified", target.syslog_priority)?;
    target.to_logfile = switch("to_file", target.to_logfile)?;
    target.to_logfile = switch("to_logfile", target.to_logfile)?;
    target.logfile_priority =
        level("logfile_priority", "unknown logfile priority specified", target.logfile_priority)?;
    if let Some(file) = map.text(&name("logfile")) {
        target.logfile = Some(PathBuf::from(&*file));
    }
    target.debug = match map.text(&name("debug")).as_deref() {
        None => target.debug,
        Some("on") => Debug::On,
        Some("off") => Debug::Off,
        Some("trace") => Debug::Trace,
        Some(_) => return Err(refused(map, &name("debug"), "unknown value for debug")),
    };
    Ok(target)
}

fn priority(word: &str) -> Option<Priority> {
    Some(match word {
        "emerg" => Priority::Emerg,
        "alert" => Priority::Alert,
        "crit" => Priority::Crit,
        // Not in the manual, but Corosync takes it.
        "err" | "error" => Priority::Err,
        "warning" => Priority::Warning,
        "notice" => Priority::Notice,
        "info" => Priority::Info,
        "debug" => Priority::Debug,
        _ => return None,
    })
}

fn refused(map: &Map, name: &str, message: &str) -> ConfigError {
    ConfigError::logging(message).hint(super::hint::explain(map, name))
}
