//! The requests of clients.

use zerocopy::{NativeEndian, U16};

use super::{REASON_LIMIT, reason_field};
use crate::service::wire::layout::{PaddedU32, head, layout, to_bytes};
use crate::service::wire::{HEADER_LEN, HeaderBytes, RequestHeader};

pub(crate) mod number {
    pub(crate) const RING_STATUS: u16 = 0;
    pub(crate) const RING_REENABLE: u16 = 1;
    pub(crate) const KILL_NODE: u16 = 2;
    pub(crate) const TRY_SHUTDOWN: u16 = 3;
    pub(crate) const REPLY_TO_SHUTDOWN: u16 = 4;
    pub(crate) const NODE_ADDRS: u16 = 5;
    pub(crate) const LOCAL_GET: u16 = 6;
    pub(crate) const RELOAD: u16 = 7;
    pub(crate) const REOPEN_LOG_FILES: u16 = 8;
    pub(crate) const NODE_STATUS: u16 = 9;
    pub(crate) const TRACK_START: u16 = 10;
    pub(crate) const TRACK_STOP: u16 = 11;
    pub(crate) const COUNT: u16 = 12;
}

/// Appended to a RELOAD request of 24 bytes: the reply must contain a report, not only a status.
const REPORT: u32 = 0x616e_6e31;

/// Appended to a RINGREENABLE request of 24 bytes: a request for a new key, or for the keys in use. Corosync's daemon
/// supports neither, nor RINGREENABLE itself.
const NEW_KEY: u32 = 0x6b65_7931;
const KEYS: u32 = 0x6b65_7932;

type NE = NativeEndian;

layout! {
    /// KILLNODE request. The reason is a `cs_name_t`: unlike in the exec message, its bytes follow the length
    /// directly.
    struct KillBytes: 288, RequestHeader {
        node: PaddedU32<NE>,
        length: U16<NE>,
        reason: [u8; REASON_LIMIT],
        pad_reason: [u8; 6],
    }

    /// TRYSHUTDOWN (flags), REPLYTOSHUTDOWN (1 for yes) and GET_NODE_ADDRS (a node) requests.
    struct NumberBytes: 24, RequestHeader {
        value: PaddedU32<NE>,
    }

    /// NODESTATUSGET request.
    struct NodeStatusBytes: 32, RequestHeader {
        node: PaddedU32<NE>,
        version: PaddedU32<NE>,
    }

    /// TRACKSTART request.
    struct TrackBytes: 24, RequestHeader {
        flags: u8,
        pad_flags: [u8; 7],
    }
}

/// A request of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// The state of this node's links, in Corosync's older form.
    RingStatus,
    /// A relic of older versions without effect.
    RingReenable,
    /// Make a new key for all nodes. Only annulusd supports it.
    NewKey,
    /// Report the key that each node uses. Only annulusd supports it.
    Keys,
    /// End another node at once.
    Kill {
        /// The id of the node.
        node: u32,
        /// The reason: any bytes, at most [`super::REASON_LIMIT`].
        reason: &'a [u8],
    },
    /// Shut this node down.
    TryShutdown {
        /// 0: if all agree, 1: ask and shut down anyway, 2: at once.
        flags: u32,
    },
    /// The answer to a [`super::Question`].
    ReplyToShutdown {
        /// 1: agreement.
        response: u32,
    },
    /// The addresses of a node.
    NodeAddrs {
        /// The id of the node; 0: this one.
        node: u32,
    },
    /// The id of this node.
    LocalGet,
    /// Make all nodes read their configuration again.
    Reload {
        /// Whether the reply must contain a report: [`super::report`]. Only annulusd evaluates it.
        report: bool,
    },
    /// Close and open the log files of this node.
    ReopenLogFiles,
    /// The state of the links to a node.
    NodeStatus {
        /// The id of the node.
        node: u32,
        /// Version of the reply; only 1 is known.
        version: u32,
    },
    /// Ask this client before a shutdown.
    TrackStart {
        /// Not evaluated.
        flags: u8,
    },
    /// Do not ask this client any more.
    TrackStop,
}

