//! The log files: which subsystem writes to which file, and what happens if a file cannot be opened or written.
//!
//! An open file is only closed once its replacement is open. If the folder has vanished or the new name cannot be
//! opened, lines go on to the old file.
//!
//! Source: corosync `exec/logsys.c`, libqb `lib/log_file.c`; behaviour and file mode as observed with Corosync 3.1.7.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::record::Subsystem;
use crate::config::logging::{Logging, Target};
use crate::config::reason;
use crate::error::Status;

/// Mode of a new log file, as Corosync's; the umask of the process is subtracted.
const MODE: u32 = 0o644;

/// The error of a log file that cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Can't open logfile '{}' for reason: {reason} ({errno})", path.display())]
pub(in crate::daemon) struct OpenError {
    path: PathBuf,
    reason: String,
    errno: i32,
}

impl OpenError {
    fn new(path: &Path, error: &io::Error) -> Self {
        Self { path: path.to_owned(), reason: reason(error), errno: error.raw_os_error().unwrap_or(0) }
    }

    /// The status for the client that asked to reopen the files.
    ///
    /// Source: corosync `qb_to_cs_error`; each of these and others were observed.
    pub(in crate::daemon) fn status(&self) -> Status {
        use rustix::io::Errno;
        match Errno::from_raw_os_error(self.errno) {
            Errno::NOENT | Errno::NODEV => Status::NotExist,
            Errno::ACCESS => Status::Access,
            Errno::NOSPC => Status::NoSpace,
            Errno::NOMEM => Status::NoMemory,
            Errno::INVAL => Status::InvalidParam,
            _ => Status::Library,
        }
    }
}

/// The open log files, and the file of each subsystem.
#[derive(Debug, Default)]
pub(super) struct Files {
    open: BTreeMap<PathBuf, LogFile>,
    /// The path of each subsystem's file, by the subsystem's number.
    ways: [Option<PathBuf>; Subsystem::ALL.len()],
}

#[derive(Debug)]
struct LogFile {
    file: File,
    /// Number of lines lost since the last one that was written.
    lost: u64,
    /// Whether a line was written in part.
    torn: bool,
}

impl Files {
    /// Opens the files that these settings name, again if they are open already. A subsystem whose file cannot be
    /// opened keeps its old one.
    ///
    /// # Errors
    /// All files that cannot be opened.
    pub(super) fn open(&mut self, settings: &Logging) -> Result<(), Vec<OpenError>> {
        let mut opened: BTreeMap<PathBuf, LogFile> = BTreeMap::new();
        let mut failures: Vec<OpenError> = Vec::new();
        for path in named(settings) {
            match open(path) {
                Ok(file) => drop(opened.insert(path.clone(), LogFile { file, lost: 0, torn: false })),
                Err(error) => failures.push(OpenError::new(path, &error)),
            }
        }
        let mut old = std::mem::take(&mut self.open);
        for subsystem in Subsystem::ALL {
            let way = &mut self.ways[subsystem as usize];
            match file_of(settings.target(subsystem.name())) {
                Some(path) if failures.iter().any(|failure| failure.path == *path) => {
                    // Keeps the old path with its old file, even if another file has that name now.
                    if let Some((path, file)) = way.as_ref().and_then(|path| old.remove_entry(path)) {
                        opened.entry(path).or_insert(file);
                    }
                }
                wanted => *way = wanted.cloned(),
            }
        }
        self.open = opened;
        if failures.is_empty() { Ok(()) } else { Err(failures) }
    }

    /// Whether this subsystem has an open file.
    #[cfg(test)]
    fn has(&self, subsystem: Subsystem) -> bool {
        self.ways[subsystem as usize].as_ref().is_some_and(|path| self.open.contains_key(path))
    }

