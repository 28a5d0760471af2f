//! Hostile input on a running ring: mutated datagrams from the network; mutated handshakes, requests and shared
//! memory from local clients. No panic and no leak of memory, descriptors or files may result, and the ring and the
//! other clients must go on.
//!
//! | file | what |
//! |---|---|
//! | `clients.rs` | hostile local clients, one kind at a time |
//! | `datagrams.rs` | mutations of datagrams that the daemons themselves sent just before |
//! | `descriptors.rs` | a daemon whose clients hold as many descriptors as they may |
//! | `gaps.rs` | the longest time between two tokens |
//! | `requests.rs` | a client of the daemon's sockets that breaks all rules |
//! | `stalls.rs` | how long local clients can keep the ring waiting; `scripts/interop.sh stalls` |
//!
//! Counts: `ANNULUS_HOSTILE_DATAGRAMS` (50,000; full: 1,000,000) and `ANNULUS_HOSTILE_REQUESTS` (5,000; full:
//! 100,000).

mod clients;
mod datagrams;
mod descriptors;
mod gaps;
mod requests;
mod stalls;

use crate::lab::{Kind, Lab, PATIENCE, Peer, Transport, wait_until};
use crate::sequence::{Sequence, assert_same};
use crate::usage::resident;
use crate::{full, number, ready};
use std::fs;
use std::process::Stdio;

/// A small random generator (xorshift64*), seeded, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).expect("below a usize")
    }

    /// An extreme number, as such numbers break arithmetic most often, or any other.
    fn awkward(&mut self) -> u64 {
        const EDGES: [u64; 16] = [
            0,
            1,
            2,
            127,
            128,
            129,
            384,
            385,
            0x7fff,
            0xffff,
            0x10_0000,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            0x7fff_ffff_ffff_ffff,
            u64::MAX,
        ];
        if self.below(4) == 0 { self.next() } else { EDGES[self.below(EDGES.len())] }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// Changes `bytes` in one of the ways that typically break parsers.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        match self.below(8) {
            0 | 1 if !bytes.is_empty() => {
                for _ in 0..=self.below(8) {
                    let at = self.below(bytes.len());
                    bytes[at] ^= 1 << self.below(8);
                }
            }
            2 => bytes.truncate(self.below(bytes.len() + 1)),
            3 => {
                let more = self.below(600);
                bytes.extend(self.bytes(more));
            }
            4 | 5 if bytes.len() >= 8 => {
                let value = self.awkward().to_le_bytes();
                let width = [1, 2, 4, 8][self.below(4)];
                let at = self.below(bytes.len() - width + 1);
                bytes[at..at + width].copy_from_slice(&value[..width]);
            }
            6 if bytes.len() >= 2 => {
                let (from, to) = (self.below(bytes.len()), self.below(bytes.len()));
                let piece = bytes[from..(from + self.below(64)).min(bytes.len())].to_vec();
                bytes.splice(to..to, piece);
            }
            _ => {
                let count = self.below(bytes.len().max(32));
                let at = self.below(bytes.len() + 1);
                let noise = self.bytes(count);
                bytes.truncate(at);
                bytes.extend(noise);
            }
        }
    }
}

/// The resources that the daemon of host 1 holds.
#[derive(Debug)]
struct Holdings {
    descriptors: usize,
    files: Vec<String>,
    resident_kib: u64,
}

/// The resources that it holds once the one client that stays is the only one. What clients that are gone left behind
/// is cleaned up within moments, not at once.
fn holdings_at_rest(lab: &Lab) -> Holdings {
    let mut held = holdings(lab);
    let _ = wait_until(PATIENCE, || {
        held = holdings(lab);
        held.files.iter().filter(|file| !file["/dev/shm/".len()..].contains('/')).count() == 1
    });
    held
}

fn holdings(lab: &Lab) -> Holdings {
    let pid = lab.daemon_pid(1);
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("the daemon runs").count();
    let (status, text) = lab.run(1, &["find", "/dev/shm", "-mindepth", "1"]);
    assert!(status.success());
    let mut files: Vec<String> = text.lines().map(str::to_owned).collect();
    files.sort();
    Holdings { descriptors, files, resident_kib: resident(pid).0 }
}

fn ring() -> Lab {
    let mut lab = Lab::new(3);
    lab.configure(Transport::Udpu, "token: 3000");
    lab.start_all(Kind::Annulus);
    lab
}

/// Starts a client on each host that stays for the whole test.
fn staying(lab: &Lab) -> Vec<Peer> {
    let mut stay: Vec<Peer> = (1..=3)
        .map(|k| {
            lab.peer(
                k,
                "stay",
                "order",
                &["--group", "stay", "--members", "3", "--count", "1", "--finish", "no"],
            )
        })
        .collect();
    for peer in &mut stay {
        peer.wait_for("sent ", PATIENCE);
    }
    stay
}

