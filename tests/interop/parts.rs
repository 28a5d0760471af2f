//! Clusters that come apart where Corosync lets two parts act, or says nothing of it, and annulusd does not.

use crate::both::{Side, compare};
use crate::lab::{Kind, Settings, Transport};
use crate::ready;

/// Gives host 3 three votes; the others keep their one.
fn three_votes(side: &Side) {
    let config = "/etc/corosync/corosync.conf";
    for k in 1..=3 {
        side.lab.must(k, &format!("sed -i 's/^    nodeid: 3$/&\\n    quorum_votes: 3/' {config}"));
    }
}

/// One, one and three votes: half of five, rounded down, and the rest, which is a majority.
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
    let two_parts = side.kind(1) == Kind::Corosync;
    assert_eq!(quorate, [two_parts, two_parts, true], "{}", side.name());
    side.lab.heal(3);
    side.settle(&[1, 2, 3]);
    side.state("one, one and three votes, whole again");
    for k in 1..=3 {
        side.note(k, "corosync-quorumtool -s");
    }
}

/// `auto_tie_breaker` where votes differ: one part stays quorate, and the other one here as well with Corosync.
#[test]
fn unequal_votes_leave_one_quorate_part() {
    if ready() {
        compare(3, unequal);
    }
}
