//! Section `totem`: the ring, its transport and its links.
//!
//! Source: `corosync.conf(5)`; corosync `exec/totemconfig.c`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::error::ConfigError;
use super::key::Key;
use super::map::Map;
use super::timeouts::{Given, Timeouts};

/// Default UDP port of link 0.
pub const DEFAULT_PORT: u16 = 5405;

/// The transport of datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportKind {
    /// kronosnet: several links, encryption.
    Knet,
    /// UDP unicast to each node of the list.
    Udpu,
    /// IP multicast or broadcast, and UDP unicast for tokens.
    Udp,
}

impl TransportKind {
    /// The word in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Knet => "knet",
            Self::Udpu => "udpu",
            Self::Udp => "udp",
        }
    }
}

/// The address families to which a name is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// Only IPv4 addresses.
    V4,
    /// Only IPv6 addresses.
    V6,
    /// IPv4 addresses, and IPv6 if there is none.
    V4ThenV6,
    /// IPv6 addresses, and IPv4 if there is none.
    V6ThenV4,
}

impl IpVersion {
    /// The address to use among those found.
    pub fn choose(self, found: &[IpAddr]) -> Option<IpAddr> {
        let v4 = || found.iter().copied().find(IpAddr::is_ipv4);
        let v6 = || found.iter().copied().find(IpAddr::is_ipv6);
        match self {
            Self::V4 => v4(),
            Self::V6 => v6(),
            Self::V4ThenV6 => v4().or_else(v6),
            Self::V6ThenV4 => v6().or_else(v4),
        }
    }

    /// The word in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
            Self::V4ThenV6 => "ipv4-6",
            Self::V6ThenV4 => "ipv6-4",
        }
    }
}

/// Default path of the key file. Source: `corosync.conf(5)` `keyfile`.
pub const DEFAULT_KEYFILE: &str = "/etc/corosync/authkey";

/// Encryption settings, which only knet has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// Corosync's cryptographic library. Default: `nss`. It has no effect here, as all of them produce the same
    /// bytes.
    pub model: String,
    /// Cipher: `none`, `aes128`, `aes192` or `aes256`. Default in `corosync.conf`: `none`, or `aes256` with `secauth:
    /// on`; in a `corosync.toml` without settings for encryption: `aes256`. Reload: yes.
    pub cipher: String,
    /// Hash: `none`, `md5`, `sha1`, `sha256`, `sha384` or `sha512`. Default in `corosync.conf`: `none`, or `sha256`
    /// with `secauth: on`; in a `corosync.toml` without settings for encryption: `sha256`. Reload: yes.
    pub hash: String,
    /// Path of the key file. Default: [`DEFAULT_KEYFILE`]. Reload: yes.
    pub keyfile: Option<String>,
    /// The key of 128 to 4096 bytes, from that file or, without `keyfile`, from the configuration itself. `None`
    /// while nothing is encrypted or authenticated. Reload: yes.
    pub key: Option<Key>,
}

impl Crypto {
    /// Whether messages are neither encrypted nor authenticated, so that no key is needed.
    pub fn is_off(&self) -> bool {
        self.cipher == "none" && self.hash == "none"
    }
}

/// Settings of knet for all links together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knet {
    /// `passive`, `active` or `rr`. Default: `passive`. Reload: no.
    pub link_mode: String,
    /// Interval of path MTU discovery. Unit: s in files. Default: 30. Reload: yes.
    pub pmtud_interval: Duration,
    /// MTU in bytes; `None`, the default, discovers it. Reload: yes.
    pub mtu: Option<u32>,
    /// Compression model; `None`, the default, is off. Reload: yes.
    pub compression_model: Option<String>,
    /// Packet size in bytes from which on packets are compressed. Default: 0. Reload: yes.
    pub compression_threshold: u32,
    /// Level of the compression model. Default: 0. Reload: yes.
    pub compression_level: i32,
}

/// One link, as section `interface` and the node list describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its number, 0 to 7; udp and udpu use link 0 only.
    pub link: u8,
    /// The name, address or network that selects the local address: the local node's ring address or, without a node
    /// list, the setting in the file. Reload: no.
    pub bind: Option<String>,
    /// The address to which `bind` resolves.
    pub bind_address: Option<IpAddr>,
    /// The name of the interface that must have the address: the text behind `%` in a link-local address. Default:
    /// none, the first interface that has it.
    pub bind_interface: Option<String>,
    /// udp: the multicast group. Default: [`multicast_address`]. Reload: no.
    pub multicast: Option<IpAddr>,
    /// udp: whether to broadcast instead. Default: no. Reload: no.
    pub broadcast: bool,
    /// UDP port; 0 only for a link without any settings. Default: 5405 plus the link number (with `broadcast`: plus
    /// twice that number). Reload: no.
    pub port: u16,
    /// udp: time to live of multicasts, in hops. Default: 1. Reload: no.
    pub ttl: u8,
    /// knet: priority of the link. Default: 1. Reload: yes.
    pub knet_priority: u8,
    /// knet: interval of pings. Unit: ms in files. Default: `token / (2 * pong_count)`. Reload: yes.
    pub knet_ping_interval: Duration,
    /// knet: silence after which the link is down. Unit: ms. Default: `token / pong_count`. Reload: yes.
    pub knet_ping_timeout: Duration,
    /// knet: number of values in the average of the latency. Default: 2048. Reload: yes.
    pub knet_ping_precision: u32,
    /// knet: number of pongs after which the link is up. Default: 2. Reload: yes.
    pub knet_pong_count: u32,
    /// knet: protocol of the link, `udp` or `sctp`. Default: `udp`. Reload: refused.
    pub knet_transport: String,
}

