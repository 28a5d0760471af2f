//! On each host of a mixed ring, Debian's tools show what they show on a ring of Corosync alone.

use super::tell;
use crate::both::{PATIENCE, Side};
use crate::lab::{Settings, Transport};
use crate::{cfgtool, clients, cmapctl, ready};

/// Commands that are run on each host in each state.
const STATE: &[&str] = &[
    "corosync-cfgtool -s",
    "corosync-cfgtool -n",
    "corosync-cfgtool -s -b",
    "corosync-quorumtool -s -l",
    "corosync-cmapctl nodelist. quorum. totem.token totem.cluster_name logging. config. runtime.members. runtime.votequorum.",
    "corosync-cmapctl -g runtime.config.totem.token runtime.config.totem.consensus runtime.config.totem.hold",
];

fn show(side: &mut Side, state: &str, hosts: &[usize]) {
    side.state(state);
    for k in hosts {
        for line in STATE {
            side.note_with(*k, line, cmapctl::mask_values);
        }
    }
}

/// A configuration with `nodes` nodes and this token time-out.
fn settings(nodes: usize, token: u32) -> Settings {
    Settings::new(Transport::Udpu, &format!("token: {token}\ntoken_coefficient: 0"), nodes)
}

/// Reloads on each host in turn; nodes that reloads add and remove; nodes that shut each other down.
fn reloads(side: &mut Side) {
    let three = [1, 2, 3];
    let all = [1, 2, 3, 4];
    side.state("reloads");
    side.begin(&settings(3, 2000), &three);
    side.settle(&three);
    let reloaded =
        |side: &mut Side, from: usize, hosts: &[usize], with: &Settings, key: &str, value: &str| {
            for k in all {
                side.configure(k, with);
            }
            side.note(from, "corosync-cfgtool -R");
            for k in hosts {
                side.lab
                    .until(*k, &format!("corosync-cmapctl {key}"), PATIENCE, |said| said.out.contains(value));
            }
            show(side, &format!("{key} {value} from host {from}"), hosts);
        };
    for from in three {
        let token = 2000 + 100 * u32::try_from(from).expect("small");
        reloaded(
            side,
            from,
            &three,
            &settings(3, token),
            "runtime.config.totem.token",
            &format!("= {token}\n"),
        );
    }
    let mut votes = settings(3, 2000);
    for from in three {
        votes.node = format!("    quorum_votes: {}", from + 1);
        side.state("votes");
        let key = "nodelist.node.0.quorum_votes";
        reloaded(side, from, &three, &votes, key, &format!("= {}\n", from + 1));
        let total = format!("Total votes:      {}", 3 * (from + 1));
        side.settle_when(&three, |text| text.contains(&total));
        show(side, &format!("votes from host {from}"), &three);
    }
    for from in three {
        side.state("a node comes");
        reloaded(side, from, &three, &settings(4, 2000), "nodelist.", "nodelist.node.3.nodeid");
        side.start(4);
        side.settle(&all);
        show(side, &format!("a node has come, from host {from}"), &all);
        side.lab.end(4, rustix::process::Signal::TERM);
        side.settle(&three);
        for k in three {
            side.configure(k, &settings(3, 2000));
        }
        side.note(from, "corosync-cfgtool -R");
        for k in three {
            side.lab
                .until(k, "corosync-cmapctl nodelist.", PATIENCE, |said| !said.out.contains("node.3.nodeid"));
        }
        show(side, &format!("a node has gone, from host {from}"), &three);
    }
    // A host that cannot read its file keeps its configuration.
    let mut broken = settings(3, 2000);
    broken.more = "quorum {\n".to_owned();
    for at in three {
        side.state("a broken file");
        for k in three {
            side.configure(k, &if k == at { broken.clone() } else { settings(3, 2500) });
        }
        let from = at % 3 + 1;
        side.note(from, "corosync-cfgtool -R");
        for k in three.into_iter().filter(|k| *k != at) {
            side.lab.until(k, "corosync-cmapctl -g runtime.config.totem.token", PATIENCE, |said| {
                said.out.contains("2500")
            });
        }
        for k in three {
            let place = if k == at { "at home" } else { "elsewhere" };
            show(side, &format!("a file broken {place}"), &[k]);
        }
        reloaded(side, at, &three, &settings(3, 2000), "runtime.config.totem.token", "= 2000\n");
    }
}

