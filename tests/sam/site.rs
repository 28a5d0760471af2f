//! A test's directory: the output of subjects, their changes of keys, and the quorum that the test gives and takes.

use std::fs;
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::paper;

/// Time limit of any operation on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The directory of a test, with the state of quorum.
pub(crate) struct Site {
    dir: tempfile::TempDir,
    quorum: Arc<Mutex<Quorum>>,
}

#[derive(Default)]
struct Quorum {
    quorate: bool,
    watches: Vec<UnixStream>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("keys")).unwrap();
        let quorum: Arc<Mutex<Quorum>> = Arc::default();
        let listener = UnixListener::bind(dir.path().join("quorum")).unwrap();
        let (known, down) = (Arc::clone(&quorum), dir.path().join("down"));
        std::thread::spawn(move || {
            for watch in listener.incoming() {
                let (mut watch, mut known) = (watch.unwrap(), known.lock().unwrap());
                if !down.exists() && watch.write_all(if known.quorate { b"1" } else { b"0" }).is_ok() {
                    known.watches.push(watch);
                }
            }
        });
        Self { dir, quorum }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn set_quorate(&self, quorate: bool) {
        let mut quorum = self.quorum.lock().unwrap();
        quorum.quorate = quorate;
        quorum.watches.retain_mut(|watch| watch.write_all(if quorate { b"1" } else { b"0" }).is_ok());
    }

    /// Takes the daemon down: keys are refused, and quorum watches hang up.
    pub(crate) fn take_down(&self) {
        fs::write(self.path().join("down"), "").unwrap();
        self.quorum.lock().unwrap().watches.clear();
    }

    /// Starts a process of this program in the given role.
    pub(crate) fn start(&self, role: &str, scenario: &str) -> Running {
        // A shell that runs these tests in the background ignores SIGINT, which programs would inherit.
        let child = Command::new("env")
            .arg("--default-signal=INT")
            .arg(std::env::current_exe().unwrap())
            .args(["role", role, scenario])
            .env("SAM_DIR", self.path())
            .process_group(0)
            .spawn()
            .unwrap();
        Running { child }
    }

    /// The lines that subjects wrote, in order.
    pub(crate) fn said(&self) -> Vec<String> {
        lines(&self.path().join("said"))
    }

    /// The changes of the keys, in order.
    pub(crate) fn changes(&self) -> Vec<String> {
        lines(&self.path().join("changes"))
    }

    /// The last parts of the names of existing keys.
    pub(crate) fn keys(&self) -> Vec<String> {
        paper::keys(self.path()).iter().map(|key| paper::word(key).to_owned()).collect()
    }

    pub(crate) fn wait_until_said(&self, line: &str) {
        wait(|| self.said().iter().any(|said| said == line), || format!("no {line:?} in {:?}", self.said()));
    }

    pub(crate) fn wait_until_changed(&self, line: &str) {
        wait(
            || self.changes().iter().any(|change| change == line),
            || format!("no {line:?} in {:?}", self.changes()),
        );
    }
}

/// Waits until `is_so` returns true; fails with the text of `otherwise` after [`PATIENCE`].
pub(crate) fn wait(is_so: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{}", otherwise());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The complete lines of a file.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
}

/// A supervisor. When this is dropped, it is ended with all processes that it started.
pub(crate) struct Running {
    child: Child,
}

impl Running {
    pub(crate) fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.id(), signal).unwrap();
    }

    /// The exit status, if the supervisor has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(Instant::now() < end, "the supervisor does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill_process_group(self.id(), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// An exit status in the words of the transcripts.
pub(crate) fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, signal) => format!("signal {}", signal.unwrap()),
    }
}
