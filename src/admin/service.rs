//! The administration desk: answers who and where the nodes are. Every other request of Corosync's CFG
//! service is answered `CS_ERR_NOT_SUPPORTED`, in the length that its sender waits for; exec messages of
//! Corosync nodes are noted in the log and change nothing here.
//!
//! Source: corosync `exec/cfg.c`, `cfg_get_node_addrs(3)`, `cfg_local_get(3)`.

use core::net::IpAddr;
use std::collections::BTreeMap;

use super::wire::reply::refusal;
use super::wire::request::number;
use super::wire::{self, Reply};
use crate::error::Status;
use crate::ids::{ConnId, NodeId, ServiceId};
use crate::service::{Delivery, Effects, Request, Service, Synchronised};
use crate::view::View;

/// What the configuration says of the cluster's nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Each node's addresses in the order of its links; `nodelist.node.X.ringN_addr`.
    pub addresses: BTreeMap<NodeId, Vec<IpAddr>>,
}

/// The desk of service 1.
#[derive(Debug)]
pub struct Desk {
    me: NodeId,
    facts: Facts,
}

impl Desk {
    /// The desk of this node.
    pub const fn new(me: NodeId, facts: Facts) -> Self {
        Self { me, facts }
    }

    /// The configuration changed.
    pub fn set_facts(&mut self, facts: Facts) {
        self.facts = facts;
    }

    fn node_addrs(&self, node: u32) -> Vec<u8> {
        let node = if node == 0 { Some(self.me) } else { NodeId::new(node) };
        match node.and_then(|node| self.facts.addresses.get(&node)) {
            Some(addresses) if !addresses.is_empty() => {
                Reply::NodeAddrs(addresses.clone()).encode(number::NODE_ADDRS)
            }
            _ => refusal(number::NODE_ADDRS, Status::NotExist),
        }
    }
}

impl Service for Desk {
    fn id(&self) -> ServiceId {
        ServiceId::CFG
    }

    fn functions(&self) -> u16 {
        wire::exec::COUNT
    }

    fn requests(&self) -> u16 {
        number::COUNT
    }

    /// Nothing that is served here touches the ring.
    fn needs_flow_control(&self, _request: u16) -> bool {
        false
    }

    fn deliver(&mut self, delivery: Delivery, _effects: &mut dyn Effects) {
        let Delivery { from, function, .. } = delivery;
        tracing::info!(%from, function, "administrative message of another node, not acted on here");
    }

    fn connected(&mut self, _conn: ConnId, _effects: &mut dyn Effects) {}

    fn request(&mut self, conn: ConnId, function: u16, request: Request<'_>, effects: &mut dyn Effects) {
        let reply = match wire::Request::decode(function, request.bytes) {
            None => refusal(function, Status::InvalidParam),
            Some(wire::Request::NodeAddrs { node }) => self.node_addrs(node),
            Some(wire::Request::LocalGet) => Reply::LocalGet(self.me.get()).encode(function),
            Some(_) => refusal(function, Status::NotSupported),
        };
        effects.reply(conn, &reply);
    }

    fn disconnected(&mut self, _conn: ConnId, _effects: &mut dyn Effects) {}

    fn retry(&mut self, _effects: &mut dyn Effects) {}

    fn view(&mut self, _view: &View, _effects: &mut dyn Effects) {}

    fn sync(&mut self) -> Option<&mut dyn Synchronised> {
        None
    }
}
