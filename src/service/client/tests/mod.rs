//! Lines, calls and events against a scripted daemon.

pub(crate) mod fake;

use std::os::fd::AsFd;
use std::time::Duration;

use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::fake::Fake;
use super::{Ask, Error, Events, Line, Source, blocking};
use crate::error::Status;
use crate::ids::ServiceId;
use crate::service::channel::{ChannelError, End};
use crate::service::wire::read::{Malformed, kind, list, nodes, status};
use crate::service::wire::{ReplyHeaderBytes, plain_reply};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

/// A call whose result is the length of the answer.
fn length() -> Ask<usize> {
    Ask::query("measure", vec![1; 16], |reply| match reply.len() {
        24 => Ok(24),
        _ => Err(Malformed("answer (length)")),
    })
}

fn order() -> Ask<()> {
    Ask::order("act", vec![2; 16]).hints(&[(Status::Access, ". Ask root")])
}

fn line(fake: &Fake) -> Line {
    Line::new(fake.dial(), ServiceId::CMAP)
}

/// An event of this kind without content.
fn event(kind: i32) -> Vec<u8> {
    plain_reply(kind, Status::Ok).to_vec()
}

/// An event source that yields the kind of each event and skips kind 0.
fn kinds(fake: &Fake) -> Source<i32> {
    let channel = fake.dial().dial_blocking(ServiceId::CMAP).unwrap();
    Source::new(channel, |event: &[u8]| Ok(Some(kind(event)?).filter(|kind| *kind != 0)))
}

#[tokio::test]
async fn a_busy_daemon_is_asked_again_and_a_refusal_says_what_to_do() {
    let fake = Fake::new();
    let line = line(&fake);
    fake.status(Status::TryAgain);
    fake.status(Status::TryAgain);
    assert_eq!(line.ask(length()).await, Ok(24));
    assert_eq!((fake.asked().len(), fake.dialled()), (3, 1));
    fake.status(Status::Access);
    let error = line.ask(order()).await.unwrap_err();
    assert_eq!(error.to_string(), "the daemon refused to act: CS_ERR_ACCESS. Ask root");
    assert_eq!((error.status(), error.is_refusal(Status::Access)), (Status::Access, true));
    fake.status(Status::TryAgain);
    fake.status(Status::Exist);
    assert!(line.ask_blocking(&order()).unwrap_err().is_refusal(Status::Exist));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_an_error() {
    let fake = Fake::new();
    let line = line(&fake);
    for reply in [vec![], vec![1; 23], [event(0), vec![0]].concat()] {
        fake.answer(reply);
        let error = line.ask(length()).await.unwrap_err();
        assert!(matches!(error, Error::Channel(ChannelError::Ended(End::Protocol { .. }))), "{error}");
    }
}

#[tokio::test]
async fn a_connection_that_has_ended_is_reopened() {
    let fake = Fake::new();
    let line = line(&fake).greeting(order);
    assert_eq!(line.ask(length()).await, Ok(24));
    fake.event(event(1)); // unwanted
    assert_eq!(line.ask(length()).await, Ok(24));
    assert_eq!(fake.dialled(), 1);
    fake.end();
    assert_eq!(line.ask(order()).await, Ok(()), "found out before the question was sent");
    assert_eq!(fake.dialled(), 2);
    let greetings = fake.asked().iter().filter(|request| request[0] == 2).count();
    assert_eq!(greetings, 3, "two greetings, and the order itself");
    assert_eq!(line.apart().ask_blocking(&length()), Ok(24));
    assert_eq!(fake.dialled(), 3);
}

/// When the connection ends before the answer, nobody knows whether an order was carried out, so it is not
/// repeated; a query is.
#[tokio::test]
async fn only_queries_are_repeated_when_the_connection_ends() {
    let fake = Fake::new();
    let line = line(&fake);
    line.ask(order()).await.unwrap();
    fake.end_at_next_call();
    assert_eq!(line.ask(order()).await, Err(End::Lost.into()));
    assert_eq!((fake.asked().len(), fake.dialled()), (2, 1));
    assert_eq!(line.ask(length()).await, Ok(24), "over a new connection");
    assert_eq!(fake.dialled(), 2);
    fake.end_at_next_call();
    assert_eq!(line.ask(length()).await, Ok(24));
    assert_eq!(fake.dialled(), 3);
    fake.end_at_next_call();
    assert_eq!(line.ask_blocking(&order()), Err(End::Lost.into()));
}

#[tokio::test]
async fn events_come_in_order_and_end_with_an_error() {
    let fake = Fake::new();
    let mut events = Events::new(kinds(&fake));
    for kind in [3, 0, 4] {
        fake.event(event(kind));
    }
    assert_eq!(events.next().await, Some(Ok(3)));
    assert_eq!(events.next().await, Some(Ok(4)));
    let teller = fake.clone();
    let told = tokio::spawn(async move {
        tokio::task::yield_now().await;
        for _ in 0..1000 {
            teller.event(event(0)); // more than one batch
        }
        teller.event(event(5));
        teller.end();
        teller.event(event(6));
    });
    assert_eq!(events.next().await, Some(Ok(5)));
    assert_eq!(events.next().await, Some(Err(End::Lost.into())));
    assert_eq!(events.next().await, None);
    told.await.unwrap();
}

#[tokio::test]
async fn a_malformed_event_ends_the_stream() {
    let fake = Fake::new();
    let mut events = Events::new(kinds(&fake));
    let mut wrong = event(3);
    wrong.push(0);
    fake.event(wrong);
    fake.event(event(4));
    assert_eq!(events.next().await, Some(Err(Malformed("event (size)").into())));
    assert_eq!(events.next().await, None);
}

#[test]
fn the_descriptor_is_readable_while_there_are_events() {
    let fake = Fake::new();
    let mut events = blocking::Events::new(kinds(&fake));
    let readable = |events: &blocking::Events<i32>| {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&events.as_fd(), PollFlags::IN)], Some(&now)).unwrap() == 1
    };
    assert!(!readable(&events));
    assert_eq!(events.next(Some(Duration::from_millis(1))), Ok(None));
    fake.event(event(3));
    fake.event(event(0));
    fake.event(event(4));
    assert!(readable(&events));
    let mut seen = Vec::new();
    assert_eq!(events.dispatch(|kind| seen.push(kind)), Ok(2));
    assert_eq!((seen, readable(&events)), (vec![3, 4], false));
    let teller = fake.clone();
    let told = std::thread::spawn(move || {
        teller.event(event(0));
        teller.event(event(5));
        teller.end();
    });
    assert_eq!(events.next(PATIENCE), Ok(Some(5)));
    told.join().unwrap();
    assert_eq!(events.dispatch(|_| ()), Err(End::Lost.into()));
    assert_eq!(events.try_next(), Err(End::Lost.into()), "from then on");
}

proptest! {
    /// Arbitrary bytes are either read or refused with an error; nothing panics.
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), count in any::<u32>()) {
        let _ = (status(&bytes), kind(&bytes));
        let fits = bytes.len() >= 4 * count as usize;
        let whole = nodes(&bytes, count, "nodes");
        prop_assert!(fits || whole.is_err());
        prop_assert_eq!(list::<ReplyHeaderBytes>(&bytes, count, "headers").is_ok(), bytes.len() >= 24 * count as usize);
    }
}
