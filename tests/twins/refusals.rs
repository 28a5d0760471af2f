//! Options that cannot work are refused with a message that says what to do.

use std::net::IpAddr;

use annulus::ids::Destination;
use annulus::transport::{Cast, Kind, Options, Peer, Transport, TransportError};

use crate::site::{Place, Site, Wire, node};
use crate::suite::{open, ring};

fn udpu() -> Options {
    let peers = (1..=3).map(|id| Peer { id: node(id), addr: [127, 0, 0, id as u8].into() }).collect();
    Options::new(Kind::Udpu, node(1), [127, 0, 0, 1].into(), peers)
}

fn udp(group: &str, ttl: u8) -> Options {
    Options { kind: Kind::Udp(Cast::Multicast { group: group.parse().unwrap(), ttl }), ..udpu() }
}

fn refusal(options: &Options) -> String {
    match Transport::open(options) {
        Err(error @ TransportError::Setting { .. }) => {
            assert!(!error.may_pass());
            error.to_string()
        }
        Err(error) => panic!("refused as something else than a setting: {error}"),
        Ok(_) => panic!("accepted: {options:?}"),
    }
}

/// These settings are refused before any socket is opened, so no runtime is needed.
#[test]
fn settings_that_cannot_work_are_named_in_errors() {
    let peers = |list: &[(u32, &str)]| Options {
        peers: list.iter().map(|&(id, addr)| Peer { id: node(id), addr: addr.parse().unwrap() }).collect(),
        ..udpu()
    };
    let ipv6: IpAddr = "::1".parse().unwrap();
    for (options, words) in [
        (Options { port: 0, ..udpu() }, "mcastport refused: it is 0"),
        (
            Options { port: 1, ..udp("239.1.1.1", 1) },
            "mcastport refused: it is 1; transport udp also binds the port below",
        ),
        (udp("10.0.0.1", 1), "mcastaddr refused: 10.0.0.1 is not a multicast address"),
        (
            udp("ff15::1", 1),
            "mcastaddr refused: ff15::1 is not of the same IP version as the local address 127.0.0.1",
        ),
        (udp("239.1.1.1", 0), "ttl refused: it is 0"),
        (
            Options { kind: Kind::Udp(Cast::Broadcast), address: ipv6, peers: vec![], ..udpu() },
            "broadcast refused: IPv6",
        ),
        (
            Options { address: [0, 0, 0, 0].into(), ..udpu() },
            "ring0_addr refused: 0.0.0.0 is not the address of a host",
        ),
        (
            Options { address: ipv6, ..udpu() },
            "ring0_addr refused: 127.0.0.1 of node 1 is not of the same IP version",
        ),
        (Options { netmtu: 100, ..udpu() }, "netmtu refused: it is 100; give 576 to 65507"),
        (Options { netmtu: 65_508, ..udpu() }, "netmtu refused: it is 65508; give 576 to 65507"),
        (Options { window: 0, ..udpu() }, "window_size refused: it is 0"),
        (Options { dscp: Some(64), ..udpu() }, "ip_dscp refused: it is 64; give 0 to 63"),
        (
            peers(&[(1, "127.0.0.1"), (1, "127.0.0.2")]),
            "nodeid refused: 1 is given to both 127.0.0.1 and 127.0.0.2",
        ),
        (
            peers(&[(1, "127.0.0.1"), (2, "224.0.0.1")]),
            "ring0_addr refused: 224.0.0.1 of node 2 is not the address",
        ),
    ] {
        let got = refusal(&options);
        assert!(got.contains(words), "{got:?} does not say {words:?}");
    }
    let many =
        (1..=385).map(|id| Peer { id: node(id), addr: [10, 0, (id >> 8) as u8, id as u8].into() }).collect();
    let got = refusal(&Options { peers: many, ..udpu() });
    assert!(got.contains("nodelist refused: it has 385 nodes; at most 384"), "{got}");
}

