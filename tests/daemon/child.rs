//! A daemon as a child process, with directories of its own.

use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::loopback;

/// Time limit of any operation on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A directory with all files of one daemon, and an instance name that no other daemon has.
pub(crate) struct Site {
    dir: tempfile::TempDir,
    pub(crate) instance: String,
    pub(crate) port: u16,
}

impl Site {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (pid, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("run")).unwrap();
        fs::create_dir(dir.path().join("state")).unwrap();
        Self { dir, instance: format!("t{pid}-{number}"), port: loopback::port() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command that runs the program as the current user, with the site's directories.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_annulusd")), words)
    }

    /// A command that runs a copy of the program in the site's directory.
    pub(crate) fn command_of_copy(&self, words: &[&str]) -> Command {
        let copy = self.path("annulusd");
        // Another process makes the copy: a child that another test starts meanwhile would inherit a file that this
        // process writes, and a file that is open for writing cannot be executed.
        let install = Command::new("install")
            .args(["-m", "755", env!("CARGO_BIN_EXE_annulusd")])
            .arg(&copy)
            .status()
            .unwrap();
        assert!(install.success(), "{install}");
        self.command_of(&copy, words)
    }

    fn command_of(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(["--instance", &self.instance])
            .args(words)
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null());
        command
    }

    /// The lock file of the daemon of this user.
    pub(crate) fn lock_file(&self) -> PathBuf {
        let name = format!("annulusd-{}.pid", self.instance);
        if rustix::process::geteuid().is_root() {
            Path::new("/run").join(name)
        } else {
            self.path("run/annulus").join(name)
        }
    }

    /// Writes a configuration of one node on loopback, with `more` sections, and returns its path.
    pub(crate) fn configure(&self, more: &str) -> String {
        let path = self.path("corosync.conf");
        let text = format!(
            "totem {{\n version: 2\n transport: udpu\n cluster_name: test\n interface {{\n  mcastport: {}\n }}\n}}\n\
             nodelist {{\n node {{\n  nodeid: 5\n  ring0_addr: 127.0.0.1\n }}\n}}\nsystem {{\n sched_rr: no\n}}\n{more}",
            self.port
        );
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Runs the program to its end; returns exit status, standard output and standard error.
    pub(crate) fn run(&self, words: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(words).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    /// Starts the program and waits until clients can connect.
    pub(crate) fn start(&self, words: &[&str]) -> Daemon {
        self.start_until(words, "ready to provide service")
    }

    /// Starts the program and waits until its log contains `line`.
    pub(crate) fn start_until(&self, words: &[&str], line: &str) -> Daemon {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let stderr = self.path(&format!("stderr-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let (out, err) = (fs::File::create(self.path("stdout")).unwrap(), fs::File::create(&stderr).unwrap());
        let child = self.command(words).stdout(out).stderr(err).spawn().unwrap();
        let daemon = Daemon { child, stderr };
        daemon.wait_for(line);
        daemon
    }

    /// Standard output of the program that was started last.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.path("stdout")).unwrap()
    }
}

/// A running daemon, which is killed when it is dropped.
pub(crate) struct Daemon {
    child: Child,
    stderr: PathBuf,
}

impl Daemon {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    /// Waits until the log contains `text`.
    pub(crate) fn wait_for(&self, text: &str) {
        wait_until(text, || self.log().contains(text), || self.log());
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends a signal to end the daemon; returns its exit status and log.
    pub(crate) fn end(self, signal: Signal) -> (Option<i32>, String) {
        self.signal(signal);
        self.wait()
    }

    /// Waits for the end of the daemon; returns its exit status and log.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let mut status = None;
        let (child, stderr) = (&mut self.child, &self.stderr);
        let ended = || {
            status = child.try_wait().unwrap();
            status.is_some()
        };
        wait_until("the end", ended, || fs::read_to_string(stderr).unwrap());
        (status.unwrap().code(), self.log())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool, log: impl Fn() -> String) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}\n{}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Makes a child run as the user nobody, if the test itself runs as root.
pub(crate) fn as_nobody(command: &mut Command) -> &mut Command {
    command.uid(65_534).gid(65_534)
}

/// Whether a process has ended. Its parent may leave it a zombie for ever, as the first process of a container does.
pub(crate) fn has_ended(pid: Pid) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // The file reads `PID (name) state ...`, where the name may contain any character.
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['Z', 'X']))
}

/// Reads a pipe until its end.
pub(crate) fn read_all(mut from: impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}
