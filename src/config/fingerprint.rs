//! A fingerprint of everything that must be the same in the files of all nodes, to compare them without sending the
//! files.
//!
//! It covers the node list and the sections totem and quorum, except for settings of a single host: addresses to
//! bind, keys, votes without a node list, programs of the quorum device.

use std::collections::BTreeMap;

use super::Config;
use super::map::{Map, Origin};
use super::nodelist::Node;
use super::totem::TransportKind;
use crate::ids::NodeId;

/// Most settings that are compared individually; more are compared as a whole.
///
/// A file with every option has fewer than two hundred.
pub const SETTINGS_LIMIT: usize = 4096;

/// The sections that are compared.
const SECTIONS: [&str; 2] = ["totem.", "quorum."];
/// Settings in these sections that may differ between hosts, or would reveal a secret.
const OF_ONE_HOST: [&str; 10] = [
    "totem.nodeid",
    "totem.key",
    "totem.keyfile",
    "totem.config_version",
    "totem.crypto_model",
    // Their combined meaning is compared, see `encryption`.
    "totem.secauth",
    "totem.crypto_cipher",
    "totem.crypto_hash",
    "quorum.votes",
    "quorum.device.heuristics.",
];

/// The fingerprint of a configuration; see the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// For each node of the list, a hash of everything in its entry.
    pub nodes: BTreeMap<NodeId, u64>,
    /// For each setting a hash of its name and value, with the name and place for the operator.
    pub settings: BTreeMap<u64, String>,
}

impl Fingerprint {
    /// The fingerprint of a configuration.
    pub fn of(config: &Config) -> Self {
        let nodes = config.nodes.iter().filter_map(|node| Some((node.id?, of_node(node)))).collect();
        let mut settings = of_settings(&config.map);
        settings.extend(encryption(config));
        Self { nodes, settings }
    }
}

fn of_node(node: &Node) -> u64 {
    let mut hash = Hash::new();
    hash.text(node.name.as_deref().unwrap_or_default());
    hash.text(&node.quorum_votes.map_or_else(String::new, |votes| votes.to_string()));
    for link in &node.addresses {
        hash.text(&link.link.to_string());
        hash.text(&link.text);
    }
    hash.0
}

fn of_settings(map: &Map) -> BTreeMap<u64, String> {
    let mut settings = BTreeMap::new();
    for (name, entry) in SECTIONS.iter().flat_map(|section| map.with_prefix(section)) {
        if !matches!(entry.origin, Origin::File { .. }) || is_of_one_host(name) {
            continue;
        }
        let mut hash = Hash::new();
        hash.text(name);
        hash.text(&format!("{:?}", entry.value));
        settings.insert(hash.0, format!("{name} ({})", entry.origin));
    }
    if settings.len() > SETTINGS_LIMIT {
        let mut hash = Hash::new();
        settings.keys().for_each(|one| hash.bytes(&one.to_le_bytes()));
        settings = BTreeMap::from([(hash.0, "sections totem and quorum".to_owned())]);
    }
    settings
}

/// Cipher and hash, whichever settings of whichever format give them, as the defaults of the formats differ.
fn encryption(config: &Config) -> Option<(u64, String)> {
    if config.totem.transport != TransportKind::Knet {
        return None;
    }
    let crypto = &config.totem.crypto;
    let mut hash = Hash::new();
    for text in ["totem.crypto", &crypto.cipher, &crypto.hash] {
        hash.text(text);
    }
    let names = ["totem.crypto_cipher", "totem.crypto_hash", "totem.secauth"];
    let place = names.into_iter().find_map(|name| Some(config.map.entry(name)?.origin.to_string()));
    let place = place.unwrap_or_else(|| "default".to_owned());
    Some((hash.0, format!("encryption {}/{} ({place})", crypto.cipher, crypto.hash)))
}

fn is_of_one_host(name: &str) -> bool {
    let listed = OF_ONE_HOST.iter().any(|own| match own.strip_suffix('.') {
        Some(_) => name.starts_with(own),
        None => name == *own,
    });
    listed || (name.starts_with("totem.interface.") && name.ends_with(".bindnetaddr"))
}

/// FNV-1a with 64 bits. The authors of the files are trusted, so only accidental collisions matter.
struct Hash(u64);

impl Hash {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Adds a text and its end, so that two texts differ from their concatenation.
    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
        self.bytes(&[0]);
    }
}
