//! The links between this node and the other nodes.

use std::collections::BTreeMap;

use crate::admin::NodeStatus;
use crate::cli::site::Site;
use crate::confdb::Map;
use crate::error::Status;
use crate::ids::NodeId;
use crate::service::client::Error;

/// The state of all links.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    pub(super) local: u32,
    /// The transport: `udp`, `udpu` or `knet`.
    pub(super) transport: String,
    /// The protocol of each link with `totem.interface.*.knet_transport`.
    pub(super) protocols: BTreeMap<usize, String>,
    /// The links to each node of the node list, by id.
    pub(super) reaches: Vec<Reach>,
    /// Nodes whose status could not be read, and the error.
    pub(super) unknown: Vec<(u32, Status)>,
}

/// A node and its links.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    pub(super) node: u32,
    pub(super) status: NodeStatus,
}

impl Links {
    /// Reads the state from the daemon.
    ///
    /// # Errors
    /// The daemon does not answer.
    pub(super) fn ask(site: &Site) -> Result<Self, Error> {
        let confdb = site.confdb(Map::Configuration);
        let mut links = Self { local: site.admin().local_id()?.get(), ..Self::default() };
        let transport = confdb.get_value("totem.transport").ok().flatten();
        let transport = transport.and_then(|value| value.as_text().map(std::borrow::Cow::into_owned));
        links.transport = transport.unwrap_or_else(|| "knet".to_owned());
        for entry in confdb.list("totem.interface.").into_iter().flatten().flatten() {
            let parts = entry.key.strip_prefix("totem.interface.").and_then(|rest| rest.split_once('.'));
            if let Some((number, "knet_transport")) = parts
                && let (Ok(number), Some(protocol)) = (number.parse(), entry.value.as_text())
            {
                links.protocols.insert(number, protocol.into_owned());
            }
        }
        let mut nodes: Vec<NodeId> = confdb
            .list("nodelist.node.")
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.key.ends_with(".nodeid"))
            .filter_map(|entry| NodeId::new(u32::try_from(entry.value.number()?).ok()?))
            .collect();
        nodes.sort_unstable();
        nodes.dedup();
        for node in nodes {
            match site.admin().status(node) {
                Ok(status) => links.reaches.push(Reach { node: node.get(), status }),
                Err(error) => links.unknown.push((node.get(), error.status())),
            }
        }
        Ok(links)
    }

    /// Whether the transport is knet.
    pub(super) fn is_knet(&self) -> bool {
        self.transport == "knet"
    }

    /// The protocol of a link; empty for udp and udpu.
    pub(super) fn protocol(&self, link: usize) -> &str {
        if !self.is_knet() {
            return "";
        }
        self.protocols.get(&link).map_or("udp", String::as_str)
    }

    /// A node whose links represent all: the last one other than this node, if there is any.
    pub(super) fn sample(&self) -> Option<&NodeStatus> {
        let others = self.reaches.iter().rev().find(|reach| reach.node != self.local);
        others.or(self.reaches.last()).map(|reach| &reach.status)
    }
}
