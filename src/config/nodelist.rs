//! Section `nodelist`: who is in the cluster, and which of them is this node.
//!
//! Source: `corosync.conf(5)`; corosync `exec/totemconfig.c`.

use std::net::IpAddr;

use crate::ids::NodeId;

use super::host::{Host, LocalAddress};
use super::map::Map;
use super::resolve;

/// Nodes that a cluster may have; more are refused.
///
/// Source: corosync `include/corosync/totem/totem.h`, `PROCESSOR_COUNT_MAX`.
pub const NODE_LIMIT: usize = 384;

/// One `node` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its number in the list, from 0: the N of `nodelist.node.N`.
    pub position: u32,
    /// Its id: the one in the file, else (udp and udpu) the IPv4 address of link 0 as a number. `None`
    /// only for an entry without an id and an address. Reload: yes.
    pub id: Option<NodeId>,
    /// Its name. Default: none. Reload: yes.
    pub name: Option<String>,
    /// Votes. Default: 1. Reload: yes.
    pub quorum_votes: Option<u32>,
    /// Its addresses as they are written, by link, ascending. Reload: yes.
    pub addresses: Vec<NodeAddress>,
}

/// The address of a node on one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// The link, 0 to 7.
    pub link: u8,
    /// As it is written: a name or an address.
    pub text: String,
    /// What that means on this host.
    pub address: IpAddr,
    /// The interface that is written behind the address (`fe80::1%eth1`), by name.
    pub interface: Option<String>,
}

impl Node {
    /// The address on a link.
    pub fn address(&self, link: u8) -> Option<IpAddr> {
        self.on(link).map(|own| own.address)
    }

    /// The same, as it is written, and with its interface.
    pub fn on(&self, link: u8) -> Option<&NodeAddress> {
        self.addresses.iter().find(|own| own.link == link)
    }
}

/// A `node` section as the map has it, nothing resolved.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) position: u32,
    pub(super) id: u32,
    pub(super) name: Option<String>,
    pub(super) quorum_votes: Option<u32>,
    /// Link number (not yet checked) and address, in the order of the keys.
    pub(super) addresses: Vec<(u32, String)>,
}

/// The node list of the map, in the byte order of the keys' names (10 before 2), as Corosync walks it.
pub(super) fn entries(map: &Map) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    for (name, entry) in map.with_prefix("nodelist.node.") {
        let Some((position, key)) = name["nodelist.node.".len()..].split_once('.') else { continue };
        let Ok(position) = position.parse::<u32>() else { continue };
        if all.last().is_none_or(|last| last.position != position) {
            all.push(Entry { position, id: 0, name: None, quorum_votes: None, addresses: Vec::new() });
        }
        let Some(node) = all.last_mut() else { continue };
        let number = || entry.value.number().and_then(|n| n.try_into().ok());
        match key {
            "nodeid" => node.id = number().unwrap_or(0),
            "quorum_votes" => node.quorum_votes = number(),
            "name" => node.name = entry.value.as_text().map(|text| text.into_owned()),
            key => {
                if let Some(link) = ring_number(key)
                    && let Some(text) = entry.value.as_text()
                {
                    node.addresses.push((link, text.into_owned()));
                }
            }
        }
    }
    all
}

/// The link of `ringN_addr`.
fn ring_number(key: &str) -> Option<u32> {
    key.strip_prefix("ring")?.strip_suffix("_addr")?.parse().ok()
}

/// Which entry is this host: its position, or `None`.
///
/// In this order, each over the whole list: the host's name is a `name` or `ring0_addr`; so is it with
/// labels of its domain taken off one by one; its short name is the short form of one; an address of
/// an interface is written there; its name from the name service is, or the short form of that; a
/// name there resolves to a local address. Corosync asks the name service for each address before it
/// compares the written ones; here it is not asked when they decide.
pub(super) fn find_local(entries: &[Entry], host: &dyn Host, locals: &[LocalAddress]) -> Option<u32> {
    let labels = || {
        entries.iter().flat_map(|entry| {
            let ring0 = entry.addresses.iter().find(|(link, _)| *link == 0).map(|(_, text)| text.as_str());
            [entry.name.as_deref(), ring0].into_iter().flatten().map(|label| (entry.position, label))
        })
    };
    let find = |wanted: &dyn Fn(&str) -> bool| {
        labels().find(|(_, label)| wanted(label)).map(|(position, _)| position)
    };

    let name = host.name();
    let mut longest = name.as_str();
    loop {
        if let Some(position) = find(&|label| label == longest) {
            return Some(position);
        }
        match longest.rsplit_once('.') {
            Some((shorter, _)) => longest = shorter,
            None => break,
        }
    }
    if let Some(position) = find(&|label| short(label) == short(&name)) {
        return Some(position);
    }
    for local in locals {
        let text = local.address.to_string();
        let is_this = |label: &str| match resolve::scoped(label) {
            Some((address, scope)) => {
                local.address == address && (scope == local.interface || scope.parse() == Ok(local.index))
            }
            None => label == text,
        };
        if let Some(position) = find(&is_this) {
            return Some(position);
        }
    }
    for local in locals {
        let Some(reverse) = host.reverse(local.address) else { continue };
        if let Some(position) =
            find(&|label| label == reverse).or_else(|| find(&|label| label == short(&reverse)))
        {
            return Some(position);
        }
    }
    labels()
        .find(|(_, label)| {
            let found = host.resolve(label);
            locals.iter().any(|local| found.contains(&local.address))
        })
        .map(|(position, _)| position)
}

/// A name up to its first dot.
fn short(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// The node id made from an IPv4 address, a number in network order; 0 for 0.0.0.0.
///
/// Source: corosync `exec/totemconfig.c`, `generate_nodeid`.
pub fn id_from_address(address: std::net::Ipv4Addr, clear_high_bit: bool) -> u32 {
    let id = u32::from(address);
    if clear_high_bit { id & 0x7fff_ffff } else { id }
}
