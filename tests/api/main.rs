//! The API on embedded nodes, end to end over UDP on 127.0.0.x: process groups here, the rest in `services.rs`.

mod cluster;
#[cfg(feature = "daemon")]
mod daemon;
#[path = "../loopback/mod.rs"]
mod loopback;
mod services;

use std::time::Duration;

use annulus::cpg::{Change, Error, Event, JoinOptions, Reason, UNFRAGMENTED_LIMIT, blocking};
use annulus::error::Status;
use annulus::ids::Guarantee;
use annulus::view::ViewKind;
use bytes::Bytes;
use cluster::{Cluster, Listener, PATIENCE};

fn reasons(changes: &[Change]) -> Vec<(u32, Reason)> {
    changes.iter().map(|change| (change.member.node.get(), change.reason)).collect()
}

/// Agreed and safe messages of three simultaneous senders arrive in one order, in which each sender's messages keep
/// theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_senders_are_heard_in_one_order() {
    const EACH: usize = 300;
    let c = Cluster::start(3).await;
    let groups = c.join("order").await;
    let mut listeners: Vec<_> = groups.iter().map(Listener::new).collect();
    let senders: Vec<_> = groups
        .iter()
        .cloned()
        .map(|group| {
            tokio::spawn(async move {
                for n in 0..EACH {
                    let text = format!("{}.{n}", group.me().node);
                    let guarantee = if n % 5 == 0 { Guarantee::Safe } else { Guarantee::Agreed };
                    group.multicast_with(guarantee, text).await.unwrap();
                }
            })
        })
        .collect();
    let mut orders = Vec::new();
    for listener in &mut listeners {
        orders.push(listener.messages(3 * EACH).await);
    }
    for sender in senders {
        sender.await.unwrap();
    }
    assert_eq!(orders[0], orders[1]);
    assert_eq!(orders[0], orders[2]);
    for id in 1..=3 {
        let own: Vec<String> = (0..EACH).map(|n| format!("{id}.{n}")).collect();
        let heard: Vec<&Bytes> =
            orders[0].iter().filter(|m| m.starts_with(format!("{id}.").as_bytes())).collect();
        assert_eq!(heard, own.iter().map(String::as_bytes).collect::<Vec<_>>(), "sender {id}");
    }
}

/// The first event of a new member is its own view. Earlier members see that it joined, and later why it left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_say_who_came_and_went_and_why() {
    let c = Cluster::start(3).await;
    let first = c.node(1).join("views").await.unwrap();
    let mut seen = Listener::new(&first);
    assert_eq!(reasons(&seen.view().await.joined), [(1, Reason::Join)]);
    assert!(matches!(seen.next().await, Some(Event::Ring(ring)) if ring.members.len() == 3));

    let second = c.node(2).join("views").await.unwrap();
    assert_eq!(reasons(&seen.view().await.joined), [(2, Reason::Join)]);
    let third = c.node(3).join("views").await.unwrap();
    let view = seen.view().await;
    assert_eq!((reasons(&view.joined), view.members.len()), (vec![(3, Reason::Join)], 3));
    assert_eq!(first.membership().await.unwrap(), view.members);

    second.leave().await.unwrap();
    assert_eq!(reasons(&seen.view().await.left), [(2, Reason::Leave)]);
    let mut events = second.events();
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    assert!(matches!(&last, Some(Event::View(view)) if reasons(&view.left) == [(2, Reason::Leave)]));
    assert_eq!(second.multicast("late").await, Err(Error::NotMember));

    drop(third);
    assert_eq!(reasons(&seen.view().await.left), [(3, Reason::ProcDown)]);
    let again = c.node(2).join("views").await.unwrap();
    assert_eq!(reasons(&seen.view().await.joined), [(2, Reason::Join)]);
    c.stop(2).await;
    assert_eq!(reasons(&seen.view().await.left), [(2, Reason::ProcDown)], "a clean stop");
    let mut events = again.events();
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    assert!(matches!(last, Some(Event::Disconnected { .. } | Event::View(_))), "{last:?}");
}

