//! Datagrams of an outsider who knows the protocol, the members and the current ring, and may be believed, because
//! the transports are not authenticated. While the outsider goes on, the ring may break. When the outsider stops, the
//! nodes are on one ring again within [`Cluster::patience`], and no ring id was used twice.

use std::time::Duration;

use annulus::ids::{Guarantee, NodeId, RingId, Seq};
use annulus::totem::wire::{
    self, CommitEntry, CommitToken, Encapsulated, Frame, Join, LittleEndian, Mcast, Missing, Token,
};
use annulus::totem::{Input, RING_SEQ_LIMIT, StateName};
use bytes::Bytes;

use crate::cluster::{Cluster, Setup};
use crate::network::{Parcel, id};

/// A join message in the name of node 2, which proposes the whole cluster of `count` nodes.
fn join(count: u32, ring_seq: u64) -> Bytes {
    let proc = (1..=count).map(id).collect();
    Join { from: id(2), leave: false, ring_seq, proc, failed: Vec::new() }.encode::<LittleEndian>()
}

fn inject_all(c: &mut Cluster, bytes: &[u8]) {
    for node in c.setup.nodes.clone() {
        c.inject(node, bytes);
    }
}

/// A single join message, even with the highest ring number that is accepted, does not make new rings impossible:
/// afterwards, and after a restart of each node, rings are formed under numbers that were never used.
#[test]
fn no_ring_number_in_a_join_message_prevents_later_rings() {
    for seq in (40..64).map(|bit| (1 << bit) - 1).chain([
        u64::MAX,
        RING_SEQ_LIMIT,
        RING_SEQ_LIMIT - 4,
        RING_SEQ_LIMIT / 2 - 1,
        1 << 56,
    ]) {
        let mut c = Cluster::seeded(600, 1..=3);
        c.settle();
        inject_all(&mut c, &join(3, seq));
        c.run(Duration::from_millis(100));
        for node in 1..=3 {
            c.settle();
            assert!(c.ring(node).unwrap().seq < RING_SEQ_LIMIT / 2 + 100, "{seq:x}");
            c.crash(node);
            c.run(Duration::from_millis(20));
            c.start(node);
        }
        c.finish();
        assert_eq!(c.members(1), [1, 2, 3], "{seq:x}");
    }
}

/// A stream of join messages, each with a number as far above the last as is believed. When it stops, a ring is
/// formed at once; a node that was down meanwhile joins it, and so does a node whose ring id file was lost.
#[test]
fn a_stream_of_rising_ring_numbers_leaves_room_for_real_ones() {
    for raise in [4, 4000, 1 << 40, 1 << 60] {
        let mut c = Cluster::seeded(601, 1..=4);
        c.settle();
        c.crash(4);
        let mut highest = 0;
        for _ in 0..3000 {
            let known = c.alive().map(|(_, process)| process.totem().ring().seq).max().unwrap();
            highest = known.max(highest).saturating_add(raise);
            inject_all(&mut c, &join(4, highest));
            c.run(Duration::from_millis(1));
        }
        c.settle();
        assert!(c.ring(1).unwrap().seq < RING_SEQ_LIMIT / 2, "raised to {:x}", c.ring(1).unwrap().seq);
        c.start(4);
        c.settle();
        for node in [1, 3] {
            c.crash(node);
            c.run_until("a ring without it", Cluster::one_ring);
            c.lose_disk(node, 0);
            c.start(node);
            c.settle();
        }
        c.finish();
        assert_eq!(c.members(4), [1, 2, 3, 4]);
    }
}

/// Nodes whose ring numbers are years apart, because one of them lost its file or counts from its clock, form a ring.
#[test]
fn nodes_whose_ring_numbers_are_far_apart_merge() {
    for (far, near) in [(1 << 34, 0), (1 << 41, 0), (1 << 47, 1 << 20), (1 << 48, 7)] {
        for ahead in [1, 3] {
            let mut c = Setup::new(602, 1..=3).build();
            for node in 1..=3 {
                c.lose_disk(node, if node == ahead { far } else { near });
            }
            // The others first have a ring of their own.
            for node in (1..=3).filter(|node| *node != ahead) {
                c.start(node);
            }
            c.settle();
            c.start(ahead);
            c.run(Duration::from_millis(100));
            c.settle();
            assert!(c.ring(1).unwrap().seq > far);
            c.finish();
        }
    }
}

/// The token that was sent last.
fn last_token(c: &Cluster) -> Token {
    let bytes = c.network.heard.get("token").expect("a ring has a token");
    let Ok((Frame::Token(token), _)) = wire::parse(bytes) else { panic!("a token") };
    token
}

