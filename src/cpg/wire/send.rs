//! The exec messages that this node sends.

use zerocopy::{FromZeros, IntoBytes, U32, U64};

use super::exec::{
    DOWN_LIST, DOWN_LIST_NODES, DownListBytes, JOIN_LIST, JoinListEntryBytes, MCAST, McastBytes,
    PARTIAL_MCAST, PROC_JOIN, PROC_LEAVE, PartialMcastBytes, ProcBytes,
};
use super::{LE, NameBytes, Pieces, Place};
use crate::cpg::groups::Process;
use crate::cpg::name::{GroupName, Member, Reason};
use crate::error::Status;
use crate::ids::{ConnId, NodeId, ServiceId};
use crate::service::wire::layout::{PaddedI32, PaddedU32, to_bytes};
use crate::service::wire::{HeaderBytes, MAX_MESSAGE, ReplyHeaderBytes, SourceBytes};

/// An exec message of the service itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceExec<'a> {
    /// A process of this node joins a group.
    Join { group: &'a GroupName, pid: u32 },
    /// A process of this node leaves a group.
    Leave { group: &'a GroupName, pid: u32, reason: Reason },
    /// The processes of this node that are in groups; at most [`crate::cpg::groups::PROCESSES_PER_NODE`].
    JoinList(&'a [Process]),
    /// How many members the last ring had, and which of them left. Nodes beyond the capacity of the message, which no
    /// ring reaches, are left out.
    DownList { old_members: usize, left: &'a [NodeId] },
}

impl ServiceExec<'_> {
    /// Its function number.
    pub(crate) const fn function(&self) -> u16 {
        match self {
            Self::Join { .. } => PROC_JOIN,
            Self::Leave { .. } => PROC_LEAVE,
            Self::JoinList(_) => JOIN_LIST,
            Self::DownList { .. } => DOWN_LIST,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        match *self {
            Self::Join { group, pid } => process(self.function(), group, pid, Reason::Join),
            Self::Leave { group, pid, reason } => process(self.function(), group, pid, reason),
            Self::JoinList(processes) => join_list(processes),
            Self::DownList { old_members, left } => down_list(old_members, left),
        }
    }
}

/// An exec message that carries a message of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientExec<'a> {
    /// The group whose members receive it.
    pub(crate) group: &'a GroupName,
    /// The process of this node that multicasts it.
    pub(crate) sender: Member,
    /// The connection of that process; it has a meaning to this node only.
    pub(crate) conn: ConnId,
    /// Whether the payload is the whole message.
    pub(crate) extent: Extent,
    /// The payload, which is not copied.
    pub(crate) payload: Pieces<'a>,
}

/// How much of a client's message an exec message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    Fragment {
        /// Length of the whole message in bytes, as the client claims.
        total: u32,
        place: Place,
    },
}

impl<'a> ClientExec<'a> {
    /// Its function number.
    pub(crate) const fn function(&self) -> u16 {
        match self.extent {
            Extent::Whole => MCAST,
            Extent::Fragment { .. } => PARTIAL_MCAST,
        }
    }

    /// Encodes the message. `None`: it would be longer than [`MAX_MESSAGE`].
    pub(crate) fn encode(&self) -> Option<Encoded<'a>> {
        let payload: usize = self.payload.iter().map(|piece| piece.len()).sum();
        let head = match self.extent {
            Extent::Whole => {
                let size = size_within_limit(size_of::<McastBytes<LE>>(), payload)?;
                Head::Whole(McastBytes {
                    header: HeaderBytes::exec(ServiceId::CPG, self.function(), size),
                    name: NameBytes::new(self.group.as_bytes()),
                    msglen: PaddedU32::new(payload as u32),
                    pid: PaddedU32::new(self.sender.pid),
                    source: self.source(),
                })
            }
            Extent::Fragment { total, place } => {
                let size = size_within_limit(size_of::<PartialMcastBytes<LE>>(), payload)?;
                Head::Fragment(PartialMcastBytes {
                    header: HeaderBytes::exec(ServiceId::CPG, self.function(), size),
                    name: NameBytes::new(self.group.as_bytes()),
                    msglen: PaddedU32::new(total),
                    fraglen: PaddedU32::new(payload as u32),
                    pid: PaddedU32::new(self.sender.pid),
                    kind: PaddedU32::new(place.code()),
                    source: self.source(),
                })
            }
        };
        Some(Encoded { head, payload: self.payload })
    }

    fn source(&self) -> SourceBytes<LE> {
        SourceBytes { node: PaddedU32::new(self.sender.node.get()), conn: U64::new(self.conn.0) }
    }
}

