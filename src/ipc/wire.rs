//! Bytes of IPC messages: headers, and the two messages of the handshake on the stream socket.
//!
//! Everything is in this host's byte order and C layout; there is no version number. Source: libqb
//! `include/qb/qbipc_common.h`, `lib/ipc_int.h`.

/// Header of every request, 16 bytes. Its padding is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// Id of the request; negative ids belong to the transport itself.
    pub id: i32,
    /// Length of the whole message in bytes, including the header.
    pub size: i32,
}

impl RequestHeader {
    /// Length of the header, in bytes.
    pub const LEN: usize = 16;

    /// Decodes the header at the start of `bytes`; `None` if they are too few.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<{ Self::LEN }>()?;
        Some(Self { id: i32_at(bytes, 0), size: i32_at(bytes, 8) })
    }

    /// Encodes the header, with zero padding.
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
    /// Id of the request that it answers, or of the event.
    pub id: i32,
    /// Length of the whole message in bytes, including the header.
    pub size: i32,
    /// Result: the status of a service; in the handshake, 0 or a negative errno.
    pub error: i32,
}

impl ResponseHeader {
    /// Length of the header, in bytes.
    pub const LEN: usize = 24;

    /// Decodes the header at the start of `bytes`; `None` if they are too few.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<{ Self::LEN }>()?;
        Some(Self { id: i32_at(bytes, 0), size: i32_at(bytes, 8), error: i32_at(bytes, 16) })
    }

    /// Encodes the header, with zero padding.
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
/// Connection type for shared memory, the only one supported here.
pub(super) const SHARED_MEMORY: i32 = 1;
/// Longest ring buffer name in a response, including its NUL, in bytes.
pub(super) const NAME: usize = 4096;
/// Smallest maximum message length that a libqb client negotiates, in bytes.
pub(super) const LEAST_MAX: u32 = 12_328;

/// The first message of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectRequest {
    /// Must be [`AUTHENTICATE`].
    pub(super) id: i32,
    /// Length of the longest message that the client wants to exchange, in bytes.
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

/// The server's answer: a refusal, or the names of the ring buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConnectResponse {
    /// The connection is refused, with this positive errno.
    Refused(i32),
    /// The connection is accepted.
    Accepted {
        /// The connection type.
        kind: i32,
        /// Length of the longest message in either direction, in bytes.
        max_size: u32,
        /// A number without meaning for clients.
        cookie: u64,
        /// Base names of the request, response and event ring buffers.
        names: [Vec<u8>; 3],
    },
}

impl ConnectResponse {
    pub(super) const LEN: usize = 12_328;

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; Self::LEN];
        // Clients take a positive number for success, so all errno values are negated here.
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

    /// Decodes a response; `None` if it is too short or a name is not terminated.
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
    fn unterminated_names_are_refused() {
        let mut bytes =
            ConnectResponse::Accepted { kind: 1, max_size: 1, cookie: 0, names: Default::default() }
                .to_bytes();
        bytes[40..40 + NAME].fill(b'x');
        assert_eq!(ConnectResponse::read(&bytes), None);
        assert_eq!(ConnectResponse::read(&bytes[1..]), None);
    }
}
