//! Debian's corosync-quorumtool on annulusd: each option in each state prints what it prints on Corosync.

use crate::both::{PATIENCE, Side, compare};
use crate::lab::{Settings, Transport};
use crate::ready;
use rustix::process::Signal;

/// All options that show something.
const SHOWS: &[&str] = &[
    "-s",
    "-l",
    "-i",
    "-p",
    "-a",
    "-H",
    "-s -p",
    "-l -p",
    "-s -H -i",
    "-l -i -oi",
    "-l -on",
    "-l -oa",
    "-l -a -p",
    "-l -H -p",
    "-s -n 2",
    "-n 3",
    "",
];
/// Options that show everything that depends on the state.
const STATE: &[&str] = &["-s", "-s -p -oi", "-l"];
/// Options that are refused or concern only the tool itself.
const REFUSED: &[&str] = &[
    "-o",
    "-o x",
    "-e x",
    "-e 0",
    "-e -1",
    "-e 1",
    "-e 99999",
    "-v x",
    "-v -1 -n 2",
    "-v 1 -n 9",
    "-v 1 -n x",
    "-n 9",
    "-x",
    "-f",
    "-V",
    "-h",
];

fn settings(quorum: &str, nodes: usize) -> Settings {
    Settings::new(Transport::Udpu, "token: 2000", nodes).quorum(quorum)
}

fn show(side: &mut Side, hosts: &[usize], options: &[&str]) {
    for k in hosts {
        for option in options {
            side.note(*k, &format!("corosync-quorumtool {option}"));
        }
    }
}

/// No daemon; three nodes; one fewer, two fewer, and three again; votes and expected votes set at run time.
pub(crate) fn three(side: &mut Side) {
    side.state("no daemon");
    side.begin(&settings("", 3), &[]);
    show(side, &[1], &["-s", "-l", "-m", "-e 3", "-v 1 -n 1", "-f", "-V", "-h"]);

    side.state("fresh");
    for k in 1..=3 {
        side.start(k);
    }
    side.settle(&[1, 2, 3]);
    show(side, &[1, 3], SHOWS);
    show(side, &[2], REFUSED);

    side.state("votes set");
    let mut monitor = side.lab.spawn(1, &["stdbuf", "-oL", "corosync-quorumtool", "-m"]);
    monitor.wait_for("member", PATIENCE, |text| text.contains("(local)"));
    side.note(1, "corosync-quorumtool -e 5");
    side.settle_when(&[1, 2, 3], |text| text.contains("Expected votes:   5"));
    show(side, &[1, 2, 3], STATE);
    side.note(2, "corosync-quorumtool -v 3 -n 3");
    side.settle_when(&[1, 2, 3], |text| text.contains("Total votes:      5"));
    show(side, &[1, 3], STATE);
    side.note(3, "corosync-quorumtool -v 0 -n 1");
    side.settle_when(&[1, 2, 3], |text| text.contains("Total votes:      4"));
    show(side, &[1, 2], STATE);
    side.note(1, "corosync-quorumtool -v 2");
    side.settle_when(&[1, 2, 3], |text| text.contains("Total votes:      6"));
    side.note(1, "corosync-quorumtool -v 1 -n 3");
    side.settle_when(&[1, 2, 3], |text| text.contains("Total votes:      4"));
    // Expected votes are set first, as fewer votes than the quorum of six would be refused.
    side.note(1, "corosync-quorumtool -v 1 -n 1");
    side.note(1, "corosync-quorumtool -e 4");
    side.settle_when(&[1, 2, 3], |text| text.contains("Expected votes:   4"));
    side.note(1, "corosync-quorumtool -v 1 -n 1");
    side.settle_when(&[1, 2, 3], |text| text.contains("Total votes:      3"));
    side.note(1, "corosync-quorumtool -e 3");
    side.settle_when(&[1, 2, 3], |text| text.contains("Expected votes:   3"));
    show(side, &[1, 2, 3], STATE);

    side.state("one killed");
    side.lab.end(3, Signal::KILL);
    side.settle(&[1, 2]);
    show(side, &[1, 2], SHOWS);
    side.state("two killed");
    side.lab.end(2, Signal::KILL);
    side.settle(&[1]);
    show(side, &[1], SHOWS);
    side.note(1, "corosync-quorumtool -e 1");
    side.settle_when(&[1], |text| text.contains("Expected votes:   1"));
    show(side, &[1], STATE);

    side.state("both restarted");
    side.start(2);
    side.settle(&[1, 2]);
    show(side, &[1, 2], STATE);
    side.start(3);
    side.settle(&[1, 2, 3]);
    show(side, &[1, 2, 3], SHOWS);
    side.state("one asked to end");
    side.lab.end(3, Signal::TERM);
    side.settle(&[1, 2]);
    show(side, &[1, 2], STATE);

    side.state("monitored from the start");
    monitor.tell("q");
    monitor.signal(Signal::INT);
    let said = monitor.finish(PATIENCE);
    side.keep("host 1: corosync-quorumtool -m", format!("exit code {}\n{}", said.code, monitored(&said.out)));
}

