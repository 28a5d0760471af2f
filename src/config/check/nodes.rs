//! The node list: addresses resolved, ids made where allowed, and the rules across nodes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Ground;
use crate::config::error::ConfigError;
use crate::config::hint::{explain, explain_section};
use crate::config::map::{Map, Value};
use crate::config::nodelist::{self, Entry, Node, NodeAddress};
use crate::config::resolve::resolve;
use crate::config::sections::LINK_LIMIT;
use crate::config::totem::TransportKind;
use crate::ids::NodeId;

/// Upper bound of knet's node ids, exclusive.
const KNET_IDS: u32 = 65_536;

/// Reads the node list, resolves addresses, and makes ids where allowed.
pub(super) fn nodes(
    map: &mut Map,
    entries: &[Entry],
    ground: &Ground<'_>,
    clear_high_bit: bool,
) -> Result<Vec<Node>, ConfigError> {
    let knet = ground.transport == TransportKind::Knet;
    let lacks_id = |entry: &&Entry| {
        Some(entry.position) == ground.assumed && entry.id == 0 && !entry.addresses.is_empty()
    };
    if knet && let Some(entry) = entries.iter().find(lacks_id) {
        return Err(ConfigError::rule("Knet requires an explicit nodeid for the local node").hint(format!(
            "{}\ngive every node a nodeid, or use transport udpu or udp, which make ids from IPv4 addresses",
            section(map, entry.position)
        )));
    }
    entries.iter().map(|entry| node(map, entry, ground, clear_high_bit)).collect()
}

fn node(
    map: &mut Map,
    entry: &Entry,
    ground: &Ground<'_>,
    clear_high_bit: bool,
) -> Result<Node, ConfigError> {
    let knet = ground.transport == TransportKind::Knet;
    let own = Some(entry.position) == ground.assumed;
    let mut id = entry.id;
    let mut addresses = Vec::new();
    for (link, text) in &entry.addresses {
        let key = format!("nodelist.node.{}.ring{link}_addr", entry.position);
        if *link >= LINK_LIMIT {
            let message =
                format!("interface ring number {link} is bigger than allowed maximum {}", LINK_LIMIT - 1);
            return Err(ConfigError::in_config(message).hint(explain(map, &key)));
        }
        if knet && id == 0 && !own {
            let message = format!("Knet requires an explicit nodeid to be specified for address '{text}'.");
            return Err(ConfigError::rule(message).hint(explain(map, &key)));
        }
        if knet && id >= KNET_IDS {
            let message = format!("Knet requires nodeid to be less than 65536 for address '{text}'.");
            let nodeid = explain(map, &format!("nodelist.node.{}.nodeid", entry.position));
            return Err(ConfigError::rule(message).hint(format!("{}\n{nodeid}", explain(map, &key))));
        }
        let resolved = resolve(text, ground.ip_version, ground.host, ground.locals);
        if *link == 0 && id == 0 && !knet {
            let Ok(Some(v4)) = resolved.as_ref().map(|resolved| match resolved.address {
                IpAddr::V4(v4) => Some(v4),
                IpAddr::V6(_) => None,
            }) else {
                let which = if own { String::new() } else { format!(" for address '{text}'.") };
                let message = format!("An IPV6 network requires that a node ID be specified{which}");
                let why = resolved.err().map_or_else(String::new, |why| format!("\n{why}"));
                return Err(ConfigError::rule(message).hint(explain(map, &key) + &why));
            };
            id = nodelist::id_from_address(v4, clear_high_bit);
            map.derive_from(&format!("nodelist.node.{}.nodeid", entry.position), Value::U32(id), &key);
        }
        let resolved = resolved.map_err(|why| {
            ConfigError::rule(format!("failed to parse node address '{text}'"))
                .hint(format!("{}\n{why}", explain(map, &key)))
        })?;
        addresses.push(NodeAddress {
            link: *link as u8, // below LINK_LIMIT
            text: text.clone(),
            address: resolved.address,
            interface: resolved.interface,
        });
    }
    Ok(Node {
        position: entry.position,
        id: NodeId::new(id),
        name: entry.name.clone(),
        quorum_votes: entry.quorum_votes,
        addresses,
    })
}

/// Checks that no two nodes have the same id.
pub(super) fn check_ids(map: &Map, nodes: &[Node]) -> Result<(), ConfigError> {
    let mut seen = BTreeMap::new();
    for node in nodes {
        let Some(id) = node.id else { continue };
        if let Some(other) = seen.insert(id, node.position) {
            let place = |position: u32| explain(map, &format!("nodelist.node.{position}.nodeid"));
            let message = format!("Nodeid {id} appears twice in corosync.conf");
            let hint = format!("{}\n{}", place(other), place(node.position));
            return Err(ConfigError::rule(message).hint(hint));
        }
    }
    Ok(())
}

/// The place where the entry of a node begins.
pub(super) fn section(map: &Map, position: u32) -> String {
    explain_section(map, &format!("nodelist.node.{position}."))
}