/// An encoded [`ClientExec`], whose payload is not copied.
pub(crate) struct Encoded<'a> {
    head: Head,
    payload: Pieces<'a>,
}

enum Head {
    Whole(McastBytes<LE>),
    Fragment(PartialMcastBytes<LE>),
}

impl Encoded<'_> {
    /// The message in pieces: its head, then the payload.
    pub(crate) fn pieces(&self) -> [&[u8]; 3] {
        let head = match &self.head {
            Head::Whole(bytes) => bytes.as_bytes(),
            Head::Fragment(bytes) => bytes.as_bytes(),
        };
        [head, self.payload[0], self.payload[1]]
    }
}

fn size_within_limit(head: usize, payload: usize) -> Option<usize> {
    head.checked_add(payload).filter(|size| *size <= MAX_MESSAGE)
}

fn process(function: u16, group: &GroupName, pid: u32, reason: Reason) -> Vec<u8> {
    to_bytes(&ProcBytes::<LE> {
        header: HeaderBytes::exec(ServiceId::CPG, function, size_of::<ProcBytes<LE>>()),
        name: NameBytes::new(group.as_bytes()),
        pid: PaddedU32::new(pid),
        reason: PaddedU32::new(reason.code()),
    })
}

/// A JOINLIST. It is the only exec message that begins with a reply header.
fn join_list(processes: &[Process]) -> Vec<u8> {
    let size = size_of::<ReplyHeaderBytes>() + processes.len() * size_of::<JoinListEntryBytes<LE>>();
    let id = HeaderBytes::<LE>::exec(ServiceId::CPG, JOIN_LIST, size).id.get();
    let mut header = ReplyHeaderBytes::<LE>::new(id, size, Status::Ok);
    header.error = PaddedI32::new(0);
    let mut message = Vec::with_capacity(size);
    message.extend_from_slice(header.as_bytes());
    for process in processes {
        let entry = JoinListEntryBytes::<LE> {
            pid: PaddedU32::new(process.member.pid),
            name: NameBytes::new(process.group.as_bytes()),
        };
        message.extend_from_slice(entry.as_bytes());
    }
    message
}

