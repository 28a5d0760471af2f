//! The outputs of the log: standard error, log files, the syslog socket.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::Level;

use super::files::{Files, OpenError};
use super::format::{Format, facility};
use super::record::Record;
use crate::config::logging::{Debug, Logging, Priority};

/// The socket of the system's log. Source: syslog(3).
const SYSLOG: &str = "/dev/log";
/// Folder of systemd's journal; [`SYSLOG`] is a link into it when the journal is the system's log.
const JOURNAL: &str = "/run/systemd/journal";
/// Longest wait for a syslog daemon that does not read.
const SYSLOG_TIMEOUT: Duration = Duration::from_secs(1);

/// All outputs, with the settings that choose between them.
#[derive(Debug)]
pub(super) struct Outputs {
    settings: Logging,
    /// Whether standard error is used.
    stderr: bool,
    /// Whether standard error and syslog both end in the journal, where every line would appear twice.
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
    /// The first file that cannot be opened, with Corosync's text.
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
        // Errors of an output cannot be reported, and the other outputs may still work.
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

    /// Opens the log files again. Failures are logged, and the old file is used on.
    ///
    /// # Errors
    /// The first file that cannot be opened.
    pub(super) fn reopen(&mut self) -> Result<(), OpenError> {
        let Err(mut failures) = self.files.open(&self.settings) else { return Ok(()) };
        for why in &failures {
            self.write(&Record::own(Level::ERROR, format!("{why}; the file in use until now goes on")));
        }
        Err(failures.swap_remove(0))
    }

    /// Applies other settings.
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

    /// Sends a line to syslog. Returns whether it was accepted.
    fn send_to_syslog(&mut self, line: &[u8]) -> bool {
        // The second attempt is for a syslog daemon that was restarted.
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

/// Whether standard error and syslog of this process both lead to systemd's journal.
fn both_in_journal() -> bool {
    let Ok(stderr) = rustix::fs::fstat(io::stderr()) else { return false };
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    is_stream(&stream, stderr.st_dev, stderr.st_ino)
        && std::fs::canonicalize(SYSLOG).is_ok_and(|path| path.starts_with(JOURNAL))
}

/// Whether a file is the one named by `JOURNAL_STREAM`. Source: systemd.exec(5).
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
        let logfile = Some(path.to_owned());
        let main =
            Target { to_stderr: false, to_syslog: false, to_logfile: true, logfile, ..Target::default() };
        Logging { main, ..Logging::default() }
    }

    fn line(level: Level, text: &str) -> Record {
        Record::own(level, text.to_owned())
    }

    #[test]
    fn priorities_and_debug_select_the_lines_of_a_file() {
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
    fn a_file_that_was_moved_away_is_created_again() {
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
    fn an_unopenable_file_is_reported_with_corosyncs_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no/log");
        let error = Outputs::open(&settings(&path), false).unwrap_err();
        let expected =
            format!("Can't open logfile '{}' for reason: No such file or directory (2)", path.display());
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn the_journals_stream_is_recognised_by_device_and_inode() {
        assert!(is_stream("8:123", 8, 123));
        for other in ["", "8:12", "9:123", "123:8", "8:123:"] {
            assert!(!is_stream(other, 8, 123), "{other}");
        }
    }

    /// A line in the journal comes from syslog; only lines that syslog did not accept go to standard error too.
    #[test]
    fn sending_to_syslog_tells_whether_the_line_was_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let mut outputs = Outputs::open(&settings(&dir.path().join("file")), false).unwrap();
        outputs.syslog = dir.path().join("log");
        assert!(!outputs.send_to_syslog(b"nobody listens"));
        let _listener = UnixDatagram::bind(&outputs.syslog).unwrap();
        assert!(outputs.send_to_syslog(b"somebody does"));
    }

    /// After a restart of the syslog daemon the socket is connected again.
    #[test]
    fn syslog_is_connected_again_after_a_restart() {
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
