//! CPG's messages: node to node ("exec"), from clients ("lib") and to them.
//!
//! Source: corosync `exec/cpg.c` (exec messages), `include/corosync/ipc_cpg.h` (lib messages),
//! `include/corosync/mar_cpg.h` (marshalled types). Exec messages are written little-endian and read in
//! their sender's order; lib messages are in this host's order. Padding is written as zero and never read.

use zerocopy::byteorder::{BigEndian, ByteOrder, LittleEndian, NativeEndian, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::groups::Process;
use super::name::{GroupName, Member, Reason};
use crate::error::Status;
use crate::ids::{Endian, NodeId, RingId, ServiceId};
use crate::service::wire::{HeaderBytes, ReplyHeaderBytes};

/// Exec function numbers.
pub(crate) mod exec {
    pub(crate) const PROC_JOIN: u16 = 0;
    pub(crate) const PROC_LEAVE: u16 = 1;
    pub(crate) const JOIN_LIST: u16 = 2;
    pub(crate) const MCAST: u16 = 3;
    /// No longer sent by any version; ignored.
    pub(crate) const DOWN_LIST_OLD: u16 = 4;
    pub(crate) const DOWN_LIST: u16 = 5;
    pub(crate) const PARTIAL_MCAST: u16 = 6;
    pub(crate) const COUNT: u16 = 7;
}

/// Request numbers.
pub(crate) mod request {
    pub(crate) const JOIN: u16 = 0;
    pub(crate) const LEAVE: u16 = 1;
    pub(crate) const MCAST: u16 = 2;
    pub(crate) const MEMBERSHIP: u16 = 3;
    pub(crate) const LOCAL_GET: u16 = 4;
    pub(crate) const ITERATION_INITIALIZE: u16 = 5;
    pub(crate) const ITERATION_NEXT: u16 = 6;
    pub(crate) const ITERATION_FINALIZE: u16 = 7;
    pub(crate) const FINALIZE: u16 = 8;
    pub(crate) const ZC_ALLOC: u16 = 9;
    pub(crate) const ZC_FREE: u16 = 10;
    pub(crate) const ZC_EXECUTE: u16 = 11;
    pub(crate) const PARTIAL_MCAST: u16 = 12;
    pub(crate) const COUNT: u16 = 13;
}

/// Reply and event numbers.
pub(crate) mod response {
    pub(crate) const JOIN: i32 = 0;
    pub(crate) const LEAVE: i32 = 1;
    pub(crate) const MCAST: i32 = 2;
    pub(crate) const MEMBERSHIP: i32 = 3;
    pub(crate) const CONFCHG: i32 = 4;
    pub(crate) const DELIVER: i32 = 5;
    pub(crate) const LOCAL_GET: i32 = 7;
    pub(crate) const ITERATION_INITIALIZE: i32 = 9;
    pub(crate) const ITERATION_NEXT: i32 = 10;
    pub(crate) const ITERATION_FINALIZE: i32 = 11;
    pub(crate) const FINALIZE: i32 = 12;
    pub(crate) const TOTEM_CONFCHG: i32 = 13;
    pub(crate) const PARTIAL_DELIVER: i32 = 17;
    pub(crate) const PARTIAL_MCAST: i32 = 18;
}

/// The code of safe delivery; every other code means agreed delivery.
pub(crate) const TYPE_SAFE: u32 = 3;
/// Join flag: send the totem configuration after the first membership change.
pub(crate) const JOIN_FLAG_TOTEM_CONF: u32 = 1;
/// Iteration over the names of groups.
pub(crate) const ITERATE_NAMES: u32 = 1;
/// Iteration over the members of one group.
pub(crate) const ITERATE_GROUP: u32 = 2;
/// Iteration over all members of all groups.
pub(crate) const ITERATE_ALL: u32 = 3;
/// First fragment of a message.
pub(crate) const FRAGMENT_FIRST: u32 = 1;
/// Last fragment of a message, which completes it.
pub(crate) const FRAGMENT_LAST: u32 = 3;

/// Number of entries in the member array of a membership reply.
pub(crate) const REPLY_MEMBERS: usize = 384;
/// Number of entries in a downlist.
pub(crate) const DOWN_LIST_NODES: usize = 384;

/// Byte order of messages that stay on this host.
pub(crate) type NE = NativeEndian;
/// Byte order of the exec messages that this node writes.
pub(crate) type LE = LittleEndian;

/// A group name: `mar_cpg_name_t`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct NameBytes<O: ByteOrder> {
    length: U32<O>,
    pad: [u8; 4],
    value: [u8; GroupName::LIMIT],
}
const _: () = assert!(size_of::<NameBytes<LE>>() == 136);

