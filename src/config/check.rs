//! Turns the flat map into a [`Config`]: defaults, the local node, and the rules across settings.
//!
//! The rules and their order are those of corosync `exec/totemconfig.c` (`totem_config_read`, then
//! `totem_config_validate`), so that the first error is the same; the hints are annulus' own.
//!
//! | file | what |
//! |---|---|
//! | `links.rs`, `nodes.rs` | links and nodes, and what they must have in common |
//! | `timers.rs` | limits of the ring's timers |
//! | `crypto.rs` | requirements of encryption |
//! | `knet.rs` | warnings about links and encryption |
//! | `runnable.rs` | features of Corosync that this version does not have |
//! | `warnings.rs`, `unknown.rs` | warnings about probable mistakes |

mod crypto;
mod knet;
mod links;
mod nodes;
mod runnable;
mod timers;
mod unknown;
mod warnings;

use super::error::ConfigError;
use super::hint::explain;
use super::host::{Host, LocalAddress};
use super::map::{Map, Value};
use super::nodelist::{self, Node};
use super::timeouts::{Given, Timeouts};
use super::totem::{self, IpVersion, Totem, TransportKind};
use super::{Config, logging, quorum, system};

pub(super) use self::runnable::{check_mtu, runnable};
pub(super) use self::timers::{check as check_timers, check_limits};

/// Size of the buffer in which Corosync keeps a link mode, in bytes.
const LINK_MODE_LIMIT: usize = 64;

/// Most nodes listed in the error that none of them is this host.
const LISTED: usize = 4;

/// The facts on which the meaning of names and addresses depends.
struct Ground<'a> {
    transport: TransportKind,
    ip_version: IpVersion,
    host: &'a dyn Host,
    locals: &'a [LocalAddress],
    /// Position of the entry taken for the local node if none is this host. Corosync takes the last one, and reports
    /// an error only at the end.
    assumed: Option<u32>,
}

