//! What clients that track are told of a change of membership, and of a node in no ring.

use std::time::Duration;

use bytes::Bytes;
use zerocopy::{FromBytes, IntoBytes};

use super::voters::{CLIENT, all_events, events, info, key, quorate, running, status, votes};
use crate::error::Status;
use crate::ids::{ConnId, ServiceId};
use crate::quorum::wire::quorum as q;
use crate::quorum::wire::votequorum::{self as v, request};
use crate::quorum::wire::{NE, TRACK_CHANGES, TRACK_CURRENT};
use crate::service::Notice;
use crate::service::router::Router;
use crate::service::wire::{HeaderBytes, RequestHeader};
use crate::stack::OUTAGE;
use crate::stack::tests::cluster::Cluster;
use crate::totem::StateName;

/// Clients of quorum that read version 0 and version 1 of its events, and one of votequorum.
const V0: ConnId = ConnId(1);
const V1: ConnId = ConnId(2);
const VOTES: ConnId = ConnId(3);

/// Connects the clients at node 1.
fn connect(cluster: &mut Cluster) {
    for conn in [V0, V1] {
        cluster.connect(1, ServiceId::QUORUM, conn);
    }
    cluster.connect(1, ServiceId::VOTEQUORUM, VOTES);
    let model = q::NumberRequestBytes::new(q::request::MODEL_GET_TYPE, 1);
    assert_eq!(status(cluster, 1, V1, model.as_bytes()), Status::Ok);
}

/// Connections and ids of events.
fn order(events: &[(u64, i32, Bytes)]) -> Vec<(u64, i32)> {
    events.iter().map(|(to, id, _)| (*to, *id)).collect()
}

/// What quorum answers: whether node 1 is quorate.
fn asked_quorate(cluster: &mut Cluster) -> Bytes {
    let request = RequestHeader::new(q::request::GET_QUORATE.into(), 16);
    cluster.request(1, V0, request.as_bytes()).expect("it is answered at once").slice(24..28)
}

/// docs/protocol/services.md, "What each service does in a synchronisation": the events of a membership
/// change, in order.
#[test]
fn trackers_are_notified_of_a_change_in_corosyncs_order() {
    let mut cluster = running(&[1, 1, 1], &[]);
    connect(&mut cluster);
    let model = q::NumberRequestBytes::new(q::request::MODEL_GET_TYPE, 2);
    assert_eq!(status(&mut cluster, 1, V1, model.as_bytes()), Status::InvalidParam);
    let track = q::NumberRequestBytes::new(q::request::TRACK_START, TRACK_CHANGES);
    for conn in [V0, V1] {
        assert_eq!(status(&mut cluster, 1, conn, track.as_bytes()), Status::Ok);
        assert_eq!(status(&mut cluster, 1, conn, track.as_bytes()), Status::Exist);
    }
    let track = v::TrackStartRequestBytes::new(99, TRACK_CHANGES | TRACK_CURRENT);
    assert_eq!(status(&mut cluster, 1, VOTES, track.as_bytes()), Status::Ok);
    let first = all_events(&mut cluster, 1);
    assert_eq!(order(&first), [(1, 3), (1, 3), (2, 7), (2, 6), (2, 7), (2, 6), (3, 5), (3, 3)]);

    cluster.kill(3);
    cluster.settle();
    let told = all_events(&mut cluster, 1);
    // Node list, node list of votequorum, quorum in both versions (newest tracker first), quorum of
    // votequorum.
    assert_eq!(order(&told), [(2, 7), (3, 5), (2, 6), (1, 3), (3, 3)]);
    let (list, nodes) = q::V1NodelistBytes::ref_from_prefix(&told[0].2).unwrap();
    assert_eq!((list.members.get(), list.joined.get(), list.left.get()), (2, 0, 1));
    assert_eq!(nodes[8..12], 3u32.to_ne_bytes());
    let (quorum, nodes) = v::QuorumBytes::ref_from_prefix(&told[4].2).unwrap();
    assert_eq!((quorum.quorate.get(), quorum.context.get(), quorum.count.get()), (1, 99, 3));
    let nodes = <[v::NodeStateBytes]>::ref_from_bytes(nodes).unwrap();
    assert_eq!(nodes.iter().map(|node| node.state.get()).collect::<Vec<_>>(), [1, 1, 2], "the dead too");

    cluster.kill(2);
    cluster.settle();
    assert_eq!(asked_quorate(&mut cluster)[..], 0u32.to_ne_bytes());
    let stop = HeaderBytes::<NE>::new(request::TRACK_STOP.into(), 16);
    assert_eq!(status(&mut cluster, 1, VOTES, stop.as_bytes()), Status::Ok);
    assert_eq!(status(&mut cluster, 1, VOTES, stop.as_bytes()), Status::NotExist);
    cluster.disconnect(1, V0);
    cluster.disconnect(1, V1);
    cluster.take_told(1);
    cluster.start(2);
    cluster.settle();
    assert_eq!(all_events(&mut cluster, 1), [], "nobody listens");
}

