//! A reload on three hosts of annulusd: all adopt their new files, or none does, and whoever asked is told why.
//!
//! Each node of Corosync decides for itself: after a file that changes the id of a running node, the others send to a
//! node that does not exist. Therefore these stories are not compared with Corosync; what both agree on is in
//! [`crate::cfgtool`] and [`crate::mixed`].

use crate::lab::{Kind, Lab, PATIENCE, Said, Transport};
use crate::ready;
use rustix::process::Signal;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// The settings that the configuration file of each host is made of.
#[derive(Clone)]
struct File {
    transport: Transport,
    /// Each node's id and the last byte of its address.
    nodes: Vec<(u32, u8)>,
    /// Further lines of the section `totem`.
    totem: String,
    /// The log file, if it is not that of the lab.
    logfile: Option<&'static str>,
    /// Further sections of the file, verbatim.
    more: &'static str,
}

impl File {
    fn new(transport: Transport) -> Self {
        Self {
            transport,
            nodes: vec![(1, 1), (2, 2), (3, 3)],
            totem: "token: 2000".to_owned(),
            logfile: None,
            more: "",
        }
    }

    fn nodes(&self, nodes: &[(u32, u8)]) -> Self {
        Self { nodes: nodes.to_vec(), ..self.clone() }
    }

    fn totem(&self, totem: &str) -> Self {
        Self { totem: totem.to_owned(), ..self.clone() }
    }

    fn put(&self, lab: &Lab, k: usize) {
        let dir = lab.dir(k);
        let mut text = format!(
            "totem {{\n  version: 2\n  cluster_name: lab\n  transport: {}\n  {}\n  interface {{\n    linknumber: 0\n    \
             mcastport: 5405\n{}  }}\n}}\nlogging {{\n  to_stderr: no\n  to_syslog: no\n  to_logfile: yes\n  logfile: {}\n}}\n\
             quorum {{\n  provider: corosync_votequorum\n}}\nnodelist {{\n",
            self.transport.word(),
            self.totem,
            if self.transport == Transport::Udp {
                "    bindnetaddr: 10.77.0.0\n    mcastaddr: 239.192.77.1\n"
            } else {
                ""
            },
            self.logfile.map_or_else(|| dir.join("log/daemon.log"), Into::into).display(),
        );
        for (id, address) in &self.nodes {
            let _ = writeln!(text, "  node {{\n    ring0_addr: 10.77.0.{address}\n    nodeid: {id}\n  }}");
        }
        let _ = writeln!(text, "}}\n{}", self.more);
        let path = dir.join("etc/corosync.conf");
        let _ = std::fs::remove_file(&path);
        std::fs::write(path, text).expect("write the host's configuration");
    }

    fn put_all(&self, lab: &Lab) {
        (1..=lab.len()).for_each(|k| self.put(lab, k));
    }
}

/// `count` hosts of annulusd on one ring, with this file.
fn ring(count: usize, file: &File) -> Lab {
    let mut lab = Lab::new(count);
    file.nodes(&file.nodes[..count]).put_all(&lab);
    lab.start_all(Kind::Annulus);
    settle(&lab, &(1..=count).collect::<Vec<_>>());
    lab
}

/// Waits until these hosts are one quorate ring.
fn settle(lab: &Lab, hosts: &[usize]) {
    for k in hosts {
        lab.until(*k, "corosync-quorumtool -s", PATIENCE, |said| {
            said.out.contains(&format!("Nodes:            {}\n", hosts.len()))
                && said.out.contains("Quorate:          Yes")
        });
    }
}

/// Everything that the database and corosync-quorumtool show on host `k`, except counters and the outcome of reloads.
fn state(lab: &Lab, k: usize) -> String {
    // Only lines with a key: the reason of a refusal has several lines.
    let keys = lab.must(k, "corosync-cmapctl | grep '^[^ ]* ([a-z0-9]*) = '");
    let quorum = lab.say(k, "corosync-quorumtool -s").out;
    let told = |line: &&str| {
        let volatile = ["runtime.services.", "config.", "Date:"].iter().any(|start| line.starts_with(start));
        !volatile
    };
    [&keys, &quorum]
        .into_iter()
        .flat_map(|text| text.lines().filter(told))
        .fold(String::new(), |text, line| text + line + "\n")
}

