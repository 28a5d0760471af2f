//! `--check` refuses what a start refuses, with the same message and exit status.

use std::fs;

use crate::child::Site;

/// A part of the text of [`Site::configure`], its replacement, and the exit status that results.
struct Case(&'static str, &'static str, i32);

/// Settings with which no start succeeds on any host.
const REFUSED: &[Case] = &[
    // Errors of the parser, and rules that concern several settings.
    Case("version: 2", "version: 3", 8),
    Case("version: 2", "version: 2\n token: 10", 8),
    Case("version: 2", "version: 2\n token: 1000\n join: 5000", 8),
    Case("version: 2", "version: 2\n secauth: on", 8),
    Case("version: 2", "version: 2\n crypto_cipher: aes256", 8),
    // Links and encryption.
    Case("transport: udpu", "transport: knet\n crypto_cipher: aes256", 8),
    Case("transport: udpu", "transport: knet\n crypto_hash: sha256\n keyfile: /nonexistent/key", 8),
    Case("transport: udpu", "transport: knet\n secauth: on\n key: short", 8),
    Case("transport: udpu", "transport: knet\n link_mode: fancy", 8),
    Case("transport: udpu", "transport: knet\n knet_compression_model: lzma", 8),
    Case("transport: udpu", "transport: knet\n knet_mtu: 100", 8),
    Case(
        "transport: udpu\n cluster_name: test\n interface {",
        "transport: knet\n cluster_name: test\n interface {\n  knet_transport: sctp",
        8,
    ),
    Case("transport: udpu", "transport: udp\n ip_version: ipv6", 8),
    Case("ring0_addr: 127.0.0.1", "ring0_addr: no.such.host.invalid", 8),
    Case("nodeid: 5", "nodeid: five", 8),
    Case("127.0.0.1", "192.0.2.1", 8),
    Case("system {", "logging {\n debug: maybe\n}\nsystem {", 7),
    Case("system {", "uidgid {\n uid: 4294967295\n}\nsystem {", 8),
    // The transport.
    Case("version: 2", "version: 2\n netmtu: 256", 8),
    Case("version: 2", "version: 2\n netmtu: 575", 8),
    Case("version: 2", "version: 2\n netmtu: 65508", 8),
    Case("version: 2", "version: 2\n netmtu: 100000", 8),
    Case("version: 2", "version: 2\n window_size: 16385", 8),
    Case("version: 2", "version: 2\n window_size: 100000", 8),
    Case(
        "transport: udpu\n cluster_name: test\n interface {",
        "transport: udp\n cluster_name: test\n interface {\n  ttl: 0",
        8,
    ),
    Case(
        "transport: udpu\n cluster_name: test\n interface {\n  mcastport: PORT",
        "transport: udp\n cluster_name: test\n interface {\n  mcastport: 1",
        8,
    ),
    Case("transport: udpu\n cluster_name: test", "transport: udp", 8),
    Case("nodelist {", "nodelist {\n node {\n  nodeid: 7\n  ring0_addr: 0.0.0.0\n }", 8),
    Case("nodelist {", "nodelist {\n node {\n  nodeid: 7\n  ring0_addr: 239.1.1.1\n }", 8),
    Case("nodelist {", "nodelist {\n node {\n  nodeid: 7\n  ring0_addr: ::1\n }", 8),
    Case("nodelist {", "nodelist {\n node {\n  nodeid: 7\n  ring0_addr: fe80::1%no-such-card\n }", 8),
    // The quorum services, with the status that Corosync gives when it cannot load them.
    Case("system {", "quorum {\n provider: corosync_ykd\n}\nsystem {", 20),
    Case(
        "system {",
        "quorum {\n provider: corosync_votequorum\n two_node: 1\n device {\n  model: net\n  votes: 1\n }\n}\nsystem {",
        20,
    ),
    Case(
        "system {",
        "quorum {\n provider: corosync_votequorum\n allow_downscale: 1\n device {\n  model: net\n  votes: 0\n }\n}\nsystem {",
        20,
    ),
    Case(
        "system {",
        "quorum {\n provider: corosync_votequorum\n last_man_standing: 1\n device {\n  model: net\n }\n}\nsystem {",
        20,
    ),
    Case(
        "system {",
        "quorum {\n provider: corosync_votequorum\n auto_tie_breaker: 1\n wait_for_all: 1\n device {\n  model: net\n }\n}\nsystem {",
        20,
    ),
    Case(
        "system {",
        "quorum {\n provider: corosync_votequorum\n expected_votes: 3\n device {\n  model: net\n }\n}\nsystem {",
        20,
    ),
    Case(
        "system {",
        "quorum {\n provider: corosync_votequorum\n expected_votes: 3\n device {\n  model: net\n  votes: 2\n }\n}\nsystem {",
        20,
    ),
    Case(
        "ring0_addr: 127.0.0.1",
        "ring0_addr: 127.0.0.1\n  quorum_votes: 3\n }\n}\nquorum {\n provider: corosync_votequorum\n device {\n  model: net",
        20,
    ),
    Case(
        "system {",
        "quorum {\n provider: corosync_votequorum\n auto_tie_breaker: 1\n last_man_standing: 1\n}\nsystem {",
        20,
    ),
    // Settings of the daemon itself.
    Case("sched_rr: no", "sched_rr: no\n priority: urgent", 8),
    Case("sched_rr: no", "qb_ipc_type: socket", 8),
    Case("sched_rr: no", "sched_rr: perhaps", 8),
];

