//! Debian's corosync-cfgtool on annulusd: links, nodes, addresses, reload, logs, killing and shutting down.

use crate::both::{PATIENCE, Side, compare};
use crate::lab::{Settings, Transport, wait_until};
use crate::ready;
use rustix::process::Signal;

const SHOWS: &[&str] = &[
    "-s",
    "-s -b",
    "-n",
    "-i 10.77.0.1 -s",
    "-i 10.77.0.2 -s",
    "-i 0 -s",
    "-i 1 -s",
    "-a 1",
    "-a 2",
    "-a 3",
];
const STATE: &[&str] = &["-s", "-s -b", "-n"];
const REFUSED: &[&str] =
    &["", "-h", "-z", "-a 9", "-a x", "-a 0", "-a", "-k 9", "-k x", "-k 0", "-i", "-b", "--force", "-i 0"];

fn settings(transport: Transport, totem: &str) -> Settings {
    Settings::new(transport, &format!("token: 2000\n{totem}"), 3)
}

fn show(side: &mut Side, hosts: &[usize], options: &[&str]) {
    for k in hosts {
        for option in options {
            side.note(*k, &format!("corosync-cfgtool {option}"));
        }
    }
}

/// What the tool shows with three hosts, after a daemon was killed, and on the other transport.
pub(crate) fn shows(side: &mut Side) {
    side.state("no daemon");
    side.begin(&settings(Transport::Udpu, ""), &[]);
    show(side, &[1], &["-s", "-n", "-R", "-L", "-H", "-H --force", "-k 2", "-a 2", "-h"]);

    side.state("fresh");
    for k in 1..=3 {
        side.start(k);
    }
    side.settle(&[1, 2, 3]);
    show(side, &[1, 2, 3], SHOWS);
    show(side, &[2], REFUSED);
    side.state("one killed");
    side.lab.end(2, Signal::KILL);
    side.settle(&[1, 3]);
    show(side, &[1, 3], SHOWS);
    side.state("alone");
    side.lab.end(1, Signal::KILL);
    side.settle(&[3]);
    show(side, &[3], STATE);
    side.state("three again");
    side.start(1);
    side.start(2);
    side.settle(&[1, 2, 3]);
    show(side, &[1, 2], STATE);

    side.state("udp");
    side.begin(&settings(Transport::Udp, ""), &[1, 2, 3]);
    side.settle(&[1, 2, 3]);
    show(side, &[1, 3], SHOWS);
}

/// The keys that a reload may change, listed on every host.
const RELOADED: &str = "corosync-cmapctl config. totem. quorum. logging. runtime.config.totem.token runtime.config.totem.consensus";

fn reload(side: &mut Side, state: &str, configured: &[usize], with: &Settings) {
    side.state(state);
    for k in configured {
        side.configure(*k, with);
    }
    side.note(1, "corosync-cfgtool -R");
    // A message tells the other hosts of the reload; after this pause it has been delivered here too.
    std::thread::sleep(std::time::Duration::from_secs(2));
    for k in 1..=3 {
        side.note(k, RELOADED);
        side.note(k, "corosync-quorumtool -s");
    }
}

/// Reloads of a changed, an unchanged, a broken and a refused file.
pub(crate) fn reloads(side: &mut Side) {
    let all = &[1, 2, 3];
    side.state("before");
    side.begin(&settings(Transport::Udpu, ""), all);
    side.settle(all);
    side.note(1, RELOADED);
    reload(side, "nothing changed", &[], &settings(Transport::Udpu, ""));
    reload(side, "another token", all, &settings(Transport::Udpu, "token: 2500"));
    reload(
        side,
        "expected votes",
        all,
        &settings(Transport::Udpu, "token: 2500").quorum("expected_votes: 5"),
    );
    let mut debug = settings(Transport::Udpu, "token: 2500");
    debug.more = "logging {\n  debug: on\n}".to_owned();
    reload(side, "more logging", all, &debug);
    reload(side, "a time-out that cannot be", all, &settings(Transport::Udpu, "token: 10"));
    // With a transport other than knet, annulusd refuses the whole file; Corosync applies the rest of it, so that an
    // encrypted cluster would go on in the clear, and hosts of the two kinds would not hear each other any more.
    // There only the token time-out changes, from which the following steps start.
    let (state, other) = match side.transport() {
        Transport::Knet(_) => ("a time-out that can be", Transport::Udpu),
        Transport::Udp | Transport::Udpu => ("a transport that cannot change", Transport::Udp),
    };
    reload(side, state, all, &settings(other, "token: 2500"));
    let mut no_log = settings(Transport::Udpu, "token: 2500");
    no_log.more = "logging {\n  logfile: /nowhere/daemon.log\n}".to_owned();
    reload(side, "a log file that cannot be", all, &no_log);
    // Changes from a refused file must not remain for the following steps.
    reload(side, "a log file that can be", all, &settings(other, "token: 2500"));
    let mut broken = settings(Transport::Udpu, "token: 2500");
    broken.more = "quorum {\n".to_owned();
    reload(side, "a broken file here", &[1], &broken);
    reload(side, "another file here alone", &[1], &settings(Transport::Udpu, "token: 2200"));
    reload(side, "a good file again", all, &settings(Transport::Udpu, ""));
    side.note(1, "rm /etc/corosync/corosync.conf; corosync-cfgtool -R");
}

/// Whether the daemon of host `k` writes its log under the original name again.
fn log_is_reopened(side: &mut Side, k: usize) {
    let log = side.lab.dir(k).join("log/daemon.log");
    std::fs::rename(&log, log.with_extension("old")).expect("the daemon has a log");
    side.note(k, "corosync-cfgtool -L");
    // This reload is logged.
    side.note(k, "corosync-cfgtool -R");
    let came = wait_until(PATIENCE, || std::fs::metadata(&log).is_ok_and(|file| file.len() > 0));
    side.keep("the log is written again", format!("{}\n", came.is_ok()));
}

/// Reopens log files, kills a node, and shuts nodes down with force and without.
pub(crate) fn ends(side: &mut Side) {
    side.state("ends");
    side.begin(&settings(Transport::Udpu, ""), &[1, 2, 3]);
    side.settle(&[1, 2, 3]);
    log_is_reopened(side, 1);

    side.note(1, "corosync-cfgtool -k 3");
    let status = side.lab.ended(3, PATIENCE);
    side.keep("the killed one's end", format!("{:?}\n", status.code()));
    side.settle(&[1, 2]);
    show(side, &[1], STATE);
    side.note(2, "corosync-cfgtool -H");
    let status = side.lab.ended(2, PATIENCE);
    side.keep("the end of the one shut down", format!("{:?}\n", status.code()));
    side.settle(&[1]);
    side.note(1, "corosync-cfgtool -H --force");
    let status = side.lab.ended(1, PATIENCE);
    side.keep("the end of the one shut down by force", format!("{:?}\n", status.code()));
    side.note(1, "corosync-cfgtool -s");

    side.state("killed by itself");
    side.begin(&settings(Transport::Udpu, ""), &[1, 2]);
    side.settle(&[1, 2]);
    side.note(1, "corosync-cfgtool -k 1");
    let status = side.lab.ended(1, PATIENCE);
    side.keep("its end", format!("{:?}\n", status.code()));
}

#[test]
fn cfgtool_shows_the_same() {
    if ready() {
        compare(3, shows);
    }
}

#[test]
fn cfgtool_reloads_alike() {
    if ready() {
        compare(3, reloads);
    }
}

#[test]
fn cfgtool_ends_nodes_alike() {
    if ready() {
        compare(3, ends);
    }
}
