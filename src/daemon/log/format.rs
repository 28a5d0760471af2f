//! The line formats. Source: Corosync's log lines, as observed; `logging.*` in corosync.conf(5).

use std::fmt::Write;

use jiff::civil::DateTime;

use super::record::Record;
use crate::config::logging::Timestamp;

/// The program's name in log lines and in syslog.
const PROGRAM: &str = "annulusd";

/// The settings of the line formats.
#[derive(Clone, Debug)]
pub(super) struct Format {
    pub(super) timestamp: Timestamp,
    pub(super) fileline: bool,
    pub(super) function_name: bool,
    pub(super) pid: u32,
    pub(super) host: String,
}

impl Format {
    /// A line for standard error: `Nov 21 00:52:41.892 notice  [MAIN  ] text`.
    pub(super) fn stderr(&self, record: &Record) -> String {
        let mut line = self.stamp(record);
        self.level(record, &mut line);
        self.body(record, &mut line);
        line.push('\n');
        line
    }

    /// A line for a file: `Nov 21 00:52:41.892 [3337] n1 annulusd notice  [MAIN  ] text`.
    pub(super) fn file(&self, record: &Record) -> String {
        let mut line = self.stamp(record);
        let _ = write!(line, "[{}] {} {PROGRAM} ", self.pid, self.host);
        self.level(record, &mut line);
        self.body(record, &mut line);
        line.push('\n');
        line
    }

    /// A datagram for the syslog socket: `<29>Nov 21 00:52:41 annulusd[3337]: [MAIN  ] text`.
    pub(super) fn syslog(&self, record: &Record, facility: u8) -> String {
        let priority = u16::from(facility) * 8 + record.priority() as u16;
        let mut line = format!("<{priority}>{} {PROGRAM}[{}]: ", stamp(record.time), self.pid);
        self.body(record, &mut line);
        line
    }

    fn stamp(&self, record: &Record) -> String {
        let mut line = String::with_capacity(96 + record.text.len());
        let stamp = stamp(record.time);
        // Writing to a string cannot fail, here and below.
        let _ = match self.timestamp {
            Timestamp::Off => Ok(()),
            Timestamp::Seconds => write!(line, "{stamp} "),
            Timestamp::Millis => write!(line, "{stamp}.{:03} ", record.time.millisecond()),
        };
        line
    }

    fn level(&self, record: &Record, line: &mut String) {
        let _ = write!(line, "{:<7} ", record.word());
    }

    fn body(&self, record: &Record, line: &mut String) {
        let _ = write!(line, "[{:<6}] ", record.subsystem.name());
        if self.function_name {
            let _ = write!(line, "{}: ", record.module);
        }
        if let (true, Some((file, number))) = (self.fileline, record.place) {
            let _ = write!(line, "{file}:{number} ");
        }
        line.push_str(&record.text);
    }
}

/// `Nov 21 00:52:41`, as log lines begin.
fn stamp(time: DateTime) -> String {
    time.strftime("%b %d %H:%M:%S").to_string()
}

/// The number of a syslog facility. Source: syslog(3). Unknown names are refused with the configuration.
pub(super) fn facility(name: &str) -> u8 {
    const NAMES: [&str; 12] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    ];
    const DAEMON: u8 = 3;
    const LOCAL: u8 = 16;
    let local = || Some(LOCAL + name.strip_prefix("local")?.parse::<u8>().ok().filter(|n| *n < 8)?);
    let number = (0..).zip(NAMES).find_map(|(number, known)| (known == name).then_some(number));
    number.or_else(local).unwrap_or(DAEMON)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;
    use crate::daemon::log::record::Subsystem;

    fn record() -> Record {
        Record {
            time: DateTime::constant(2026, 11, 21, 0, 52, 41, 892_000_000),
            level: Level::INFO,
            subsystem: Subsystem::Serv,
            text: "Service engine loaded".to_owned(),
            place: Some(("src/a.rs", 7)),
            module: "annulus::a",
        }
    }

    fn format() -> Format {
        let (pid, host) = (3337, "n1".to_owned());
        Format { timestamp: Timestamp::Millis, fileline: false, function_name: false, pid, host }
    }

    #[test]
    fn stamps_have_a_fixed_width() {
        let time = DateTime::constant(2026, 11, 1, 0, 52, 4, 7_000_000);
        assert_eq!(stamp(time), "Nov 01 00:52:04");
    }

    /// A line of Corosync's own log, except for the program's name.
    #[test]
    fn lines_have_corosyncs_format() {
        let expected = "Nov 21 00:52:41.892 [3337] n1 annulusd notice  [SERV  ] Service engine loaded\n";
        assert_eq!(format().file(&record()), expected);
        let expected = "Nov 21 00:52:41.892 notice  [SERV  ] Service engine loaded\n";
        assert_eq!(format().stderr(&record()), expected);
        let expected = "<29>Nov 21 00:52:41 annulusd[3337]: [SERV  ] Service engine loaded";
        assert_eq!(format().syslog(&record(), facility("daemon")), expected);
    }

    #[test]
    fn settings_change_the_format() {
        let plain = Format { timestamp: Timestamp::Off, fileline: true, function_name: true, ..format() };
        let warning = Record { level: Level::WARN, subsystem: Subsystem::Totem, ..record() };
        assert_eq!(plain.stderr(&warning), "warning [TOTEM ] annulus::a: src/a.rs:7 Service engine loaded\n");
        let seconds = Format { timestamp: Timestamp::Seconds, ..format() };
        assert!(seconds.stderr(&warning).starts_with("Nov 21 00:52:41 warning [TOTEM ] "));
        let error = Record { level: Level::ERROR, ..record() };
        assert!(format().syslog(&error, facility("local6")).starts_with("<179>"));
    }
}