/// Checks a map and makes the configuration.
pub(super) fn config(mut map: Map, host: &dyn Host) -> Result<Config, ConfigError> {
    let logging = logging::read(&map)?;
    let transport = totem::transport(&map).map_err(|error| error.hint(explain(&map, "totem.transport")))?;
    let mut crypto = totem::crypto(&map).map_err(|error| error.hint(crypto::wanted_by(&map)))?;
    crypto.key = crypto::key(&map, &crypto, transport)?;
    // The map goes into the database and its listings.
    map.hide("totem.key");
    let knet = totem::knet(&map);
    if knet.link_mode.len() >= LINK_MODE_LIMIT {
        return Err(ConfigError::rule("totem.link_mode is too long").hint(explain(&map, "totem.link_mode")));
    }
    let ip_version = totem::ip_version(&map, transport);
    let clear_node_high_bit = map.switch("totem.clear_node_high_bit") == Some(true);

    let entries = nodelist::entries(&map);
    if entries.len() > nodelist::NODE_LIMIT {
        let message =
            format!("{} nodes are too many, a cluster may have {}", entries.len(), nodelist::NODE_LIMIT);
        return Err(ConfigError::rule(message).hint(nodes::section(&map, nodelist::NODE_LIMIT as u32)));
    }
    let locals = host.addresses();
    let local = nodelist::find_local(&entries, host, &locals);
    let assumed = local.or(entries.last().map(|last| last.position));
    let ground = Ground { transport, ip_version, host, locals: &locals, assumed };
    let mut warnings = warnings::of_settings(&map, &entries);
    let mut interfaces = links::interfaces(&mut map, &entries, &ground)?;
    let nodes = nodes::nodes(&mut map, &entries, &ground, clear_node_high_bit)?;
    links::one_interface(&map, &mut interfaces, &nodes)?;

    let without_id =
        |node: &&Node| Some(node.position) == local && node.id.is_none() && node.address(0).is_none();
    if transport != TransportKind::Knet
        && let Some(node) = nodes.iter().find(without_id)
    {
        let hint = format!(
            "nodelist.node.{} has neither nodeid nor ring0_addr\n{}",
            node.position,
            nodes::section(&map, node.position)
        );
        return Err(ConfigError::rule("An IPV6 network requires that a node ID be specified").hint(hint));
    }

    let given = Given::read(&map);
    let on_link_0 = nodes.iter().filter(|node| node.address(0).is_some()).count();
    let timeouts = Timeouts::derive(&given, on_link_0);
    let default_mtu = if transport == TransportKind::Knet { 65536 } else { 1500 };
    let config_version = map.entry("totem.config_version").and_then(|entry| entry.value.number());
    let mut totem = Totem {
        version: map.u32("totem.version").unwrap_or(0),
        cluster_name: map.text("totem.cluster_name").map(|name| name.into_owned()),
        config_version: config_version.and_then(|n| n.try_into().ok()),
        transport,
        ip_version,
        netmtu: map.u32("totem.netmtu").filter(|mtu| *mtu != 0).unwrap_or(default_mtu),
        clear_node_high_bit,
        block_unlisted_ips: map.switch("totem.block_unlisted_ips") != Some(false),
        given,
        timeouts,
        crypto,
        knet,
        interfaces,
    };
    links::ping_timers(&map, &mut totem);
    let own = validate(&map, &totem, &nodes, local)?;
    let me = own.id.ok_or_else(|| {
        ConfigError::rule("the local node has no node id").hint(format!(
            "give nodelist.node.{} a nodeid other than 0\n{}",
            own.position,
            nodes::section(&map, own.position)
        ))
    })?;
    if let Some(position) = local {
        map.derive("nodelist.local_node_pos", Value::U32(position));
    }
    warnings.extend(warnings::of_nodes(&map, &nodes, own));
    warnings.extend(knet::warnings(&map, &totem, own));
    Ok(Config {
        local_position: own.position,
        totem,
        quorum: quorum::read(&map),
        logging,
        access: system::access(&map),
        system: system::read(&map),
        resources: system::resources(&map),
        warnings,
        nodes,
        map,
        me,
    })
}

/// Checks the rules across settings, after all of them have been read. Returns this node's entry.
fn validate<'a>(
    map: &Map,
    totem: &Totem,
    all: &'a [Node],
    local: Option<u32>,
) -> Result<&'a Node, ConfigError> {
    let mut links: Vec<u8> = totem.interfaces.iter().map(|interface| interface.link).collect();
    links.extend(all.iter().flat_map(|node| node.addresses.iter().map(|address| address.link)));
    links.sort_unstable();
    links.dedup();
    if links.is_empty() {
        return Err(ConfigError::in_config("No interfaces defined")
            .hint("list every node of the cluster, each with ring0_addr, in section nodelist"));
    }
    let Some(own) = all.iter().find(|node| Some(node.position) == local) else {
        let mut hint = "one node of the list must have this host's name (uname -n) as its name, \
                        or a local address as its ring0_addr"
            .to_owned();
        for node in all.iter().take(LISTED) {
            let key = ["name", "ring0_addr"].map(|key| format!("nodelist.node.{}.{key}", node.position));
            let given = key.iter().find(|key| map.entry(key).is_some());
            hint += &given.map_or_else(String::new, |key| format!("\n{}", explain(map, key)));
        }
        return Err(ConfigError::in_config("No valid name found for local host").hint(hint));
    };
    for link in &links {
        links::check_link(map, totem, own, *link)?;
    }
    if totem.version != 2 {
        return Err(ConfigError::in_config("This totem parser can only parse version 2 configurations.")
            .hint(format!("{}\nwrite `version: 2` into section totem", explain(map, "totem.version"))));
    }
    check_timers(map, &totem.given, &totem.timeouts)?;
    links::check_links(map, totem, all, &links)?;
    nodes::check_ids(map, all)?;
    Ok(own)
}
