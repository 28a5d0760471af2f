//! The links: settings with their defaults, and the rules of udp, udpu and several links.

use std::time::Duration;

use super::{Ground, nodes};
use crate::config::error::ConfigError;
use crate::config::hint::explain;
use crate::config::map::{Map, Value};
use crate::config::nodelist::{Entry, Node, NodeAddress};
use crate::config::resolve::{Resolved, resolve};
use crate::config::sections::LINK_LIMIT;
use crate::config::totem::{self, DEFAULT_PORT, Interface, Totem, TransportKind};

const PREFIX: &str = "totem.interface.";

/// The links with any setting, or on which the local node has an address.
pub(super) fn interfaces(
    map: &mut Map,
    entries: &[Entry],
    ground: &Ground<'_>,
) -> Result<Vec<Interface>, ConfigError> {
    let own = entries.iter().find(|entry| Some(entry.position) == ground.assumed);
    if let Some(entry) = own {
        for (link, text) in &entry.addresses {
            let source = format!("nodelist.node.{}.ring{link}_addr", entry.position);
            // The value as it is written, even if it is not a text.
            let value = map.entry(&source).map_or_else(|| Value::text(text), |entry| entry.value.clone());
            map.derive_from(&format!("{PREFIX}{link}.bindnetaddr"), value, &source);
        }
    }
    let mut links: Vec<u32> = Vec::new();
    for (name, _) in map.with_prefix(PREFIX) {
        let Some((link, _)) = name[PREFIX.len()..].split_once('.') else { continue };
        let Ok(link) = link.parse::<u32>() else { continue };
        if ground.transport == TransportKind::Udp
            && map.entry(&format!("{PREFIX}{link}.bindnetaddr")).is_none()
        {
            continue; // udp does not use a link without an address
        }
        if link >= LINK_LIMIT {
            let message =
                format!("interface ring number {link} is bigger than allowed maximum {}", LINK_LIMIT - 1);
            return Err(ConfigError::in_config(message).hint(explain(map, name)));
        }
        if !links.contains(&link) {
            links.push(link);
        }
    }
    let mut all = Vec::new();
    for link in links {
        all.push(interface(map, link as u8, ground)?); // below LINK_LIMIT
    }
    if ground.transport == TransportKind::Udp {
        for interface in &all {
            let name = format!("{PREFIX}{}.mcastaddr", interface.link);
            if let Some(group) = interface.multicast
                && map.entry(&name).is_none()
            {
                let broadcast = format!("{PREFIX}{}.broadcast", interface.link);
                let source = if interface.broadcast { broadcast.as_str() } else { "totem.cluster_name" };
                map.derive_from(&name, Value::text(group.to_string()), source);
            }
            map.derive_missing(&format!("{PREFIX}{}.mcastport", interface.link), Value::U16(interface.port));
        }
    }
    Ok(all)
}

