//! Votes on a mixed ring: for every rule of votequorum, in the states where it matters, each host of either kind
//! shows what it shows on a ring of Corosync alone.

use super::tell;
use crate::both::Side;
use crate::cmapctl::mask_values;
use crate::lab::Settings;
use crate::lab::Transport;
use crate::{qdevice, quorumtool, ready};
use rustix::process::Signal;
use std::time::Duration;

/// Options of corosync-quorumtool that are run on each host in each state.
const STATE: &[&str] = &["-s", "-l -i", "-s -p -oi"];

fn settings(quorum: &str, nodes: usize) -> Settings {
    Settings::new(Transport::Udpu, "token: 2000", nodes).quorum(quorum)
}

/// Names a state and notes what each of these hosts shows in it.
fn show(side: &mut Side, state: &str, hosts: &[usize]) {
    side.state(state);
    for k in hosts {
        for option in STATE {
            side.note(*k, &format!("corosync-quorumtool {option}"));
        }
        side.note_with(*k, "corosync-cmapctl runtime.votequorum. quorum. runtime.members", mask_values);
    }
}

/// Two hosts, with the rules for two nodes: they need each other only at the first start.
fn pair(side: &mut Side) {
    for (first, second) in [(1, 2), (2, 1)] {
        side.state("two_node, begins");
        side.begin(&settings("two_node: 1", 2), &[first]);
        side.settle(&[first]);
        show(side, &format!("two_node, {first} alone at first"), &[first]);
        side.start(second);
        side.settle(&[1, 2]);
        show(side, "two_node, both", &[1, 2]);
        side.lab.end(first, Signal::KILL);
        side.settle(&[second]);
        show(side, &format!("two_node, {first} killed"), &[second]);
        side.start(first);
        side.settle(&[1, 2]);
        show(side, &format!("two_node, {first} is back"), &[1, 2]);
        side.lab.end(first, Signal::TERM);
        side.settle(&[second]);
        show(side, &format!("two_node, {first} has left"), &[second]);
        side.start(first);
        side.settle(&[1, 2]);
        side.lab.cut(second);
        side.settle(&[1]);
        side.settle(&[2]);
        show(side, "two_node, cut", &[1, 2]);
        side.lab.heal(second);
        side.settle(&[1, 2]);
        show(side, "two_node, healed", &[1, 2]);
        // A host that restarts while it is cut off waits for all; the merge ends the wait.
        side.lab.end(second, Signal::KILL);
        side.settle(&[first]);
        side.lab.cut(second);
        side.start(second);
        side.settle(&[second]);
        show(side, &format!("two_node, {second} started cut off"), &[1, 2]);
        side.lab.heal(second);
        side.settle(&[1, 2]);
        show(side, "two_node, merged", &[1, 2]);
    }
    side.state("two_node, reloaded away, begins");
    side.note(1, "corosync-quorumtool -e 2");
    for k in [1, 2] {
        side.configure(k, &settings("", 2));
    }
    side.note(2, "corosync-cfgtool -R");
    std::thread::sleep(Duration::from_secs(2));
    show(side, "two_node, reloaded away", &[1, 2]);
}

/// Four hosts in two halves, and every way to have fewer.
fn four(side: &mut Side) {
    let all = [1, 2, 3, 4];
    for rule in
        ["auto_tie_breaker: 1", "auto_tie_breaker: 1\nauto_tie_breaker_node: highest", "wait_for_all: 1"]
    {
        side.state(rule);
        side.begin(&settings(rule, 4), &all);
        side.settle(&all);
        show(side, &format!("{rule}, all"), &all);
        for k in [2, 4] {
            side.lab.apart(k);
        }
        side.settle(&[1, 3]);
        side.settle(&[2, 4]);
        show(side, &format!("{rule}, halves"), &all);
        for k in [2, 4] {
            side.lab.heal(k);
        }
        side.settle(&all);
        show(side, &format!("{rule}, whole again"), &all);
    }

    side.state("last man standing");
    side.begin(
        &settings(
            "last_man_standing: 1\nlast_man_standing_window: 2000\nwait_for_all: 1\nauto_tie_breaker: 1",
            4,
        ),
        &all,
    );
    side.settle(&all);
    show(side, "last man standing, all", &all);
    side.lab.end(4, Signal::KILL);
    side.settle_when(&[1, 2, 3], |text| text.contains("Expected votes:   3"));
    show(side, "last man standing, three", &[1, 2, 3]);
    side.lab.end(3, Signal::KILL);
    side.settle_when(&[1, 2], |text| text.contains("Expected votes:   2"));
    show(side, "last man standing, two", &[1, 2]);
    side.lab.end(2, Signal::KILL);
    side.settle(&[1]);
    std::thread::sleep(Duration::from_secs(4));
    show(side, "last man standing, one", &[1]);
    for k in [2, 3, 4] {
        side.start(k);
        side.settle(&all[..k]);
    }
    show(side, "last man standing, all again", &all);
}

