//! Nodes with members of a group.

use bytes::Bytes;

use super::speech::{Seen, join_request, mcast_request, read_event};
use crate::config::map::Map;
use crate::cpg::Member;
use crate::cpg::wire::exec;
use crate::ids::{ConnId, Endian, NodeId, Piece, RingId, ServiceId};
use crate::service::router::EXEC_OVERHEAD;
use crate::service::wire::{HEADER_LEN, exec_header};
use crate::stack::tests::cluster::{Cluster, id};
use crate::stack::tests::world::Told;

/// The first client of each node.
pub(super) const A: ConnId = ConnId(1);

pub(super) fn member(node: u32, pid: u32) -> Member {
    Member { node: id(node), pid }
}

/// A node alone on its ring, with a client that is in no group.
pub(super) fn lone_node() -> Cluster {
    let mut cluster = Cluster::running(1, &Map::default());
    cluster.connect(1, ServiceId::CPG, A);
    cluster
}

/// Nodes 1 to `size` on one ring, each with one client in group "g" whose process id is 10 times the node id.
pub(super) fn members_of_g(size: u32) -> Cluster {
    let mut cluster = Cluster::running(size, &Map::default());
    for node in 1..=size {
        join(&mut cluster, node, A, 10 * node);
    }
    cluster
}

/// Connects a client that joins group "g", and lets the ring come to rest.
pub(super) fn join(cluster: &mut Cluster, node: u32, conn: ConnId, pid: u32) {
    cluster.connect(node, ServiceId::CPG, conn);
    cluster.request(node, conn, &join_request(b"g", pid, 0)).expect("every join is answered");
    cluster.settle();
}

/// The events of a client since the last call.
pub(super) fn events(cluster: &mut Cluster, node: u32, conn: ConnId) -> Vec<Seen> {
    cluster.take_events(node, conn).iter().map(|bytes| read_event(bytes)).collect()
}

/// The events of a client since the last call, without totem configurations.
pub(super) fn news(cluster: &mut Cluster, node: u32, conn: ConnId) -> Vec<Seen> {
    events(cluster, node, conn).into_iter().filter(|seen| seen.group().is_some()).collect()
}

/// The clients of a node that were told messages of their own, with the piece that each was.
pub(super) fn echoes(cluster: &Cluster, node: u32) -> Vec<(ConnId, Piece)> {
    let told = cluster.nodes[&node].outcome.told.iter();
    told.filter_map(|told| match told {
        Told::Event(conn, _, own) => own.map(|piece| (*conn, piece)),
        Told::Reply(..) => None,
    })
    .collect()
}

/// The exec messages of CPG that a node was delivered since the last call, its own included.
pub(super) fn delivered(cluster: &mut Cluster, node: u32) -> Vec<Bytes> {
    let all = cluster.take_delivered(node).into_iter().map(|(_, message)| message);
    all.filter(|message| {
        exec_header(message, Endian::Little).is_some_and(|(service, _)| service == ServiceId::CPG.0)
    })
    .collect()
}

/// The other nodes whose join lists a node was delivered since the last call, in the order of their arrival.
pub(super) fn join_lists(cluster: &mut Cluster, node: u32) -> Vec<NodeId> {
    let all = cluster.take_delivered(node).into_iter();
    let lists = all.filter(|(from, message)| {
        *from != id(node) && exec_header(message, Endian::Little) == Some((ServiceId::CPG.0, exec::JOIN_LIST))
    });
    lists.map(|(from, _)| from).collect()
}

/// The payloads of the whole messages of clients that a node was delivered since the last call.
pub(super) fn payloads(cluster: &mut Cluster, node: u32) -> Vec<Bytes> {
    let all = delivered(cluster, node).into_iter();
    let whole = all.filter(|message| {
        exec_header(message, Endian::Little).is_some_and(|(_, function)| function == exec::MCAST)
    });
    whole.map(|message| message.slice(184..)).collect()
}

/// How many exec messages of this function a node has handed to the ring.
pub(super) fn sent(cluster: &Cluster, node: u32, function: u16) -> u64 {
    let services = cluster.nodes[&node].stack.ground.traffic.services();
    let (_, functions) = services.iter().find(|(service, _)| *service == ServiceId::CPG).expect("it has CPG");
    functions[usize::from(function)].tx
}

/// Delivers a message of the synchronisation at one node alone, as if it came from the ring.
pub(super) fn deliver_sync(cluster: &mut Cluster, node: u32, from: u32, message: &[u8], order: Endian) {
    let message = Bytes::copy_from_slice(message);
    cluster.tell(node, |node| {
        node.stack.route(&mut node.world, |router, desks, context| {
            router.deliver_sync(desks, id(from), &message, order, context);
        });
    });
}

/// Lets a member multicast until the send queue accepts not even the shortest request. Nothing is sent meanwhile,
/// because no time passes.
pub(super) fn fill(cluster: &mut Cluster, node: u32, conn: ConnId) {
    for length in [1_000_000, 100_000, 1000] {
        let request = mcast_request(0, &vec![7; length]);
        while fits(cluster, node, request.len()) {
            assert_eq!(cluster.request(node, conn, &request), None);
        }
    }
    assert!(!fits(cluster, node, HEADER_LEN));
}

fn fits(cluster: &Cluster, node: u32, request: usize) -> bool {
    cluster.nodes[&node].stack.totem().fits(request + EXEC_OVERHEAD)
}

/// Lets a node form its ring anew, up to the moment at which the services of the new ring begin to synchronise.
pub(super) fn form_anew(cluster: &mut Cluster, node: u32) {
    let before = cluster.nodes[&node].stack.router().ring();
    cluster.tell(node, |node| node.stack.gather());
    run_to_next_ring(cluster, node, before);
}

/// Runs until the services of a node begin to synchronise on another ring than this.
pub(super) fn run_to_next_ring(cluster: &mut Cluster, node: u32, before: Option<RingId>) {
    cluster.run_until("the services of another ring synchronise", |cluster| {
        let router = cluster.nodes[&node].stack.router();
        router.ring() != before && router.syncing()
    });
}
