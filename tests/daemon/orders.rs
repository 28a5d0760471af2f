//! Requests of an operator: reload, shutdown, ending a node.

use std::fs;
use std::time::{Duration, Instant};

use annulus::admin::Shutdown;
use annulus::client::{Client, blocking};
use annulus::config::timeouts::Given;
use annulus::error::Status;
use rustix::process::Signal;

use crate::child::{Daemon, PATIENCE, Site};

const QUIET: &str = "logging {\n to_stderr: yes\n to_syslog: no\n}\n";

struct Node {
    site: Site,
    conf: String,
    daemon: Daemon,
    client: blocking::Client,
}

impl Node {
    fn new() -> Self {
        let site = Site::new();
        let conf = site.configure(QUIET);
        let state = site.path("state");
        let daemon = site.start(&["-f", "-c", &conf, "--state-dir", state.to_str().unwrap()]);
        let client = Client::instance(site.instance.as_str()).connect_blocking().unwrap();
        Self { site, conf, daemon, client }
    }

    /// Replaces a part of the configuration file.
    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(&self.conf).unwrap();
        assert!(text.contains(from));
        fs::write(&self.conf, text.replacen(from, to, 1)).unwrap();
    }

    fn number<T: annulus::confdb::FromValue>(&self, key: &str) -> Option<T> {
        self.client.confdb().get(key).unwrap()
    }
}

#[test]
fn a_reload_takes_effect() {
    let node = Node::new();
    assert_eq!(node.number::<u32>("runtime.config.totem.token"), Some(3000));
    node.edit("cluster_name: test", "cluster_name: test\n token: 4000");
    node.client.cfg().reload().unwrap();
    assert_eq!(node.number::<u32>("totem.token"), Some(4000));
    assert_eq!(node.number::<u32>("runtime.config.totem.token"), Some(4000));
    assert_eq!(node.number::<i32>("config.reload_status"), Some(1));
    assert_eq!(node.number::<u8>("config.reload_in_progress"), Some(0));
    node.edit(" token: 4000\n", "");
    node.client.cfg().reload().unwrap();
    assert_eq!(node.number::<u32>("totem.token"), None);
    assert_eq!(node.number::<u32>("runtime.config.totem.token"), Some(3000));
    let (status, log) = node.daemon.end(Signal::TERM);
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("[CFG   ] Config reload requested by node 5"), "{log}");
    assert!(log.contains("Node was shut down by a signal"), "{log}");
    assert!(log.contains("Service engine unloaded: corosync configuration service"), "{log}");
}

#[test]
fn a_broken_file_changes_nothing_and_says_where() {
    let node = Node::new();
    node.edit("cluster_name: test", "cluster_name: test\n token: 4000\n oops");
    assert_eq!(node.client.cfg().reload().unwrap_err().status(), Status::InvalidParam);
    assert_eq!(node.number::<u32>("totem.token"), None);
    assert_eq!(node.number::<i32>("config.reload_status"), Some(7));
    let message: String = node.number("config.reload_error_message").unwrap();
    assert!(message.contains("corosync.conf:6"), "{message}");
    assert!(node.daemon.log().contains("Unable to reload config file: "), "{}", node.daemon.log());
    node.edit("\n oops", "");
    node.client.cfg().reload().unwrap();
    assert_eq!(node.number::<u32>("totem.token"), Some(4000));
    assert_eq!(node.number::<String>("config.reload_error_message"), None);
    assert_eq!(node.number::<u8>("config.totemconfig_reload_in_progress"), Some(0));
}

#[test]
fn settings_that_need_a_restart_stay_unchanged() {
    let node = Node::new();
    node.edit("cluster_name: test", "cluster_name: other\n window_size: 60");
    node.client.cfg().reload().unwrap();
    assert_eq!(node.number::<String>("totem.cluster_name").as_deref(), Some("test"));
    assert_eq!(node.number::<u32>("totem.window_size"), Some(60));
    node.daemon
        .wait_for("Modified entry 'totem.cluster_name' in corosync.conf cannot be changed at run-time");
    // The id of the node cannot change, not even with the rest of a reload.
    node.edit("nodeid: 5", "nodeid: 6");
    assert_eq!(node.client.cfg().reload().unwrap_err().status(), Status::InvalidParam);
    assert_eq!(node.number::<u32>("nodelist.node.0.nodeid"), Some(5));
    node.daemon.wait_for("The id of this node changed from 5 to 6");
}