/// Votes that are set on one host become known to the others.
fn told(side: &mut Side) {
    let all = [1, 2, 3, 4];
    side.state("told");
    side.begin(&settings("", 4), &[1, 2, 3]);
    side.settle(&[1, 2, 3]);
    for k in 1..=3 {
        let other = k % 3 + 1;
        side.note(k, "corosync-quorumtool -e 5");
        side.settle_when(&[1, 2, 3], |text| text.contains("Expected votes:   5"));
        show(side, &format!("five expected, {k} said"), &[1, 2, 3]);
        side.note(k, "corosync-quorumtool -e 4");
        side.settle_when(&[1, 2, 3], |text| text.contains("Expected votes:   4"));
        side.note(k, &format!("corosync-quorumtool -v 3 -n {other}"));
        side.settle_when(&[1, 2, 3], |text| text.contains("Total votes:      5"));
        show(side, &format!("three votes for {other}, {k} said"), &[1, 2, 3]);
        side.note(k, &format!("corosync-quorumtool -v 1 -n {other}"));
        side.settle_when(&[1, 2, 3], |text| text.contains("Total votes:      3"));
        side.note(k, "corosync-quorumtool -e 4");
        side.settle_when(&[1, 2, 3], |text| text.contains("Expected votes:   4"));
        show(side, &format!("as before, {k} said"), &[1, 2, 3]);
    }
    side.note(3, "corosync-quorumtool -v 4 -n 1");
    side.settle_when(&[1, 2, 3], |text| text.contains("Total votes:      6"));
    side.note(2, "corosync-quorumtool -e 8");
    side.settle_when(&[1, 2, 3], |text| text.contains("Expected votes:   8"));
    side.start(4);
    side.settle(&all);
    show(side, "a fourth that comes later", &all);
    side.lab.end(2, Signal::KILL);
    side.settle(&[1, 3, 4]);
    side.start(2);
    side.settle(&all);
    show(side, "one restarted", &all);
    side.lab.end(1, Signal::KILL);
    side.settle(&[2, 3, 4]);
    show(side, "without the one with many", &[2, 3, 4]);
    side.start(1);
    side.settle(&all);
    show(side, "with it", &all);

    // Each part is told something different.
    for k in [3, 4] {
        side.lab.apart(k);
    }
    side.settle(&[1, 2]);
    side.settle(&[3, 4]);
    show(side, "parts", &all);
    side.note(2, "corosync-quorumtool -e 3");
    side.note(3, "corosync-quorumtool -e 2");
    side.note(2, "corosync-quorumtool -v 2 -n 1");
    side.note(4, "corosync-quorumtool -v 3 -n 3");
    std::thread::sleep(Duration::from_secs(2));
    show(side, "parts, each told", &all);
    for k in [3, 4] {
        side.lab.heal(k);
    }
    side.settle(&all);
    show(side, "one again", &all);
}

