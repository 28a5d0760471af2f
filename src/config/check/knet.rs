//! Warnings about settings of links and encryption with which Corosync starts.

use crate::config::hint::{explain, place};
use crate::config::map::Map;
use crate::config::nodelist::Node;
use crate::config::totem::{Totem, TransportKind};

/// All warnings. None for transports other than knet.
pub(super) fn warnings(map: &Map, totem: &Totem, own: &Node) -> Vec<String> {
    if totem.transport != TransportKind::Knet {
        return Vec::new();
    }
    let mut all = encryption(map, totem);
    all.extend(mode_without_choice(map, totem));
    all.extend(one_address_twice(map, own));
    all.extend(deadly_compression(map));
    all.extend(slow_pings(map, totem));
    all.extend(without_nozzle(map));
    all
}

/// Warns of a cluster that anybody on its network can read or join, and of a weak hash.
fn encryption(map: &Map, totem: &Totem) -> Vec<String> {
    let crypto = &totem.crypto;
    let mut all = Vec::new();
    let places = || {
        let names = ["totem.crypto_cipher", "totem.crypto_hash", "totem.secauth"];
        let given: Vec<String> = names
            .into_iter()
            .filter(|name| map.entry(name).is_some())
            .map(|name| explain(map, name))
            .collect();
        if given.is_empty() {
            let transport = map.entry("totem.transport").map(|entry| place("totem.transport", entry));
            let transport = transport.map_or_else(String::new, |place| format!("; {place}"));
            format!("crypto_cipher and crypto_hash are not given{transport}")
        } else {
            one_line(&given)
        }
    };
    if crypto.is_off() {
        all.push(format!(
            "the cluster runs unencrypted: whoever reaches its network can read and forge its messages. Make a key \
             with annulus keygen, copy it to all nodes, and set crypto_cipher aes256 and crypto_hash sha256 on all \
             nodes at once ({})",
            places()
        ));
    } else if crypto.cipher == "none" {
        all.push(format!(
            "the cluster runs unencrypted: its messages are authenticated, and whoever reaches its network can read \
             them. Set crypto_cipher aes256 on all nodes at once ({})",
            places()
        ));
    }
    if matches!(crypto.hash.as_str(), "md5" | "sha1") {
        all.push(format!(
            "crypto_hash {} is old and should protect nothing new. Set it to sha256 on all nodes at once ({})",
            crypto.hash,
            one_line(&[explain(map, "totem.crypto_hash")])
        ));
    }
    all
}

/// Warns of a link mode where there is only one link.
fn mode_without_choice(map: &Map, totem: &Totem) -> Option<String> {
    let entry = map.entry("totem.link_mode").filter(|_| totem.interfaces.len() < 2)?;
    (totem.knet.link_mode != "passive").then(|| {
        format!(
            "{} has no effect: there is one link. Give every node a ring1_addr, or leave link_mode out.",
            place("totem.link_mode", entry)
        )
    })
}

/// Warns of two links that fail together because they share an address.
fn one_address_twice(map: &Map, own: &Node) -> Vec<String> {
    let said = |link: u8| {
        let name = format!("nodelist.node.{}.ring{link}_addr", own.position);
        map.entry(&name).map_or_else(|| name.clone(), |entry| place(&name, entry))
    };
    let mut all = Vec::new();
    for (index, second) in own.addresses.iter().enumerate() {
        let same = |first: &&crate::config::nodelist::NodeAddress| {
            first.address == second.address && first.interface == second.interface
        };
        let Some(first) = own.addresses[..index].iter().find(same) else { continue };
        all.push(format!(
            "links {} and {} of this node go over the same address, {}, and fail together ({}; {}). Give link {} an \
             address of another network.",
            first.link,
            second.link,
            second.address,
            said(first.link),
            said(second.link),
            second.link
        ));
    }
    all
}

/// Warns of zstd: libknet 1.25 ends its process when it receives zstd while its own model is another.
fn deadly_compression(map: &Map) -> Option<String> {
    let entry = map.entry("totem.knet_compression_model")?;
    (entry.value.as_text().as_deref() == Some("zstd")).then(|| {
        format!(
            "{}: a node with Corosync whose own knet_compression_model is not zstd ends as soon as it receives a \
             message that is compressed with it. Set zstd on all nodes before any sends it, or use lz4.",
            place("totem.knet_compression_model", entry)
        )
    })
}

/// Warns of links whose failure is noticed later than the loss of the token.
fn slow_pings(map: &Map, totem: &Totem) -> Vec<String> {
    let token = totem.timeouts.token;
    let mut all = Vec::new();
    for link in &totem.interfaces {
        let name = |key: &str| format!("totem.interface.{}.{key}", link.link);
        let shown = |key: &str| map.entry(&name(key)).map(|entry| place(&name(key), entry));
        if link.knet_ping_timeout > token
            && let Some(said) = shown("knet_ping_timeout")
        {
            all.push(format!(
                "{said} is longer than the token time-out, {} ms: the ring breaks before the link counts as down. Set \
                 it to half of that, or leave it out.",
                token.as_millis()
            ));
        }
        if link.knet_ping_interval > link.knet_ping_timeout
            && let Some(said) = shown("knet_ping_interval").or_else(|| shown("knet_ping_timeout"))
        {
            all.push(format!(
                "{said}: pings are {} ms apart, and the link counts as down after {} ms without an answer, so it goes \
                 down again and again. Leave both out, or make the interval half of the time-out.",
                link.knet_ping_interval.as_millis(),
                link.knet_ping_timeout.as_millis()
            ));
        }
    }
    all
}

/// Warns of a nozzle device, which this version does not make.
fn without_nozzle(map: &Map) -> Option<String> {
    let (name, entry) = map.with_prefix("nozzle.").next()?;
    Some(format!("{} has no effect: this version makes no nozzle device.", place(name, entry)))
}

fn one_line(explained: &[String]) -> String {
    explained.join("; ").replace('\n', "; ")
}
