//! The requests of clients.

use super::super::Track;
use super::{NumberRequestBytes, Reply, request};
use crate::error::Status;
use crate::service::wire::layout::to_bytes;
use crate::service::wire::{HEADER_LEN, RequestHeader};

/// The version of events that a client reads, with its number.
///
/// Source: `quorum_model_initialize(3)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Model {
    /// One event: quorate, and the members.
    #[default]
    V0 = 0,
    /// Two events: quorate and the members; the members, those that joined and those that left.
    V1 = 1,
}

impl Model {
    const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::V0),
            1 => Some(Self::V1),
            _ => None,
        }
    }
}

/// A request of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Whether this partition is quorate.
    GetQuorate,
    /// Send the state now, at changes, or both.
    TrackStart(Track),
    /// Send the state no more.
    TrackStop,
    /// Whether there is a provider.
    GetType,
    /// As [`Request::GetType`], and selects the version of events.
    ModelGetType(Model),
}

impl Request {
    /// Decodes a request.
    ///
    /// # Errors
    /// It is too short, or has an unknown number or version of events: the reply that refuses it.
    pub(crate) fn decode(function: u16, bytes: &[u8]) -> Result<Self, Reply> {
        let number = || NumberRequestBytes::number(bytes);
        match function {
            request::GET_QUORATE => Ok(Self::GetQuorate),
            request::TRACK_START => {
                let track = number().map(Track::from_flags);
                track.map(Self::TrackStart).ok_or(Reply::TrackStart(Status::InvalidParam))
            }
            request::TRACK_STOP => Ok(Self::TrackStop),
            request::GET_TYPE => Ok(Self::GetType),
            request::MODEL_GET_TYPE => {
                let model = number().and_then(Model::from_number);
                model.map(Self::ModelGetType).ok_or(Reply::ModelGetType(Err(Status::InvalidParam)))
            }
            _ => Err(Reply::Unknown),
        }
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let plain = |id: u16| to_bytes(&RequestHeader::new(id.into(), HEADER_LEN));
        let number = |id, number| to_bytes(&NumberRequestBytes::new(id, number));
        match self {
            Self::GetQuorate => plain(request::GET_QUORATE),
            Self::TrackStart(track) => number(request::TRACK_START, track.flags()),
            Self::TrackStop => plain(request::TRACK_STOP),
            Self::GetType => plain(request::GET_TYPE),
            Self::ModelGetType(model) => number(request::MODEL_GET_TYPE, model as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::*;

    /// docs/protocol/services.md, "Requests and events of quorum": sizes, and what the number means.
    #[test]
    fn requests_have_corosyncs_sizes_and_are_decoded_as_encoded() {
        let track = Track { now: true, changes: false };
        let all = [
            (Request::GetQuorate, 16),
            (Request::TrackStart(track), 24),
            (Request::TrackStop, 16),
            (Request::GetType, 16),
            (Request::ModelGetType(Model::V1), 24),
        ];
        assert_eq!(all.len(), usize::from(request::COUNT));
        for (function, (request, size)) in all.into_iter().enumerate() {
            let bytes = request.encode();
            assert_eq!(bytes.len(), size, "{request:?}");
            assert_eq!(bytes[..4], (function as u32).to_ne_bytes());
            assert_eq!(bytes[8..12], (size as u32).to_ne_bytes());
            assert_eq!(Request::decode(function as u16, &bytes), Ok(request));
            for length in HEADER_LEN..size {
                assert!(Request::decode(function as u16, &bytes[..length]).is_err());
            }
        }
        assert_eq!(Request::TrackStart(track).encode()[16..20], 1u32.to_ne_bytes());
        assert_eq!(Request::ModelGetType(Model::V1).encode()[16..20], 1u32.to_ne_bytes());
    }

    /// Id and length of a refusal are those that the client expects.
    #[test]
    fn requests_that_cannot_be_decoded_are_refused() {
        let refusal = |function, bytes: &[u8]| Request::decode(function, bytes).unwrap_err().encode();
        let unknown_model = NumberRequestBytes::new(request::MODEL_GET_TYPE, 2);
        for (refusal, id, size) in [
            (refusal(request::TRACK_START, &[0; 23]), 1i32, 24usize),
            (refusal(request::MODEL_GET_TYPE, &[0; 23]), 5, 32),
            (refusal(request::MODEL_GET_TYPE, unknown_model.as_bytes()), 5, 32),
            (refusal(request::COUNT, &[0; 700]), 0, 24),
        ] {
            assert_eq!(refusal.len(), size);
            assert_eq!(refusal[..4], id.to_ne_bytes());
            assert_eq!(refusal[8..12], (size as i32).to_ne_bytes());
            assert_eq!(refusal[16..20], Status::InvalidParam.code().to_ne_bytes());
            assert!(refusal[20..].iter().all(|byte| *byte == 0));
        }
    }
}
