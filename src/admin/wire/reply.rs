//! The replies to clients, and the event that asks before a shutdown.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::{FromBytes, FromZeros, IntoBytes, NativeEndian, U32};

use super::super::status::{LINKS, LinkStatus, NodeStatus, OwnLink};
use super::request::number;
use crate::error::Status;
use crate::service::wire::layout::{PaddedU32, head, layout, to_bytes};
use crate::service::wire::{ReplyHeaderBytes, empty_reply};

type NE = NativeEndian;

/// For each request number: the reply id, and the length of a reply without entries, which is also that of a
/// refusal.
const REPLIES: [(i32, usize); number::COUNT as usize] = [
    (0, size_of::<RingStatusBytes>()),
    (1, 24),
    (8, 24),
    (9, 24),
    (13, 24),
    (11, size_of::<NodeAddrsBytes>()),
    (12, size_of::<LocalGetBytes>()),
    (14, 24),
    (15, 24),
    (16, size_of::<NodeStatusHeadBytes>()),
    (2, 24),
    (3, 24),
];

/// Event number of [`Question`].
const TEST_SHUTDOWN: i32 = 10;

/// Largest number of entries in RINGSTATUSGET's reply.
const RING_ENTRIES: usize = 16;
/// Size of the name in an entry, including its NUL.
const RING_NAME: usize = 128;
/// Size of the status in an entry, including its NUL.
const RING_STATUS: usize = 512;
/// Size of an address in NODESTATUSGET's reply, including its NUL.
const ADDRESS: usize = 256;
/// The only version of NODESTATUSGET's reply.
const STATUS_VERSION: u32 = 1;
/// Largest number of addresses that are sent or accepted.
pub(crate) const ADDRESSES_MAX: usize = LINKS;

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

layout! {
    /// RINGSTATUSGET reply.
    struct RingStatusBytes: 10272, ReplyHeaderBytes {
        count: PaddedU32<NE>,
        names: [[u8; RING_NAME]; RING_ENTRIES],
        statuses: [[u8; RING_STATUS]; RING_ENTRIES],
    }

    /// GET_NODE_ADDRS reply without its addresses, which follow in 16 bytes each.
    struct NodeAddrsBytes: 32, ReplyHeaderBytes {
        /// `AF_INET` or `AF_INET6`, of the first address.
        family: U32<NE>,
        count: U32<NE>,
    }

    struct LocalGetBytes: 32, ReplyHeaderBytes {
        node: PaddedU32<NE>,
    }

    /// The common beginning of all versions of NODESTATUSGET's reply.
    struct NodeStatusHeadBytes: 32, ReplyHeaderBytes {
        version: U32<NE>,
        node: U32<NE>,
    }

    /// NODESTATUSGET reply, version 1.
    struct NodeStatusBytes: 4200 {
        head: NodeStatusHeadBytes,
        reachable: u8,
        remote: u8,
        external: u8,
        /// Oldest, newest and used version of knet's frames; Debian 12's Corosync sends 0.
        onwire: [u8; 3],
        pad: [u8; 2],
        links: [LinkBytes; LINKS],
    }

    /// One link in a NODESTATUSGET reply.
    struct LinkBytes: 520 {
        enabled: u8,
        connected: u8,
        dynconnected: u8,
        pad: u8,
        mtu: U32<NE>,
        from: [u8; ADDRESS],
        to: [u8; ADDRESS],
    }

    /// TESTSHUTDOWN event.
    struct TestShutdownBytes: 32, ReplyHeaderBytes {
        flags: PaddedU32<NE>,
    }
}

/// A successful reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Done; the reply has no content.
    Done,
    /// This node's links, at most 16.
    RingStatus(Vec<OwnLink>),
    /// A node's addresses by link; only the first [`ADDRESSES_MAX`] are sent.
    NodeAddrs(Vec<IpAddr>),
    /// The id of this node.
    LocalGet(u32),
    /// The state of the links to a node.
    NodeStatus(Box<NodeStatus>),
}

/// Why there is no successful reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoReply {
    /// The daemon refused the request with this status.
    Refused(Status),
    /// The bytes are not a reply to that request.
    Malformed,
}

impl Reply {
    /// Encodes the reply to request `number`.
    pub(crate) fn encode(&self, number: u16) -> Vec<u8> {
        let (id, fixed) = shape(number);
        let ok = |size| ReplyHeaderBytes::new(id, size, Status::Ok);
        match self {
            Self::Done => refusal(number, Status::Ok),
            Self::RingStatus(links) => {
                let mut bytes = RingStatusBytes::new_zeroed();
                bytes.header = ok(fixed);
                bytes.count = PaddedU32::new(links.len().min(RING_ENTRIES) as u32);
                for (at, link) in links.iter().take(RING_ENTRIES).enumerate() {
                    put_text(&mut bytes.names[at], &link.name);
                    put_text(&mut bytes.statuses[at], &link.status);
                }
                bytes.as_bytes().to_vec()
            }
            Self::NodeAddrs(addresses) => node_addrs(id, fixed, addresses),
            Self::LocalGet(node) => {
                to_bytes(&LocalGetBytes { header: ok(fixed), node: PaddedU32::new(*node) })
            }
            Self::NodeStatus(status) => {
                let mut bytes = NodeStatusBytes::new_zeroed();
                bytes.head.header = ok(size_of::<NodeStatusBytes>());
                bytes.head.version = U32::new(STATUS_VERSION);
                bytes.head.node = U32::new(status.node);
                bytes.reachable = status.reachable.into();
                bytes.remote = status.remote.into();
                bytes.external = status.external.into();
                for (bytes, link) in bytes.links.iter_mut().zip(&status.links) {
                    bytes.enabled = link.enabled.into();
                    bytes.connected = link.connected.into();
                    bytes.dynconnected = link.dynconnected.into();
                    bytes.mtu = U32::new(link.mtu);
                    put_text(&mut bytes.from, &link.from);
                    put_text(&mut bytes.to, &link.to);
                }
                bytes.as_bytes().to_vec()
            }
        }
    }

