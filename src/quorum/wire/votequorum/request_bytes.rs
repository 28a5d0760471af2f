//! The layouts of requests.

use zerocopy::byteorder::{U32, U64};

use super::super::{NAME_LEN, NE, RingBytes, name_bytes};
use super::request;
use crate::ids::RingId;
use crate::service::wire::layout::{PaddedU32, layout};
use crate::service::wire::{HeaderBytes, RequestHeader};

layout! {
    /// The request SETVOTES as bytes.
    pub(crate) struct SetVotesRequestBytes: 24, RequestHeader {
        pub(crate) votes: U32<NE>,
        /// Node id; 0: the quorum device.
        pub(crate) node: U32<NE>,
    }

    /// The request TRACKSTART as bytes.
    pub(crate) struct TrackStartRequestBytes: 32, RequestHeader {
        /// A number of the client, which is repeated in every event.
        pub(crate) context: U64<NE>,
        pub(crate) flags: PaddedU32<NE>,
    }

    /// QDEVICE_REGISTER and QDEVICE_UNREGISTER requests.
    pub(crate) struct DeviceRequestBytes: 272, RequestHeader {
        pub(crate) name: [u8; NAME_LEN],
        pub(crate) pad: [u8; 1],
    }

    /// The request QDEVICE_UPDATE as bytes.
    pub(crate) struct DeviceUpdateRequestBytes: 528, RequestHeader {
        pub(crate) old_name: [u8; NAME_LEN],
        pub(crate) new_name: [u8; NAME_LEN],
        pub(crate) pad: [u8; 2],
    }

    /// The request QDEVICE_POLL as bytes.
    pub(crate) struct DevicePollRequestBytes: 296, RequestHeader {
        pub(crate) name: [u8; NAME_LEN],
        pub(crate) pad_name: [u8; 1],
        pub(crate) cast_vote: PaddedU32<NE>,
        pub(crate) ring: RingBytes,
    }

    /// The request QDEVICE_MASTER_WINS as bytes.
    pub(crate) struct DeviceMasterWinsRequestBytes: 280, RequestHeader {
        pub(crate) name: [u8; NAME_LEN],
        pub(crate) pad_name: [u8; 1],
        pub(crate) allow: PaddedU32<NE>,
    }
}

impl SetVotesRequestBytes {
    pub(crate) fn new(node: u32, votes: u32) -> Self {
        let header = HeaderBytes::new(request::SET_VOTES.into(), size_of::<Self>());
        Self { header, votes: U32::new(votes), node: U32::new(node) }
    }
}

impl TrackStartRequestBytes {
    pub(crate) fn new(context: u64, flags: u32) -> Self {
        let header = HeaderBytes::new(request::TRACK_START.into(), size_of::<Self>());
        Self { header, context: U64::new(context), flags: PaddedU32::new(flags) }
    }
}

impl DeviceRequestBytes {
    /// A request about the device of this name.
    pub(crate) fn new(request: u16, name: &[u8]) -> Self {
        let header = HeaderBytes::new(request.into(), size_of::<Self>());
        Self { header, name: name_bytes(name), pad: [0; 1] }
    }
}

impl DeviceUpdateRequestBytes {
    /// A request that renames the device.
    pub(crate) fn new(old_name: &[u8], new_name: &[u8]) -> Self {
        let header = HeaderBytes::new(request::QDEVICE_UPDATE.into(), size_of::<Self>());
        Self { header, old_name: name_bytes(old_name), new_name: name_bytes(new_name), pad: [0; 2] }
    }
}

impl DevicePollRequestBytes {
    /// A request with the device's vote for a ring.
    pub(crate) fn new(name: &[u8], cast_vote: bool, ring: Option<RingId>) -> Self {
        Self {
            header: HeaderBytes::new(request::QDEVICE_POLL.into(), size_of::<Self>()),
            name: name_bytes(name),
            pad_name: [0; 1],
            cast_vote: PaddedU32::new(cast_vote.into()),
            ring: RingBytes::new(ring),
        }
    }
}

impl DeviceMasterWinsRequestBytes {
    /// A request that switches `master_wins`.
    pub(crate) fn new(name: &[u8], allow: bool) -> Self {
        Self {
            header: HeaderBytes::new(request::QDEVICE_MASTER_WINS.into(), size_of::<Self>()),
            name: name_bytes(name),
            pad_name: [0; 1],
            allow: PaddedU32::new(allow.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::*;
    use crate::ids::NodeId;

    /// docs/protocol/services.md, "Requests and events of votequorum": the offsets of fields.
    #[test]
    fn fields_have_the_offsets_of_c() {
        let ring = RingId { rep: NodeId::new(1).unwrap(), seq: 9 };
        let poll = DevicePollRequestBytes::new(b"Qdevice", true, Some(ring));
        assert_eq!(poll.as_bytes()[272..276], 1u32.to_ne_bytes());
        assert_eq!(poll.as_bytes()[280..284], 1u32.to_ne_bytes());
        assert_eq!(poll.as_bytes()[288..296], 9u64.to_ne_bytes());

        let update = DeviceUpdateRequestBytes::new(b"a", b"b");
        assert_eq!((update.as_bytes()[16], update.as_bytes()[271]), (b'a', b'b'));
        assert_eq!(SetVotesRequestBytes::new(3, 2).as_bytes()[16..20], 2u32.to_ne_bytes());
    }
}
