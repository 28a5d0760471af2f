//! The client against a scripted daemon.

mod fake;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use fake::{Fake, Wire, me, member};
use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::task::JoinHandle;

use super::{Client, Error, Event, Group, JoinOptions, RingView, UNFRAGMENTED_LIMIT, blocking};
use crate::cpg::name::Reason;
use crate::error::Status;
use crate::ids::{Guarantee, NodeId, RingId};
use crate::service::channel::{ChannelError, End, Incoming, Outgoing};

const PIECE: u32 = 12;

fn options() -> JoinOptions {
    JoinOptions { pid: Some(7), ..JoinOptions::default() }
}

async fn joined() -> (Arc<Fake>, Group) {
    let fake = Fake::new();
    let client = Client::new(Arc::new(Wire(Arc::clone(&fake))));
    let group = client.join_with("grp", &options()).await.unwrap();
    (fake, group)
}

/// A member that has read the events with which every membership begins.
async fn settled() -> (Arc<Fake>, Group) {
    let (fake, group) = joined().await;
    let mut events = group.events();
    events.next().await;
    events.next().await;
    (fake, group)
}

/// Awaits the delivery of a message "mine" that the daemon has taken.
async fn awaiting(fake: &Fake, group: &Group, guarantee: Guarantee) -> JoinHandle<Result<(), Error>> {
    let group = group.clone();
    let waiting = tokio::spawn(async move { group.multicast_delivered("mine", guarantee).await });
    while fake.posted().is_empty() {
        tokio::task::yield_now().await;
    }
    waiting
}

/// A future that was polled once, and is pending.
fn begun<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    future
}

fn message(event: Option<Event>) -> Bytes {
    match event {
        Some(Event::Message { payload, .. }) => payload,
        other => panic!("not a message: {other:?}"),
    }
}

#[tokio::test]
async fn the_first_event_is_the_view_with_this_member_and_the_second_the_ring() {
    let (fake, group) = joined().await;
    let mut events = group.events();
    let Some(Event::View(view)) = events.next().await else { panic!("no view") };
    let joined = (view.joined[0].member, view.joined[0].reason);
    assert_eq!((view.members, joined), (vec![me()], (me(), Reason::Join)));
    let [one, two] = [1, 2].map(|id| NodeId::new(id).unwrap());
    let ring = RingView { ring: RingId { rep: one, seq: 0x1f }, members: vec![one, two] };
    assert_eq!(events.next().await, Some(Event::Ring(ring)));
    fake.deliver(member(2, 9), b"hello");
    let hello = Event::Message { from: member(2, 9), payload: Bytes::from("hello") };
    assert_eq!(events.next().await, Some(hello));
    assert_eq!((group.me(), group.name().as_bytes()), (me(), &b"grp"[..]));
}

#[tokio::test]
async fn a_join_waits_while_the_ring_changes_and_says_who_is_there_already() {
    let fake = Fake::new();
    let client = Client::new(Arc::new(Wire(Arc::clone(&fake))));
    fake.answer(0, Status::TryAgain);
    fake.answer(0, Status::TryAgain);
    client.join_with("grp", &options()).await.unwrap();
    assert_eq!(fake.called(0).len(), 3);
    fake.answer(0, Status::Exist);
    let error = client.join_with("grp", &options()).await.unwrap_err();
    assert_eq!((error.status(), matches!(error, Error::Exists { pid: 7, .. })), (Status::Exist, true));
    assert!(matches!(client.join([0; 129]).await.unwrap_err(), Error::Name(_)));
}

#[tokio::test]
async fn sending_waits_for_room_in_turn() {
    let (fake, group) = settled().await;
    fake.set_room(1);
    group.multicast("first").await.unwrap();
    assert_eq!(group.try_multicast("no"), Err(Error::TryAgain));
    let sends = ["second", "third", "fourth"].map(|text| {
        let group = group.clone();
        tokio::spawn(async move { group.multicast(text).await })
    });
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(fake.posted().len(), 1);
    fake.set_room(2);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(fake.posted(), ["first", "second", "third"]);
    assert_eq!(group.try_multicast("no overtaking"), Err(Error::TryAgain));
    fake.set_room(9);
    for send in sends {
        send.await.unwrap().unwrap();
    }
    group.try_multicast("last").unwrap();
    assert_eq!(fake.posted(), ["first", "second", "third", "fourth", "last"]);
}