impl<O: ByteOrder> NameBytes<O> {
    /// Makes it from a name of at most [`GroupName::LIMIT`] bytes.
    pub(crate) fn new(name: &[u8]) -> Self {
        let mut value = [0; GroupName::LIMIT];
        value[..name.len()].copy_from_slice(name);
        Self { length: U32::new(name.len() as u32), pad: [0; 4], value }
    }

    /// The name; `None` if its length is invalid.
    pub(crate) fn name(&self) -> Option<&[u8]> {
        self.value.get(..usize::try_from(self.length.get()).ok()?)
    }
}

/// A member: `mar_cpg_address_t`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct AddressBytes {
    pub(crate) node: U32<NE>,
    pub(crate) pad_node: [u8; 4],
    pub(crate) pid: U32<NE>,
    pub(crate) pad_pid: [u8; 4],
    pub(crate) reason: U32<NE>,
    pub(crate) pad_reason: [u8; 4],
}
const _: () = assert!(size_of::<AddressBytes>() == 24);

impl AddressBytes {
    pub(crate) fn new(member: Member, reason: Reason) -> Self {
        Self {
            node: U32::new(member.node.get()),
            pad_node: [0; 4],
            pid: U32::new(member.pid),
            pad_pid: [0; 4],
            reason: U32::new(reason.code()),
            pad_reason: [0; 4],
        }
    }
}

/// The source of a message: `mar_message_source_t`. The connection id has a meaning to the sending node only.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct SourceBytes<O: ByteOrder> {
    pub(crate) node: U32<O>,
    pub(crate) pad: [u8; 4],
    pub(crate) conn: U64<O>,
}

/// Exec PROCJOIN and PROCLEAVE: `struct req_exec_cpg_procjoin`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct ProcBytes<O: ByteOrder> {
    pub(crate) header: HeaderBytes<O>,
    pub(crate) name: NameBytes<O>,
    pub(crate) pid: U32<O>,
    pub(crate) pad_pid: [u8; 4],
    pub(crate) reason: U32<O>,
    pub(crate) pad_reason: [u8; 4],
}
const _: () = assert!(size_of::<ProcBytes<LE>>() == 168);

impl ProcBytes<LE> {
    pub(crate) fn new(function: u16, group: &GroupName, pid: u32, reason: Reason) -> Self {
        Self {
            header: HeaderBytes::exec(ServiceId::CPG, function, size_of::<Self>()),
            name: NameBytes::new(group.as_bytes()),
            pid: U32::new(pid),
            pad_pid: [0; 4],
            reason: U32::new(reason.code()),
            pad_reason: [0; 4],
        }
    }
}

/// Exec MCAST without its payload: `struct req_exec_cpg_mcast`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct McastBytes<O: ByteOrder> {
    pub(crate) header: HeaderBytes<O>,
    pub(crate) name: NameBytes<O>,
    pub(crate) msglen: U32<O>,
    pub(crate) pad_msglen: [u8; 4],
    pub(crate) pid: U32<O>,
    pub(crate) pad_pid: [u8; 4],
    pub(crate) source: SourceBytes<O>,
}
const _: () = assert!(size_of::<McastBytes<LE>>() == 184);

/// Exec PARTIAL_MCAST without its payload: `struct req_exec_cpg_partial_mcast`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct PartialMcastBytes<O: ByteOrder> {
    pub(crate) header: HeaderBytes<O>,
    pub(crate) name: NameBytes<O>,
    pub(crate) msglen: U32<O>,
    pub(crate) pad_msglen: [u8; 4],
    pub(crate) fraglen: U32<O>,
    pub(crate) pad_fraglen: [u8; 4],
    pub(crate) pid: U32<O>,
    pub(crate) pad_pid: [u8; 4],
    pub(crate) kind: U32<O>,
    pub(crate) pad_kind: [u8; 4],
    pub(crate) source: SourceBytes<O>,
}
const _: () = assert!(size_of::<PartialMcastBytes<LE>>() == 200);

/// One process in a JOINLIST: `struct join_list_entry`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct JoinListEntryBytes<O: ByteOrder> {
    pub(crate) pid: U32<O>,
    pub(crate) pad: [u8; 4],
    pub(crate) name: NameBytes<O>,
}
const _: () = assert!(size_of::<JoinListEntryBytes<LE>>() == 144);

