//! Tests of the checkers themselves: a sound run passes, and a run that breaks one property is reported under its
//! number.

use annulus::ids::{Guarantee, NodeId, RingId};
use annulus::time::Instant;
use annulus::view::{View, ViewKind};

use super::{End, check};
use crate::trace::{Event, Msg, Phase, Process, Sent, Trace};

const A: Process = Process { node: 1, life: 1 };
const B: Process = Process { node: 2, life: 1 };

/// A run written down by hand.
#[derive(Clone, Default)]
struct Run(Trace);

fn ring(seq: u64) -> RingId {
    RingId { rep: ids(&[1])[0], seq }
}

fn ids(nodes: &[u32]) -> Vec<NodeId> {
    nodes.iter().map(|node| NodeId::new(*node).unwrap()).collect()
}

impl Run {
    /// Two nodes start on ring 5 and go on to ring 9 together.
    fn new() -> Self {
        let mut run = Self::default();
        for who in [A, B] {
            run.move_on(who, 5, &[1, 2], &[], &[]);
        }
        run
    }

    fn event(&mut self, who: Process, event: Event) {
        self.0.add(Instant::ZERO, who, event);
    }

    fn transitional(&mut self, who: Process, seq: u64, came: &[u32], left: &[u32]) {
        let (members, left) = (ids(came), ids(left));
        let kind = ViewKind::Transitional;
        self.event(who, Event::View(View { kind, ring: ring(seq), members, joined: Vec::new(), left }));
    }

    fn regular(&mut self, who: Process, seq: u64, members: &[u32], came: &[u32]) {
        let joined: Vec<u32> = members.iter().copied().filter(|node| !came.contains(node)).collect();
        let (members, joined) = (ids(members), ids(&joined));
        let kind = ViewKind::Regular;
        self.event(who, Event::View(View { kind, ring: ring(seq), members, joined, left: Vec::new() }));
    }

    fn move_on(&mut self, who: Process, seq: u64, members: &[u32], came: &[u32], left: &[u32]) {
        self.transitional(who, seq, came, left);
        self.regular(who, seq, members, came);
    }

    fn send(&mut self, by: Process, on: u64, guarantee: Guarantee) -> Msg {
        let number = self.0.sent.iter().filter(|sent| sent.by == by).count() as u32;
        self.0.sent.push(Sent {
            by,
            number,
            guarantee,
            size: 24,
            phase: Phase::Working,
            at: Instant::ZERO,
            after: self.0.seen(by),
            on: Some(ring(on)),
            row_began_on: Some(ring(on)),
        });
        self.0.sent.len() - 1
    }

    fn agreed(&mut self, by: Process) -> Msg {
        self.send(by, 5, Guarantee::Agreed)
    }

    fn deliver(&mut self, who: Process, messages: &[Msg]) {
        for msg in messages {
            self.event(who, Event::Deliver(*msg));
        }
    }

    #[track_caller]
    fn is_caught_by(&self, number: &str) {
        let violation = check(&self.0, End::Quiet).expect_err("a broken run");
        assert!(violation.property.starts_with(number), "caught as {violation}");
    }
}

/// Property 4: both nodes must deliver `b` in the regular configuration, or both in the transitional one.
#[test]
fn a_message_delivered_on_different_sides_of_a_view_is_caught() {
    let mut run = Run::new();
    let (a, b) = (run.agreed(A), run.send(B, 5, Guarantee::Safe));
    run.deliver(A, &[a, b]);
    run.deliver(B, &[a]);
    run.move_on(A, 9, &[1, 2], &[1, 2], &[]);
    run.transitional(B, 9, &[1, 2], &[]);
    run.deliver(B, &[b]);
    run.regular(B, 9, &[1, 2], &[1, 2]);
    let violation = check(&run.0, End::Quiet).expect_err("a broken run");
    assert!(["4:", "1.1"].iter().any(|number| violation.property.starts_with(number)), "{violation}");
}

#[test]
fn a_sound_run_passes() {
    let mut run = Run::new();
    let (a, b) = (run.agreed(A), run.send(B, 5, Guarantee::Safe));
    run.deliver(A, &[a]);
    run.deliver(B, &[a]);
    for who in [A, B] {
        run.transitional(who, 9, &[1, 2], &[]);
        run.deliver(who, &[b]);
        run.regular(who, 9, &[1, 2], &[1, 2]);
    }
    assert_eq!(check(&run.0, End::Quiet), Ok(()));
}