/// Monitoring and priority of a knet link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pings {
    /// Interval of pings.
    pub interval: Duration,
    /// Silence after which the link is down.
    pub timeout: Duration,
    /// Number of values in the average of the latency; not 0.
    pub precision: u32,
    /// Number of pongs after which the link is up; not 0.
    pub pong_count: u32,
    /// Priority of the link; not 0.
    pub priority: u8,
}

/// Settings of knet links that take effect at once when their key in the database changes, like the ring's timers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watching {
    /// The links with any settings, by number.
    pub links: BTreeMap<u8, Pings>,
    /// Interval of path MTU discovery.
    pub pmtud_interval: Duration,
    /// MTU in bytes; `None` discovers it.
    pub mtu: Option<u32>,
    /// Whether datagrams from addresses that are not in the node list are dropped.
    pub block_unlisted_ips: bool,
}

/// Section `totem`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totem {
    /// Version of the file's format; must be 2. Default in `corosync.conf`: 0, which is refused; in
    /// `corosync.toml`: 2. Reload: refused.
    pub version: u32,
    /// Name of the cluster. Default: none. Reload: refused.
    pub cluster_name: Option<String>,
    /// Version of the content. Default: none, which is treated as 0. Reload: yes.
    pub config_version: Option<u64>,
    /// The transport. Default: knet. Reload: refused.
    pub transport: TransportKind,
    /// The address families for names. Default: ipv6-4; udp: ipv4. Reload: refused.
    pub ip_version: IpVersion,
    /// Size of a network packet in bytes. Default: 1500; knet: 65536. Reload: refused.
    pub netmtu: u32,
    /// Whether bit 31 of a node id made from an IPv4 address is cleared. Default: no. Reload: no.
    pub clear_node_high_bit: bool,
    /// knet, udpu: whether datagrams from addresses that are not in the node list are dropped. Default: yes. Reload:
    /// yes.
    pub block_unlisted_ips: bool,
    /// The timers and limits given in the file.
    pub given: Given,
    /// The timers and limits in effect.
    pub timeouts: Timeouts,
    /// Encryption settings of knet.
    pub crypto: Crypto,
    /// Settings of knet for all links together.
    pub knet: Knet,
    /// The links with any settings, ascending.
    pub interfaces: Vec<Interface>,
}

/// Reads the transport from the map.
pub(super) fn transport(map: &Map) -> Result<TransportKind, ConfigError> {
    match map.text("totem.transport").as_deref() {
        None | Some("knet") => Ok(TransportKind::Knet),
        Some("udpu") => Ok(TransportKind::Udpu),
        Some("udp") => Ok(TransportKind::Udp),
        Some(_) => Err(ConfigError::rule("Invalid transport type. Should be udpu, udp or knet")),
    }
}

/// Reads the IP version from the map.
pub(super) fn ip_version(map: &Map, transport: TransportKind) -> IpVersion {
    match map.text("totem.ip_version").as_deref() {
        Some("ipv4") => IpVersion::V4,
        Some("ipv6") => IpVersion::V6,
        Some("ipv4-6") => IpVersion::V4ThenV6,
        Some("ipv6-4") => IpVersion::V6ThenV4,
        // The parsers accept no other words.
        Some(_) | None => match transport {
            TransportKind::Udp => IpVersion::V4,
            TransportKind::Knet | TransportKind::Udpu => IpVersion::V6ThenV4,
        },
    }
}

/// Reads cipher and hash from the map and checks that they fit each other. The key is read later.
pub(super) fn crypto(map: &Map) -> Result<Crypto, ConfigError> {
    let text = |name: &str| map.text(name).map(|text| text.into_owned());
    let (cipher, hash) = cipher_and_hash(text);
    let crypto = Crypto {
        model: text("totem.crypto_model").unwrap_or_else(|| "nss".to_owned()),
        cipher,
        hash,
        keyfile: text("totem.keyfile"),
        key: None,
    };
    if crypto.cipher != "none" && crypto.hash == "none" {
        return Err(ConfigError::rule("crypto_cipher requires crypto_hash with value other than none"));
    }
    Ok(crypto)
}

/// Cipher and hash that settings ask for; `setting` returns the value of a database name.
pub fn cipher_and_hash(setting: impl Fn(&str) -> Option<String>) -> (String, String) {
    let secauth = setting("totem.secauth").as_deref() == Some("on");
    let default = |word: &str| if secauth { word.to_owned() } else { "none".to_owned() };
    (
        setting("totem.crypto_cipher").unwrap_or_else(|| default("aes256")),
        setting("totem.crypto_hash").unwrap_or_else(|| default("sha256")),
    )
}

