//! Debian's pcs on knet: it sets up a cluster with encryption and two links, and changes it while it runs.
//!
//! On each host runs pcsd, to which pcs connects, and which writes the files and reloads. Hosts trust each other by a
//! token, as after `pcs host auth`. A script that knows whether a daemon runs stands in for systemctl: the test
//! itself starts and ends the daemons.

use crate::both::ours;
use crate::have;
use crate::lab::{Kind, Lab, PATIENCE, Program, address};
use crate::mixed::{Flow, Mix, pings};
use crate::ready;
use rustix::process::Signal;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

const ALL: [usize; 3] = [1, 2, 3];

/// The arguments of pcs that name three hosts with two links each.
fn nodes() -> String {
    ALL.map(|k| format!("n{k} addr={} addr={}", address(k, 0), address(k, 1))).join(" ")
}

/// The replacement for systemctl, which pcs and pcsd ask about units.
const SYSTEMCTL: &str = r#"#!/bin/sh
case "$1" in
is-active)
    case "$2" in
    corosync | corosync.service) pgrep -x corosync >/dev/null || pgrep -x annulusd >/dev/null && { echo active; exit 0; } ;;
    esac
    echo inactive
    exit 3
    ;;
is-enabled) echo disabled; exit 1 ;;
list-unit-files) printf 'corosync.service disabled\npacemaker.service disabled\npcsd.service enabled\n' ;;
esac
exit 0
"#;

/// The token by which the hosts trust each other.
const TOKEN: &str = "11111111-2222-3333-4444-555555555555";

/// Gives each host its own copies of the folders that pcs writes to.
fn prepare(lab: &Lab) {
    let mut known = String::new();
    for k in ALL {
        let comma = if known.is_empty() { "" } else { "," };
        let _ = write!(
            known,
            "{comma}\"n{k}\":{{\"dest_list\":[{{\"addr\":\"{}\",\"port\":2224}}],\"token\":\"{TOKEN}\"}}",
            address(k, 0)
        );
    }
    for k in ALL {
        let dir = lab.dir(k);
        for part in ["lib/pcsd", "log/pcsd", "log/corosync", "pacemaker"] {
            fs::create_dir_all(dir.join(part)).expect("make the host's folders");
        }
        // The lab expects the log in this place.
        std::os::unix::fs::symlink("corosync/corosync.log", dir.join("log/daemon.log")).expect("a link");
        fs::write(dir.join("systemctl"), SYSTEMCTL).expect("write the script");
        let user = format!(
            "[{{\"username\":\"hacluster\",\"token\":\"{TOKEN}\",\"creation_date\":\"2026-01-01 00:00:00 +0000\"}}]"
        );
        fs::write(dir.join("lib/pcsd/pcs_users.conf"), user).expect("write the tokens");
        let known = format!("{{\"format_version\":1,\"data_version\":1,\"known_hosts\":{{{known}}}}}");
        fs::write(dir.join("lib/pcsd/known-hosts"), known).expect("write the hosts");
        let d = dir.display();
        lab.must(
            k,
            &format!(
                "chmod 755 {d}/systemctl && mkdir -p /etc/pacemaker && mount --bind {d}/systemctl /bin/systemctl && \
                 mount --bind {d}/log /var/log && mount --bind {d}/pacemaker /etc/pacemaker"
            ),
        );
    }
}

fn can() -> bool {
    ready() && have(&[("/usr/sbin/pcs", "pcs"), ("/usr/bin/pgrep", "procps")])
}

fn wait_for_ring(lab: &Lab) {
    for k in ALL {
        lab.until(k, "corosync-quorumtool -s", PATIENCE, |said| said.out.contains("Nodes:            3\n"));
        for link in 0..2 {
            lab.wait_for_link(k, &ALL, link, true, PATIENCE);
        }
    }
}

/// Checks that pings have 80 bytes, as with aes256 and sha256.
fn assert_encrypted(lab: &Lab) {
    let (before, after) = {
        let before = pings(lab, 1, 2, 1).expect("there is a link 1");
        std::thread::sleep(Duration::from_secs(3));
        (before, pings(lab, 1, 2, 1).expect("there is a link 1"))
    };
    assert!(after.0 > before.0, "{before:?} {after:?}");
    assert_eq!(after.1 - before.1, 80 * (after.0 - before.0), "{before:?} {after:?}");
}