fn states(lab: &Lab) -> Vec<String> {
    (1..=lab.len()).map(|k| state(lab, k)).collect()
}

fn key(lab: &Lab, k: usize, key: &str) -> String {
    let said = lab.say(k, &format!("corosync-cmapctl -g {key}"));
    said.out.split_once(" = ").map_or(String::new(), |(_, value)| value.trim().to_owned())
}

fn reload(lab: &Lab, k: usize) -> Said {
    lab.say(k, "corosync-cfgtool -R")
}

/// Asks for a reload on host `from` that all hosts must refuse with `code` and with reasons that contain these words.
fn refused(lab: &Lab, what: &str, from: usize, code: i32, reasons: &[&str]) {
    let before = states(lab);
    let said = reload(lab, from);
    assert_eq!(said.code, code, "{what}: {}\n{}", said.text(), lab.log_tail(from));
    for k in 1..=lab.len() {
        lab.until(k, "corosync-cmapctl -g config.reload_status", PATIENCE, |said| {
            said.out.contains(&format!("= {code}\n"))
        });
        let why = lab.must(k, "corosync-cmapctl config.reload_error_message");
        for reason in reasons {
            assert!(why.contains(reason), "{what}, host {k}: {reason:?} is not in {why}");
        }
        for flag in ["config.reload_in_progress", "config.totemconfig_reload_in_progress"] {
            assert_ne!(key(lab, k, flag), "1", "{what}, host {k}: {flag}");
        }
    }
    let after = states(lab);
    for (k, (before, after)) in before.iter().zip(&after).enumerate() {
        assert_eq!(before, after, "{what}: host {} has changed", k + 1);
    }
}

/// Asks for a reload on host `from` that all hosts adopt, and waits until this token time-out is in effect
/// everywhere.
fn applied(lab: &Lab, from: usize, hosts: &[usize], token: u32) {
    let said = reload(lab, from);
    assert_eq!((said.code, said.out.contains("Done")), (0, true), "{}\n{}", said.text(), lab.log_tail(from));
    for k in hosts {
        let wanted = format!("= {token}\n");
        lab.until(*k, "corosync-cmapctl -g runtime.config.totem.token", PATIENCE, |said| {
            said.out.contains(&wanted)
        });
        assert_eq!(key(lab, *k, "config.reload_status"), "1", "host {k}");
        assert_eq!(key(lab, *k, "config.reload_error_message"), "", "host {k}");
    }
    let say = |k: &usize| lab.must(*k, "corosync-cmapctl totem. quorum. nodelist. runtime.config.totem.");
    let own = |text: String| {
        let differs = |line: &&str| !line.contains("bindnetaddr") && !line.contains("local_node_pos");
        text.lines().filter(differs).map(str::to_owned).collect::<Vec<_>>()
    };
    let first = own(say(&hosts[0]));
    for k in hosts {
        assert_eq!(own(say(k)), first, "hosts {} and {k} have the same values", hosts[0]);
    }
}

