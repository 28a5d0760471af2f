//! Starts a node from its settings.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::admission::Policy;
use super::blame::placed;
use super::command::{self, Handle};
use super::driver::{Driver, DriverError, Parts};
use super::embedded::Node;
use super::errands::Errand;
use super::error::NodeError;
use super::kept_votes::KeptVotes;
use super::knet::{Ground, Knet};
use super::links;
use super::plan::{Plan, described};
use super::store::Store;
use super::thread::RingThread;
use crate::config::Config;
use crate::config::key::Key;
use crate::config::map::{Map, Origin};
use crate::config::quorum::Quorum;
use crate::config::timeouts::{Given, Timeouts};
use crate::config::totem::TransportKind;
use crate::ids::NodeId;
use crate::ipc;
use crate::stack::Setup;
use crate::transport::knet;
use crate::transport::{Cast, Kind, Options, Peer, Transport, TransportError};

/// Number of attempts to open the sockets.
const ATTEMPTS: u32 = 10;
/// Pause after the first attempt; each further pause is longer by the same amount.
const PAUSE: Duration = Duration::from_millis(100);

/// Settings of a node, with defaults for all but its id and its peers.
#[derive(Clone, Debug)]
pub struct Builder {
    id: u32,
    address: Option<IpAddr>,
    interface: Option<String>,
    port: u16,
    peers: Vec<(u32, IpAddr)>,
    links: BTreeMap<NodeId, Vec<IpAddr>>,
    way: Way,
    timeouts: Option<Timeouts>,
    given: Given,
    netmtu: Option<usize>,
    block_unlisted: bool,
    state_dir: Option<PathBuf>,
    quorum: Quorum,
    votes: BTreeMap<u32, u32>,
    /// Initial content of the configuration database; `None`: it is derived from the other settings.
    map: Option<Map>,
    /// A key that a key change left beside the one in use.
    next_key: Option<Key>,
}

/// The transport and its settings.
#[derive(Clone, Debug)]
enum Way {
    Udpu,
    Udp(Cast),
    /// Settings made by a program.
    Knet(Box<Knet>),
    /// Settings read from a configuration.
    Links(Box<knet::Options>),
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            id: 0,
            address: None,
            interface: None,
            port: Options::DEFAULT_PORT,
            peers: Vec::new(),
            links: BTreeMap::new(),
            way: Way::Udpu,
            timeouts: None,
            given: Given::default(),
            netmtu: None,
            block_unlisted: true,
            state_dir: None,
            quorum: Quorum::default(),
            votes: BTreeMap::new(),
            map: None,
            next_key: None,
        }
    }
}

impl Node {
    /// Makes the settings of a node to start.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// The node that a configuration describes for this host. Its state directory is not used, as an application
    /// usually may not write there: see [`Builder::state_dir`].
    ///
    /// # Errors
    /// [`NodeError::Config`] with file and line: the configuration needs something that this version cannot run, does
    /// not give the address or multicast group, or has a setting with which no ring can form.
    pub fn from_config(config: &Config) -> Result<Self, NodeError> {
        let builder = Self::of(config).map_err(|error| placed(config, error))?;
        builder.clone().plan().map_err(|error| placed(config, error))?;
        Ok(builder)
    }

    fn of(config: &Config) -> Result<Self, NodeError> {
        config.check_runnable()?;
        let totem = &config.totem;
        let link = config.link();
        let way = match totem.transport {
            TransportKind::Udp => match link {
                Some(link) if link.broadcast => Way::Udp(Cast::Broadcast),
                Some(link) => {
                    let group = link.multicast.ok_or(NodeError::NoAddress)?;
                    Way::Udp(Cast::Multicast { group, ttl: link.ttl })
                }
                None => return Err(NodeError::NoAddress),
            },
            TransportKind::Udpu => Way::Udpu,
            TransportKind::Knet => Way::Links(Box::new(links::of(config)?)),
        };
        let links = config
            .nodes
            .iter()
            .filter_map(|node| Some((node.id?, node.addresses.iter().map(|link| link.address).collect())))
            .collect();
        Ok(Self {
            id: config.me().get(),
            address: config.bind_address().or_else(|| config.own_address()),
            interface: config.bind_interface().map(str::to_owned),
            port: config.port(),
            peers: config.members().map(|(id, address)| (id.get(), address)).collect(),
            links,
            way,
            timeouts: Some(totem.timeouts.clone()),
            given: totem.given.clone(),
            netmtu: Some(totem.netmtu as usize),
            block_unlisted: totem.block_unlisted_ips,
            state_dir: None,
            quorum: Quorum::default(),
            votes: BTreeMap::new(),
            map: Some(config.map.clone()),
            next_key: None,
        })
    }

    /// Sets this node's id. It is not 0 and differs on each node. The member with the lowest id is the
    /// representative.
    #[must_use]
    pub fn id(mut self, id: u32) -> Self {
        self.id = id;
        self
    }

