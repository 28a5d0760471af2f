//! The requests of clients.

use zerocopy::U64;

use super::{Fragment, Message, NE, NameBytes, Pieces};
use crate::cpg::iterate::Scope;
use crate::cpg::name::NameTooLong;
use crate::error::Status;
use crate::service::wire::RequestHeader;
use crate::service::wire::layout::{PaddedU32, head, layout};

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
/// Number of requests.
pub(crate) const COUNT: u16 = 13;

/// Join flag: send the totem configuration after the first membership change.
pub(crate) const JOIN_FLAG_TOTEM_CONF: u32 = 1;

/// Iteration over the names of groups.
const ITERATE_NAMES: u32 = 1;
/// Iteration over the members of one group.
const ITERATE_GROUP: u32 = 2;
/// Iteration over all members of all groups.
pub(crate) const ITERATE_ALL: u32 = 3;

layout! {
    pub(crate) struct JoinRequestBytes: 168, RequestHeader {
        pub(crate) name: NameBytes<NE>,
        pub(crate) pid: PaddedU32<NE>,
        pub(crate) flags: PaddedU32<NE>,
    }

    pub(crate) struct LeaveRequestBytes: 160, RequestHeader {
        pub(crate) name: NameBytes<NE>,
        pub(crate) pid: PaddedU32<NE>,
    }

    pub(crate) struct MembershipRequestBytes: 152, RequestHeader {
        pub(crate) name: NameBytes<NE>,
    }

    /// Lib ITERATIONINITIALIZE request.
    pub(crate) struct IterateRequestBytes: 160, RequestHeader {
        pub(crate) name: NameBytes<NE>,
        pub(crate) kind: PaddedU32<NE>,
    }

    /// Lib requests that carry one number: ITERATIONNEXT and ITERATIONFINALIZE (a handle), ZC_EXECUTE (the token
    /// of a buffer).
    pub(crate) struct HandleRequestBytes: 24, RequestHeader {
        pub(crate) handle: U64<NE>,
    }

    pub(crate) struct ZcAllocRequestBytes: 152, RequestHeader {
        pub(crate) map_size: U64<NE>,
        /// NUL-terminated; the bytes after the NUL are undefined.
        pub(crate) path: [u8; 128],
    }

    pub(crate) struct ZcFreeRequestBytes: 32, RequestHeader {
        pub(crate) map_size: U64<NE>,
        pub(crate) token: U64<NE>,
    }
}

/// A request of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// Join a group.
    Join {
        /// The name of the group, or the error that its length is invalid.
        group: Result<&'a [u8], NameTooLong>,
        /// The process id that the client gives.
        pid: u32,
        /// Send the totem configuration after the first membership change.
        totem_conf: bool,
    },
    /// Leave the group. The process id in the request is not evaluated.
    Leave {
        /// The name of the group, or the error that its length is invalid.
        group: Result<&'a [u8], NameTooLong>,
    },
    /// Multicast a whole message. It has no answer.
    Mcast(Message<'a>),
    /// List the members of a group.
    Membership {
        /// The name of the group, or the error that its length is invalid.
        group: Result<&'a [u8], NameTooLong>,
    },
    /// The id of this node.
    LocalGet,
    /// Begin an iteration.
    IterationInitialize {
        /// What it lists, or the status to answer: the kind is unknown, or the length of the name invalid.
        scope: Result<Scope<'a>, Status>,
    },
    /// The next entry of an iteration.
    IterationNext { handle: u64 },
    /// End an iteration.
    IterationFinalize { handle: u64 },
    /// The client will close its connection.
    Finalize,
    /// Map a zero-copy buffer that the client created.
    ZcAlloc {
        /// The path of its file, without a NUL.
        path: &'a [u8],
        /// Its size in bytes.
        size: u64,
    },
    /// Unmap a zero-copy buffer.
    ZcFree {
        /// The token that identifies the buffer.
        token: u64,
    },
    /// Multicast the message in a zero-copy buffer.
    ZcExecute {
        /// The token that identifies the buffer.
        token: u64,
    },
    /// Multicast a fragment of a message.
    PartialMcast(Fragment<'a>),
}

impl<'a> Request<'a> {
    /// Decodes a request, given as the two parts in which it came. `None`: its first part is too short for the fixed
    /// fields, a path has no end, or the number is unknown. Other errors are in the fields, because the desk checks the
    /// state of the connection first.
    pub(crate) fn decode(function: u16, request: Pieces<'a>) -> Option<Self> {
        let [bytes, _] = request;
        let handle = || Some(head::<HandleRequestBytes>(bytes)?.handle.get());
        Some(match function {
            JOIN => {
                let bytes = head::<JoinRequestBytes>(bytes)?;
                Self::Join {
                    group: bytes.name.checked(),
                    pid: bytes.pid.get(),
                    totem_conf: bytes.flags.get() & JOIN_FLAG_TOTEM_CONF != 0,
                }
            }
            LEAVE => Self::Leave { group: head::<LeaveRequestBytes>(bytes)?.name.checked() },
            MCAST => Self::Mcast(Message::decode(request)?),
            MEMBERSHIP => Self::Membership { group: head::<MembershipRequestBytes>(bytes)?.name.checked() },
            LOCAL_GET => Self::LocalGet,
            ITERATION_INITIALIZE => {
                let bytes = head::<IterateRequestBytes>(bytes)?;
                let scope = match bytes.kind.get() {
                    ITERATE_NAMES => Ok(Scope::Names),
                    ITERATE_GROUP => bytes.name.checked().map(Scope::Group).map_err(|_| Status::NameTooLong),
                    ITERATE_ALL => Ok(Scope::All),
                    _ => Err(Status::InvalidParam),
                };
                Self::IterationInitialize { scope }
            }
            ITERATION_NEXT => Self::IterationNext { handle: handle()? },
            ITERATION_FINALIZE => Self::IterationFinalize { handle: handle()? },
            FINALIZE => Self::Finalize,
            ZC_ALLOC => {
                let bytes = head::<ZcAllocRequestBytes>(bytes)?;
                let end = bytes.path.iter().position(|byte| *byte == 0)?;
                Self::ZcAlloc { path: &bytes.path[..end], size: bytes.map_size.get() }
            }
            ZC_FREE => Self::ZcFree { token: head::<ZcFreeRequestBytes>(bytes)?.token.get() },
            ZC_EXECUTE => Self::ZcExecute { token: handle()? },
            PARTIAL_MCAST => Self::PartialMcast(Fragment::decode(request)?),
            _ => return None,
        })
    }
}