#[test]
fn delivery_outside_any_configuration_is_caught() {
    let mut run = Run::default();
    let a = run.agreed(A);
    run.deliver(A, &[a]);
    run.is_caught_by("2.2");
}

#[test]
fn a_regular_view_without_its_transitional_one_is_caught() {
    let mut run = Run::new();
    run.regular(A, 9, &[1], &[1]);
    run.is_caught_by("2.2");
}

#[test]
fn a_message_on_the_wrong_ring_is_caught() {
    let mut run = Run::new();
    let msg = run.send(A, 9, Guarantee::Agreed);
    run.deliver(A, &[msg]);
    run.deliver(B, &[msg]);
    run.is_caught_by("1.3");
}

#[test]
fn a_message_delivered_twice_is_caught() {
    let mut run = Run::new();
    let msg = run.agreed(A);
    run.deliver(A, &[msg, msg]);
    run.is_caught_by("1.4");
}

#[test]
fn a_message_not_delivered_to_its_own_sender_is_caught() {
    let mut run = Run::new();
    run.agreed(A);
    run.is_caught_by("3:");
    run.event(A, Event::Stop);
    assert_eq!(check(&run.0, End::Quiet), Ok(()), "but its sender may fail");
}

#[test]
fn different_orders_are_caught() {
    let mut run = Run::new();
    let (a, b) = (run.agreed(A), run.agreed(B));
    run.deliver(A, &[a, b]);
    run.deliver(B, &[b, a]);
    run.is_caught_by("1.1, 6.1, 6.2");
}

#[test]
fn a_hole_in_the_order_is_caught() {
    let mut run = Run::new();
    let (a, b) = (run.agreed(A), run.agreed(B));
    run.deliver(A, &[a, b]);
    run.deliver(B, &[b]);
    run.is_caught_by("6.3");
}

#[test]
fn a_message_delivered_before_its_cause_is_caught() {
    let mut run = Run::new();
    let a = run.agreed(A);
    run.deliver(A, &[a]);
    let answer = run.agreed(A);
    run.deliver(A, &[answer]);
    run.deliver(B, &[answer, a]);
    let violation = check(&run.0, End::Quiet).expect_err("a broken run");
    assert!(violation.property.starts_with("messages of one sender"), "{violation}");

    let mut run = Run::new();
    let a = run.agreed(A);
    run.deliver(B, &[a]);
    let answer = run.agreed(B);
    run.deliver(A, &[answer, a]);
    run.is_caught_by("5:");
}

#[test]
fn messages_of_one_sender_out_of_order_are_caught() {
    let mut run = Run::new();
    let (first, second) = (run.agreed(A), run.agreed(A));
    run.deliver(A, &[second, first]);
    run.is_caught_by("messages of one sender");
}

#[test]
fn a_safe_message_that_one_member_lacks_is_caught() {
    let mut run = Run::new();
    let safe = run.send(A, 5, Guarantee::Safe);
    run.deliver(A, &[safe]);
    run.is_caught_by("7.1");
}

#[test]
fn a_safe_message_before_all_have_installed_is_caught() {
    let mut run = Run::default();
    run.move_on(A, 5, &[1, 2], &[], &[]);
    let safe = run.send(A, 5, Guarantee::Safe);
    run.deliver(A, &[safe]);
    run.is_caught_by("7.2");
}

#[test]
fn views_whose_joined_and_left_do_not_add_up_are_caught() {
    let mut run = Run::new();
    run.move_on(A, 9, &[1], &[1], &[]); // 2 is gone but not among those that left
    run.is_caught_by("members = ");
}

#[test]
fn different_transitional_members_for_one_ring_are_caught() {
    let mut run = Run::new();
    run.move_on(A, 9, &[1, 2], &[1, 2], &[]);
    run.move_on(B, 9, &[1, 2], &[2], &[1]);
    run.is_caught_by("a transitional configuration has");
}

#[test]
fn falling_and_repeated_ring_ids_are_caught() {
    let mut run = Run::new();
    run.move_on(A, 4, &[1], &[1], &[2]);
    run.is_caught_by("ring ids rise");

    let mut run = Run::new();
    run.event(A, Event::Stop);
    let again = Process { node: 1, life: 2 };
    run.move_on(again, 5, &[1, 2], &[], &[]);
    run.is_caught_by("no ring id comes again");

    let mut run = Run::new();
    run.move_on(A, 9, &[1], &[1], &[2]);
    run.move_on(B, 9, &[1, 2], &[1, 2], &[]);
    run.is_caught_by("2.3");
}
