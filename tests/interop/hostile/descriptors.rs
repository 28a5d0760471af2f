//! A daemon whose clients hold as many descriptors as they may can still open the files that it needs itself.

use super::clients::{ALLOWED, REFUSED, head};
use super::requests::{Client, dial, handshake};
use crate::lab::{Kind, Lab, PATIENCE, Settings, Transport, wait_until};
use crate::ready;
use annulus::ipc::Connection;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

/// Limit of open descriptors of the daemon.
const LIMIT: usize = 256;
/// Ids of the requests that reload the configuration and reopen the logs. Source: corosync
/// `include/corosync/ipc_cfg.h`.
const RELOAD: i32 = 7;
const REOPEN_LOGS: i32 = 8;

fn become_user(user: u32) {
    let (group, id) = (rustix::thread::Gid::from_raw(user), rustix::thread::Uid::from_raw(user));
    rustix::thread::set_thread_groups(&[]).expect("root");
    rustix::thread::set_thread_res_gid(group, group, group).expect("root");
    rustix::thread::set_thread_res_uid(id, id, id).expect("root");
}

/// Runs inside a host: opens as many connections as one user gets, and holds them.
#[test]
#[ignore = "runs inside a host of the lab, started by clients_that_use_up_descriptors_leave_enough_for_the_daemon"]
fn worker() {
    let Some(user) = std::env::var("HOUSE_USER").ok().map(|user| user.parse::<u32>().expect("a number"))
    else {
        println!("skipped: it is started by clients_that_use_up_descriptors_leave_enough_for_the_daemon");
        return;
    };
    become_user(user);
    let administration = (user == 0).then(|| Connection::connect("cfg").expect("root is let in"));
    let mut clients = Vec::new();
    while let Ok(client) = Client::connect("cpg") {
        clients.push(client);
    }
    // Further connections are refused by now. These send only part of a handshake, as long as the daemon lets them.
    let half: Vec<UnixStream> = (0..100)
        .filter_map(|_| {
            let mut stream = dial("cpg").ok()?;
            stream.write_all(&handshake(1 << 20)[..7]).ok()?;
            Some(stream)
        })
        .collect();
    println!("house: {} connections, {} that say nothing", clients.len(), half.len());
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let id = line.parse().expect("the number of a request");
        let answer = administration.as_ref().expect("only root is asked").call(&[&head(id, 16)]);
        let error = answer.map(|answer| i32::from_le_bytes(answer[16..20].try_into().expect("four bytes")));
        println!("answer: {error:?}");
    }
    drop((clients, half));
}

/// A running worker that holds descriptors of the daemon.
struct House {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl House {
    fn fill(lab: &Lab, user: u32) -> Self {
        let mut command = lab.command(1, std::env::current_exe().expect("this program"));
        command.args([
            "--exact",
            "hostile::descriptors::worker",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ]);
        let mut child = command
            .env("HOUSE_USER", user.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut house = Self { child, lines };
        println!("user {user}: {}", house.wait_for("house: "));
        house
    }

    fn wait_for(&mut self, word: &str) -> String {
        let found = self.lines.by_ref().map_while(Result::ok).find(|line| line.contains(word));
        found.expect("the worker says it")
    }

    fn ask(&mut self, id: i32) -> String {
        writeln!(self.child.stdin.as_mut().expect("piped"), "{id}").expect("the worker listens");
        self.wait_for("answer: ")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn ring_number(lab: &Lab, k: usize) -> u64 {
    let file = lab.dir(k).join(format!("lib/corosync/ringid_{k}"));
    fs::read(file).ok().and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_ne_bytes)
}

#[test]
fn clients_that_use_up_descriptors_leave_enough_for_the_daemon() {
    if !ready() {
        return;
    }
    let mut lab = Lab::shared(2);
    let mut settings = Settings::new(Transport::Udpu, "token: 3000", 2);
    settings.more = format!("uidgid {{\n  uid: {ALLOWED}\n}}\nuidgid {{\n  uid: {}\n}}", ALLOWED + 1);
    lab.configure_with(&settings);
    let limit = format!("--nofile={LIMIT}:{LIMIT}");
    lab.start_by(1, Kind::Annulus, &["prlimit", &limit]);
    lab.until(1, "corosync-cmapctl -g totem.token", PATIENCE, |said| said.code == 0);
    // Ordinary users come first, so that the descriptors reserved for root stay free. The user who is refused holds
    // unfinished handshakes.
    let houses: Vec<House> = [ALLOWED, ALLOWED + 1, REFUSED].map(|user| House::fill(&lab, user)).into();
    lab.must(1, "corosync-cmapctl -g totem.token");
    let mut root = House::fill(&lab, 0);
    assert!(lab.say(1, "corosync-cmapctl -g totem.token").code != 0, "the house is full");
    let open = fs::read_dir(format!("/proc/{}/fd", lab.daemon_pid(1))).expect("it runs").count();
    println!("{open} of {LIMIT} descriptors are open");
    assert!(open > LIMIT / 2 && open + 16 < LIMIT, "{open} of {LIMIT} descriptors are open");

    let log = lab.dir(1).join("log/daemon.log");
    fs::rename(&log, lab.dir(1).join("log/daemon.log.1")).expect("rotate the log");
    assert!(root.ask(REOPEN_LOGS).contains("Ok(1)"));
    wait_until(PATIENCE, || log.exists()).expect("the log is opened again");
    assert!(root.ask(RELOAD).contains("Ok(1)"), "the configuration is read again");

    // A node with a higher ring number: this node must store that number before it takes part in a ring above it.
    let seen = 3000_u64;
    assert!(ring_number(&lab, 1) < seen + 4000);
    fs::write(lab.dir(2).join("lib/corosync/ringid_2"), seen.to_ne_bytes()).expect("write the number");
    lab.start(2, Kind::Annulus);
    let stored = wait_until(PATIENCE, || ring_number(&lab, 1) > seen + 4000);
    assert!(stored.is_ok(), "{:#x} is stored\n{}", ring_number(&lab, 1), lab.log_tail(1));
    let mut text = String::new();
    let written = wait_until(PATIENCE, || {
        text = fs::read_to_string(&log).expect("the new log");
        text.contains("a new membership was formed")
    });
    assert!(written.is_ok(), "the new log does not tell of the ring: {text}");
    let old = fs::read_to_string(lab.dir(1).join("log/daemon.log.1")).expect("the old log");
    assert!(!(old + &text).contains("Too many open files"), "{text}");
    lab.assert_alive(1);
    drop((houses, root));
    lab.until(1, "corosync-cmapctl -g totem.token", PATIENCE, |said| said.code == 0);
}