/// The token that would come next to `to`, altered by `change`.
fn forged_token(c: &Cluster, to: u32, change: impl FnOnce(&mut Token)) -> Bytes {
    let mut token = last_token(c);
    token.from = id(c.before(to));
    token.token_seq = token.token_seq.plus(40);
    change(&mut token);
    token.encode::<LittleEndian>()
}

fn forged_data(from: u32, ring: RingId, seq: Seq, encapsulated: Encapsulated, payload: &[u8]) -> Bytes {
    let (from, counter, guarantee) = (id(from), 0, Guarantee::Agreed);
    Mcast { encapsulated, from, system_from: from, seq, counter, ring, guarantee, payload }
        .encode::<LittleEndian>()
        .freeze()
}

/// Sends messages from all nodes and waits until they are delivered.
fn messages_flow(c: &mut Cluster) {
    for size in [40, 3000, 50_000] {
        for node in c.setup.nodes.clone() {
            c.wish(node, size, Guarantee::Safe);
        }
    }
    c.run_until("everything delivered", |c| c.one_ring() && c.nothing_due());
}

/// A recovery frame with a number far past the token's is not counted when the ring is installed: no node takes
/// frames for received that it has not received.
#[test]
fn a_forged_recovery_frame_past_the_token_is_not_counted() {
    for seq in [2, 3, 100, 16_000] {
        let mut c = Cluster::seeded(610, 1..=3);
        c.settle();
        let before = c.ring(1).unwrap();
        inject_all(&mut c, &join(3, before.seq));
        let next = RingId { seq: before.seq + 4, ..before };
        let frame = forged_data(2, next, Seq(seq), Encapsulated::Recovery, b"x");
        for _ in 0..20_000 {
            c.inject(3, &frame);
            c.run(Duration::from_micros(20));
        }
        c.finish();
        messages_flow(&mut c);
        c.finish();
    }
}

/// Wrong values in a forged token do not last: either the ring corrects them, or another ring is formed.
#[test]
fn a_forged_token_leaves_a_working_ring() {
    type Change = fn(&mut Token);
    let changes: [(&str, Change); 17] = [
        ("nothing", |_| {}),
        ("seq, by one", |t| t.seq = t.seq.plus(1)),
        ("seq", |t| t.seq = t.seq.plus(100)),
        ("seq, by a window", |t| t.seq = t.seq.plus(16_000)),
        ("seq, back", |t| t.seq = t.seq.minus(2)),
        ("aru", |t| t.aru = t.aru.plus(1000)),
        ("aru, back", |t| t.aru = t.aru.minus(1000)),
        ("aru, held by a stranger", |t| (t.aru, t.aru_by) = (t.aru.minus(2), NodeId::new(99))),
        ("aru, held by a member", |t| (t.aru, t.aru_by) = (t.aru.minus(2), NodeId::new(2))),
        ("fcc, the window", |t| t.fcc = 50),
        ("fcc, more than any window", |t| t.fcc = u32::MAX),
        ("backlog", |t| t.backlog = 5000),
        ("retransmitting", |t| t.retransmitting = true),
        ("token_seq", |t| t.token_seq = t.token_seq.plus(1 << 30)),
        ("token_seq, the farthest", |t| t.token_seq = t.token_seq.plus(0x7fff_ff00)),
        ("requests for what is to come", |t| {
            t.missing = (1..31).map(|n| Missing { ring: t.ring, seq: t.seq.plus(n + 50) }).collect();
        }),
        ("requests of another ring", |t| {
            let ring = RingId { seq: t.ring.seq + 4, ..t.ring };
            t.missing = (1..31).map(|n| Missing { ring, seq: Seq(n) }).collect();
        }),
    ];
    for (what, change) in changes {
        for target in 1..=3 {
            let mut c = Cluster::seeded(611, 1..=3);
            c.settle();
            messages_flow(&mut c);
            let forged = forged_token(&c, target, change);
            c.inject(target, &forged);
            c.run(Duration::from_millis(300));
            c.settle();
            // A count that was handed on from the forged token is no fault of the ring's.
            c.network.highest_fcc = 0;
            let before = c.now;
            for _ in 0..20 {
                messages_flow(&mut c);
            }
            let took = c.now.since(before);
            assert!(took < Duration::from_secs(6), "{what}, at {target}: messages took {took:?}");
            c.network.highest_fcc = 0;
            c.finish();
            let token = last_token(&c);
            assert!(token.missing.is_empty() && token.fcc < 50, "{what}, at {target}: {token:?}");
        }
    }
}

