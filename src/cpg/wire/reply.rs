//! The replies to clients.

use zerocopy::{FromZeros, IntoBytes, U32, U64};

use super::{AddressBytes, NE, NameBytes, request, response};
use crate::cpg::iterate::Entry;
use crate::cpg::name::{Member, Reason};
use crate::error::Status;
use crate::ids::NodeId;
use crate::service::wire::layout::{PaddedU32, layout, to_bytes};
use crate::service::wire::{ReplyHeaderBytes, empty_reply};

/// Number of entries in the member array of a membership reply.
const REPLY_MEMBERS: usize = 384;

layout! {
    pub(crate) struct MembershipReplyBytes: 9248, ReplyHeaderBytes {
        pub(crate) count: PaddedU32<NE>,
        pub(crate) members: [AddressBytes; REPLY_MEMBERS],
    }

    pub(crate) struct LocalGetReplyBytes: 32, ReplyHeaderBytes {
        pub(crate) node: PaddedU32<NE>,
    }

    /// Lib ITERATIONINITIALIZE reply.
    pub(crate) struct IterateReplyBytes: 32, ReplyHeaderBytes {
        pub(crate) handle: U64<NE>,
    }

    /// Lib ITERATIONNEXT reply; the last three fields are `mar_cpg_iteration_description_t`.
    pub(crate) struct IterateNextReplyBytes: 168, ReplyHeaderBytes {
        pub(crate) name: NameBytes<NE>,
        pub(crate) node: U32<NE>,
        pub(crate) pid: U32<NE>,
    }
}

/// A successful reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    /// Done; the reply has no content.
    Done,
    /// The members of a group; only the first 384 are sent.
    Membership(&'a [Member]),
    LocalGet(NodeId),
    /// The handle of a new iteration.
    IterationInitialize(u64),
    IterationNext(&'a Entry),
}

impl Reply<'_> {
    /// Encodes the reply to request number `function`.
    pub(crate) fn encode(&self, function: u16) -> Vec<u8> {
        let (id, size) = shape(function);
        let header = ReplyHeaderBytes::new(id, size, Status::Ok);
        match *self {
            Self::Done => refusal(function, Status::Ok),
            Self::Membership(members) => {
                let members = &members[..members.len().min(REPLY_MEMBERS)];
                let mut bytes = MembershipReplyBytes::new_zeroed();
                bytes.header = header;
                bytes.count = PaddedU32::new(members.len() as u32);
                for (place, member) in bytes.members.iter_mut().zip(members) {
                    *place = AddressBytes::new(*member, Reason::Other(0));
                }
                bytes.as_bytes().to_vec()
            }
            Self::LocalGet(node) => {
                to_bytes(&LocalGetReplyBytes { header, node: PaddedU32::new(node.get()) })
            }
            Self::IterationInitialize(handle) => {
                to_bytes(&IterateReplyBytes { header, handle: U64::new(handle) })
            }
            Self::IterationNext(entry) => to_bytes(&IterateNextReplyBytes {
                header,
                name: NameBytes::new(entry.group.as_bytes()),
                node: U32::new(entry.member.map_or(0, |member| member.node.get())),
                pid: U32::new(entry.member.map_or(0, |member| member.pid)),
            }),
        }
    }
}

/// A reply that contains only a status, with the id and length that the client expects for request number `function`.
pub(crate) fn refusal(function: u16, status: Status) -> Vec<u8> {
    let (id, size) = shape(function);
    empty_reply(id, size, status)
}

