//! The replies to clients, and the event that asks before a shutdown.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::byteorder::{NativeEndian, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::super::status::{LINKS, LinkStatus, NodeStatus, OwnLink};
use super::request::number;
use crate::error::Status;
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

/// RINGSTATUSGET reply.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RingStatusBytes {
    header: ReplyHeaderBytes,
    count: U32<NE>,
    pad_count: [u8; 4],
    names: [[u8; RING_NAME]; RING_ENTRIES],
    statuses: [[u8; RING_STATUS]; RING_ENTRIES],
}
const _: () = assert!(size_of::<RingStatusBytes>() == 10272);

/// GET_NODE_ADDRS reply without its addresses, which follow in 16 bytes each.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct NodeAddrsBytes {
    header: ReplyHeaderBytes,
    /// `AF_INET` or `AF_INET6`, of the first address.
    family: U32<NE>,
    count: U32<NE>,
}
const _: () = assert!(size_of::<NodeAddrsBytes>() == 32);

/// LOCAL_GET reply.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct LocalGetBytes {
    header: ReplyHeaderBytes,
    node: U32<NE>,
    pad: [u8; 4],
}
const _: () = assert!(size_of::<LocalGetBytes>() == 32);

/// The common beginning of all versions of NODESTATUSGET's reply.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct NodeStatusHeadBytes {
    header: ReplyHeaderBytes,
    version: U32<NE>,
    node: U32<NE>,
}
const _: () = assert!(size_of::<NodeStatusHeadBytes>() == 32);

/// NODESTATUSGET reply, version 1.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct NodeStatusBytes {
    head: NodeStatusHeadBytes,
    reachable: u8,
    remote: u8,
    external: u8,
    /// Oldest, newest and used version of knet's frames; Debian 12's Corosync sends 0.
    onwire: [u8; 3],
    pad: [u8; 2],
    links: [LinkBytes; LINKS],
}
const _: () = assert!(size_of::<NodeStatusBytes>() == 4200);

/// One link in a NODESTATUSGET reply.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct LinkBytes {
    enabled: u8,
    connected: u8,
    dynconnected: u8,
    pad: u8,
    mtu: U32<NE>,
    from: [u8; ADDRESS],
    to: [u8; ADDRESS],
}
const _: () = assert!(size_of::<LinkBytes>() == 520);