/// A token that counts messages that nobody sent ends its ring soon, although the token goes on turning.
#[test]
fn a_token_that_counts_unsent_messages_ends_its_ring() {
    let mut c = Cluster::seeded(612, 1..=3);
    c.settle();
    let (ring, before) = (c.ring(1), c.now);
    let forged = forged_token(&c, 2, |token| {
        token.seq = token.seq.plus(200);
        // A list that is full of the later ones hides none of the first.
        token.missing = (100..130).map(|n| Missing { ring: token.ring, seq: token.seq.minus(n) }).collect();
    });
    c.inject(2, &forged);
    c.run_until("another ring", |c| c.one_ring() && c.ring(1) != ring);
    assert!(c.now.since(before) < Duration::from_secs(2), "took {:?}", c.now.since(before));
    assert!((1..=3).any(|node| c.totem(node).stats().forged > 0));
    c.network.highest_fcc = 0;
    messages_flow(&mut c);
    c.finish();
}

/// Requests that nobody can answer leave the token, so that its list has room for real ones: a message that was lost
/// is requested and arrives.
#[test]
fn unanswerable_retransmission_requests_leave_the_token() {
    let mut c = Cluster::seeded(613, 1..=3);
    c.settle();
    for _ in 0..20 {
        messages_flow(&mut c);
    }
    c.run(Duration::from_secs(1));
    let ring = c.ring(1);
    let forged = forged_token(&c, 1, |token| {
        // All nodes have received these frames, and nobody stores them any more.
        token.missing =
            (0..30).map(|n| Missing { ring: token.ring, seq: token.seq.minus(100 + n) }).collect();
    });
    c.inject(1, &forged);
    c.run(Duration::from_secs(1));
    assert_eq!(last_token(&c).missing, []);
    let mut lose = 1;
    c.network.filter = Some(Box::new(move |parcel: &Parcel<'_>| {
        let lost = lose > 0 && parcel.to == 3 && matches!(parcel.frame(), Some(Frame::Mcast(_)));
        lose -= i32::from(lost);
        lost
    }));
    c.wish(2, 100, Guarantee::Safe);
    c.run_until("delivered", |c| c.nothing_due());
    assert_eq!(c.ring(1), ring, "the ring was broken");
    assert!(c.totem(1).stats().mcast_retx + c.totem(2).stats().mcast_retx > 0, "nothing was asked for");
    c.finish();
}

/// A data frame with a number that has not been assigned yet is forgotten when the token comes: the real frame with
/// that number is delivered, and the ring stays.
#[test]
fn a_forged_frame_past_the_token_does_not_displace_the_real_one() {
    for (ahead, stays) in [(2, true), (30, true), (16_000, true), (1, false)] {
        let mut c = Cluster::seeded(614, 1..=3);
        c.settle();
        let ring = c.ring(1).unwrap();
        let seq = last_token(&c).seq.plus(ahead);
        let mut payload = Vec::new();
        wire::pack::write_head(&mut payload, 0, 0, &[3]);
        payload.extend_from_slice(&[9, 9, 9]);
        let frame = forged_data(2, ring, seq, Encapsulated::Plain, &payload);
        c.inject(1, &frame);
        c.inject(3, &frame);
        c.run(Duration::from_secs(1));
        // A frame with the very next number is delivered at once: then only a new ring restores order.
        assert_eq!(c.ring(1) == Some(ring), stays, "{ahead} ahead");
        messages_flow(&mut c);
        assert_eq!(c.totem(1).dropped().malformed, 0);
        c.finish();
    }
}

/// A forged first or middle part of a message ends a ring that has delivered it, but no whole message that the
/// supposed sender sends on the next ring is lost.
#[test]
fn a_forged_fragment_does_not_lose_real_messages() {
    for (fragmented, continuation) in [(1, 0), (200, 0), (2, 1), (0, 1), (0, 255)] {
        let mut c = Cluster::seeded(618, 1..=3);
        c.settle();
        let ring = c.ring(1).unwrap();
        let mut payload = Vec::new();
        wire::pack::write_head(&mut payload, fragmented, continuation, &[30]);
        payload.extend_from_slice(&[9; 30]);
        let frame = forged_data(2, ring, last_token(&c).seq.plus(1), Encapsulated::Plain, &payload);
        c.inject(1, &frame);
        c.inject(3, &frame);
        c.run_until("another ring", |c| c.one_ring() && c.ring(1) != Some(ring));
        let first = c.submit(2, 200, Guarantee::Agreed).unwrap();
        c.run_until("delivered", |c| (1..=3).all(|node| c.has_delivered(node, first)));
        messages_flow(&mut c);
        c.finish();
    }
}

