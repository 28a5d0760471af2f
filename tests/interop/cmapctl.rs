//! Debian's corosync-cmapctl on annulusd: keys, types and values, changes of each kind, tracking, statistics.

use crate::both::{PATIENCE, Side, compare};
use crate::lab::{Program, Settings, Transport};
use crate::ready;
use rustix::process::Signal;

/// Whether the value of a key depends on the run and not on the state of the cluster.
fn varies(key: &str) -> bool {
    let counter = key.starts_with("runtime.services.") && (key.ends_with(".rx") || key.ends_with(".tx"));
    let resource =
        key.starts_with("resources.") && (key.ends_with(".current") || key.ends_with(".last_updated"));
    counter || resource || key.ends_with(".join_count") || key.starts_with("stats.")
}

/// Masks process and address in the name that a connection has in the statistics.
fn mask_connection(key: &str) -> String {
    let parts: Vec<&str> = key.split('.').collect();
    match parts.as_slice() {
        ["stats", "ipcs", service, _, _, field] => format!("stats.ipcs.{service}.(pid).(pointer).{field}"),
        _ => key.to_owned(),
    }
}

/// Masks values that depend on the run; keys and types stay.
pub(crate) fn mask_values(text: String) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        lines.push(match line.split_once(" (").zip(line.split_once(" = ")) {
            Some(((key, _), (head, _))) if varies(key) => {
                format!("{} = (value)", head.replace(key, &mask_connection(key)))
            }
            _ => line.to_owned(),
        });
    }
    lines.join("\n") + "\n"
}

fn list(side: &mut Side, k: usize, options: &str) {
    side.note_with(k, &format!("corosync-cmapctl {options}"), mask_values);
}

/// Lists all keys in several states.
pub(crate) fn keys(side: &mut Side) {
    let plain = Settings::new(Transport::Udpu, "token: 2000", 3);
    side.state("no daemon");
    side.begin(&plain, &[]);
    list(side, 1, "");
    list(side, 1, "-m stats");
    list(side, 1, "-g totem.version");
    side.state("fresh");
    for k in 1..=3 {
        side.start(k);
    }
    side.settle(&[1, 2, 3]);
    for k in 1..=3 {
        list(side, k, "");
    }
    list(side, 1, "-b");
    list(side, 1, "-m stats");
    list(side, 2, "-m stats stats.srp");
    list(side, 1, "totem. runtime.votequorum");
    list(side, 1, "nothing.here");
    side.state("one killed");
    side.lab.end(3, Signal::KILL);
    side.settle(&[1, 2]);
    list(side, 1, "");
    side.state("and back");
    side.start(3);
    side.settle(&[1, 2, 3]);
    list(side, 1, "");
    list(side, 3, "");

    side.state("udp, many settings");
    let mut rich = Settings::new(
        Transport::Udp,
        "token: 2400\nconfig_version: 7\njoin: 60\nmax_messages: 20\nwindow_size: 60\nnetmtu: 1400\nnodeid: 0",
        3,
    )
    .quorum("expected_votes: 3\nwait_for_all: 1\nlast_man_standing: 1\nauto_tie_breaker: 1");
    rich.more = "uidgid {\n  uid: 0\n  gid: 0\n}\nlogging {\n  logger_subsys {\n    subsys: CPG\n    debug: on\n  }\n}\nresources {\n  system {\n    \
                 memory_used {\n      recovery: none\n      max: 80\n    }\n  }\n}\nmine {\n  own: thing\n}"
        .to_owned();
    side.begin(&rich, &[1, 2, 3]);
    side.settle(&[1, 2, 3]);
    list(side, 1, "");
    list(side, 2, "totem runtime.config runtime.votequorum runtime.members");

    side.state("two_node");
    side.begin(&Settings::new(Transport::Udpu, "token: 2000", 2).quorum("two_node: 1"), &[1, 2]);
    side.settle(&[1, 2]);
    list(side, 1, "");
}

