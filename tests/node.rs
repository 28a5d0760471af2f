//! Nodes embedded in a program: three of them over real UDP on loopback, without root.

#![cfg(target_os = "linux")]

#[path = "loopback/mod.rs"]
mod loopback;

use std::net::IpAddr;
use std::time::Duration;

use annulus::config::key::Key;
use annulus::config::timeouts::Given;
use annulus::cpg::Event;
use annulus::ids::Guarantee;
use annulus::node::queue::Source;
use annulus::node::{Knet, Node, NodeError};
use annulus::view::{View, ViewKind};

/// Time limit of any operation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A free port, and the addresses of the nodes.
fn place() -> (u16, Vec<(u32, IpAddr)>) {
    (loopback::port(), (1..=3).map(|id| (id, loopback::address(true, id as u8).into())).collect())
}

/// Starts a node with a token time-out of `token` ms.
async fn start(id: u32, token: u32, (port, peers): &(u16, Vec<(u32, IpAddr)>)) -> Node {
    let given = Given { token: Some(token), token_coefficient: Some(0), ..Given::default() };
    let builder = Node::builder().id(id).peers(peers.clone()).port(*port).timing(given);
    builder.start().await.unwrap()
}

/// Waits for a ring of exactly these members.
async fn ring(views: &Source<View>, members: &[u32]) {
    loop {
        let view = tokio::time::timeout(PATIENCE, views.next()).await.expect("in time").expect("a view");
        let ids: Vec<u32> = view.members.iter().map(|node| node.get()).collect();
        if view.kind == ViewKind::Regular && ids == members {
            return;
        }
    }
}

/// The application's tasks block its only thread for many times the token time-out, as a program does that waits for a
/// disk. Its nodes have threads of their own and keep their ring.
#[tokio::test]
async fn nodes_keep_the_ring_while_the_tasks_of_the_application_block() {
    let place = place();
    let nodes = [start(1, 600, &place).await, start(2, 600, &place).await, start(3, 600, &place).await];
    let views = nodes[0].views().await.unwrap();
    ring(&views, &[1, 2, 3]).await;
    let group = nodes[0].join("g").await.unwrap();
    let before = nodes[0].status().await.unwrap();
    for _ in 0..3 {
        std::thread::sleep(Duration::from_secs(2));
        // In between the application works for a moment, and its messages go round.
        group.multicast_delivered("still here", Guarantee::Agreed).await.unwrap();
    }
    for node in &nodes {
        assert_eq!(node.status().await.unwrap().ring, before.ring, "node {}", node.id());
    }
}

