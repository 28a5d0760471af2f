//! The links of transport knet, for a program that is a node itself and has no configuration file.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::error::NodeError;
use super::links::THRESHOLD;
use crate::config::key::Key;
use crate::config::timeouts::Timeouts;
use crate::config::totem::ping_times;
use crate::ids::NodeId;
use crate::transport::Peer;
use crate::transport::knet::envelope::{Cipher, Hash, Suite};
use crate::transport::knet::{Compression, Crypto, Host, LINKS, LinkMode, LinkSettings, Options, Settings};

/// Links between the nodes, for [`Builder::knet`](super::Builder::knet). Up to eight links are monitored and
/// encrypted, so that the ring survives the failure of a network. Compatible with Corosync's transport knet.
///
/// [`Builder::peers`](super::Builder::peers) gives link 0; [`Knet::link`] adds the next. All other settings have the
/// defaults of [`corosync.conf(5)`](crate::config): ping times follow the token timeout, and the path MTU is
/// discovered.
///
/// ```
/// use annulus::config::key::Key;
/// use annulus::node::{Knet, Node};
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// // The same on all nodes; `annulus keygen` makes one.
/// let key = Key::new(&std::fs::read("/etc/my-program/key")?)?;
/// let second = [(1, "10.1.0.1".parse()?), (2, "10.1.0.2".parse()?)];
/// let builder = Node::builder()
///     .id(1)
///     .peers([(1, "10.0.0.1".parse()?), (2, "10.0.0.2".parse()?)])
///     .knet(Knet::encrypted(key).link(second));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Knet {
    crypto: Option<Crypto>,
    /// The addresses on links 1, 2 and so on.
    further: Vec<Vec<(u32, IpAddr)>>,
    mode: LinkMode,
    mtu: Option<u16>,
}

/// The builder's settings for link 0.
#[derive(Debug)]
pub(super) struct Ground<'a> {
    pub(super) me: NodeId,
    /// All nodes with their addresses, including this one.
    pub(super) peers: &'a [Peer],
    pub(super) port: u16,
    /// The interface that must have this node's address, if one is given.
    pub(super) interface: Option<String>,
}

impl Knet {
    /// Encrypts all packets with AES-256 and authenticates them with SHA-256. All nodes need the same key.
    pub fn encrypted(key: Key) -> Self {
        let suite = Suite { cipher: Cipher::Aes256, hash: Hash::Sha256 };
        Self { crypto: Some(Crypto { suite, key }), ..Self::in_the_clear() }
    }

    /// Runs without encryption: whoever reaches the network can read and forge packets. For tests, and for networks
    /// that are protected otherwise.
    pub fn in_the_clear() -> Self {
        Self { crypto: None, further: Vec::new(), mode: LinkMode::default(), mtu: None }
    }

    /// Sets another cipher and hash. No effect without encryption.
    #[must_use]
    pub fn suite(mut self, suite: Suite) -> Self {
        if let Some(crypto) = &mut self.crypto {
            crypto.suite = suite;
        }
        self
    }

    /// Adds a link: the address of every node on it, by id. Its UDP port is that of
    /// [`Builder::port`](super::Builder::port) plus the link's number. The networks of the links should not fail
    /// together.
    #[must_use]
    pub fn link(mut self, addresses: impl IntoIterator<Item = (u32, IpAddr)>) -> Self {
        self.further.push(addresses.into_iter().collect());
        self
    }