/// The output of a monitor: the first report in full, and the number of nodes in each later one. (Whether a report
/// comes before or after the votes of a node that joined is chance.)
fn monitored(text: &str) -> String {
    let mut reports = text.split("Quorum information\n").skip(1);
    let mut kept = reports.next().unwrap_or_default().to_owned();
    let mut nodes: Vec<&str> =
        reports.filter_map(|report| report.lines().find(|line| line.starts_with("Nodes:"))).collect();
    nodes.dedup();
    kept.push_str(&nodes.join("\n"));
    kept
}

/// A cut and its healing: the single node has no quorum, the other two have.
pub(crate) fn cut(side: &mut Side) {
    side.begin(&settings("", 3), &[1, 2, 3]);
    side.settle(&[1, 2, 3]);
    side.state("cut");
    side.lab.cut(3);
    side.settle(&[1, 2]);
    side.settle(&[3]);
    show(side, &[1, 3], SHOWS);
    side.state("healed");
    side.lab.heal(3);
    side.settle(&[1, 2, 3]);
    show(side, &[1, 3], STATE);
}

/// Each rule of votequorum in the states where it matters.
pub(crate) fn rules(side: &mut Side) {
    let shown: &[&str] = STATE;

    side.state("two_node, alone at first");
    side.begin(&settings("two_node: 1", 2), &[1]);
    side.settle(&[1]);
    show(side, &[1], shown);
    side.state("two_node, both");
    side.start(2);
    side.settle(&[1, 2]);
    show(side, &[1, 2], shown);
    side.state("two_node, one killed");
    side.lab.end(1, Signal::KILL);
    side.settle(&[2]);
    show(side, &[2], shown);

    side.state("two_node without wait_for_all");
    side.begin(&settings("two_node: 1\nwait_for_all: 0", 2), &[2]);
    side.settle(&[2]);
    show(side, &[2], shown);

    side.state("wait_for_all, waiting");
    side.begin(&settings("wait_for_all: 1", 3), &[1, 2]);
    side.settle(&[1, 2]);
    show(side, &[1, 2], shown);
    side.state("wait_for_all, all seen");
    side.start(3);
    side.settle(&[1, 2, 3]);
    show(side, &[1, 3], shown);
    side.state("wait_for_all, one gone");
    side.lab.end(2, Signal::TERM);
    side.settle(&[1, 3]);
    show(side, &[1, 3], shown);

    side.state("auto_tie_breaker, both");
    side.begin(&settings("auto_tie_breaker: 1", 2), &[1, 2]);
    side.settle(&[1, 2]);
    show(side, &[1, 2], shown);
    side.state("auto_tie_breaker, cut");
    side.lab.cut(2);
    side.settle(&[1]);
    side.settle(&[2]);
    show(side, &[1, 2], shown);

    side.state("auto_tie_breaker, the highest, cut");
    side.begin(&settings("auto_tie_breaker: 1\nauto_tie_breaker_node: highest", 2), &[1, 2]);
    side.settle(&[1, 2]);
    side.lab.cut(2);
    side.settle(&[1]);
    side.settle(&[2]);
    show(side, &[1, 2], shown);

    side.state("auto_tie_breaker, a list");
    side.begin(&settings("auto_tie_breaker: 1\nauto_tie_breaker_node: 2 1", 2), &[1, 2]);
    side.settle(&[1, 2]);
    side.lab.cut(2);
    side.settle(&[1]);
    side.settle(&[2]);
    show(side, &[1, 2], shown);

    side.state("last_man_standing, all");
    side.begin(
        &settings("last_man_standing: 1\nlast_man_standing_window: 2000\nwait_for_all: 1", 3),
        &[1, 2, 3],
    );
    side.settle(&[1, 2, 3]);
    show(side, &[1], shown);
    side.state("last_man_standing, two");
    side.lab.end(3, Signal::KILL);
    side.settle_when(&[1, 2], |text| text.contains("Expected votes:   2"));
    show(side, &[1, 2], shown);
    side.state("last_man_standing, one");
    side.lab.end(2, Signal::KILL);
    side.settle(&[1]);
    std::thread::sleep(std::time::Duration::from_secs(3));
    show(side, &[1], shown);

    side.state("allow_downscale, all");
    side.begin(&settings("allow_downscale: 1", 3), &[1, 2, 3]);
    side.settle(&[1, 2, 3]);
    show(side, &[1], shown);
    side.state("allow_downscale, one left");
    side.lab.end(3, Signal::TERM);
    side.settle(&[1, 2]);
    show(side, &[1, 2], shown);
    side.state("allow_downscale, two left");
    side.lab.end(2, Signal::TERM);
    side.settle(&[1]);
    show(side, &[1], shown);
    side.state("allow_downscale, all again");
    side.start(2);
    side.start(3);
    side.settle(&[1, 2, 3]);
    show(side, &[1, 3], shown);

    side.state("expected_votes and votes of their own");
    let mut own = settings("expected_votes: 9", 3);
    own.node = "    quorum_votes: 2".to_owned();
    side.begin(&own, &[1, 2, 3]);
    side.settle(&[1, 2, 3]);
    show(side, &[1, 2], shown);

    side.state("no provider");
    let mut none = settings("", 2);
    none.quorum = String::new();
    side.begin(&none, &[1, 2]);
    for k in [1, 2] {
        side.lab.until(
            k,
            "corosync-cmapctl -g runtime.members.2.status runtime.members.1.status",
            PATIENCE,
            |said| said.out.matches("joined").count() == 2,
        );
    }
    show(side, &[1, 2], &["-s", "-l", "-p", "-i", "-H", "-e 2", "-v 1 -n 1", "-f"]);

    side.state("a device in the configuration, none registered");
    side.begin(&settings("device {\n  model: net\n  votes: 1\n}", 2), &[1, 2]);
    side.settle(&[1, 2]);
    show(side, &[1, 2], &["-s", "-s -p", "-l", "-f", "-v 1 -n 0"]);
}

