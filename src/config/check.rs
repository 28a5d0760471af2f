//! From the flat map to a [`Config`]: defaults, the local node, and the rules across settings.
//!
//! The rules and their order are those of corosync `exec/totemconfig.c` (`totem_config_read`, then
//! `totem_config_validate`), so the first complaint is the same; the hints are ours.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::time::Duration;

use super::error::{ConfigError, ErrorKind, reason};
use super::hint::explain;
use super::host::Host;
use super::map::{Map, Value};
use super::nodelist::{self, Node, NodeAddress};
use super::sections::LINK_LIMIT;
use super::system::IpcType;
use super::timeouts::{Given, Timeouts};
use super::totem::{self, Crypto, DEFAULT_PORT, Interface, IpVersion, Totem, TransportKind};
use super::{Config, logging, quorum, system};
use crate::ids::NodeId;

/// knet's node ids are below this.
const KNET_IDS: u32 = 65_536;

/// Corosync keeps link modes in a buffer of this size.
const LINK_MODE_LIMIT: usize = 64;

/// Checks a map and fills in the rest.
pub(super) fn config(mut map: Map, host: &dyn Host) -> Result<Config, ConfigError> {
    let logging = logging::read(&map)?;
    let transport = totem::transport(&map).map_err(|error| error.hint(explain(&map, "totem.transport")))?;
    let crypto = totem::crypto(&map)?;
    check_key(&crypto)?;
    let knet = totem::knet(&map);
    if knet.link_mode.len() >= LINK_MODE_LIMIT {
        return Err(ConfigError::rule("totem.link_mode is too long").hint(explain(&map, "totem.link_mode")));
    }
    let ip_version = totem::ip_version(&map, transport);
    let clear_node_high_bit = totem::switch(&map, "totem.clear_node_high_bit") == Some(true);

    let entries = nodelist::entries(&map);
    if entries.len() > nodelist::NODE_LIMIT {
        let message =
            format!("{} nodes are too many, a cluster may have {}", entries.len(), nodelist::NODE_LIMIT);
        return Err(ConfigError::rule(message));
    }
    let locals = host.addresses();
    let local = nodelist::find_local(&entries, host, &locals);
    // Corosync goes on with the last node when none is this host, and says so only in the end.
    let assumed = local.or(entries.last().map(|last| last.position));
    let warnings = warnings(&map, !entries.is_empty());
    let interfaces = interfaces(&mut map, &entries, assumed, transport, ip_version, host)?;
    let nodes = nodes(&mut map, &entries, assumed, transport, ip_version, clear_node_high_bit, host)?;

    let without_id =
        |node: &&Node| Some(node.position) == local && node.id.is_none() && node.address(0).is_none();
    if transport != TransportKind::Knet
        && let Some(node) = nodes.iter().find(without_id)
    {
        let hint = format!("nodelist.node.{} has neither nodeid nor ring0_addr", node.position);
        return Err(ConfigError::rule("An IPV6 network requires that a node ID be specified").hint(hint));
    }

    let given = totem::given(&map);
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
        block_unlisted_ips: totem::switch(&map, "totem.block_unlisted_ips") != Some(false),
        given,
        timeouts,
        crypto,
        knet,
        interfaces,
    };
    ping_timers(&map, &mut totem);
    let me = validate(&map, &totem, &nodes, local)?;
    if let Some(position) = local {
        map.derive("nodelist.local_node_pos", Value::U32(position));
    }
    Ok(Config {
        totem,
        nodes,
        local_position: local.unwrap_or(0),
        quorum: quorum::read(&map),
        logging,
        access: system::access(&map),
        system: system::read(&map),
        resources: system::resources(&map),
        warnings,
        map,
        me,
    })
}

fn warnings(map: &Map, nodelist: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let has = |key: &str| {
        map.with_prefix("totem.interface.")
            .any(|(name, _)| name.split('.').nth(3).is_some_and(|own| own == key))
    };
    if has("member") {
        warnings.push(if nodelist {
            "member section is used together with nodelist. Members ignored."
        } else {
            "member section is deprecated."
        });
    }
    if map.entry("totem.nodeid").is_some() {
        warnings.push(
            "nodeid in totem section is deprecated and ignored. \
             Nodelist (or autogenerated) nodeid is going to be used.",
        );
    }
    if has("bindnetaddr") && nodelist {
        warnings.push(
            "interface section bindnetaddr is used together with nodelist. Nodelist one is going to be used.",
        );
    }
    if !warnings.is_empty() {
        warnings.push("Please migrate config file to nodelist.");
    }
    warnings.into_iter().map(str::to_owned).chain(unwatched(map)).collect()
}

