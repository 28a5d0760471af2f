//! Debian's own tools on annulusd: `corosync -t` on the configuration, corosync-cpgtool, Wireshark's dissectors.

use crate::lab::{Kind, Lab, PATIENCE, Peer, Transport, wait_until};
use crate::ready;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Debian's `corosync -t` accepts the configuration file that annulusd runs from.
#[test]
fn corosync_accepts_the_configuration() {
    if !ready() {
        return;
    }
    let lab = Lab::new(1);
    for transport in [Transport::Udp, Transport::Udpu] {
        lab.configure(transport, "token: 3000");
        let (status, text) = lab.run(1, &["sh", "-c", "corosync -t 2>&1"]);
        assert!(status.success(), "{}: {text}", transport.word());
    }
}

/// Groups and members as corosync-cpgtool lists them, with process ids replaced by their rank on the host, as the ids
/// themselves depend on how many threads the daemon has.
fn listing(kind: Kind) -> Vec<String> {
    let mut lab = Lab::new(3);
    lab.configure(Transport::Udpu, "token: 3000");
    lab.start_all(kind);
    lab.wait_for_one_ring();
    // One after the other, so that the order of joining is the same for both daemons.
    let clients = [
        (1, "alpha"),
        (2, "alpha"),
        (3, "alpha"),
        (2, "be\\ta\u{1}"),
        (3, "gamma"),
        (1, "alpha"),
        (3, "alpha"),
    ];
    let mut peers: Vec<Peer> = Vec::new();
    let mut ranks: BTreeMap<(usize, String), usize> = BTreeMap::new();
    for (index, (k, group)) in clients.iter().enumerate() {
        let mut peer =
            lab.peer(*k, &format!("member{index}"), "order", &["--group", group, "--finish", "no"]);
        let joined = peer.wait_for("joined ", PATIENCE);
        let pid = joined.split(' ').nth(2).expect("joined NODE PID").to_owned();
        let rank = ranks.keys().filter(|(node, _)| node == k).count() + 1;
        ranks.insert((*k, pid), rank);
        peers.push(peer);
    }
    // The other hosts know of the last join as soon as it has been delivered there.
    let lists =
        |k: usize, count: usize| lab.run(k, &["corosync-cpgtool"]).1.matches("10.77.0.").count() == count;
    for k in 1..=lab.len() {
        let listed = wait_until(PATIENCE, || lists(k, clients.len()));
        assert!(listed.is_ok(), "{kind:?}, host {k}: not all members are listed\n{}", lab.log_tail(k));
    }
    let calls: [&[&str]; 5] = [&[], &["-d", ";"], &["-n"], &["-e"], &["-n", "-d", ","]];
    let mut listings = Vec::new();
    for k in 1..=lab.len() {
        for call in calls {
            let mut words = vec!["corosync-cpgtool"];
            words.extend(call);
            let (status, mut text) = lab.run(k, &words);
            assert!(status.success(), "{kind:?}, host {k}: {words:?} failed: {text}\n{}", lab.log_tail(k));
            for ((node, pid), rank) in &ranks {
                text = text
                    .replace(&format!("{pid:>10}\t{node:>10} "), &format!("{rank:>10}\t{node:>10} "))
                    .replace(&format!(";{pid};{node}\n"), &format!(";rank {rank};{node}\n"));
            }
            listings.push(format!("host {k}: {words:?}\n{text}"));
        }
    }
    for peer in &mut peers {
        peer.tell("stop");
        peer.succeed(PATIENCE);
    }
    // With no member left, nothing is listed; the leaves, too, must go around the ring first.
    let _ = wait_until(PATIENCE, || lists(1, 0));
    let (status, text) = lab.run(1, &["corosync-cpgtool"]);
    assert!(status.success(), "{text}");
    listings.push(format!("empty: {text}"));
    lab.end(1, Signal::TERM);
    listings
}

