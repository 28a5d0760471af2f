//! Divided clusters where Corosync lets two parts act, or reports nothing, and annulusd does not.

use crate::both::{PATIENCE, Side, compare, ours};
use crate::lab::{Lab, Settings, Transport};
use crate::{have, ready};
use std::time::{Duration, Instant};

const OUTAGE: &str = "runtime.totem.outage";

/// Whether packets of a host can be filtered by nftables.
fn nft_is_here() -> bool {
    have(&[("/usr/sbin/nft", "nftables")])
}

/// Gives host 3 three votes; each other host keeps its one vote.
fn three_votes(side: &Side) {
    let config = "/etc/corosync/corosync.conf";
    for k in 1..=3 {
        side.lab.must(k, &format!("sed -i 's/^    nodeid: 3$/&\\n    quorum_votes: 3/' {config}"));
    }
}

/// One, one and three votes: host 3 alone has a majority of five; the others have half of five, rounded down.
fn unequal(side: &mut Side) {
    let rules = "auto_tie_breaker: 1\nwait_for_all: 1";
    side.state("one, one and three votes");
    side.begin(&Settings::new(Transport::Udpu, "token: 1000", 3).quorum(rules), &[]);
    three_votes(side);
    for k in 1..=3 {
        side.start(k);
    }
    side.settle(&[1, 2, 3]);
    side.note(1, "corosync-quorumtool -s");
    side.lab.apart(3);
    side.settle(&[1, 2]);
    side.settle(&[3]);
    side.state("one, one and three votes, cut");
    let quorate = [1, 2, 3].map(|k| side.note(k, "corosync-quorumtool -s").code == 0);
    let two_parts = side.kind(1).is_corosync();
    assert_eq!(quorate, [two_parts, two_parts, true], "{}", side.name());
    side.lab.heal(3);
    side.settle(&[1, 2, 3]);
    side.state("one, one and three votes, whole again");
    for k in 1..=3 {
        side.note(k, "corosync-quorumtool -s");
    }
}

/// `auto_tie_breaker` with unequal votes: one part stays quorate; with Corosync the other part stays quorate as well.
#[test]
fn unequal_votes_leave_one_quorate_part() {
    if ready() {
        compare(3, unequal);
    }
}

/// Everything that a host sends is lost, but it still receives. The others go on without it. The host reports that it
/// is alone and not quorate, keeps to its own ring, and logs which direction is lost.
#[test]
fn a_host_that_nobody_hears_is_not_quorate_and_names_the_lost_direction() {
    if !(ready() && nft_is_here()) {
        return;
    }
    for (transport, unheard) in [(Transport::Udpu, 1), (Transport::Udp, 3)] {
        let mut lab = Lab::shared(3);
        lab.configure(transport, "token: 1000");
        lab.start_all(ours());
        let quorate = |code: i32, nodes: usize, lab: &Lab, k: usize| {
            lab.until(k, "corosync-quorumtool -s", PATIENCE, |said| {
                said.code == code && said.out.contains(&format!("Nodes:            {nodes}\n"))
            })
        };
        for k in 1..=3 {
            quorate(0, 3, &lab, k);
        }
        lab.silence(unheard);
        let began = Instant::now();
        for k in (1..=3).filter(|k| *k != unheard) {
            quorate(0, 2, &lab, k);
        }
        quorate(2, 1, &lab, unheard);
        println!("{transport:?}: not quorate after {:.1} s", began.elapsed().as_secs_f64());
        // Over twice the time for which the others' rings are ignored, it may form two more rings at most.
        let ring = |lab: &Lab| lab.must(unheard, "corosync-cmapctl -m stats stats.srp.operational_entered");
        let number = |text: &str| -> u64 {
            text.rsplit(' ').next().and_then(|word| word.trim().parse().ok()).expect("a counter")
        };
        let before = number(&ring(&lab));
        std::thread::sleep(Duration::from_secs(12));
        let rings = number(&ring(&lab)) - before;
        assert!(rings <= 2, "{rings} rings in 12 s");
        let log = lab.must(unheard, &format!("cat {}/daemon.log", lab.dir(unheard).join("log").display()));
        let line = log.lines().find(|line| line.contains("what this node sends does not arrive"));
        let line = line.unwrap_or_else(|| panic!("the direction is not told:\n{log}"));
        println!("{line}");
        assert!(
            log.matches("what this node sends does not arrive").count() <= 3,
            "the same line again and again"
        );
        lab.unfilter(unheard);
        for k in 1..=3 {
            quorate(0, 3, &lab, k);
        }
    }
}

/// Join messages arrive but tokens do not: no host forms a ring any more, for as long as this lasts.
fn no_tokens(side: &mut Side) {
    side.state("no tokens, before");
    side.begin(&Settings::new(Transport::Udpu, "token: 1000", 3), &[1, 2, 3]);
    side.settle(&[1, 2, 3]);
    let corosync = side.kind(1).is_corosync();
    for k in 1..=3 {
        side.lab.lose_tokens(k);
    }
    // A token time-out, then a token time-out and two consensus time-outs; and all of that once more.
    std::thread::sleep(Duration::from_secs(10));
    side.state("no tokens");
    for k in 1..=3 {
        let quorate = side.note(k, "corosync-quorumtool -s").code == 0;
        assert_eq!(quorate, corosync, "{}: host {k} in no ring", side.name());
        if !corosync {
            let why = side.lab.must(k, &format!("corosync-cmapctl -g {OUTAGE}"));
            assert!(why.contains("hear each other's join messages"), "{why}");
            #[cfg(feature = "tools")]
            {
                let status = side.lab.say(k, concat!(env!("CARGO_BIN_EXE_annulus"), " status"));
                let line = status.out.lines().find(|line| line.contains("NONE")).unwrap_or_default();
                assert!(line.contains("hear each other's join messages"), "{}", status.text());
            }
        }
    }
    for k in 1..=3 {
        side.lab.unfilter(k);
    }
    side.state("no tokens, after");
    side.settle_when(&[1, 2, 3], |text| text.contains("Quorate:          Yes"));
    for k in 1..=3 {
        side.note(k, "corosync-quorumtool -s");
        side.note(k, &format!("corosync-cmapctl -g {OUTAGE}"));
    }
}

/// While no ring operates, no host is quorate; hosts of Corosync keep reporting that they are.
#[test]
fn hosts_in_no_operating_ring_are_not_quorate() {
    if ready() && nft_is_here() {
        compare(3, no_tokens);
    }
}
