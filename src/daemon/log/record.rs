//! One `tracing` event as a record: time, level, subsystem and text.

use std::fmt::{self, Write};

use jiff::civil::DateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::config::logging::Priority;
use crate::wall;

/// Longest text of a line in bytes; longer ones are truncated.
const TEXT_LIMIT: usize = 4096;

/// The part of the daemon that a line comes from, under Corosync's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subsystem {
    Main,
    Serv,
    Totem,
    Knet,
    Sync,
    Cfg,
    Cpg,
    Quorum,
    Votequorum,
    Cmap,
    Qb,
}

impl Subsystem {
    pub(super) const ALL: [Self; 11] = [
        Self::Main,
        Self::Serv,
        Self::Totem,
        Self::Knet,
        Self::Sync,
        Self::Cfg,
        Self::Cpg,
        Self::Quorum,
        Self::Votequorum,
        Self::Cmap,
        Self::Qb,
    ];

    /// The name as in the sections `logger_subsys`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Main => "MAIN",
            Self::Serv => "SERV",
            Self::Totem => "TOTEM",
            Self::Knet => "KNET",
            Self::Sync => "SYNC",
            Self::Cfg => "CFG",
            Self::Cpg => "CPG",
            Self::Quorum => "QUORUM",
            Self::Votequorum => "VOTEQ",
            Self::Cmap => "CMAP",
            Self::Qb => "QB",
        }
    }

    /// The subsystem of an event, by the event's target (its module).
    pub(super) fn of(target: &str) -> Self {
        let room = target.strip_prefix("annulus::").unwrap_or("");
        let mut rooms = room.split("::");
        match rooms.next().unwrap_or("") {
            "transport" if matches!(rooms.next(), Some("links" | "knet")) => Self::Knet,
            "totem" | "transport" => Self::Totem,
            "service" => Self::Sync,
            "stack" => Self::Serv,
            "cpg" => Self::Cpg,
            "admin" => Self::Cfg,
            "confdb" => Self::Cmap,
            "quorum" if rooms.next() == Some("votequorum") => Self::Votequorum,
            "quorum" => Self::Quorum,
            "ipc" => Self::Qb,
            _ => Self::Main,
        }
    }
}

/// One log line before formatting.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// In the host's time zone.
    pub(super) time: DateTime,
    pub(super) level: Level,
    pub(super) subsystem: Subsystem,
    pub(super) text: String,
    /// Source file and line.
    pub(super) place: Option<(&'static str, u32)>,
    pub(super) module: &'static str,
}

impl Record {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut text = Text { message: String::new(), fields: String::new() };
        event.record(&mut text);
        text.message.push_str(&text.fields);
        Self {
            time: wall::now(),
            level: *metadata.level(),
            subsystem: Subsystem::of(metadata.target()),
            text: clean(text.message),
            place: metadata.file().zip(metadata.line()),
            module: metadata.module_path().unwrap_or_default(),
        }
    }

    /// Makes a line of the log itself.
    pub(super) fn own(level: Level, text: String) -> Self {
        Self {
            time: wall::now(),
            level,
            subsystem: Subsystem::Main,
            text: clean(text),
            place: None,
            module: module_path!(),
        }
    }

    /// The syslog priority. Events of `tracing`'s level info are meant for an operator, so they are notices.
    pub(super) const fn priority(&self) -> Priority {
        match self.level {
            Level::ERROR => Priority::Err,
            Level::WARN => Priority::Warning,
            Level::INFO => Priority::Notice,
            Level::DEBUG | Level::TRACE => Priority::Debug,
        }
    }

    /// The word for the level in a line.
    pub(super) const fn word(&self) -> &'static str {
        match self.level {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "notice",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        }
    }
}

/// The text of an event: the message first, then the fields as `name=value`.
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Without the quotes that Debug would add.
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

/// Makes one line of any text from a peer or client: control characters are shown as numbers.
fn clean(text: String) -> String {
    if text.len() <= TEXT_LIMIT && !text.contains(char::is_control) {
        return text;
    }
    let mut clean = String::with_capacity(text.len().min(TEXT_LIMIT) + 16);
    for c in text.chars() {
        if clean.len() >= TEXT_LIMIT {
            clean.push_str("...");
            break;
        }
        match c {
            '\n' => clean.push_str(" | "),
            c if c.is_control() => {
                let _ = write!(clean, "\\x{:02x}", u32::from(c));
            }
            c => clean.push(c),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_mapped_to_subsystems() {
        assert_eq!(Subsystem::of("annulus::totem::srp::gather"), Subsystem::Totem);
        assert_eq!(Subsystem::of("annulus::ipc"), Subsystem::Qb);
        assert_eq!(Subsystem::of("annulus::node::driver"), Subsystem::Main);
        assert_eq!(Subsystem::of("annulus::quorum::desk"), Subsystem::Quorum);
        assert_eq!(Subsystem::of("annulus::quorum::votequorum::exec"), Subsystem::Votequorum);
        assert_eq!(Subsystem::of("mio::poll"), Subsystem::Main);
        for (index, subsystem) in Subsystem::ALL.into_iter().enumerate() {
            assert_eq!(subsystem as usize, index);
        }
        // A check of the configuration uses this list to try the log files.
        assert_eq!(Subsystem::ALL.map(Subsystem::name), crate::config::logging::SUBSYSTEMS);
    }

    #[test]
    fn control_characters_cannot_break_a_line() {
        assert_eq!(clean("one\ntwo \x1b[31m".to_owned()), "one | two \\x1b[31m");
        let long = clean("x".repeat(10_000));
        assert!(long.len() <= TEXT_LIMIT + 3 && long.ends_with("..."));
    }
}
