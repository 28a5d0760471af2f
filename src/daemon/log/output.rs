//! Where lines go: standard error, log files, the syslog socket.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::Level;

use super::files::{Files, OpenError};
use super::format::{Format, facility};
use super::record::Record;
use crate::config::logging::{Debug, Logging, Priority};

/// Where the system's log listens. Source: syslog(3).
const SYSLOG: &str = "/dev/log";
/// Below it systemd's journal listens; [`SYSLOG`] is a link to there when the journal is the system's log.
const JOURNAL: &str = "/run/systemd/journal";
/// Longest wait for a syslog daemon that does not read.
const SYSLOG_TIMEOUT: Duration = Duration::from_secs(1);

/// All outputs, with the settings that choose between them.
#[derive(Debug)]
pub(super) struct Outputs {
    settings: Logging,
    /// Whether somebody reads standard error.
    stderr: bool,
    /// Whether standard error and syslog both end in the journal, which would have every line twice.
    journal: bool,
    format: Format,
    files: Files,
    syslog: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Outputs {
    /// Opens the log files.
    ///
    /// # Errors
    /// Corosync's words for the first that cannot be opened.
    pub(super) fn open(settings: &Logging, stderr: bool) -> Result<Self, OpenError> {
        let mut files = Files::default();
        files.open(settings).map_err(|mut failures| failures.swap_remove(0))?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let format = Format {
            timestamp: settings.timestamp,
            fileline: settings.fileline,
            function_name: settings.function_name,
            pid: std::process::id(),
            host,
        };
        let journal = stderr && both_in_journal();
        let settings = settings.clone();
        Ok(Self { settings, stderr, journal, format, files, syslog: SYSLOG.into(), socket: None })
    }

    pub(super) fn write(&mut self, record: &Record) {
        let target = self.settings.target(record.subsystem.name()).clone();
        let heard = |least: Priority| match record.level {
            Level::TRACE => target.debug >= Debug::Trace,
            Level::DEBUG => target.debug >= Debug::On,
            _ => target.debug >= Debug::On || record.priority() <= least,
        };
        // Nobody is left to tell when an output fails, and the others may still work.
        if target.to_logfile && heard(target.logfile_priority) {
            let format = &self.format;
            self.files.write(record.subsystem, &format.file(record), |lost| {
                let text = format!("{lost} log lines are missing here: they could not be written");
                format.file(&Record::own(Level::WARN, text))
            });
        }
        let in_syslog = target.to_syslog && heard(target.syslog_priority) && {
            let line = self.format.syslog(record, facility(&target.syslog_facility));
            self.send_to_syslog(line.as_bytes())
        };
        if target.to_stderr && self.stderr && !(self.journal && in_syslog) {
            let _ = io::stderr().write_all(self.format.stderr(record).as_bytes());
        }
    }

    /// Opens the log files again. What cannot be opened is logged, and the old one goes on.
    ///
    /// # Errors
    /// The first that cannot be opened.
    pub(super) fn reopen(&mut self) -> Result<(), OpenError> {
        let Err(mut failures) = self.files.open(&self.settings) else { return Ok(()) };
        for why in &failures {
            self.write(&Record::own(Level::ERROR, format!("{why}; the file in use until now goes on")));
        }
        Err(failures.swap_remove(0))
    }

    /// Takes over other settings.
    ///
    /// # Errors
    /// As [`Outputs::reopen`].
    pub(super) fn configure(&mut self, settings: &Logging) -> Result<(), OpenError> {
        self.settings = settings.clone();
        self.format.timestamp = settings.timestamp;
        self.format.fileline = settings.fileline;
        self.format.function_name = settings.function_name;
        self.reopen()
    }

    /// Whether it was taken.
    fn send_to_syslog(&mut self, line: &[u8]) -> bool {
        // The second try is for a syslog daemon that was restarted.
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = connect(&self.syslog).ok();
            }
            let Some(socket) = &self.socket else { return false };
            match socket.send(line) {
                Ok(_) => return true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false, // it does not read
                Err(_) => self.socket = None,
            }
        }
        false
    }
}

