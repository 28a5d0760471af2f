//! The listing of effective settings with their values and origins.

use std::fmt;
use std::time::Duration;

use super::Config;
use super::keys::KEYS;
use super::map::Origin;

/// One line of the listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The name of the setting in the database.
    pub name: String,
    /// The effective value; empty if there is none.
    pub value: String,
    /// The origin of the value.
    pub origin: Origin,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({})", self.name, self.value, self.origin)
    }
}

impl Config {
    /// All effective settings, ascending by name: those of the file, those derived from them, and the defaults of the
    /// rest. Settings of links and nodes are listed for the links and nodes that exist.
    pub fn effective(&self) -> Vec<Setting> {
        let mut all: Vec<Setting> = self
            .map
            .iter()
            .map(|(name, entry)| {
                let value = self.computed(name).unwrap_or_else(|| entry.value.to_string());
                Setting { name: name.to_owned(), value: shown(name, value), origin: entry.origin.clone() }
            })
            .collect();
        for key in KEYS {
            for name in self.instances(key.name) {
                if self.map.entry(&name).is_some() {
                    continue;
                }
                match self.computed(&name) {
                    // A computed value that equals the number in the table is a plain default.
                    Some(value) => {
                        let plain = key.default == value || is_off(&name, &value);
                        let origin = if plain { Origin::Default } else { Origin::Derived };
                        all.push(Setting { name, value, origin });
                    }
                    None if !key.default.is_empty() => {
                        all.push(Setting { name, value: key.default.to_owned(), origin: Origin::Default });
                    }
                    None => {}
                }
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The names that a pattern of the table matches here.
    fn instances(&self, pattern: &str) -> Vec<String> {
        let fill = |part: &dyn fmt::Display| pattern.replacen('*', &part.to_string(), 1);
        if pattern.starts_with("totem.interface.") {
            self.totem.interfaces.iter().map(|interface| fill(&interface.link)).collect()
        } else if pattern.starts_with("nodelist.node.") {
            self.nodes.iter().map(|node| fill(&node.position)).collect()
        } else if pattern.starts_with("logging.logger_subsys.") {
            self.logging.subsystems.keys().map(|name| fill(name)).collect()
        } else {
            vec![pattern.to_owned()]
        }
    }

    /// The effective value, if it is neither the file's nor the table's.
    fn computed(&self, name: &str) -> Option<String> {
        let t = &self.totem.timeouts;
        if let Some(rest) = name.strip_prefix("totem.interface.") {
            let (link, key) = rest.split_once('.')?;
            let link = link.parse::<u8>().ok()?;
            let interface = self.totem.interfaces.iter().find(|interface| interface.link == link)?;
            return Some(match key {
                "mcastport" => interface.port.to_string(),
                "mcastaddr" => interface.multicast?.to_string(),
                "knet_ping_interval" => interface.knet_ping_interval.as_millis().to_string(),
                "knet_ping_timeout" => interface.knet_ping_timeout.as_millis().to_string(),
                _ => return None,
            });
        }
        let ms = |time: Duration| time.as_millis().to_string();
        Some(match name {
            "totem.token" => ms(t.token),
            "totem.token_floor" => ms(t.token_floor.unwrap_or(t.token)),
            "totem.loss_limit" => t.loss_limit.to_string(),
            "totem.loss_patience" => t.loss_patience.as_secs().to_string(),
            "totem.token_retransmit" => ms(t.token_retransmit),
            "totem.hold" => ms(t.hold),
            "totem.join" => ms(t.join),
            "totem.send_join" => ms(t.send_join),
            "totem.consensus" => ms(t.consensus),
            "totem.merge" => ms(t.merge),
            "totem.downcheck" => ms(t.downcheck),
            "totem.max_network_delay" => ms(t.max_network_delay),
            "totem.token_retransmits_before_loss_const" => t.token_retransmits_before_loss_const.to_string(),
            "totem.fail_recv_const" => t.fail_recv_const.to_string(),
            "totem.seqno_unchanged_const" => t.seqno_unchanged_const.to_string(),
            "totem.window_size" => t.window_size.to_string(),
            "totem.max_messages" => t.max_messages.to_string(),
            "totem.miss_count_const" => t.miss_count_const.to_string(),
            "totem.netmtu" => self.totem.netmtu.to_string(),
            "totem.ip_version" => self.totem.ip_version.name().to_owned(),
            "totem.crypto_cipher" => self.totem.crypto.cipher.clone(),
            "totem.crypto_hash" => self.totem.crypto.hash.clone(),
            _ => return None,
        })
    }
}

/// Encryption is off by default; `corosync.toml` states its default in the map.
fn is_off(name: &str, value: &str) -> bool {
    matches!(name, "totem.crypto_cipher" | "totem.crypto_hash") && value == "none"
}

/// Replaces a key, which must not appear on a screen or in a log.
fn shown(name: &str, value: String) -> String {
    if name == "totem.key" { "(hidden)".to_owned() } else { value }
}
