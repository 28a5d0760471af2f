//! Rings whose token turns although they make no progress: each of them ends.

use std::collections::BTreeSet;
use std::time::Duration;

use annulus::config::timeouts::{Given, Timeouts};
use annulus::ids::Guarantee;
use annulus::totem::srp::window::WINDOW;
use annulus::totem::wire::{self, Encapsulated, Frame, Kind, LittleEndian};
use annulus::totem::{Input, StateName};

use crate::cluster::{Cluster, Setup};
use crate::network::{Parcel, id};

/// Whether a datagram is a frame of an old ring that is sent again on a new ring.
fn is_recovery(parcel: &Parcel<'_>) -> bool {
    matches!(parcel.frame(), Some(Frame::Mcast(mcast)) if mcast.encapsulated == Encapsulated::Recovery)
}

/// Number of frames that the members have multicast.
fn multicast(c: &Cluster) -> u64 {
    c.alive().map(|(_, process)| process.totem().stats().mcast_tx).sum()
}

/// Three nodes, of which the third gets no data while the others send `frames` frames; then the token is lost, and
/// all gather. The frames are small, so that a full window is soon reached.
fn behind_by(frames: u64, given: Given, seed: u64) -> Cluster {
    let mut setup = Setup::new(seed, 1..=3);
    setup.given = Given { token: setup.given.token, token_coefficient: Some(0), ..given };
    setup.netmtu = 256;
    let mut c = setup.build();
    c.step_limit = 20_000_000;
    c.start_all();
    c.settle();
    c.network.filter = Some(Box::new(|p| p.to == 3 && p.kind == Some(Kind::Mcast)));
    let (before, began) = (multicast(&c), c.now);
    while multicast(&c) - before < frames {
        assert!(c.now.since(began) < Duration::from_secs(10), "the window does not fill");
        for node in [1, 2] {
            if c.totem(node).queue_room() > 7000 {
                c.submit(node, 900_000, Guarantee::Agreed).unwrap();
            }
        }
        c.run(Duration::from_micros(200));
    }
    lose_the_token(&mut c);
    c
}

fn lose_the_token(c: &mut Cluster) {
    c.network.filter = Some(Box::new(|p| p.kind == Some(Kind::Token)));
    c.run_until("the token is missed", |c| c.alive().any(|(_, p)| p.totem().state() == StateName::Gather));
    c.network.filter = None;
}

/// Loses every `each`th old frame that is sent again between the two nodes that have all of them. Each sends again
/// what it did not hear from the other, so every loss uses up one more sequence number.
fn lose_some(c: &mut Cluster, each: u32) {
    let mut count = 0;
    c.network.filter = Some(Box::new(move |p| {
        let counts = p.to < 3 && p.from < 3 && is_recovery(p);
        count += u32::from(counts);
        counts && count % each == 0
    }));
}

/// Totem paper, recovery and flow control: whatever a ring could send, it can send again in recovery, for every
/// window size and every number of frames per rotation, and however many numbers are spent on frames that are sent
/// twice.
#[test]
fn a_ring_with_a_full_window_recovers() {
    for (number, window_size) in [50, 100, 200, 300].into_iter().enumerate() {
        for (place, max_messages) in [17, 50, 100].into_iter().enumerate() {
            let given = Given {
                window_size: Some(window_size),
                max_messages: Some(max_messages),
                ..Given::default()
            };
            let full = WINDOW - window_size - max_messages;
            // Every backlog and every loss rate meets every window size.
            let frames = [full, full, full / 2][(number + place) % 3];
            let each = [50, 7, 1000][(number + 2 * place) % 3];
            let mut c = behind_by(frames.into(), given, 600 + u64::from(window_size + max_messages));
            lose_some(&mut c, each);
            c.settle();
            c.network.filter = None;
            c.finish();
            let stats = c.totem(1).stats();
            assert_eq!(stats.recovery_stalled, 0, "window {window_size}, at once {max_messages}");
        }
    }
}

/// A recovery that is slow but makes progress is not given up: one frame in a rotation of 15 ms, for minutes.
#[test]
fn a_slow_recovery_of_a_full_window_completes() {
    let given = Given {
        window_size: Some(1),
        max_messages: Some(1),
        fail_recv_const: Some(1_000_000),
        ..Given::default()
    };
    let fast = Given { window_size: Some(300), max_messages: Some(50), ..given.clone() };
    let mut c = behind_by(u64::from(WINDOW - 400), fast, 640);
    let timeouts = Timeouts::derive(&Given { token: Some(1000), token_coefficient: Some(0), ..given }, 3);
    c.reconfigure(&timeouts);
    c.network.quality.delay = Duration::from_micros(4900)..Duration::from_millis(5);
    let before = c.now;
    c.run_until_within(Duration::from_secs(600), "one ring", Cluster::one_ring);
    assert!(c.now.since(before) > timeouts.recovery() * 10, "it was not slow");
    assert_eq!(c.totem(1).stats().recovery_stalled, 0);
    c.network.quality.delay = Duration::from_micros(20)..Duration::from_micros(80);
    c.finish();
}