/// A reload adds and removes nodes while the node runs.
#[test]
fn a_reload_changes_the_node_list() {
    let node = Node::new();
    let cfg = node.client.cfg();
    let six = annulus::ids::NodeId::new(6).unwrap();
    assert_eq!(cfg.addresses(six).unwrap_err().status(), Status::NotExist);
    node.edit("nodelist {", "nodelist {\n node {\n  nodeid: 6\n  ring0_addr: 127.0.0.6\n }");
    cfg.reload().unwrap();
    assert_eq!(cfg.addresses(six).unwrap(), ["127.0.0.6".parse::<std::net::IpAddr>().unwrap()]);
    assert!(!cfg.status(six).unwrap().reachable);
    assert_eq!(node.number::<u32>("nodelist.local_node_pos"), Some(1));
    node.edit("\n node {\n  nodeid: 6\n  ring0_addr: 127.0.0.6\n }", "");
    cfg.reload().unwrap();
    assert_eq!(cfg.addresses(six).unwrap_err().status(), Status::NotExist);
    assert_eq!(node.number::<u32>("nodelist.local_node_pos"), Some(0));
}

/// Simultaneous reloads are carried out one after the other, and each is answered.
#[test]
fn simultaneous_reloads_are_all_answered() {
    let node = Node::new();
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| node.client.cfg().reload())).collect();
        for asked in asking {
            asked.join().unwrap().unwrap();
        }
    });
}

#[test]
fn a_shutdown_is_voted_on() {
    let node = Node::new();
    node.client.confdb().set("cfg.shutdown_timeout", 60_000_u32).unwrap();
    let cfg = node.client.cfg();
    let mut requests = cfg.shutdown_requests().unwrap();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| cfg.shutdown(Shutdown::IfAllAgree));
        requests.next(Some(PATIENCE)).unwrap().unwrap().refuse().unwrap();
        assert_eq!(asked.join().unwrap().unwrap_err().status(), Status::Busy);
        let asked = scope.spawn(|| cfg.shutdown(Shutdown::IfAllAgree));
        requests.next(Some(PATIENCE)).unwrap().unwrap().agree().unwrap();
        asked.join().unwrap().unwrap();
    });
    ended(node, Some(0), "Node 5 was shut down by sysadmin");
}

#[test]
fn a_client_that_does_not_answer_does_not_agree_to_a_shutdown() {
    let node = Node::new();
    node.client.confdb().set("cfg.shutdown_timeout", 100_u32).unwrap();
    let cfg = node.client.cfg();
    let _silent = cfg.shutdown_requests().unwrap();
    assert_eq!(cfg.shutdown(Shutdown::IfAllAgree).unwrap_err().status(), Status::Busy);
    cfg.shutdown(Shutdown::Regardless).unwrap();
    ended(node, Some(0), "annulusd exiting normally");
}

#[test]
fn a_killed_node_ends_at_once() {
    let node = Node::new();
    let stranger = annulus::ids::NodeId::new(9).unwrap();
    let error = node.client.cfg().kill(stranger, "nobody").unwrap_err();
    assert_eq!(error.status(), Status::NotExist);
    node.client.cfg().kill(node.client.local_id().unwrap(), "for the test").unwrap();
    ended(node, Some(255), "Killed by node 5 : for the test");
}

/// Waits for the end of the daemon that was asked for, and checks its status and log.
fn ended(node: Node, status: Option<i32>, line: &str) {
    let lock = node.site.lock_file();
    let (ended, log) = node.daemon.wait();
    assert_eq!(ended, status, "{log}");
    assert!(log.contains(line), "{log}");
    assert!(!lock.exists());
}

#[test]
fn reopening_logs_is_logged() {
    let node = Node::new();
    node.client.cfg().reopen_logs().unwrap();
    node.daemon.wait_for("Log files reopened");
    let dev = Site::new();
    let _daemon = dev.start(&["--dev"]);
    let client = Client::instance(dev.instance.as_str()).connect_blocking().unwrap();
    assert_eq!(client.cfg().reload().unwrap_err().status(), Status::NotSupported, "it has no file");
}

/// The folder of the log file is gone, or a new name cannot be opened: the request gets an error, the open file stays
/// in use, and none of the reload's changes is applied.
#[test]
fn a_log_file_that_cannot_be_opened_is_reported_and_the_old_one_stays() {
    let site = Site::new();
    let folder = site.path("logs");
    fs::create_dir(&folder).unwrap();
    let log = folder.join("daemon.log");
    let file = |log: &std::path::Path| {
        format!(
            "logging {{\n to_stderr: yes\n to_syslog: no\n to_logfile: yes\n logfile: {}\n}}\n",
            log.display()
        )
    };
    let conf = site.configure(&file(&log));
    let state = site.path("state");
    let daemon = site.start(&["-f", "-c", &conf, "--state-dir", state.to_str().unwrap()]);
    let client = Client::instance(site.instance.as_str()).connect_blocking().unwrap();
    let gone = site.path("gone");
    fs::rename(&folder, &gone).unwrap();
    assert_eq!(client.cfg().reopen_logs().unwrap_err().status(), Status::NotExist);
    let elsewhere = site.path("nowhere").join("daemon.log");
    let text = fs::read_to_string(&conf).unwrap();
    let text = text.replacen("cluster_name: test", "cluster_name: test\n token: 4000", 1);
    fs::write(&conf, text.replacen(log.to_str().unwrap(), elsewhere.to_str().unwrap(), 1)).unwrap();
    let error = client.cfg().reload().unwrap_err();
    assert_eq!(error.status(), Status::InvalidParam);
    let why =
        format!("Can't open logfile '{}' for reason: No such file or directory (2) (", elsewhere.display());
    assert!(error.to_string().contains(&why), "{error}");
    assert_eq!(client.confdb().get::<u32>("totem.token").unwrap(), None);
    // The file in use may no longer be reachable by its name; this is no reason to refuse the other changes.
    fs::write(&conf, text).unwrap();
    assert!(client.cfg().reload().unwrap().changed.contains(&"totem.token".to_owned()));
    fs::rename(&gone, &folder).unwrap();
    client.cfg().reopen_logs().unwrap();
    assert_eq!(daemon.end(Signal::TERM).0, Some(0));
    let text = fs::read_to_string(&log).unwrap();
    for line in ["the file in use until now goes on", &why, "Log files reopened", "exiting normally"] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert_eq!(text.matches("Config reload requested").count(), 2, "{text}");
}

