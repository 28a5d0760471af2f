//! Section `nodelist`: the nodes of the cluster, and which of them is this node.
//!
//! Source: `corosync.conf(5)`; corosync `exec/totemconfig.c`.

use std::net::IpAddr;

use crate::ids::NodeId;

use super::host::{Host, LocalAddress};
use super::map::Map;
use super::resolve;

/// Most nodes of a cluster; more are refused.
///
/// Source: corosync `include/corosync/totem/totem.h`, `PROCESSOR_COUNT_MAX`.
pub const NODE_LIMIT: usize = 384;

/// One section `node`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its position in the list, from 0: the N of `nodelist.node.N`.
    pub position: u32,
    /// Its id from the file or, for udp and udpu, the IPv4 address of link 0 as a number. `None` only for an entry
    /// without id and address. Reload: yes.
    pub id: Option<NodeId>,
    /// Its name. Default: none. Reload: yes.
    pub name: Option<String>,
    /// Number of its votes. Default: 1. Reload: yes.
    pub quorum_votes: Option<u32>,
    /// Its addresses, ascending by link. Reload: yes.
    pub addresses: Vec<NodeAddress>,
}

/// The address of a node on one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// The link, 0 to 7.
    pub link: u8,
    /// The name or address in the file.
    pub text: String,
    /// The address to which it resolves on this host.
    pub address: IpAddr,
    /// The name of the interface that is given with the address (`fe80::1%eth1`).
    pub interface: Option<String>,
}

impl Node {
    /// The address on a link.
    pub fn address(&self, link: u8) -> Option<IpAddr> {
        self.on(link).map(|own| own.address)
    }

    /// As [`Node::address`], with the text in the file and the interface.
    pub fn on(&self, link: u8) -> Option<&NodeAddress> {
        self.addresses.iter().find(|own| own.link == link)
    }
}

/// A section `node` as in the map, before names are resolved.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) position: u32,
    pub(super) id: u32,
    pub(super) name: Option<String>,
    pub(super) quorum_votes: Option<u32>,
    /// Link number (unchecked) and address, in the order of the keys.
    pub(super) addresses: Vec<(u32, String)>,
}

/// The node list of the map in the byte order of the keys' names (10 before 2), as in Corosync.
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

/// The number of the link in `ringN_addr`.
fn ring_number(key: &str) -> Option<u32> {
    key.strip_prefix("ring")?.strip_suffix("_addr")?.parse().ok()
}

/// The position of the entry that is this host, or `None`.
///
/// These steps are tried in order, each for the whole list: the host's name equals a `name` or `ring0_addr`; so does
/// the name with labels of its domain removed one by one; its short name equals the short form of one; an entry
/// contains the address of an interface; it contains that address's name from the name service, or the short form of
/// that; a name in it resolves to a local address. Corosync asks the name service for each address before it compares
/// the literal ones; here it is not asked if those decide.
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

/// The node id made from an IPv4 address: the address as a number in network byte order; 0 for 0.0.0.0.
///
/// Source: corosync `exec/totemconfig.c`, `generate_nodeid`.
pub fn id_from_address(address: std::net::Ipv4Addr, clear_high_bit: bool) -> u32 {
    let id = u32::from(address);
    if clear_high_bit { id & 0x7fff_ffff } else { id }
}