/// Files that change the ids or link-0 addresses of running nodes.
fn who_the_members_are(transport: Transport) {
    let good = File::new(transport);
    let lab = ring(3, &good);
    let mut token = 2000;
    for (what, from, nodes, reasons) in [
        (
            "another id",
            1,
            [(4, 1), (2, 2), (3, 3)],
            [
                "node 1: The id of this node changed from 1 to 4",
                "nodes 2 3: The id of the node at 10.77.0.1 changed from 1 to 4 (/etc/corosync/corosync.conf:",
            ],
        ),
        ("another id elsewhere", 3, [(4, 1), (2, 2), (3, 3)], ["node 1: ", "nodes 2 3: "]),
        (
            "swapped ids",
            1,
            [(2, 1), (1, 2), (3, 3)],
            [
                "changed from 1 to 2",
                "node 3: The address of node 1 on link 0 changed from 10.77.0.1 to 10.77.0.2 (",
            ],
        ),
        ("rotated ids", 2, [(2, 1), (3, 2), (1, 3)], ["node 1: The id of this node changed", "node 3: "]),
        (
            "another address",
            2,
            [(1, 9), (2, 2), (3, 3)],
            ["node 1: ", "nodes 2 3: The address of node 1 on link 0 changed from 10.77.0.1 to 10.77.0.9"],
        ),
    ] {
        good.nodes(&nodes).put_all(&lab);
        refused(&lab, what, from, 7, &reasons);
        // A refusal leaves nothing behind: the next valid file is adopted.
        token += 10;
        good.totem(&format!("token: {token}")).put_all(&lab);
        applied(&lab, from, &[1, 2, 3], token + 650);
    }
}

#[test]
fn a_reload_that_changes_a_running_member_is_refused_by_all() {
    if ready() {
        who_the_members_are(Transport::Udpu);
    }
}

#[test]
fn a_reload_that_changes_a_running_member_is_refused_by_all_over_multicast() {
    if ready() {
        who_the_members_are(Transport::Udp);
    }
}

#[test]
fn one_host_that_cannot_use_its_file_refuses_for_all() {
    if !ready() {
        return;
    }
    let good = File::new(Transport::Udpu);
    let next = good.totem("token: 3000");
    let lab = ring(3, &good);

    next.nodes(&[(1, 1), (2, 2)]).put_all(&lab);
    refused(&lab, "a host that no list has", 1, 7, &["node 3: "]);
    next.put_all(&lab);
    next.nodes(&[(1, 1), (2, 2)]).put(&lab, 3);
    refused(&lab, "a host that its own list has not", 1, 7, &["node 3: "]);

    next.put_all(&lab);
    std::fs::remove_file(lab.dir(2).join("etc/corosync.conf")).expect("there is one");
    refused(&lab, "a missing file", 1, 7, &["node 2: Can't read file /etc/corosync/corosync.conf"]);
    refused(&lab, "a missing file, asked there", 2, 7, &["node 2: Can't read file"]);

    next.put_all(&lab);
    File { more: "quorum {\n", ..next.clone() }.put(&lab, 2);
    refused(&lab, "a broken file", 1, 7, &["node 2: ", "/etc/corosync/corosync.conf:"]);

    next.put_all(&lab);
    next.totem("token: 10\n  token_coefficient: 0").put(&lab, 1);
    refused(&lab, "a time-out that cannot be", 3, 7, &["node 1: "]);

    next.put_all(&lab);
    good.put(&lab, 3);
    let differ = "the files of nodes 1 and 3 differ: totem.token (/etc/corosync/corosync.conf:5)";
    refused(&lab, "one file is an old one", 1, 7, &[differ]);
    next.put_all(&lab);
    next.nodes(&[(1, 1), (2, 2), (3, 3), (4, 4)]).put(&lab, 2);
    refused(
        &lab,
        "one list has a node more",
        3,
        7,
        &["the files of nodes 3 and 2 differ: node 4 of the node list"],
    );

    next.put_all(&lab);
    File { logfile: Some("/nowhere/daemon.log"), ..next.clone() }.put(&lab, 2);
    let why = "node 2: Can't open logfile '/nowhere/daemon.log' for reason: No such file or directory (2) (/etc/corosync/";
    refused(&lab, "a log file that cannot be opened", 1, 7, &[why]);
    lab.must(2, "corosync-cmapctl -s runtime.x u8 1 && corosync-cfgtool -L");
    let log = std::fs::read_to_string(lab.dir(2).join("log/daemon.log")).expect("the old file goes on");
    assert!(log.contains(why.trim_start_matches("node 2: ")) && log.contains("Log files reopened"), "{log}");

    next.put_all(&lab);
    applied(&lab, 2, &[1, 2, 3], 3650);
}