/// A host that leaves takes its vote with it, under each rule that permits this.
fn downscale(side: &mut Side) {
    let all = [1, 2, 3, 4];
    for rule in [
        "allow_downscale: 1",
        "expected_votes_tracking: 1",
        "last_man_standing: 1\nlast_man_standing_window: 1500",
    ] {
        side.state(rule);
        side.begin(&settings(rule, 4), &all);
        side.settle(&all);
        show(side, &format!("{rule}, all"), &all);
        side.lab.end(4, Signal::TERM);
        side.settle(&[1, 2, 3]);
        std::thread::sleep(Duration::from_secs(3));
        show(side, &format!("{rule}, three"), &[1, 2, 3]);
        side.lab.end(1, Signal::TERM);
        side.settle(&[2, 3]);
        std::thread::sleep(Duration::from_secs(3));
        show(side, &format!("{rule}, two"), &[2, 3]);
        side.note(2, "corosync-quorumtool -e 6");
        std::thread::sleep(Duration::from_secs(1));
        show(side, &format!("{rule}, six expected"), &[2, 3]);
        side.lab.end(3, Signal::KILL);
        side.settle(&[2]);
        show(side, &format!("{rule}, one killed"), &[2]);
        // The hosts start one by one: those that meet first have a quorum of their own, which then decides.
        for (k, now) in [(1, &[1, 2][..]), (3, &[1, 2, 3]), (4, &all)] {
            side.start(k);
            side.settle(now);
        }
        show(side, &format!("{rule}, all again after six were expected"), &all);
    }
}

#[test]
fn two_hosts_of_different_kinds() {
    if ready() {
        tell(2, &["AC/udpu"], &["CA/udpu", "AC/udp", "CA/udp", "AC/knet", "CA/knet2"], pair);
    }
}

#[test]
fn every_rule_of_votequorum() {
    if ready() {
        let more = [
            "ACC/udpu",
            "CAA/udp",
            "CAC/udpu",
            "ACA/udp",
            "AAC/udpu",
            "CCA/udp",
            "ACA/udpu",
            "ACA/knet2+aes256+sha256",
        ];
        tell(3, &["CAC/udp"], &more, quorumtool::rules);
    }
}

#[test]
fn an_older_configuration() {
    if ready() {
        let more = ["ACA/udp", "CAC/udpu", "AAC/udp", "CCA/udpu", "ACC/udpu", "CAA/knet"];
        tell(3, &["CAA/udpu"], &more, quorumtool::versions);
    }
}

#[test]
#[ignore = "minutes: scripts/interop.sh mixed votes"]
fn three_hosts_of_both_kinds() {
    if ready() {
        tell(3, &["ACC/udpu", "CAC/udp"], &["CAA/udpu", "ACA/udp", "AAC/udpu", "CCA/udp"], quorumtool::three);
    }
}

#[test]
#[ignore = "minutes: scripts/interop.sh mixed votes"]
fn one_of_three_hosts_cut_off() {
    if ready() {
        tell(3, &["CAA/udp", "AAC/udpu"], &["ACC/udp", "CAC/udpu", "ACA/udp", "CCA/udpu"], quorumtool::cut);
    }
}

#[test]
#[ignore = "minutes: scripts/interop.sh mixed votes"]
fn two_halves_and_last_man_standing() {
    if ready() {
        tell(4, &["AACC/udpu", "CACA/udp"], &["ACAC/udpu", "CCCA/udp", "ACCC/udp", "CAAC/udpu"], four);
    }
}

#[test]
#[ignore = "minutes: scripts/interop.sh mixed votes"]
fn votes_set_on_one_host_become_known_to_all() {
    if ready() {
        tell(4, &["ACAC/udpu", "CAAC/udp"], &["AACC/udpu", "CACA/udp", "CCCA/udpu", "ACCC/udp"], told);
    }
}

#[test]
#[ignore = "minutes: scripts/interop.sh mixed votes"]
fn a_host_that_leaves_takes_its_vote_with_it() {
    if ready() {
        tell(4, &["CAAC/udpu", "ACCA/udp"], &["AACC/udpu", "CACA/udp", "CCCA/udpu", "ACCC/udp"], downscale);
    }
}

#[test]
#[ignore = "minutes: scripts/interop.sh mixed votes"]
fn a_device_of_two_hosts() {
    if ready() && qdevice::packages() {
        tell(3, &["ACC/udpu", "CAC/udpu"], &["ACC/udp", "CAC/udp"], qdevice::story);
    }
}
