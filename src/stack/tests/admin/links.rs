//! Addresses, ids, the state of links.

use super::*;
use crate::admin::{NodeStatus, OwnLink};

#[test]
fn links_of_udp_are_reported() {
    let mut admin = Admin::pair();
    let mut status = |id| match admin.call(A, Ask::NodeStatus { node: id, version: 1 }) {
        Ok(Reply::NodeStatus(status)) => *status,
        other => panic!("{other:?}"),
    };
    let there = status(2);
    assert!(there.reachable && there.links[0].connected && there.links[0].enabled);
    assert_eq!((there.links[0].mtu, there.links[0].from.as_str()), (1410, "10.0.0.2"));
    assert!(there.links[1..].iter().all(|link| *link == Default::default()));
    let away = status(3);
    assert!(!away.reachable && !away.links[0].connected && away.links[0].enabled);
    assert_eq!(status(77), NodeStatus { node: 77, ..Default::default() });
    assert_eq!(status(0).node, 0);
    assert_eq!(admin.refused(A, Ask::NodeStatus { node: 2, version: 2 }), Status::NotSupported);
    let links = vec![OwnLink { name: "0 10.0.0.1".to_owned(), status: "OK".to_owned() }];
    assert_eq!(admin.call(A, Ask::RingStatus), Ok(Reply::RingStatus(links)));
    assert_eq!(admin.refused(A, Ask::RingReenable), Status::NotSupported);
}

#[test]
fn addresses_and_ids_are_answered() {
    let mut admin = Admin::pair();
    let of = |id: u8| Ok(Reply::NodeAddrs(vec![[10, 0, 0, id].into()]));
    assert_eq!(admin.call(A, Ask::NodeAddrs { node: 0 }), of(1));
    assert_eq!(admin.call(A, Ask::NodeAddrs { node: 3 }), of(3));
    assert_eq!(admin.refused(A, Ask::NodeAddrs { node: 4 }), Status::NotExist);
    assert_eq!(admin.call(A, Ask::LocalGet), Ok(Reply::LocalGet(1)));
}