/// A cut makes two rings, which become one when it heals. The node's own views include the transitional ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_and_its_healing_are_seen_as_views() {
    let c = Cluster::with_token(3, 2500).await;
    let groups = c.join("cut").await;
    let mut one = Listener::new(&groups[0]);
    let mut three = Listener::new(&groups[2]);
    one.until_members(3).await;
    three.until_members(3).await;
    let ring = c.node(1).views().await.unwrap();
    let before = ring.next().await.unwrap();
    assert_eq!((before.kind, before.members.len()), (ViewKind::Regular, 3));

    c.cut(&[1, 2], &[3]).await;
    assert_eq!(reasons(&one.view().await.left), [(3, Reason::NodeDown)]);
    assert_eq!(reasons(&three.view().await.left), [(1, Reason::NodeDown), (2, Reason::NodeDown)]);
    let transitional = ring.next().await.unwrap();
    assert_eq!((transitional.kind, transitional.members.len()), (ViewKind::Transitional, 2));
    let regular = ring.next().await.unwrap();
    assert_eq!((regular.kind, regular.members.len()), (ViewKind::Regular, 2));
    groups[0].multicast_delivered("left", Guarantee::Safe).await.unwrap();
    groups[2].multicast_delivered("right", Guarantee::Safe).await.unwrap();

    c.heal().await;
    assert_eq!(one.messages(1).await, ["left"]);
    assert_eq!(three.messages(1).await, ["right"]);
    assert_eq!(reasons(&one.view().await.joined), [(3, Reason::NodeUp)]);
    three.until_members(3).await;
    groups[1].multicast("whole").await.unwrap();
    assert_eq!(one.messages(1).await, ["whole"]);
    assert_eq!(three.messages(1).await, ["whole"]);
}

/// Once the delivery of a message has been awaited, everything before it is among the events; no reader is needed
/// meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_can_be_awaited() {
    let c = Cluster::start(3).await;
    let groups = c.join("delivered").await;
    for n in 0..50 {
        groups[1].multicast(format!("before {n}")).await.unwrap();
    }
    groups[1].multicast_delivered("mine", Guarantee::Safe).await.unwrap();
    let mut own = Listener::new(&groups[1]);
    // The time-out of zero permits no waiting: the events must already be there.
    let heard = tokio::time::timeout(Duration::ZERO, own.messages(51)).await.expect("already there");
    assert_eq!(heard[50], "mine");
    let many: Vec<_> = (0..100)
        .map(|n| {
            let group = groups[n % 3].clone();
            tokio::spawn(async move { group.multicast_delivered(format!("{n}"), Guarantee::Agreed).await })
        })
        .collect();
    for one in many {
        tokio::time::timeout(PATIENCE, one).await.unwrap().unwrap().unwrap();
    }
}

/// Messages longer than any packet, request and IPC message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_messages_arrive_whole() {
    let c = Cluster::start(2).await;
    let groups = c.join("long").await;
    let mut two = Listener::new(&groups[1]);
    let long: Bytes = (0..3 * UNFRAGMENTED_LIMIT + 17).map(|i| (i % 251) as u8).collect::<Vec<_>>().into();
    let atomic = long.slice(..UNFRAGMENTED_LIMIT);
    let send = async {
        groups[0].multicast(atomic.clone()).await.unwrap();
        groups[0].multicast_delivered(long.clone(), Guarantee::Agreed).await.unwrap();
        groups[0].multicast("after").await.unwrap();
    };
    let ((), heard) = tokio::join!(send, two.messages(3));
    assert_eq!(heard.iter().map(Bytes::len).collect::<Vec<_>>(), [atomic.len(), long.len(), 5]);
    assert!(heard[0] == atomic && heard[1] == long && heard[2] == "after");
    let over = vec![0; JoinOptions::default().message_limit + 1];
    let error = groups[0].multicast(over).await.unwrap_err();
    assert_eq!(error.status(), Status::TooBig);
}

