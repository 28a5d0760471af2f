//! The administration desk: answers who and where the nodes are. Every other request of Corosync's CFG
//! service is answered `CS_ERR_NOT_SUPPORTED`, in the length that its sender waits for; exec messages of
//! Corosync nodes are noted in the log and change nothing here.
//!
//! Source: corosync `exec/cfg.c`, `cfg_get_node_addrs(3)`, `cfg_local_get(3)`.

use core::net::IpAddr;
use std::collections::BTreeMap;

use zerocopy::{FromBytes, IntoBytes, U32};

use super::wire::{self, REPLIES, request};
use crate::error::Status;
use crate::ids::{ConnId, NodeId, ServiceId};
use crate::service::wire::ReplyHeaderBytes;
use crate::service::{Delivery, Effects, Request, Service, Synchronised};
use crate::view::View;

/// Most addresses told of one node: the links that a Corosync cluster can have.
pub const ADDRESSES_MAX: usize = 8;

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

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
        let addresses = node.and_then(|node| self.facts.addresses.get(&node));
        let addresses = addresses.map_or(&[][..], |all| &all[..all.len().min(ADDRESSES_MAX)]);
        let (id, fixed) = REPLIES[usize::from(request::GET_NODE_ADDRS)];
        let (status, family) = match addresses.first() {
            None => (Status::NotExist, 0),
            Some(IpAddr::V4(_)) => (Status::Ok, AF_INET),
            Some(IpAddr::V6(_)) => (Status::Ok, AF_INET6),
        };
        let size = fixed + 16 * addresses.len();
        let head = wire::NodeAddrsReplyBytes {
            header: ReplyHeaderBytes::new(id, size, status),
            family: U32::new(family),
            count: U32::new(addresses.len() as u32),
        };
        let mut reply = Vec::with_capacity(size);
        reply.extend_from_slice(head.as_bytes());
        for address in addresses {
            let mut bytes = [0; 16];
            match address {
                IpAddr::V4(address) => bytes[..4].copy_from_slice(&address.octets()),
                IpAddr::V6(address) => bytes = address.octets(),
            }
            reply.extend_from_slice(&bytes);
        }
        reply
    }
}

impl Service for Desk {
    fn id(&self) -> ServiceId {
        ServiceId::CFG
    }

    fn functions(&self) -> u16 {
        wire::FUNCTIONS
    }

    fn requests(&self) -> u16 {
        REPLIES.len() as u16
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
        match function {
            request::GET_NODE_ADDRS => match wire::NodeAddrsRequestBytes::ref_from_prefix(request.bytes) {
                Ok((bytes, _)) => effects.reply(conn, &self.node_addrs(bytes.node.get())),
                Err(_) => effects.reply(conn, &refusal(function, Status::InvalidParam)),
            },
            request::LOCAL_GET => {
                let (id, size) = REPLIES[usize::from(function)];
                let header = ReplyHeaderBytes::new(id, size, Status::Ok);
                let node = U32::new(self.me.get());
                effects.reply(conn, wire::LocalGetReplyBytes { header, node, pad: [0; 4] }.as_bytes());
            }
            _ => effects.reply(conn, &refusal(function, Status::NotSupported)),
        }
    }

    fn disconnected(&mut self, _conn: ConnId, _effects: &mut dyn Effects) {}

    fn retry(&mut self, _effects: &mut dyn Effects) {}

    fn view(&mut self, _view: &View, _effects: &mut dyn Effects) {}

    fn sync(&mut self) -> Option<&mut dyn Synchronised> {
        None
    }
}

/// A reply of the kind and length that the request's sender waits for, with nothing but a status.
fn refusal(function: u16, status: Status) -> Vec<u8> {
    let (id, size) = REPLIES.get(usize::from(function)).copied().unwrap_or((0, 24));
    let mut reply = vec![0; size];
    let header: ReplyHeaderBytes = ReplyHeaderBytes::new(id, size, status);
    reply[..24].copy_from_slice(header.as_bytes());
    reply
}
