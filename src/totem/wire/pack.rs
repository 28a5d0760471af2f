//! What a plain data frame carries: several messages, the last of which may go on in the next frame;
//! and the group header in front of each message.

use bytes::Bytes;

use crate::ids::Endian;

/// Bytes in front of the length words of a packet.
///
/// Source: corosync `exec/totempg.c`, `struct totempg_mcast`.
pub const FIXED: usize = 8;

/// Groups that one message may name; a C peer's limit.
const MAX_GROUPS: u16 = 32;

/// One packet of messages, in its sender's byte order.
#[derive(Clone, Debug)]
pub struct Packet {
    /// 0: the last message ends here. Otherwise it goes on in this sender's packet whose `continuation`
    /// is the same number.
    pub fragmented: u8,
    /// 0: the first message begins here.
    pub continuation: u8,
    order: Endian,
    count: usize,
    bytes: Bytes,
}

impl Packet {
    /// Reads the payload of a plain data frame; `None` unless there is at least one message and the
    /// lengths add up to exactly what is there.
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

    /// Byte order of the group headers and of whatever the messages carry.
    pub const fn order(&self) -> Endian {
        self.order
    }

    /// The pieces in order, without copying.
    pub fn pieces(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut at = FIXED + 2 * self.count;
        (0..self.count).map(move |index| {
            let start = at;
            at += self.length(index);
            self.bytes.slice(start..at)
        })
    }

    /// Bytes of piece `index`, which is below `count`, whose length words are known to be there.
    fn length(&self, index: usize) -> usize {
        let at = FIXED + 2 * index;
        usize::from(self.order.u16([self.bytes[at], self.bytes[at + 1]]))
    }
}

/// Writes the fixed part and the length words of a packet in front of its data.
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

/// To whom within a node a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Everything that is dispatched by service id: group `a`.
    App,
    /// The synchronisation of services: group `sync`.
    Sync,
}

impl Group {
    /// The group header: one group, by name.
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

/// Which of our groups a message names, and where its body begins. `None`: the header is cut or names
/// too many groups.
pub fn groups(message: &[u8], order: Endian) -> Option<(Named, usize)> {
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

/// Which of our groups a message names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Group `a`.
    pub app: bool,
    /// Group `sync`.
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