#[tokio::test]
async fn an_address_of_another_host_is_refused_with_those_of_this_one() {
    let error = Transport::open(&Options { address: "192.0.2.77".parse().unwrap(), ..udpu() }).unwrap_err();
    assert!(matches!(error, TransportError::NotLocal { .. }) && error.may_pass());
    let words = error.to_string();
    assert!(words.contains("address 192.0.2.77 is not on this host (it has 127.0.0.1 on lo"), "{words}");
}

#[test]
fn an_interface_that_is_down_is_named_in_the_error() {
    let Some(site) = Site::build(Wire::Udpu, Place::Bridge) else { return };
    site.ip(1, "link set eth0 down");
    let error = site.open(1, &site.options(1)).unwrap_err();
    assert!(matches!(error, TransportError::InterfaceDown { .. }) && error.may_pass());
    assert_eq!(
        error.to_string(),
        "interface eth0 with address 10.78.0.1 is down; bring it up (ip link set eth0 up)"
    );
}

/// This holds for udp as well, as another daemon must not receive this ring's tokens.
#[test]
fn a_port_in_use_is_named_in_the_error() {
    for wire in [Wire::Udpu, Wire::Multicast] {
        let site = Site::build(wire, Place::Loopback).expect("loopback needs nothing");
        let options = site.options(1);
        let first = site.open(1, &options).unwrap();
        let error = site.open(1, &options).unwrap_err();
        assert!(matches!(error, TransportError::InUse { .. }) && error.may_pass(), "{error:?}");
        let words = error.to_string();
        let port = if site.is_udpu() { options.port } else { options.port - 1 };
        assert!(words.starts_with(&format!("UDP port {port} of 127.0.0.1 is in use")), "{words}");
        drop(first);
        // The port is free again.
        open(&site, 1, &options);
    }
}

/// Two clusters on one host use different ports but the same addresses and multicast group.
#[test]
fn clusters_with_different_ports_do_not_meet() {
    for wire in [Wire::Udpu, Wire::Multicast] {
        let (one, two) = (
            Site::build(wire, Place::Loopback).expect("loopback needs nothing"),
            Site::build(wire, Place::Loopback).expect("loopback needs nothing"),
        );
        // Both share one runtime; the sites differ only in their ports.
        one.play(async |one| {
            let mut strangers: Vec<_> = (1..=3).map(|id| open(one, id, &two.options(id))).collect();
            let mut nodes = ring(one).await;
            nodes[0].send(Destination::All, &b"ours"[..]);
            assert_eq!(nodes[1].take_only(1).await, [b"ours"]);
            strangers[0].send(Destination::All, &b"theirs"[..]);
            assert_eq!(strangers[1].take_only(1).await, [b"theirs"]);
            assert_eq!(nodes[2].take_only(1).await, [b"ours"]);
        });
    }
}

/// The code point (DSCP) is read back from the kernel; it can also be changed at run time.
#[test]
fn the_dscp_code_point_is_applied() {
    for (wire, place) in
        [(Wire::Udpu, Place::Loopback), (Wire::Multicast, Place::Loopback), (Wire::Udpu, Place::BridgeIpv6)]
    {
        let Some(site) = Site::build(wire, place) else { continue };
        let mut transport = site.open(1, &Options { dscp: Some(46), ..site.options(1) }).unwrap();
        assert_eq!(transport.stats().dscp, Some(46));
        transport.set_dscp(Some(10)).unwrap();
        assert_eq!(transport.stats().dscp, Some(10));
        assert!(transport.set_dscp(Some(99)).is_err());
        transport.set_dscp(None).unwrap();
        assert_eq!(transport.stats().dscp, None);
    }
}

/// A transport may move to another thread with its task.
#[test]
fn transports_can_move_between_threads() {
    fn moves<T: Send + 'static>() {}
    moves::<Transport>();
    moves::<annulus::transport::Received>();
}