fn write(site: &Site, case: &Case) -> String {
    let path = site.configure("");
    let text = fs::read_to_string(&path).unwrap();
    let from = case.0.replace("PORT", &site.port.to_string());
    assert!(text.contains(&from), "{from}");
    fs::write(&path, text.replacen(&from, case.1, 1)).unwrap();
    path
}

#[test]
fn check_refuses_what_start_refuses_with_the_same_message_and_status() {
    let site = Site::new();
    let state = site.path("state").to_str().unwrap().to_owned();
    for case in REFUSED {
        let path = write(&site, case);
        let checked = site.run(&["--check", "-c", &path, "--state-dir", &state]);
        let started = site.run(&["-f", "-c", &path, "--state-dir", &state]);
        assert_eq!(checked, started, "{}", case.1);
        assert_eq!(checked.0, case.2, "{}: {}", case.1, checked.2);
        // Each message names a line of the file, except where a setting is missing altogether.
        let named = checked.2.contains("corosync.conf:") || checked.2.contains("is not given");
        assert!(named, "{}: {}", case.1, checked.2);
        assert!(!site.lock_file().exists());
    }
}

/// Faults that only concern this host are reported by both with the same message.
#[test]
fn check_and_start_report_faults_of_the_host_with_the_same_message() {
    let site = Site::new();
    let state = site.path("state").to_str().unwrap().to_owned();
    let name = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    let text = fs::read_to_string(site.configure("")).unwrap();
    let path = site.path("corosync.conf").to_str().unwrap().to_owned();
    let log = "logging {\n to_syslog: no\n to_logfile: yes\n logfile: /nonexistent/log\n}\n";
    for (text, state, status, words) in [
        (format!("{text}{log}"), state.as_str(), 7, "Can't open logfile '/nonexistent/log' for reason"),
        (text.clone(), "/nonexistent", 16, "Can't use state directory /nonexistent"),
        (
            text.replace("ring0_addr: 127.0.0.1", &format!("ring0_addr: 192.0.2.1\n  name: {name}")),
            state.as_str(),
            15,
            "address 192.0.2.1 is not on this host (it has 127.0.0.1 on lo",
        ),
    ] {
        fs::write(&path, &text).unwrap();
        let (checked, out, said) = site.run(&["--check", "-c", &path, "--state-dir", state]);
        let (started, _, log) = site.run(&["-f", "-c", &path, "--state-dir", state]);
        assert_eq!((checked, started), (status, status), "{said}\n{log}");
        assert!(said.contains(words) && out.is_empty(), "{said}");
        let line = said.lines().next().unwrap().strip_prefix("annulusd: ").unwrap();
        assert!(log.contains(line), "{line}\n{log}");
        assert!(
            status != 15
                || line.contains("nodelist.node.0.ring0_addr at") && line.contains("corosync.conf:12,"),
            "{line}"
        );
    }
    fs::write(&path, &text).unwrap();
    fs::write(site.path("state/ringid_5"), "short").unwrap();
    let (checked, _, said) = site.run(&["--check", "-c", &path, "--state-dir", &state]);
    let (started, _, log) = site.run(&["-f", "-c", &path, "--state-dir", &state]);
    assert_eq!((checked, started), (21, 21), "{said}\n{log}");
    let line = said.lines().next().unwrap().strip_prefix("annulusd: ").unwrap();
    assert!(line.contains("ringid_5 is damaged") && log.contains(line), "{line}\n{log}");
    fs::remove_file(site.path("state/ringid_5")).unwrap();
    // The running daemon uses the port: a check of its own file succeeds, with a note.
    fs::write(&path, &text).unwrap();
    let daemon = site.start(&["-f", "-c", &path, "--state-dir", &state]);
    let (status, out, err) = site.run(&["--check", "--strict", "-c", &path, "--state-dir", &state]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.contains(&format!("# note: UDP port {} of 127.0.0.1 is in use", site.port)), "{out}");
    drop(daemon);
}

