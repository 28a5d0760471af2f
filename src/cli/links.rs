//! The links between this node and the others.

use std::collections::BTreeMap;

use crate::admin::NodeStatus;
use crate::cli::site::Site;
use crate::confdb::Map;
use crate::error::Status;
use crate::ids::NodeId;
use crate::service::client::Error;

/// All that is known of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    pub(super) local: u32,
    /// `udp`, `udpu` or `knet`.
    pub(super) transport: String,
    /// `totem.interface.*.knet_transport`, where it is set.
    pub(super) protocols: BTreeMap<usize, String>,
    /// The nodes of the node list, by id.
    pub(super) reaches: Vec<Reach>,
    /// Nodes of which nothing is known, and why.
    pub(super) unknown: Vec<(u32, Status)>,
}

/// A node, and how it is reached.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    pub(super) node: u32,
    pub(super) status: NodeStatus,
}

impl Links {
    /// Asks the daemon.
    ///
    /// # Errors
    /// It does not answer.
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

    /// Whether links are knet's.
    pub(super) fn is_knet(&self) -> bool {
        self.transport == "knet"
    }

    /// What a link runs over; nothing is said of udp and udpu.
    pub(super) fn protocol(&self, link: usize) -> &str {
        if !self.is_knet() {
            return "";
        }
        self.protocols.get(&link).map_or("udp", String::as_str)
    }

    /// The node whose links stand for all: the last one that is not this one, if there is another.
    pub(super) fn sample(&self) -> Option<&NodeStatus> {
        let others = self.reaches.iter().rev().find(|reach| reach.node != self.local);
        others.or(self.reaches.last()).map(|reach| &reach.status)
    }
}
