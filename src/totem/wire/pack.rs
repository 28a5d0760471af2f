//! The payload of a plain data frame: one or more messages, the last of which may continue in the next frame,
//! and the group header in front of each message.

use bytes::Bytes;

use crate::ids::Endian;

/// Bytes of a packet before its length words.
///
/// Source: corosync `exec/totempg.c`, `struct totempg_mcast`.
pub const FIXED: usize = 8;

/// Limit of groups that one message may name; the same as a C peer's.
const MAX_GROUPS: u16 = 32;

/// One packet of messages, in its sender's byte order.
#[derive(Clone, Debug)]
pub struct Packet {
    /// 0: the last message ends in this packet. Otherwise it continues in this sender's packet whose
    /// `continuation` is the same number.
    pub fragmented: u8,
    /// 0: the first message begins in this packet. Otherwise it continues the packet whose `fragmented` is
    /// the same number.
    pub continuation: u8,
    order: Endian,
    count: usize,
    bytes: Bytes,
}

impl Packet {
    /// Parses the payload of a plain data frame; `None` unless there is at least one message and the lengths
    /// add up to exactly the bytes present.
    pub fn parse(bytes: Bytes, order: Endian) -> Option<Self> {
        let fixed = bytes.first_chunk::<FIXED>()?;
        let count = usize::from(order.u16([fixed[6], fixed[7]]));
        let packet = Self { fragmented: fixed[4], continuation: fixed[5], order, count, bytes };
        if count == 0 || packet.bytes.len() < FIXED + 2 * count {
            return None;
        }
        let data: usize = (0..count).map(|index| packet.length(index)).sum();
        (packet.bytes.len() == FIXED + 2 * count + data).then_some(packet)
    }

    /// Byte order of the group headers and of the numbers in the messages.
    pub const fn order(&self) -> Endian {
        self.order
    }

    /// The pieces of messages in order, without copying.
    pub fn pieces(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut at = FIXED + 2 * self.count;
        (0..self.count).map(move |index| {
            let start = at;
            at += self.length(index);
            self.bytes.slice(start..at)
        })
    }

    /// Length of piece `index`, which must be below `count`; the caller has checked that all length words are
    /// present.
    fn length(&self, index: usize) -> usize {
        let at = FIXED + 2 * index;
        usize::from(self.order.u16([self.bytes[at], self.bytes[at + 1]]))
    }
}

/// Writes the fixed part and the length words of a packet.
pub fn write_head(out: &mut impl bytes::BufMut, fragmented: u8, continuation: u8, lengths: &[u16]) {
    out.put_u16_le(0);
    out.put_u16_le(0);
    out.put_u8(fragmented);
    out.put_u8(continuation);
    out.put_u16_le(lengths.len() as u16);
    for length in lengths {
        out.put_u16_le(*length);
    }
}

/// The receiver of a message within a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Messages dispatched by service id: group `a`.
    App,
    /// Messages of the services' synchronisation: group `sync`.
    Sync,
}

impl Group {
    /// The group header of a message to this group; it names one group.
    pub const fn header(self) -> &'static [u8] {
        match self {
            Self::App => b"\x01\x00\x01\x00a",
            Self::Sync => b"\x01\x00\x04\x00sync",
        }
    }

    const fn name(self) -> &'static [u8] {
        match self {
            Self::App => b"a",
            Self::Sync => b"sync",
        }
    }
}

/// Finds the known groups that a message names, and where its body begins. `None` if the header is truncated
/// or names too many groups.
pub fn groups(message: &[u8], order: Endian) -> Option<(Named, usize)> {
    // So begin nearly all messages.
    if order == Endian::Little && message.starts_with(Group::App.header()) {
        return Some((Named { app: true, sync: false }, Group::App.header().len()));
    }
    let count = order.u16(*message.first_chunk()?);
    if count > MAX_GROUPS {
        return None;
    }
    let mut name_at = 2 + 2 * usize::from(count);
    let mut named = Named { app: false, sync: false };
    for index in 0..usize::from(count) {
        let length = order.u16(*message.get(2 + 2 * index..)?.first_chunk()?);
        let name = message.get(name_at..name_at + usize::from(length))?;
        named.app |= name == Group::App.name();
        named.sync |= name == Group::Sync.name();
        name_at += usize::from(length);
    }
    (name_at <= message.len()).then_some((named, name_at))
}

/// The known groups that a message names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Whether group `a` is named.
    pub app: bool,
    /// Whether group `sync` is named.
    pub sync: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_must_add_up() {
        let mut bytes = Vec::new();
        write_head(&mut bytes, 1, 0, &[2, 3]);
        bytes.extend_from_slice(b"abcde");
        let packet = Packet::parse(bytes.clone().into(), Endian::Little).unwrap();
        assert_eq!((packet.fragmented, packet.continuation), (1, 0));
        assert_eq!(packet.pieces().collect::<Vec<_>>(), [&b"ab"[..], b"cde"]);
        bytes.push(0);
        assert!(Packet::parse(bytes.clone().into(), Endian::Little).is_none(), "one byte too many");
        bytes.truncate(bytes.len() - 2);
        assert!(Packet::parse(bytes.into(), Endian::Little).is_none(), "one byte too few");
    }

    #[test]
    fn group_headers_are_checked() {
        let message = [Group::Sync.header(), b"body"].concat();
        let (named, at) = groups(&message, Endian::Little).unwrap();
        assert_eq!((named.app, named.sync, &message[at..]), (false, true, &b"body"[..]));
        for cut in 0..8 {
            assert!(groups(&message[..cut], Endian::Little).is_none(), "cut at {cut}");
        }
        assert!(groups(&[33, 0], Endian::Little).is_none(), "too many groups");
    }
}