/// What is set of the watchdog and of the thresholds, which this version watches neither of.
fn unwatched(map: &Map) -> Option<String> {
    let (name, entry) = map.with_prefix("resources.").find(|(name, entry)| match *name {
        "resources.watchdog_device" => entry.value.as_text().is_some_and(|device| device != "off"),
        name => name.ends_with(".recovery"),
    })?;
    Some(format!(
        "{name} = {} at {} has no effect: this version serves no watchdog and watches no thresholds.",
        entry.value, entry.origin
    ))
}

/// The links that the map says anything about, or on which the local node has an address.
fn interfaces(
    map: &mut Map,
    entries: &[nodelist::Entry],
    local: Option<u32>,
    transport: TransportKind,
    ip_version: IpVersion,
    host: &dyn Host,
) -> Result<Vec<Interface>, ConfigError> {
    let own = entries.iter().find(|entry| Some(entry.position) == local);
    for (link, text) in own.iter().flat_map(|entry| &entry.addresses) {
        map.derive(&format!("totem.interface.{link}.bindnetaddr"), Value::text(text));
    }
    let mut links: Vec<u32> = Vec::new();
    const PREFIX: &str = "totem.interface.";
    for (name, _) in map.with_prefix(PREFIX) {
        let Some((link, _)) = name[PREFIX.len()..].split_once('.') else { continue };
        let Ok(link) = link.parse::<u32>() else { continue };
        if transport == TransportKind::Udp && map.entry(&format!("{PREFIX}{link}.bindnetaddr")).is_none() {
            continue; // udp has nothing to do on a link without an address
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
        all.push(interface(map, link as u8, transport, ip_version, host)?); // below LINK_LIMIT
    }
    if transport == TransportKind::Udp {
        for interface in &all {
            if let Some(group) = interface.multicast {
                let name = format!("{PREFIX}{}.mcastaddr", interface.link);
                map.derive_missing(&name, Value::text(group.to_string()));
            }
            map.derive_missing(&format!("{PREFIX}{}.mcastport", interface.link), Value::U16(interface.port));
        }
    }
    Ok(all)
}

fn interface(
    map: &Map,
    link: u8,
    transport: TransportKind,
    ip_version: IpVersion,
    host: &dyn Host,
) -> Result<Interface, ConfigError> {
    let name = |key: &str| format!("totem.interface.{link}.{key}");
    let text = |key: &str| map.text(&name(key)).map(|text| text.into_owned());
    let u8 =
        |key: &str, default: u8| map.u32(&name(key)).and_then(|n| u8::try_from(n).ok()).unwrap_or(default);
    let resolve = |key: &str, what: &str| {
        let Some(text) = text(key) else { return Ok(None) };
        let address = ip_version.choose(&host.resolve(&text));
        address.map(Some).ok_or_else(|| {
            let hint = format!(
                "{}\nit must be an address, or a name that resolves, of {}",
                explain(map, &name(key)),
                family_words(ip_version)
            );
            ConfigError::rule(format!("failed to parse {what} address '{text}'")).hint(hint)
        })
    };
    let bind_address = resolve("bindnetaddr", "bindnet")?;
    let broadcast = totem::switch(map, &name("broadcast")) == Some(true);
    let multicast = match resolve("mcastaddr", "mcast")? {
        _ if broadcast => Some(std::net::Ipv4Addr::BROADCAST.into()),
        Some(group) => Some(group),
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
        multicast: multicast.filter(|_| transport == TransportKind::Udp),
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

fn ping_timers(map: &Map, totem: &mut Totem) {
    let token = totem.timeouts.token.as_millis() as u64; // a u32 of ms at most
    for interface in &mut totem.interfaces {
        let given = |key: &str| {
            let name = format!("totem.interface.{}.{key}", interface.link);
            map.u32(&name).filter(|ms| *ms != 0).map(u64::from)
        };
        let pongs = u64::from(interface.knet_pong_count);
        let timeout = given("knet_ping_timeout").unwrap_or(token / pongs);
        let interval = given("knet_ping_interval").unwrap_or(token / (pongs * 2));
        interface.knet_ping_timeout = Duration::from_millis(timeout);
        interface.knet_ping_interval = Duration::from_millis(interval);
    }
}

/// The node list, resolved, with ids made where they may be.
fn nodes(
    map: &mut Map,
    entries: &[nodelist::Entry],
    local: Option<u32>,
    transport: TransportKind,
    ip_version: IpVersion,
    clear_high_bit: bool,
    host: &dyn Host,
) -> Result<Vec<Node>, ConfigError> {
    let knet = transport == TransportKind::Knet;
    let lacks_id = |entry: &nodelist::Entry| {
        Some(entry.position) == local && entry.id == 0 && !entry.addresses.is_empty()
    };
    if knet && entries.iter().any(lacks_id) {
        return Err(ConfigError::rule("Knet requires an explicit nodeid for the local node").hint(
            "give every node a nodeid, or use transport udpu or udp, which make ids from IPv4 addresses",
        ));
    }
    let mut all: Vec<Node> = Vec::new();
    for entry in entries {
        let own = Some(entry.position) == local;
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
                let message =
                    format!("Knet requires an explicit nodeid to be specified for address '{text}'.");
                return Err(ConfigError::rule(message).hint(explain(map, &key)));
            }
            if knet && id >= KNET_IDS {
                let message = format!("Knet requires nodeid to be less than 65536 for address '{text}'.");
                return Err(ConfigError::rule(message).hint(explain(map, &key)));
            }
            let resolved = ip_version.choose(&host.resolve(text));
            if *link == 0 && id == 0 && !knet {
                let Some(IpAddr::V4(v4)) = resolved else {
                    let which = if own { String::new() } else { format!(" for address '{text}'.") };
                    let message = format!("An IPV6 network requires that a node ID be specified{which}");
                    return Err(ConfigError::rule(message).hint(explain(map, &key)));
                };
                id = nodelist::id_from_address(v4, clear_high_bit);
                map.derive(&format!("nodelist.node.{}.nodeid", entry.position), Value::U32(id));
            }
            let Some(address) = resolved else {
                let hint = format!(
                    "{}\nit must be an address, or a name that resolves, of {}",
                    explain(map, &key),
                    family_words(ip_version)
                );
                return Err(ConfigError::rule(format!("failed to parse node address '{text}'")).hint(hint));
            };
            addresses.push(NodeAddress { link: *link as u8, text: text.clone(), address }); // below LINK_LIMIT
        }
        all.push(Node {
            position: entry.position,
            id: NodeId::new(id),
            name: entry.name.clone(),
            quorum_votes: entry.quorum_votes,
            addresses,
        });
    }
    Ok(all)
}

/// No two nodes have the same id.
fn check_ids(map: &Map, nodes: &[Node]) -> Result<(), ConfigError> {
    let mut seen = BTreeMap::new();
    for node in nodes {
        let Some(id) = node.id else { continue };
        if let Some(other) = seen.insert(id, node.position) {
            let place = |position: u32| explain(map, &format!("nodelist.node.{position}.nodeid"));
            let message = format!("Nodeid {id} appears twice in corosync.conf");
            return Err(ConfigError::rule(message).hint(format!(
                "{}\n{}",
                place(other),
                place(node.position)
            )));
        }
    }
    Ok(())
}

/// Whether there is a key where one is needed. Nothing of it is kept.
fn check_key(crypto: &Crypto) -> Result<(), ConfigError> {
    const LEAST: usize = 128;
    const MOST: usize = 4096;
    if crypto.cipher == "none" && crypto.hash == "none" {
        return Ok(());
    }
    if let (None, Some(key)) = (&crypto.keyfile, &crypto.key) {
        // The closing NUL counts.
        return match key.len() + 1 {
            0..LEAST => Err(ConfigError::rule("key is too short")),
            LEAST..=MOST => Ok(()),
            _ => Err(ConfigError::rule("key is too long")),
        };
    }
    let path = crypto.keyfile.as_deref().unwrap_or("/etc/corosync/authkey");
    let refused = |what: &str, why: std::io::Error| {
        ConfigError::rule(format!("Could not {what} {path}: {}", reason(&why)))
    };
    let file = File::open(path).map_err(|why| refused("open", why))?;
    let mut key = Vec::new();
    file.take(MOST as u64).read_to_end(&mut key).map_err(|why| refused("read", why))?;
    if key.len() < LEAST {
        return Err(ConfigError::rule(format!(
            "Could only read {} bits of minimum {} bits from {path}.",
            key.len() * 8,
            LEAST * 8
        )));
    }
    Ok(())
}

/// The second half: everything is read, does it fit together? Returns this node's id.
fn validate(map: &Map, totem: &Totem, nodes: &[Node], local: Option<u32>) -> Result<NodeId, ConfigError> {
    let mut links: Vec<u8> = totem.interfaces.iter().map(|interface| interface.link).collect();
    links.extend(nodes.iter().flat_map(|node| node.addresses.iter().map(|address| address.link)));
    links.sort_unstable();
    links.dedup();
    if links.is_empty() {
        return Err(ConfigError::in_config("No interfaces defined")
            .hint("list every node of the cluster, each with ring0_addr, in section nodelist"));
    }
    let Some(own) = nodes.iter().find(|node| Some(node.position) == local) else {
        let hint = "one node of the list must have this host's name (uname -n) as its name, \
                    or a local address as its ring0_addr";
        return Err(ConfigError::in_config("No valid name found for local host").hint(hint));
    };
    for link in &links {
        check_link(map, totem, own, *link)?;
    }
    if totem.version != 2 {
        return Err(ConfigError::in_config("This totem parser can only parse version 2 configurations.")
            .hint("write `version: 2` into section totem"));
    }
    check_timers(map, &totem.given, &totem.timeouts)?;
    check_links(map, totem, nodes, &links)?;
    check_ids(map, nodes)?;
    own.id.ok_or_else(|| {
        ConfigError::rule("the local node has no node id")
            .hint(format!("give nodelist.node.{} a nodeid other than 0", own.position))
    })
}

fn check_link(map: &Map, totem: &Totem, own: &Node, link: u8) -> Result<(), ConfigError> {
    let udp = totem.transport == TransportKind::Udp;
    let key = |key: &str| explain(map, &format!("totem.interface.{link}.{key}"));
    let found = totem.interfaces.iter().find(|interface| interface.link == link);
    let multicast = found.and_then(|interface| interface.multicast);
    if udp && multicast.is_none() {
        let message = format!("No multicast address specified for interface {link}");
        let hint = "give totem.cluster_name, from which one is made, or mcastaddr in section interface";
        return Err(ConfigError::in_config(message).hint(hint));
    }
    let Some(interface) = found else {
        let message = format!("No multicast port specified for interface {link}");
        let hint = format!("the local node has no ring{link}_addr (nodelist.node.{})", own.position);
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
            return Err(ConfigError::in_config(message).hint(key("mcastaddr")));
        }
        if !group.is_multicast() {
            let message = format!("mcastaddr is not a correct multicast address for interface {link}");
            return Err(ConfigError::in_config(message).hint(key("mcastaddr")));
        }
    }
    Ok(())
}

