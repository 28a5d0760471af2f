//! The settings that keep a node from starting, with their places in the configuration.

use super::error::NodeError;
use crate::config::{Config, ConfigError, ErrorKind};
use crate::stack::SetupError;
use crate::transport::TransportError;

/// Turns the error of a start into a configuration error that names the places of the settings concerned.
pub fn placed(config: &Config, error: NodeError) -> ConfigError {
    let message = error.to_string();
    match error {
        NodeError::Config(error) => error,
        NodeError::Transport(TransportError::Setting { setting, node, .. }) => {
            let hint = config.explain(&setting_name(config, setting, node.map(crate::ids::NodeId::get)));
            ConfigError { kind: ErrorKind::Rule, message, hint: Some(hint) }
        }
        NodeError::Setup(SetupError::Quorum(wrong)) => {
            let lines: Vec<String> = wrong.keys().iter().map(|key| config.explain(key)).collect();
            ConfigError { kind: ErrorKind::Quorum, message, hint: Some(lines.join("\n")) }
        }
        NodeError::Transport(_) => {
            // In one line, because a start logs it.
            let place = places(config, &["totem.interface.0.bindnetaddr"]);
            ConfigError { kind: ErrorKind::Ring, message: format!("{message} ({place})"), hint: None }
        }
        NodeError::Store(_) => ConfigError { kind: ErrorKind::Store, message, hint: None },
        NodeError::NoId
        | NodeError::NoAddress
        | NodeError::PeerZero(_)
        | NodeError::Links(_)
        | NodeError::Quorum(_)
        | NodeError::Runtime(_) => ConfigError { kind: ErrorKind::Ring, message, hint: None },
    }
}

/// The full name of a setting, which the transport knows by a short name only.
fn setting_name(config: &Config, setting: &str, node: Option<u32>) -> String {
    let of_node = |id: u32, key: &str| {
        let node = config.nodes.iter().find(|node| node.id.is_some_and(|own| own.get() == id));
        format!("nodelist.node.{}.{key}", node.map_or(config.local_position, |node| node.position))
    };
    match (setting, node) {
        ("mcastport" | "mcastaddr" | "broadcast" | "ttl", _) => format!("totem.interface.0.{setting}"),
        (setting, Some(id)) if setting == "nodeid" || setting.ends_with("_addr") => of_node(id, setting),
        ("ring0_addr", None) => "totem.interface.0.bindnetaddr".to_owned(),
        ("nodelist", _) => "nodelist.node.*.ring0_addr".to_owned(),
        (other, _) => format!("totem.{other}"),
    }
}

/// Settings and their places in the configuration, in one line.
pub(super) fn places(config: &Config, keys: &[&str]) -> String {
    let lines: Vec<String> = keys.iter().map(|key| config.explain(key)).collect();
    lines.join("; ").replace('\n', "; ")
}