/// Exec DOWNLIST: `struct req_exec_cpg_downlist`. Always sent, never evaluated.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct DownListBytes<O: ByteOrder> {
    pub(crate) header: HeaderBytes<O>,
    pub(crate) old_members: U32<O>,
    pub(crate) pad_old: [u8; 4],
    pub(crate) left: U32<O>,
    pub(crate) pad_left: [u8; 4],
    pub(crate) nodes: [U32<O>; DOWN_LIST_NODES],
}
const _: () = assert!(size_of::<DownListBytes<LE>>() == 1568);

/// Lib JOIN request.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct JoinRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) name: NameBytes<NE>,
    pub(crate) pid: U32<NE>,
    pub(crate) pad_pid: [u8; 4],
    pub(crate) flags: U32<NE>,
    pub(crate) pad_flags: [u8; 4],
}
const _: () = assert!(size_of::<JoinRequestBytes>() == 168);

/// Lib LEAVE request.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct LeaveRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) name: NameBytes<NE>,
    pub(crate) pid: U32<NE>,
    pub(crate) pad_pid: [u8; 4],
}
const _: () = assert!(size_of::<LeaveRequestBytes>() == 160);

/// Lib MCAST request without its payload. Its header is padded to 24 bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct McastRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) unused: [u8; 8],
    pub(crate) guarantee: U32<NE>,
    pub(crate) pad_guarantee: [u8; 4],
    pub(crate) msglen: U32<NE>,
    pub(crate) pad_msglen: [u8; 4],
}
const _: () = assert!(size_of::<McastRequestBytes>() == 40);

/// Lib PARTIAL_MCAST request without its payload.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct PartialMcastRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) unused: [u8; 8],
    pub(crate) guarantee: U32<NE>,
    pub(crate) pad_guarantee: [u8; 4],
    pub(crate) msglen: U32<NE>,
    pub(crate) pad_msglen: [u8; 4],
    pub(crate) fraglen: U32<NE>,
    pub(crate) pad_fraglen: [u8; 4],
    pub(crate) kind: U32<NE>,
    pub(crate) pad_kind: [u8; 4],
}
const _: () = assert!(size_of::<PartialMcastRequestBytes>() == 56);

/// Lib MEMBERSHIP request.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct MembershipRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) name: NameBytes<NE>,
}
const _: () = assert!(size_of::<MembershipRequestBytes>() == 152);

/// Lib ITERATIONINITIALIZE request.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct IterateRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) name: NameBytes<NE>,
    pub(crate) kind: U32<NE>,
    pub(crate) pad_kind: [u8; 4],
}
const _: () = assert!(size_of::<IterateRequestBytes>() == 160);

/// Lib requests that carry one number: ITERATIONNEXT and ITERATIONFINALIZE (a handle), ZC_EXECUTE (the token
/// of a buffer).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct HandleRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) handle: U64<NE>,
}
const _: () = assert!(size_of::<HandleRequestBytes>() == 24);

/// Lib ZC_ALLOC request.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct ZcAllocRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) map_size: U64<NE>,
    /// NUL-terminated; the bytes after the NUL are undefined.
    pub(crate) path: [u8; 128],
}
const _: () = assert!(size_of::<ZcAllocRequestBytes>() == 152);

/// Lib ZC_FREE request.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct ZcFreeRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) map_size: U64<NE>,
    pub(crate) token: U64<NE>,
}
const _: () = assert!(size_of::<ZcFreeRequestBytes>() == 32);

/// Lib MEMBERSHIP reply.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct MembershipReplyBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) count: U32<NE>,
    pub(crate) pad_count: [u8; 4],
    pub(crate) members: [AddressBytes; REPLY_MEMBERS],
}
const _: () = assert!(size_of::<MembershipReplyBytes>() == 9248);

/// Lib LOCAL_GET reply.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct LocalGetReplyBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) node: U32<NE>,
    pub(crate) pad: [u8; 4],
}
const _: () = assert!(size_of::<LocalGetReplyBytes>() == 32);

/// Lib ITERATIONINITIALIZE reply.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct IterateReplyBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) handle: U64<NE>,
}
const _: () = assert!(size_of::<IterateReplyBytes>() == 32);

/// Lib ITERATIONNEXT reply; the last three fields are `mar_cpg_iteration_description_t`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct IterateNextReplyBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) name: NameBytes<NE>,
    pub(crate) node: U32<NE>,
    pub(crate) pid: U32<NE>,
}
const _: () = assert!(size_of::<IterateNextReplyBytes>() == 168);