    /// Decodes the reply to request `number`.
    pub(crate) fn decode(number: u16, bytes: &[u8]) -> Result<Self, NoReply> {
        let header = head::<ReplyHeaderBytes>(bytes).ok_or(NoReply::Malformed)?;
        match Status::from_code(header.error.get()) {
            Status::Ok => {}
            refused => return Err(NoReply::Refused(refused)),
        }
        if header.id.get() != shape(number).0 {
            return Err(NoReply::Malformed);
        }
        let reply = match number {
            number::RING_STATUS => read_links(bytes).map(Self::RingStatus),
            number::NODE_ADDRS => read_addrs(bytes).map(Self::NodeAddrs),
            number::LOCAL_GET => head::<LocalGetBytes>(bytes).map(|bytes| Self::LocalGet(bytes.node.get())),
            number::NODE_STATUS => read_status(bytes).map(|status| Self::NodeStatus(Box::new(status))),
            _ => Some(Self::Done),
        };
        reply.ok_or(NoReply::Malformed)
    }
}

/// A reply that contains only a status, with the id and length that the client expects for request `number`.
pub(crate) fn refusal(number: u16, status: Status) -> Vec<u8> {
    let (id, size) = shape(number);
    empty_reply(id, size, status)
}

/// The question to a client whether this node may be shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The flags of the request for the shutdown.
    pub(crate) flags: u32,
}

impl Question {
    pub(crate) fn encode(self) -> Vec<u8> {
        let header = ReplyHeaderBytes::new(TEST_SHUTDOWN, size_of::<TestShutdownBytes>(), Status::Ok);
        to_bytes(&TestShutdownBytes { header, flags: PaddedU32::new(self.flags) })
    }

    /// Decodes an event; `None`: it is an unknown one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let event = head::<TestShutdownBytes>(bytes)?;
        (event.header.id.get() == TEST_SHUTDOWN).then(|| Self { flags: event.flags.get() })
    }
}

fn shape(number: u16) -> (i32, usize) {
    REPLIES.get(usize::from(number)).copied().unwrap_or((0, 24))
}

fn node_addrs(id: i32, fixed: usize, addresses: &[IpAddr]) -> Vec<u8> {
    let addresses = &addresses[..addresses.len().min(ADDRESSES_MAX)];
    let size = fixed + 16 * addresses.len();
    let family = match addresses.first() {
        None => 0,
        Some(IpAddr::V4(_)) => AF_INET,
        Some(IpAddr::V6(_)) => AF_INET6,
    };
    let head = NodeAddrsBytes {
        header: ReplyHeaderBytes::new(id, size, Status::Ok),
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

fn read_links(bytes: &[u8]) -> Option<Vec<OwnLink>> {
    let bytes = head::<RingStatusBytes>(bytes)?;
    let count = usize::try_from(bytes.count.get()).ok().filter(|count| *count <= RING_ENTRIES)?;
    let pairs = bytes.names.iter().zip(&bytes.statuses).take(count);
    Some(pairs.map(|(name, status)| OwnLink { name: text(name), status: text(status) }).collect())
}

fn read_addrs(bytes: &[u8]) -> Option<Vec<IpAddr>> {
    let (head, rest) = NodeAddrsBytes::ref_from_prefix(bytes).ok()?;
    let count = usize::try_from(head.count.get()).ok().filter(|count| *count <= ADDRESSES_MAX)?;
    let (addresses, _) = rest.as_chunks::<16>();
    let addresses = addresses.get(..count)?.iter();
    match head.family.get() {
        AF_INET => Some(addresses.map(|a| Ipv4Addr::new(a[0], a[1], a[2], a[3]).into()).collect()),
        AF_INET6 => Some(addresses.map(|a| Ipv6Addr::from(*a).into()).collect()),
        _ => None,
    }
}

fn read_status(bytes: &[u8]) -> Option<NodeStatus> {
    let bytes = head::<NodeStatusBytes>(bytes)?;
    if bytes.head.version.get() != STATUS_VERSION {
        return None;
    }
    let link = |link: &LinkBytes| LinkStatus {
        enabled: link.enabled != 0,
        connected: link.connected != 0,
        dynconnected: link.dynconnected != 0,
        mtu: link.mtu.get(),
        from: text(&link.from),
        to: text(&link.to),
    };
    Some(NodeStatus {
        node: bytes.head.node.get(),
        reachable: bytes.reachable != 0,
        remote: bytes.remote != 0,
        external: bytes.external != 0,
        links: bytes.links.each_ref().map(link),
    })
}

/// Writes a text and its NUL; text that is too long is cut.
fn put_text(field: &mut [u8], text: &str) {
    let length = text.len().min(field.len() - 1);
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
}

/// Reads a text up to its NUL or the end of the field.
fn text(field: &[u8]) -> String {
    let length = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..length]).into_owned()
}

#[cfg(test)]
mod tests;
