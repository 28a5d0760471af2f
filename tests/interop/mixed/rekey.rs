//! What a reload changes of knet while three senders are at full speed: key, cipher, hash, from clear to encrypted and
//! back; links added, removed and re-addressed; priorities and pings. Nothing is lost and no ring changes.
//!
//! That a change has come about is seen on the wire where it can be: pings have one length for each cipher and hash. A key
//! cannot be seen; a host that is started at the end with the last key alone comes to the ring.
//!
//! `scripts/knet.sh` runs all of it; `ANNULUS_INTEROP_MIXES` names other mixes, and what transport they name is what they
//! begin with.

use super::Mix;
use super::flow::Flow;
use crate::lab::{Crypto, Kind, Lab, PATIENCE, Settings, Transport, wait_until};
use crate::ready;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One change of all hosts' files.
struct Change {
    name: &'static str,
    act: fn(&mut Settings),
    /// The host that is told to reload.
    from: usize,
}

/// Changes what is encrypted, and how.
const CRYPTO: [Change; 6] = [
    Change { name: "another key", act: |settings| settings.seed = 1, from: 1 },
    Change {
        name: "aes128 and sha512",
        act: |settings| encrypt(settings, Some(("aes128", "sha512"))),
        from: 2,
    },
    Change { name: "none and sha384", act: |settings| encrypt(settings, Some(("none", "sha384"))), from: 1 },
    Change { name: "clear", act: |settings| encrypt(settings, None), from: 2 },
    Change {
        name: "aes256 and sha256",
        act: |settings| encrypt(settings, Some(("aes256", "sha256"))),
        from: 1,
    },
    Change { name: "a third key", act: |settings| settings.seed = 2, from: 2 },
];

/// Changes the links.
const LINKS: [Change; 6] = [
    Change { name: "link 1 added", act: |settings| links(settings, 2), from: 1 },
    Change {
        name: "link 1 preferred",
        act: |settings| settings.interface[1] = "knet_link_priority: 10".to_owned(),
        from: 2,
    },
    Change {
        name: "other pings",
        act: |settings| {
            settings.interface = [
                "knet_ping_interval: 300\n    knet_ping_timeout: 1500\n    knet_pong_count: 3",
                "knet_ping_interval: 400\n    knet_ping_timeout: 2000",
            ]
            .map(str::to_owned);
        },
        from: 1,
    },
    Change { name: "link 1 removed", act: |settings| links(settings, 1), from: 2 },
    Change {
        name: "link 1 added at other addresses",
        act: |settings| {
            links(settings, 2);
            settings.network[1] = 79;
        },
        from: 1,
    },
    Change { name: "another key", act: |settings| settings.seed = 1, from: 2 },
];

fn encrypt(settings: &mut Settings, with: Option<(&'static str, &'static str)>) {
    if let Transport::Knet(knet) = &mut settings.transport {
        knet.crypto = with.map(|(cipher, hash)| Crypto { cipher, hash });
    }
}

fn links(settings: &mut Settings, count: usize) {
    if let Transport::Knet(knet) = &mut settings.transport {
        knet.links = count;
    }
}

/// Bytes of a ping on the wire: 26, which a cipher pads to 32 and puts 16 before, and the hash behind.
fn ping_bytes(crypto: Option<Crypto>) -> u64 {
    let Some(crypto) = crypto else { return 26 };
    let hash = match crypto.hash {
        "md5" => 16,
        "sha1" => 20,
        "sha256" => 32,
        "sha384" => 48,
        "sha512" => 64,
        other => panic!("{other}: no hash"),
    };
    hash + if crypto.cipher == "none" { 26 } else { 48 }
}

/// Pings that host `k` has sent host `to` on a link, and their bytes; none where there is no such link.
pub(crate) fn pings(lab: &Lab, k: usize, to: usize, link: usize) -> Option<(u64, u64)> {
    of(&lab.link_stats(k), to, link)
}

fn of(stats: &BTreeMap<String, u64>, to: usize, link: usize) -> Option<(u64, u64)> {
    let value = |what: &str| stats.get(&format!("node{to}.link{link}.tx_ping_{what}")).copied();
    value("packets").zip(value("bytes"))
}

