//! What is good for Corosync, and this version cannot run.

use super::timers::check_limits;
use crate::config::Config;
use crate::config::error::{ConfigError, ErrorKind};
use crate::config::hint::{explain, explain_section};
use crate::config::system::IpcType;
use crate::config::totem::TransportKind;

/// Whether this version can run a configuration that is good for Corosync's parser.
pub(in crate::config) fn runnable(config: &Config) -> Result<(), ConfigError> {
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
        let section = format!("nodelist.node.{}.", config.local_position);
        let hint = format!("give {section}ring0_addr\n{}", explain_section(&config.map, &section));
        return unsupported("udp and udpu need an address of link 0 for the local node", hint);
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
