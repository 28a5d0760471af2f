//! What comes of a received packet: a message, or the reason why it was dropped.

use bytes::Bytes;

/// Why a received packet or message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Too short, of another version or type, or with fields that contradict each other.
    Malformed,
    /// Its source is no configured host, or not at this address, or the link is not configured.
    Foreign,
    /// Data of a host that no link reaches.
    Unreachable,
    /// Seen before, or so far behind the host's newest message that it cannot be told from one that was.
    Duplicate,
    /// A fragment that does not fit the others of its message, or of a message that was given up.
    Fragment,
    /// Compressed in a way that is not supported, or longer than a message may be.
    Compression,
    /// A message for another host, or on another channel.
    NotForUs,
    /// More than a host may send of it in this time.
    Flood,
}

/// A message that came in.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival<'a> {
    /// It is a part of the packet that was given.
    Whole(&'a [u8]),
    /// It was put together from several, or decompressed.
    Assembled(Bytes),
}
