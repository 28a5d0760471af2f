//! Three senders at full speed on a ring of both kinds, through libcpg: the sequence is the same on all hosts, and
//! the load does not change the ring.
//!
//! | variable | what |
//! |---|---|
//! | `ANNULUS_INTEROP_SPAN` | seconds that the senders send (3; 30 with `ANNULUS_INTEROP_FULL=1`) |
//! | `ANNULUS_INTEROP_SIZES` | message sizes, each in a stream of its own, instead of 64 to 100,000 bytes mixed |

use super::Mix;
use super::same::{Stream, same_streams};
use crate::counts::Counts;
use crate::lab::{CIPHERS, Crypto, HASHES, Kind, Knet, Lab, Peer, Transport};
use crate::{full, number, ready};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Time limit until everything that was sent has been delivered.
const LONG: Duration = Duration::from_secs(300);

/// The default mixes: each kind as representative, in the minority and in the majority.
const EVERY_DAY: [&str; 6] =
    ["AC/udpu", "CAC/udpu", "ACA/udp", "CACAC/udp", "CA/knet2+aes256+sha256", "ACA/knet"];

/// Smallest and largest message of a stream.
type Sizes = (usize, usize);

fn span() -> u64 {
    number("ANNULUS_INTEROP_SPAN").unwrap_or(if full() { 30 } else { 3 })
}

fn sizes() -> Vec<Sizes> {
    match std::env::var("ANNULUS_INTEROP_SIZES") {
        Ok(list) => list
            .split(',')
            .map(|size| size.parse().expect("a size in bytes"))
            .map(|size| (size, size))
            .collect(),
        Err(_) => vec![(64, 100_000)],
    }
}

/// The hosts that send: of both kinds, with the first and the last among them.
fn senders(mix: &Mix) -> Vec<usize> {
    match mix.len() {
        // With two hosts, the third sender is a second client on the representative.
        2 => vec![1, 2, 1],
        hosts => {
            let mut senders = vec![1, hosts];
            let kinds = [mix.kind(1), mix.kind(hosts)];
            let middle = (2..hosts).find(|k| !kinds.contains(&mix.kind(*k))).unwrap_or(2);
            senders.insert(1, middle);
            senders
        }
    }
}

/// Runs one stream and returns its figures as one line.
fn stream(mix: &Mix, lab: &Lab, (min, max): Sizes) -> String {
    let before = Counts::of_all(lab);
    let senders = senders(mix);
    let clients: Vec<usize> =
        senders.iter().copied().chain((1..=lab.len()).filter(|k| !senders.contains(k))).collect();
    let (members, min, max, span) =
        (clients.len().to_string(), min.to_string(), max.to_string(), span().to_string());
    let start = Instant::now();
    let mut peers: Vec<Peer> = clients
        .iter()
        .enumerate()
        .map(|(at, k)| {
            let mut options = vec![
                "--group",
                "stream",
                "--members",
                &members,
                "--min",
                &min,
                "--max",
                &max,
                "--deadline",
                "600",
            ];
            // A client that only listens sends a single message, its last.
            options.extend(if at < senders.len() { ["--span", &span] } else { ["--count", "1"] });
            lab.peer(*k, &format!("stream-{at}"), "order", &options)
        })
        .collect();
    let refusals: Vec<String> = peers[..senders.len()]
        .iter_mut()
        .map(|peer| peer.wait_for("sent ", LONG).rsplit(' ').next().unwrap_or_default().to_owned())
        .collect();
    for peer in &mut peers {
        peer.succeed(LONG);
    }
    let took = start.elapsed().as_secs_f64();
    let streams: Vec<&std::path::Path> = peers.iter().map(|peer| peer.log.as_path()).collect();
    let Stream { messages, bytes, senders: of, views } = same_streams(&streams);
    assert_eq!(views, 1, "{mix}: the group changed without a cause");
    assert_eq!(of.len(), clients.len(), "{mix}: {of:?}: each client has sent");
    let (mut retransmitted, mut busy, mut frames, mut memory) = (String::new(), String::new(), 0, 0);
    for k in 1..=lab.len() {
        let (was, is) = (before[k - 1], Counts::of(lab, k));
        assert_eq!(
            (was.gathers, was.rings),
            (is.gathers, is.rings),
            "{mix}: host {k}: the ring changed without a cause"
        );
        let log = std::fs::read_to_string(lab.dir(k).join("log/daemon.log")).expect("the daemon has a log");
        assert!(!log.contains("FAILED TO RECEIVE"), "{mix}: host {k}: {}", lab.log_tail(k));
        frames += is.sent - was.sent;
        memory = memory.max(if mix.kind(k) == Kind::Annulus { is.memory } else { 0 });
        let _ = write!(retransmitted, " {}", is.again - was.again);
        let _ = write!(busy, " {:.1}", (is.busy - was.busy).as_secs_f64());
    }
    let shares: Vec<String> = of.values().map(|n| n.to_string()).collect();
    let seconds = span.parse::<f64>().expect("a number").max(1.0);
    let line = format!(
        "| {mix} | {min}-{max} | {messages} | {:.0} | {:.1} | {frames} |{retransmitted} |{busy} | {} | {took:.0} | {} | {} |",
        messages as f64 / seconds,
        bytes as f64 / 1e6 / seconds,
        memory / 1024,
        shares.join(" "),
        refusals.join(" "),
    );
    for log in streams {
        // The logs are long, so they are removed.
        let _ = std::fs::remove_file(log);
    }
    line
}

#[test]
fn three_senders_at_full_speed() {
    if ready() {
        streams(&Mix::chosen(&EVERY_DAY));
    }
}

/// Runs the streams on each of these mixes, one after the other, and prints the figures.
pub(super) fn streams(mixes: &[Mix]) {
    println!(
        "| mix | bytes | messages | per s | MB/s | frames | sent again, by host | processor s, by host | highest MiB of ours | took s | by sender | refused |"
    );
    for mix in mixes {
        let mut lab = Lab::new(mix.len());
        lab.configure(mix.transport, "token: 3000");
        mix.start(&mut lab);
        lab.wait_for_one_ring();
        for sizes in sizes() {
            println!("{}", stream(mix, &lab, sizes));
        }
        for k in 1..=mix.len() {
            lab.assert_alive(k);
        }
    }
}

/// Each cipher with each hash, in every link mode.
#[test]
#[ignore = "minutes: scripts/interop.sh knet streams"]
fn every_cipher_and_hash() {
    if !ready() {
        return;
    }
    let mut mixes = Vec::new();
    for cipher in CIPHERS {
        for hash in HASHES {
            let crypto = Some(Crypto { cipher, hash });
            let transport = Transport::Knet(Knet { links: 1, crypto, mode: None });
            mixes.push(Mix { kinds: vec![Kind::Annulus, Kind::Corosync], transport });
        }
    }
    streams(&mixes);
}

/// All arrangements of hosts on knet.
#[test]
#[ignore = "minutes: scripts/interop.sh knet streams"]
fn every_arrangement_of_knet() {
    if ready() {
        streams(&Mix::knet());
    }
}