/// Two tokens in a row claim that all nodes have a message that one member lacks, so the others release it: the
/// member that lacks it finds out that nobody has it any more, and the ring ends.
#[test]
fn a_message_that_was_released_too_early_ends_the_ring() {
    let mut c = Cluster::seeded(615, 1..=3);
    c.settle();
    let ring = c.ring(1);
    c.network.filter = Some(Box::new(|p| matches!(p.frame(), Some(Frame::Mcast(_))) && p.to == 3));
    c.submit(1, 200, Guarantee::Agreed).unwrap();
    c.run_until("sent", |c| c.trace.sent[0].on.is_some());
    c.run(Duration::from_millis(3));
    for _ in 0..3 {
        for node in 1..=2 {
            let forged = forged_token(&c, node, |token| (token.aru, token.aru_by) = (token.seq, None));
            c.inject(node, &forged);
        }
    }
    c.network.filter = None;
    c.run_until("another ring", |c| c.one_ring() && c.ring(3) != ring);
    // Node 3 lacks what was released, which is what the forgeries were for; from here on nobody lacks anything.
    c.recover_from_siege(Duration::ZERO);
}

/// A token that another member was to get, with a number that is new to this one, would be a second token on the ring:
/// two nodes would give the same numbers to different messages.
#[test]
fn a_token_from_another_member_than_the_one_before_is_dropped() {
    let mut c = Cluster::seeded(617, 1..=4);
    c.settle();
    for to in 1..=4 {
        let dropped = |c: &Cluster| c.totem(to).stats().token_misdirected;
        let (before, right) = (dropped(&c), c.before(to));
        for from in (1..=4).filter(|from| ![to, right].contains(from)) {
            let redirected = forged_token(&c, to, |token| token.from = id(from));
            c.inject(to, &redirected);
        }
        assert_eq!(dropped(&c), before + 2);
        messages_flow(&mut c);
    }
    c.finish();
}

/// A node does not believe a join message in its own name that gives up the node itself: otherwise it would give
/// itself up for ever.
#[test]
fn a_node_ignores_join_messages_in_its_own_name() {
    for phase in [StateName::Operational, StateName::Gather] {
        let mut c = Cluster::seeded(616, 1..=3);
        c.settle();
        if phase == StateName::Gather {
            c.input(3, Input::Interface);
        }
        let ring_seq = c.ring(3).unwrap().seq;
        let proc = (1..=3).map(id).collect();
        let join = Join { from: id(3), leave: false, ring_seq, proc, failed: vec![id(3)] };
        c.inject(3, &join.encode::<LittleEndian>());
        c.settle();
        assert_eq!(c.members(3), [1, 2, 3]);
        c.finish();
    }
}

/// A node that waits for the others to agree does not accept a commit token for a ring that it would represent but
/// did not begin: the ring number is not reserved, so it would be used again after a restart.
#[test]
fn a_representative_refuses_a_commit_token_that_it_did_not_begin() {
    for ahead in [8, 400, 0x4000] {
        let mut c = Cluster::seeded(617, 1..=2);
        c.settle();
        let before = c.ring(1).unwrap();
        let token = CommitToken {
            from: id(2),
            token_seq: 0,
            ring: RingId { seq: before.seq + ahead, ..before },
            filled: 0,
            members: vec![(id(1), None), (id(2), None)],
        };
        c.stick_disk(1, Duration::from_secs(5));
        c.input(1, Input::Interface);
        c.inject(1, &token.encode::<LittleEndian>());
        assert_eq!(c.totem(1).state(), StateName::Gather, "{ahead} ahead");
        c.run_until("another ring", |c| c.one_ring() && c.ring(1) != Some(before));
        assert_eq!(c.ring(1).unwrap().seq, before.seq + 4, "{ahead} ahead");
        c.crash(1);
        c.start(1);
        c.finish();
    }
}

/// Forged commit tokens, for rings that nobody forms and with wrong contents for the ring that is being formed, in
/// every phase: afterwards there is one ring, and every property holds.
#[test]
fn forged_commit_tokens_do_not_prevent_a_ring() {
    let entry = |ring, aru| Some(CommitEntry { ring, aru, high_delivered: aru, received_all: true });
    for round in 0..60_u64 {
        let mut c = Cluster::seeded(620 + round, 1..=3);
        c.settle();
        let before = c.ring(1).unwrap();
        let mut token = CommitToken {
            from: id(1),
            token_seq: [0, 3, 6, 77][(round % 4) as usize],
            ring: RingId {
                rep: id(1),
                seq: before.seq + [4, 8, 1000, 1 << 40, 1 << 60][(round % 5) as usize],
            },
            filled: [0, 1, 2, 3][(round / 4 % 4) as usize],
            members: (1..=3).map(|node| (id(node), None)).collect(),
        };
        if round % 3 == 0 {
            for member in &mut token.members {
                member.1 = entry(RingId { seq: before.seq + 1, ..before }, Seq(7));
            }
        }
        c.input(2, Input::Interface);
        for _ in 0..30 {
            inject_all(&mut c, &token.encode::<LittleEndian>());
            c.run(Duration::from_micros(100));
        }
        c.settle();
        assert_eq!(c.members(1), [1, 2, 3]);
        messages_flow(&mut c);
        c.finish();
    }
}
