//! The settings of a knet transport: hosts, links to them, and how links are monitored.

use std::net::IpAddr;
use std::time::Duration;

use crate::ids::NodeId;

/// Largest number of links between two hosts. Source: libknet, `KNET_MAX_LINK`.
pub const LINKS: usize = 8;

/// How messages are distributed over several links that are up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkMode {
    /// Only the link with the highest priority is used; of equal ones the one with the lowest number.
    #[default]
    Passive,
    /// All links are used: each packet is sent on every link, and the receiver drops the copies.
    Active,
    /// The links are used in turn, one for each message.
    RoundRobin,
}

/// Compression of sent messages. Received messages are decompressed independently of this setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Messages are sent uncompressed.
    #[default]
    None,
    /// zlib (RFC 1950).
    Zlib,
    /// LZ4 block format.
    Lz4,
    /// LZ4 block format, with a slower search for better compression.
    Lz4Hc,
    /// zstd. libknet 1.25 crashes on it unless it is configured for zstd itself.
    Zstd,
}

/// One link: its port and how it is monitored. Must be the same on all hosts, except for what only affects
/// this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    /// UDP port of the link on every host. Default: 5405 plus the link's number.
    pub port: u16,
    /// Priority in [`LinkMode::Passive`]. Default: 1.
    pub priority: u8,
    /// Time between periodic pings.
    pub ping_interval: Duration,
    /// Time without a pong after which the link goes down.
    pub ping_timeout: Duration,
    /// Number of values over which the latency is averaged; not 0. Default: 2048.
    pub ping_precision: u32,
    /// One less than the number of pongs after which the link comes up. Default: 2.
    pub pong_count: u32,
}

/// A host and its address on each link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The node id; at most 65535.
    pub id: NodeId,
    /// The host's address by link number; `None` if it is not on that link.
    pub addresses: [Option<IpAddr>; LINKS],
}

/// All settings of an [`Engine`](super::Engine).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The id of this node.
    pub me: NodeId,
    /// All hosts of the node list, this one included.
    pub hosts: Vec<Host>,
    /// The links, by number; `None` for a link that is not configured.
    pub links: [Option<LinkSettings>; LINKS],
    /// How messages are distributed over several links. Default: passive.
    pub mode: LinkMode,
    /// Time between searches for the path MTU. Default: 30 s.
    pub pmtud_interval: Duration,
    /// Size of IP packets in bytes that replaces the search for the path MTU. Default: `None`.
    pub mtu: Option<u16>,
    /// Compression of sent messages. Default: none.
    pub compression: Compression,
    /// Messages longer than this, in bytes, are compressed. Default: 100.
    pub compression_threshold: usize,
    /// Compression level; the range depends on the compression. Default: 0.
    pub compression_level: i32,
    /// Whether control packets of a link are accepted only from the configured address. Default: yes.
    pub block_unlisted: bool,
}

/// Why settings are refused, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl Settings {
    /// Settings of this node without any host or link.
    #[cfg(test)]
    pub(super) fn bare(me: NodeId) -> Self {
        Self {
            me,
            hosts: Vec::new(),
            links: [const { None }; LINKS],
            mode: LinkMode::Passive,
            pmtud_interval: Duration::from_secs(30),
            mtu: None,
            compression: Compression::None,
            compression_threshold: 0,
            compression_level: 0,
            block_unlisted: true,
        }
    }

    /// This host's address on a link; `None` if it is not on that link.
    pub(super) fn own_address(&self, link: usize) -> Option<IpAddr> {
        let own = self.hosts.iter().find(|host| host.id == self.me)?;
        own.addresses.get(link).copied().flatten()
    }

    /// Both addresses of the link to a host, this host's first, and the link's settings; `None` if one host
    /// is not on it.
    pub(super) fn ends(&self, host: NodeId, link: usize) -> Option<(IpAddr, IpAddr, &LinkSettings)> {
        let watch = self.links.get(link)?.as_ref()?;
        let own = self.own_address(link)?;
        let there = self.hosts.iter().find(|known| known.id == host)?.addresses[link]?;
        Some((own, there, watch))
    }

    /// Checks that the settings do not contradict each other.
    ///
    /// # Errors
    /// The first contradiction that was found.
    pub(super) fn check(&self) -> Result<(), Refused> {
        let refuse = |reason: String| Err(Refused(reason));
        let mut ids: Vec<_> = self.hosts.iter().map(|host| host.id).collect();
        ids.sort_unstable();
        if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return refuse(format!("node {} is in the node list twice", twice[0]));
        }
        if let Some(large) = ids.last().filter(|id| id.get() > u32::from(u16::MAX)) {
            return refuse(format!("node id {large} is too large for knet, which has ids up to 65535"));
        }
        if !ids.contains(&self.me) {
            return refuse(format!("this node, {}, is not in the node list", self.me));
        }
        for (number, watch) in self.links.iter().enumerate() {
            let Some(watch) = watch else { continue };
            if watch.ping_interval.is_zero() || watch.ping_timeout.is_zero() || watch.ping_precision == 0 {
                return refuse(format!("link {number}: a ping timer or precision of 0"));
            }
            let own = self.own_address(number);
            for host in &self.hosts {
                if let (Some(own), Some(there)) = (own, host.addresses[number])
                    && own.is_ipv4() != there.is_ipv4()
                {
                    return refuse(format!(
                        "link {number}: this node has {own} and node {} has {there}; a link is of one family",
                        host.id
                    ));
                }
            }
        }
        Ok(())
    }
}
