//! CPG's messages: node to node ("exec"), from clients ("lib") and to them.
//!
//! Source: corosync `exec/cpg.c` (exec messages), `include/corosync/ipc_cpg.h` (lib messages),
//! `include/corosync/mar_cpg.h` (marshalled types). Exec messages are written little-endian and read in
//! their sender's order; lib messages are in this host's order. Padding is written as zero and never read.
//!
//! | file | what |
//! |---|---|
//! | `exec.rs` | [`Exec`]: received messages between nodes |
//! | `send.rs` | [`ServiceExec`] and [`ClientExec`]: messages to other nodes |
//! | `request.rs` | [`Request`]: requests of clients |
//! | `message.rs` | [`Message`] and [`Fragment`]: what a client asks to multicast |
//! | `reply.rs` | [`Reply`]: replies to clients |
//! | `event.rs` | [`Event`]: what clients are told |

use zerocopy::byteorder::{ByteOrder, LittleEndian, NativeEndian};

use super::name::{GroupName, Member, NameTooLong, Reason};
use crate::service::wire::layout::{PaddedU32, layout};

pub(crate) mod event;
pub(crate) mod exec;
pub(crate) mod message;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod send;

pub(crate) use event::{ConfchgBytes, DeliverBytes, Event, PartialDeliverBytes, TotemConfchgBytes};
pub(crate) use exec::Exec;
pub(crate) use message::{
    Fragment, McastRequestBytes, Message, PartialMcastRequestBytes, Pieces, Place, TYPE_SAFE,
};
pub(crate) use reply::{
    IterateNextReplyBytes, IterateReplyBytes, LocalGetReplyBytes, MembershipReplyBytes, Reply,
};
pub(crate) use request::{
    HandleRequestBytes, ITERATE_ALL, IterateRequestBytes, JOIN_FLAG_TOTEM_CONF, JoinRequestBytes,
    LeaveRequestBytes, MembershipRequestBytes, Request,
};
pub(crate) use send::{ClientExec, Extent, ServiceExec};

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

/// Byte order of messages that stay on this host.
pub(crate) type NE = NativeEndian;
/// Byte order of the exec messages that this node writes.
pub(crate) type LE = LittleEndian;

layout! {
    /// A group name: `mar_cpg_name_t`.
    pub(crate) struct NameBytes<O>: 136 {
        length: PaddedU32<O>,
        value: [u8; GroupName::LIMIT],
    }

    /// A member: `mar_cpg_address_t`.
    pub(crate) struct AddressBytes: 24 {
        pub(crate) node: PaddedU32<NE>,
        pub(crate) pid: PaddedU32<NE>,
        pub(crate) reason: PaddedU32<NE>,
    }
}

impl<O: ByteOrder> NameBytes<O> {
    /// Makes it from a name of at most [`GroupName::LIMIT`] bytes.
    pub(crate) fn new(name: &[u8]) -> Self {
        let mut value = [0; GroupName::LIMIT];
        value[..name.len()].copy_from_slice(name);
        Self { length: PaddedU32::new(name.len() as u32), value }
    }

    /// The name; `None` if its length is invalid.
    pub(crate) fn name(&self) -> Option<&[u8]> {
        self.checked().ok()
    }

    /// The name, or the error that its length is invalid.
    pub(crate) fn checked(&self) -> Result<&[u8], NameTooLong> {
        let got = usize::try_from(self.length.get()).unwrap_or(usize::MAX);
        self.value.get(..got).ok_or(NameTooLong { got })
    }
}

impl AddressBytes {
    pub(crate) fn new(member: Member, reason: Reason) -> Self {
        Self {
            node: PaddedU32::new(member.node.get()),
            pid: PaddedU32::new(member.pid),
            reason: PaddedU32::new(reason.code()),
        }
    }
}
