//! The local interface disappears and comes back: this is reported and repaired, without a busy loop.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use annulus::ids::Destination;
use annulus::transport::{InterfaceChange, Options};
use bytes::Bytes;
use tokio::time::timeout;

use crate::site::{NODES, Place, Site, Wire, node};
use crate::suite::{Node, PATIENCE, greet, open, ring};

/// Every transport, on IPv4 and, where possible, on IPv6.
const WIRES: [(Wire, Place); 5] = [
    (Wire::Udpu, Place::Bridge),
    (Wire::Multicast, Place::Bridge),
    (Wire::Broadcast, Place::Bridge),
    (Wire::Udpu, Place::BridgeIpv6),
    (Wire::Multicast, Place::BridgeIpv6),
];

fn everywhere(story: impl AsyncFn(&Site)) {
    for (wire, place) in WIRES {
        if let Some(site) = Site::build(wire, place) {
            println!("{wire:?} on {place:?}");
            site.play(&story);
        }
    }
}

/// While the interface is gone, each datagram either fails at once and is counted, or the kernel accepts and loses it
/// (as it does with IPv6 multicasts and with broadcasts), and a receiver sleeps.
async fn is_quiet(site: &Site, nodes: &mut [Node]) {
    let tried = |nodes: &[Node]| nodes[0].stats().sent.datagrams + nodes[0].stats().dropped_out.failed;
    let (calls, before) = (nodes[0].stats().recv_calls, tried(nodes));
    for _ in 0..10 {
        nodes[0].transport.send(&mut vec![(Destination::All, Bytes::from_static(b"lost")); 10]);
    }
    assert!(timeout(Duration::from_millis(300), nodes[0].take(1)).await.is_err());
    let stats = nodes[0].stats();
    assert!(stats.recv_calls - calls < 20, "a receiver spins while its interface is gone: {stats:?}");
    assert_eq!(tried(nodes) - before, if site.is_udpu() { 200 } else { 100 }, "{stats:?}");
    if site.is_udpu() {
        assert!(stats.dropped_out.failed >= 100, "{stats:?}");
    }
    assert!(stats.send_waits == 0, "{stats:?}");
    for other in &mut nodes[1..] {
        // With the link still up, IPv6 multicasts leave even from an address that was removed.
        let heard = other.take_rest().await;
        assert!(heard.is_empty() || site.is_multicast() && site.addr(1).is_ipv6(), "{heard:?}");
    }
}

