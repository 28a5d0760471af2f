//! Clusters that count votes, the requests of their clients, and the state of their votes.

use bytes::Bytes;
use zerocopy::{FromBytes, IntoBytes};

use crate::config::map::{Map, Origin};
use crate::error::Status;
use crate::ids::ConnId;
use crate::quorum::Votes;
use crate::quorum::wire::NE;
use crate::quorum::wire::votequorum::{self as v, request};
use crate::service::wire::ReplyHeaderBytes;
use crate::stack::Setup;
use crate::stack::tests::cluster::{self, Cluster};
use crate::stack::tests::world::Told;
use crate::value::Value;

pub(super) const CLIENT: ConnId = ConnId(7);
pub(super) const OTHER: ConnId = ConnId(8);

/// Keys of the section `quorum`, with their values.
pub(super) type Keys<'a> = &'a [(&'a str, &'a str)];

/// The configuration of a node in a cluster whose nodes have these votes.
pub(super) fn map(votes: &[u32], keys: Keys<'_>, node: u32) -> Map {
    let mut map = Map::default();
    let mut set = |name: &str, value| {
        map.set(name.as_bytes(), value, Origin::Derived).expect("the name and the value are valid");
    };
    set("quorum.provider", Value::text("corosync_votequorum"));
    set("nodelist.local_node_pos", Value::U32(node - 1));
    for (place, votes) in votes.iter().enumerate() {
        set(&format!("nodelist.node.{place}.nodeid"), Value::U32(place as u32 + 1));
        if *votes != 1 {
            set(&format!("nodelist.node.{place}.quorum_votes"), Value::U32(*votes));
        }
    }
    for (key, value) in keys {
        let number = value.parse().ok().filter(|_| *key != "auto_tie_breaker_node");
        set(&format!("quorum.{key}"), number.map_or_else(|| Value::text(value), Value::U32));
    }
    map
}

/// A cluster whose nodes have these configurations, from node 1 on; none of them runs.
pub(super) fn stopped(maps: Vec<Map>) -> Cluster {
    Cluster::new(move |node| {
        let map = maps[node as usize - 1].clone();
        Setup { map, kept_votes: Some(0), ..Setup::default() }
    })
}

/// A cluster whose nodes have these votes; all of them are on one ring.
pub(super) fn running(votes: &[u32], keys: Keys<'_>) -> Cluster {
    let nodes = 1..=votes.len() as u32;
    let mut cluster = stopped(nodes.clone().map(|node| map(votes, keys, node)).collect());
    nodes.for_each(|node| cluster.start(node));
    cluster.settle();
    cluster
}

/// Whether a node is quorate; `None` while its ring is being synchronised.
pub(super) fn quorate(cluster: &Cluster, node: u32) -> Option<bool> {
    let stack = &cluster.nodes[&node].stack;
    if stack.router().syncing() {
        return None;
    }
    let quorate = stack.desks.votequorum.as_ref().expect("there is a provider").quorate();
    assert_eq!(stack.desks.quorum.quorate(), quorate, "both desks say the same");
    Some(quorate)
}

/// The state of the votes at a node.
pub(super) fn votes(cluster: &Cluster, node: u32) -> &Votes {
    cluster.nodes[&node].stack.desks.votequorum.as_ref().expect("there is a provider").votes()
}

/// The value of a key of a node's database.
pub(super) fn key(cluster: &Cluster, node: u32, key: &str) -> Option<Value> {
    cluster.nodes[&node].stack.database().get(key).cloned()
}

/// Sets a key of a node's database.
pub(super) fn set(cluster: &mut Cluster, node: u32, key: &str, value: Value) {
    cluster.tell(node, |node| node.stack.write(&mut node.world, |database| database.set(key, value)));
}

/// The status of the answer to a request, which comes at once.
pub(super) fn status(cluster: &mut Cluster, node: u32, conn: ConnId, request: &[u8]) -> Status {
    cluster::status(&cluster.request(node, conn, request).expect("it is answered at once"))
}

/// What `CLIENT`, a client of votequorum, is told of the votes of node `about`; 0 stands for its own node.
pub(super) fn info(cluster: &mut Cluster, node: u32, about: u32) -> v::InfoReplyBytes {
    let request = v::NumberRequestBytes::new(request::GET_INFO, about);
    let reply = cluster.request(node, CLIENT, request.as_bytes()).expect("it is answered at once");
    assert_eq!((id_of(&reply), cluster::status(&reply)), (v::response::GET_INFO, Status::Ok));
    v::InfoReplyBytes::read_from_bytes(&reply).expect("a reply of this length")
}

pub(super) fn id_of(bytes: &[u8]) -> i32 {
    ReplyHeaderBytes::<NE>::ref_from_prefix(bytes).expect("it has a header").0.id.get()
}

/// Takes the ids of a client's events.
pub(super) fn events(cluster: &mut Cluster, node: u32, conn: ConnId) -> Vec<i32> {
    cluster.take_events(node, conn).iter().map(|event| id_of(event)).collect()
}

/// Takes the events of all clients of a node, in their order: connection, id and the whole event.
pub(super) fn all_events(cluster: &mut Cluster, node: u32) -> Vec<(u64, i32, Bytes)> {
    let told = cluster.take_told(node).into_iter();
    told.filter_map(|told| match told {
        Told::Event(to, event, _) => Some((to.0, id_of(&event), event)),
        Told::Reply(..) => None,
    })
    .collect()
}