/// A file that never ends: the other hosts do not wait for ever, nor does the daemon when it ends.
#[test]
fn a_host_that_gives_no_verdict_is_not_awaited_for_ever() {
    if !ready() {
        return;
    }
    let good = File::new(Transport::Udpu);
    let next = good.totem("token: 3000");
    let mut lab = ring(3, &good);
    next.put_all(&lab);
    let conf = "/etc/corosync/corosync.conf";
    lab.must(2, &format!("rm {conf} && mkfifo {conf}"));
    let begin = Instant::now();
    refused(&lab, "a file without an end", 1, 5, &["node 2: no verdict in time"]);
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(9) && took < Duration::from_secs(60), "{took:?}");
    refused(&lab, "asked again, there", 2, 5, &["node 2: no verdict in time"]);

    // The host leaves while the others wait for it: they go on without it.
    let waiting = lab.spawn(1, &["corosync-cfgtool", "-R"]);
    std::thread::sleep(Duration::from_secs(1));
    let begin = Instant::now();
    lab.end(2, Signal::TERM);
    assert!(begin.elapsed() < Duration::from_secs(5), "it does not wait for its file: {:?}", begin.elapsed());
    let mut waiting = waiting;
    let said = waiting.finish(PATIENCE);
    assert_eq!(said.code, 0, "{}\n{}", said.text(), lab.log_tail(1));
    for k in [1, 3] {
        lab.until(k, "corosync-cmapctl -g runtime.config.totem.token", PATIENCE, |said| {
            said.out.contains("= 3650\n")
        });
    }
}

/// What pcs and crmsh do: the node is stopped, then removed from the files of the others. Corosync also permits to
/// remove a node that runs with its own file unchanged.
#[test]
fn a_node_is_removed_and_another_added() {
    if !ready() {
        return;
    }
    let good = File::new(Transport::Udpu);
    let two = good.totem("token: 2500").nodes(&[(1, 1), (2, 2)]);
    let mut lab = ring(3, &good);
    lab.end(3, Signal::TERM);
    settle(&lab, &[1, 2]);
    two.put(&lab, 1);
    two.put(&lab, 2);
    applied(&lab, 1, &[1, 2], 2500);
    assert!(!lab.must(2, "corosync-cmapctl nodelist.").contains("10.77.0.3"));

    // The node comes back under another id, which no node uses.
    let again = good.totem("token: 2600").nodes(&[(1, 1), (2, 2), (7, 3)]);
    again.put_all(&lab);
    applied(&lab, 2, &[1, 2], 3250);
    lab.forget(3);
    lab.start(3, Kind::Annulus);
    settle(&lab, &[1, 2, 3]);

    let two = again.totem("token: 2700").nodes(&[(1, 1), (2, 2)]);
    two.put(&lab, 1);
    two.put(&lab, 2);
    applied(&lab, 1, &[1, 2], 2700);
    settle(&lab, &[1, 2]);
}

/// Settings that cannot change at run time are reported, by node and place in the file, and the others are adopted.
#[cfg(feature = "tools")]
#[test]
fn annulus_reload_tells_what_was_done_and_what_was_not() {
    if !ready() {
        return;
    }
    let good = File::new(Transport::Udpu);
    let lab = ring(3, &good);
    let annulus = env!("CARGO_BIN_EXE_annulus");
    good.totem("token: 3000\n  netmtu: 1400").put_all(&lab);
    let said = lab.say(1, &format!("{annulus} reload"));
    assert_eq!(said.code, 0, "{}", said.text());
    assert!(said.out.contains("applied by: 1 2 3\n"), "{}", said.out);
    assert!(said.out.contains("totem.token"), "{}", said.out);
    for k in 1..=3 {
        let line = format!("node {k}: waits for a restart: totem.netmtu (/etc/corosync/corosync.conf:6)\n");
        assert!(said.out.contains(&line), "{}", said.out);
        assert_eq!(key(&lab, k, "totem.netmtu"), "", "host {k}");
    }
    let said = lab.say(2, &format!("{annulus} --json reload"));
    assert_eq!(said.code, 0, "{}", said.text());
    let told: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(told["nodes"][2]["outcome"], "applied", "{told}");
    assert_eq!(
        told["nodes"][0]["waits_for_restart"][0], "totem.netmtu (/etc/corosync/corosync.conf:6)",
        "{told}"
    );

    good.nodes(&[(4, 1), (2, 2), (3, 3)]).put_all(&lab);
    let said = lab.say(1, &format!("{annulus} reload"));
    assert_eq!(said.code, 1, "{}", said.text());
    assert!(said.err.contains("node 1: The id of this node changed from 1 to 4"), "{}", said.err);
    assert!(
        said.err.contains("nodes 2 3: The id of the node at 10.77.0.1 changed from 1 to 4 (/etc/"),
        "{}",
        said.err
    );
}