/// A member that gets every frame except those of a recovery (because a firewall drops fragments, for example) keeps
/// the others waiting for at most two recoveries without progress. It comes back at once, as it has nothing to
/// recover on a ring of its own.
#[test]
fn a_member_that_cannot_recover_does_not_hold_up_the_others() {
    for culprit in [1, 2, 3] {
        let mut c = Cluster::seeded(650 + u64::from(culprit), 1..=3);
        c.settle();
        let sender = culprit % 3 + 1;
        c.network.filter = Some(Box::new(move |p| p.to == culprit && p.kind == Some(Kind::Mcast)));
        c.submit(sender, 20_000, Guarantee::Agreed).unwrap();
        c.run(Duration::from_millis(20));
        lose_the_token(&mut c);
        c.network.filter = Some(Box::new(move |p| p.to == culprit && is_recovery(p)));
        let before = c.ring(sender);
        c.run_until("one ring", |c| c.one_ring() && c.ring(sender) != before);
        assert!(c.views(culprit).iter().any(|view| view.members == [id(culprit)]), "it was never alone");
        assert!(c.alive().any(|(_, p)| p.totem().stats().recovery_stalled > 1), "something else ended it");
        c.finish();
    }
}

/// Recoveries in which all have every message, and some node claims that it has more to send but sends nothing. The
/// ring cannot tell which node that is, so each goes on alone, and all meet again.
#[test]
fn a_recovery_without_progress_ends() {
    let mut c = Cluster::seeded(660, 1..=3);
    c.settle();
    c.network.filter = Some(Box::new(|p| p.to == 3 && p.kind == Some(Kind::Mcast)));
    c.submit(1, 20_000, Guarantee::Agreed).unwrap();
    c.run(Duration::from_millis(20));
    lose_the_token(&mut c);
    // On the next two rings, every token claims that some node has more to send.
    let mut rings = BTreeSet::new();
    c.network.change = Some(Box::new(move |_, bytes| {
        let Ok((Frame::Token(mut token), _)) = wire::parse(bytes) else { return None };
        if rings.len() < 2 {
            rings.insert(token.ring);
        }
        token.retransmitting |= rings.contains(&token.ring);
        Some(token.encode::<LittleEndian>())
    }));
    c.run_until_within(c.patience() * 2, "one ring", Cluster::one_ring);
    c.network.change = None;
    // The node whose timer fires first informs the others: the second time, each goes on alone.
    assert!(c.alive().any(|(_, p)| p.totem().stats().recovery_stalled > 1), "nothing was given up");
    assert!((1..=3).all(|node| c.views(node).iter().any(|view| view.members.len() < 3)), "nobody parted");
    c.finish();
}

/// One token says that the flow control count is full although nothing was sent: believed for good, it would keep
/// every node from sending.
#[test]
fn a_wrong_flow_control_count_does_not_silence_the_ring() {
    for count in [50, 51, u32::MAX] {
        let mut c = Cluster::seeded(665, 1..=3);
        c.settle();
        c.run(Duration::from_millis(500));
        let mut changed = false;
        c.network.change = Some(Box::new(move |_, bytes| {
            let Ok((Frame::Token(mut token), _)) = wire::parse(bytes) else { return None };
            if changed {
                return None;
            }
            changed = true;
            token.fcc = count;
            Some(token.encode::<LittleEndian>())
        }));
        c.contents_may_change = true;
        c.run(Duration::from_millis(500));
        c.network.change = None;
        let ring = c.ring(1);
        let msg = c.submit(2, 20_000, Guarantee::Safe).unwrap();
        c.run_until("delivered", |c| (1..=3).all(|node| c.has_delivered(node, msg)));
        assert_eq!(c.ring(1), ring, "it went on on the same ring");
        c.finish();
    }
}

/// No phase waits for ever: in whatever phase a node stops hearing the others, it forms a ring of its own.
#[test]
fn every_phase_ends_when_nothing_is_heard() {
    for phase in [StateName::Operational, StateName::Gather, StateName::Commit, StateName::Recovery] {
        for node in 1..=3 {
            let mut c = Cluster::seeded(670 + u64::from(node), 1..=3);
            c.settle();
            for sender in 1..=3 {
                c.wish(sender, 20_000, Guarantee::Safe);
            }
            if phase != StateName::Operational {
                c.input(node, Input::Interface);
            }
            c.run_until(&format!("{phase}"), |c| c.totem(node).state() == phase);
            c.network.filter = Some(Box::new(|_| true));
            c.run_until("three rings", |c| (1..=3).all(|node| c.on_one_ring(&[node])));
            c.network.filter = None;
            c.finish();
        }
    }
}

/// Every data frame is lost for a while, as on a path whose MTU has just become smaller: each retransmission is lost
/// as well, and as each of the other nodes requests it anew, the requests come round as if nobody could answer them.
#[test]
fn repeated_loss_of_all_retransmissions_does_not_end_the_ring() {
    let mut c = Cluster::seeded(917, 1..=3);
    c.settle();
    let ring = c.ring(1);
    c.network.filter = Some(Box::new(|p| p.kind == Some(Kind::Mcast)));
    c.wish(2, 100, Guarantee::Safe);
    let again = |c: &Cluster| c.alive().map(|(_, process)| process.totem().stats().mcast_retx).sum::<u64>();
    c.run_until("sent again and again", |c| again(c) > 200);
    c.network.filter = None;
    c.run_until("delivered", |c| c.nothing_due());
    assert_eq!(c.ring(1), ring, "the ring was broken");
    c.finish();
}