/// Corosync starts with all of these settings. This daemon does too, with a warning, except with `--strict`.
#[test]
fn suspicious_settings_give_warnings_and_are_refused_only_by_strict() {
    let site = Site::new();
    let state = site.path("state").to_str().unwrap().to_owned();
    for (case, words) in [
        (Case("version: 2", "version: 2\n tokn: 4000", 0), "did you mean totem.token?"),
        (Case("version: 2", "version: 2\n secauth: yes", 0), "totem.secauth = yes"),
        (Case("transport: udpu", "transport: knet", 0), "the cluster runs unencrypted: whoever reaches"),
        (
            Case("system {", "quorum {\n provider: corosync_votequorum\n two_node: 1\n}\nsystem {", 0),
            "quorum.two_node with 1 nodes",
        ),
        (
            Case("nodelist {", "nodelist {\n node {\n  nodeid: 7\n  ring0_addr: 127.0.0.1\n }", 0),
            "are the same address, 127.0.0.1",
        ),
        (
            Case("nodelist {", "nodelist {\n node {\n  nodeid: 0\n  ring0_addr: 127.0.0.9\n }", 0),
            "nodeid = 0 at",
        ),
        (
            Case("nodelist {", "nodelist {\n node {\n  nodeid: 7\n  ring0_addr: 192.0.2.7\n }", 0),
            "own address is loopback, see /etc/hosts",
        ),
        (
            Case("system {", "logging {\n to_logfile: no\n logfile: /nonexistent/log\n}\nsystem {", 0),
            "the folder of the log file /nonexistent/log is not there",
        ),
    ] {
        let path = write(&site, &case);
        let (status, out, err) = site.run(&["--check", "-c", &path, "--state-dir", &state]);
        assert_eq!((status, err.as_str()), (0, ""), "{}", case.1);
        let warning = out.lines().find(|line| line.starts_with("# warning: ") && line.contains(words));
        let warning = warning.unwrap_or_else(|| panic!("{words}\n{out}")).trim_start_matches("# warning: ");
        assert!(warning.contains("corosync.conf:"), "{warning}");
        let (status, out, err) = site.run(&["--check", "--strict", "-c", &path, "--state-dir", &state]);
        assert_eq!((status, out.as_str()), (8, ""), "{}", case.1);
        assert!(err.contains("refused by --strict") && err.contains(warning), "{err}");
        if words.contains("log file") {
            continue; // the log file is not used, so the start does not check it
        }
        let started = site.run(&["-f", "--strict", "-c", &path, "--state-dir", &state]);
        assert_eq!((started.0, started.2), (status, err), "{}", case.1);
        let daemon = site.start(&["-f", "-c", &path, "--state-dir", &state]);
        let log = daemon.log();
        assert!(log.contains(warning), "{warning}\n{log}");
    }
}
