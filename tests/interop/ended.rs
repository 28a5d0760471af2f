//! A daemon that ends without a word: its host says that nobody receives there, and the others need not wait for it as
//! long. Messages that say so of a daemon that is there change nothing.

use std::fs;
use std::time::{Duration, Instant};

use crate::counts::Counts;
use crate::lab::{Kind, Lab, PATIENCE, Settings, Transport, wait_until};
use crate::ready;
use crate::steady::token_timeout;
use rustix::process::Signal;

/// The least token time-out, in ms: much longer than it takes to ask a host.
const FLOOR: u64 = 3000;
/// What the log says of a daemon that has ended.
const LINE: &str = "its daemon has ended";

/// Sends ICMP messages "port unreachable" in the name of host 2, which do not quote what a probe contains: to all ports
/// from which host 1 may have sent one.
const FORGE: &str = r"
import socket, struct, sys, time
to, of, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
a, b = socket.inet_aton(to), socket.inet_aton(of)
inner = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 52, 1, 0, 64, 17, 0, a, b)
outer = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 0, 1, 0, 64, 1, 0, b, a)
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
while True:
    for source in list(range(32768, 61000)) + [port]:
        quoted = inner + struct.pack('!HHHH', source, port, 32, 0) + b'annprobe' + bytes(16)
        found = checksum(struct.pack('!BBHI', 3, 3, 0, 0) + quoted)
        raw.sendto(outer + struct.pack('!BBHI', 3, 3, found, 0) + quoted, (to, 0))
";

/// Three hosts whose token time-out is the floor.
fn three(transport: Transport) -> Lab {
    let mut lab = Lab::shared(3);
    lab.configure_with(&Settings::new(transport, &format!("token_floor: {FLOOR}"), 3));
    lab.start_all(Kind::Annulus);
    lab.wait_for_one_ring();
    let floor = Duration::from_millis(FLOOR);
    let in_force = || (1..=3).all(|k| token_timeout(&lab, k, Kind::Annulus) == floor);
    assert!(wait_until(PATIENCE, in_force).is_ok(), "the floor is not in force\n{}", lab.log_tail(1));
    lab
}

#[test]
fn the_end_of_a_daemon_is_seen_long_before_the_others_give_up_waiting() {
    if !ready() {
        return;
    }
    // The first host is the representative, which holds the token.
    for (transport, which) in [(Transport::Udpu, 1..=3), (Transport::Udp, 2..=2), (Transport::SEALED, 2..=2)]
    {
        for ended in which {
            let mut lab = three(transport);
            let rest: Vec<usize> = (1..=3).filter(|k| *k != ended).collect();
            let rings: Vec<u64> = rest.iter().map(|k| Counts::of(&lab, *k).rings).collect();
            let begun = Instant::now();
            let _ = lab.end(ended, Signal::KILL);
            let formed = || rest.iter().zip(&rings).all(|(k, before)| Counts::of(&lab, *k).rings > *before);
            let outcome = wait_until(PATIENCE, formed);
            let took = begun.elapsed();
            let text = || format!("{transport}: host {ended}\n{}\n{}", lab.log(rest[0]), lab.log(rest[1]));
            assert!(outcome.is_ok(), "no ring without {}", text());
            println!("{transport}: host {ended} is out after {:.2} s", took.as_secs_f64());
            assert!(rest.iter().any(|k| lab.log(*k).contains(LINE)), "nobody was told: {}", text());
            // Silence takes two time-outs and a fifth.
            assert!(took < Duration::from_millis(FLOOR * 3 / 2), "{took:?}: {}", text());
        }
    }
}

/// Host 3 forges what host 2 would say if its daemon had ended. That daemon is stopped for a while meanwhile.
#[test]
fn a_forged_message_that_a_daemon_has_ended_puts_nobody_out() {
    if !ready() {
        return;
    }
    let lab = three(Transport::Udpu);
    let before: Vec<u64> = (1..=3).map(|k| Counts::of(&lab, k).rings).collect();
    let address = |k| lab.must(k, "hostname -I").split_whitespace().next().unwrap_or_default().to_owned();
    let script = lab.dir(3).join("run/forge.py");
    fs::write(&script, FORGE).expect("write the script");
    let forge = format!("timeout 5 python3 /run/forge.py {} {} 5405", address(1), address(2));
    std::thread::scope(|scope| {
        let forging = scope.spawn(|| lab.say(3, &forge));
        std::thread::sleep(Duration::from_millis(500));
        lab.pause(2);
        std::thread::sleep(Duration::from_millis(FLOOR * 2 / 3));
        lab.resume(2);
        let said = forging.join().expect("the script ends");
        assert_eq!(said.code, 124, "it ran until its time was over: {}", said.text());
    });
    let arrived = lab.must(1, "grep '^Icmp:' /proc/net/snmp | tail -1");
    let unreachable: u64 = arrived.split_whitespace().nth(4).and_then(|word| word.parse().ok()).unwrap_or(0);
    assert!(unreachable > 10_000, "the forged messages did not arrive: {arrived}");
    let after: Vec<u64> = (1..=3).map(|k| Counts::of(&lab, k).rings).collect();
    assert_eq!(before, after, "{}", lab.log(1));
}
