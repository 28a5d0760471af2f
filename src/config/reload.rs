//! The changes that a reload may make: the difference between the configuration in effect and a new file.
//!
//! Source: corosync `exec/cfg.c`, `exec/main.c`. The services decide themselves about their keys.

use std::net::IpAddr;

use super::Config;
use super::error::ConfigError;
use super::keys::{self, Reload};
use super::map::Map;
use super::nodelist::Node;
use super::totem::TransportKind;
use crate::ids::NodeId;

/// The difference between two configurations, as names of settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Settings that are changed, added or removed in the database; most take effect at once.
    pub changed: Vec<String>,
    /// Settings that are changed or added but need a restart: the old value is kept.
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

/// Whether a changed value of this setting is refused at a reload.
///
/// The protocol of a link is not among them, as changing it makes the whole reload fail.
pub fn is_fixed(name: &str) -> bool {
    !name.starts_with("totem.interface.") && keys::find(name).is_some_and(|key| key.reload == Reload::Refused)
}

/// Checks that this node can adopt the links of a new configuration: their protocols, and its own addresses.
///
/// On udp and udpu its address must stay. On knet a link may change its address, be removed or be added, as long as
/// another link of this node stays as it is. (Corosync refuses a changed address: the link must be removed in one
/// reload and added in the next.)
///
/// # Errors
/// The setting that cannot change. Nothing of the new configuration may be applied then.
pub fn check_links(old: &Config, new: &Config) -> Result<(), ConfigError> {
    for before in &old.totem.interfaces {
        let Some(after) = new.totem.interfaces.iter().find(|after| after.link == before.link) else {
            continue;
        };
        if before.knet_transport != after.knet_transport {
            return Err(ConfigError::rule(format!(
                "New config has different knet transport for link {}. Internal value was NOT changed.",
                before.link
            ))
            .hint(RECREATE));
        }
        if old.totem.transport != TransportKind::Knet
            && let (Some(from), Some(to)) = (before.bind_address, after.bind_address)
            && (from, &before.bind_interface) != (to, &after.bind_interface)
        {
            return Err(different_address(before.link, &from, &to));
        }
    }
    if old.totem.transport == TransportKind::Knet { check_own_links(old, new) } else { Ok(()) }
}

/// Corosync's error for a link with a changed address.
pub fn different_address(link: u8, from: &dyn std::fmt::Display, to: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::rule(format!(
        "new config has different address for link {link} (addr changed from {from} to {to}). \
         Internal value was NOT changed."
    ))
    .hint(RECREATE)
}

/// The remedy for a link that must not change, in Corosync's words.
const RECREATE: &str = "To reconfigure an interface it must be deleted and recreated. \
                        A working interface needs to be available to corosync at all times";

/// Checks this node's own links on knet.
fn check_own_links(old: &Config, new: &Config) -> Result<(), ConfigError> {
    if new.totem.transport != TransportKind::Knet {
        // Changing to udp or udpu would remove all links but one, and the encryption.
        let message = format!(
            "The transport changed from knet to {}, and this node is on the ring",
            new.totem.transport.name()
        );
        let hint = format!(
            "{}\nStop the daemons of all nodes first; nothing of the new file is taken over until then.",
            super::hint::explain(&new.map, "totem.transport")
        );
        return Err(ConfigError::rule(message).hint(hint));
    }
    let stays = old.totem.interfaces.iter().any(|before| {
        let after = new.totem.interfaces.iter().find(|after| after.link == before.link);
        after.is_some_and(|after| {
            before.bind_address.is_some()
                && (before.bind_address, &before.bind_interface)
                    == (after.bind_address, &after.bind_interface)
        })
    });
    if stays {
        return Ok(());
    }
    let own = format!("nodelist.node.{}.ring", new.local_position);
    let place = super::hint::explain_section(&new.map, &own);
    Err(ConfigError::rule("No link of this node stays as it is").hint(format!("{place}\n{ONE_AT_A_TIME}")))
}

/// The remedy for a change of all links while a ring runs over them.
const ONE_AT_A_TIME: &str = "Change one link, reload, wait until it is up on all nodes (annulus status), and then \
                             change the next.";

/// Checks that each of these members of the ring keeps its id and its address on link 0. `known` has the addresses of
/// the configuration in effect.
///
/// A member of which the new list has neither id nor address is removed, which is how a node leaves a cluster for
/// good. A node that is not on the ring may change its address.
///
/// # Errors
/// The first member that changes, with its place in the file. Nothing of the new configuration may be applied then.
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

/// As [`check_members`], for knet, where a member may change its address on a link as long as another link to it
/// stays as it is. `known` has the addresses on each link.
///
/// # Errors
/// As [`check_members`].
pub fn check_hosts(
    known: &[(NodeId, Vec<(u8, IpAddr)>)],
    members: &[NodeId],
    new: &Config,
) -> Result<(), ConfigError> {
    for (id, addresses) in known.iter().filter(|(id, _)| members.contains(id)) {
        if let Some(node) = new.nodes.iter().find(|node| node.id == Some(*id)) {
            if addresses.iter().any(|(link, address)| node.address(*link) == Some(*address)) {
                continue;
            }
            let place =
                super::hint::explain_section(&new.map, &format!("nodelist.node.{}.ring", node.position));
            return Err(ConfigError::rule(format!(
                "No link to node {id} stays as it is ({place}), and node {id} is on the ring"
            ))
            .hint(ONE_AT_A_TIME));
        }
        let there = addresses.iter().find_map(|(link, address)| {
            let node = new.nodes.iter().find(|node| node.address(*link) == Some(*address))?;
            Some((address, node, node.id?))
        });
        if let Some((address, node, now)) = there {
            let entry = new.map.entry(&format!("nodelist.node.{}.nodeid", node.position));
            let place = entry.map_or_else(String::new, |entry| format!(" ({})", entry.origin));
            return Err(ConfigError::rule(format!(
                "The id of the node at {address} changed from {id} to {now}{place}, and node {id} is on the ring"
            ))
            .hint(STOP_FIRST));
        }
    }
    Ok(())
}

/// The remedy for a member that would become another node.
const STOP_FIRST: &str = "Stop the daemon of that node first, reload the others, and start it again.";