/// A node that could not be started leaves nothing behind, and says why.
#[tokio::test]
async fn a_node_whose_port_is_taken_does_not_start() {
    let (port, peers) = place();
    let taken = std::net::UdpSocket::bind((peers[0].1, port)).unwrap();
    let start = || Node::builder().id(1).peers(peers.clone()).port(port).start();
    let refused = start().await.map(|node| node.id());
    assert!(matches!(&refused, Err(NodeError::Transport(_))), "{refused:?}");
    drop(taken);
    start().await.unwrap().leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_form_a_ring_and_one_leaves() {
    // The token time-out is so long that a loss would not be noticed during the test: the leaving node must announce
    // it.
    let token = 2 * PATIENCE.as_millis() as u32;
    let place = place();
    let (one, two, three) =
        (start(1, token, &place).await, start(2, token, &place).await, start(3, token, &place).await);
    let views = one.views().await.unwrap();
    ring(&views, &[1, 2, 3]).await;

    let group = one.join("g").await.unwrap();
    let mut events = group.events();
    let other = two.join("g").await.unwrap();
    for number in 0..500u32 {
        other.multicast(number.to_le_bytes().to_vec()).await.unwrap();
    }
    let mut expected = 0u32;
    while expected < 500 {
        match tokio::time::timeout(PATIENCE, events.next()).await.expect("in time").expect("an event") {
            Event::Message { payload, .. } => {
                assert_eq!(payload, expected.to_le_bytes()[..]);
                expected += 1;
            }
            Event::View(_) | Event::Ring(_) => {}
            other => panic!("{other:?}"),
        }
    }

    three.leave().await.unwrap();
    ring(&views, &[1, 2]).await;
}

/// Two links between each two nodes, encrypted, without a configuration file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_form_a_ring_over_encrypted_links() {
    let (port, peers) = place();
    let second: Vec<(u32, IpAddr)> = peers.iter().map(|(id, address)| (*id, *address)).collect();
    let key = Key::new(&[0x5a; 256]).unwrap();
    let start = async |id: u32, key: &Key| {
        // Link 1 uses the next port on the same addresses, as loopback is the only network here.
        let links = Knet::encrypted(key.clone()).link(second.clone());
        let given = Given { token: Some(1000), token_coefficient: Some(0), ..Given::default() };
        let builder = Node::builder().id(id).peers(peers.clone()).port(port).timing(given).knet(links);
        builder.start().await.unwrap()
    };
    let (one, two) = (start(1, &key).await, start(2, &key).await);
    let views = one.views().await.unwrap();
    ring(&views, &[1, 2]).await;
    // The third node has another key: no node hears it, and it disturbs none.
    let other = start(3, &Key::new(&[0xa5; 256]).unwrap()).await;
    let group = one.join("g").await.unwrap();
    let mut events = group.events();
    let sender = two.join("g").await.unwrap();
    // The message is longer than a datagram, so it travels in fragments.
    let payload = vec![7u8; 200_000];
    sender.multicast(payload.clone()).await.unwrap();
    loop {
        match tokio::time::timeout(PATIENCE, events.next()).await.expect("in time").expect("an event") {
            Event::Message { payload: got, .. } => break assert_eq!(got, payload),
            Event::View(_) | Event::Ring(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(one.status().await.unwrap().members.len(), 2);
    assert_eq!(other.status().await.unwrap().members.len(), 1);
    let said = one.confdb().get::<String>("totem.crypto_cipher").await.unwrap();
    assert_eq!(said.as_deref(), Some("aes256"));
    other.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_goes_on_without_a_node_that_crashed() {
    let place = place();
    let (one, two) = (start(1, 1000, &place).await, start(2, 1000, &place).await);
    let views = one.views().await.unwrap();
    ring(&views, &[1, 2]).await;
    let group = one.join("g").await.unwrap();
    drop(two);
    ring(&views, &[1]).await;
    group.multicast_delivered("alone", Guarantee::Safe).await.unwrap();
    let status = one.status().await.unwrap();
    assert_eq!(status.members.len(), 1);
    assert_eq!(status.local_clients, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_ring_is_one_again_after_healing() {
    let place = place();
    let (one, two, three) =
        (start(1, 1000, &place).await, start(2, 1000, &place).await, start(3, 1000, &place).await);
    let (views, far) = (one.views().await.unwrap(), three.views().await.unwrap());
    ring(&views, &[1, 2, 3]).await;
    ring(&far, &[1, 2, 3]).await;
    one.cut([3]).await.unwrap();
    two.cut([3]).await.unwrap();
    three.cut([1, 2]).await.unwrap();
    ring(&views, &[1, 2]).await;
    ring(&far, &[3]).await;
    for node in [&one, &two, &three] {
        node.heal().await.unwrap();
    }
    ring(&views, &[1, 2, 3]).await;
    ring(&far, &[1, 2, 3]).await;
}

/// Even in a runtime with a single thread and under its own load, a lone node serves its clients.
#[tokio::test]
async fn a_busy_lone_node_does_not_starve_anybody() {
    let (port, peers) = place();
    let node = Node::builder().id(1).peers(peers[..1].to_vec()).port(port).start().await.unwrap();
    node.ready().await.unwrap();
    let group = node.join("g").await.unwrap();
    let mut events = group.events();
    let flood = node.join("other").await.unwrap();
    let mut flooded = flood.events();
    let drain = tokio::spawn(async move { while flooded.next().await.is_some() {} });
    let flooding = tokio::spawn(async move {
        for _ in 0..20_000 {
            flood.multicast(vec![0; 100]).await.unwrap();
        }
    });
    for number in 0..100u8 {
        group.multicast(vec![number]).await.unwrap();
        loop {
            let event =
                tokio::time::timeout(PATIENCE, events.next()).await.expect("in time").expect("an event");
            if let Event::Message { payload, .. } = event {
                assert_eq!(payload[..], [number]);
                break;
            }
        }
    }
    flooding.abort();
    drain.abort();
    assert_eq!(node.status().await.unwrap().members.len(), 1);
    node.leave().await.unwrap();
}

#[tokio::test]
async fn invalid_settings_are_refused() {
    assert!(matches!(Node::builder().start().await, Err(NodeError::NoId)));
    assert!(matches!(Node::builder().id(1).start().await, Err(NodeError::NoAddress)));
    let zero = Node::builder().id(1).peers([(0, IpAddr::from([127, 0, 0, 1]))]);
    assert!(matches!(zero.start().await, Err(NodeError::PeerZero(_))));
    let gone = Node::builder().id(1).address([127, 0, 0, 1]).state_dir("/nonexistent");
    let error = gone.start().await.unwrap_err().to_string();
    assert!(error.contains("/nonexistent"), "{error}");
}