/// A file that cannot be read to its end (a FIFO without a writer) delays neither the client that asked for the
/// reload nor the end of the daemon.
#[test]
fn a_configuration_file_without_an_end_fails_the_reload() {
    let node = Node::new();
    let text = fs::read_to_string(&node.conf).unwrap();
    fs::remove_file(&node.conf).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        node.conf.as_str(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let error = node.client.cfg().reload().unwrap_err();
    assert_eq!(error.status(), Status::Timeout);
    assert!(error.to_string().contains("node 5: no verdict in time"), "{error}");
    assert_eq!(node.number::<i32>("config.reload_status"), Some(5));
    // Once the FIFO can be read, reloads work again; what is read for the earlier reload is not used for a later one.
    fs::write(&node.conf, &text).unwrap();
    let pipe = std::path::Path::new(&node.conf).with_extension("pipe");
    fs::rename(&node.conf, pipe).unwrap();
    fs::write(&node.conf, text).unwrap();
    node.client.cfg().reload().unwrap();
    assert_eq!(node.number::<i32>("config.reload_status"), Some(1));
    fs::remove_file(&node.conf).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        node.conf.as_str(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    assert_eq!(node.client.cfg().reload().unwrap_err().status(), Status::Timeout);
    let begin = Instant::now();
    assert_eq!(node.daemon.end(Signal::TERM).0, Some(0));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

/// The ring stands still and its send queue is full: requests that need no room in the queue are served all the same.
#[test]
fn a_full_send_queue_delays_only_group_messages() {
    let site = Site::new();
    let conf = site.configure(QUIET);
    // The token time-out is so long that the loss of the other node is not noticed during the test.
    let token = 2 * PATIENCE.as_millis() as u32;
    let text = fs::read_to_string(&conf).unwrap();
    let text = text
        .replacen("cluster_name: test", &format!("cluster_name: test\n token: {token}"), 1)
        .replacen("nodelist {", "nodelist {\n node {\n  nodeid: 6\n  ring0_addr: 127.0.0.6\n }", 1);
    fs::write(&conf, text).unwrap();
    let state = site.path("state");
    let daemon = site.start(&["-f", "-c", &conf, "--state-dir", state.to_str().unwrap()]);
    let client = Client::instance(site.instance.as_str()).connect_blocking().unwrap();
    let group = client.cpg().join("full").unwrap();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let peers = [(5, "127.0.0.1".parse().unwrap()), (6, "127.0.0.6".parse().unwrap())];
    let given = Given { token: Some(token), ..Given::default() };
    let other = annulus::node::Node::builder().id(6).peers(peers).port(site.port).timing(given);
    let other = runtime.block_on(other.start()).unwrap();
    daemon.wait_for("members=5 6");
    let synced = || daemon.log().matches("ready to provide service").count() >= 2;
    crate::child::wait_until("the synchronisation", synced, || daemon.log());
    drop(other);

    // A single refusal may only mean that the daemon is slower than this client; many in a row mean that the queue is
    // full.
    let (start, mut refusals) = (Instant::now(), 0);
    while refusals < 200 {
        assert!(start.elapsed() < PATIENCE, "the queue has no end");
        refusals = if group.try_multicast(vec![7; 60_000]).is_ok() { 0 } else { refusals + 1 };
        if refusals > 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    assert_eq!(client.confdb().get::<u32>("totem.token").unwrap(), Some(token));
    assert_eq!(client.cfg().local_id().unwrap().get(), 5);
    client.confdb().set("test.key", 1_u32).unwrap();
    assert!(client.quorum().is_quorate().is_ok());
    // This request needs the ring: it is accepted, and waits at the desk.
    client.cfg().kill(annulus::ids::NodeId::new(5).unwrap(), "stuck").unwrap();
    daemon.signal(Signal::KILL);
    drop(runtime);
}
