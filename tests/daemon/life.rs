//! The life of a daemon from start to end: clients, signals, background, service manager, unprivileged user.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use annulus::client::Client;
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process};

use crate::child::{PATIENCE, Site, as_nobody, has_ended, read_all, wait_until};

fn quiet(path: &std::path::Path) -> String {
    format!(
        "logging {{\n to_stderr: yes\n to_syslog: no\n to_logfile: yes\n logfile: {}\n}}\n",
        path.display()
    )
}

#[test]
fn a_developers_node_serves_clients_and_leaves_nothing_behind() {
    let site = Site::new();
    let daemon = site.start(&["--dev"]);
    let client = Client::instance(site.instance.as_str()).connect_blocking().unwrap();
    assert_eq!(client.local_id().unwrap().get(), 1);
    assert_eq!(fs::read_to_string(site.lock_file()).unwrap(), format!("{}\n", daemon.pid()));
    let (status, log) = daemon.end(Signal::TERM);
    assert_eq!(status, Some(0), "{log}");
    assert!(
        log.contains("Node was shut down by a signal (SIGTERM)") && log.contains("annulusd exiting normally"),
        "{log}"
    );
    assert!(client.local_id().is_err(), "the connection has ended");
    assert!(!site.lock_file().exists());
}

#[test]
fn every_terminating_signal_ends_the_daemon_cleanly() {
    for signal in [Signal::INT, Signal::QUIT] {
        let site = Site::new();
        let (status, log) = site.start(&["--dev"]).end(signal);
        assert_eq!(status, Some(0), "{log}");
    }
}

#[test]
fn sigusr2_logs_the_state_and_sigpipe_does_nothing() {
    let site = Site::new();
    let daemon = site.start(&["--dev"]);
    daemon.signal(Signal::PIPE);
    daemon.signal(Signal::USR2);
    daemon.wait_for("members 1, phase OPERATIONAL, services synchronised, 0 clients");
    daemon.wait_for("Network counters: ");
    assert_eq!(daemon.end(Signal::TERM).0, Some(0));
}

#[test]
fn sighup_reopens_the_log_file_in_corosyncs_format() {
    let site = Site::new();
    let (log, moved) = (site.path("daemon.log"), site.path("daemon.log.1"));
    let conf = site.configure(&quiet(&log));
    let state = site.path("state");
    let daemon = site.start(&["-f", "-c", &conf, "--state-dir", state.to_str().unwrap()]);
    fs::rename(&log, &moved).unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for("Log files reopened");
    let pid = daemon.pid();
    assert_eq!(daemon.end(Signal::TERM).0, Some(0));
    assert!(fs::read_to_string(&log).unwrap().contains("exiting normally"));

    let text = fs::read_to_string(&moved).unwrap();
    let first = text.lines().next().unwrap();
    // Example: `Nov 21 00:52:41.892 [3337] n1 annulusd notice  [MAIN  ] text`
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let rest = first.get("Nov 21 00:52:41.892".len()..).unwrap();
    assert!(rest.starts_with(&format!(" [{pid}] {host} annulusd notice  [MAIN  ] annulusd ")), "{first}");
    assert!(
        text.lines().any(|line| line.contains(" notice  [TOTEM ] a new membership was formed ")),
        "{text}"
    );
    let stored = fs::read(state.join("ringid_5")).unwrap();
    assert!(u64::from_ne_bytes(stored.try_into().unwrap()) >= 4096, "ring ids are reserved ahead");
}

#[test]
fn sighup_updates_which_users_may_connect() {
    let site = Site::new();
    let conf = site.configure("");
    let state = site.path("state");
    let daemon = site.start(&["-f", "-c", &conf, "--state-dir", state.to_str().unwrap()]);
    site.configure("uidgid {\n uid: 12345\n}\n");
    daemon.signal(Signal::HUP);
    daemon.wait_for("are in effect as read now");
    site.configure("uidgid {\n nonsense: 1\n}\n");
    daemon.signal(Signal::HUP);
    daemon.wait_for("Not reloaded: ");
    assert_eq!(daemon.end(Signal::TERM).0, Some(0));
}