    /// Sets the local address to bind to. Default: that of the peer with this node's id.
    #[must_use]
    pub fn address(mut self, address: impl Into<IpAddr>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Sets the interface that has the address, by name, as several interfaces may have the same link-local address.
    /// Default: the first that has the address.
    #[must_use]
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interface = Some(name.into());
        self
    }

    /// Sets the UDP port, the same on all nodes; udp also uses the port below it. Default: 5405.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the nodes that may be on the ring, by id and address. This node may be among them. The ring forms of
    /// those that run.
    #[must_use]
    pub fn peers(mut self, peers: impl IntoIterator<Item = (u32, IpAddr)>) -> Self {
        self.peers = peers.into_iter().collect();
        self
    }

    /// Sends each datagram to each node separately, which works on any network. The default.
    #[must_use]
    pub fn udpu(mut self) -> Self {
        self.way = Way::Udpu;
        self
    }

    /// Sends data by IP multicast or broadcast: each message once, however many nodes there are.
    #[must_use]
    pub fn udp(mut self, cast: Cast) -> Self {
        self.way = Way::Udp(cast);
        self
    }

    /// Uses transport knet, compatible with Corosync's: one or several monitored and encrypted links to each node.
    /// Node ids are then at most 65535.
    #[must_use]
    pub fn knet(mut self, links: Knet) -> Self {
        self.way = Way::Knet(Box::new(links));
        self
    }

    /// Sets all timers and limits of the ring. Default: derived as in Corosync from [`Builder::timing`] and the
    /// number of peers, which gives a token timeout of 3 s for two nodes.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = Some(timeouts);
        self
    }

    /// Sets single timers and limits; the rest is derived from them and the number of peers.
    #[must_use]
    pub fn timing(mut self, given: Given) -> Self {
        self.given = given;
        self.timeouts = None;
        self
    }

    /// Sets the packet size that frames are made to fit, in bytes. Default: 1500; with [`Builder::knet`], which
    /// fragments frames itself, 65536.
    #[must_use]
    pub fn netmtu(mut self, bytes: usize) -> Self {
        self.netmtu = Some(bytes);
        self
    }

    /// Sets the directory for the file `ringid_<id>`; it must exist, see [`Store`]. Default: none, and ring ids begin
    /// at the wall clock, see [`Store::memory`].
    #[must_use]
    pub fn state_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(dir.into());
        self
    }

    /// Sets the quorum rules, which decide who may act when the cluster is partitioned. Fields that are `None` keep
    /// their earlier value. Default: every peer has one vote, and a majority is needed. A provider of `""` switches
    /// quorum off: every partition may act.
    ///
    /// ```
    /// use annulus::config::quorum::Quorum;
    /// use annulus::node::Node;
    ///
    /// let pair = Quorum { two_node: Some(true), wait_for_all: Some(false), ..Quorum::default() };
    /// let builder = Node::builder().quorum(pair);
    /// ```
    #[must_use]
    pub fn quorum(mut self, quorum: Quorum) -> Self {
        self.quorum = quorum;
        self
    }

    /// Sets the votes of nodes, by id. Default: 1 each. They must be the same on all nodes, and only have an effect
    /// with [`Builder::peers`].
    #[must_use]
    pub fn votes(mut self, votes: impl IntoIterator<Item = (u32, u32)>) -> Self {
        self.votes = votes.into_iter().collect();
        self
    }

    /// Starts the node in a thread of its own, so that no task of the application makes it late with the token. The
    /// first ring forms in the background; see [`Node::ready`].
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(self) -> Result<Node, NodeError> {
        let me = NodeId::new(self.id).ok_or(NodeError::NoId)?;
        // A daemon logs this advice itself, with the places in its file.
        for advice in self.clone().plan()?.advice()? {
            tracing::warn!(target: "annulus::quorum", "{}", advice.text);
        }
        let (handle, thread) = RingThread::start(format!("annulus-{me}"), move || async move {
            let store = match &self.state_dir {
                Some(dir) => Store::open(dir, me)?,
                None => Store::memory(),
            };
            self.assemble(store, None, None).await
        })
        .await?;
        Ok(Node::new(me, handle, thread))
    }

    /// Makes the plan of the node, without any IO.
    ///
    /// # Errors
    /// Everything that can be refused before the sockets are opened, except the rules of quorum.
    pub(super) fn plan(self) -> Result<Plan, NodeError> {
        let me = NodeId::new(self.id).ok_or(NodeError::NoId)?;
        let mut peers = Vec::with_capacity(self.peers.len());
        for (id, addr) in self.peers {
            peers.push(Peer { id: NodeId::new(id).ok_or(NodeError::PeerZero(addr))?, addr });
        }
        // Without a list, or with this node alone in it on a multicast ring, the other nodes are discovered.
        let listed_only = self.block_unlisted && peers.iter().any(|peer| peer.id != me);
        let own = peers.iter().find(|peer| peer.id == me).map(|peer| peer.addr);
        let address = self.address.or(own).ok_or(NodeError::NoAddress)?;
        if own.is_none() {
            peers.push(Peer { id: me, addr: address });
        }
        let timeouts = self.timeouts.unwrap_or_else(|| Timeouts::derive(&self.given, peers.len()));
        let kind = match self.way {
            Way::Udpu => Kind::Udpu,
            Way::Udp(cast) => Kind::Udp(cast),
            Way::Links(options) => Kind::Knet(options),
            Way::Knet(links) => {
                let ground = Ground { me, peers: &peers, port: self.port, interface: self.interface.clone() };
                Kind::Knet(Box::new(links.options(ground, &timeouts, self.block_unlisted)?))
            }
        };
        let mut addresses: BTreeMap<NodeId, Vec<IpAddr>> =
            peers.iter().map(|peer| (peer.id, vec![peer.addr])).collect();
        addresses.extend(self.links);
        let netmtu = if let Kind::Knet(knet) = &kind {
            links::check(knet)?;
            let hosts = knet.settings.hosts.iter();
            addresses.extend(hosts.map(|host| (host.id, host.addresses.iter().flatten().copied().collect())));
            links::NETMTU
        } else {
            1500
        };
        let mut map = self.map.unwrap_or_else(|| described(&kind, self.port, me, &peers, &self.votes));
        for (key, value) in self.quorum.keys() {
            map.set(key.as_bytes(), value, Origin::Derived).map_err(|_| NodeError::Quorum(key))?;
        }
        let mut options = Options::new(kind, me, address, peers);
        options.interface = self.interface;
        options.port = self.port;
        options.netmtu = self.netmtu.unwrap_or(netmtu);
        options.block_unlisted = self.block_unlisted;
        options.window = timeouts.window_size;
        options.check()?;
        Ok(Plan { options, timeouts, listed_only, map, addresses })
    }

    /// Sets a key that an unfinished key change left beside the one in use. Default: none.
    #[cfg_attr(not(feature = "daemon"), expect(dead_code, reason = "only the daemon has a key file"))]
    pub(crate) fn next_key(mut self, key: Option<Key>) -> Self {
        self.next_key = key;
        self
    }

    /// Opens the sockets and makes the node. Tries again for a while if a port is in use or the interface is not up
    /// yet.
    pub(crate) async fn assemble(
        self,
        store: Store,
        server: Option<(ipc::Server, Policy)>,
        errand: Option<Errand>,
    ) -> Result<(Handle, Driver), NodeError> {
        let next_key = self.next_key.clone();
        let plan = self.plan()?;
        let me = plan.options.me;
        let facts = plan.facts(errand.is_some());
        let Plan { options, timeouts, listed_only, map, .. } = plan;
        let kept = kept_votes(&map, &store).await?;
        let transport = open(&options).await?;
        let (handle, inbox) = command::channel();
        let parts = Parts {
            me,
            timeouts,
            netmtu: options.netmtu,
            setup: Setup { map, facts, kept_votes: kept.as_ref().map(KeptVotes::first) },
            kind: options.kind,
            peers: options.peers,
            listed_only,
            transport,
            next_key,
            store,
            kept,
            server,
            errand,
        };
        let driver = Driver::new(parts, inbox).map_err(|error| match error {
            DriverError::Runtime(error) => NodeError::Runtime(error.to_string()),
            DriverError::Setup(error) => error.into(),
        })?;
        Ok((handle, driver))
    }
}

