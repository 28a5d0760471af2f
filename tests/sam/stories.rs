//! Behaviour that libsam does not have, or has in another form.

use std::process::Command;

use annulus::error::Status;
use annulus::sam::{Error, Exit, MAX_DATA, Policy, Supervisor, Worker, register};
use rustix::process::{Pid, Signal, test_kill_process};

use crate::paper::Paper;
use crate::runner::Test;
use crate::site::{Site, ended, wait};

pub(crate) const TESTS: &[Test] = &[
    ("a_process_with_threads_is_not_forked", threads),
    ("a_program_without_a_supervisor_gets_an_error", unsupervised),
    ("a_program_that_cannot_be_started_leaves_no_keys", no_such_program),
    ("a_policy_that_needs_the_daemon_fails_to_start_without_it", no_daemon),
    ("too_much_data_is_refused_at_the_start", too_much_data),
    ("a_supervisor_told_to_end_ends_its_worker_and_keys", told_to_end),
    ("a_worker_that_will_not_end_is_killed", deaf),
    ("a_worker_does_not_outlive_its_supervisor", orphan),
    ("a_handle_ends_supervision_from_another_thread", handle),
    ("any_program_is_started_again_until_it_succeeds", any_program),
    ("a_worker_that_stays_healthy_without_quorum_is_killed", obstinate),
    ("a_worker_that_fails_too_often_has_failed", often),
    ("a_worker_stays_supervised_while_the_daemon_is_down", daemon_dies),
    ("the_end_of_a_worker_is_noticed_while_its_children_live", grandchild),
];

const ROLES: [&str; 2] = ["fork", "program"];

fn threads() {
    let error = register(&Policy::restart()).unwrap_err();
    assert!(matches!(error, Error::Threads { count: 2.. }), "{error}");
    assert_eq!(error.status(), Status::Library);
}

fn unsupervised() {
    let error = Worker::inherited().unwrap_err();
    assert!(matches!(error, Error::NotSupervised(_)), "{error}");
    assert_eq!(error.status(), Status::BadHandle);
    // The number of a descriptor of another kind is refused too: here, the tests' own standard error.
    for wrong in ["2", "-1", "x", "4000000000", "1000"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["role", "worker", "quit"])
            .env("ANNULUS_SAM_FD", wrong)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(97), "{wrong}: {text}");
        assert!(text.contains("not started by a supervisor"), "{wrong}: {text}");
    }
}

fn no_such_program() {
    let site = Site::new();
    let supervisor = Supervisor::new(Policy::restart().in_registry(), Command::new("/nonexistent/program"));
    let error = supervisor.unwrap().at(Paper(site.path().into())).run().unwrap_err();
    assert!(matches!(error, Error::Launch { .. }), "{error}");
    assert!(error.to_string().contains("/nonexistent/program"), "{error}");
    assert_eq!(site.keys(), [""; 0]);
}

fn no_daemon() {
    let site = Site::new();
    site.take_down();
    let supervisor = Supervisor::new(Policy::restart().in_registry(), Command::new("true"));
    let error = supervisor.unwrap().at(Paper(site.path().into())).run().unwrap_err();
    assert!(matches!(error, Error::Desk(_)), "{error}");
    let mut forking = site.start("fork", "quit");
    assert_eq!(ended(forking.wait()), "status 97");
}

fn too_much_data() {
    let policy = Policy::restart().data(vec![0; MAX_DATA + 1]);
    let error = Supervisor::new(policy, Command::new("true")).unwrap().run().unwrap_err();
    assert!(matches!(error, Error::TooLong { .. }), "{error}");
}

/// The effect of a `handle`, caused by a signal to a supervisor that is a process of its own.
fn told_to_end() {
    let site = Site::new();
    let mut supervisor = site.start("fork", "forever");
    site.wait_until_said("started");
    site.wait_until_changed("state (str) = running");
    supervisor.signal(Signal::TERM);
    assert_eq!(ended(supervisor.wait()), format!("status {}", 128 + libc::SIGTERM));
    assert_eq!(site.keys(), [""; 0]);
    assert_eq!(site.said(), ["instance 1", "started"]);
}

