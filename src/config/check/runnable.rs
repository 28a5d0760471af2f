//! Refuses valid configurations of Corosync that this version cannot run.

use super::timers::check_limits;
use crate::config::Config;
use crate::config::error::{ConfigError, ErrorKind};
use crate::config::hint::{explain, explain_section};
use crate::config::map::Map;
use crate::config::system::IpcType;
use crate::config::totem::TransportKind;

/// The compression models supported here, which are not all of knet's.
const COMPRESSIONS: [&str; 4] = ["zlib", "lz4", "lz4hc", "zstd"];

/// IP packet sizes from the smallest that every host accepts to the largest, in bytes.
const MTU: std::ops::RangeInclusive<u32> = 576..=65_535;

/// Checks whether this version can run a configuration that Corosync's parser accepts.
pub(in crate::config) fn runnable(config: &Config) -> Result<(), ConfigError> {
    match config.totem.transport {
        TransportKind::Knet => knet(config)?,
        TransportKind::Udp | TransportKind::Udpu => {
            if config.local_node().and_then(|node| node.address(0)).is_none() {
                let section = format!("nodelist.node.{}.", config.local_position);
                let hint = format!("give {section}ring0_addr\n{}", explain_section(&config.map, &section));
                return unsupported("udp and udpu need an address of link 0 for the local node", hint);
            }
        }
    }
    if config.system.ipc_type == IpcType::Socket {
        let place = explain(&config.map, "system.qb_ipc_type");
        return unsupported(
            "qb_ipc_type socket is not available in this version",
            format!("{place}\nset system.qb_ipc_type to native or shm, or leave it out"),
        );
    }
    config.system.priority().map_err(|error| {
        let hint = error.hint.clone().unwrap_or_default();
        error.hint(format!("{}\n{hint}", explain(&config.map, "system.priority")))
    })?;
    check_limits(&config.map, &config.totem.timeouts)
}

/// Refuses features of knet that are missing here, and settings that libknet accepts but that let no packet through.
fn knet(config: &Config) -> Result<(), ConfigError> {
    let own = config.local_node().map_or(&[][..], |node| &node.addresses);
    if own.is_empty() {
        let section = format!("nodelist.node.{}.", config.local_position);
        let hint = format!("give {section}ring0_addr\n{}", explain_section(&config.map, &section));
        return unsupported("knet needs an address of a link for the local node", hint);
    }
    for link in &config.totem.interfaces {
        if link.knet_transport == "sctp" {
            let place = explain(&config.map, &format!("totem.interface.{}.knet_transport", link.link));
            return unsupported(
                "knet_transport sctp is not available in this version",
                format!("{place}\nset knet_transport to udp on all nodes of the cluster, or leave it out"),
            );
        }
    }
    let knet = &config.totem.knet;
    if let Some(model) = knet.compression_model.as_deref().filter(|model| !COMPRESSIONS.contains(model)) {
        let place = explain(&config.map, "totem.knet_compression_model");
        return unsupported(
            &format!("knet_compression_model {model} is not available in this version"),
            format!(
                "{place}\nwhat the other nodes compress with it, this one could not read: set it to lz4 or zlib on \
                 all nodes of the cluster, or leave it out"
            ),
        );
    }
    check_mtu(&config.map, knet.mtu)
}

/// Refuses an MTU that libknet accepts but that lets no packet through.
pub(in crate::config) fn check_mtu(map: &Map, mtu: Option<u32>) -> Result<(), ConfigError> {
    let Some(mtu) = mtu.filter(|mtu| !MTU.contains(mtu)) else { return Ok(()) };
    let message =
        format!("The knet_mtu parameter ({mtu}) must be between {} and {}.", MTU.start(), MTU.end());
    Err(ConfigError::in_config(message).hint(format!("{}\n0 finds it out", explain(map, "totem.knet_mtu"))))
}

fn unsupported(message: &str, hint: String) -> Result<(), ConfigError> {
    Err(ConfigError { kind: ErrorKind::Unsupported, message: message.to_owned(), hint: Some(hint) })
}