fn down_list(old_members: usize, left: &[NodeId]) -> Vec<u8> {
    let left = &left[..left.len().min(DOWN_LIST_NODES)];
    let mut message = DownListBytes::<LE>::new_zeroed();
    message.header = HeaderBytes::exec(ServiceId::CPG, DOWN_LIST, size_of::<DownListBytes<LE>>());
    message.old_members = PaddedU32::new(old_members as u32);
    message.left = PaddedU32::new(left.len() as u32);
    for (place, node) in message.nodes.iter_mut().zip(left) {
        *place = U32::new(node.get());
    }
    message.as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpg::wire::Exec;
    use crate::ids::Endian;

    fn sender() -> Member {
        Member { node: NodeId::new(1).unwrap(), pid: 900 }
    }

    fn message<'a>(group: &'a GroupName, extent: Extent, payload: Pieces<'a>) -> ClientExec<'a> {
        ClientExec { group, sender: sender(), conn: ConnId(0x0102_0304_0506_0708), extent, payload }
    }

    #[test]
    fn messages_are_decoded_as_encoded() {
        let group = GroupName::new("grp").unwrap();
        let decode = |function, bytes: &[u8], expected: Exec<'_>| {
            assert_eq!(Exec::decode(function, bytes, Endian::Little), Some(expected));
        };
        let join = ServiceExec::Join { group: &group, pid: 900 }.encode();
        decode(PROC_JOIN, &join, Exec::Join { group: b"grp", pid: 900 });
        let reason = Reason::ProcDown;
        let leave = ServiceExec::Leave { group: &group, pid: 900, reason }.encode();
        decode(PROC_LEAVE, &leave, Exec::Leave { group: b"grp", pid: 900, reason });
        let processes =
            ["grp", ""].map(|name| Process { member: sender(), group: GroupName::new(name).unwrap() });
        let list = ServiceExec::JoinList(&processes).encode();
        decode(JOIN_LIST, &list, Exec::JoinList(vec![(900, b"grp"), (900, b"")]));
        let left = ServiceExec::DownList { old_members: 3, left: &[sender().node] }.encode();
        decode(DOWN_LIST, &left, Exec::DownList);
        let whole = message(&group, Extent::Whole, [b"hel", b"lo"]).encode().unwrap().pieces().concat();
        decode(MCAST, &whole, Exec::Mcast { group: b"grp", pid: 900, payload: b"hello" });
        let (total, place) = (77, Place::Other(9));
        let fragment = message(&group, Extent::Fragment { total, place }, [b"hel", b"lo"]);
        let fragment = fragment.encode().unwrap().pieces().concat();
        let expected = Exec::PartialMcast { group: b"grp", pid: 900, total, place, payload: b"hello" };
        decode(PARTIAL_MCAST, &fragment, expected);
    }

    /// docs/protocol/services.md, "Exec messages of CPG". The payload stays where it is.
    #[test]
    fn fragments_are_byte_exact_and_in_pieces() {
        let group = GroupName::new("grp").unwrap();
        let payload: Pieces<'_> = [b"hel", b"lo"];
        let extent = Extent::Fragment { total: 1000, place: Place::Continued };
        let encoded = message(&group, extent, payload).encode().unwrap();
        let [head, first, second] = encoded.pieces();
        let mut expected = vec![0; 200];
        for (at, value) in [
            (0, 6),
            (2, 2),
            (8, 205),
            (16, 3),
            (152, 0xe8),
            (153, 3),
            (160, 5),
            (168, 0x84),
            (169, 3),
            (176, 2),
        ] {
            expected[at] = value;
        }
        expected[24..27].copy_from_slice(b"grp");
        expected[184] = 1;
        expected[192..].copy_from_slice(&[8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(head, expected);
        assert!(first.as_ptr() == payload[0].as_ptr() && second.as_ptr() == payload[1].as_ptr());
        assert_eq!((first, second), (&b"hel"[..], &b"lo"[..]));
    }

    #[test]
    fn messages_beyond_the_limit_are_refused() {
        let group = GroupName::new("grp").unwrap();
        let payload = vec![0; MAX_MESSAGE];
        let fragment = Extent::Fragment { total: 0, place: Place::First };
        for (extent, head) in [(Extent::Whole, 184), (fragment, 200)] {
            let most = MAX_MESSAGE - head;
            for first in [0, 10, most] {
                let fits = message(&group, extent, [&payload[..first], &payload[first..most]]);
                assert!(fits.encode().is_some());
                let exceeds = message(&group, extent, [&payload[..first], &payload[first..=most]]);
                assert!(exceeds.encode().is_none());
            }
        }
    }

    #[test]
    fn a_down_list_has_room_for_384_nodes() {
        let left: Vec<NodeId> = (1..=400).filter_map(NodeId::new).collect();
        let message = ServiceExec::DownList { old_members: 400, left: &left }.encode();
        assert_eq!((message.len(), &message[24..28]), (1568, &384_u32.to_le_bytes()[..]));
        assert_eq!(message[1564..], 384_u32.to_le_bytes());
    }
}
