//! Two links under three senders at full speed: links cut and healed one after the other, in one direction and both;
//! networks with different MTUs; and paths whose MTU shrinks. No ring may change and no message may be lost; the test
//! prints for how long nothing was delivered.
//!
//! `scripts/interop.sh knet` runs all of it; `ANNULUS_INTEROP_MIXES` names other mixes.

use super::Mix;
use super::flow::Flow;
use crate::lab::{Kind, Lab, PATIENCE, Settings, Transport};
use crate::{have, ready};
use std::time::{Duration, Instant};

/// The configured ping time-out: a link is down when pings are not answered for this long.
const PING_TIMEOUT: Duration = Duration::from_millis(1000);
const PINGS: &str = "knet_ping_interval: 250\n    knet_ping_timeout: 1000\n    knet_pong_count: 2";

/// libknet tolerates more than the ping time-out on a link that has just come up; after this time it no longer does.
const SETTLED: Duration = Duration::from_secs(11);

fn settings(mix: &Mix, totem: &str) -> Settings {
    Settings::new(mix.transport, &format!("token: 3000\n  {totem}"), mix.len())
        .interface(0, PINGS)
        .interface(1, PINGS)
}

/// A ring of this mix, all of whose links have been up for a while.
fn ring(mix: &Mix, totem: &str, prepare: impl Fn(&Lab)) -> Lab {
    let mut lab = Lab::new(mix.len());
    lab.configure_with(&settings(mix, totem));
    prepare(&lab);
    mix.start(&mut lab);
    lab.wait_for_one_ring();
    all_links(&lab, mix, true);
    std::thread::sleep(SETTLED);
    lab
}

/// Waits until every link between all pairs of hosts is up (or down, if not `connected`).
fn all_links(lab: &Lab, mix: &Mix, connected: bool) {
    (0..mix.transport.links()).for_each(|link| each_link(lab, mix, link, connected));
}

fn each_link(lab: &Lab, mix: &Mix, link: usize, connected: bool) {
    let all: Vec<usize> = (1..=mix.len()).collect();
    for k in &all {
        lab.wait_for_link(*k, &all, link, connected, PATIENCE);
    }
}

fn mode(mix: &Mix) -> &'static str {
    match mix.transport {
        Transport::Knet(knet) => knet.mode.unwrap_or("passive"),
        Transport::Udp | Transport::Udpu => "none",
    }
}

/// How long a cut may delay messages. With Debian's daemon in the mix, the time in which it gives up its links counts
/// too.
fn bound(mix: &Mix) -> Duration {
    let slack = Duration::from_millis(1500);
    match mode(mix) {
        // Nothing waits for the link that is cut; delays are pauses of this machine.
        "active" => slack,
        _ => 2 * PING_TIMEOUT + slack,
    }
}

/// One way of cutting a link.
struct Cut {
    name: &'static str,
    link: usize,
    act: fn(&Lab),
    undo: fn(&Lab),
    /// The host at which the link is cut: its links to all others go down.
    at: usize,
}

const CUTS: [Cut; 7] = [
    Cut {
        name: "network 0 gone",
        link: 0,
        act: |lab| lab.cut_network(0),
        undo: |lab| lab.heal_network(0),
        at: 1,
    },
    Cut {
        name: "network 1 gone",
        link: 1,
        act: |lab| lab.cut_network(1),
        undo: |lab| lab.heal_network(1),
        at: 1,
    },
    Cut {
        name: "link 0 of host 2 cut",
        link: 0,
        act: |lab| lab.cut_link(2, 0),
        undo: |lab| lab.heal_link(2, 0),
        at: 2,
    },
    Cut {
        name: "link 1 of host 1 without carrier",
        link: 1,
        act: |lab| lab.unplug_link(1, 1),
        undo: |lab| lab.heal_link(1, 1),
        at: 1,
    },
    Cut {
        name: "link 0 of host 1 without carrier",
        link: 0,
        act: |lab| lab.unplug_link(1, 0),
        undo: |lab| lab.heal_link(1, 0),
        at: 1,
    },
    Cut {
        name: "link 0: host 2 hears nothing",
        link: 0,
        act: |lab| lab.deafen_link(2, 0),
        undo: Lab::unfilter_links,
        at: 2,
    },
    Cut {
        name: "link 0: host 2 is not heard",
        link: 0,
        act: |lab| lab.mute_link(2, 0),
        undo: Lab::unfilter_links,
        at: 2,
    },
];