#[tokio::test]
async fn a_send_that_is_dropped_while_it_waits_sends_nothing() {
    let (fake, group) = settled().await;
    fake.set_room(0);
    {
        let _holder = begun(group.multicast("dropped while it waits for room"));
        let _queued = begun(group.multicast("dropped while it waits for its turn"));
        let _delivered = begun(group.multicast_delivered("dropped too", Guarantee::Agreed));
    }
    fake.set_room(9);
    group.multicast("sent").await.unwrap();
    assert_eq!(fake.posted(), ["sent"]);
    // No record of the dropped message is left that the next delivery could be matched with.
    let sent = begun(group.multicast_delivered("dropped too", Guarantee::Agreed));
    fake.deliver(me(), b"sent");
    fake.deliver(me(), b"dropped too");
    sent.await.unwrap();
}

#[tokio::test]
async fn a_delivery_is_awaited_without_a_reader_and_stays_to_be_read() {
    let (fake, group) = settled().await;
    let waiting = awaiting(&fake, &group, Guarantee::Safe).await;
    fake.deliver(member(2, 9), b"mine");
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(!waiting.is_finished(), "that was another member's");
    fake.deliver(me(), b"mine");
    waiting.await.unwrap().unwrap();
    let mut events = group.events();
    assert_eq!(message(events.next().await), "mine");
    assert_eq!(message(events.next().await), "mine");
    // The reader is woken for events that the pump takes.
    let reader = tokio::spawn(async move { events.next().await });
    tokio::time::sleep(Duration::from_millis(5)).await;
    fake.deliver(member(2, 9), b"later");
    assert_eq!(message(reader.await.unwrap()), "later");
}

#[tokio::test]
async fn messages_dropped_by_the_daemon_are_detected() {
    let (fake, group) = settled().await;
    let lost = begun(group.multicast_delivered("lost", Guarantee::Agreed));
    let kept = begun(group.multicast_delivered("kept", Guarantee::Agreed));
    fake.deliver(me(), b"kept");
    assert_eq!(lost.await, Err(Error::Lost));
    assert_eq!(kept.await, Ok(()));
}

#[tokio::test]
async fn awaiting_deliveries_without_reading_events_ends_with_an_error_not_in_a_deadlock() {
    let (fake, group) = settled().await;
    let waiting = awaiting(&fake, &group, Guarantee::Agreed).await;
    for _ in 0..(1 << 16) + 1000 {
        fake.deliver(member(2, 9), b"flood");
    }
    assert!(matches!(waiting.await.unwrap(), Err(Error::Overrun { .. })));
    let left = fake.untaken();
    assert!(left > 0, "the rest waits in the channel");
    // Once the reader has caught up, deliveries are reported again.
    let mut events = group.events();
    for _ in 0..(1 << 16) + 1000 {
        assert_eq!(message(events.next().await), "flood");
    }
    let again = begun(group.multicast_delivered("again", Guarantee::Agreed));
    fake.deliver(me(), b"mine");
    fake.deliver(me(), b"again");
    again.await.unwrap();
}

fn places(fake: &Fake) -> Vec<(u32, usize)> {
    let place = |request: &Outgoing| u32::from_ne_bytes(request.head[48..52].try_into().unwrap());
    fake.called(PIECE).iter().map(|request| (place(request), request.payload.len())).collect()
}

#[tokio::test]
async fn a_long_message_is_sent_in_pieces_and_again_after_a_membership_change() {
    let (fake, group) = settled().await;
    let long = Bytes::from(vec![5; 2 * UNFRAGMENTED_LIMIT + 3]);
    fake.answer(PIECE, Status::Ok);
    fake.answer(PIECE, Status::TryAgain);
    fake.answer(PIECE, Status::Interrupt);
    group.multicast(long.clone()).await.unwrap();
    let (full, rest) = (UNFRAGMENTED_LIMIT, 3);
    assert_eq!(places(&fake), [(1, full), (2, full), (2, full), (1, full), (2, full), (3, rest)]);
    assert!(matches!(group.try_multicast(long), Err(Error::TooLong { .. })));
    for _ in 0..64 {
        fake.answer(PIECE, Status::Interrupt);
    }
    let long = Bytes::from(vec![5; UNFRAGMENTED_LIMIT + 1]);
    assert_eq!(group.multicast(long.clone()).await, Err(Error::Interrupted { tries: 64 }));
    fake.answer(PIECE, Status::NotExist);
    assert_eq!(group.multicast(long).await, Err(Error::NotMember));
}