/// Runs a worker of this test program inside host `k` and returns its output.
fn work(lab: &Lab, k: usize, name: &str, variables: &[(&str, String)]) -> String {
    let mut command = lab.command(k, std::env::current_exe().expect("this program"));
    command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]);
    for (key, value) in variables {
        command.env(key, value);
    }
    let output = command.stdin(Stdio::null()).output().expect("nsenter starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "the worker failed: {said}{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        lab.log_tail(1)
    );
    said.split("worker: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or(&said).to_owned()
}

/// Starts a new stream of three senders, which the ring must carry as if nothing had happened.
fn check_stream(lab: &Lab) {
    let options = ["--group", "after", "--members", "3", "--count", "500", "--deadline", "120"];
    let mut peers: Vec<Peer> = (1..=3).map(|k| lab.peer(k, "after", "order", &options)).collect();
    for peer in &mut peers {
        peer.succeed(PATIENCE);
    }
    let logs: Vec<Sequence> = peers.iter().map(|peer| Sequence::read(&peer.log)).collect();
    for log in &logs {
        assert_same((&logs[0].name, logs[0].since_view_of(3)), (&log.name, log.since_view_of(3)));
        assert!(log.check_fifo().values().all(|n| *n == 500), "{}: {:?}", log.name, log.check_fifo());
    }
}

/// Checks that the daemon no longer holds anything because of the hostile input.
fn check_holdings(lab: &mut Lab, before: &Holdings) {
    for k in 1..=3 {
        lab.assert_alive(k);
    }
    let mut after = holdings_at_rest(lab);
    let _ = wait_until(PATIENCE, || {
        after = holdings(lab);
        after.descriptors <= before.descriptors && after.files == before.files
    });
    assert!(
        after.descriptors <= before.descriptors,
        "descriptors: {} before, {}",
        before.descriptors,
        after.descriptors
    );
    assert_eq!(after.files, before.files, "files in /dev/shm");
    let grown = after.resident_kib.saturating_sub(before.resident_kib);
    println!("resident: {} KiB before, {} KiB after", before.resident_kib, after.resident_kib);
    assert!(grown < 16 * 1024, "resident memory grew by {grown} KiB: {before:?} {after:?}");
    assert!(!lab.log_tail(1).contains("panicked"), "{}", lab.log_tail(1));
}

#[test]
fn mutated_datagrams() {
    if !ready() {
        return;
    }
    let count = number("ANNULUS_HOSTILE_DATAGRAMS").unwrap_or(if full() { 1_000_000 } else { 50_000 });
    let mut lab = ring();
    let corpus = datagrams::record(&mut lab);
    let mut stay = staying(&lab);
    // Buffers grow to their final size with the first traffic, which must not count as a leak.
    check_stream(&lab);
    let before = holdings_at_rest(&lab);
    let said = work(
        &lab,
        2,
        "hostile::datagrams::worker",
        &[
            ("HOSTILE_CORPUS", corpus.display().to_string()),
            ("HOSTILE_COUNT", count.to_string()),
            ("HOSTILE_TO", "10.77.0.1:5405".to_owned()),
        ],
    );
    println!("{said}; {} of them did not fit the socket's buffer", datagrams::dropped(&lab, 1));
    for k in 1..=3 {
        lab.assert_alive(k);
    }
    check_stream(&lab);
    check_holdings(&mut lab, &before);
    for peer in &mut stay {
        peer.tell("stop");
        peer.succeed(PATIENCE);
    }
}

/// Another program on a member's host sends, among other things, valid frames of this very ring. They are refused
/// because of their source port, and the ring does not notice.
#[test]
fn another_program_on_a_members_host_does_not_disturb_the_ring() {
    if !ready() {
        return;
    }
    let mut lab = ring();
    let corpus = datagrams::record(&mut lab);
    let mut stay = staying(&lab);
    let keys = "corosync-cmapctl -m stats | grep -E 'srp\\.(gather_entered|rx_msg_dropped) '";
    let before = lab.must(1, keys);
    let said = work(
        &lab,
        2,
        "hostile::datagrams::worker",
        &[
            ("HOSTILE_CORPUS", corpus.display().to_string()),
            ("HOSTILE_COUNT", "5000".to_owned()),
            ("HOSTILE_TO", "10.77.0.1:5405".to_owned()),
            ("HOSTILE_FROM", "55405".to_owned()),
            ("HOSTILE_MUTATIONS", "0".to_owned()),
        ],
    );
    println!("{said}");
    assert_eq!(lab.must(1, keys), before, "{}", lab.log_tail(1));
    assert!(lab.log_tail(1).contains("another program"), "{}", lab.log_tail(1));
    check_stream(&lab);
    for peer in &mut stay {
        peer.tell("stop");
        peer.succeed(PATIENCE);
    }
}

#[test]
fn mutated_requests() {
    if !ready() {
        return;
    }
    let count = number("ANNULUS_HOSTILE_REQUESTS").unwrap_or(if full() { 100_000 } else { 5_000 });
    let mut lab = ring();
    let mut stay = staying(&lab);
    check_stream(&lab);
    let before = holdings_at_rest(&lab);
    // Meanwhile other clients send, one of them on the same host: they lose nothing.
    let options =
        ["--group", "others", "--members", "3", "--count", "2000", "--finish", "yes", "--pause-us", "1000"];
    let mut others: Vec<Peer> = (1..=3).map(|k| lab.peer(k, "others", "order", &options)).collect();
    let said = work(&lab, 1, "hostile::requests::worker", &[("HOSTILE_COUNT", count.to_string())]);
    println!("{said}");
    for peer in &mut others {
        peer.succeed(PATIENCE);
    }
    let logs: Vec<Sequence> = others.iter().map(|peer| Sequence::read(&peer.log)).collect();
    for log in &logs {
        assert_same((&logs[0].name, logs[0].since_view_of(3)), (&log.name, log.since_view_of(3)));
        assert!(log.check_fifo().values().all(|n| *n == 2000), "{}: {:?}", log.name, log.check_fifo());
    }
    check_stream(&lab);
    check_holdings(&mut lab, &before);
    for peer in &mut stay {
        peer.tell("stop");
        peer.succeed(PATIENCE);
    }
}