/// TESTSHUTDOWN event.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct TestShutdownBytes {
    header: ReplyHeaderBytes,
    flags: U32<NE>,
    pad: [u8; 4],
}
const _: () = assert!(size_of::<TestShutdownBytes>() == 32);

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
                let mut bytes = RingStatusBytes {
                    header: ok(fixed),
                    count: U32::new(links.len().min(RING_ENTRIES) as u32),
                    pad_count: [0; 4],
                    names: [[0; RING_NAME]; RING_ENTRIES],
                    statuses: [[0; RING_STATUS]; RING_ENTRIES],
                };
                for (at, link) in links.iter().take(RING_ENTRIES).enumerate() {
                    put_text(&mut bytes.names[at], &link.name);
                    put_text(&mut bytes.statuses[at], &link.status);
                }
                bytes.as_bytes().to_vec()
            }
            Self::NodeAddrs(addresses) => node_addrs(id, fixed, addresses),
            Self::LocalGet(node) => {
                LocalGetBytes { header: ok(fixed), node: U32::new(*node), pad: [0; 4] }.as_bytes().to_vec()
            }
            Self::NodeStatus(status) => {
                let mut bytes = NodeStatusBytes {
                    head: NodeStatusHeadBytes {
                        header: ok(size_of::<NodeStatusBytes>()),
                        version: U32::new(STATUS_VERSION),
                        node: U32::new(status.node),
                    },
                    reachable: status.reachable.into(),
                    remote: status.remote.into(),
                    external: status.external.into(),
                    onwire: [0; 3],
                    pad: [0; 2],
                    links: [LinkBytes::new_zeroed(); LINKS],
                };
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
        let (header, _) = ReplyHeaderBytes::<NE>::ref_from_prefix(bytes).map_err(|_| NoReply::Malformed)?;
        match Status::from_code(header.error.get()) {
            Status::Ok => {}
            refused => return Err(NoReply::Refused(refused)),
        }
        if header.id.get() != shape(number).0 {
            return Err(NoReply::Malformed);
        }
        let reply = match number {
            number::RING_STATUS => RingStatusBytes::ref_from_prefix(bytes).ok().and_then(|(bytes, _)| {
                let count = usize::try_from(bytes.count.get()).ok().filter(|count| *count <= RING_ENTRIES)?;
                let pairs = bytes.names.iter().zip(&bytes.statuses).take(count);
                let links =
                    pairs.map(|(name, status)| OwnLink { name: text(name), status: text(status) }).collect();
                Some(Self::RingStatus(links))
            }),
            number::NODE_ADDRS => read_addrs(bytes).map(Self::NodeAddrs),
            number::LOCAL_GET => {
                LocalGetBytes::ref_from_prefix(bytes).ok().map(|(bytes, _)| Self::LocalGet(bytes.node.get()))
            }
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
    /// Encodes the event.
    pub(crate) fn encode(self) -> Vec<u8> {
        let header = ReplyHeaderBytes::new(TEST_SHUTDOWN, size_of::<TestShutdownBytes>(), Status::Ok);
        TestShutdownBytes { header, flags: U32::new(self.flags), pad: [0; 4] }.as_bytes().to_vec()
    }

    /// Decodes an event; `None`: it is an unknown one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (event, _) = TestShutdownBytes::ref_from_prefix(bytes).ok()?;
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
    let (bytes, _) = NodeStatusBytes::ref_from_prefix(bytes).ok()?;
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
mod tests {
    use super::*;

    fn status() -> NodeStatus {
        let mut status = NodeStatus { node: 2, reachable: true, ..NodeStatus::default() };
        status.links[1] = LinkStatus {
            enabled: true,
            connected: true,
            dynconnected: false,
            mtu: 1410,
            from: "10.0.0.1".to_owned(),
            to: "10.0.0.2".to_owned(),
        };
        status
    }

    /// docs/protocol/services.md, "Node status": offsets of the fields.
    #[test]
    fn node_status_has_the_offsets_of_c() {
        let bytes = Reply::NodeStatus(Box::new(status())).encode(number::NODE_STATUS);
        assert_eq!(bytes.len(), 4200);
        assert_eq!(bytes[..4], 16_i32.to_ne_bytes());
        assert_eq!(bytes[8..12], 4200_i32.to_ne_bytes());
        assert_eq!(bytes[16..20], 1_i32.to_ne_bytes());
        assert_eq!(bytes[24..28], 1_u32.to_ne_bytes());
        assert_eq!(bytes[28..32], 2_u32.to_ne_bytes());
        assert_eq!(bytes[32..38], [1, 0, 0, 0, 0, 0]);
        let link = &bytes[40 + 520..];
        assert_eq!(link[..3], [1, 1, 0]);
        assert_eq!(link[4..8], 1410_u32.to_ne_bytes());
        assert_eq!(&link[8..17], b"10.0.0.1\0");
        assert_eq!(&link[264..273], b"10.0.0.2\0");
        assert!(bytes[40 + 2 * 520..].iter().all(|byte| *byte == 0));
        assert_eq!(Reply::decode(number::NODE_STATUS, &bytes), Ok(Reply::NodeStatus(Box::new(status()))));
    }

    #[test]
    fn ring_status_has_the_offsets_of_c() {
        let links = vec![OwnLink { name: "0 10.0.0.1".to_owned(), status: "OK".to_owned() }];
        let bytes = Reply::RingStatus(links.clone()).encode(number::RING_STATUS);
        assert_eq!(bytes.len(), 10272);
        assert_eq!(bytes[24..28], 1_u32.to_ne_bytes());
        assert_eq!(&bytes[32..43], b"0 10.0.0.1\0");
        assert_eq!(&bytes[2080..2083], b"OK\0");
        assert_eq!(Reply::decode(number::RING_STATUS, &bytes), Ok(Reply::RingStatus(links)));
    }

    #[test]
    fn addresses_come_back_in_both_families() {
        for addresses in [["10.0.0.1", "10.0.1.1"], ["fd00::1", "fd00::2"]] {
            let addresses = addresses.map(|address| address.parse().unwrap()).to_vec();
            let bytes = Reply::NodeAddrs(addresses.clone()).encode(number::NODE_ADDRS);
            assert_eq!(bytes.len(), 64);
            assert_eq!(Reply::decode(number::NODE_ADDRS, &bytes), Ok(Reply::NodeAddrs(addresses)));
            for length in 0..bytes.len() {
                assert_eq!(
                    Reply::decode(number::NODE_ADDRS, &bytes[..length]),
                    Err(NoReply::Malformed),
                    "{length}"
                );
            }
        }
    }

    #[test]
    fn refusals_have_the_expected_length() {
        let lengths = [10272, 24, 24, 24, 24, 32, 32, 24, 24, 32, 24, 24];
        let ids = [0, 1, 8, 9, 13, 11, 12, 14, 15, 16, 2, 3];
        for (number, (length, id)) in lengths.into_iter().zip(ids).enumerate() {
            let number = number as u16;
            let bytes = refusal(number, Status::TryAgain);
            assert_eq!(bytes.len(), length);
            assert_eq!(bytes[..4], i32::to_ne_bytes(id));
            assert_eq!(Reply::decode(number, &bytes), Err(NoReply::Refused(Status::TryAgain)));
        }
    }

    /// The daemon answers a request that it could not route with id 0.
    #[test]
    fn replies_with_id_0_are_understood() {
        let overload = crate::service::wire::plain_reply(0, Status::TryAgain);
        assert_eq!(Reply::decode(number::RELOAD, &overload), Err(NoReply::Refused(Status::TryAgain)));
        let done = refusal(number::RELOAD, Status::Ok);
        assert_eq!(Reply::decode(number::RELOAD, &done), Ok(Reply::Done));
        assert_eq!(Reply::decode(number::KILL_NODE, &done), Err(NoReply::Malformed));
    }

    #[test]
    fn hostile_counts_are_refused() {
        let mut bytes = Reply::NodeAddrs(vec!["10.0.0.1".parse().unwrap()]).encode(number::NODE_ADDRS);
        bytes[28..32].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(Reply::decode(number::NODE_ADDRS, &bytes), Err(NoReply::Malformed));
        let mut bytes = Reply::RingStatus(Vec::new()).encode(number::RING_STATUS);
        bytes[24..28].copy_from_slice(&17_u32.to_ne_bytes());
        assert_eq!(Reply::decode(number::RING_STATUS, &bytes), Err(NoReply::Malformed));
    }

    #[test]
    fn questions_are_decoded_as_encoded() {
        let bytes = Question { flags: 1 }.encode();
        assert_eq!(bytes.len(), 32);
        assert_eq!(bytes[..4], 10_i32.to_ne_bytes());
        assert_eq!(bytes[16..20], 1_i32.to_ne_bytes());
        assert_eq!(Question::decode(&bytes), Some(Question { flags: 1 }));
        assert_eq!(Question::decode(&bytes[..31]), None);
        assert_eq!(Question::decode(&refusal(number::NODE_ADDRS, Status::Ok)), None);
    }
}