/// CONFCHG event without its lists, which follow in the order members, left, joined.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct ConfchgBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) name: NameBytes<NE>,
    pub(crate) members: U32<NE>,
    pub(crate) pad_members: [u8; 4],
    pub(crate) joined: U32<NE>,
    pub(crate) pad_joined: [u8; 4],
    pub(crate) left: U32<NE>,
    pub(crate) pad_left: [u8; 4],
}
const _: () = assert!(size_of::<ConfchgBytes>() == 184);

/// DELIVER event without its payload.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct DeliverBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) name: NameBytes<NE>,
    pub(crate) msglen: U32<NE>,
    pub(crate) pad_msglen: [u8; 4],
    pub(crate) node: U32<NE>,
    pub(crate) pad_node: [u8; 4],
    pub(crate) pid: U32<NE>,
    pub(crate) pad_pid: [u8; 4],
}
const _: () = assert!(size_of::<DeliverBytes>() == 184);

/// PARTIAL_DELIVER event without its payload.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct PartialDeliverBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) name: NameBytes<NE>,
    pub(crate) msglen: U32<NE>,
    pub(crate) pad_msglen: [u8; 4],
    pub(crate) fraglen: U32<NE>,
    pub(crate) pad_fraglen: [u8; 4],
    pub(crate) node: U32<NE>,
    pub(crate) pad_node: [u8; 4],
    pub(crate) pid: U32<NE>,
    pub(crate) pad_pid: [u8; 4],
    pub(crate) kind: U32<NE>,
    pub(crate) pad_kind: [u8; 4],
}
const _: () = assert!(size_of::<PartialDeliverBytes>() == 200);

/// TOTEM_CONFCHG event without its members, which follow as 32-bit numbers and are followed by 4 more bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct TotemConfchgBytes {
    pub(crate) header: ReplyHeaderBytes,
    pub(crate) rep: U32<NE>,
    pub(crate) pad_rep: [u8; 4],
    pub(crate) seq: U64<NE>,
    pub(crate) count: U32<NE>,
}
const _: () = assert!(size_of::<TotemConfchgBytes>() == 44);

/// A CONFCHG event. The caller ensures that no list has more entries than libcpg has room for.
pub(crate) fn confchg(
    group: &GroupName,
    members: &[Member],
    left: &[Member],
    joined: &[Member],
    reason: Reason,
) -> Vec<u8> {
    let entries = members.len() + left.len() + joined.len();
    let size = size_of::<ConfchgBytes>() + entries * size_of::<AddressBytes>();
    let head = ConfchgBytes {
        header: ReplyHeaderBytes::new(response::CONFCHG, size, Status::Ok),
        name: NameBytes::new(group.as_bytes()),
        members: U32::new(members.len() as u32),
        pad_members: [0; 4],
        joined: U32::new(joined.len() as u32),
        pad_joined: [0; 4],
        left: U32::new(left.len() as u32),
        pad_left: [0; 4],
    };
    let mut event = Vec::with_capacity(size);
    event.extend_from_slice(head.as_bytes());
    for (list, reason) in [(members, Reason::Other(0)), (left, reason), (joined, reason)] {
        for member in list {
            event.extend_from_slice(AddressBytes::new(*member, reason).as_bytes());
        }
    }
    event
}

/// A TOTEM_CONFCHG event.
pub(crate) fn totem_confchg(ring: RingId, members: &[NodeId]) -> Vec<u8> {
    let size = size_of::<TotemConfchgBytes>() + 4 * members.len() + 4;
    let head = TotemConfchgBytes {
        header: ReplyHeaderBytes::new(response::TOTEM_CONFCHG, size, Status::Ok),
        rep: U32::new(ring.rep.get()),
        pad_rep: [0; 4],
        seq: U64::new(ring.seq),
        count: U32::new(members.len() as u32),
    };
    let mut event = Vec::with_capacity(size);
    event.extend_from_slice(head.as_bytes());
    for node in members {
        event.extend_from_slice(&node.get().to_ne_bytes());
    }
    event.resize(size, 0);
    event
}

