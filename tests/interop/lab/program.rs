//! Programs in a host, run to their end or in the background.

use super::{Lab, kill, only_child, wait_until};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How a program ended and what it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Exit code; a negative number is the signal that ended it.
    pub(crate) code: i32,
    /// What it wrote to standard output.
    pub(crate) out: String,
    /// What it wrote to standard error.
    pub(crate) err: String,
}

impl Said {
    fn new(status: ExitStatus, out: &[u8], err: &[u8]) -> Self {
        Self {
            code: status.code().or_else(|| status.signal().map(|signal| -signal)).expect("it ended"),
            out: String::from_utf8_lossy(out).into_owned(),
            err: String::from_utf8_lossy(err).into_owned(),
        }
    }

    /// Output, errors and exit code as one text.
    pub(crate) fn text(&self) -> String {
        format!("exit code {}\n--- stdout\n{}--- stderr\n{}", self.code, self.out, self.err)
    }
}

impl Lab {
    /// Runs a line of shell inside host `k`, for at most a minute, with an empty standard input.
    pub(crate) fn say(&self, k: usize, line: &str) -> Said {
        let output = self
            .command(k, "timeout")
            .args(["-k", "5", "60", "sh", "-c", line])
            .stdin(Stdio::null())
            .output()
            .expect("nsenter starts");
        Said::new(output.status, &output.stdout, &output.stderr)
    }

    /// Runs a line of shell that must succeed, and returns its output.
    pub(crate) fn must(&self, k: usize, line: &str) -> String {
        let said = self.say(k, line);
        assert_eq!(said.code, 0, "host {k}: {line}: {}", said.text());
        said.out
    }

    /// Runs a line of shell until `pleases` accepts its result, and returns that.
    pub(crate) fn until(
        &self,
        k: usize,
        line: &str,
        patience: Duration,
        mut pleases: impl FnMut(&Said) -> bool,
    ) -> Said {
        let mut last = None;
        let outcome = wait_until(patience, || {
            let said = self.say(k, line);
            let done = pleases(&said);
            last = Some(said);
            if !done {
                std::thread::sleep(Duration::from_millis(100));
            }
            done
        });
        let last = last.expect("asked at least once");
        assert!(
            outcome.is_ok(),
            "host {k}: {line}: not what was waited for within {patience:?}: {}\n{}",
            last.text(),
            self.log_tail(k)
        );
        last
    }

    /// Starts a program inside host `k`. Its standard input stays open until the result is dropped.
    pub(crate) fn spawn(&self, k: usize, words: &[&str]) -> Program {
        let mut child = self
            .command(k, words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nsenter starts");
        let (out, reads_out) = gather(child.stdout.take().expect("piped"));
        let (err, reads_err) = gather(child.stderr.take().expect("piped"));
        let stdin = child.stdin.take();
        let name = format!("{} on host {k}", words.join(" "));
        Program { name, child, stdin, out, err, readers: vec![reads_out, reads_err] }
    }
}

type Text = Arc<Mutex<Vec<u8>>>;

fn gather(mut pipe: impl Read + Send + 'static) -> (Text, JoinHandle<()>) {
    let text = Text::default();
    let filled = Arc::clone(&text);
    let thread = std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut piece) {
            let mut all = filled.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend_from_slice(&piece[..length]);
        }
    });
    (text, thread)
}

/// A program that runs in a host.
pub(crate) struct Program {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    out: Text,
    err: Text,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    /// What it has written to standard output so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&self.out.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// What it has written to standard error so far.
    pub(crate) fn errors(&self) -> String {
        String::from_utf8_lossy(&self.err.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// What it has written so far, standard output first.
    pub(crate) fn all(&self) -> String {
        self.output() + &self.errors()
    }

    /// Waits until `pleases` accepts what it has written, standard output first.
    pub(crate) fn wait_for(&self, what: &str, patience: Duration, pleases: impl Fn(&str) -> bool) {
        assert!(
            wait_until(patience, || pleases(&self.all())).is_ok(),
            "{}: no {what} within {patience:?}; it said\n{}",
            self.name,
            self.all()
        );
    }

    /// Writes to its standard input.
    pub(crate) fn tell(&mut self, text: &str) {
        if let Some(stdin) = &mut self.stdin {
            // The program may have ended already; its exit status is checked elsewhere.
            let _ = stdin.write_all(text.as_bytes());
        }
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("wait works").is_none()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&mut self, signal: Signal) {
        // Once it has been waited for, its process id may belong to another process.
        if self.runs()
            && let Some(pid) = only_child(self.child.id())
        {
            kill(pid, signal);
        }
    }

    /// Waits until it ends; returns how it ended and everything it wrote.
    pub(crate) fn finish(&mut self, patience: Duration) -> Said {
        let ended = wait_until(patience, || !self.runs());
        assert!(
            ended.is_ok(),
            "{} did not end within {patience:?}; it said\n{}{}",
            self.name,
            self.output(),
            self.errors()
        );
        // A child of the program may keep the pipes open after the program has ended.
        let _ = wait_until(Duration::from_secs(2), || self.readers.iter().all(JoinHandle::is_finished));
        let status = self.child.wait().expect("wait works");
        Said::new(status, self.output().as_bytes(), self.errors().as_bytes())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.stdin.take());
        self.signal(Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
