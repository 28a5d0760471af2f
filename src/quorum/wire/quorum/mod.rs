//! The quorum service's messages.
//!
//! Source: corosync `include/corosync/ipc_quorum.h`.
//!
//! | file | what |
//! |---|---|
//! | `requests.rs` | [`Request`]: requests of clients |
//! | `replies.rs` | [`Reply`]: replies |
//! | `events.rs` | [`Event`]: events |

mod events;
mod replies;
mod requests;

pub(crate) use super::NumberRequestBytes;
pub(crate) use events::{Event, V1NodelistBytes, V1QuorumBytes};
pub(crate) use replies::{Kind, NumberReplyBytes, Reply};
pub(crate) use requests::{Model, Request};

/// Request numbers.
pub(crate) mod request {
    pub(crate) const GET_QUORATE: u16 = 0;
    pub(crate) const TRACK_START: u16 = 1;
    pub(crate) const TRACK_STOP: u16 = 2;
    pub(crate) const GET_TYPE: u16 = 3;
    pub(crate) const MODEL_GET_TYPE: u16 = 4;
    pub(crate) const COUNT: u16 = 5;
}

/// Reply and event numbers.
pub(crate) mod response {
    pub(crate) const GET_QUORATE: i32 = 0;
    pub(crate) const TRACK_START: i32 = 1;
    pub(crate) const TRACK_STOP: i32 = 2;
    /// Event for connections with version 0 of events.
    pub(crate) const NOTIFICATION: i32 = 3;
    pub(crate) const GET_TYPE: i32 = 4;
    pub(crate) const MODEL_GET_TYPE: i32 = 5;
    /// Event for connections with version 1 of events: quorum.
    pub(crate) const V1_QUORUM: i32 = 6;
    /// Event for connections with version 1 of events: node list.
    pub(crate) const V1_NODELIST: i32 = 7;
}