/// Nodes whose `totem.config_version` differs: the one with the older version ends, and reports why.
pub(crate) fn versions(side: &mut Side) {
    let version =
        |number: u32| Settings::new(Transport::Udpu, &format!("token: 2000\nconfig_version: {number}"), 3);
    side.state("one config_version");
    side.begin(&version(3), &[1, 2]);
    side.settle(&[1, 2]);
    show(side, &[1], STATE);
    side.note(1, "corosync-cmapctl runtime.members totem.config_version");
    side.state("an older one comes");
    side.configure(3, &version(2));
    side.start(3);
    let status = side.lab.ended(3, PATIENCE);
    side.keep("host 3: its daemon's end", format!("{:?}\n", status.code()));
    let log = std::fs::read_to_string(side.lab.dir(3).join("log/daemon.log")).expect("it has a log");
    let says = |word: &str| log.contains(word);
    side.keep(
        "host 3: its log",
        format!("{}\n", says("Received config version (3) is different than my config version (2)! Exiting")),
    );
    side.settle(&[1, 2]);
    show(side, &[1, 2], STATE);
}

#[test]
fn quorumtool_says_the_same_of_three_nodes() {
    if ready() {
        compare(3, three);
    }
}

#[test]
fn quorumtool_says_the_same_of_a_cut() {
    if ready() {
        compare(3, cut);
    }
}

#[test]
fn quorumtool_says_the_same_of_every_rule() {
    if ready() {
        compare(3, rules);
    }
}

#[test]
fn an_older_configuration_is_turned_away_alike() {
    if ready() {
        compare(3, versions);
    }
}
