//! Supervisors and workers: the scenarios of `tests/interop/sam.c` with this crate, and some more.
//!
//! Roles: `fork` registers and continues as the worker; `program` supervises this program in the role `worker`, and
//! ends with its status; `any` supervises it in the role `plain`, as a program that knows nothing of supervision.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio, exit};
use std::time::Duration;

use annulus::sam::{Daemon, Policy, Supervisor, Worker, register, register_at};
use tokio::signal::unix::{SignalKind, signal};

use crate::paper::{Paper, mouth};

/// The health check interval, as in `sam.c`.
pub(crate) const INTERVAL: Duration = Duration::from_secs(3);

/// Plays a role and ends the process, or returns its status.
pub(crate) fn play(role: &str, scenario: &str) -> ExitCode {
    let policy = policy(scenario);
    match role {
        "fork" => {
            let worker = match directory() {
                Some(dir) => register_at(&policy, Paper(dir)),
                None => register(&policy),
            };
            work(worker.unwrap_or_else(|error| fail(&error)), scenario)
        }
        "worker" if scenario == "grandchild" => {
            leave_a_child();
            work(Worker::inherited().unwrap_or_else(|error| fail(&error)), scenario)
        }
        "worker" => work(Worker::inherited().unwrap_or_else(|error| fail(&error)), scenario),
        "plain" => plain(scenario),
        "program" | "any" => supervise(role, policy, scenario),
        other => panic!("no role {other}"),
    }
}

/// The directory of the test; without one, the real daemon is used.
fn directory() -> Option<PathBuf> {
    std::env::var_os("SAM_DIR").map(PathBuf::from)
}

fn fail(error: &dyn std::fmt::Display) -> ! {
    eprintln!("{error}");
    exit(97)
}

fn policy(scenario: &str) -> Policy {
    let restart = Policy::restart();
    match scenario {
        "restart" | "unstarted" | "marked" | "grandchild" => restart.in_registry(),
        "hang" | "finalized" => restart.in_registry().interval(INTERVAL),
        "quit" | "quit_by_signal" => Policy::quit().in_registry(),
        "callback" => restart.interval(INTERVAL),
        "quorum" => restart.in_registry().interval(INTERVAL).needs_quorum(),
        "quorum_quit" => Policy::quit().in_registry().needs_quorum(),
        "obstinate" => restart.in_registry().needs_quorum().grace(Duration::from_secs(1)),
        "often" => restart.in_registry().at_most(2, Duration::from_secs(600)),
        "forever" | "deaf" => restart.in_registry().grace(Duration::from_secs(1)),
        "plain_crash" | "plain_end" => restart.in_registry().data("ignored"),
        other => panic!("no scenario {other}"),
    }
}

fn supervise(role: &str, policy: Policy, scenario: &str) -> ExitCode {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["role", if role == "any" { "plain" } else { "worker" }, scenario]);
    let supervisor =
        if role == "any" { Supervisor::of_any(policy, command) } else { Supervisor::new(policy, command) };
    let desks = directory();
    let supervisor = supervisor.unwrap();
    let supervisor = match desks {
        Some(dir) => supervisor.at(Paper(dir)),
        None => supervisor.at(Daemon::default()),
    };
    match supervisor.run() {
        Ok(outcome) => exit(outcome.exit.code()),
        Err(error) => fail(&error),
    }
}

/// What a worker needs to play a scenario: its supervision, its output and a runtime.
struct Life {
    worker: Worker,
    mouth: File,
    /// Created after the fork.
    runtime: tokio::runtime::Runtime,
}

