//! What may change at run time: the difference between the configuration in effect and a new file.
//!
//! Source: corosync `exec/cfg.c`, `exec/main.c`; services and their keys decide the rest themselves.

use std::net::IpAddr;

use super::Config;
use super::error::ConfigError;
use super::keys::{self, Reload};
use super::map::Map;
use super::nodelist::Node;
use crate::ids::NodeId;

/// The difference between two configurations, by name of setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// What it changes, adds or removes, and what takes effect or at least reaches the
    /// database.
    pub changed: Vec<String>,
    /// What it changes or adds although that needs a restart: the old value stays.
    pub refused: Vec<String>,
}

/// Compares the map in effect with that of a new file.
pub fn changes(old: &Map, new: &Map) -> Changes {
    let mut changes = Changes { changed: Vec::new(), refused: Vec::new() };
    for (name, entry) in new.iter() {
        if old.entry(name).is_some_and(|before| before.value == entry.value) {
            continue;
        }
        if is_fixed(name) {
            changes.refused.push(name.to_owned());
        } else {
            changes.changed.push(name.to_owned());
        }
    }
    let removed = old.iter().filter(|(name, _)| new.entry(name).is_none());
    changes.changed.extend(removed.map(|(name, _)| name.to_owned()));
    changes
}

/// Whether a changed value is refused at a reload.
///
/// A link's protocol is not among them: changing it makes the whole reload fail.
pub fn is_fixed(name: &str) -> bool {
    !name.starts_with("totem.interface.") && keys::find(name).is_some_and(|key| key.reload == Reload::Refused)
}

/// Checks that the links of a new configuration have the local addresses and protocols of the old one.
///
/// # Errors
/// One that differs: nothing of the new configuration may be applied.
pub fn check_links(old: &Config, new: &Config) -> Result<(), ConfigError> {
    let recreate = "To reconfigure an interface it must be deleted and recreated. \
                    A working interface needs to be available to corosync at all times";
    for before in &old.totem.interfaces {
        let Some(after) = new.totem.interfaces.iter().find(|after| after.link == before.link) else {
            continue;
        };
        if before.knet_transport != after.knet_transport {
            return Err(ConfigError::rule(format!(
                "New config has different knet transport for link {}. Internal value was NOT changed.",
                before.link
            ))
            .hint(recreate));
        }
        if let (Some(from), Some(to)) = (before.bind_address, after.bind_address)
            && (from, &before.bind_interface) != (to, &after.bind_interface)
        {
            return Err(ConfigError::rule(format!(
                "new config has different address for link {} (addr changed from {from} to {to}). \
                 Internal value was NOT changed.",
                before.link
            ))
            .hint(recreate));
        }
    }
    Ok(())
}

/// Checks that each of these members of the ring keeps its id and its address on link 0. `known` is where the
/// nodes are by the configuration in effect.
///
/// A member that the new list does not have at all, neither its id nor its address, is removed: that is how a node
/// leaves a cluster for good. A node that is not on the ring may move.
///
/// # Errors
/// The first one that changes, with its place in the file: nothing of the new configuration may be applied.
pub fn check_members(
    known: &[(NodeId, IpAddr)],
    members: &[NodeId],
    new: &Config,
) -> Result<(), ConfigError> {
    for (id, address) in known.iter().filter(|(id, _)| members.contains(id)) {
        let place = |node: &Node, key: &str| {
            let entry = new.map.entry(&format!("nodelist.node.{}.{key}", node.position));
            entry.map_or_else(String::new, |entry| format!(" ({})", entry.origin))
        };
        if let Some(node) = new.nodes.iter().find(|node| node.id == Some(*id)) {
            let Some(now) = node.address(0).filter(|now| now != address) else { continue };
            return Err(ConfigError::rule(format!(
                "The address of node {id} on link 0 changed from {address} to {now}{}, and node {id} is on the ring",
                place(node, "ring0_addr")
            ))
            .hint(STOP_FIRST));
        }
        let there = new.nodes.iter().find(|node| node.address(0) == Some(*address));
        if let Some((node, now)) = there.and_then(|node| Some((node, node.id?))) {
            return Err(ConfigError::rule(format!(
                "The id of the node at {address} changed from {id} to {now}{}, and node {id} is on the ring",
                place(node, "nodeid")
            ))
            .hint(STOP_FIRST));
        }
    }
    Ok(())
}

/// What to do about a member that is to become another node.
const STOP_FIRST: &str = "Stop the daemon of that node first, reload the others, and start it again.";