fn deaf() {
    let site = Site::new();
    let mut supervisor = site.start("fork", "deaf");
    site.wait_until_said("started");
    supervisor.signal(Signal::INT);
    assert_eq!(ended(supervisor.wait()), format!("status {}", 128 + libc::SIGKILL));
    assert_eq!(site.said(), ["instance 1", "started", "warned by SIGTERM"]);
    assert_eq!(site.keys(), [""; 0]);
}

/// The only child of a process.
fn child_of(pid: Pid) -> Pid {
    let pid = pid.as_raw_nonzero();
    let mut children = String::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        children += &std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
    }
    Pid::from_raw(children.trim().parse().unwrap_or_else(|_| panic!("children: {children:?}"))).unwrap()
}

fn is_gone(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    test_kill_process(pid).is_err() || stat.contains(") Z ")
}

fn orphan() {
    for role in ROLES {
        let site = Site::new();
        let supervisor = site.start(role, "forever");
        site.wait_until_said("started");
        let worker = child_of(supervisor.id());
        assert!(!is_gone(worker));
        supervisor.signal(Signal::KILL);
        wait(|| is_gone(worker), || format!("{role}: the worker lives"));
    }
}

fn handle() {
    let site = Site::new();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["role", "worker", "forever"]).env("SAM_DIR", site.path());
    let supervisor = Supervisor::new(Policy::restart().in_registry(), command).unwrap();
    let supervisor = supervisor.at(Paper(site.path().into()));
    let handle = supervisor.handle();
    let running = std::thread::spawn(move || supervisor.run());
    site.wait_until_said("started");
    handle.stop();
    let outcome = running.join().unwrap().unwrap();
    assert_eq!(outcome.exit, Exit::Signal(libc::SIGTERM));
    assert_eq!((outcome.instances, outcome.failed), (1, false));
    assert_eq!(site.keys(), [""; 0]);
}

fn any_program() {
    for (scenario, runs) in [("plain_crash", 3), ("plain_end", 1)] {
        let site = Site::new();
        assert_eq!(ended(site.start("any", scenario).wait()), "status 0");
        assert_eq!(site.said().len(), runs, "{scenario}");
        assert!(site.changes().contains(&"state (str) = running".to_owned()));
        assert_eq!(site.keys(), [""; 0]);
    }
}

/// libsam would let such a worker go on for ever.
fn obstinate() {
    for role in ROLES {
        let site = Site::new();
        let mut supervisor = site.start(role, "obstinate");
        site.wait_until_changed("state (str) = waiting for quorum");
        site.set_quorate(true);
        site.wait_until_said("quorate");
        site.set_quorate(false);
        site.wait_until_said("warned by SIGTERM");
        site.wait_until_said("instance 2");
        assert!(supervisor.ended().is_none());
    }
}

fn often() {
    for role in ROLES {
        let site = Site::new();
        assert_eq!(ended(site.start(role, "often").wait()), "status 3");
        assert_eq!(site.said(), ["instance 1", "instance 2", "instance 3"], "{role}");
        assert_eq!(site.changes().last().unwrap(), "state (str) = failed");
    }
}

/// The end of the daemon counts as loss of quorum, and the keys are written again when the daemon is back.
fn daemon_dies() {
    for role in ROLES {
        let site = Site::new();
        let mut supervisor = site.start(role, "obstinate");
        site.wait_until_changed("state (str) = waiting for quorum");
        site.set_quorate(true);
        site.wait_until_said("quorate");
        site.take_down();
        site.wait_until_said("warned by SIGTERM");
        site.wait_until_said("instance 2");
        assert!(supervisor.ended().is_none(), "{role}");
        let before = site.said().iter().filter(|line| *line == "quorate").count();
        assert_eq!(before, 1, "{role}: started without quorum");
        std::fs::remove_file(site.path().join("down")).unwrap();
        wait(
            || site.said().iter().filter(|line| *line == "quorate").count() == 2,
            || format!("{role}: {:?} {:?}", site.said(), site.changes()),
        );
    }
}

/// The connection of the worker stays open while its children live, but the end of the process must be noticed.
fn grandchild() {
    let site = Site::new();
    let mut supervisor = site.start("program", "grandchild");
    assert_eq!(ended(supervisor.wait()), "status 0", "{:?}", site.said());
    assert_eq!(site.said(), ["instance 1", "instance 2"]);
}