#[test]
fn starting_in_the_background_reports_success_or_failure() {
    let site = Site::new();
    let log = site.path("daemon.log");
    let conf = site.configure(&quiet(&log));
    let state = site.path("state");
    let words = ["-c", &conf, "--state-dir", state.to_str().unwrap()];
    let (status, out, err) = site.run(&words);
    assert_eq!((status, out.as_str(), err.as_str()), (0, "", ""), "output ends when the starter does");
    let pid = fs::read_to_string(site.lock_file()).unwrap().trim().parse().unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    let (status, _, err) = site.run(&words);
    assert_eq!(status, 18);
    assert!(err.contains("already running"), "{err}");
    kill_process(pid, Signal::TERM).unwrap();
    let text = || fs::read_to_string(&log).unwrap();
    wait_until("the end", || text().contains("exiting normally"), text);
    wait_until("the process", || has_ended(pid), text);
}

#[test]
fn the_service_manager_is_notified_after_the_first_synchronisation() {
    let site = Site::new();
    let socket = UnixDatagram::bind(site.path("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut child = site
        .command(&["--dev"])
        .env("NOTIFY_SOCKET", site.path("notify"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut buf = [0; 200];
    let mut next = || {
        let got = socket.recv(&mut buf).unwrap();
        String::from_utf8_lossy(&buf[..got]).trim().to_owned()
    };
    assert_eq!(next(), "READY=1");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(next(), "STOPPING=1");
    assert!(child.wait().unwrap().success());
    let log = read_all(child.stderr.take().unwrap());
    assert!(log.contains("ready to provide service"), "{log}");
}

/// The daemon runs without privileges: with directories of its own, without real-time scheduling, with a warning for
/// each privilege that is missing, and for clients of the same user.
#[test]
fn an_unprivileged_user_can_run_the_daemon() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: every other test of this file shows it");
        return;
    }
    let site = Site::new();
    let nobody = Some(65_534);
    std::os::unix::fs::chown(site.path(""), nobody, nobody).unwrap();
    std::os::unix::fs::chown(site.path("run"), nobody, nobody).unwrap();
    let conf = site.configure("");
    fs::write(&conf, fs::read_to_string(&conf).unwrap().replace("sched_rr: no", "sched_rr: yes")).unwrap();
    std::os::unix::fs::chown(&conf, nobody, nobody).unwrap();
    let stderr = fs::File::create(site.path("stderr")).unwrap();
    // Other users may not enter the directory in which the program was built, so a copy runs.
    let mut command = site.command_of_copy(&["-f", "-c", &conf]);
    let mut child = match as_nobody(&mut command).stderr(stderr).spawn() {
        Ok(child) => child,
        Err(error) => {
            println!("skipped: another user cannot run programs in {}: {error}", site.path("").display());
            return;
        }
    };
    let log = || fs::read_to_string(site.path("stderr")).unwrap();
    wait_until("the ring", || log().contains("ready to provide service"), log);
    let own = site.path("run/annulus");
    assert!(own.join(format!("annulusd-{}.pid", site.instance)).exists());
    assert!(own.join(&site.instance).join("ringid_5").exists());
    if getrlimit(Resource::Rtprio).current == Some(0) {
        assert!(log().contains("Real-time scheduling was refused"), "{}", log());
    }
    // Root may always connect, but must say that it trusts this user, as any user could have taken the socket's name.
    let refused = Client::instance(site.instance.as_str()).connect_blocking().unwrap_err().to_string();
    assert!(refused.contains(&format!("process {} (annulusd) of user 65534", child.id())), "{refused}");
    let client = Client::instance(site.instance.as_str()).trusting(65_534).connect_blocking().unwrap();
    assert_eq!(client.local_id().unwrap().get(), 5);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success(), "{}", log());
}