/// Arguments that set, read and delete keys, and some that are refused.
const CHANGES: &[&str] = &[
    "-s -- test.i8 i8 -8",
    "-s test.u8 u8 200",
    "-s -- test.i16 i16 -1600",
    "-s test.u16 u16 65535",
    "-s -- test.i32 i32 -2147483648",
    "-s test.u32 u32 4294967295",
    "-s -- test.i64 i64 -9223372036854775808",
    "-s test.u64 u64 18446744073709551615",
    "-s test.flt flt 1.5",
    "-s test.dbl dbl 2.25e10",
    "-s test.str str 'a word or two'",
    "-s test.empty str ''",
    "-s test.bin bin /etc/hostname",
    "-s test.none bin /dev/null",
    "test.",
    "-b test.",
    "-g test.bin",
    "-b -g test.bin",
    "-g test.i8 test.u8 test.i16 test.u16 test.i32 test.u32 test.i64 test.u64 test.flt test.dbl test.str",
    "-q -g test.str",
    "-q -g test.u32 test.bin",
    "-b -q -g test.bin",
    // Another type, the same value again, and values out of range.
    "-s test.u8 str eight",
    "-g test.u8",
    "-s test.u8 u8 300",
    "-s -- test.u8 u8 -1",
    "-s test.i8 i8 128",
    "-s test.u32 u32 4294967296",
    "-s test.u64 u64 18446744073709551616",
    "-s test.u32 u32 twelve",
    "-s test.u32 u32 0x10",
    "-s test.flt flt nothing",
    "-s test.x word 1",
    "-s test.x",
    "-s test.x u32",
    "-s test.bin bin /no/such/file",
    "-g test.x",
    "-g test.missing test.str",
    "-d test.missing",
    "-d test.i8 test.i16",
    "-g test.i8",
    "-D test.u",
    "test.",
    "-D test.nothing",
    // Key names: too short, too long, or with invalid characters.
    "-s ab u8 1",
    "-s abc u8 1",
    "-s 'a b' u8 1",
    "-s 'a=b' u8 1",
    "-s test./_-:x u8 1",
    "-s $(printf '%0254d' 0) u8 1",
    "-s $(printf '%0255d' 0) u8 1",
    "-s $(printf '%0256d' 0) u8 1",
    "-s test.large str $(printf '%016383d' 0)",
    "-s test.large str $(printf '%016384d' 0)",
    "-D 000",
    "-d test.large",
    // Keys that are read-only.
    "-s totem.version u32 2",
    "-s totem.transport str knet",
    "-s nodelist.local_node_pos u32 5",
    "-s nodelist.node.0.name str other",
    "-s nodelist.node.9.nodeid u32 9",
    "-s runtime.services.cpg.0.rx u64 0",
    "-s runtime.config.totem.token u32 1",
    "-s internal_configuration.x str y",
    "-s uidgid.config.x u8 1",
    "-s system.x str y",
    "-s config.reload_in_progress u8 1",
    "-s quorum.wait_for_all u8 1",
    "-s quorum.auto_tie_breaker u32 1",
    "-d totem.cluster_name",
    "-D nodelist.",
    // Keys that may be changed.
    "-s uidgid.gid.33 u8 1",
    "-g uidgid.gid.33",
    "-d uidgid.gid.33",
    "-s quorum.expected_votes u32 3",
    "-s logging.debug str on",
    "-s logging.debug str off",
    "-s runtime.blackbox.dump_state str x",
    // The map of statistics.
    "-m stats -g stats.ipcs.global.closed.x",
    "-m stats -s stats.srp.mcast_tx u64 0",
    "-m stats -d stats.srp.mcast_tx",
    "-m stats -s stats.clear.nothing u8 1",
    "-C ipc",
    "-C totem",
    "-C knet",
    "-C all",
    "-C schedmiss",
    "-C nothing",
    "-m nothing",
    "-m icmap -g totem.version",
    "-h",
    "-x",
];

/// A file for `-p`: set, delete, delete by prefix, and an invalid line.
const LOADED: &str = "loaded.one u32 1\\nloaded.two str two words\\n^loaded.gone\\nother.x u8 1\\n^^other.\\nloaded.three bin x\\n";