/// On annulusd, corosync-cpgtool lists what it lists on Debian's daemon.
#[test]
fn cpgtool_lists_the_same() {
    if !ready() {
        return;
    }
    let reference = listing(Kind::Corosync);
    assert!(reference[0].contains("alpha") && reference[0].contains("10.77.0.3"), "{}", reference[0]);
    for (ours, theirs) in listing(Kind::Annulus).iter().zip(&reference) {
        assert!(ours == theirs, "on annulusd:\n{ours}\non Corosync:\n{theirs}");
    }
}

/// Wireshark must dissect each packet of a run in which a daemon is killed and restarted.
fn dissected(kind: Kind, transport: Transport) {
    if !ready() {
        return;
    }
    let mut lab = Lab::new(3);
    lab.configure(transport, "token: 3000");
    let file = lab.dir(1).join("run.pcapng");
    let capture = lab.capture(&file);
    lab.start_all(kind);
    let options = ["--members", "3", "--count", "400", "--finish", "no", "--pause-us", "4000"];
    let mut peers: Vec<Peer> = (1..=3).map(|k| lab.peer(k, "peer", "order", &options)).collect();
    peers[0].wait_for("sending", PATIENCE);
    std::thread::sleep(Duration::from_millis(300));
    lab.end(3, Signal::KILL);
    let _ = peers[2].finish(PATIENCE);
    lab.start(3, kind);
    for peer in &mut peers[..2] {
        peer.wait_for("sent ", PATIENCE);
        peer.tell("stop");
        peer.succeed(PATIENCE);
    }
    lab.end(2, Signal::TERM);
    std::thread::sleep(Duration::from_secs(2));
    let said = capture.stop();
    println!("{kind:?} {}: {}", transport.word(), said.trim().replace('\n', " / "));
    check_dissection(&file);
}

/// Debian's Wireshark knows only Corosync 2, so `scripts/totem3.lua` describes the layout of Corosync 3, for every
/// byte. `every_packet_of_corosync_is_dissected` validates that script against Debian's daemons.
fn check_dissection(file: &Path) {
    // Wireshark runs no scripts as root, and the user nobody cannot read every folder, so it gets copies.
    let script = file.with_file_name("totem3.lua");
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/totem3.lua"), &script)
        .expect("copy the script");
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--", "tshark", "-X"])
        .arg(format!("lua_script:{}", script.display()))
        .args(["-n", "-r", "-", "-T", "fields", "-E", "separator=|", "-E", "occurrence=f"])
        .args(["-e", "frame.number", "-e", "_ws.col.Protocol", "-e", "totem3.type", "-e", "_ws.malformed"])
        .args(["-e", "_ws.expert.message", "-e", "_ws.col.Info", "-e", "udp.payload"])
        .env("HOME", file.parent().expect("a folder"))
        .stdin(std::fs::File::open(file).expect("the recording"))
        .output()
        .expect("setpriv (package util-linux) starts");
    assert!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    let mut wrong = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let fields: Vec<&str> = line.split('|').collect();
        let good =
            fields[1] == "TOTEM3" && !fields[2].is_empty() && fields[3].is_empty() && fields[4].is_empty();
        *kinds.entry(if good { fields[5].to_owned() } else { "not dissected".to_owned() }).or_default() += 1;
        if !good {
            wrong.push(line[..line.len().min(700)].to_owned());
        }
    }
    println!("{kinds:?}");
    assert!(
        wrong.is_empty(),
        "{} packets are not as they should be, such as\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    for kind in ["orf token", "data", "join", "commit token"] {
        assert!(kinds.contains_key(kind), "no {kind} in the run: {kinds:?}");
    }
}

#[test]
fn every_packet_is_dissected_udp() {
    dissected(Kind::Annulus, Transport::Udp);
}

#[test]
fn every_packet_is_dissected_udpu() {
    dissected(Kind::Annulus, Transport::Udpu);
}

#[test]
fn every_packet_of_corosync_is_dissected() {
    dissected(Kind::Corosync, Transport::Udp);
}