/// Cuts links under load and prints for how long no message was delivered.
fn cuts(mix: &Mix, cuts: &[Cut]) {
    let lab = ring(mix, "", |_| {});
    let all: Vec<usize> = (1..=mix.len()).collect();
    let mut flow = Flow::start(&lab, &all);
    let mut worst = Duration::ZERO;
    for cut in cuts {
        let usual = flow.for_a_while(Duration::from_secs(2));
        let begin = Instant::now();
        (cut.act)(&lab);
        lab.wait_for_link(cut.at, &all, cut.link, false, PATIENCE);
        let noticed = begin.elapsed();
        for k in all.iter().filter(|k| **k != cut.at) {
            lab.wait_for_link(*k, &[cut.at], cut.link, false, PATIENCE);
        }
        let cut_off = flow.for_a_while(Duration::from_secs(1));
        (cut.undo)(&lab);
        let begin = Instant::now();
        each_link(&lab, mix, cut.link, true);
        let up = begin.elapsed();
        let healed = flow.for_a_while(SETTLED);
        println!(
            "| {mix} | {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
            mode(mix),
            cut.name,
            usual.as_secs_f64(),
            noticed.as_secs_f64(),
            cut_off.as_secs_f64(),
            up.as_secs_f64(),
            healed.as_secs_f64(),
        );
        worst = worst.max(cut_off).max(healed);
    }
    let stream = flow.end(&lab, &mix.to_string());
    println!(
        "{mix}: {} messages, {:.0} MB, one order, none lost",
        stream.messages,
        stream.bytes as f64 / 1e6
    );
    assert!(
        worst <= bound(mix),
        "{mix}: nothing was delivered for {worst:?}, which is more than {:?}",
        bound(mix)
    );
}

fn head() {
    println!(
        "| mix | mode | what | silence before, s | link down after | silence when cut | link up after | silence when healed |"
    );
    println!("|---|---|---|---|---|---|---|---|");
}

fn can() -> bool {
    ready() && have(&[("/usr/sbin/nft", "nftables")])
}

/// One of two links is cut, then the other.
#[test]
fn two_links_are_cut_one_after_the_other() {
    if !can() {
        return;
    }
    head();
    for mix in Mix::chosen(&["ACA/knet2+aes256+sha256"]) {
        cuts(&mix, &CUTS[..2]);
    }
}

/// Every kind of cut, in every link mode, in the clear and encrypted.
#[test]
#[ignore = "a quarter of an hour: scripts/interop.sh knet"]
fn every_kind_of_link_cut_leaves_the_ring_whole() {
    if !can() {
        return;
    }
    head();
    let mixes = [
        "AAA/knet2+aes256+sha256",
        "AAA/knet2+active",
        "ACA/knet2+aes256+sha256+active",
        "CAC/knet2",
        "ACC/knet2+aes256+sha256+rr",
        "AC/knet2",
    ];
    for mix in Mix::chosen(&mixes) {
        cuts(&mix, &CUTS);
    }
}

/// The MTU is 9000 bytes on hosts 1 and 2, and 1500 on host 3. Then that of host 2's interface shrinks, and if
/// `silent`, the path to host 3 shrinks as well, without a notice by an interface or an ICMP message.
fn sizes(mix: &Mix, silent: bool) {
    let lab = ring(mix, "knet_pmtud_interval: 5", |lab| {
        for (k, mtu) in [(1, 9000), (2, 9000), (3, 1500)] {
            (0..mix.transport.links()).for_each(|link| lab.mtu(k, link, mtu));
        }
    });
    let all: Vec<usize> = (1..=mix.len()).collect();
    let mut flow = Flow::start(&lab, &all);
    let wide = flow.for_a_while(Duration::from_secs(3));
    let mtus = |lab: &Lab| {
        let line = "corosync-cmapctl -m stats | grep 'link0.mtu' | sed 's/.*node\\([0-9]\\).*= /\\1:/' | tr '\\n' ' '";
        all.iter().map(|k| format!("{k}: {}", lab.say(*k, line).out)).collect::<Vec<_>>().join("; ")
    };
    println!("{mix}: mixed: silence {:.2} s; link 0: {}", wide.as_secs_f64(), mtus(&lab));
    (0..mix.transport.links()).for_each(|link| lab.mtu(2, link, 1400));
    let lowered = flow.for_a_while(Duration::from_secs(15));
    println!(
        "{mix}: interface of host 2 at 1400: silence {:.2} s; link 0: {}",
        lowered.as_secs_f64(),
        mtus(&lab)
    );
    if silent {
        (0..mix.transport.links()).for_each(|link| lab.path_mtu(3, link, 1300));
        let silent = flow.for_a_while(Duration::from_secs(20));
        println!(
            "{mix}: path to host 3 at 1300: silence {:.2} s; link 0: {}",
            silent.as_secs_f64(),
            mtus(&lab)
        );
    }
    (0..mix.transport.links()).for_each(|link| lab.mtu(2, link, 9000));
    let raised = flow.for_a_while(Duration::from_secs(12));
    println!(
        "{mix}: interface of host 2 at 9000: silence {:.2} s; link 0: {}",
        raised.as_secs_f64(),
        mtus(&lab)
    );
    let stream = flow.end(&lab, &mix.to_string());
    println!(
        "{mix}: {} messages, {:.0} MB, one order, none lost",
        stream.messages,
        stream.bytes as f64 / 1e6
    );
}

/// Hosts of one ring with different MTUs, and an interface whose MTU shrinks.
#[test]
#[ignore = "minutes: scripts/interop.sh knet"]
fn different_and_shrinking_mtus_lose_no_message() {
    if !can() {
        return;
    }
    let mixes = ["AAA/knet", "AAA/knet2+aes256+sha256", "ACA/knet2+aes256+sha256", "CAC/knet"];
    for mix in Mix::chosen(&mixes) {
        // After a silent shrinking, libknet sends packets that are too long until it probes again, and the ring
        // breaks.
        sizes(&mix, mix.kinds.iter().all(|kind| *kind == Kind::Annulus));
    }
}