/// Reads the settings of knet for all links together.
pub(super) fn knet(map: &Map) -> Knet {
    let text = |name: &str| map.text(name).map(|text| text.into_owned());
    let nonzero = |name: &str| map.u32(name).filter(|n| *n != 0);
    let level = map.entry("totem.knet_compression_level").and_then(|entry| entry.value.number());
    Knet {
        link_mode: text("totem.link_mode").unwrap_or_else(|| "passive".to_owned()),
        pmtud_interval: Duration::from_secs(nonzero("totem.knet_pmtud_interval").unwrap_or(30).into()),
        mtu: nonzero("totem.knet_mtu"),
        compression_model: text("totem.knet_compression_model"),
        compression_threshold: map.u32("totem.knet_compression_threshold").unwrap_or(0),
        compression_level: level.and_then(|n| n.try_into().ok()).unwrap_or(0),
    }
}

/// Default interval of pings, and default silence after which a link is down, for this token timeout. Source:
/// corosync `exec/totemconfig.c`.
pub fn ping_times(token: Duration, pong_count: u32) -> (Duration, Duration) {
    let token = u64::try_from(token.as_millis()).unwrap_or(u64::MAX);
    let pongs = u64::from(pong_count.max(1));
    (Duration::from_millis(token / (2 * pongs)), Duration::from_millis(token / pongs))
}

/// Monitoring of a link, for this token timeout. Source: corosync `exec/totemconfig.c`.
pub(super) fn pings(map: &Map, link: u8, token: Duration) -> Pings {
    let given = |key: &str| map.u32(&format!("totem.interface.{link}.{key}")).filter(|number| *number != 0);
    let ms = |key: &str| given(key).map(|ms| Duration::from_millis(ms.into()));
    let pong_count = given("knet_pong_count").unwrap_or(2);
    let (interval, timeout) = ping_times(token, pong_count);
    Pings {
        interval: ms("knet_ping_interval").unwrap_or(interval),
        timeout: ms("knet_ping_timeout").unwrap_or(timeout),
        precision: given("knet_ping_precision").unwrap_or(2048),
        pong_count,
        priority: given("knet_link_priority").and_then(|n| u8::try_from(n).ok()).unwrap_or(1),
    }
}

/// Monitoring of all links.
pub(super) fn watching(map: &Map, token: Duration) -> Watching {
    let numbers = map.with_prefix("totem.interface.").filter_map(|(name, _)| {
        let (number, _) = name.strip_prefix("totem.interface.")?.split_once('.')?;
        number.parse().ok()
    });
    let on_a_link = map.with_prefix("nodelist.node.").filter_map(|(name, _)| {
        let key = name.strip_prefix("nodelist.node.")?.split_once('.')?.1;
        key.strip_prefix("ring")?.strip_suffix("_addr")?.parse().ok()
    });
    let links: BTreeSet<u8> = numbers.chain(on_a_link).collect();
    let knet = knet(map);
    Watching {
        links: links.into_iter().map(|link| (link, pings(map, link, token))).collect(),
        pmtud_interval: knet.pmtud_interval,
        mtu: knet.mtu,
        block_unlisted_ips: map.switch("totem.block_unlisted_ips") != Some(false),
    }
}

/// The default multicast group of a cluster, made from its name and the link number, in the family of `bind`.
///
/// Source: corosync `exec/totemconfig.c`, `get_cluster_mcast_addr`; the last byte is modulo 255, not 256.
pub fn multicast_address(cluster_name: &[u8], link: u8, bind: IpAddr) -> IpAddr {
    let hash = cluster_name.iter().fold(0u32, |hash, byte| {
        // Bytes are taken as signed numbers.
        hash.wrapping_mul(2).wrapping_add_signed(i32::from(*byte as i8))
    });
    let id = (hash as u16).wrapping_add(link.into()); // only the low 16 bits are used
    match bind {
        IpAddr::V4(_) => Ipv4Addr::new(239, 192, (id >> 8) as u8, (id % 255) as u8).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, id).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by hand: for "ab" the hash is 97 * 2 + 98 = 292.
    #[test]
    fn multicast_address_follows_the_name() {
        let v4 = Ipv4Addr::LOCALHOST.into();
        assert_eq!(multicast_address(b"ab", 0, v4).to_string(), "239.192.1.37");
        assert_eq!(multicast_address(b"ab", 1, v4).to_string(), "239.192.1.38");
        assert_eq!(multicast_address(b"", 0, v4).to_string(), "239.192.0.0");
        assert_eq!(multicast_address(b"ab", 0, Ipv6Addr::LOCALHOST.into()).to_string(), "ff15::124");
        // A byte above 127 is negative: -1 is 0xffff, and 0xffff % 255 is 0.
        assert_eq!(multicast_address(&[0xff], 0, v4).to_string(), "239.192.255.0");
    }
}