/// The reply id and the length of a reply to request number `function`.
fn shape(function: u16) -> (i32, usize) {
    match function {
        request::LEAVE => (response::LEAVE, 24),
        request::MEMBERSHIP => (response::MEMBERSHIP, size_of::<MembershipReplyBytes>()),
        request::LOCAL_GET => (response::LOCAL_GET, size_of::<LocalGetReplyBytes>()),
        request::ITERATION_INITIALIZE => (response::ITERATION_INITIALIZE, size_of::<IterateReplyBytes>()),
        request::ITERATION_NEXT => (response::ITERATION_NEXT, size_of::<IterateNextReplyBytes>()),
        request::ITERATION_FINALIZE => (response::ITERATION_FINALIZE, 24),
        request::FINALIZE => (response::FINALIZE, 24),
        request::ZC_EXECUTE => (response::MCAST, 24),
        request::PARTIAL_MCAST => (response::PARTIAL_MCAST, 24),
        _ => (response::JOIN, 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpg::name::GroupName;

    /// Zeros, with these 32-bit numbers at these offsets.
    fn zeros_but(size: usize, numbers: &[(usize, u32)]) -> Vec<u8> {
        let mut bytes = vec![0; size];
        for (at, number) in numbers {
            bytes[*at..at + 4].copy_from_slice(&number.to_ne_bytes());
        }
        bytes
    }

    fn member(node: u32, pid: u32) -> Member {
        Member { node: NodeId::new(node).unwrap(), pid }
    }

    /// docs/protocol/services.md, "Replies and events of CPG".
    #[test]
    fn replies_are_byte_exact() {
        let members = [member(1, 10), member(2, 20)];
        let expected =
            zeros_but(9248, &[(0, 3), (8, 9248), (16, 1), (24, 2), (32, 1), (40, 10), (56, 2), (64, 20)]);
        assert_eq!(Reply::Membership(&members).encode(request::MEMBERSHIP), expected);

        let expected = zeros_but(32, &[(0, 7), (8, 32), (16, 1), (24, 5)]);
        assert_eq!(Reply::LocalGet(NodeId::new(5).unwrap()).encode(request::LOCAL_GET), expected);

        let mut expected = zeros_but(32, &[(0, 9), (8, 32), (16, 1)]);
        expected[24..].copy_from_slice(&0x0102_0304_0506_0708_u64.to_ne_bytes());
        let reply = Reply::IterationInitialize(0x0102_0304_0506_0708);
        assert_eq!(reply.encode(request::ITERATION_INITIALIZE), expected);

        let group = GroupName::new("grp").unwrap();
        let mut expected = zeros_but(168, &[(0, 10), (8, 168), (16, 1), (24, 3)]);
        expected[32..35].copy_from_slice(b"grp");
        let name = Entry { group: group.clone(), member: None };
        assert_eq!(Reply::IterationNext(&name).encode(request::ITERATION_NEXT), expected);
        expected[160..164].copy_from_slice(&2_u32.to_ne_bytes());
        expected[164..].copy_from_slice(&20_u32.to_ne_bytes());
        let entry = Entry { group, member: Some(member(2, 20)) };
        assert_eq!(Reply::IterationNext(&entry).encode(request::ITERATION_NEXT), expected);
    }

    #[test]
    fn no_more_members_are_sent_than_the_reply_has_room_for() {
        let members: Vec<Member> = (1..=400).map(|pid| member(1, pid)).collect();
        let reply = Reply::Membership(&members).encode(request::MEMBERSHIP);
        assert_eq!(reply.len(), 9248);
        assert_eq!(reply[24..28], 384_u32.to_ne_bytes());
        assert_eq!(reply[9248 - 16..][..4], 384_u32.to_ne_bytes());
    }

    /// docs/protocol/services.md, "Requests that are refused": the id and length of the expected reply.
    #[test]
    fn refusals_have_the_shape_of_the_reply() {
        let ids: [u32; request::COUNT as usize] = [0, 1, 0, 3, 7, 9, 10, 11, 12, 0, 0, 2, 18];
        let sizes = [24, 24, 24, 9248, 32, 32, 168, 24, 24, 24, 24, 24, 24];
        for (function, (id, size)) in ids.into_iter().zip(sizes).enumerate() {
            let expected = zeros_but(size, &[(0, id), (8, size as u32), (16, 7)]);
            assert_eq!(refusal(function as u16, Status::InvalidParam), expected, "request {function}");
        }
        assert_eq!(Reply::Done.encode(request::FINALIZE), zeros_but(24, &[(0, 12), (8, 24), (16, 1)]));
    }
}
