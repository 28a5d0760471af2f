//! The replies to clients.

use super::super::NE;
use super::response;
use crate::error::Status;
use crate::service::wire::layout::{PaddedU32, layout, to_bytes};
use crate::service::wire::{ReplyHeaderBytes, plain_reply};

layout! {
    /// Replies with one number: GETQUORATE (0 or 1), GETTYPE and MODEL_GETTYPE.
    pub(crate) struct NumberReplyBytes: 32, ReplyHeaderBytes {
        pub(crate) value: PaddedU32<NE>,
    }
}

impl NumberReplyBytes {
    fn new(id: i32, status: Status, value: u32) -> Self {
        let header = ReplyHeaderBytes::new(id, size_of::<Self>(), status);
        Self { header, value: PaddedU32::new(value) }
    }
}

/// Whether another service, the provider, decides on quorum, with the number in replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No provider: always quorate.
    Free = 0,
    /// A provider decides.
    Set = 1,
}

/// A reply to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The answer to GETQUORATE.
    GetQuorate(bool),
    /// The answer to TRACKSTART.
    TrackStart(Status),
    /// The answer to TRACKSTOP.
    TrackStop,
    /// The answer to GETTYPE.
    GetType(Kind),
    /// To MODEL_GETTYPE; an error: there is no such version of events.
    ModelGetType(Result<Kind, Status>),
    /// To a request with an unknown number.
    Unknown,
}

impl Reply {
    pub(crate) fn encode(self) -> Vec<u8> {
        let number = |id, status, value| to_bytes(&NumberReplyBytes::new(id, status, value));
        match self {
            Self::GetQuorate(quorate) => number(response::GET_QUORATE, Status::Ok, quorate.into()),
            Self::TrackStart(status) => plain_reply(response::TRACK_START, status).to_vec(),
            Self::TrackStop => plain_reply(response::TRACK_STOP, Status::Ok).to_vec(),
            Self::GetType(kind) => number(response::GET_TYPE, Status::Ok, kind as u32),
            Self::ModelGetType(Ok(kind)) => number(response::MODEL_GET_TYPE, Status::Ok, kind as u32),
            Self::ModelGetType(Err(status)) => number(response::MODEL_GET_TYPE, status, 0),
            Self::Unknown => plain_reply(0, Status::InvalidParam).to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/protocol/services.md, "Requests and events of quorum": ids, sizes and the number at 24.
    #[test]
    fn replies_have_corosyncs_ids_and_sizes() {
        for (reply, id, status, number) in [
            (Reply::GetQuorate(true), 0, Status::Ok, Some(1u32)),
            (Reply::GetQuorate(false), 0, Status::Ok, Some(0)),
            (Reply::TrackStart(Status::Exist), 1, Status::Exist, None),
            (Reply::TrackStop, 2, Status::Ok, None),
            (Reply::GetType(Kind::Free), 4, Status::Ok, Some(0)),
            (Reply::GetType(Kind::Set), 4, Status::Ok, Some(1)),
            (Reply::ModelGetType(Ok(Kind::Set)), 5, Status::Ok, Some(1)),
            (Reply::ModelGetType(Err(Status::InvalidParam)), 5, Status::InvalidParam, Some(0)),
            (Reply::Unknown, 0, Status::InvalidParam, None),
        ] {
            let bytes = reply.encode();
            assert_eq!(bytes.len(), if number.is_some() { 32 } else { 24 }, "{reply:?}");
            assert_eq!(bytes[..4], i32::to_ne_bytes(id), "{reply:?}");
            assert_eq!(bytes[8..12], (bytes.len() as i32).to_ne_bytes());
            assert_eq!(bytes[16..20], status.code().to_ne_bytes());
            if let Some(number) = number {
                assert_eq!(bytes[24..28], number.to_ne_bytes());
            }
        }
    }
}
