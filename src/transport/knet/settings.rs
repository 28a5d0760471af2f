//! What a knet transport is told: the hosts, the links to them and how they are watched.

use std::net::IpAddr;
use std::time::Duration;

use crate::ids::NodeId;

/// Links that two hosts can have. Source: libknet, `KNET_MAX_LINK`.
pub const LINKS: usize = 8;

/// How messages use several links that work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkMode {
    /// The one with the highest priority; of equal ones the lowest number.
    #[default]
    Passive,
    /// All of them: each datagram on every link, the receiver drops the copies.
    Active,
    /// One after the other, message by message.
    RoundRobin,
}

/// Which compression messages are sent with. What is received is taken apart whatever is configured here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// None.
    #[default]
    None,
    /// zlib (RFC 1950).
    Zlib,
    /// LZ4 block format.
    Lz4,
    /// LZ4 block format, sought for longer.
    Lz4Hc,
    /// zstd. libknet 1.25 dies of it unless it is configured with zstd itself.
    Zstd,
}

/// One link: a port, and how it is watched. The same on all hosts but for what each decides alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    /// UDP port of the link on every host. Default: 5405 plus the link's number.
    pub port: u16,
    /// Priority in [`LinkMode::Passive`]. Default: 1.
    pub priority: u8,
    /// Time between pings.
    pub ping_interval: Duration,
    /// Silence after which the link is down.
    pub ping_timeout: Duration,
    /// How many values the latency is averaged over; not 0. Default: 2048.
    pub ping_precision: u32,
    /// One less than the pongs after which the link is up. Default: 2.
    pub pong_count: u32,
}

/// A host and its address on each link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The node; at most 65535.
    pub id: NodeId,
    /// Its address by link number; `None` where it is not on that link.
    pub addresses: [Option<IpAddr>; LINKS],
}

/// Everything the [`Engine`](super::Engine) needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This node.
    pub me: NodeId,
    /// All hosts of the node list, this one included.
    pub hosts: Vec<Host>,
    /// The links, by number.
    pub links: [Option<LinkSettings>; LINKS],
    /// How several links are used. Default: passive.
    pub mode: LinkMode,
    /// Time between searches for the path MTU. Default: 30 s.
    pub pmtud_interval: Duration,
    /// IP packet size in bytes to go by instead of a search. Default: `None`.
    pub mtu: Option<u16>,
    /// Compression of what is sent. Default: none.
    pub compression: Compression,
    /// Messages longer than this are compressed; bytes. Default: 100.
    pub compression_threshold: usize,
    /// The compression's own level. Default: 0.
    pub compression_level: i32,
    /// Accept control packets of a link from the configured address alone. Default: yes.
    pub block_unlisted: bool,
}

/// Why settings are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl Settings {
    /// Of this node, with neither hosts nor links.
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

    /// This host's address on a link.
    pub(super) fn own_address(&self, link: usize) -> Option<IpAddr> {
        let own = self.hosts.iter().find(|host| host.id == self.me)?;
        own.addresses.get(link).copied().flatten()
    }

    /// Both addresses of the link to a host, this one's first, and how it is watched; `None` if one is not on it.
    pub(super) fn ends(&self, host: NodeId, link: usize) -> Option<(IpAddr, IpAddr, &LinkSettings)> {
        let watch = self.links.get(link)?.as_ref()?;
        let own = self.own_address(link)?;
        let there = self.hosts.iter().find(|known| known.id == host)?.addresses[link]?;
        Some((own, there, watch))
    }

    /// Whether they can be gone by.
    ///
    /// # Errors
    /// What contradicts what.
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