impl Life {
    fn say(&self, line: &str) {
        (&self.mouth).write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Writes a line when SIGTERM comes, instead of ending; works while the runtime runs.
    fn notice_warnings(&self) {
        let mouth = self.mouth.try_clone().unwrap();
        let _inside = self.runtime.enter();
        let mut warnings = signal(SignalKind::terminate()).unwrap();
        self.runtime.spawn(async move {
            while warnings.recv().await.is_some() {
                (&mouth).write_all(b"warned by SIGTERM\n").unwrap();
            }
        });
    }

    fn sleep_on(&self) -> ! {
        self.runtime.block_on(std::future::pending())
    }

    fn sleep(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }
}

fn work(worker: Worker, scenario: &str) -> ! {
    let dir = directory().unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let life = Life { worker, mouth: mouth(&dir), runtime };
    let (worker, instance) = (&life.worker, life.worker.instance());
    life.say(&format!("instance {instance}"));
    match scenario {
        "restart" => restart(&life),
        "hang" => hang(&life),
        "unstarted" => exit(6),
        "finalized" => finalized(life),
        "callback" => callback(&life),
        "quit" => start(&life, || exit(4)),
        "quit_by_signal" => start(&life, || kill_self()),
        "marked" => {
            life.notice_warnings();
            start(&life, || {
                worker.mark_failed().unwrap();
                life.sleep_on()
            })
        }
        "quorum" => {
            life.notice_warnings();
            start(&life, || {
                life.say("quorate");
                if instance == 2 {
                    worker.stop().unwrap();
                    exit(0);
                }
                life.sleep_on()
            })
        }
        "quorum_quit" => start(&life, || {
            life.say("quorate");
            life.sleep_on()
        }),
        "obstinate" => {
            life.notice_warnings();
            start(&life, || {
                life.say("quorate");
                loop {
                    let _ = worker.heartbeat();
                    life.sleep(Duration::from_millis(100));
                }
            })
        }
        "often" => start(&life, || exit(3)),
        "forever" => start(&life, || {
            life.say("started");
            life.sleep_on()
        }),
        "deaf" => {
            life.notice_warnings();
            start(&life, || {
                life.say("started");
                life.sleep_on()
            })
        }
        "grandchild" => grandchild(&life),
        other => panic!("no work {other}"),
    }
}

fn start(life: &Life, then: impl FnOnce() -> std::convert::Infallible) -> ! {
    life.worker.start().unwrap();
    match then() {}
}

/// Dies and leaves behind a child that holds the connection to the supervisor; see [`play`].
fn grandchild(life: &Life) -> ! {
    life.worker.start().unwrap();
    if life.worker.instance() == 2 {
        life.worker.stop().unwrap();
        exit(0);
    }
    kill_self()
}

/// Starts a process that inherits the connection, as the worker has not yet taken it over.
#[allow(clippy::zombie_processes, reason = "is to outlive this process")]
fn leave_a_child() {
    let mut child = Command::new("sleep");
    child.arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    child.spawn().unwrap();
}

fn kill_self() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    exit(96)
}

/// Two crashes with data kept over each, then a clean end.
fn restart(life: &Life) -> ! {
    let (worker, instance) = (&life.worker, life.worker.instance());
    let data = worker.data();
    let text = std::str::from_utf8(&data).unwrap();
    life.say(&format!("restored {} bytes: {}", data.len(), text.trim_end_matches('\0')));
    worker.store(format!("from {instance}\0")).unwrap();
    worker.start().unwrap();
    worker.heartbeat().unwrap();
    match instance {
        1 => kill_self(),
        2 => exit(3),
        _ => {}
    }
    worker.stop().unwrap();
    worker.store("").unwrap();
    life.say(&format!("left {} bytes", worker.data().len()));
    exit(5)
}

/// No health checks: first the warning, then the kill. The next instance has another warning signal, and ends at it.
fn hang(life: &Life) -> ! {
    let (worker, instance) = (&life.worker, life.worker.instance());
    life.notice_warnings();
    if instance == 2 {
        worker.warn_with(SignalKind::user_defined1().as_raw_value()).unwrap();
    }
    worker.start().unwrap();
    if instance < 3 {
        life.sleep_on();
    }
    worker.stop().unwrap();
    life.sleep(INTERVAL + INTERVAL / 4);
    life.say("stopped and alive");
    exit(0)
}

fn finalized(life: Life) -> ! {
    life.worker.start().unwrap();
    life.worker.finish().unwrap();
    std::thread::sleep(INTERVAL + INTERVAL / 4);
    (&life.mouth).write_all(b"finalized and alive\n").unwrap();
    exit(8)
}

/// Healthy twice, unhealthy the third time; then warned and killed.
fn callback(life: &Life) -> ! {
    life.notice_warnings();
    if life.worker.instance() == 2 {
        exit(9);
    }
    let (mouth, mut called) = (life.mouth.try_clone().unwrap(), 0);
    let well = move || {
        called += 1;
        (&mouth).write_all(format!("health check {called}\n").as_bytes()).unwrap();
        called < 3
    };
    life.worker.check_health(well).unwrap();
    start(life, || life.sleep_on())
}

/// A program that knows nothing of supervision; a file in the directory counts its runs.
fn plain(scenario: &str) -> ExitCode {
    let dir = directory().unwrap();
    writeln!(mouth(&dir), "runs").unwrap();
    let runs = std::fs::read_to_string(Path::new(&dir).join("said")).unwrap().lines().count();
    ExitCode::from(if scenario == "plain_crash" && runs < 3 { 1 } else { 0 })
}