/// Each node is ended by a command on each other node, and on itself.
fn ends(side: &mut Side) {
    let all = [1, 2, 3];
    side.state("ends");
    side.begin(&settings(3, 2000), &all);
    side.settle(&all);
    for from in all {
        for at in all {
            let rest: Vec<usize> = all.into_iter().filter(|k| *k != at).collect();
            side.state(&format!("{from} ends {at}"));
            side.note(from, &format!("corosync-cfgtool -k {at}"));
            let status = side.lab.ended(at, PATIENCE);
            side.keep_of(at, "its end", format!("{:?}\n", status.code()));
            side.settle(&rest);
            show(side, &format!("{from} has ended {at}"), &rest);
            side.start(at);
            side.settle(&all);
        }
    }
    for k in all {
        let rest: Vec<usize> = all.into_iter().filter(|other| *other != k).collect();
        side.state(&format!("{k} is shut down"));
        side.note(k, "corosync-cfgtool -H");
        let status = side.lab.ended(k, PATIENCE);
        side.keep_of(k, "its end", format!("{:?}\n", status.code()));
        side.settle(&rest);
        show(side, &format!("{k} has been shut down"), &rest);
        side.start(k);
        side.settle(&all);
        show(side, &format!("{k} is back"), &all);
        side.lab.cut(k);
        side.settle(&rest);
        side.settle(&[k]);
        show(side, &format!("{k} is cut off"), &all);
        side.lab.heal(k);
        side.settle(&all);
        show(side, &format!("{k} is healed"), &all);
    }
}

#[test]
fn reloads_from_every_host() {
    if ready() {
        tell(4, &["ACAC/udpu"], &["CACA/udpu", "CCAA/udpu", "CACC/udp", "CACA/knet2+aes256+sha256"], reloads);
    }
}

#[test]
fn cfgtool_reloads() {
    if ready() {
        let more =
            ["ACC/udpu", "CAA/udp", "CAC/udpu", "ACA/udp", "AAC/udpu", "CCA/udp", "ACA/knet", "CAC/knet2"];
        tell(3, &["CAC/udp"], &more, cfgtool::reloads);
    }
}

#[test]
fn cmapctl_keys() {
    if ready() {
        tell(
            3,
            &["ACA/udpu", "CAA/knet2+aes256+sha256"],
            &["ACC/udp", "CAA/udpu", "CAC/udp", "AAC/udp", "CCA/udpu"],
            cmapctl::keys,
        );
    }
}

#[test]
fn cmapctl_tracks() {
    if ready() {
        let more = ["ACC/udpu", "CAA/udp", "ACA/udp", "AAC/udpu", "CCA/udp", "CAA/knet"];
        tell(3, &["CAC/udpu"], &more, cmapctl::tracking);
    }
}

#[test]
fn cmapctl_changes() {
    if ready() {
        tell(2, &["CA/udp"], &["AC/udpu", "AC/udp", "CA/udpu", "AC/knet"], cmapctl::changes);
    }
}

#[test]
#[ignore = "minutes: scripts/interop.sh mixed tools"]
fn every_host_ends_every_host() {
    if ready() {
        let more = ["CAA/udpu", "ACC/udp", "AAC/udp", "CCA/udpu", "ACA/knet2"];
        tell(3, &["ACA/udpu", "CAC/udp"], &more, ends);
    }
}

#[test]
#[ignore = "minutes: scripts/interop.sh mixed tools"]
fn cfgtool_shows() {
    if ready() {
        let more = ["ACA/udpu", "CAA/udpu", "CAC/udp", "AAC/udp", "CCA/udpu"];
        tell(3, &["ACC/udp"], &more, cfgtool::shows);
    }
}

#[test]
#[ignore = "minutes: scripts/interop.sh mixed tools"]
fn cfgtool_ends() {
    if ready() {
        let more = ["ACC/udpu", "CAA/udp", "ACA/udp", "AAC/udpu", "CCA/udp"];
        tell(3, &["CAC/udpu"], &more, cfgtool::ends);
    }
}

#[test]
#[ignore = "minutes: scripts/interop.sh mixed tools"]
fn every_call_of_rust_corosync() {
    if ready() {
        tell(2, &["AC/udpu", "CA/udpu"], &["AC/udp", "CA/udp", "AC/knet+aes256+sha256"], clients::calls);
    }
}
