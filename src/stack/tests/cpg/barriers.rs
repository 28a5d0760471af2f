//! The barriers of services that a node does not have itself.

use bytes::Bytes;

use super::bench::{A, deliver_sync, form_anew, members_of_g, news};
use crate::config::map::{Map, Origin};
use crate::ids::{Endian, ServiceId};
use crate::service::wire::SyncMessage;
use crate::stack::Setup;
use crate::stack::tests::cluster::{Cluster, id};
use crate::totem::Group;
use crate::totem::wire::pack::Packet;
use crate::totem::wire::{self, Frame};
use crate::value::Value;

/// How many barriers were sent since the test began to record what is sent.
fn barriers(cluster: &mut Cluster) -> usize {
    let frames = cluster.sent.take().expect("it was recorded");
    let packets = frames.iter().filter_map(|(_, bytes)| match wire::parse(bytes) {
        Ok((Frame::Mcast(frame), order)) => Packet::parse(bytes.slice_ref(frame.payload), order),
        _ => None,
    });
    let is_barrier = |piece: &[u8]| {
        let message = piece.strip_prefix(Group::Sync.header());
        let message =
            message.map(|message| SyncMessage::decode(&Bytes::copy_from_slice(message), Endian::Little));
        matches!(message, Some(Ok(SyncMessage::Barrier { .. })))
    };
    packets.map(|packet| packet.pieces().filter(|piece| is_barrier(piece)).count()).sum()
}

/// docs/protocol/services.md, "Messages of the synchronisation": nodes take part in what only others have. Here only node
/// 2 counts votes, so that it alone has service 5.
#[test]
fn nodes_with_other_services_synchronise() {
    let mut cluster = Cluster::new(|node| {
        let mut map = Map::default();
        if node == 2 {
            map.set(b"quorum.provider", Value::text("corosync_votequorum"), Origin::Derived).unwrap();
            map.set(b"quorum.expected_votes", Value::U32(3), Origin::Derived).unwrap();
        }
        Setup { map, ..Setup::default() }
    });
    (1..=3).for_each(|node| cluster.start(node));
    cluster.settle();
    let counts = |cluster: &Cluster, node| {
        let stats = cluster.nodes[&node].stack.router().stats();
        [stats.syncs_begun, stats.syncs_completed, stats.foreign_sync]
    };
    let before = [1, 2, 3].map(|node| counts(&cluster, node));
    cluster.sent = Some(Vec::new());
    form_anew(&mut cluster, 1);
    cluster.settle();
    // Services 0, 2, 3 and 5.
    assert_eq!(barriers(&mut cluster), 3 * 4);
    for (node, [begun, completed, foreign]) in (1..).zip(before) {
        let router = cluster.nodes[&node].stack.router();
        assert_eq!(router.has(ServiceId::VOTEQUORUM), node == 2);
        assert_eq!(cluster.nodes[&node].outcome.synced, router.ring(), "node {node}");
        assert!(router.ready());
        assert!(!router.syncing());
        assert_eq!(counts(&cluster, node), [begun + 1, completed + 1, foreign], "node {node}");
    }
}

/// As above, for services that no node of this kind has, such as those of another version of Corosync: before and after
/// the exchange of the groups, which is not disturbed.
#[test]
fn barriers_of_services_that_nobody_has_are_passed() {
    let mut cluster = members_of_g(2);
    for node in [1, 2] {
        news(&mut cluster, node, A);
    }
    cluster.sent = Some(Vec::new());
    form_anew(&mut cluster, 1);
    let ring = cluster.ring(1);
    cluster.run_until("both are on the new ring", |cluster| {
        cluster.nodes[&2].stack.router().ring() == Some(ring)
    });
    // Node 2's own list follows, and is counted with this one.
    let services = [0, 1, 2, 3, 4, 63].map(ServiceId).to_vec();
    let list = SyncMessage::Services { ring, services }.encode();
    for node in [1, 2] {
        deliver_sync(&mut cluster, node, 2, &list, Endian::Little);
    }
    cluster.settle();
    assert_eq!(barriers(&mut cluster), 2 * 6);
    for node in [1, 2] {
        assert_eq!(cluster.nodes[&node].outcome.synced, Some(ring), "node {node}");
        assert_eq!(cluster.nodes[&node].stack.totem().members(), [id(1), id(2)]);
        assert_eq!(news(&mut cluster, node, A), []);
    }
}