/// Opens the file with the highest expected votes, if the configuration asks for it and there is a state directory.
/// Without a directory, the quorum desk reports that it is missing.
async fn kept_votes(map: &Map, store: &Store) -> Result<Option<KeptVotes>, NodeError> {
    let wanted = ["quorum.expected_votes_tracking", "quorum.allow_downscale"]
        .into_iter()
        .any(|key| map.u32(key).is_some_and(|n| n != 0));
    let Some(dir) = store.dir().filter(|_| wanted).map(Path::to_owned) else { return Ok(None) };
    let opened = tokio::task::spawn_blocking(move || KeptVotes::open(&dir))
        .await
        .map_err(|error| NodeError::Runtime(error.to_string()))?;
    if let Err(error) = &opened {
        tracing::error!(target: "annulus::node", "{error}");
    }
    Ok(opened.ok())
}

/// Tries as often as Corosync, with the same pauses: a process that has just ended may still hold the port, or the
/// interface may be about to come up.
async fn open(options: &Options) -> Result<Transport, TransportError> {
    for attempt in 1..ATTEMPTS {
        match Transport::open(options) {
            Err(error) if error.may_pass() => {
                if attempt == 1 {
                    tracing::warn!(target: "annulus::node", "{error}; trying again");
                }
                tokio::time::sleep(PAUSE * attempt).await;
            }
            outcome => return outcome,
        }
    }
    Transport::open(options)
}