/// Members of Corosync cannot take part in the agreement: its message means nothing to them. With such members each
/// host decides for itself, as on a ring of Corosync alone, but hosts of annulusd still refuse changes that would
/// break them.
#[test]
fn beside_corosync_each_host_decides_for_itself() {
    if !ready() {
        return;
    }
    let good = File::new(Transport::Udpu);
    let mut lab = Lab::new(3);
    good.put_all(&lab);
    for (k, kind) in [(1, Kind::Annulus), (2, Kind::Corosync), (3, Kind::Annulus)] {
        lab.start(k, kind);
    }
    settle(&lab, &[1, 2, 3]);
    good.totem("token: 3000").put_all(&lab);
    // Corosync 3.1.7 shows ping times derived from the previous token time-out, so host 2 is compared separately.
    applied(&lab, 1, &[1, 3], 3650);
    token_of_host_2(&lab, 3650);
    good.totem("token: 3100").put_all(&lab);
    applied(&lab, 2, &[1, 3], 3750);
    token_of_host_2(&lab, 3750);
    let heard = key(&lab, 2, "runtime.services.cfg.0.rx");
    assert!(heard.parse::<u64>().is_ok_and(|heard| heard > 0), "the call came, and did no harm: {heard:?}");
    let log = std::fs::read_to_string(lab.dir(2).join("log/daemon.log")).expect("its log");
    for complaint in ["discarded", "unknown", "error"] {
        assert!(!log.contains(complaint), "{log}");
    }
    lab.assert_alive(2);

    // The file of one host is broken: that host alone keeps its configuration.
    good.totem("token: 3200").put_all(&lab);
    File { more: "quorum {\n", ..good.clone() }.put(&lab, 3);
    assert_eq!(reload(&lab, 1).code, 0);
    for k in [1, 2] {
        lab.until(k, "corosync-cmapctl -g runtime.config.totem.token", PATIENCE, |said| {
            said.out.contains("= 3850\n")
        });
    }
    lab.until(3, "corosync-cmapctl -g config.reload_status", PATIENCE, |said| said.out.contains("= 7\n"));
    assert_eq!(key(&lab, 3, "runtime.config.totem.token"), "3750");

    // A new id for host 1: the hosts of annulusd keep their configuration.
    good.nodes(&[(4, 1), (2, 2), (3, 3)]).put(&lab, 1);
    good.nodes(&[(4, 1), (2, 2), (3, 3)]).put(&lab, 3);
    let said = reload(&lab, 1);
    assert_eq!(said.code, 7, "{}", said.text());
    lab.until(3, "corosync-cmapctl config.reload_error_message", PATIENCE, |said| {
        said.out.contains("The id of the node at 10.77.0.1 changed from 1 to 4")
    });
}

fn token_of_host_2(lab: &Lab, token: u32) {
    lab.until(2, "corosync-cmapctl -g runtime.config.totem.token", PATIENCE, |said| {
        said.out.contains(&format!("= {token}\n"))
    });
}