/// A node in no operating ring does not keep the state of its last ring: clients of all three kinds are told that it
/// is not quorate, and alone. The vote does not change; the next ring is reported as usual.
#[test]
fn a_node_without_a_ring_is_not_quorate_until_the_next_one() {
    let window = ("last_man_standing_window", "6000");
    let mut cluster = running(&[1, 1, 1, 1], &[("last_man_standing", "1"), window, ("wait_for_all", "1")]);
    cluster.kill(4);
    cluster.settle();
    let on_ring = cluster.now;
    connect(&mut cluster);
    cluster.connect(1, ServiceId::VOTEQUORUM, CLIENT);
    let track = q::NumberRequestBytes::new(q::request::TRACK_START, TRACK_CHANGES);
    for conn in [V0, V1] {
        assert_eq!(status(&mut cluster, 1, conn, track.as_bytes()), Status::Ok);
    }
    let track = v::TrackStartRequestBytes::new(5, TRACK_CHANGES);
    assert_eq!(status(&mut cluster, 1, VOTES, track.as_bytes()), Status::Ok);
    cluster.take_told(1);
    assert_eq!(quorate(&cluster, 1), Some(true));

    cluster.without_tokens.insert(0);
    cluster.run_until("node 1 gives its ring up", |cluster| {
        cluster.nodes[&1].stack.totem().state() != StateName::Operational
    });
    assert_eq!(quorate(&cluster, 1), Some(true), "the next ring is usually formed within a moment");
    cluster.run_until("node 1 is in no ring for too long", |cluster| key(cluster, 1, OUTAGE).is_some());
    assert_eq!(quorate(&cluster, 1), Some(false));
    let told = all_events(&mut cluster, 1);
    assert_eq!(order(&told), [(2, 6), (1, 3), (3, 3)], "no new node list: there is no new ring");
    let (event, members) = q::V1QuorumBytes::ref_from_prefix(&told[0].2).unwrap();
    assert_eq!((event.quorate.get(), event.count.get(), &members[..4]), (0, 1, &1u32.to_ne_bytes()[..]));
    let (event, _) = v::QuorumBytes::ref_from_prefix(&told[2].2).unwrap();
    assert_eq!((event.quorate.get(), event.context.get()), (0, 5));
    assert_eq!(asked_quorate(&mut cluster)[..], 0u32.to_ne_bytes());
    let seen = info(&mut cluster, 1, 0);
    assert_eq!(seen.flags.get() & v::info::QUORATE, 0);
    assert_eq!((seen.total_votes.get(), seen.expected_votes.get(), seen.quorum.get()), (1, 4, 3));
    cluster.take_told(1);
    cluster.tell(1, |node| {
        node.stack.ground.announce(Notice::NoRing);
        node.stack.route(&mut node.world, Router::tell);
    });
    assert_eq!(all_events(&mut cluster, 1), [], "told once");

    // last_man_standing_window passes: the remaining nodes are not known, so the expected votes are not
    // lowered.
    assert!(cluster.now < on_ring + Duration::from_secs(5), "the window has not passed before");
    cluster.run(Duration::from_millis(2000));
    assert!(cluster.now > on_ring + Duration::from_secs(6));
    assert!(key(&cluster, 1, OUTAGE).is_some());
    assert_eq!((votes(&cluster, 1).nodes.us().expected, quorate(&cluster, 1)), (4, Some(false)));
    assert_eq!(all_events(&mut cluster, 1), []);

    // The votes were not lost, so the next ring does not wait for all nodes.
    cluster.kill(3);
    cluster.start(3);
    cluster.without_tokens.clear();
    cluster.settle();
    for node in 1..=3 {
        assert_eq!(quorate(&cluster, node), Some(true), "node {node}");
    }
    let told = events(&mut cluster, 1, V1);
    assert_eq!(told.last(), Some(&q::response::V1_QUORUM));
}