/// A JOINLIST. It is the only exec message that begins with a reply header.
pub(crate) fn join_list(processes: &[Process]) -> Vec<u8> {
    let size = size_of::<ReplyHeaderBytes>() + processes.len() * size_of::<JoinListEntryBytes<LE>>();
    let id = HeaderBytes::<LE>::exec(ServiceId::CPG, exec::JOIN_LIST, size).id.get();
    let mut header = ReplyHeaderBytes::<LE>::new(id, size, Status::Ok);
    header.error = zerocopy::I32::ZERO;
    let mut message = Vec::with_capacity(size);
    message.extend_from_slice(header.as_bytes());
    for process in processes {
        let entry = JoinListEntryBytes::<LE> {
            pid: U32::new(process.member.pid),
            pad: [0; 4],
            name: NameBytes::new(process.group.as_bytes()),
        };
        message.extend_from_slice(entry.as_bytes());
    }
    message
}

/// A DOWNLIST. Nodes beyond its capacity, which no ring reaches, are left out.
pub(crate) fn down_list(old_members: usize, left: &[NodeId]) -> DownListBytes<LE> {
    let left = &left[..left.len().min(DOWN_LIST_NODES)];
    let mut nodes = [U32::ZERO; DOWN_LIST_NODES];
    for (place, node) in nodes.iter_mut().zip(left) {
        *place = U32::new(node.get());
    }
    DownListBytes {
        header: HeaderBytes::exec(ServiceId::CPG, exec::DOWN_LIST, size_of::<DownListBytes<LE>>()),
        old_members: U32::new(old_members as u32),
        pad_old: [0; 4],
        left: U32::new(left.len() as u32),
        pad_left: [0; 4],
        nodes,
    }
}

/// An exec message in host byte order with checked lengths. Nothing is copied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Exec<'a> {
    Join { group: &'a [u8], pid: u32 },
    Leave { group: &'a [u8], pid: u32, reason: Reason },
    JoinList(Vec<(u32, &'a [u8])>),
    Mcast { group: &'a [u8], pid: u32, payload: &'a [u8] },
    DownList,
    PartialMcast { group: &'a [u8], pid: u32, msglen: u32, kind: u32, payload: &'a [u8] },
}

impl<'a> Exec<'a> {
    /// Decodes an exec message. `None` if it is too short, or a length in it is invalid.
    pub(crate) fn decode(function: u16, message: &'a [u8], order: Endian) -> Option<Self> {
        match order {
            Endian::Little => Self::decode_in::<LittleEndian>(function, message),
            Endian::Big => Self::decode_in::<BigEndian>(function, message),
        }
    }

    fn decode_in<O: ByteOrder + 'a>(function: u16, message: &'a [u8]) -> Option<Self> {
        match function {
            exec::PROC_JOIN => {
                let (bytes, _) = ProcBytes::<O>::ref_from_prefix(message).ok()?;
                Some(Self::Join { group: bytes.name.name()?, pid: bytes.pid.get() })
            }
            exec::PROC_LEAVE => {
                let (bytes, _) = ProcBytes::<O>::ref_from_prefix(message).ok()?;
                let reason = Reason::from_code(bytes.reason.get());
                Some(Self::Leave { group: bytes.name.name()?, pid: bytes.pid.get(), reason })
            }
            exec::JOIN_LIST => {
                let (header, entries) = ReplyHeaderBytes::<O>::ref_from_prefix(message).ok()?;
                // A peer reads up to the end that the header gives, so a truncated message is refused as a
                // whole.
                let size = usize::try_from(header.size.get()).ok()?;
                let entries = entries.get(..size.checked_sub(size_of::<ReplyHeaderBytes<O>>())?)?;
                let entries = <[JoinListEntryBytes<O>]>::ref_from_bytes(entries).ok()?;
                let list = entries.iter().map(|entry| Some((entry.pid.get(), entry.name.name()?)));
                Some(Self::JoinList(list.collect::<Option<_>>()?))
            }
            exec::MCAST => {
                let (bytes, payload) = McastBytes::<O>::ref_from_prefix(message).ok()?;
                let payload = payload.get(..usize::try_from(bytes.msglen.get()).ok()?)?;
                Some(Self::Mcast { group: bytes.name.name()?, pid: bytes.pid.get(), payload })
            }
            exec::DOWN_LIST | exec::DOWN_LIST_OLD => Some(Self::DownList),
            exec::PARTIAL_MCAST => {
                let (bytes, payload) = PartialMcastBytes::<O>::ref_from_prefix(message).ok()?;
                let payload = payload.get(..usize::try_from(bytes.fraglen.get()).ok()?)?;
                Some(Self::PartialMcast {
                    group: bytes.name.name()?,
                    pid: bytes.pid.get(),
                    msglen: bytes.msglen.get(),
                    kind: bytes.kind.get(),
                    payload,
                })
            }
            _ => None,
        }
    }
}
