//! The requests of clients.

use super::super::exec::Subject;
use super::super::{Track, name};
use super::{
    DeviceMasterWinsRequestBytes, DevicePollRequestBytes, DeviceRequestBytes, DeviceUpdateRequestBytes,
    NumberRequestBytes, Reply, SetVotesRequestBytes, TrackStartRequestBytes, request,
};
use crate::error::Status;
use crate::ids::{NodeId, RingId};
use crate::service::wire::layout::{head, to_bytes};
use crate::service::wire::{HEADER_LEN, RequestHeader};

/// A request of a client. Names are any bytes without NUL, at most 255 of them; only 254 are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// The votes of a node; `None`: of the node that is asked.
    GetInfo { node: Option<NodeId> },
    /// Set the expected votes of all nodes.
    SetExpected { votes: u32 },
    /// Set the votes of a node or of the quorum device.
    SetVotes { subject: Subject, votes: u32 },
    /// Send the state now, at changes, or both, with the client's number `context` in every event.
    TrackStart { context: u64, track: Track },
    /// Send the state no more.
    TrackStop,
    /// Register a quorum device.
    DeviceRegister { name: &'a [u8] },
    /// Unregister the quorum device.
    DeviceUnregister { name: &'a [u8] },
    /// Rename the quorum device.
    DeviceUpdate { old_name: &'a [u8], new_name: &'a [u8] },
    /// The quorum device's vote for a ring; `None` is no ring.
    DevicePoll { name: &'a [u8], cast_vote: bool, ring: Option<RingId> },
    /// Whether the partition with the quorum device's vote is quorate, whatever the other votes are.
    DeviceMasterWins { name: &'a [u8], allow: bool },
}

impl<'a> Request<'a> {
    /// Decodes a request.
    ///
    /// # Errors
    /// It is too short, or has an unknown number: the reply that refuses it.
    pub(crate) fn decode(function: u16, bytes: &'a [u8]) -> Result<Self, Reply> {
        Self::read(function, bytes).ok_or(match function {
            request::GET_INFO => Reply::Info(Err(Status::InvalidParam)),
            _ => Reply::Status(Status::InvalidParam),
        })
    }

    fn read(function: u16, bytes: &'a [u8]) -> Option<Self> {
        Some(match function {
            request::GET_INFO => Self::GetInfo { node: NodeId::new(NumberRequestBytes::number(bytes)?) },
            request::SET_EXPECTED => Self::SetExpected { votes: NumberRequestBytes::number(bytes)? },
            request::SET_VOTES => {
                let bytes = head::<SetVotesRequestBytes>(bytes)?;
                Self::SetVotes { subject: Subject::new(bytes.node.get()), votes: bytes.votes.get() }
            }
            request::TRACK_START => {
                let bytes = head::<TrackStartRequestBytes>(bytes)?;
                let track = Track::from_flags(bytes.flags.get());
                Self::TrackStart { context: bytes.context.get(), track }
            }
            request::TRACK_STOP => Self::TrackStop,
            request::QDEVICE_REGISTER => Self::DeviceRegister { name: device_name(bytes)? },
            request::QDEVICE_UNREGISTER => Self::DeviceUnregister { name: device_name(bytes)? },
            request::QDEVICE_UPDATE => {
                let bytes = head::<DeviceUpdateRequestBytes>(bytes)?;
                Self::DeviceUpdate { old_name: name(&bytes.old_name), new_name: name(&bytes.new_name) }
            }
            request::QDEVICE_POLL => {
                let bytes = head::<DevicePollRequestBytes>(bytes)?;
                let cast_vote = bytes.cast_vote.get() != 0;
                Self::DevicePoll { name: name(&bytes.name), cast_vote, ring: bytes.ring.ring() }
            }
            request::QDEVICE_MASTER_WINS => {
                let bytes = head::<DeviceMasterWinsRequestBytes>(bytes)?;
                Self::DeviceMasterWins { name: name(&bytes.name), allow: bytes.allow.get() != 0 }
            }
            _ => return None,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let number = |id, number| to_bytes(&NumberRequestBytes::new(id, number));
        let device = |id, name| to_bytes(&DeviceRequestBytes::new(id, name));
        match *self {
            Self::GetInfo { node } => number(request::GET_INFO, node.map_or(0, NodeId::get)),
            Self::SetExpected { votes } => number(request::SET_EXPECTED, votes),
            Self::SetVotes { subject, votes } => to_bytes(&SetVotesRequestBytes::new(subject.get(), votes)),
            Self::TrackStart { context, track } => {
                to_bytes(&TrackStartRequestBytes::new(context, track.flags()))
            }
            Self::TrackStop => to_bytes(&RequestHeader::new(request::TRACK_STOP.into(), HEADER_LEN)),
            Self::DeviceRegister { name } => device(request::QDEVICE_REGISTER, name),
            Self::DeviceUnregister { name } => device(request::QDEVICE_UNREGISTER, name),
            Self::DeviceUpdate { old_name, new_name } => {
                to_bytes(&DeviceUpdateRequestBytes::new(old_name, new_name))
            }
            Self::DevicePoll { name, cast_vote, ring } => {
                to_bytes(&DevicePollRequestBytes::new(name, cast_vote, ring))
            }
            Self::DeviceMasterWins { name, allow } => {
                to_bytes(&DeviceMasterWinsRequestBytes::new(name, allow))
            }
        }
    }
}

/// The name in a request about the device.
fn device_name(request: &[u8]) -> Option<&[u8]> {
    Some(name(&head::<DeviceRequestBytes>(request)?.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> RingId {
        RingId { rep: NodeId::new(1).unwrap(), seq: 9 }
    }

    /// docs/protocol/services.md, "Requests and events of votequorum": sizes and numbers.
    #[test]
    fn requests_have_corosyncs_sizes_and_are_decoded_as_encoded() {
        let name = b"Qdevice";
        let all = [
            (Request::GetInfo { node: NodeId::new(4) }, 24),
            (Request::SetExpected { votes: 5 }, 24),
            (Request::SetVotes { subject: Subject::new(3), votes: 2 }, 24),
            (Request::TrackStart { context: 7, track: Track { now: true, changes: true } }, 32),
            (Request::TrackStop, 16),
            (Request::DeviceRegister { name }, 272),
            (Request::DeviceUnregister { name }, 272),
            (Request::DeviceUpdate { old_name: b"", new_name: name }, 528),
            (Request::DevicePoll { name, cast_vote: true, ring: Some(ring()) }, 296),
            (Request::DeviceMasterWins { name, allow: false }, 280),
        ];
        assert_eq!(all.len(), usize::from(request::COUNT));
        for (function, (request, size)) in all.into_iter().enumerate() {
            let bytes = request.encode();
            assert_eq!(bytes.len(), size, "{request:?}");
            assert_eq!(bytes[..4], (function as u32).to_ne_bytes());
            assert_eq!(bytes[8..12], (size as u32).to_ne_bytes());
            let function = function as u16;
            assert_eq!(Request::decode(function, &bytes), Ok(request));
            let refusal = match function {
                request::GET_INFO => Reply::Info(Err(Status::InvalidParam)),
                _ => Reply::Status(Status::InvalidParam),
            };
            for length in HEADER_LEN..size {
                assert_eq!(Request::decode(function, &bytes[..length]), Err(refusal.clone()));
            }
        }
        let unknown = Request::decode(request::COUNT, &[0; 700]);
        assert_eq!(unknown, Err(Reply::Status(Status::InvalidParam)));
    }

    /// A name without a NUL ends at the end of its field; a ring without a representative is none.
    #[test]
    fn any_content_is_decoded() {
        let Ok(Request::DeviceUpdate { old_name, new_name }) =
            Request::decode(request::QDEVICE_UPDATE, &[0x41; 528])
        else {
            panic!("long enough");
        };
        assert_eq!((old_name.len(), new_name.len()), (255, 255));
        let name = b"";
        let poll = Request::decode(request::QDEVICE_POLL, &[0; 296]);
        assert_eq!(poll, Ok(Request::DevicePoll { name, cast_vote: false, ring: None }));
        assert_eq!(Request::decode(request::GET_INFO, &[0; 24]), Ok(Request::GetInfo { node: None }));
        let votes = Request::decode(request::SET_VOTES, &[0; 24]);
        assert_eq!(votes, Ok(Request::SetVotes { subject: Subject::Device, votes: 0 }));
    }
}
