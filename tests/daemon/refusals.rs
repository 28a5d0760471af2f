//! What the daemon refuses, with its messages and exit statuses.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use rustix::process::Signal;

use crate::child::Site;

#[test]
fn bad_options_end_with_1() {
    let site = Site::new();
    let (status, out, err) = site.run(&["--no-such-option"]);
    assert_eq!((status, out.as_str()), (1, ""));
    assert!(err.contains("--no-such-option") && err.contains("Usage:"), "{err}");
    assert_eq!(site.run(&["--help"]).0, 0);
    let (status, out, _) = site.run(&["-v"]);
    assert_eq!(status, 0);
    assert!(out.starts_with("annulusd, version '"), "{out}");
}

#[test]
fn bad_configurations_are_reported_with_file_and_line() {
    let site = Site::new();
    let path = site.configure("");
    let text = fs::read_to_string(&path).unwrap();
    for (from, to, status, words) in [
        ("version: 2", "version: 3", 8, "This totem parser can only parse version 2 configurations"),
        (
            "version: 2",
            "version 2",
            8,
            "corosync.conf:2: Line is not opening or closing section or key value",
        ),
        ("transport: udpu", "transport: udpx", 8, "Invalid transport type. Should be udpu, udp or knet"),
        ("transport: udpu", "transport: knet\n knet_mtu: 9", 8, "knet_mtu = 9 at"),
        (
            "transport: udpu",
            "transport: knet\n crypto_hash: sha256\n keyfile: /nonexistent/k",
            8,
            "annulus keygen",
        ),
        ("system {", "logging {\n debug: maybe\n}\nsystem {", 7, "unknown value for debug"),
        ("127.0.0.1", "192.0.2.1", 8, "No valid name found for local host"),
    ] {
        assert!(text.contains(from));
        fs::write(&path, text.replace(from, to)).unwrap();
        for words_of in [&["-t", "-c", &path][..], &["-f", "-c", &path]] {
            let (got, out, err) = site.run(words_of);
            assert_eq!((got, out.as_str()), (status, ""), "{to}: {err}");
            assert!(err.starts_with("annulusd: ") && err.contains(words), "{to}: {err}");
        }
    }
    let (status, _, err) = site.run(&["-t", "-c", "/nonexistent/corosync.conf"]);
    assert_eq!(status, 8);
    assert_eq!(
        err.lines().next(),
        Some("annulusd: Can't read file /nonexistent/corosync.conf: No such file or directory")
    );
}

#[test]
fn check_lists_the_settings_in_effect_and_starts_nothing() {
    let site = Site::new();
    let path = site.configure("");
    let (status, out, err) = site.run(&["-t", "-c", &path]);
    assert_eq!((status, err.as_str()), (0, ""));
    let line = |name: &str| {
        out.lines()
            .find(|line| line.starts_with(&format!("{name} = ")))
            .unwrap_or_else(|| panic!("{name}\n{out}"))
    };
    assert!(
        line("totem.transport").starts_with("totem.transport = udpu (") && out.contains("corosync.conf:3")
    );
    assert!(line("totem.token").contains("3000"));
    assert!(!site.lock_file().exists());
}

#[test]
fn missing_directories_have_distinct_exit_statuses() {
    let site = Site::new();
    let path = site.configure("");
    let (status, _, err) = site.run(&["-f", "-c", &path, "--state-dir", "/nonexistent"]);
    assert_eq!(status, 16);
    assert!(err.contains("/nonexistent") && err.contains("--state-dir"), "{err}");
    // This fails for every user, root included: there is a directory in the place of the temporary file.
    fs::create_dir(site.path("state/ringid_5.new")).unwrap();
    let state = site.path("state");
    let (status, _, err) = site.run(&["-f", "-c", &path, "--state-dir", state.to_str().unwrap()]);
    assert_eq!(status, 21, "{err}");
    assert!(err.contains("ringid_5.new"), "{err}");
    assert!(err.contains("exiting with status 21"), "{err}");
    assert!(!site.lock_file().exists());
}

/// If another process holds the name of a socket, the daemon names it and does not start, as clients would talk to
/// the other process.
#[test]
fn a_socket_name_in_use_prevents_the_start() {
    let site = Site::new();
    let path = site.configure("");
    let state = site.path("state");
    let mut name = [0; 107];
    let cpg = format!("annulus-{}-cpg", site.instance);
    name[..cpg.len()].copy_from_slice(cpg.as_bytes());
    let squatter = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
    let (status, _, err) = site.run(&["-f", "-c", &path, "--state-dir", state.to_str().unwrap()]);
    assert_eq!(status, 20, "{err}");
    let who = format!("cannot listen on @{cpg}: process {} (", std::process::id());
    assert!(err.contains(&who) && err.contains("has it. Stop that program"), "{err}");
    drop(squatter);
    let daemon = site.start(&["-f", "-c", &path, "--state-dir", state.to_str().unwrap()]);
    assert_eq!(daemon.end(Signal::TERM).0, Some(0));
}

/// A damaged ring id file is not replaced by a guess: the operator is told what to do, and the file stays unchanged.
/// (Corosync counts from 0 in this case.)
#[test]
fn a_damaged_ring_id_file_prevents_the_start() {
    let site = Site::new();
    let path = site.configure("");
    let (state, file) = (site.path("state"), site.path("state/ringid_5"));
    for content in [&b""[..], b"\x2a\0\0", &[0xff; 8]] {
        fs::write(&file, content).unwrap();
        let (status, _, err) = site.run(&["-f", "-c", &path, "--state-dir", state.to_str().unwrap()]);
        assert_eq!(status, 21, "{err}");
        let remedy = format!("remove it (rm {})", file.display());
        assert!(err.contains("is damaged: ") && err.contains(&remedy), "{err}");
        assert_eq!(fs::read(&file).unwrap(), content);
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(
        site.start(&["-f", "-c", &path, "--state-dir", state.to_str().unwrap()]).end(Signal::TERM).0,
        Some(0)
    );
    assert_eq!(fs::read(&file).unwrap().len(), 8);
}

#[test]
fn a_log_file_that_cannot_be_opened_ends_with_7() {
    let site = Site::new();
    let more = "logging {\n to_logfile: yes\n to_syslog: no\n logfile: /nonexistent/log\n}\n";
    let path = site.configure(more);
    let state = site.path("state");
    let (status, _, err) = site.run(&["-f", "-c", &path, "--state-dir", state.to_str().unwrap()]);
    assert_eq!(status, 7);
    assert!(
        err.contains("Can't open logfile '/nonexistent/log' for reason: No such file or directory (2)"),
        "{err}"
    );
}

#[test]
fn a_second_instance_is_refused() {
    let site = Site::new();
    let daemon = site.start(&["--dev"]);
    let (status, _, err) = site.run(&["--dev"]);
    assert_eq!(status, 18);
    assert!(err.contains("Another annulusd instance is already running"), "{err}");
    assert!(err.contains(&format!("process {}", daemon.pid())), "{err}");
    assert!(site.lock_file().exists(), "the first one's lock stays");
}