/// Whether this process's standard error and syslog are two ways into the journal of systemd.
fn both_in_journal() -> bool {
    let Ok(stderr) = rustix::fs::fstat(io::stderr()) else { return false };
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    is_stream(&stream, stderr.st_dev, stderr.st_ino)
        && std::fs::canonicalize(SYSLOG).is_ok_and(|path| path.starts_with(JOURNAL))
}

/// Whether a file is the one that `JOURNAL_STREAM` names. Source: systemd.exec(5).
fn is_stream(named: &str, device: u64, inode: u64) -> bool {
    named == format!("{device}:{inode}")
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(SYSLOG_TIMEOUT))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::logging::Target;

    fn settings(path: &Path) -> Logging {
        Logging {
            main: Target {
                to_stderr: false,
                to_syslog: false,
                to_logfile: true,
                logfile: Some(path.to_owned()),
                ..Target::default()
            },
            ..Logging::default()
        }
    }

    fn line(level: Level, text: &str) -> Record {
        Record::own(level, text.to_owned())
    }

    #[test]
    fn priorities_and_debug_choose_what_goes_to_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut settings = settings(&path);
        settings.main.logfile_priority = Priority::Warning;
        let mut outputs = Outputs::open(&settings, false).unwrap();
        for (level, text) in [(Level::WARN, "first"), (Level::INFO, "no"), (Level::DEBUG, "no")] {
            outputs.write(&line(level, text));
        }
        settings.main.debug = Debug::On;
        outputs.configure(&settings).unwrap();
        for (level, text) in [(Level::INFO, "second"), (Level::DEBUG, "third"), (Level::TRACE, "no")] {
            outputs.write(&line(level, text));
        }
        let text = fs::read_to_string(&path).unwrap();
        let last: Vec<_> = text.lines().filter_map(|line| line.split(' ').next_back()).collect();
        assert_eq!(last, ["first", "second", "third"], "{text}");
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut outputs = Outputs::open(&settings(&path), false).unwrap();
        outputs.write(&line(Level::INFO, "one"));
        fs::rename(&path, dir.path().join("log.1")).unwrap();
        outputs.reopen().unwrap();
        outputs.write(&line(Level::INFO, "two"));
        assert!(fs::read_to_string(dir.path().join("log.1")).unwrap().ends_with("one\n"));
        assert!(fs::read_to_string(&path).unwrap().ends_with("two\n"));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named_in_corosyncs_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no/log");
        let error = Outputs::open(&settings(&path), false).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("Can't open logfile '{}' for reason: No such file or directory (2)", path.display())
        );
    }

    #[test]
    fn the_journals_stream_is_known_by_its_numbers() {
        assert!(is_stream("8:123", 8, 123));
        for other in ["", "8:12", "9:123", "123:8", "8:123:"] {
            assert!(!is_stream(other, 8, 123), "{other}");
        }
    }

    /// The journal has a line from syslog; only what syslog did not take is said on standard error too.
    #[test]
    fn syslog_says_whether_it_took_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut outputs = Outputs::open(&settings(&dir.path().join("file")), false).unwrap();
        outputs.syslog = dir.path().join("log");
        assert!(!outputs.send_to_syslog(b"nobody listens"));
        let _listener = UnixDatagram::bind(&outputs.syslog).unwrap();
        assert!(outputs.send_to_syslog(b"somebody does"));
    }

    /// The syslog daemon is restarted: the socket is connected anew.
    #[test]
    fn syslog_gets_datagrams() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut settings = settings(&dir.path().join("file"));
        settings.main.to_syslog = true;
        let mut outputs = Outputs::open(&settings, false).unwrap();
        outputs.syslog = path.clone();
        outputs.write(&line(Level::INFO, "nobody listens yet"));
        for text in ["one", "two"] {
            let listener = UnixDatagram::bind(&path).unwrap();
            outputs.write(&line(Level::INFO, text));
            let mut buf = [0; 200];
            let got = listener.recv(&mut buf).unwrap();
            let datagram = String::from_utf8_lossy(&buf[..got]);
            assert!(datagram.starts_with("<29>"), "{datagram}");
            assert!(datagram.ends_with(&format!("]: [MAIN  ] {text}")), "{datagram}");
            fs::remove_file(&path).unwrap();
        }
    }
}
