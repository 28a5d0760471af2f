//! The checks find the faults that they are meant to find.

use super::super::journal::{Event, Message, View};
use super::{Checker, Log};
use crate::sequence::Process;

const A: Process = (1, 11);
const B: Process = (2, 22);

fn m(from: Process, number: u64) -> Event {
    Event::Message(Message { from, number, len: 28, crc: 7 })
}

fn v(members: &[Process], left: &[(Process, &str)], joined: &[(Process, &str)]) -> Event {
    let list = |of: &[(Process, &str)]| of.iter().map(|(who, why)| (*who, (*why).to_owned())).collect();
    Event::View(View { members: members.to_vec(), left: list(left), joined: list(joined) })
}

fn r(id: &str, nodes: &[u32]) -> Event {
    Event::Ring(id.to_owned(), nodes.to_vec())
}

/// Logs of A and B: first alone, then together on a ring of two, then a message of each.
fn together() -> [Vec<Event>; 2] {
    let both = [m(A, 5), m(B, 8), m(A, 6)];
    let mut a = vec![v(&[A], &[], &[(A, "Join")]), m(A, 0), m(A, 1), m(A, 2), m(A, 3), m(A, 4)];
    a.extend([v(&[A, B], &[], &[(B, "NodeUp")]), r("1.8", &[1, 2])]);
    a.extend(both.clone());
    let mut b: Vec<Event> = vec![v(&[B], &[], &[(B, "Join")])];
    b.extend((0..8).map(|number| m(B, number)));
    b.extend([v(&[A, B], &[], &[(A, "NodeUp")]), r("1.8", &[1, 2])]);
    b.extend(both);
    [a, b]
}

/// Checks the two logs; A's daemon is annulusd, B's is Corosync.
fn look(checker: &mut Checker, tag: &str, fresh: bool, logs: [Vec<Event>; 2]) -> Result<(), String> {
    let [a, b] = logs;
    let log = |who, events| Log { cut: Some(tag.to_owned()), ..Log::new(who, who == B, fresh, events) };
    checker.window(&[log(A, a), log(B, b)])
}

fn verdict(logs: [Vec<Event>; 2]) -> Result<(), String> {
    look(&mut Checker::default(), "1", true, logs)
}

#[track_caller]
fn refused(logs: [Vec<Event>; 2], why: &str) {
    let verdict = verdict(logs);
    assert!(verdict.as_ref().is_err_and(|said| said.contains(why)), "{verdict:?}");
}

#[test]
fn correct_logs_pass_and_are_counted() {
    let mut checker = Checker::default();
    assert_eq!(look(&mut checker, "1", true, together()), Ok(()));
    let counts = checker.counts;
    assert_eq!((counts.delivered, counts.rings, counts.same, counts.begun), (8 + 11, 1, 1, 0));
    // The next window continues where the last one ended.
    assert_eq!(look(&mut checker, "2", false, [vec![m(A, 7)], vec![m(A, 7)]]), Ok(()));
    assert!(look(&mut checker, "3", false, [vec![m(A, 9)], vec![m(A, 9)]]).is_err());
}

#[test]
fn a_lost_message_is_noticed() {
    let [a, mut b] = together();
    b.pop();
    refused([a, b], "has event");
    let [mut a, mut b] = together();
    a.extend([m(A, 8), r("1.12", &[1, 2])]);
    b.extend([m(A, 8), r("1.12", &[1, 2])]);
    refused([a, b], "are missing");
}

#[test]
fn a_duplicate_message_is_noticed() {
    let [mut a, mut b] = together();
    a.push(m(A, 6));
    b.push(m(A, 6));
    refused([a, b], "twice");
}

#[test]
fn a_different_order_is_noticed() {
    let [a, mut b] = together();
    let last = b.len();
    b.swap(last - 1, last - 2);
    refused([a, b], "before");
}

#[test]
fn different_contents_are_noticed() {
    let [a, mut b] = together();
    *b.last_mut().expect("messages") = Event::Message(Message { from: A, number: 6, len: 28, crc: 8 });
    refused([a, b], "of the other");
}

#[test]
fn different_views_are_noticed() {
    let other = (2, 23);
    let [mut a, b] = together();
    a.push(v(&[A, B, other], &[], &[(other, "Join")]));
    refused([a, b], "has event");
    let [a, mut b] = together();
    b.push(v(&[A, B], &[], &[(other, "Join")]));
    refused([a, b], "but the members are");
}

#[test]
fn different_nodes_in_the_same_ring_are_noticed() {
    let [a, mut b] = together();
    let at = b.iter().position(|event| matches!(event, Event::Ring(..))).expect("a ring");
    b[at] = r("1.8", &[1, 2, 3]);
    refused([a, b], "has nodes");
}

/// A newcomer to a ring cannot read messages that were begun before; a client that was present can.
#[test]
fn newcomer_may_miss_messages_started_before_it_joined() {
    let without = |events: Vec<Event>, what: Event| -> Vec<Event> {
        events.into_iter().filter(|event| *event != what).collect()
    };
    let [a, b] = together();
    let mut checker = Checker::default();
    assert_eq!(look(&mut checker, "1", true, [a.clone(), without(b.clone(), m(A, 5))]), Ok(()));
    assert_eq!(checker.counts.begun, 1);
    refused([without(a, m(A, 5)), b], "are missing");
}

/// Two clients that go to the next ring together have the same events before it; two that part have one order.
#[test]
fn clients_that_stay_together_have_the_same_events() {
    let [mut a, mut b] = together();
    a.extend([m(A, 7), m(B, 9), r("1.12", &[1, 2])]);
    b.extend([m(A, 7), r("1.12", &[1, 2])]);
    refused([a.clone(), b.clone()], "has event");
    // Each of the two was away for the other.
    let [mut a, mut b] = together();
    a.extend([m(A, 7), v(&[A], &[(B, "NodeDown")], &[]), r("1.12", &[1]), m(A, 8)]);
    b.extend([v(&[B], &[(A, "NodeDown")], &[]), r("2.12", &[2]), m(B, 9)]);
    a.extend([v(&[A, B], &[], &[(B, "NodeUp")]), r("1.16", &[1, 2])]);
    b.extend([v(&[A, B], &[], &[(A, "NodeUp")]), r("1.16", &[1, 2])]);
    assert_eq!(verdict([a.clone(), b.clone()]), Ok(()));
}

/// One of two clients that parted is not told of it: Corosync does this, but annulusd must not.
#[test]
fn a_leave_that_one_client_is_not_told_of_is_noticed() {
    let parted = [v(&[A], &[(B, "NodeDown")], &[]), v(&[A, B], &[], &[(B, "NodeUp")]), r("1.16", &[1, 2])];
    let [mut a, mut b] = together();
    a.push(m(A, 7));
    a.extend(parted);
    b.push(r("1.16", &[1, 2]));
    let mut checker = Checker::default();
    assert_eq!(look(&mut checker, "1", true, [a, b]), Ok(()));
    assert_eq!(checker.counts.untold, 1);
    let parted = [v(&[B], &[(A, "NodeDown")], &[]), v(&[A, B], &[], &[(A, "NodeUp")]), r("1.16", &[1, 2])];
    let [mut a, mut b] = together();
    b.push(m(B, 9));
    b.extend(parted);
    a.push(r("1.16", &[1, 2]));
    refused([a, b], "only one of them saw");
}