/// Rules for several links, and for what only knet can do.
fn check_links(map: &Map, totem: &Totem, nodes: &[Node], links: &[u8]) -> Result<(), ConfigError> {
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
        let hint = format!("nodelist.node.{} has none", node.position);
        return Err(ConfigError::in_config(message).hint(hint));
    }
    let count = |link: u8| nodes.iter().filter(|node| node.address(link).is_some()).count();
    if let Some((first, rest)) = links.split_first()
        && let Some(link) = rest.iter().find(|link| count(**link) != count(*first))
    {
        let hint = format!(
            "{} nodes have an address on link {first}, {} on link {link}",
            count(*first),
            count(*link)
        );
        return Err(ConfigError::in_config("Not all nodes have the same number of links").hint(hint));
    }
    for link in links {
        let mut first: Option<&NodeAddress> = None;
        for address in nodes.iter().flat_map(|node| &node.addresses).filter(|address| address.link == *link) {
            match first {
                None => first = Some(address),
                Some(other) if other.address.is_ipv4() != address.address.is_ipv4() => {
                    return Err(ConfigError::in_config(format!(
                        "Nodes for link {link} have different IP families (compared {} with {})",
                        address.text, other.text
                    )));
                }
                Some(_) => {}
            }
        }
    }
    if totem.transport == TransportKind::Knet {
        return Ok(());
    }
    if totem.crypto.cipher != "none" || totem.crypto.hash != "none" {
        let message = "crypto_cipher & crypto_hash are only valid for the Knet transport.";
        return Err(ConfigError::in_config(message));
    }
    if links.len() > 1 {
        let message = format!("{} is too many configured interfaces for non-Knet transport.", links.len());
        return Err(ConfigError::in_config(message).hint("udp and udpu use link 0 only"));
    }
    Ok(())
}