    /// Sets how several links are used. Default: only the first that works.
    #[must_use]
    pub fn mode(mut self, mode: LinkMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the IP packet size that all paths carry, in bytes, at least 576. Default: it is discovered.
    #[must_use]
    pub fn mtu(mut self, bytes: u16) -> Self {
        self.mtu = Some(bytes);
        self
    }

    /// Makes the transport's options from these settings and those of the builder.
    ///
    /// # Errors
    /// [`NodeError::Links`]: the links do not fit the peers or each other.
    pub(super) fn options(
        &self,
        ground: Ground<'_>,
        timeouts: &Timeouts,
        block_unlisted: bool,
    ) -> Result<Options, NodeError> {
        let Ground { me, peers, port, interface } = ground;
        let wrong = |why: String| Err(NodeError::Links(why));
        if self.further.len() >= LINKS {
            return wrong(format!("{} links are too many, there may be {LINKS}", self.further.len() + 1));
        }
        if let Some(mtu) = self.mtu.filter(|mtu| *mtu < 576) {
            return wrong(format!("an MTU of {mtu} bytes is too small, give 576 or more"));
        }
        let mut hosts = Vec::with_capacity(peers.len());
        for peer in peers {
            if peer.id.get() > u16::MAX.into() {
                return wrong(format!("node id {} is too large for knet, give 1 to 65535", peer.id));
            }
            let mut addresses = [None; LINKS];
            addresses[0] = Some(peer.addr);
            hosts.push(Host { id: peer.id, addresses });
        }
        for (link, given) in (1..).zip(&self.further) {
            let mut seen = BTreeSet::new();
            for (id, address) in given {
                let Some(host) = hosts.iter_mut().find(|host| host.id.get() == *id) else {
                    return wrong(format!("node {id} is on link {link}, and is none of Builder::peers"));
                };
                if !seen.insert(*id) {
                    return wrong(format!("node {id} has two addresses on link {link}"));
                }
                host.addresses[link] = Some(*address);
            }
            if let Some(host) = hosts.iter().find(|host| host.addresses[link].is_none()) {
                return wrong(format!("node {} has no address on link {link}; give it one", host.id));
            }
        }
        let mut links = [const { None }; LINKS];
        for (link, number) in links.iter_mut().take(self.further.len() + 1).zip(0u16..) {
            let Some(port) = port.checked_add(number).filter(|port| *port != 0) else {
                return wrong(format!("UDP port {port} plus the number of link {number} is no port"));
            };
            let pong_count = 2;
            let (ping_interval, ping_timeout) = ping_times(timeouts.token, pong_count);
            *link = Some(LinkSettings {
                port,
                priority: 1,
                ping_interval,
                ping_timeout,
                ping_precision: 2048,
                pong_count,
            });
        }
        let mut options = Options::new(Settings {
            me,
            hosts,
            links,
            mode: self.mode,
            pmtud_interval: std::time::Duration::from_secs(30),
            mtu: self.mtu,
            compression: Compression::None,
            compression_threshold: THRESHOLD,
            compression_level: 0,
            block_unlisted,
        });
        options.interfaces[0] = interface;
        // A program does not have the privileges of a daemon to enlarge socket buffers.
        options.allow_small_buffers = true;
        options.crypto.clone_from(&self.crypto);
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::timeouts::Given;

    fn peers() -> Vec<Peer> {
        let peer = |id: u8| Peer { id: NodeId::new(id.into()).unwrap(), addr: [127, 0, 0, id].into() };
        vec![peer(1), peer(2)]
    }

    fn options(knet: &Knet, port: u16) -> Result<Options, String> {
        let timeouts = Timeouts::derive(&Given::default(), 2);
        let me = NodeId::new(1).unwrap();
        let ground = Ground { me, peers: &peers(), port, interface: None };
        knet.options(ground, &timeouts, true).map_err(|error| error.to_string())
    }

    fn second(ids: &[u8]) -> Vec<(u32, IpAddr)> {
        ids.iter().map(|id| (u32::from(*id), [127, 0, 1, *id].into())).collect()
    }

    #[test]
    fn links_have_the_defaults_of_a_configuration() {
        let knet = Knet::encrypted(Key::new(&[3; 128]).unwrap()).link(second(&[2, 1])).mode(LinkMode::Active);
        let options = options(&knet, 5405).unwrap();
        let Settings { hosts, links, mode, .. } = &options.settings;
        let ports: Vec<u16> = links.iter().flatten().map(|link| link.port).collect();
        assert_eq!((ports, *mode), (vec![5405, 5406], LinkMode::Active));
        assert_eq!(hosts[1].addresses[..3], [Some([127, 0, 0, 2].into()), Some([127, 0, 1, 2].into()), None]);
        let first = links[0].as_ref().unwrap();
        assert_eq!((first.ping_interval.as_millis(), first.ping_timeout.as_millis()), (750, 1500));
        let crypto = options.crypto.unwrap();
        assert_eq!((crypto.suite.cipher, crypto.suite.hash), (Cipher::Aes256, Hash::Sha256));
    }

    #[test]
    fn impossible_links_are_refused() {
        let clear = Knet::in_the_clear;
        let nine = (0..8).fold(clear(), |knet, _| knet.link(second(&[1, 2])));
        for (knet, port, why) in [
            (clear().link(second(&[1])), 5405, "node 2 has no address on link 1"),
            (clear().link(second(&[1, 2, 3])), 5405, "node 3 is on link 1, and is none of Builder::peers"),
            (clear().link(second(&[1, 2, 2])), 5405, "node 2 has two addresses on link 1"),
            (nine, 5405, "9 links are too many"),
            (clear().link(second(&[1, 2])), u16::MAX, "is no port"),
            (clear(), 0, "is no port"),
            (clear().mtu(500), 5405, "an MTU of 500 bytes is too small"),
        ] {
            let told = options(&knet, port).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}
