//! libqb's client with this project's server, and this project's client with libqb's server.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use annulus::ids::ServiceId;
use annulus::ipc::wire::ResponseHeader;
use annulus::ipc::{Admission, Connection, Credentials, Flow, FlowLimit, IpcError, Refusal};

use crate::echo::{BURST, COUNT, ECHO, Echo, POST, TICK, alone, burst, request, unique, wait_until};
use crate::own::{echo_of_random_sizes, flood_of_posts, next_event};

/// The compiled C programs, or `None` if this machine cannot compile them.
fn programs() -> Option<&'static (PathBuf, PathBuf)> {
    static BUILT: OnceLock<Option<(PathBuf, PathBuf)>> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let built = build("client").and_then(|client| Ok((client, build("server")?)));
            let must = std::env::var("CI").is_ok_and(|ci| ci == "true");
            built
                .inspect_err(|why| {
                    assert!(!must, "{why}");
                    println!("skipped: {why}");
                })
                .ok()
        })
        .as_ref()
}

fn build(program: &str) -> Result<PathBuf, String> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/ipc/{program}.c"));
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("ipc-{program}"));
    let built =
        Command::new("gcc").args(["-O1", "-Wall", "-o"]).arg(&target).arg(&source).arg("-lqb").output();
    match built {
        Ok(output) if output.status.success() => Ok(target),
        Ok(output) => Err(format!("gcc with libqb-dev fails: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("no C compiler: {error}")),
    }
}

fn run(args: &[&str]) -> Option<Output> {
    let (client, _) = programs()?;
    let output = Command::new("timeout").arg("300").arg(client).args(args).output().unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Some(output)
}

/// A child that is killed when it is no longer needed.
struct Running(Child);

impl Running {
    /// Starts a program and waits until it prints "ready".
    fn start(program: &PathBuf, args: &[&str]) -> Self {
        let child = Command::new(program).args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut running = Self(child);
        let mut line = String::new();
        BufReader::new(running.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        running
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn libqb_clients_get_their_echoes() {
    let _alone = alone();
    let echo = Echo::start("c-echo");
    for seed in ["1", "2", "3"] {
        if run(&["echo", &echo.name, "200", seed]).is_none() {
            return;
        }
    }
    echo.expect_empty();
    assert_eq!(echo.stats().requests, 600);
}

#[test]
fn a_libqb_client_of_another_user_gets_its_own_files() {
    let _alone = alone();
    let Some((client, _)) = programs() else { return };
    if !rustix::process::getuid().is_root() {
        println!("skipped: only root can start programs of other users");
        return;
    }
    let echo = Echo::start("c-user");
    // A copy runs, as other users may not enter the directory in which the program was built.
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let copy = place.path().join("client");
    std::fs::copy(client, &copy).unwrap();
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new("timeout");
    let output = command
        .arg("300")
        .arg(&copy)
        .args(["echo", &echo.name, "50", "5"])
        .uid(65_534)
        .gid(65_533)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    echo.expect_empty();
}

#[test]
fn libqb_clients_get_all_events_and_no_doorbell_too_many() {
    let _alone = alone();
    let echo = Echo::start("c-events");
    for (count, size) in [("1", "28"), ("300", "100"), ("20000", "100"), ("5000", "1000"), ("12", "1048576")]
    {
        if run(&["events", &echo.name, count, size]).is_none() {
            return;
        }
    }
    echo.expect_empty();
}

#[test]
fn libqb_clients_flood_in_both_directions() {
    let _alone = alone();
    let echo = Echo::start("c-flood");
    for (count, size) in [("50000", "40"), ("2000", "10000"), ("60", "500000")] {
        if run(&["flood", &echo.name, count, size]).is_none() {
            return;
        }
    }
    echo.expect_empty();
    assert_eq!(echo.stats().thrown_out, 0);
}

#[test]
fn a_killed_libqb_client_leaves_nothing_and_disturbs_nobody() {
    let _alone = alone();
    let Some((client, _)) = programs() else { return };
    let echo = Echo::start("c-kill");
    let witness = Connection::connect(&echo.name).unwrap();
    for round in 0..10 {
        let mut mortal = Running::start(client, &["mortal", &echo.name]);
        echo_of_random_sizes(&witness, 3, round);
        mortal.kill();
        wait_until("the kill is noticed", || echo.closed.load(Ordering::Acquire) == u64::from(round) + 1);
    }
    drop(witness);
    echo.expect_empty();
}

#[test]
fn requests_of_a_libqb_client_that_left_are_carried_out() {
    let _alone = alone();
    let echo = Echo::start("c-vanish");
    if run(&["vanish", &echo.name, "200"]).is_none() {
        return;
    }
    wait_until("it is gone", || echo.closed.load(Ordering::Acquire) == 1);
    let count = Connection::connect(&echo.name).unwrap().call(&[&request(COUNT, 0)]).unwrap();
    assert_eq!(ResponseHeader::read(&count).unwrap().error, 200);
}

struct Nobody;

impl Admission for Nobody {
    fn admit(&self, _: ServiceId, _: &Credentials) -> Result<(), Refusal> {
        Err(Refusal::Denied)
    }
}

#[test]
fn a_libqb_client_sees_why_it_is_refused() {
    let _alone = alone();
    let echo = Echo::with("c-refused", |_| {}, Box::new(Nobody));
    let Some(output) = run(&["refused", &echo.name]) else { return };
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "13");
}

#[test]
fn our_client_works_with_a_libqb_server() {
    let _alone = alone();
    let Some((_, server)) = programs() else { return };
    let name = unique("c-server");
    let _running = Running::start(server, &[&name]);
    let connection = Connection::connect(&name).unwrap();
    echo_of_random_sizes(&connection, 60, 7);
    flood_of_posts(&connection, 2000, 40);
    connection.call(&[&request(BURST, 8), &burst(5000, 1000)]).unwrap();
    let mut event = Vec::new();
    for i in 0..5000_u32 {
        next_event(&connection, &mut event);
        assert_eq!((event.len(), &event[24..28]), (1000, &i.to_ne_bytes()[..]));
    }
    for _ in 0..300 {
        connection.post(&[&request(TICK, 0)], FlowLimit::Ordinary).unwrap();
    }
    let count = connection.call(&[&request(COUNT, 0)]).unwrap();
    assert_eq!(ResponseHeader::read(&count).unwrap().error, 300);
    let place = leftovers();
    assert_eq!(place.len(), 1);
    drop(connection);
    wait_until("libqb's server removes the files", || leftovers().is_empty());
}

#[test]
fn our_client_cleans_up_after_a_libqb_server_that_was_killed() {
    let _alone = alone();
    let Some((_, server)) = programs() else { return };
    let name = unique("c-dead");
    let mut running = Running::start(server, &[&name]);
    let connection = Connection::connect(&name).unwrap();
    connection.call(&[&request(ECHO, 0)]).unwrap();
    running.kill();
    wait_until("the end is noticed", || {
        matches!(connection.try_event(&mut Vec::new()), Err(IpcError::Disconnected))
    });
    assert!(matches!(connection.call(&[&request(POST, 0)]), Err(IpcError::Disconnected)));
    assert_eq!(leftovers().len(), 1);
    drop(connection);
    assert!(leftovers().is_empty());
}

#[test]
fn flow_control_reaches_a_libqb_client() {
    let _alone = alone();
    let Some((client, _)) = programs() else { return };
    let echo = Echo::start("c-flow");
    let mut mortal = Running::start(client, &["mortal", &echo.name]);
    echo.set_flow(Flow::Multicast);
    std::thread::sleep(Duration::from_millis(20));
    let before = echo.stats().requests;
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(echo.stats().requests, before, "nothing is read while the service is closed");
    echo.set_flow(Flow::Open);
    wait_until("requests go on", || echo.stats().requests > before + 10);
    mortal.kill();
    echo.expect_empty();
}

/// The directories of connections that this process has to a libqb server.
fn leftovers() -> Vec<PathBuf> {
    let me = format!("-{}-", std::process::id());
    std::fs::read_dir("/dev/shm")
        .unwrap()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("qb-") && name.contains(&me)
        })
        .map(|entry| entry.path())
        .collect()
}
