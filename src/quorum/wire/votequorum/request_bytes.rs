//! The layouts of requests.

use zerocopy::byteorder::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::super::{NAME_LEN, NE, RingBytes, name_bytes};
use super::request;
use crate::ids::RingId;
use crate::service::wire::HeaderBytes;

/// The request SETVOTES as bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct SetVotesRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) votes: U32<NE>,
    /// Node id; 0: the quorum device.
    pub(crate) node: U32<NE>,
}
const _: () = assert!(size_of::<SetVotesRequestBytes>() == 24);

impl SetVotesRequestBytes {
    /// A request that sets these votes.
    pub(crate) fn new(node: u32, votes: u32) -> Self {
        let header = HeaderBytes::new(request::SET_VOTES.into(), size_of::<Self>());
        Self { header, votes: U32::new(votes), node: U32::new(node) }
    }
}

/// The request TRACKSTART as bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct TrackStartRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    /// A number of the client, which is repeated in every event.
    pub(crate) context: U64<NE>,
    pub(crate) flags: U32<NE>,
    pub(crate) pad: [u8; 4],
}
const _: () = assert!(size_of::<TrackStartRequestBytes>() == 32);

impl TrackStartRequestBytes {
    /// A request with these flags.
    pub(crate) fn new(context: u64, flags: u32) -> Self {
        let header = HeaderBytes::new(request::TRACK_START.into(), size_of::<Self>());
        Self { header, context: U64::new(context), flags: U32::new(flags), pad: [0; 4] }
    }
}

/// QDEVICE_REGISTER and QDEVICE_UNREGISTER requests.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct DeviceRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) name: [u8; NAME_LEN],
    pub(crate) pad: [u8; 1],
}
const _: () = assert!(size_of::<DeviceRequestBytes>() == 272);

impl DeviceRequestBytes {
    /// A request about the device of this name.
    pub(crate) fn new(request: u16, name: &[u8]) -> Self {
        let header = HeaderBytes::new(request.into(), size_of::<Self>());
        Self { header, name: name_bytes(name), pad: [0; 1] }
    }
}

/// The request QDEVICE_UPDATE as bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct DeviceUpdateRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) old_name: [u8; NAME_LEN],
    pub(crate) new_name: [u8; NAME_LEN],
    pub(crate) pad: [u8; 2],
}
const _: () = assert!(size_of::<DeviceUpdateRequestBytes>() == 528);

impl DeviceUpdateRequestBytes {
    /// A request that renames the device.
    pub(crate) fn new(old_name: &[u8], new_name: &[u8]) -> Self {
        let header = HeaderBytes::new(request::QDEVICE_UPDATE.into(), size_of::<Self>());
        Self { header, old_name: name_bytes(old_name), new_name: name_bytes(new_name), pad: [0; 2] }
    }
}

/// The request QDEVICE_POLL as bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct DevicePollRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) name: [u8; NAME_LEN],
    pub(crate) pad_name: [u8; 1],
    pub(crate) cast_vote: U32<NE>,
    pub(crate) pad_cast: [u8; 4],
    pub(crate) ring: RingBytes,
}
const _: () = assert!(size_of::<DevicePollRequestBytes>() == 296);

impl DevicePollRequestBytes {
    /// A request with the device's vote for a ring.
    pub(crate) fn new(name: &[u8], cast_vote: bool, ring: Option<RingId>) -> Self {
        Self {
            header: HeaderBytes::new(request::QDEVICE_POLL.into(), size_of::<Self>()),
            name: name_bytes(name),
            pad_name: [0; 1],
            cast_vote: U32::new(cast_vote.into()),
            pad_cast: [0; 4],
            ring: RingBytes::new(ring),
        }
    }
}

/// The request QDEVICE_MASTER_WINS as bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct DeviceMasterWinsRequestBytes {
    pub(crate) header: HeaderBytes<NE>,
    pub(crate) name: [u8; NAME_LEN],
    pub(crate) pad_name: [u8; 1],
    pub(crate) allow: U32<NE>,
    pub(crate) pad_allow: [u8; 4],
}
const _: () = assert!(size_of::<DeviceMasterWinsRequestBytes>() == 280);

impl DeviceMasterWinsRequestBytes {
    /// A request that switches `master_wins`.
    pub(crate) fn new(name: &[u8], allow: bool) -> Self {
        Self {
            header: HeaderBytes::new(request::QDEVICE_MASTER_WINS.into(), size_of::<Self>()),
            name: name_bytes(name),
            pad_name: [0; 1],
            allow: U32::new(allow.into()),
            pad_allow: [0; 4],
        }
    }
}

#[cfg(test)]
mod tests {
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
