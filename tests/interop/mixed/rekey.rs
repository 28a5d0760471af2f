//! Reloads that change knet while three senders are at full speed: key, cipher, hash, from clear to encrypted and
//! back; links added, removed and re-addressed; priorities and ping times. No message may be lost and no ring may
//! change.
//!
//! The effect of a change is checked on the wire where possible: pings have a certain length for each cipher and
//! hash. A key is not visible, so a host that has only the last key is started at the end, and must join the ring.
//!
//! `scripts/interop.sh knet` runs all of it. `ANNULUS_INTEROP_MIXES` names other mixes; their transport is the one at
//! the start.

use super::Mix;
use super::flow::Flow;
use crate::lab::{Crypto, Kind, Lab, PATIENCE, Settings, Transport, wait_until};
use crate::ready;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One change of the configuration files of all hosts.
struct Change {
    name: &'static str,
    act: fn(&mut Settings),
    /// The host on which the reload is asked for.
    from: usize,
}

/// Changes of the encryption.
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

/// Changes of the links.
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

/// Length of a ping on the wire: 26 bytes, which a cipher pads to 32 and prefixes with 16, followed by the hash.
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

/// Number and total bytes of the pings that host `k` has sent to host `to` on a link; `None` if there is no such
/// link.
pub(crate) fn pings(lab: &Lab, k: usize, to: usize, link: usize) -> Option<(u64, u64)> {
    of(&lab.link_stats(k), to, link)
}

fn of(stats: &BTreeMap<String, u64>, to: usize, link: usize) -> Option<(u64, u64)> {
    let value = |what: &str| stats.get(&format!("node{to}.link{link}.tx_ping_{what}")).copied();
    value("packets").zip(value("bytes"))
}

/// Waits until host `k` sends pings of the length that these settings imply, to each other host on each link.
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
        // Pings before the change have another length, so only new ones are compared.
        before = after;
        done
    });
    assert!(
        outcome.is_ok(),
        "{what}: host {k}: pings are not {bytes} bytes long: {last}\n{}",
        lab.log_tail(k)
    );
}

/// Pause after each message while keys change. A node of Corosync forgets the old key when its own second message of
/// the change is delivered to it, whether or not the others have sent their first. At full speed that message waits
/// behind others; what its node sends meanwhile can no longer be decrypted, and the ring breaks, even without
/// annulusd in it.
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

/// Key, cipher and hash change on a ring of both kinds.
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

/// Every change of encryption, on rings of every kind.
#[test]
#[ignore = "minutes: scripts/interop.sh knet"]
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

/// Links are added, removed, moved and given priorities.
#[test]
#[ignore = "minutes: scripts/interop.sh knet"]
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