/// A daemon starts on the unchanged file that `pcs cluster setup` writes, with the key that pcs makes.
#[test]
fn a_cluster_set_up_by_pcs_starts() {
    if !can() {
        return;
    }
    let mut lab = Lab::new(3);
    prepare(&lab);
    // pcs writes to a file only, which needs no pcsd.
    lab.must(1, &format!("pcs cluster setup lab {} --corosync_conf /etc/corosync/corosync.conf", nodes()));
    let text = fs::read_to_string(lab.dir(1).join("etc/corosync.conf")).expect("pcs has written it");
    for line in ["transport: knet", "crypto_cipher: aes256", "crypto_hash: sha256", "ring1_addr: 10.78.0.3"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    lab.must(1, "corosync-keygen -l >&2");
    let key = fs::read(lab.dir(1).join("etc/authkey")).expect("the key");
    for k in ALL {
        lab.write_key(k, &key);
        fs::write(lab.dir(k).join("etc/corosync.conf"), &text).expect("carry the file");
    }
    for (k, kind) in ALL.into_iter().zip([ours(), Kind::Corosync, ours()]) {
        lab.start(k, kind);
    }
    wait_for_ring(&lab);
    assert_encrypted(&lab);
}

/// Starts pcsd on every host.
fn pcsds(lab: &Lab) -> Vec<Program> {
    let both = "RACK_ENV=production /usr/share/pcsd/pcsd & exec /usr/sbin/pcsd";
    let programs = ALL.map(|k| lab.spawn(k, &["sh", "-c", both])).into();
    for k in ALL {
        lab.until(k, "ss -ltn", PATIENCE, |said| said.out.contains(":2224"));
    }
    programs
}

/// Runs pcs on host 1. For each request pcsd starts another Python program, which may take a minute on a busy
/// machine.
fn pcs(lab: &Lab, line: &str) {
    // `cluster setup` does not have this option.
    let patience = if line.starts_with("cluster setup") { "" } else { "--request-timeout=300 " };
    let line = format!("pcs {patience}{line}");
    let mut program = lab.spawn(1, &["sh", "-c", &line]);
    let said = program.finish(Duration::from_secs(900));
    assert_eq!(said.code, 0, "{line}: {}", said.text());
}

fn keys(lab: &Lab) -> Vec<Vec<u8>> {
    ALL.map(|k| fs::read(lab.dir(k).join("etc/authkey")).expect("the key")).into()
}

/// Everything that pcs does to a cluster on knet, on each kind of daemon.
#[test]
#[ignore = "minutes: scripts/interop.sh knet pcs"]
fn pcs_sets_up_and_changes_a_cluster() {
    if !can() {
        return;
    }
    for mix in Mix::chosen(&["AAA/knet2+aes256+sha256", "ACA/knet2+aes256+sha256"]) {
        let mut lab = Lab::new(3);
        prepare(&lab);
        let _pcsds = pcsds(&lab);
        pcs(&lab, &format!("cluster setup lab {}", nodes()));
        let first = keys(&lab);
        assert!(first.iter().all(|key| key.len() == 256 && *key == first[0]), "one key for all");
        mix.start(&mut lab);
        wait_for_ring(&lab);
        assert_encrypted(&lab);

        let mut flow = Flow::paced(&lab, &ALL, Duration::from_millis(5));
        let mut told = |what: &str| {
            let silence = flow.for_a_while(Duration::from_secs(2));
            println!("{mix}: {what}: longest silence {:.2} s", silence.as_secs_f64());
        };
        pcs(&lab, "cluster authkey corosync");
        let second = keys(&lab);
        assert!(second[0] != first[0] && second.iter().all(|key| *key == second[0]), "another key for all");
        told("another key");
        // pcs finds no CIB in which it could look for addresses, as Pacemaker does not run.
        pcs(&lab, "cluster link remove 1");
        for (k, to) in [(1, 2), (2, 3), (3, 1)] {
            lab.until(k, "corosync-cmapctl -m stats", PATIENCE, |said| {
                !said.out.contains(&format!("stats.knet.node{to}.link1."))
            });
        }
        told("link 1 removed");
        let addresses = ALL.map(|k| format!("n{k}={}", address(k, 1))).join(" ");
        pcs(&lab, &format!("cluster link add {addresses} options link_priority=7 --force"));
        wait_for_ring(&lab);
        assert_encrypted(&lab);
        told("link 1 added");
        flow.end(&lab, &mix.to_string());

        // All hosts use the new key: a host that restarts with only that key joins.
        lab.end(3, Signal::TERM);
        lab.start(3, mix.kind(3));
        wait_for_ring(&lab);

        // This command of pcs works only while the cluster is down.
        for k in ALL {
            lab.end(k, Signal::TERM);
        }
        pcs(
            &lab,
            "cluster link update 1 options link_priority=9 ping_interval=300 ping_timeout=1200 pong_count=3",
        );
        let text = fs::read_to_string(lab.dir(2).join("etc/corosync.conf")).expect("the file");
        assert!(text.contains("knet_link_priority: 9") && text.contains("knet_pong_count: 3"), "{text}");
        mix.start(&mut lab);
        wait_for_ring(&lab);
        for k in ALL {
            let timeout =
                lab.must(k, "corosync-cmapctl -g runtime.config.totem.interface.1.knet_ping_timeout");
            assert!(timeout.ends_with("= 1200\n"), "{timeout}");
        }
    }
}