/// The sender reads nothing meanwhile: its own message waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_60_mb_needs_no_reader_meanwhile() {
    let c = Cluster::start(2).await;
    let groups = c.join("longer").await;
    let long: Bytes = (0..60_000_000_u32).map(|i| (i % 251) as u8).collect::<Vec<_>>().into();
    tokio::time::timeout(PATIENCE, groups[0].multicast(long.clone())).await.expect("in time").unwrap();
    for group in &groups {
        assert!(Listener::new(group).messages(1).await[0] == long);
    }
}

/// Group names are bytes, and a trailing NUL, as C programs send it, makes another group.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_names_are_bytes() {
    let c = Cluster::start(2).await;
    let plain = c.node(1).join("crmd").await.unwrap();
    let with_nul = c.node(1).join(b"crmd\0").await.unwrap();
    let odd = c.node(2).join([0xff, 0, 0xfe]).await.unwrap();
    assert_eq!(c.node(2).cpg().membership("crmd").await.unwrap(), [plain.me()]);
    assert_eq!(c.node(2).cpg().membership(b"crmd\0").await.unwrap(), [with_nul.me()]);
    assert_eq!(c.node(1).cpg().membership("nobody").await.unwrap(), []);
    // The first node knows of the second node's joins as soon as they are delivered to it.
    let names = c.names_once_there_are(1, 3).await;
    assert_eq!(names, ["crmd", "crmd\\x00", "\\xff\\x00\\xfe"]);
    assert_eq!(c.node(2).cpg().local_id().await.unwrap(), odd.me().node);

    assert!(matches!(c.node(1).join("crmd").await.unwrap_err(), Error::Exists { .. }));
    let options = JoinOptions { pid: Some(1), ..JoinOptions::default() };
    let twin = c.node(1).join_with("crmd", &options).await.unwrap();
    assert_eq!(twin.membership().await.unwrap().len(), 2);
}

/// The blocking API needs no runtime on its thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_thread_can_be_a_member() {
    let c = Cluster::start(2).await;
    let client = blocking::Client::new(std::sync::Arc::new(c.node(1).handle().clone()));
    let other = c.node(2).join("thread").await.unwrap();
    let thread = std::thread::spawn(move || {
        let group = client.join("thread").unwrap();
        group.multicast(vec![7; UNFRAGMENTED_LIMIT + 1]).unwrap();
        group.multicast_safe("ping").unwrap();
        let mut heard = Vec::new();
        while heard.len() < 3 {
            match group.next(Some(PATIENCE)).unwrap().expect("in time") {
                Event::Message { payload, .. } => heard.push(payload.len()),
                other => assert!(matches!(other, Event::View(_) | Event::Ring(_)), "{other:?}"),
            }
        }
        group.leave().unwrap();
        heard
    });
    let mut listener = Listener::new(&other);
    assert_eq!(
        listener.messages(2).await.iter().map(Bytes::len).collect::<Vec<_>>(),
        [UNFRAGMENTED_LIMIT + 1, 4]
    );
    other.multicast("pong!").await.unwrap();
    let heard = tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
    assert_eq!(heard, [UNFRAGMENTED_LIMIT + 1, 4, 5]);
}

/// A sender that is faster than the ring is slowed down, not refused, and no message is lost. The test has one
/// thread, so the ring runs only while the sender waits.
#[tokio::test]
async fn a_fast_sender_waits_for_room() {
    const COUNT: usize = 20_000;
    let c = Cluster::start(2).await;
    let groups = c.join("fast").await;
    let payload = Bytes::from(vec![9; 1000]);
    let mut refused = 0;
    let mut listener = Listener::new(&groups[1]);
    let own = tokio::spawn({
        let mut own = Listener::new(&groups[0]);
        async move { own.messages(COUNT).await.len() }
    });
    let sender = tokio::spawn({
        let group = groups[0].clone();
        async move {
            for _ in 0..COUNT {
                if group.try_multicast(payload.clone()) == Err(Error::TryAgain) {
                    refused += 1;
                    group.multicast(payload.clone()).await.unwrap();
                }
            }
            refused
        }
    });
    assert_eq!(listener.messages(COUNT).await.len(), COUNT);
    assert_eq!(own.await.unwrap(), COUNT);
    assert!(sender.await.unwrap() > 0, "the queue was never full");
}