#[tokio::test]
async fn two_long_messages_do_not_mix_even_if_one_is_given_up() {
    let (fake, group) = settled().await;
    let long = |byte: u8| Bytes::from(vec![byte; UNFRAGMENTED_LIMIT + 1]);
    {
        let _given_up = begun(group.multicast(long(1)));
        let _waits = begun(group.multicast(long(2)));
    }
    group.multicast(long(3)).await.unwrap();
    let sent: Vec<(u32, u8)> = places(&fake)
        .iter()
        .zip(fake.called(PIECE))
        .map(|((place, _), request)| (*place, request.payload[0]))
        .collect();
    assert_eq!(sent, [(1, 3), (3, 3)]);
}

#[tokio::test]
async fn pieces_become_one_event_unless_their_sender_leaves() {
    let (fake, group) = settled().await;
    let (a, b) = (member(2, 9), member(3, 9));
    fake.view(&[(a, Reason::Join), (b, Reason::Join)], &[]);
    fake.event(Ok(fake::piece(a, 1, 5, b"he")));
    fake.event(Ok(fake::piece(b, 1, 6, b"go")));
    fake.event(Ok(fake::piece(a, 2, 5, b"ll")));
    fake.view(&[], &[(b, Reason::NodeDown)]);
    fake.view(&[(b, Reason::NodeUp)], &[]);
    fake.event(Ok(fake::piece(b, 3, 6, b"ne!!")));
    fake.event(Ok(fake::piece(a, 3, 5, b"o")));
    fake.event(Ok(fake::piece(a, 1, u32::MAX, b"!")));
    let mut events = group.events();
    for _ in 0..3 {
        assert!(matches!(events.next().await, Some(Event::View(_))));
    }
    assert_eq!(message(events.next().await), "hello");
    let last = events.next().await;
    assert!(matches!(last, Some(Event::Undelivered { bytes: 0xffff_ffff, from, .. }) if from == a));
}

#[tokio::test]
async fn after_leaving_the_events_end_with_the_view_without_this_member() {
    let (fake, group) = settled().await;
    fake.deliver(member(2, 9), b"before");
    group.leave().await.unwrap();
    fake.deliver(member(2, 9), b"after");
    let mut events = group.events();
    assert_eq!(message(events.next().await), "before");
    let Some(Event::View(view)) = events.next().await else { panic!("no view") };
    assert_eq!((view.left[0].member, view.left[0].reason), (me(), Reason::Leave));
    assert_eq!(events.next().await, None);
    assert_eq!(events.next().await, None);
    assert_eq!(group.multicast("late").await, Err(Error::NotMember));
    assert_eq!(group.multicast_delivered("late", Guarantee::Agreed).await, Err(Error::NotMember));
    fake.answer(1, Status::NotExist);
    group.leave().await.unwrap();
}

#[tokio::test]
async fn when_the_daemon_ends_all_waits_end_with_an_error() {
    let (fake, group) = settled().await;
    let waiting = awaiting(&fake, &group, Guarantee::Agreed).await;
    fake.event(Err(ChannelError::Ended(End::Lost)));
    assert_eq!(waiting.await.unwrap(), Err(End::Lost.into()));
    let mut events = group.events();
    assert_eq!(events.next().await, Some(Event::Disconnected { reason: End::Lost }));
    assert_eq!(events.next().await, None);
    assert_eq!(group.multicast("late").await, Err(End::Lost.into()));
}

