//! Nodes of one process on 127.0.0.1 and following addresses, for the examples.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use annulus::config::timeouts::Given;
use annulus::node::Node;

/// Why an example failed.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// Starts nodes with these ids; they form a ring in the background.
pub(crate) async fn start(ids: &[u32]) -> Result<BTreeMap<u32, Node>, Failure> {
    let port = free_port(ids)?;
    println!("Starting nodes {ids:?} on 127.0.0.1-{}, UDP port {port}.", ids.len());
    let mut nodes = BTreeMap::new();
    for id in ids {
        let timing = Given { token: Some(300), token_coefficient: Some(0), ..Given::default() };
        let peers = ids.iter().map(|id| (*id, address(*id)));
        nodes.insert(*id, Node::builder().id(*id).peers(peers).port(port).timing(timing).start().await?);
    }
    Ok(nodes)
}

/// Cuts the network between the nodes in `side` and all others.
pub(crate) async fn cut(nodes: &BTreeMap<u32, Node>, side: &[u32]) -> Result<(), Failure> {
    for (id, node) in nodes {
        let others = nodes.keys().copied().filter(|other| side.contains(id) != side.contains(other));
        node.cut(others).await?;
    }
    Ok(())
}

/// Removes the cut.
pub(crate) async fn heal(nodes: &BTreeMap<u32, Node>) -> Result<(), Failure> {
    for node in nodes.values() {
        node.heal().await?;
    }
    Ok(())
}

fn address(id: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, id as u8))
}

/// A port that is currently free on the addresses of all nodes, so that two runs do not disturb each other.
fn free_port(ids: &[u32]) -> Result<u16, Failure> {
    for _ in 0..100 {
        let sockets: Result<Vec<_>, _> = match UdpSocket::bind((address(ids[0]), 0)) {
            Ok(first) => {
                let port = first.local_addr()?.port();
                let rest = ids[1..].iter().map(|id| UdpSocket::bind((address(*id), port)));
                std::iter::once(Ok(first)).chain(rest).collect()
            }
            Err(error) => return Err(error.into()),
        };
        if let Ok(sockets) = sockets {
            return Ok(sockets[0].local_addr()?.port());
        }
    }
    Err("no UDP port is free on all addresses".into())
}
