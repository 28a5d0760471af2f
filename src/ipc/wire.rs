//! The bytes on the stream socket: message headers, and the two messages of the handshake.
//!
//! Everything is in the machine's own byte order and C layout; there is no version number. Source: libqb
//! `include/qb/qbipc_common.h`, `lib/ipc_int.h`.

/// Header of every request, 16 bytes. The padding in it may hold anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// Which request; negative ids are the transport's own.
    pub id: i32,
    /// Length of the whole message, header included.
    pub size: i32,
}

impl RequestHeader {
    /// Bytes of the header.
    pub const LEN: usize = 16;

    /// Reads the header at the start of `bytes`; `None` if they are too few.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<{ Self::LEN }>()?;
        Some(Self { id: i32_at(bytes, 0), size: i32_at(bytes, 8) })
    }

    /// The header as bytes, padding zero.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0..4].copy_from_slice(&self.id.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.size.to_ne_bytes());
        bytes
    }
}

/// Header of every response and event, 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHeader {
    /// What it answers, or which event it is.
    pub id: i32,
    /// Length of the whole message, header included.
    pub size: i32,
    /// Result: of a service, its status number; of the handshake, 0 or a negative errno.
    pub error: i32,
}

impl ResponseHeader {
    /// Bytes of the header.
    pub const LEN: usize = 24;

    /// Reads the header at the start of `bytes`; `None` if they are too few.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<{ Self::LEN }>()?;
        Some(Self { id: i32_at(bytes, 0), size: i32_at(bytes, 8), error: i32_at(bytes, 16) })
    }

    /// The header as bytes, padding zero.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0..4].copy_from_slice(&self.id.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.size.to_ne_bytes());
        bytes[16..20].copy_from_slice(&self.error.to_ne_bytes());
        bytes
    }
}

/// Id of the handshake's messages.
pub(super) const AUTHENTICATE: i32 = -1;
/// Id of a request to disconnect.
pub(super) const DISCONNECT: i32 = -3;
/// Connection type: shared memory. The only one spoken here.
pub(super) const SHARED_MEMORY: i32 = 1;
/// Longest ring name in a response, with its NUL.
pub(super) const NAME: usize = 4096;
/// Least message length that a libqb client negotiates.
pub(super) const LEAST_MAX: u32 = 12_328;

/// What a client sends first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectRequest {
    /// Must be [`AUTHENTICATE`].
    pub(super) id: i32,
    /// Longest message that the client wants to exchange, bytes.
    pub(super) max_size: u32,
}

impl ConnectRequest {
    pub(super) const LEN: usize = 24;

    pub(super) fn read(bytes: &[u8; Self::LEN]) -> Self {
        Self { id: i32_at(bytes, 0), max_size: u32_at(bytes, 16) }
    }

    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let header = RequestHeader { id: self.id, size: Self::LEN as i32 };
        bytes[..RequestHeader::LEN].copy_from_slice(&header.to_bytes());
        bytes[16..20].copy_from_slice(&self.max_size.to_ne_bytes());
        bytes
    }
}

/// What the server answers: refusal, or the names of the rings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConnectResponse {
    /// No; a positive errno.
    Refused(i32),
    /// Yes.
    Accepted {
        /// Kind of channel.
        kind: i32,
        /// Longest message in any direction, bytes.
        max_size: u32,
        /// Opaque to clients.
        cookie: u64,
        /// Base names of request, response and event ring.
        names: [Vec<u8>; 3],
    },
}

impl ConnectResponse {
    pub(super) const LEN: usize = 12_328;

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; Self::LEN];
        // Clients take a positive number for success, so refusals are made negative here, in one place.
        let error = match *self {
            Self::Refused(errno) => -errno.abs().max(1),
            Self::Accepted { .. } => 0,
        };
        let header = ResponseHeader { id: AUTHENTICATE, size: Self::LEN as i32, error };
        bytes[..ResponseHeader::LEN].copy_from_slice(&header.to_bytes());
        if let Self::Accepted { kind, max_size, cookie, names } = self {
            bytes[24..28].copy_from_slice(&kind.to_ne_bytes());
            bytes[28..32].copy_from_slice(&max_size.to_ne_bytes());
            bytes[32..40].copy_from_slice(&cookie.to_ne_bytes());
            for (name, room) in names.iter().zip(bytes[40..].chunks_exact_mut(NAME)) {
                assert!(name.len() < NAME, "ring names are checked when they are made");
                room[..name.len()].copy_from_slice(name);
            }
        }
        bytes
    }

    /// Reads a response; `None` if it is too short or a name has no end.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::LEN {
            return None;
        }
        let error = i32_at(bytes, 16);
        if error != 0 {
            return Some(Self::Refused(error.checked_abs()?));
        }
        let name = |at: usize| {
            let room = &bytes[at..at + NAME];
            Some(room[..room.iter().position(|&byte| byte == 0)?].to_vec())
        };
        Some(Self::Accepted {
            kind: i32_at(bytes, 24),
            max_size: u32_at(bytes, 28),
            cookie: u64::from_ne_bytes(bytes[32..40].try_into().ok()?),
            names: [name(40)?, name(40 + NAME)?, name(40 + 2 * NAME)?],
        })
    }
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_request_is_as_libqb_sends_it() {
        let bytes = ConnectRequest { id: AUTHENTICATE, max_size: 1_048_576 }.to_bytes();
        let captured =
            [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0];
        assert_eq!(bytes, captured);
        assert_eq!(ConnectRequest::read(&captured), ConnectRequest { id: -1, max_size: 0x10_0000 });
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_response_is_as_libqb_sends_it() {
        let names = ["request", "response", "event"]
            .map(|ring| format!("/dev/shm/qb-14855-15268-7-0PZ2mC/qb-{ring}-specC-x").into_bytes());
        let response =
            ConnectResponse::Accepted { kind: 1, max_size: 1 << 20, cookie: 0x5649_77d3_e350, names };
        let bytes = response.to_bytes();
        assert_eq!(bytes[..16], [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x28, 0x30, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[16..32], [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0x10, 0]);
        assert_eq!(bytes[0x20..0x30], *b"\x50\xe3\xd3\x77\x49\x56\0\0/dev/shm");
        assert_eq!(bytes[0x1028..0x1034], *b"/dev/shm/qb-");
        assert_eq!(bytes[0x2050..0x2056], *b"t-spec"[..].get(..6).unwrap());
        assert_eq!(ConnectResponse::read(&bytes), Some(response));
    }

    #[test]
    fn a_refusal_is_negative_on_the_wire_and_all_else_is_zero() {
        let bytes = ConnectResponse::Refused(13).to_bytes();
        assert_eq!(bytes[16..20], (-13_i32).to_ne_bytes());
        assert!(bytes[20..].iter().all(|&byte| byte == 0));
        assert_eq!(ConnectResponse::read(&bytes), Some(ConnectResponse::Refused(13)));
    }

    #[test]
    fn names_without_an_end_are_refused() {
        let mut bytes =
            ConnectResponse::Accepted { kind: 1, max_size: 1, cookie: 0, names: Default::default() }
                .to_bytes();
        bytes[40..40 + NAME].fill(b'x');
        assert_eq!(ConnectResponse::read(&bytes), None);
        assert_eq!(ConnectResponse::read(&bytes[1..]), None);
    }
}