impl<'a> Request<'a> {
    pub(crate) const fn number(&self) -> u16 {
        match self {
            Self::RingStatus => number::RING_STATUS,
            Self::RingReenable | Self::NewKey | Self::Keys => number::RING_REENABLE,
            Self::Kill { .. } => number::KILL_NODE,
            Self::TryShutdown { .. } => number::TRY_SHUTDOWN,
            Self::ReplyToShutdown { .. } => number::REPLY_TO_SHUTDOWN,
            Self::NodeAddrs { .. } => number::NODE_ADDRS,
            Self::LocalGet => number::LOCAL_GET,
            Self::Reload { .. } => number::RELOAD,
            Self::ReopenLogFiles => number::REOPEN_LOG_FILES,
            Self::NodeStatus { .. } => number::NODE_STATUS,
            Self::TrackStart { .. } => number::TRACK_START,
            Self::TrackStop => number::TRACK_STOP,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let header = |size| HeaderBytes::new(self.number().into(), size);
        let one = |value| {
            let header = header(size_of::<NumberBytes>());
            to_bytes(&NumberBytes { header, value: PaddedU32::new(value) })
        };
        match *self {
            Self::RingStatus
            | Self::RingReenable
            | Self::LocalGet
            | Self::Reload { report: false }
            | Self::ReopenLogFiles
            | Self::TrackStop => to_bytes(&header(HEADER_LEN)),
            Self::Kill { node, reason } => {
                let (reason, length) = reason_field(reason);
                to_bytes(&KillBytes {
                    header: header(size_of::<KillBytes>()),
                    node: PaddedU32::new(node),
                    length: U16::new(length),
                    reason,
                    pad_reason: [0; 6],
                })
            }
            Self::Reload { report: true } => one(REPORT),
            Self::NewKey => one(NEW_KEY),
            Self::Keys => one(KEYS),
            Self::TryShutdown { flags: value }
            | Self::ReplyToShutdown { response: value }
            | Self::NodeAddrs { node: value } => one(value),
            Self::NodeStatus { node, version } => to_bytes(&NodeStatusBytes {
                header: header(size_of::<NodeStatusBytes>()),
                node: PaddedU32::new(node),
                version: PaddedU32::new(version),
            }),
            Self::TrackStart { flags } => {
                let header = header(size_of::<TrackBytes>());
                to_bytes(&TrackBytes { header, flags, pad_flags: [0; 7] })
            }
        }
    }

    /// Decodes a request. `None`: it is too short, contains an invalid length, or has an unknown number.
    pub(crate) fn decode(function: u16, bytes: &'a [u8]) -> Option<Self> {
        let one = || Some(head::<NumberBytes>(bytes)?.value.get());
        Some(match function {
            number::RING_STATUS => Self::RingStatus,
            number::RING_REENABLE => match one() {
                Some(NEW_KEY) => Self::NewKey,
                Some(KEYS) => Self::Keys,
                _ => Self::RingReenable,
            },
            number::KILL_NODE => {
                let bytes = head::<KillBytes>(bytes)?;
                let reason = bytes.reason.get(..usize::from(bytes.length.get()))?;
                Self::Kill { node: bytes.node.get(), reason }
            }
            number::TRY_SHUTDOWN => Self::TryShutdown { flags: one()? },
            number::REPLY_TO_SHUTDOWN => Self::ReplyToShutdown { response: one()? },
            number::NODE_ADDRS => Self::NodeAddrs { node: one()? },
            number::LOCAL_GET => Self::LocalGet,
            // Corosync's clients send the header alone.
            number::RELOAD => Self::Reload { report: one() == Some(REPORT) },
            number::REOPEN_LOG_FILES => Self::ReopenLogFiles,
            number::NODE_STATUS => {
                let bytes = head::<NodeStatusBytes>(bytes)?;
                Self::NodeStatus { node: bytes.node.get(), version: bytes.version.get() }
            }
            number::TRACK_START => Self::TrackStart { flags: head::<TrackBytes>(bytes)?.flags },
            number::TRACK_STOP => Self::TrackStop,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/protocol/services.md, "Requests and replies of CFG": sizes, and places of the fields.
    #[test]
    fn requests_have_corosyncs_sizes_and_are_decoded_as_encoded() {
        let all = [
            (Request::RingStatus, 16),
            (Request::RingReenable, 16),
            (Request::Kill { node: 3, reason: b"because" }, 288),
            (Request::TryShutdown { flags: 2 }, 24),
            (Request::ReplyToShutdown { response: 1 }, 24),
            (Request::NodeAddrs { node: 0 }, 24),
            (Request::LocalGet, 16),
            (Request::Reload { report: false }, 16),
            (Request::ReopenLogFiles, 16),
            (Request::NodeStatus { node: 2, version: 1 }, 32),
            (Request::TrackStart { flags: 1 }, 24),
            (Request::TrackStop, 16),
        ];
        assert_eq!(all.len(), usize::from(number::COUNT));
        for (number, (request, size)) in all.into_iter().enumerate() {
            let bytes = request.encode();
            assert_eq!(usize::from(request.number()), number);
            assert_eq!(bytes.len(), size, "{request:?}");
            assert_eq!(bytes[..4], (number as u32).to_ne_bytes());
            assert_eq!(bytes[8..12], (size as u32).to_ne_bytes());
            assert_eq!(Request::decode(number as u16, &bytes), Some(request));
            if size > HEADER_LEN {
                for length in HEADER_LEN..size {
                    assert_eq!(Request::decode(number as u16, &bytes[..length]), None);
                }
            }
        }
        assert_eq!(Request::decode(number::COUNT, &[0; 300]), None);
    }

    #[test]
    fn fields_have_the_offsets_of_c() {
        let kill = Request::Kill { node: 3, reason: b"because" }.encode();
        assert_eq!(kill[16..20], 3_u32.to_ne_bytes());
        assert_eq!(kill[24..26], 7_u16.to_ne_bytes());
        assert_eq!(&kill[26..33], b"because");
        let status = Request::NodeStatus { node: 2, version: 1 }.encode();
        assert_eq!(status[16..20], 2_u32.to_ne_bytes());
        assert_eq!(status[24..28], 1_u32.to_ne_bytes());
    }

    /// Corosync's daemon reads only the header of either form.
    #[test]
    fn a_client_can_ask_for_a_report_after_the_header() {
        let ask = Request::Reload { report: true };
        let bytes = ask.encode();
        assert_eq!(bytes.len(), 24);
        assert_eq!(Request::decode(number::RELOAD, &bytes), Some(ask));
        let plain = Some(Request::Reload { report: false });
        assert_eq!(Request::decode(number::RELOAD, &bytes[..16]), plain);
        assert_eq!(Request::decode(number::RELOAD, &[0; 24]), plain);
    }

    /// Corosync's daemon answers that it does not support the request.
    #[test]
    fn a_new_key_is_asked_for_in_a_request_that_corosync_refuses() {
        for request in [Request::NewKey, Request::Keys] {
            let bytes = request.encode();
            assert_eq!(Request::decode(number::RING_REENABLE, &bytes), Some(request));
            assert_eq!(Request::decode(number::RING_REENABLE, &bytes[..16]), Some(Request::RingReenable));
        }
    }

    #[test]
    fn a_reason_of_invalid_length_is_refused() {
        let mut kill = Request::Kill { node: 3, reason: b"" }.encode();
        kill[24..26].copy_from_slice(&u16::MAX.to_ne_bytes());
        assert_eq!(Request::decode(number::KILL_NODE, &kill), None);
    }
}
