//! What a node is made of, decided from its settings before anything is opened. Whatever can be refused without
//! a look at the host is refused here.

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

/// What a node is made of.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// What its sockets are opened with; checked.
    pub(super) options: Options,
    pub(super) timeouts: Timeouts,
    /// Only listed nodes may be on the ring.
    pub(super) listed_only: bool,
    /// What the configuration database begins with.
    pub(super) map: Map,
    /// All addresses of the nodes, of all links.
    pub(super) addresses: BTreeMap<NodeId, Vec<IpAddr>>,
}

impl Plan {
    /// What clients may be told of the nodes. `managed`: there is a program around the node that does errands.
    pub(super) fn facts(&self, managed: bool) -> admin::Facts {
        let mtu = message_mtu(self.options.netmtu, self.options.address);
        admin::Facts { addresses: self.addresses.clone(), mtu, managed }
    }

    /// Makes the node without its sockets, as [`Driver`](super::driver::Driver) will, and forgets it: what is
    /// refused there is refused here. Votes that were kept over restarts count as none.
    ///
    /// # Errors
    /// What is refused.
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

    /// What there is to say of the rules of quorum, if votes are counted.
    ///
    /// # Errors
    /// What is refused.
    pub(super) fn advice(&self) -> Result<Vec<Advice>, SetupError> {
        let database = database_of(&self.map);
        if !settings::provider(&database)? {
            return Ok(Vec::new());
        }
        Ok(advice::of(&Reading::at_start(&database, Some(0))?))
    }
}

/// Bytes of a message that one packet of the ring holds: without the headers of IP, UDP and the ring.
///
/// Source: corosync 3.1.7, as its NODESTATUSGET tells.
fn message_mtu(netmtu: usize, address: IpAddr) -> u32 {
    let below = if address.is_ipv4() { 28 } else { 48 };
    u32::try_from(netmtu.saturating_sub(below + 62)).unwrap_or(u32::MAX)
}

/// A configuration of which nothing is known but the ring: every peer votes, more than half of them are needed.
pub(super) fn described(
    kind: &Kind,
    port: u16,
    me: NodeId,
    peers: &[Peer],
    votes: &BTreeMap<u32, u32>,
) -> Map {
    let mut map = Map::default();
    let mut set = |name: &str, value: Value| {
        // These names and values fit, and are few.
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