/// Waits until host `k` sends each other host pings of the length that these settings mean, on each of their links.
fn see_pings(lab: &Lab, k: usize, hosts: &[usize], settings: &Settings, what: &str) {
    let bytes = ping_bytes(settings.transport.crypto());
    let links = 0..settings.transport.links();
    let all: Vec<(usize, usize)> =
        hosts.iter().filter(|to| **to != k).flat_map(|to| links.clone().map(|link| (*to, link))).collect();
    let mut before = lab.link_stats(k);
    let mut last = String::new();
    let outcome = wait_until(PATIENCE, || {
        std::thread::sleep(Duration::from_millis(1000));
        let after = lab.link_stats(k);
        let done = all.iter().all(|(to, link)| {
            let (was, is) = (of(&before, *to, *link), of(&after, *to, *link));
            last = format!("link {link} to host {to}: {was:?}, then {is:?}");
            was.zip(is)
                .is_some_and(|(was, is)| is.0 > was.0 && (is.0 - was.0) * bytes == is.1.saturating_sub(was.1))
        });
        // Those before the change are not of this length.
        before = after;
        done
    });
    assert!(
        outcome.is_ok(),
        "{what}: host {k}: pings are not {bytes} bytes long: {last}\n{}",
        lab.log_tail(k)
    );
}

/// The pause after each message while keys change. A node of Corosync forgets the old key when it is delivered its own
/// second message of the change, whether or not the others have sent their first: at full speed that waits behind
/// others, what its node sends meanwhile is not understood any more, and the ring breaks, with none of ours about too.
fn pace(kinds: &[Kind]) -> Duration {
    if kinds.iter().any(|kind| kind.is_corosync()) { Duration::from_millis(3) } else { Duration::ZERO }
}

fn changed(mix: &Mix, changes: &[Change]) {
    let count = mix.len();
    let mut lab = Lab::new(count + 1);
    let hosts: Vec<usize> = (1..=count).collect();
    for k in 1..=count + 1 {
        lab.must(k, &format!("ip addr add 10.79.0.{k}/24 dev eth1"));
    }
    let mut settings = Settings::new(mix.transport, "token: 3000", count + 1);
    lab.configure_with(&settings);
    mix.start(&mut lab);
    wait_for_ring(&lab, &hosts);
    let mut flow = Flow::paced(&lab, &hosts, pace(&mix.kinds));
    for change in changes {
        (change.act)(&mut settings);
        let what = format!("{mix}: {}", change.name);
        lab.configure_with(&settings);
        let begin = Instant::now();
        let said = lab.say(change.from, "corosync-cfgtool -R");
        assert_eq!(
            said.code,
            0,
            "{what}: host {}: {}\n{}",
            change.from,
            said.text(),
            lab.log_tail(change.from)
        );
        let reloaded = begin.elapsed();
        for k in &hosts {
            for link in 0..settings.transport.links() {
                lab.wait_for_link(*k, &hosts, link, true, PATIENCE);
            }
            see_pings(&lab, *k, &hosts, &settings, &what);
        }
        let silence = flow.for_a_while(Duration::from_secs(3));
        println!(
            "| {mix} | {} | {:.2} | {:.2} |",
            change.name,
            reloaded.as_secs_f64(),
            silence.as_secs_f64()
        );
    }
    let stream = flow.end(&lab, &mix.to_string());
    println!(
        "{mix}: {} messages, {:.0} MB, one order, none lost",
        stream.messages,
        stream.bytes as f64 / 1e6
    );
    lab.start(count + 1, Kind::Corosync);
    wait_for_ring(&lab, &(1..=count + 1).collect::<Vec<_>>());
}

fn wait_for_ring(lab: &Lab, hosts: &[usize]) {
    for k in hosts {
        lab.until(*k, "corosync-quorumtool -s", PATIENCE, |said| {
            said.out.contains(&format!("Nodes:            {}\n", hosts.len()))
        });
    }
}

fn head() {
    println!("| mix | change | cfgtool -R took, s | longest silence, s |");
    println!("|---|---|---|---|");
}

/// Key, cipher and hash in a ring of both.
#[test]
fn the_key_and_the_cipher_are_changed_under_load() {
    if !ready() {
        return;
    }
    head();
    for mix in Mix::chosen(&["AC/knet+aes256+sha256"]) {
        changed(&mix, &CRYPTO[..2]);
    }
}

/// Every change of encryption, on every kind of ring.
#[test]
#[ignore = "minutes: scripts/knet.sh"]
fn every_change_of_encryption_under_load() {
    if !ready() {
        return;
    }
    head();
    let mixes = [
        "AAA/knet+aes256+sha256",
        "ACA/knet2+aes256+sha256",
        "CAC/knet+aes256+sha256",
        "CAA/knet2+aes256+sha1",
    ];
    for mix in Mix::chosen(&mixes) {
        changed(&mix, &CRYPTO);
    }
}

/// Links come, go, move and are preferred.
#[test]
#[ignore = "minutes: scripts/knet.sh"]
fn every_change_of_links_under_load() {
    if !ready() {
        return;
    }
    head();
    let mixes = ["AAA/knet+aes256+sha256", "ACA/knet+aes256+sha256", "CAC/knet", "CAA/knet+aes256+sha256"];
    for mix in Mix::chosen(&mixes) {
        changed(&mix, &LINKS);
    }
}