/// The folder of the log vanishes, its name becomes a folder, or the file is moved while lines are written: no line
/// is lost, and a request to reopen the logs gets the same answer as from Corosync.
#[test]
fn log_files_stay_in_use_until_new_ones_are_open() {
    if !ready() {
        return;
    }
    let mut lab = Lab::new(2);
    for k in [1, 2] {
        let file = File { logfile: Some("/run/logs/daemon.log"), ..File::new(Transport::Udpu) };
        file.nodes(&[(k as u32, k as u8)]).put(&lab, k);
        lab.must(k, "mkdir /run/logs");
    }
    lab.start(1, Kind::Corosync);
    lab.start(2, Kind::Annulus);
    for k in [1, 2] {
        settle_alone(&lab, k);
        let mode = lab.must(k, "stat -c %a /run/logs/daemon.log");
        assert_eq!(mode, "644\n", "host {k}");
    }
    // Both kinds get all requests and must give the same answers.
    let cases = [
        ("nothing wrong", "true", 0, "true"),
        (
            "rotated",
            "mv /run/logs/daemon.log /run/logs/daemon.log.1",
            0,
            "timeout 20 sh -c 'until test -s /run/logs/daemon.log; do sleep 0.1; done'",
        ),
        ("the folder vanished", "mv /run/logs /run/gone", 12, "mv /run/gone /run/logs"),
        (
            "the name is a folder",
            "mv /run/logs/daemon.log /run/old && mkdir /run/logs/daemon.log",
            2,
            "rmdir /run/logs/daemon.log && mv /run/old /run/logs/daemon.log",
        ),
        (
            "the folder is a file",
            "mv /run/logs /run/gone && touch /run/logs",
            2,
            "rm /run/logs && mv /run/gone /run/logs",
        ),
        (
            "no room for a file",
            "mv /run/logs /run/gone && mkdir /run/logs && mount -t tmpfs -o nr_inodes=1 none /run/logs",
            15,
            "umount /run/logs && rmdir /run/logs && mv /run/gone /run/logs",
        ),
        (
            "a read-only disk",
            "mv /run/logs /run/gone && mkdir /run/logs && mount -t tmpfs -o ro none /run/logs",
            2,
            "umount /run/logs && rmdir /run/logs && mv /run/gone /run/logs",
        ),
    ];
    for (n, (what, before, code, after)) in (1..).zip(cases) {
        for k in [1, 2] {
            lab.must(k, before);
            let said = lab.say(k, "corosync-cfgtool -L");
            assert_eq!(said.code, code, "{what}, host {k}: {}", said.text());
            // This reload is logged; after a failure, into the file that is still open.
            assert_eq!(reload(&lab, k).code, 0, "{what}, host {k}");
            lab.must(k, after);
            // Corosync's logging thread loses a line that comes while it reopens the file.
            if k == 2 {
                lab.until(k, "cat /run/logs/daemon.log*", PATIENCE, |said| {
                    said.out.matches("Config reload requested by node").count() == n
                });
            }
        }
    }
    // A new name that cannot be opened: Corosync reports nothing; annulusd refuses the reload and gives the reason.
    for k in [1, 2] {
        let file = File { logfile: Some("/run/none/daemon.log"), ..File::new(Transport::Udpu) };
        file.nodes(&[(k as u32, k as u8)]).put(&lab, k);
        let said = reload(&lab, k);
        assert_eq!(said.code, if k == 1 { 0 } else { 7 }, "{}", said.text());
    }
    assert!(
        key(&lab, 2, "config.reload_error_message").contains("Can't open logfile '/run/none/daemon.log'")
    );
    let log = lab.must(2, "cat /run/logs/daemon.log");
    assert!(log.contains("Can't open logfile '/run/none/daemon.log'"), "{log}");
    // If there is no request to refuse, as with a key that a client sets, the old log file stays in use.
    lab.must(2, "corosync-cmapctl -s logging.logfile str /run/none/other.log");
    lab.until(2, "cat /run/logs/daemon.log", PATIENCE, |said| {
        said.out.contains("'/run/none/other.log'") && said.out.ends_with('\n')
    });
}

fn settle_alone(lab: &Lab, k: usize) {
    lab.until(k, "corosync-quorumtool -s", PATIENCE, |said| said.out.contains("Quorate:          Yes"));
}
