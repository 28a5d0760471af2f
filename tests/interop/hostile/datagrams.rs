//! Mutated datagrams, recorded from the running ring, so that ring id and sequence numbers are near the real ones.

use super::Random;
use crate::lab::{Lab, PATIENCE, Peer};
use rustix::process::Signal;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Records a run with a restarted daemon, a member's traffic and an idle ring. Returns a file with one datagram per
/// line, in hexadecimal.
pub(super) fn record(lab: &mut Lab) -> PathBuf {
    let file = lab.dir(1).join("corpus.pcapng");
    let capture = lab.capture(&file);
    let options =
        ["--group", "corpus", "--members", "3", "--count", "150", "--pause-us", "2000", "--finish", "no"];
    let mut peers: Vec<Peer> = (1..=2).map(|k| lab.peer(k, "corpus", "order", &options[..])).collect();
    let mut third = lab.peer(3, "corpus", "order", &options);
    third.wait_for("sent ", PATIENCE);
    third.tell("stop");
    third.succeed(PATIENCE);
    let short = lab.peer(2, "short", "order", &["--group", "short", "--count", "5"]);
    drop(short);
    let status = lab.end(2, Signal::TERM);
    let _ = peers[1].finish(PATIENCE);
    println!("host 2 ended with {status} and comes back");
    lab.start(2, crate::lab::Kind::Annulus);
    let mut back = lab.peer(
        2,
        "back",
        "order",
        &["--group", "corpus", "--members", "2", "--count", "50", "--finish", "no"],
    );
    back.wait_for("sent ", PATIENCE);
    for peer in [&mut back, &mut peers[0]] {
        peer.tell("stop");
        peer.succeed(PATIENCE);
    }
    std::thread::sleep(Duration::from_secs(1));
    capture.stop();
    let output = Command::new("tshark")
        .args(["-n", "-r"])
        .arg(&file)
        .args(["-T", "fields", "-e", "udp.payload"])
        .stdin(Stdio::null())
        .output()
        .expect("tshark starts");
    assert!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let distinct: BTreeSet<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert!(distinct.len() > 100, "only {} different datagrams were recorded", distinct.len());
    let corpus = lab.dir(1).join("corpus.hex");
    std::fs::write(&corpus, distinct.into_iter().collect::<Vec<_>>().join("\n")).expect("write the corpus");
    corpus
}

/// The number of datagrams that the sockets of host `k` dropped because they were full.
pub(super) fn dropped(lab: &Lab, k: usize) -> u64 {
    let (_, text) = lab.run(k, &["cat", "/proc/net/udp"]);
    text.lines().skip(1).filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum()
}

fn unhex(line: &str) -> Vec<u8> {
    line.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("text"), 16).expect("hexadecimal"))
        .collect()
}

/// Sends UDP datagrams that seem to come from any port of this host, even the ring's own, which the daemon has bound.
/// The daemon drops datagrams from other ports before it parses them.
struct Forger {
    socket: Socket,
    from: u16,
    to: SocketAddrV4,
}

impl Forger {
    fn new(from: u16, to: SocketAddrV4) -> Self {
        let socket =
            Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).expect("a raw socket, as root");
        socket.connect(&SockAddr::from(SocketAddrV4::new(*to.ip(), 0))).expect("an address");
        Self { socket, from, to }
    }

    /// The kernel writes the IP header. The UDP header is four numbers: two ports, length, and no checksum.
    fn send(&self, payload: &[u8]) -> std::io::Result<usize> {
        let length = u16::try_from(8 + payload.len()).expect("it was cut before");
        let header = [self.from, self.to.port(), length, 0].map(u16::to_be_bytes);
        self.socket.send(&[header.as_flattened(), payload].concat())
    }
}

/// Runs inside a host: sends the mutations, no faster than the daemon receives them.
#[test]
#[ignore = "runs inside a host of the lab, started by mutated_datagrams"]
fn worker() {
    let (Ok(corpus), Ok(to)) = (std::env::var("HOSTILE_CORPUS"), std::env::var("HOSTILE_TO")) else {
        println!("skipped: it is started by mutated_datagrams");
        return;
    };
    let count: u64 = std::env::var("HOSTILE_COUNT").expect("a count").parse().expect("a number");
    let corpus: Vec<Vec<u8>> =
        std::fs::read_to_string(corpus).expect("the corpus").lines().map(unhex).collect();
    // Most of the recording is tokens, so each kind and length gets the same share.
    let mut kinds: BTreeMap<(usize, u8), Vec<&Vec<u8>>> = BTreeMap::new();
    for datagram in &corpus {
        kinds.entry((datagram.len(), *datagram.get(3).unwrap_or(&0))).or_default().push(datagram);
    }
    let kinds: Vec<Vec<&Vec<u8>>> = kinds.into_values().collect();
    let variable = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let to: SocketAddrV4 = to.parse().expect("an address");
    let forger = Forger::new(variable("HOSTILE_FROM").unwrap_or(to.port()), to);
    let mutations = variable("HOSTILE_MUTATIONS").map(usize::from);
    let mut random = Random::new(count);
    let mut datagram = Vec::new();
    let mut refused = 0_u64;
    for number in 0..count {
        datagram.clear();
        let kind = &kinds[random.below(kinds.len())];
        datagram.extend(kind[random.below(kind.len())]);
        for _ in 0..mutations.unwrap_or_else(|| 1 + random.below(3)) {
            random.mutate(&mut datagram);
        }
        datagram.truncate(9000);
        if forger.send(&datagram).is_err() {
            refused += 1;
        }
        if number % 32 == 31 {
            std::thread::sleep(Duration::from_micros(300));
        }
    }
    println!(
        "worker: {count} mutated datagrams from {} recorded ones of {} lengths and kinds, {refused} refused by the kernel",
        corpus.len(),
        kinds.len()
    );
}
