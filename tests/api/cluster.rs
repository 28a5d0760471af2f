//! Nodes in this process, on the addresses from 127.0.0.1 on, with short time-outs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use annulus::config::timeouts::Given;
use annulus::cpg::{Event, Events, Group, GroupView};
use annulus::node::{Builder, Node, NodeError};
use bytes::Bytes;

use crate::loopback;

/// Time limit of any operation on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Cluster {
    nodes: BTreeMap<u32, Node>,
}

fn address(id: u32) -> IpAddr {
    loopback::address(false, id as u8).into()
}

impl Cluster {
    /// Starts `count` nodes on one ring, with a token time-out that a busy machine does not exceed.
    pub(crate) async fn start(count: u32) -> Self {
        Self::with_token(count, 5000).await
    }

    /// Starts `count` nodes on one ring with a token time-out of `token` ms.
    pub(crate) async fn with_token(count: u32, token: u32) -> Self {
        Self::with(count, token, |builder| builder).await
    }

    /// Starts `count` nodes on one ring with a token time-out of `token` ms and further settings.
    pub(crate) async fn with(count: u32, token: u32, settings: impl Fn(Builder) -> Builder) -> Self {
        let mut tries = 0;
        let nodes = loop {
            match Self::open(count, token, &settings).await {
                Ok(nodes) => break nodes,
                // Another program took the port in the meantime.
                Err(error) if tries < 20 => eprintln!("trying again: {error}"),
                Err(error) => panic!("{error}"),
            }
            tries += 1;
        };
        for node in nodes.values() {
            let views = node.views().await.unwrap();
            let ring = async { while views.next().await.unwrap().members.len() != count as usize {} };
            tokio::time::timeout(PATIENCE, ring).await.expect("one ring");
        }
        Self { nodes }
    }

    async fn open(
        count: u32,
        token: u32,
        settings: impl Fn(Builder) -> Builder,
    ) -> Result<BTreeMap<u32, Node>, NodeError> {
        let port = loopback::port();
        let mut nodes = BTreeMap::new();
        for id in 1..=count {
            let timing = Given { token: Some(token), token_coefficient: Some(0), ..Given::default() };
            let peers = (1..=count).map(|id| (id, address(id)));
            let builder = Node::builder().id(id).peers(peers).port(port).timing(timing);
            let node = settings(builder).start().await?;
            nodes.insert(id, node);
        }
        Ok(nodes)
    }

    /// The names of the groups that a node knows, once there are `count` of them: joins of other nodes take their
    /// time.
    pub(crate) async fn names_once_there_are(&self, id: u32, count: usize) -> Vec<String> {
        let known = async {
            loop {
                let groups = self.node(id).cpg().groups().await.unwrap();
                if groups.len() >= count {
                    break groups.keys().map(ToString::to_string).collect();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, known).await.expect("the groups are known")
    }

    pub(crate) fn node(&self, id: u32) -> &Node {
        &self.nodes[&id]
    }

    /// Joins a group on all nodes, in the order of their ids.
    pub(crate) async fn join(&self, name: &str) -> Vec<Group> {
        let mut groups = Vec::new();
        for node in self.nodes.values() {
            groups.push(node.join(name).await.unwrap());
        }
        groups
    }

    pub(crate) async fn cut(&self, one: &[u32], other: &[u32]) {
        for (here, there) in [(one, other), (other, one)] {
            for id in here {
                self.nodes[id].cut(there.iter().copied()).await.unwrap();
            }
        }
    }

    pub(crate) async fn heal(&self) {
        for node in self.nodes.values() {
            node.heal().await.unwrap();
        }
    }

    /// Makes the node leave the ring.
    pub(crate) async fn stop(&self, id: u32) {
        self.nodes[&id].handle().leave().await.unwrap();
    }
}

/// Reads a member's events.
pub(crate) struct Listener {
    events: Events,
}

impl Listener {
    pub(crate) fn new(group: &Group) -> Self {
        Self { events: group.events() }
    }

    pub(crate) async fn next(&mut self) -> Option<Event> {
        tokio::time::timeout(PATIENCE, self.events.next()).await.expect("an event in time")
    }

    /// The next view; messages and rings before it are skipped.
    pub(crate) async fn view(&mut self) -> GroupView {
        loop {
            match self.next().await {
                Some(Event::View(view)) => return view,
                Some(Event::Message { .. } | Event::Ring(_)) => {}
                other => panic!("waited for a view, got {other:?}"),
            }
        }
    }

    pub(crate) async fn until_members(&mut self, count: usize) {
        while self.view().await.members.len() != count {}
    }

    /// The next `count` messages.
    pub(crate) async fn messages(&mut self, count: usize) -> Vec<Bytes> {
        let mut messages = Vec::new();
        while messages.len() < count {
            match self.next().await {
                Some(Event::Message { payload, .. }) => messages.push(payload),
                Some(Event::View(_) | Event::Ring(_)) => {}
                other => panic!("waited for messages, got {other:?}"),
            }
        }
        messages
    }
}
