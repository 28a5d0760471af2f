//! Clients' requests, replies and events as bytes, in this host's order, written down from what Corosync's libraries send
//! and read: a second description beside the one under test.

use annulus::ids::NodeId;
use annulus::service::wire::HEADER_LEN;
use bytes::Bytes;

/// A process in a group, as events name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Member {
    pub(crate) node: u32,
    pub(crate) pid: u32,
}

/// An event that a client was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Who is in a group, with the processes that left and joined and the reason of each.
    Membership { group: String, members: Vec<Member>, left: Vec<(Member, u32)>, joined: Vec<(Member, u32)> },
    /// A message of a group.
    Message { group: String, from: Member, payload: Bytes },
    /// Whether this part of the cluster may act, and who is in it.
    Quorum { quorate: bool, members: Vec<NodeId> },
    /// A key has a new value.
    Key { name: String, value: Option<Vec<u8>> },
    /// The ring of a client's node is a new one.
    Ring,
    /// Anything else, by its number.
    Other(i32),
}

/// Bytes of a group's name in a message: a length of eight bytes and 128 places.
const GROUP_NAME: usize = 136;
/// Bytes of a key's name in a message: a length of eight bytes and 256 places.
const KEY_NAME: usize = 264;
/// Bytes of the header of replies and events.
const REPLY_HEADER: usize = 24;

fn request(number: i32, parts: &[&[u8]]) -> Vec<u8> {
    let size: usize = HEADER_LEN + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(size);
    bytes.extend_from_slice(&padded(number as u32));
    bytes.extend_from_slice(&padded(size as u32));
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

/// A group's name: a length of four bytes, padding, and the places for its bytes.
fn group_name(text: &str) -> Vec<u8> {
    let mut bytes = [&padded(text.len() as u32)[..], text.as_bytes()].concat();
    bytes.resize(GROUP_NAME, 0);
    bytes
}

/// A key's name: a length of two bytes, padding, and the places for its bytes.
fn key_name(text: &str) -> Vec<u8> {
    let mut bytes = [&(text.len() as u16).to_ne_bytes()[..], &[0; 6], text.as_bytes()].concat();
    bytes.resize(KEY_NAME, 0);
    bytes
}

/// A number of four bytes and four bytes of padding.
fn padded(number: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&number.to_ne_bytes());
    bytes
}

/// A process joins a group.
pub(crate) fn join(group: &str, pid: u32) -> Vec<u8> {
    request(0, &[&group_name(group), &padded(pid), &padded(0)])
}

/// A process leaves its group.
pub(crate) fn leave(group: &str, pid: u32) -> Vec<u8> {
    request(1, &[&group_name(group), &padded(pid)])
}

/// A member multicasts to its group; there is no reply.
pub(crate) fn multicast(payload: &[u8], safe: bool) -> Vec<u8> {
    let guarantee = if safe { 3 } else { 2 };
    request(2, &[&[0; 8], &padded(guarantee), &padded(payload.len() as u32), payload])
}

/// The quorum service is to tell whether this part may act, now and whenever that changes.
pub(crate) fn track_quorum() -> Vec<u8> {
    request(1, &[&padded(3)])
}

/// A key is set to a text.
pub(crate) fn set_key(key: &str, text: &str) -> Vec<u8> {
    const TEXT: [u8; 8] = [11, 0, 0, 0, 0, 0, 0, 0];
    let value = [text.as_bytes(), &[0]].concat();
    request(0, &[&key_name(key), &(value.len() as u64).to_ne_bytes(), &TEXT, &value])
}

/// Every change of the keys that begin with `prefix` is to be told.
pub(crate) fn track_keys(prefix: &str) -> Vec<u8> {
    const ALL_CHANGES_BELOW_A_PREFIX: u32 = 1 | 2 | 4 | 8;
    request(7, &[&key_name(prefix), &padded(ALL_CHANGES_BELOW_A_PREFIX), &1_u64.to_ne_bytes()])
}

/// Every node is to read its configuration again.
pub(crate) fn reload() -> Vec<u8> {
    request(7, &[])
}

/// The number of a reply, which says what it answers.
pub(crate) fn number(reply: &[u8]) -> i32 {
    i32::from_ne_bytes(reply[..4].try_into().expect("a reply has a header of 24 bytes"))
}

/// The status in a reply.
pub(crate) fn status(reply: &[u8]) -> i32 {
    i32::from_ne_bytes(reply[16..20].try_into().expect("a reply has a header of 24 bytes"))
}

/// What an event says.
pub(crate) fn event(service: u16, head: &[u8], payload: &Bytes) -> Event {
    let number = int(head, 0);
    assert_eq!(int(head, 8) as usize, head.len() + payload.len(), "the size in an event's header");
    match (service, number) {
        (2, 4) => membership(head),
        (2, 13) => Event::Ring,
        (2, 5) => {
            let at = REPLY_HEADER + GROUP_NAME;
            assert_eq!(int(head, at) as usize, payload.len(), "the length of a message");
            let from = Member { node: int(head, at + 8), pid: int(head, at + 16) };
            Event::Message {
                group: text(&head[REPLY_HEADER..], int(head, REPLY_HEADER) as usize),
                from,
                payload: payload.clone(),
            }
        }
        (3, 3) => {
            let ids =
                (0..int(head, 40) as usize).map(|n| NodeId::new(int(head, 44 + 4 * n)).expect("a nodeid"));
            Event::Quorum { quorate: int(head, 24) == 1, members: ids.collect() }
        }
        (0, 9) => {
            let head = &[head, payload].concat();
            let at = REPLY_HEADER + 8 + KEY_NAME;
            let (values, new) = (at + 40, long(head, at + 24) as usize);
            let name = &head[REPLY_HEADER + 8..];
            let length = u16::from_ne_bytes([name[0], name[1]]);
            let is_there = head[at + 8] != 0;
            let value = is_there.then(|| head[values..values + new].to_vec());
            Event::Key { name: text(name, length.into()), value }
        }
        (_, other) => Event::Other(other as i32),
    }
}

fn membership(head: &[u8]) -> Event {
    let at = REPLY_HEADER + GROUP_NAME;
    let (members, joined, left) = (int(head, at), int(head, at + 8), int(head, at + 16));
    let entry = |n: u32| {
        let at = at + 24 + 24 * n as usize;
        (Member { node: int(head, at), pid: int(head, at + 8) }, int(head, at + 16))
    };
    assert_eq!(
        head.len(),
        at + 24 + 24 * (members + joined + left) as usize,
        "the lists of a membership event"
    );
    Event::Membership {
        group: text(&head[REPLY_HEADER..], int(head, REPLY_HEADER) as usize),
        members: (0..members).map(|n| entry(n).0).collect(),
        left: (members..members + left).map(entry).collect(),
        joined: (members + left..members + left + joined).map(entry).collect(),
    }
}

fn int(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The name that begins here, behind the eight bytes that hold its length.
fn text(bytes: &[u8], length: usize) -> String {
    String::from_utf8(bytes[8..8 + length].to_vec()).expect("names here are of letters")
}
