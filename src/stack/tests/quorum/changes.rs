//! Votes and settings that change at run time.

use std::time::Duration;

use zerocopy::IntoBytes;

use super::voters::{CLIENT, info, key, quorate, running, set, status, votes};
use crate::error::Status;
use crate::ids::ServiceId;
use crate::quiet::written;
use crate::quorum::wire::votequorum::{self as v, request};
use crate::stack::tests::cluster::id;
use crate::value::Value;

/// corosync-quorumtool -e and -v: all nodes adopt the change; a change that would lose quorum is refused.
#[test]
fn votes_are_changed_while_running() {
    let mut cluster = running(&[1, 1, 1], &[]);
    cluster.connect(2, ServiceId::VOTEQUORUM, CLIENT);
    let expected = |votes| v::NumberRequestBytes::new(request::SET_EXPECTED, votes);
    for (votes, outcome) in [(2, Status::InvalidParam), (6, Status::InvalidParam), (5, Status::Ok)] {
        assert_eq!(status(&mut cluster, 2, CLIENT, expected(votes).as_bytes()), outcome, "{votes}");
    }
    cluster.settle();
    for node in 1..=3 {
        let votes = votes(&cluster, node);
        assert_eq!((votes.quorum(), votes.quorate(), votes.ev_barrier()), (3, true, 5));
        assert_eq!(key(&cluster, node, "runtime.votequorum.ev_barrier"), Some(Value::U32(5)));
    }
    let mut change = |node, votes| {
        let request = v::SetVotesRequestBytes::new(node, votes);
        status(&mut cluster, 2, CLIENT, request.as_bytes())
    };
    assert_eq!(change(9, 1), Status::NameNotFound);
    assert_eq!(change(3, 0), Status::InvalidParam);
    assert_eq!(change(3, 4), Status::Ok);
    cluster.settle();
    for node in 1..=3 {
        let votes = votes(&cluster, node);
        assert_eq!((votes.quorum(), votes.nodes.get(id(3)).unwrap().votes), (4, 4));
    }
    let reply = info(&mut cluster, 2, 3);
    assert_eq!((reply.votes.get(), reply.total_votes.get(), reply.quorum.get()), (4, 6, 4));
    let unknown = v::NumberRequestBytes::new(request::GET_INFO, 77);
    assert_eq!(status(&mut cluster, 2, CLIENT, unknown.as_bytes()), Status::NotExist);
}

/// What `expected_votes_tracking` has stored is a minimum for the node that starts again.
#[test]
fn the_highest_number_of_expected_votes_survives_a_restart() {
    let mut cluster = running(&[1, 1, 1], &[("expected_votes_tracking", "1")]);
    cluster.connect(2, ServiceId::VOTEQUORUM, CLIENT);
    let expected = v::NumberRequestBytes::new(request::SET_EXPECTED, 5);
    assert_eq!(status(&mut cluster, 2, CLIENT, expected.as_bytes()), Status::Ok);
    cluster.settle();
    for node in 1..=3 {
        cluster.kill(node);
    }
    cluster.start(1);
    assert_eq!((votes(&cluster, 1).ev_tracking_barrier(), votes(&cluster, 1).quorum()), (5, 3));
}

/// Changes of the database during a reload are read at its end, and all nodes are told.
#[test]
fn a_reload_is_read_at_its_end() {
    let mut cluster = running(&[1, 1, 1], &[]);
    for node in 1..=3 {
        set(&mut cluster, node, "config.totemconfig_reload_in_progress", Value::U8(1));
        set(&mut cluster, node, "quorum.expected_votes", Value::U32(5));
    }
    cluster.settle();
    assert_eq!(votes(&cluster, 1).quorum(), 2, "not yet");
    for node in 1..=3 {
        set(&mut cluster, node, "config.totemconfig_reload_in_progress", Value::U8(0));
    }
    cluster.settle();
    for node in 1..=3 {
        assert_eq!(votes(&cluster, node).quorum(), 3);
    }
}

/// Unusable settings, which clients may set as often as they like, cause only a few log lines.
#[test]
fn a_flood_of_settings_that_cannot_be_used_does_not_fill_the_log() {
    // An odd number of votes has no half: see `settings::Wrong::OddLastMan`.
    let mut cluster = running(&[1, 1], &[("auto_tie_breaker", "1"), ("last_man_standing", "1")]);
    let (lines, held_back) = written::during(|| {
        for _ in 0..60 {
            cluster.run(Duration::from_secs(1));
            for votes in [2, 4] {
                set(&mut cluster, 1, "nodelist.node.0.quorum_votes", Value::U32(votes));
            }
        }
    });
    assert_eq!(votes(&cluster, 1).quorum(), 2, "nothing of it was taken");
    assert!((2..10).contains(&lines), "{lines} lines");
    assert!(held_back > 50, "{held_back} held back");
}

/// `corosync-cmapctl -s quorum.cancel_wait_for_all u8 1`.
#[test]
fn waiting_for_all_can_be_cancelled() {
    let mut cluster = running(&[1, 1, 1], &[("wait_for_all", "1")]);
    for node in 1..=3 {
        cluster.kill(node);
    }
    cluster.start(1);
    cluster.start(2);
    cluster.settle();
    assert_eq!(quorate(&cluster, 1), Some(false));
    assert_eq!(key(&cluster, 1, "runtime.votequorum.wait_for_all_status"), Some(Value::U8(1)));
    set(&mut cluster, 1, "quorum.cancel_wait_for_all", Value::U8(1));
    cluster.settle();
    for node in [1, 2] {
        assert_eq!(quorate(&cluster, node), Some(true));
        assert_eq!(key(&cluster, node, "runtime.votequorum.wait_for_all_status"), Some(Value::U8(0)));
    }
    assert_eq!(key(&cluster, 1, "quorum.cancel_wait_for_all"), Some(Value::U8(0)));
}

/// A node that leaves cleanly announces it if that changes the expected votes. Observed with four Corosync
/// nodes.
#[test]
fn a_clean_leave_is_announced() {
    let mut cluster = running(&[1, 1, 1, 1], &[("allow_downscale", "1"), ("expected_votes", "2")]);
    for (leaver, expected, quorate) in [(4, 3, true), (3, 2, false)] {
        cluster.leave(leaver);
        cluster.settle();
        for node in [1, 2] {
            let votes = votes(&cluster, node);
            assert_eq!((votes.nodes.us().expected, votes.quorum(), votes.quorate()), (expected, 3, quorate));
        }
    }
    assert_eq!(votes(&cluster, 1).ev_tracking_barrier(), 4);
    assert!(cluster.nodes[&1].stack.settled());
}
