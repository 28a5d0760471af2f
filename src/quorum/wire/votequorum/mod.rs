//! The messages of votequorum's clients.
//!
//! Source: corosync `include/corosync/ipc_votequorum.h`.
//!
//! | file | what |
//! |---|---|
//! | `requests.rs` | [`Request`]: requests of clients |
//! | `request_bytes.rs` | their layouts |
//! | `replies.rs` | [`Reply`] and [`Info`]: replies |
//! | `events.rs` | [`Event`]: events |

mod events;
mod replies;
mod request_bytes;
mod requests;

pub(crate) use super::NumberRequestBytes;
pub(crate) use events::{Event, ExpectedVotesBytes, NodeStateBytes, NodelistBytes, QuorumBytes};
pub(crate) use replies::{DeviceInfo, Info, InfoReplyBytes, Reply};
pub(crate) use request_bytes::{
    DeviceMasterWinsRequestBytes, DevicePollRequestBytes, DeviceRequestBytes, DeviceUpdateRequestBytes,
    SetVotesRequestBytes, TrackStartRequestBytes,
};
pub(crate) use requests::Request;

/// Request numbers.
pub(crate) mod request {
    pub(crate) const GET_INFO: u16 = 0;
    pub(crate) const SET_EXPECTED: u16 = 1;
    pub(crate) const SET_VOTES: u16 = 2;
    pub(crate) const TRACK_START: u16 = 3;
    pub(crate) const TRACK_STOP: u16 = 4;
    pub(crate) const QDEVICE_REGISTER: u16 = 5;
    pub(crate) const QDEVICE_UNREGISTER: u16 = 6;
    pub(crate) const QDEVICE_UPDATE: u16 = 7;
    pub(crate) const QDEVICE_POLL: u16 = 8;
    pub(crate) const QDEVICE_MASTER_WINS: u16 = 9;
    pub(crate) const COUNT: u16 = 10;
}

/// Reply and event numbers.
pub(crate) mod response {
    /// The reply to every request but GETINFO: only a status.
    pub(crate) const STATUS: i32 = 0;
    pub(crate) const GET_INFO: i32 = 1;
    /// Event: a decision on quorum.
    pub(crate) const QUORUM: i32 = 3;
    /// Event: changed expected votes.
    pub(crate) const EXPECTED_VOTES: i32 = 4;
    /// Event: a new ring with its members.
    pub(crate) const NODELIST: i32 = 5;
}

/// The number in the place of a state for the quorum device in a list of nodes.
const STATE_NONE: u32 = 0;

/// The state of a node, with the number that clients see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// On the ring; its votes count.
    Member = 1,
    /// No longer on the ring.
    Dead = 2,
    /// On the ring, but announced that it is about to leave.
    Leaving = 3,
}

/// Flags of a GETINFO reply.
pub(crate) mod info {
    pub(crate) const TWO_NODE: u32 = 1;
    pub(crate) const QUORATE: u32 = 2;
    pub(crate) const WAIT_FOR_ALL: u32 = 4;
    pub(crate) const LAST_MAN_STANDING: u32 = 8;
    pub(crate) const AUTO_TIE_BREAKER: u32 = 16;
    pub(crate) const ALLOW_DOWNSCALE: u32 = 32;
    pub(crate) const QDEVICE_REGISTERED: u32 = 64;
    pub(crate) const QDEVICE_ALIVE: u32 = 128;
    pub(crate) const QDEVICE_CAST_VOTE: u32 = 256;
    pub(crate) const QDEVICE_MASTER_WINS: u32 = 512;
}