pub(crate) fn changes(side: &mut Side) {
    side.state("changes");
    side.begin(&Settings::new(Transport::Udpu, "token: 2000", 2), &[1, 2]);
    side.settle(&[1, 2]);
    for line in CHANGES {
        side.note(1, &format!("corosync-cmapctl {line}"));
    }
    side.note(1, "printf 'bytes\\000\\001\\377' | corosync-cmapctl -s test.stdin bin -; corosync-cmapctl -b -g test.stdin");
    side.note(1, &format!("printf '{LOADED}' >/run/load; corosync-cmapctl -p /run/load"));
    side.note(1, "corosync-cmapctl loaded. other.");
    side.note(1, "printf 'loaded.bad word 1\\n\\nloaded.good u8 1\\nnothing\\n' >/run/load; corosync-cmapctl -p /run/load");
    side.note(1, "corosync-cmapctl -p /no/such/file");
    side.note(1, "corosync-cmapctl loaded.");
    // None of these keys goes to another node.
    list(side, 2, "test. loaded.");
    // The exceptions are the expected votes and the configuration version.
    side.note(1, "corosync-cmapctl -s totem.config_version u64 12");
    side.lab.until(2, "corosync-cmapctl -g runtime.members.1.config_version", PATIENCE, |said| {
        said.out.contains("= 12")
    });
    side.note(2, "corosync-cmapctl runtime.members.1.config_version");
    list(side, 1, "");
}

fn tracker(side: &Side, words: &[&str]) -> Program {
    let mut all = vec!["stdbuf", "-oL", "corosync-cmapctl"];
    all.extend(words);
    let program = side.lab.spawn(1, &all);
    // The tool prints nothing until a key changes, so the test waits until it tracks.
    std::thread::sleep(std::time::Duration::from_secs(1));
    program
}

/// Trackers of keys and prefixes, for changes made by a client and by the daemon itself.
pub(crate) fn tracking(side: &mut Side) {
    side.state("tracking");
    side.begin(&Settings::new(Transport::Udpu, "token: 2000", 3), &[1, 2, 3]);
    side.settle(&[1, 2, 3]);
    let own = [
        ("-t test.one", tracker(side, &["-t", "test.one"])),
        ("-T test.", tracker(side, &["-T", "test."])),
        ("-b -T test.b", tracker(side, &["-b", "-T", "test.b"])),
        ("-t test.one -T test.t", tracker(side, &["-t", "test.one", "-T", "test.t"])),
        ("-T runtime.members.", tracker(side, &["-T", "runtime.members."])),
        ("-t runtime.votequorum.ev_barrier", tracker(side, &["-t", "runtime.votequorum.ev_barrier"])),
        ("-T totem.", tracker(side, &["-T", "totem."])),
    ];
    for line in [
        "-s test.one u32 1",
        "-s test.one u32 1",
        "-s test.one u32 2",
        "-s test.one str two",
        "-s -- test.two i8 -2",
        "-s test.bin bin /etc/hostname",
        "-d test.one",
        "-D test.",
        "-s totem.token u32 1100",
        "-s last.one u8 1",
    ] {
        side.lab.must(1, &format!("corosync-cmapctl {line}"));
    }
    side.lab.end(3, Signal::TERM);
    side.settle(&[1, 2]);
    side.start(3);
    side.settle(&[1, 2, 3]);
    for (options, mut program) in own {
        program.tell("q\n");
        let said = program.finish(PATIENCE);
        // How many rings are formed until a node is on one with the others is chance.
        let lines =
            said.text().lines().filter(|line| !line.contains(".join_count")).collect::<Vec<_>>().join("\n");
        side.keep(&format!("corosync-cmapctl {options}"), lines);
    }
    side.note(1, "corosync-cmapctl -m stats -T stats.srp. </dev/null");
}

#[test]
fn cmapctl_lists_the_same_keys() {
    if ready() {
        compare(3, keys);
    }
}

#[test]
fn cmapctl_changes_alike() {
    if ready() {
        compare(2, changes);
    }
}

#[test]
fn cmapctl_tracks_alike() {
    if ready() {
        compare(3, tracking);
    }
}
