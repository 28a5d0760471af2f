//! The plan of a node, made from its settings before anything is opened. Everything that can be refused without
//! looking at the host is refused here.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::admin;
use crate::config::map::{Map, Origin};
use crate::config::timeouts::Timeouts;
use crate::ids::{NodeId, Seq};
use crate::quorum::advice::{self, Advice};
use crate::quorum::settings::{self, Reading};
use crate::stack::{Setup, SetupError, Stack, database_of};
use crate::time::Instant;
use crate::totem::{Params, RESERVE};
use crate::transport::{Kind, Options, Peer};
use crate::value::Value;

/// The parts of a node, before they are made.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Checked options for opening its sockets.
    pub(super) options: Options,
    pub(super) timeouts: Timeouts,
    /// Whether only listed nodes may be on the ring.
    pub(super) listed_only: bool,
    /// Initial content of the configuration database.
    pub(super) map: Map,
    /// All addresses of the nodes, on all links.
    pub(super) addresses: BTreeMap<NodeId, Vec<IpAddr>>,
}

impl Plan {
    /// The facts about nodes for clients. `managed`: whether the program around the node carries out errands.
    pub(super) fn facts(&self, managed: bool) -> admin::Facts {
        let mtu = message_mtu(self.options.netmtu, self.options.address);
        admin::Facts { addresses: self.addresses.clone(), mtu, managed }
    }

    /// Makes and drops the stack without sockets, as [`Driver`](super::driver::Driver) will, so that errors show here.
    /// Votes kept over restarts are taken as 0.
    ///
    /// # Errors
    /// The stack does not accept the settings.
    pub(super) fn try_stack(&self) -> Result<(), SetupError> {
        let params = Params {
            me: self.options.me,
            timeouts: self.timeouts.clone(),
            netmtu: self.options.netmtu,
            ring_seq: 0,
            stored: RESERVE,
            life: 1,
            origin: Seq(0),
        };
        let setup = Setup { map: self.map.clone(), facts: self.facts(true), kept_votes: Some(0) };
        Stack::new(params, setup, Instant::ZERO).map(drop)
    }

    /// Advice on the quorum rules, if votes are counted.
    ///
    /// # Errors
    /// The quorum settings are invalid.
    pub(super) fn advice(&self) -> Result<Vec<Advice>, SetupError> {
        Ok(self.reading()?.map_or_else(Vec::new, |reading| advice::of(&reading)))
    }

    /// The settings for votes, if they are counted.
    ///
    /// # Errors
    /// The quorum settings are invalid.
    pub(super) fn reading(&self) -> Result<Option<Reading>, SetupError> {
        let database = database_of(&self.map);
        if !settings::provider(&database)? {
            return Ok(None);
        }
        Ok(Some(Reading::at_start(&database, Some(0))?))
    }
}

/// Bytes of a message that fit into one packet of the ring, without the headers of IP, UDP and the ring.
///
/// Source: Corosync 3.1.7, reply to NODESTATUSGET.
fn message_mtu(netmtu: usize, address: IpAddr) -> u32 {
    let below = if address.is_ipv4() { 28 } else { 48 };
    u32::try_from(netmtu.saturating_sub(below + 62)).unwrap_or(u32::MAX)
}

/// The configuration of a node that was set up with [`Builder`](super::Builder) only: every peer votes, and a
/// majority is needed.
pub(super) fn described(
    kind: &Kind,
    port: u16,
    me: NodeId,
    peers: &[Peer],
    votes: &BTreeMap<u32, u32>,
) -> Map {
    let mut map = Map::default();
    let mut set = |name: &str, value: Value| {
        // Setting fails only for long names or values, or at the limit of keys, which do not occur here.
        let _ = map.set(name.as_bytes(), value, Origin::Derived);
    };
    set("totem.version", Value::U32(2));
    set("totem.transport", Value::text(kind.name()));
    set("totem.interface.0.mcastport", Value::U16(port));
    if let Kind::Knet(knet) = kind {
        for (link, settings) in knet.settings.links.iter().enumerate() {
            let Some(settings) = settings else { continue };
            set(&format!("totem.interface.{link}.mcastport"), Value::U16(settings.port));
        }
        if let Some(crypto) = &knet.crypto {
            set("totem.crypto_cipher", Value::text(crypto.suite.cipher.name()));
            set("totem.crypto_hash", Value::text(crypto.suite.hash.name()));
        }
    }
    set("quorum.provider", Value::text("corosync_votequorum"));
    for (position, peer) in peers.iter().enumerate() {
        set(&format!("nodelist.node.{position}.nodeid"), Value::U32(peer.id.get()));
        set(&format!("nodelist.node.{position}.ring0_addr"), Value::text(peer.addr.to_string()));
        let host = match kind {
            Kind::Knet(knet) => knet.settings.hosts.iter().find(|host| host.id == peer.id),
            Kind::Udpu | Kind::Udp(_) => None,
        };
        for (link, address) in host.iter().flat_map(|host| host.addresses.iter().enumerate()) {
            let Some(address) = address else { continue };
            set(&format!("nodelist.node.{position}.ring{link}_addr"), Value::text(address.to_string()));
        }
        if let Some(votes) = votes.get(&peer.id.get()) {
            set(&format!("nodelist.node.{position}.quorum_votes"), Value::U32(*votes));
        }
        if peer.id == me {
            set("nodelist.local_node_pos", Value::U32(position as u32));
        }
    }
    map
}
