//! The result of a received packet: a message, or the reason why the packet was dropped.

use bytes::Bytes;

/// Why a received packet or message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Too short, of an unknown version or type, or with contradictory fields.
    Malformed,
    /// The source is no configured host, the address is not the source's, or the link is not configured.
    Foreign,
    /// Data from a host to which no link is up.
    Unreachable,
    /// A duplicate, or so far behind the host's newest message that it may be one.
    Duplicate,
    /// A fragment that contradicts the others of its message, or belongs to a message that was given up.
    Fragment,
    /// The compression is not supported, or the message is too long when decompressed.
    Compression,
    /// A message for another host, or on another channel than totem's.
    NotForUs,
    /// More control packets than are answered in this time.
    Flood,
}

/// A message that was received.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival<'a> {
    /// The message is a part of the given packet.
    Whole(&'a [u8]),
    /// The message was assembled from several fragments, or decompressed.
    Assembled(Bytes),
}