#[tokio::test]
async fn dropping_the_group_ends_its_task_and_its_connection() {
    let (fake, group) = settled().await;
    {
        let sent = begun(group.multicast_delivered("mine", Guarantee::Agreed));
        fake.deliver(me(), b"mine");
        sent.await.unwrap();
    }
    assert!(Arc::strong_count(&fake) > 1);
    drop(group);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(Arc::strong_count(&fake), 1);
}

#[test]
fn the_descriptor_is_readable_while_there_are_events() {
    let fake = Fake::new();
    let client = blocking::Client::new(Arc::new(Wire(Arc::clone(&fake))));
    let group = client.join_with("grp", &options()).unwrap();
    let readable = || {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&group, PollFlags::IN)], Some(&now)).unwrap() == 1
    };
    let mut kinds = Vec::new();
    assert!(readable());
    assert_eq!(group.dispatch(|event| kinds.push(matches!(event, Event::View(_)))), Ok(2));
    assert_eq!(kinds, [true, false]);
    assert!(!readable());
    assert_eq!(group.dispatch(|_| ()), Ok(0));
    assert_eq!(group.next(Some(Duration::from_millis(1))), Ok(None));

    fake.event(Ok(fake::piece(member(2, 9), 1, 5, b"he")));
    assert!(readable());
    assert_eq!(group.try_next(), Ok(None), "a piece is not an event");
    assert!(!readable());
    let sender = std::thread::spawn({
        let fake = Arc::clone(&fake);
        move || {
            std::thread::sleep(Duration::from_millis(10));
            fake.event(Ok(fake::piece(member(2, 9), 3, 5, b"llo")));
        }
    });
    assert_eq!(message(group.next(None).unwrap()), "hello");
    sender.join().unwrap();

    group.multicast("plain").unwrap();
    fake.set_room(0);
    assert_eq!(group.try_multicast("no room"), Err(Error::TryAgain));
    group.multicast(vec![1; UNFRAGMENTED_LIMIT + 1]).unwrap();
    assert_eq!((fake.posted().len(), places(&fake).len()), (1, 2));
    group.leave().unwrap();
    assert_eq!(group.dispatch(|event| assert!(matches!(event, Event::View(_)))), Ok(1));
    assert_eq!(group.dispatch(|_| ()), Err(Error::NotMember));
    assert_eq!(group.multicast("late"), Err(Error::NotMember));
}

/// Events that a hostile or faulty daemon may send.
fn hostile() -> impl Strategy<Value = Incoming> {
    let sender = (1u32..4, 7u32..10).prop_map(|(node, pid)| member(node, pid));
    let bytes = proptest::collection::vec(any::<u8>(), 0..80);
    prop_oneof![
        4 => (sender.clone(), bytes.clone()).prop_map(|(from, bytes)| fake::deliver(from, &bytes)),
        4 => (sender.clone(), 0u32..5, 0u32..300, bytes.clone())
            .prop_map(|(from, place, total, bytes)| fake::piece(from, place, total, &bytes)),
        2 => proptest::collection::vec(sender, 0..4).prop_map(|members| {
            let changes: Vec<_> = members.iter().map(|m| (*m, Reason::NodeDown)).collect();
            fake::confchg(&members, &changes, &changes[..changes.len() / 2])
        }),
        1 => proptest::collection::vec(any::<u8>(), 0..400)
            .prop_map(|bytes| Incoming { head: Bytes::new(), payload: bytes.into() }),
    ]
}

proptest! {
    /// Arbitrary events are handled or end the stream with an error; nothing panics or hangs.
    #[test]
    fn hostile_events_never_panic(events in proptest::collection::vec(hostile(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (fake, group) = settled().await;
            let sent = begun(group.multicast_delivered("mine", Guarantee::Agreed));
            for event in events {
                fake.event(Ok(event));
            }
            fake.event(Err(ChannelError::Ended(End::Lost)));
            let mut stream = group.events();
            let mut last = None;
            while let Some(event) = stream.next().await {
                last = Some(event);
            }
            let ended = match &last {
                Some(Event::Disconnected { .. }) => true,
                Some(Event::View(view)) => view.left.iter().any(|gone| gone.member == me()),
                _ => false,
            };
            assert!(ended, "the last event says why: {last:?}");
            assert!(sent.await.is_err(), "nothing but our message is our message");
        });
    }
}
