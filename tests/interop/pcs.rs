//! pcs, Debian's, on knet: the cluster that it sets up, encrypted and on two links, and what it changes while that runs.
//!
//! On each host runs pcsd, which pcs speaks to and which writes the files and reloads; hosts trust each other by a token,
//! as after `pcs host auth`. systemd is stood in for by a script that knows whether a daemon runs: the daemons
//! are started and ended here.

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

/// What pcs says that it writes for three hosts with two links each.
fn nodes() -> String {
    ALL.map(|k| format!("n{k} addr={} addr={}", address(k, 0), address(k, 1))).join(" ")
}

/// pcs and its daemon ask systemd about units.
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

/// The token by which hosts trust each other.
const TOKEN: &str = "11111111-2222-3333-4444-555555555555";

/// Gives each host what pcs writes to, for itself alone.
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
        // Where the lab looks for it.
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

/// Pings of 80 bytes: encrypted with aes256, authenticated with sha256.
fn assert_encrypted(lab: &Lab) {
    let (before, after) = {
        let before = pings(lab, 1, 2, 1).expect("there is a link 1");
        std::thread::sleep(Duration::from_secs(3));
        (before, pings(lab, 1, 2, 1).expect("there is a link 1"))
    };
    assert!(after.0 > before.0, "{before:?} {after:?}");
    assert_eq!(after.1 - before.1, 80 * (after.0 - before.0), "{before:?} {after:?}");
}

/// What `pcs cluster setup` writes, with the key that it has made, starts as it is.
#[test]
fn what_pcs_sets_up_starts() {
    if !can() {
        return;
    }
    let mut lab = Lab::new(3);
    prepare(&lab);
    // To a file alone: this needs no pcsd.
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

/// pcsd on every host.
fn pcsds(lab: &Lab) -> Vec<Program> {
    let both = "RACK_ENV=production /usr/share/pcsd/pcsd & exec /usr/sbin/pcsd";
    let programs = ALL.map(|k| lab.spawn(k, &["sh", "-c", both])).into();
    for k in ALL {
        lab.until(k, "ss -ltn", PATIENCE, |said| said.out.contains(":2224"));
    }
    programs
}

/// Runs pcs on host 1. For each request pcsd starts another Python program, which takes a minute on a busy machine.
fn pcs(lab: &Lab, line: &str) {
    // The set-up knows no such option.
    let patience = if line.starts_with("cluster setup") { "" } else { "--request-timeout=300 " };
    let line = format!("pcs {patience}{line}");
    let mut program = lab.spawn(1, &["sh", "-c", &line]);
    let said = program.finish(Duration::from_secs(900));
    assert_eq!(said.code, 0, "{line}: {}", said.text());
}

fn keys(lab: &Lab) -> Vec<Vec<u8>> {
    ALL.map(|k| fs::read(lab.dir(k).join("etc/authkey")).expect("the key")).into()
}

/// Everything that pcs does to a cluster of knet, on each of these.
#[test]
#[ignore = "minutes: scripts/knet.sh pcs"]
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
        // No CIB to look for addresses in: no Pacemaker runs.
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

        // The new key is what all use: one that has never had another one comes back.
        lab.end(3, Signal::TERM);
        lab.start(3, mix.kind(3));
        wait_for_ring(&lab);

        // This pcs does to a cluster that does not run.
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
