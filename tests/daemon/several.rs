//! `--dev --nodes`: several nodes started by one command.

use std::fs;

use annulus::client::Client;
use rustix::process::{Pid, Signal, kill_process};

use crate::child::{Daemon, Site, as_nobody, has_ended, wait_until};

/// Starts the nodes and waits until they form one ring.
fn start(site: &Site, more: &[&str]) -> Daemon {
    let daemon = site.start_until(&[&["--dev", "--nodes", "3"], more].concat(), "[3] ");
    wait_until(
        "the ring",
        || site.stdout().contains("3 nodes are in one ring"),
        || daemon.log() + &site.stdout(),
    );
    daemon
}

fn names(site: &Site) -> [String; 3] {
    [site.instance.clone(), format!("{}-2", site.instance), format!("{}-3", site.instance)]
}

fn members(name: &str) -> Option<usize> {
    let client = Client::instance(name).connect_blocking().ok()?;
    client.quorum().info().ok().filter(|info| info.quorate).map(|info| info.members.len())
}

fn pid(site: &Site, name: &str) -> Pid {
    let file = site.lock_file().with_file_name(format!("annulusd-{name}.pid"));
    Pid::from_raw(fs::read_to_string(file).unwrap().trim().parse().unwrap()).unwrap()
}

#[test]
fn three_nodes_are_one_ring_and_end_together() {
    let site = Site::new();
    let state = site.path("new/state");
    // The nodes are started twice, the second time with the files that the first left.
    for signal in [Signal::INT, Signal::TERM] {
        let daemon = start(&site, &["--state-dir", state.to_str().unwrap()]);
        for (number, name) in (1..).zip(names(&site)) {
            assert_eq!(members(&name), Some(3), "{name}");
            let client = Client::instance(name.as_str()).connect_blocking().unwrap();
            assert_eq!(client.local_id().unwrap().get(), number);
            assert!(
                site.stdout().contains(&format!("annulus --instance {name} status")),
                "{}",
                site.stdout()
            );
            assert!(state.join(format!("node{number}/ringid_{number}")).exists());
        }
        // A second such command is refused, with the reason, and does not disturb the first.
        let (status, _, err) = site.run(&["--dev", "--nodes", "3"]);
        assert_eq!(status, 18, "{err}");
        assert!(err.contains("already running") && err.contains("--instance"), "{err}");
        assert_eq!(members(&site.instance), Some(3));
        let pids = names(&site).map(|name| pid(&site, &name));
        let (status, log) = daemon.end(signal);
        assert_eq!(status, Some(0), "{log}");
        assert!(pids.iter().all(|pid| has_ended(*pid)), "{log}");
        assert!(!site.lock_file().exists(), "{log}");
    }
}

#[test]
fn one_of_several_nodes_may_be_killed_and_restarted() {
    let site = Site::new();
    let daemon = start(&site, &[]);
    let [_, second, _] = names(&site);
    kill_process(pid(&site, &second), Signal::KILL).unwrap();
    let again = format!("annulusd --dev --nodes 3 --node 2 --instance {}", site.instance);
    daemon.wait_for("node 2 ended by signal 9; the others go on");
    assert!(daemon.log().contains(&again), "{}", daemon.log());
    wait_until("a ring of two", || members(&site.instance) == Some(2), || daemon.log());
    let other = site.start_until(&["--dev", "--nodes", "3", "--node", "2"], "ready to provide service");
    wait_until("a ring of three", || members(&second) == Some(3), || other.log());
    assert_eq!(other.end(Signal::INT).0, Some(0));
    // A node that is stopped (SIGSTOP) ends with the others.
    kill_process(pid(&site, &names(&site)[2]), Signal::STOP).unwrap();
    let (status, log) = daemon.end(Signal::INT);
    assert_eq!(status, Some(0), "{log}");
}

/// When the process that supervises the nodes is killed, no node stays behind.
#[test]
fn nodes_end_with_the_process_that_started_them() {
    let site = Site::new();
    let daemon = start(&site, &[]);
    let pids = names(&site).map(|name| pid(&site, &name));
    let (status, log) = daemon.end(Signal::KILL);
    assert_eq!(status, None);
    wait_until("their end", || pids.iter().all(|pid| has_ended(*pid)), || log.clone());
}

#[test]
fn an_unprivileged_user_can_run_several_nodes() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: the other tests of this file show it");
        return;
    }
    let site = Site::new();
    for dir in ["", "run"] {
        std::os::unix::fs::chown(site.path(dir), Some(65_534), Some(65_534)).unwrap();
    }
    let out = fs::File::create(site.path("stdout")).unwrap();
    let err = fs::File::create(site.path("stderr")).unwrap();
    let mut command = site.command_of_copy(&["--dev", "--nodes", "2"]);
    let mut child = match as_nobody(&mut command).stdout(out).stderr(err).spawn() {
        Ok(child) => child,
        Err(error) => {
            println!("skipped: another user cannot run programs in {}: {error}", site.path("").display());
            return;
        }
    };
    let log = || fs::read_to_string(site.path("stderr")).unwrap();
    wait_until("the ring", || site.stdout().contains("2 nodes are in one ring"), log);
    assert!(site.path("run/annulus").join(format!("dev-{}-2/ringid_2", site.instance)).exists());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(child.wait().unwrap().success(), "{}", log());
}