/// Checks until the interface is back: the ports of the closed sockets may be in use for a moment (see
/// `suite::open`).
fn comes_back(site: &Site, node: &mut Node) {
    let start = Instant::now();
    while site.check_interface(1, &mut node.transport) != InterfaceChange::Back {
        assert!(start.elapsed() < PATIENCE, "the interface stays away");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Several interfaces may have the same link-local address; here the wrong one comes first, and is up.
#[test]
fn a_link_local_address_is_taken_from_the_interface_that_is_named() {
    for wire in [Wire::Udpu, Wire::Multicast] {
        let Some(site) = Site::build(wire, Place::BridgeLinkLocal) else { return };
        for id in 1..=NODES {
            site.ip(id, "link add decoy type veth peer name decoy-end");
            site.ip(id, "link set decoy-end up");
            site.ip(id, "link set decoy up");
            site.ip(id, &format!("addr add {}/64 dev decoy nodad", site.addr(id)));
            site.replace_card(id);
        }
        let on = |id: u32, name: &str| Options { interface: Some(name.to_owned()), ..site.options(id) };
        let scope = |options: &Options| match site.open(1, options).unwrap().local() {
            SocketAddr::V6(local) => local.scope_id(),
            SocketAddr::V4(local) => panic!("{local} is IPv4"),
        };
        let (decoy, card) = (scope(&on(1, "decoy")), scope(&on(1, "eth0")));
        assert_eq!(scope(&site.options(1)), decoy, "without a name the first one is taken");
        assert_ne!(decoy, card);
        let error = site.open(1, &on(1, "eth7")).unwrap_err().to_string();
        assert!(error.starts_with("address fe80::1%eth7 is not on this host (it has "), "{error}");
        site.play(async |site| {
            let mut nodes: Vec<Node> = (1..=NODES).map(|id| open(site, id, &on(id, "eth0"))).collect();
            greet(&mut nodes).await;
            // A check of the interface must not be misled by the other one.
            assert_eq!(site.check_interface(1, &mut nodes[0].transport), InterfaceChange::None);
            site.ip(1, "link set decoy down");
            assert_eq!(site.check_interface(1, &mut nodes[0].transport), InterfaceChange::None);
            greet(&mut nodes).await;
        });
    }
}

#[test]
fn an_interface_that_goes_down_comes_back() {
    everywhere(async |site| {
        let mut nodes = ring(site).await;
        assert_eq!(site.check_interface(1, &mut nodes[0].transport), InterfaceChange::None);
        site.ip(1, "link set eth0 down");
        assert_eq!(site.check_interface(1, &mut nodes[0].transport), InterfaceChange::Gone);
        assert_eq!(site.check_interface(1, &mut nodes[0].transport), InterfaceChange::None);
        assert!(!nodes[0].transport.is_up());
        is_quiet(site, &mut nodes).await;
        site.ip(1, "link set eth0 up");
        if site.addr(1).is_ipv6() {
            // The kernel removes the IPv6 addresses of an interface that goes down.
            site.give_address(1);
        }
        comes_back(site, &mut nodes[0]);
        assert_eq!(site.check_interface(1, &mut nodes[0].transport), InterfaceChange::None);
        greet(&mut nodes).await;
    });
}

#[test]
fn an_address_that_vanishes_comes_back() {
    everywhere(async |site| {
        let mut nodes = ring(site).await;
        site.ip(1, "addr flush dev eth0");
        assert_eq!(site.check_interface(1, &mut nodes[0].transport), InterfaceChange::Gone);
        is_quiet(site, &mut nodes).await;
        site.give_address(1);
        comes_back(site, &mut nodes[0]);
        greet(&mut nodes).await;
    });
}

/// The address vanished and came back between two checks, and the kernel left the multicast group meanwhile.
#[test]
fn an_address_that_vanished_between_two_checks_is_repaired() {
    everywhere(async |site| {
        let mut nodes = ring(site).await;
        site.ip(1, "addr flush dev eth0");
        site.give_address(1);
        assert_eq!(site.check_interface(1, &mut nodes[0].transport), InterfaceChange::None);
        greet(&mut nodes).await;
    });
}

/// A network card that is removed and put back has another index, which the old sockets do not use.
#[test]
fn a_replaced_network_card_is_used() {
    everywhere(async |site| {
        let mut nodes = ring(site).await;
        let kept = nodes[0].stats().sent.datagrams;
        site.replace_card(1);
        comes_back(site, &mut nodes[0]);
        greet(&mut nodes).await;
        assert!(nodes[0].stats().sent.datagrams > kept, "counters survive new sockets");
    });
}

/// A receiver waits for datagrams while its sockets are replaced: it must be woken, so that it uses the new ones.
#[test]
fn a_waiting_receiver_is_woken_by_new_sockets() {
    everywhere(async |site| {
        let mut nodes = ring(site).await;
        assert!(nodes[0].take_rest().await.is_empty());
        let woken = nodes[0].wait_once();
        assert!(!woken.is_set());
        site.replace_card(1);
        comes_back(site, &mut nodes[0]);
        assert!(woken.is_set());
    });
}

/// A card that sends very slowly fills the send buffer. Sending goes on with losses but never blocks for long, every
/// lost datagram is counted, and when the card recovers all datagrams arrive.
#[test]
fn a_stuck_network_card_does_not_block_the_ring() {
    everywhere(async |site| {
        let mut nodes = ring(site).await;
        site.tc(1, "qdisc add dev eth0 root tbf rate 1mbit burst 3kb limit 100mb");
        let before = nodes[0].stats().clone();
        let frame = Bytes::from(vec![7; 1455]);
        let mut times = Vec::new();
        for _ in 0..100 {
            let mut batch = vec![(Destination::All, frame.clone()); 50];
            batch.push((Destination::Node(node(2)), Bytes::from_static(b"token")));
            let started = Instant::now();
            nodes[0].transport.send(&mut batch);
            times.push(started.elapsed());
        }
        // The sends take 4 ms, or half a second if each waited for the card. The median is checked, as a busy machine
        // may stop the test during single sends for any time.
        times.sort();
        assert!(times[50] < Duration::from_millis(250), "half of the sends took {:?} and more", times[50]);
        let stats = nodes[0].stats().clone();
        let legs = 100 * (50 * if site.is_udpu() { 2 } else { 1 } + 1);
        assert!(stats.send_waits > 0 && stats.dropped_out.buffer_full > 0, "{stats:?}");
        assert_eq!(
            stats.sent.datagrams - before.sent.datagrams + stats.dropped_out.buffer_full,
            legs,
            "{stats:?}"
        );
        site.tc(1, "qdisc del dev eth0 root");
        for node in &mut nodes[1..] {
            node.take_rest().await;
        }
        greet(&mut nodes).await;
    });
}