/// Limits of the timers. Source: corosync `exec/totemconfig.c`, `totem_volatile_config_validate`.
pub(super) fn check_timers(map: &Map, given: &Given, timeouts: &Timeouts) -> Result<(), ConfigError> {
    const LEAST: u128 = 30;
    const LEAST_HOLD: u128 = 14;
    let at_least = |what: &str, key: &str, value: Duration, least: u128| {
        let value = value.as_millis();
        if value >= least {
            return Ok(());
        }
        let message = format!("The {what} parameter ({value} ms) may not be less than ({least} ms).");
        Err(ConfigError::in_config(message).hint(explain(map, key)))
    };
    at_least("max_network_delay", "totem.max_network_delay", timeouts.max_network_delay, LEAST)?;
    at_least("token timeout", "totem.token", timeouts.token, LEAST)?;
    if timeouts.token_retransmit.as_millis() < LEAST && given.token_retransmit.is_none_or(|ms| ms == 0) {
        let message = "Not appropriate token or token_retransmits_before_loss_const value set";
        let hint = format!(
            "token_retransmit would be {} ms, at least {LEAST} are needed",
            timeouts.token_retransmit.as_millis()
        );
        return Err(ConfigError::in_config(message).hint(hint));
    }
    at_least("token retransmit timeout", "totem.token_retransmit", timeouts.token_retransmit, LEAST)?;
    at_least("token hold timeout", "totem.hold", timeouts.hold, LEAST_HOLD)?;
    at_least("join timeout", "totem.join", timeouts.join, LEAST)?;
    at_least("consensus timeout", "totem.consensus", timeouts.consensus, LEAST)?;
    if timeouts.consensus < timeouts.join {
        let message = format!(
            "The consensus timeout parameter ({} ms) may not be less than join timeout ({} ms).",
            timeouts.consensus.as_millis(),
            timeouts.join.as_millis()
        );
        return Err(ConfigError::in_config(message).hint(explain(map, "totem.consensus")));
    }
    at_least("merge timeout", "totem.merge", timeouts.merge, LEAST)?;
    at_least("downcheck timeout", "totem.downcheck", timeouts.downcheck, LEAST)?;
    if timeouts.token_warning > 100 {
        let message = format!(
            "The token warning parameter ({}%) must be between 0 (disabled) and 100.",
            timeouts.token_warning as i32 // as Corosync prints it
        );
        return Err(ConfigError::in_config(message).hint(explain(map, "totem.token_warning")));
    }
    Ok(())
}