fn interface(map: &Map, link: u8, ground: &Ground<'_>) -> Result<Interface, ConfigError> {
    let name = |key: &str| format!("{PREFIX}{link}.{key}");
    let text = |key: &str| map.text(&name(key)).map(|text| text.into_owned());
    let u8 =
        |key: &str, default: u8| map.u32(&name(key)).and_then(|n| u8::try_from(n).ok()).unwrap_or(default);
    let find = |key: &str, what: &str| -> Result<Option<Resolved>, ConfigError> {
        let Some(text) = text(key) else { return Ok(None) };
        resolve(&text, ground.ip_version, ground.host, ground.locals).map(Some).map_err(|why| {
            let hint = format!("{}\n{why}", explain(map, &name(key)));
            ConfigError::rule(format!("failed to parse {what} address '{text}'")).hint(hint)
        })
    };
    let bind = find("bindnetaddr", "bindnet")?;
    let bind_address = bind.as_ref().map(|bind| bind.address);
    let broadcast = map.switch(&name("broadcast")) == Some(true);
    let multicast = match find("mcastaddr", "mcast")? {
        _ if broadcast => Some(std::net::Ipv4Addr::BROADCAST.into()),
        Some(group) => Some(group.address),
        None => {
            map.entry("totem.cluster_name").zip(bind_address).and_then(|(entry, bind)| match &entry.value {
                Value::Text(cluster) => Some(totem::multicast_address(cluster, link, bind)),
                _ => None,
            })
        }
    };
    let step = if broadcast { 2 } else { 1 };
    let port = map.u32(&name("mcastport")).and_then(|n| u16::try_from(n).ok()).filter(|port| *port != 0);
    let knet_transport = text("knet_transport").unwrap_or_else(|| "udp".to_owned());
    if !matches!(knet_transport.as_str(), "udp" | "sctp") {
        let error = ConfigError::rule("Unrecognised knet_transport. expected 'udp' or 'sctp'");
        return Err(error.hint(explain(map, &name("knet_transport"))));
    }
    Ok(Interface {
        link,
        bind: text("bindnetaddr"),
        bind_address,
        bind_interface: bind.and_then(|bind| bind.interface),
        multicast: multicast.filter(|_| ground.transport == TransportKind::Udp),
        broadcast,
        port: port.unwrap_or(DEFAULT_PORT + u16::from(link) * step),
        ttl: u8("ttl", 1),
        knet_priority: u8("knet_link_priority", 1).max(1), // 0 is the default
        knet_ping_interval: Duration::ZERO, // these two follow the token timeout, see `ping_timers`
        knet_ping_timeout: Duration::ZERO,
        knet_ping_precision: map.u32(&name("knet_ping_precision")).filter(|n| *n != 0).unwrap_or(2048),
        knet_pong_count: map.u32(&name("knet_pong_count")).filter(|n| *n != 0).unwrap_or(2),
        knet_transport,
    })
}

/// Sets the timers of knet's links, which follow the token timeout.
pub(super) fn ping_timers(map: &Map, totem: &mut Totem) {
    for interface in &mut totem.interfaces {
        let pings = totem::pings(map, interface.link, totem.timeouts.token);
        interface.knet_ping_timeout = pings.timeout;
        interface.knet_ping_interval = pings.interval;
    }
}

/// Checks that link-local addresses of one link name one interface, that of this node. An interface written with
/// another node's address also applies to this node's, if that has none.
pub(super) fn one_interface(
    map: &Map,
    interfaces: &mut [Interface],
    nodes: &[Node],
) -> Result<(), ConfigError> {
    for interface in interfaces {
        let local = |address: std::net::IpAddr| match address {
            std::net::IpAddr::V6(v6) => v6.is_unicast_link_local(),
            std::net::IpAddr::V4(_) => false,
        };
        if !interface.bind_address.is_some_and(local) {
            continue;
        }
        for node in nodes {
            let Some(on) = node.on(interface.link).filter(|on| local(on.address)) else { continue };
            let Some(theirs) = &on.interface else { continue };
            let own = interface.bind_interface.get_or_insert_with(|| theirs.clone());
            if own != theirs {
                let message = format!(
                    "Nodes for link {} are on different interfaces ({} is on {theirs}, the local node on {own})",
                    interface.link, on.text
                );
                let key = format!("nodelist.node.{}.ring{}_addr", node.position, interface.link);
                return Err(ConfigError::in_config(message).hint(explain(map, &key)));
            }
        }
    }
    Ok(())
}

pub(super) fn check_link(map: &Map, totem: &Totem, own: &Node, link: u8) -> Result<(), ConfigError> {
    let udp = totem.transport == TransportKind::Udp;
    let key = |key: &str| explain(map, &format!("{PREFIX}{link}.{key}"));
    let found = totem.interfaces.iter().find(|interface| interface.link == link);
    let multicast = found.and_then(|interface| interface.multicast);
    if udp && multicast.is_none() {
        let message = format!("No multicast address specified for interface {link}");
        let hint = format!(
            "{}\ngive totem.cluster_name, from which one is made, or mcastaddr in section interface",
            key("mcastaddr")
        );
        return Err(ConfigError::in_config(message).hint(hint));
    }
    let Some(interface) = found else {
        let message = format!("No multicast port specified for interface {link}");
        let hint = format!(
            "the local node has no ring{link}_addr (nodelist.node.{})\n{}",
            own.position,
            nodes::section(map, own.position)
        );
        return Err(ConfigError::in_config(message).hint(hint));
    };
    if !udp && interface.ttl != 1 {
        let message = format!("Can only set ttl on multicast transport types for interface {link}");
        return Err(ConfigError::in_config(message).hint(key("ttl")));
    }
    if totem.transport != TransportKind::Knet && interface.knet_priority != 1 {
        let message = format!("Can only set link priority on knet transport type for interface {link}");
        return Err(ConfigError::in_config(message).hint(key("knet_link_priority")));
    }
    if let (Some(bind), Some(group), false) = (interface.bind_address, multicast, interface.broadcast) {
        if bind.is_ipv4() != group.is_ipv4() {
            let message =
                format!("Multicast address family does not match bind address family for interface {link}");
            return Err(ConfigError::in_config(message).hint(format!(
                "{}\n{}",
                key("mcastaddr"),
                key("bindnetaddr")
            )));
        }
        if !group.is_multicast() {
            let message = format!("mcastaddr is not a correct multicast address for interface {link}");
            return Err(ConfigError::in_config(message).hint(key("mcastaddr")));
        }
    }
    Ok(())
}

