//! The command-line tools with a daemon that runs, that is stopped (SIGSTOP), and that is not quorate.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::child::{Daemon, PATIENCE, Site};

pub(crate) const ANNULUS: &str = env!("CARGO_BIN_EXE_annulus");
const QUORUM_TOOL: &str = env!("CARGO_BIN_EXE_quorum-tool");

/// Runs a tool to its end, within [`PATIENCE`]; returns exit status, standard output and standard error.
pub(crate) fn run(program: impl AsRef<Path>, instance: &str, args: &[&str]) -> (i32, String, String) {
    let mut child = Command::new(program.as_ref())
        .args(args)
        .env("ANNULUS_INSTANCE", instance)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{args:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Keeps the daemon stopped (SIGSTOP) until dropped.
struct Stopped<'a>(&'a Daemon);

impl<'a> Stopped<'a> {
    fn new(daemon: &'a Daemon) -> Self {
        daemon.signal(Signal::STOP);
        let status = || std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        crate::child::wait_until("the stop", || status().contains("State:\tT"), status);
        Self(daemon)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}

#[test]
fn a_developers_node_has_a_quorum() {
    let site = Site::new();
    let daemon = site.start(&["--dev"]);
    let (status, out, err) = run(QUORUM_TOOL, &site.instance, &[]);
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("Quorate:          Yes") && out.contains("corosync_votequorum"), "{out}");
    let (status, out, err) = run(ANNULUS, &site.instance, &["status"]);
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("Quorum yes: 1 of 1 votes"), "{out}");
    assert!(out.contains("Offload several datagrams at a time: sending yes, receiving "), "{out}");
    let (status, out, err) = run(ANNULUS, &site.instance, &["health"]);
    assert_eq!((status, err.as_str(), out.lines().count()), (0, "", 1), "{out}");
    assert!(out.starts_with("well: node 1 in ring 1."), "{out}");
    assert_eq!(daemon.end(Signal::TERM).0, Some(0));
}

#[test]
fn health_exits_with_2_without_quorum() {
    let site = Site::new();
    // The file expects more votes than the single node has.
    let conf = site.configure("quorum {\n provider: corosync_votequorum\n expected_votes: 5\n}");
    let daemon = site.start(&["-f", "-c", &conf]);
    let (health, out, err) = run(ANNULUS, &site.instance, &["health"]);
    assert_eq!((health, err.as_str()), (2, ""), "{out}");
    assert!(out.starts_with("not quorate: node ") && out.contains("1 of 5 votes, 3 needed"), "{out}");
    let (health, out, _) = run(ANNULUS, &site.instance, &["health", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (health, &json["health"], &json["quorate"]),
        (2, &"not quorate".into(), &false.into()),
        "{json}"
    );
    assert_eq!(daemon.end(Signal::TERM).0, Some(0));
}

/// Every command ends when its time is up, says which daemon does not answer and why, and prints no partial answer.
#[test]
fn no_tool_waits_for_ever_beside_a_stopped_daemon() {
    let site = Site::new();
    let daemon = site.start(&["--dev"]);
    let stopped = Stopped::new(&daemon);
    let start = Instant::now();
    let (status, out, err) = run(ANNULUS, &site.instance, &["status"]);
    assert_eq!((status, out.as_str()), (1, ""), "{err}");
    assert!(start.elapsed() >= Duration::from_secs(4), "the default is 5 s");
    let why = format!("annulusd (process {}) did not answer within 5 s: it is stopped", daemon.pid());
    assert!(err.starts_with("annulus: ") && err.contains(&why), "{err}");
    for (program, args) in [
        (ANNULUS, &["status"][..]),
        (ANNULUS, &["health"]),
        (ANNULUS, &["ring"]),
        (ANNULUS, &["groups"]),
        (ANNULUS, &["quorum"]),
        (ANNULUS, &["quorum", "-m"]),
        (ANNULUS, &["confdb", "list"]),
        (ANNULUS, &["confdb", "get", "totem.version"]),
        (ANNULUS, &["confdb", "set", "my.key", "u8", "1"]),
        (ANNULUS, &["confdb", "delete", "my.key"]),
        (ANNULUS, &["confdb", "watch"]),
        (ANNULUS, &["reload"]),
        (ANNULUS, &["reopen-logs"]),
        (ANNULUS, &["shutdown"]),
        (ANNULUS, &["kill", "1"]),
        (QUORUM_TOOL, &[]),
        (QUORUM_TOOL, &["-l"]),
        (QUORUM_TOOL, &["-m"]),
        (QUORUM_TOOL, &["-e", "1"]),
        (QUORUM_TOOL, &["-v", "1"]),
        (QUORUM_TOOL, &["-f"]),
    ] {
        let (status, out, err) = run(program, &site.instance, &[args, &["--timeout", "0.2"]].concat());
        let said = if args == ["health"] { &out } else { &err };
        assert_eq!(status, 1, "{args:?}: {out}{err}");
        assert!(said.contains("did not answer within 0.2 s: it is stopped"), "{args:?}: {out}{err}");
        let (status, out, err) =
            run(program, &site.instance, &[args, &["--timeout", "0.2", "--json"]].concat());
        assert_eq!((status, err.as_str()), (1, ""), "{args:?}");
        let json: serde_json::Value =
            serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?} {error}: {out}"));
        assert_eq!(json["error"]["kind"], "unreachable", "{args:?}: {json}");
    }
    drop(stopped);
    let (status, _, err) = run(ANNULUS, &site.instance, &["status", "--timeout", "60"]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(daemon.end(Signal::TERM).0, Some(0));
}