/// Whether this version can run a configuration that is good for Corosync.
pub(super) fn runnable(config: &Config) -> Result<(), ConfigError> {
    let unsupported = |message: &str, hint: String| {
        Err(ConfigError { kind: ErrorKind::Unsupported, message: message.to_owned(), hint: Some(hint) })
    };
    match config.totem.transport {
        TransportKind::Knet => {
            let place = explain(&config.map, "totem.transport");
            return unsupported(
                "transport knet is not available in this version",
                format!("{place}\nset totem.transport to udpu or udp on all nodes of the cluster"),
            );
        }
        TransportKind::Udp | TransportKind::Udpu => {}
    }
    if config.local_node().and_then(|node| node.address(0)).is_none() {
        let hint = format!("give nodelist.node.{} a ring0_addr", config.local_position);
        return unsupported("udp and udpu need an address of link 0 for the local node", hint);
    }
    if config.system.ipc_type == IpcType::Socket {
        let place = explain(&config.map, "system.qb_ipc_type");
        return unsupported(
            "qb_ipc_type socket is not available in this version",
            format!("{place}\nset system.qb_ipc_type to native or shm, or leave it out"),
        );
    }
    let limit = config.totem.netmtu;
    if !(MTU_LEAST..=MTU_MOST).contains(&limit) {
        return unsupported(
            &format!("totem.netmtu {limit} cannot be used"),
            format!("{}\nit must be {MTU_LEAST} to {MTU_MOST}", explain(&config.map, "totem.netmtu")),
        );
    }
    Ok(())
}

/// Below this no room is left in a frame beside its headers.
const MTU_LEAST: u32 = 256;

/// What a UDP datagram over IPv4 can carry.
const MTU_MOST: u32 = 65_507;

fn family_words(ip_version: IpVersion) -> &'static str {
    match ip_version {
        IpVersion::V4 => "IPv4",
        IpVersion::V6 => "IPv6",
        IpVersion::V4ThenV6 | IpVersion::V6ThenV4 => "IPv4 or IPv6",
    }
}