    /// Writes a line to the file of a subsystem. Failures are not reported, but once there is space again, the file
    /// says how many lines are missing.
    pub(super) fn write(&mut self, subsystem: Subsystem, line: &str, note: impl FnOnce(u64) -> String) {
        let way = self.ways[subsystem as usize].as_ref();
        let Some(log) = way.and_then(|path| self.open.get_mut(path)) else { return };
        let mut text = String::new();
        if log.torn {
            text.push('\n');
        }
        if log.lost > 0 {
            text.push_str(&note(log.lost));
        }
        text.push_str(line);
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match log.file.write(rest) {
                Ok(0) => break,
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if rest.is_empty() {
            (log.lost, log.torn) = (0, false);
        } else {
            log.lost += 1;
            log.torn |= rest.len() < text.len();
        }
    }
}

/// Tries to open the files that these settings name and `current` does not; files created by this are removed again.
/// May block on a disk.
///
/// # Errors
/// The first file that cannot be opened.
pub(in crate::daemon) fn try_out(settings: &Logging, current: &Logging) -> Result<(), OpenError> {
    let current = named(current);
    for path in named(settings).into_iter().filter(|path| !current.contains(path)) {
        let was_there = path.symlink_metadata().is_ok();
        open(path).map_err(|error| OpenError::new(path, &error))?;
        if !was_there {
            // If the reload is refused later, nothing of it must remain.
            let _ = std::fs::remove_file(path);
        }
    }
    Ok(())
}

/// The paths in the settings, each once.
fn named(settings: &Logging) -> Vec<&PathBuf> {
    let mut paths: Vec<&PathBuf> = Vec::new();
    for path in Subsystem::ALL.into_iter().filter_map(|one| file_of(settings.target(one.name()))) {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

fn file_of(target: &Target) -> Option<&PathBuf> {
    target.logfile.as_ref().filter(|_| target.to_logfile)
}

fn open(path: &Path) -> io::Result<File> {
    // Does not block if the file is a pipe without a reader.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn settings(path: &Path) -> Logging {
        let main = Target { to_logfile: true, logfile: Some(path.to_owned()), ..Target::default() };
        Logging { main, ..Logging::default() }
    }

    fn write(files: &mut Files, line: &str) {
        files.write(Subsystem::ALL[0], line, |lost| format!("{lost} lost\n"));
    }

    #[test]
    fn a_new_file_has_corosyncs_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        Files::default().open(&settings(&path)).unwrap();
        let umask = rustix::process::umask(rustix::fs::Mode::empty());
        rustix::process::umask(umask);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644 & !umask.bits());
    }

    /// The folder is gone, the name is a folder, or the new name cannot be opened: lines go on to the old file.
    #[test]
    fn the_old_file_is_used_until_a_new_one_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/log");
        fs::create_dir(dir.path().join("a")).unwrap();
        let mut files = Files::default();
        files.open(&settings(&path)).unwrap();
        write(&mut files, "1\n");
        fs::rename(dir.path().join("a"), dir.path().join("b")).unwrap();

        let failures = files.open(&settings(&path)).unwrap_err();
        assert_eq!((failures.len(), failures[0].status()), (1, Status::NotExist));
        assert!(failures[0].to_string().starts_with("Can't open logfile '"), "{}", failures[0]);
        write(&mut files, "2\n");

        let elsewhere = dir.path().join("none/log");
        assert_eq!(files.open(&settings(&elsewhere)).unwrap_err()[0].status(), Status::NotExist);
        write(&mut files, "3\n");

        fs::create_dir_all(&path).unwrap();
        assert_eq!(files.open(&settings(&path)).unwrap_err()[0].status(), Status::Library);
        write(&mut files, "4\n");

        let old = dir.path().join("b/log");
        assert_eq!(fs::read_to_string(&old).unwrap(), "1\n2\n3\n4\n");
        fs::remove_dir(&path).unwrap();
        files.open(&settings(&path)).unwrap();
        write(&mut files, "5\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "5\n");
        assert_eq!(fs::read_to_string(&old).unwrap(), "1\n2\n3\n4\n");
    }

    /// Of the new files of two subsystems one cannot be opened: the other one is used.
    #[test]
    fn a_file_that_fails_does_not_affect_another() {
        let dir = tempfile::tempdir().unwrap();
        let name = Subsystem::ALL[1].name();
        let mut wanted = settings(&dir.path().join("main"));
        let mut target = wanted.main.clone();
        target.logfile = Some(dir.path().join("none/own"));
        wanted.subsystems.insert(name.to_owned(), target.clone());
        let mut files = Files::default();
        assert_eq!(files.open(&wanted).unwrap_err().len(), 1);
        assert!(files.has(Subsystem::ALL[0]) && !files.has(Subsystem::ALL[1]));
        target.logfile = Some(dir.path().join("own"));
        wanted.subsystems.insert(name.to_owned(), target);
        files.open(&wanted).unwrap();
        assert!(files.has(Subsystem::ALL[0]) && files.has(Subsystem::ALL[1]));
        wanted.main.to_logfile = false;
        files.open(&wanted).unwrap();
        assert!(!files.has(Subsystem::ALL[0]) && files.has(Subsystem::ALL[1]));
    }

    #[test]
    fn trying_a_file_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let none = Logging::default();
        try_out(&settings(&path), &none).unwrap();
        assert!(!path.exists());
        fs::write(&path, "kept").unwrap();
        try_out(&settings(&path), &none).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
        let below = settings(&path.join("below"));
        let error = try_out(&below, &none).unwrap_err();
        assert_eq!((error.status(), error.errno), (Status::Library, 20));
        // A file in use is not tried.
        try_out(&below, &below).unwrap();
    }

    /// `/dev/full` refuses every write, as a full disk does.
    #[test]
    fn lines_lost_on_a_full_disk_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut files = Files::default();
        files.open(&settings(&path)).unwrap();
        let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
        let place = files.open.get_mut(&path).unwrap();
        let good = std::mem::replace(&mut place.file, full());
        write(&mut files, "1\n");
        write(&mut files, "2\n");
        files.open.get_mut(&path).unwrap().file = good;
        write(&mut files, "3\n");
        write(&mut files, "4\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "2 lost\n3\n4\n");
    }
}