/// Checks the rules for several links, and for features that only knet has.
pub(super) fn check_links(map: &Map, totem: &Totem, nodes: &[Node], links: &[u8]) -> Result<(), ConfigError> {
    if !matches!(totem.knet.link_mode.as_str(), "passive" | "active" | "rr") {
        let mode = &totem.knet.link_mode;
        let message =
            format!("The Knet link mode \"{mode}\" specified is invalid.  It must be active, passive or rr.");
        return Err(ConfigError::in_config(message).hint(explain(map, "totem.link_mode")));
    }
    if links.len() > 1
        && let Some(node) = nodes.iter().find(|node| node.name.is_none())
    {
        let message = "for a multi-link configuration, all nodes must have a 'name' attribute";
        let hint =
            format!("nodelist.node.{} has none\n{}", node.position, nodes::section(map, node.position));
        return Err(ConfigError::in_config(message).hint(hint));
    }
    let count = |link: u8| nodes.iter().filter(|node| node.address(link).is_some()).count();
    if let Some((first, rest)) = links.split_first()
        && let Some(link) = rest.iter().find(|link| count(**link) != count(*first))
    {
        let fewer = if count(*link) < count(*first) { link } else { first };
        let lacking = nodes.iter().find(|node| node.address(*fewer).is_none());
        let hint = format!(
            "{} nodes have an address on link {first}, {} on link {link}{}",
            count(*first),
            count(*link),
            lacking.map_or_else(String::new, |node| {
                let place = nodes::section(map, node.position);
                format!("\nnodelist.node.{} has no ring{fewer}_addr: {place}", node.position)
            })
        );
        return Err(ConfigError::in_config("Not all nodes have the same number of links").hint(hint));
    }
    check_families(map, nodes, links)?;
    if totem.transport == TransportKind::Knet {
        return Ok(());
    }
    if links.len() > 1 {
        let message = format!("{} is too many configured interfaces for non-Knet transport.", links.len());
        let second = nodes.iter().find_map(|node| {
            let address = node.addresses.iter().find(|address| address.link != 0)?;
            Some(explain(map, &format!("nodelist.node.{}.ring{}_addr", node.position, address.link)))
        });
        let hint = second.into_iter().chain(Some("udp and udpu use link 0 only".to_owned()));
        return Err(ConfigError::in_config(message).hint(hint.collect::<Vec<_>>().join("\n")));
    }
    Ok(())
}

/// Checks that all addresses of a link are of one family.
fn check_families(map: &Map, nodes: &[Node], links: &[u8]) -> Result<(), ConfigError> {
    for link in links {
        let mut first: Option<(u32, &NodeAddress)> = None;
        for node in nodes {
            let Some(address) = node.on(*link) else { continue };
            let Some((position, other)) = first else {
                first = Some((node.position, address));
                continue;
            };
            if other.address.is_ipv4() != address.address.is_ipv4() {
                let place =
                    |position: u32| explain(map, &format!("nodelist.node.{position}.ring{link}_addr"));
                return Err(ConfigError::in_config(format!(
                    "Nodes for link {link} have different IP families (compared {} with {})",
                    address.text, other.text
                ))
                .hint(format!("{}\n{}", place(node.position), place(position))));
            }
        }
    }
    Ok(())
}
