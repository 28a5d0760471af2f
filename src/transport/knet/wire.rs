//! The layout of knet's packets: data, ping and pong, probe of the path MTU and its reply.
//!
//! A packet is the content of a datagram after decryption. Offsets are from its first byte. Fields are in
//! network byte order, except two that only their author reads: the time stamp of a ping and the size in a
//! probe. Every packet built here has [`ROOM`] unused bytes in front and [`TAIL`] bytes of capacity behind.
//!
//! Source: libknet, `onwire.h`, `onwire_v1.h`.

use super::sizes::{ROOM, TAIL};
use crate::ids::NodeId;

/// First byte of every packet.
const VERSION: u8 = 1;

const DATA: u8 = 0x00;
const PING: u8 = 0x81;
const PONG: u8 = 0x82;
const PROBE: u8 = 0x83;
const PROBE_REPLY: u8 = 0x84;

/// Bytes of a data packet before its payload.
pub(super) const DATA_LEN: usize = 14;
/// Bytes of a ping or pong.
pub(super) const PING_LEN: usize = 26;
/// Bytes of a probe's head, which is also the length of a reply.
pub(super) const PROBE_LEN: usize = 9;

/// Largest number of fragments of a message. libknet's own limit is one higher, but then it loses the
/// message.
pub(super) const FRAGMENTS: u8 = 254;

/// Number of channels that the byte on the wire can name; totem's channel is 0.
const CHANNELS: u8 = 32;

/// Number of links that the byte on the wire can name.
const LINKS: u8 = super::settings::LINKS as u8;

/// A parsed packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'p> {
    /// The node that sent it.
    pub(super) source: NodeId,
    pub(super) body: Body<'p>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body<'p> {
    Data(Data<'p>),
    Ping(Ping),
    /// An answer to a ping, with that ping's content.
    Pong(Ping),
    Probe(Probe),
    /// An answer to a probe, with that probe's content.
    ProbeReply(Probe),
}

/// A message or a fragment of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Data<'p> {
    /// Number of the message; never 0.
    pub(super) seq: u16,
    /// Compression model of the whole message; 0 if it is uncompressed.
    pub(super) compress: u8,
    /// Whether the message is for all hosts.
    pub(super) broadcast: bool,
    /// Channel number, below 32.
    pub(super) channel: u8,
    pub(super) piece: Piece,
    /// Bytes of the message or fragment; never empty.
    pub(super) payload: &'p [u8],
}

/// The part of its message that a data packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Whole,
    /// Fragment number 1 to `of`, which is 2 to [`FRAGMENTS`].
    Fragment {
        number: u8,
        of: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ping {
    /// Link number below 8, in the configuration of the ping's sender.
    pub(super) link: u8,
    /// Time stamp that only its sender can interpret.
    pub(super) stamp: [u8; 16],
    /// Number of the sender's last message; 0 if there is none yet.
    pub(super) seq: u16,
    /// Whether the ping is periodic; `false` if it was sent because of many messages.
    pub(super) timed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    /// Link number below 8, in the configuration of the probe's sender.
    pub(super) link: u8,
    /// Size of the probe's IP packet in bytes, in its author's byte order.
    pub(super) size: u16,
}

/// Parses a packet; `None` if it is invalid or contradicts itself. Bytes after a control packet are ignored,
/// as in libknet.
pub(super) fn parse(packet: &[u8]) -> Option<Packet<'_>> {
    let (&[version, kind, high, low, _, _], rest) = packet.split_first_chunk()?;
    if version != VERSION {
        return None;
    }
    let source = NodeId::new(u32::from(u16::from_be_bytes([high, low])))?;
    let body = match kind {
        DATA => Body::Data(parse_data(rest)?),
        PING => Body::Ping(parse_ping(rest)?),
        PONG => Body::Pong(parse_ping(rest)?),
        PROBE => Body::Probe(parse_probe(rest)?),
        PROBE_REPLY => Body::ProbeReply(parse_probe(rest)?),
        _ => return None,
    };
    Some(Packet { source, body })
}

fn parse_data(rest: &[u8]) -> Option<Data<'_>> {
    let (&[high, low, compress, _, broadcast, of, number, channel], payload) = rest.split_first_chunk()?;
    let seq = u16::from_be_bytes([high, low]);
    let piece = match (number, of) {
        (0, 1) => Piece::Whole,
        (1.., 2..=FRAGMENTS) if number <= of => Piece::Fragment { number, of },
        _ => return None,
    };
    if seq == 0 || channel >= CHANNELS || payload.is_empty() {
        return None;
    }
    Some(Data { seq, compress, broadcast: broadcast != 0, channel, piece, payload })
}

fn parse_ping(rest: &[u8]) -> Option<Ping> {
    let (&[link], rest) = rest.split_first_chunk()?;
    let (&stamp, rest) = rest.split_first_chunk()?;
    let (&[high, low, timed], _) = rest.split_first_chunk()?;
    (link < LINKS).then_some(Ping { link, stamp, seq: u16::from_be_bytes([high, low]), timed: timed != 0 })
}

fn parse_probe(rest: &[u8]) -> Option<Probe> {
    let (&[link, one, two], _) = rest.split_first_chunk()?;
    (link < LINKS).then_some(Probe { link, size: u16::from_ne_bytes([one, two]) })
}

/// Begins a packet with capacity for `len` bytes.
fn begin(len: usize, kind: u8, source: NodeId) -> Vec<u8> {
    let mut packet = Vec::with_capacity(ROOM + len + TAIL);
    packet.extend_from_slice(&[0; ROOM]);
    packet.extend_from_slice(&[VERSION, kind]);
    packet.extend_from_slice(&host(source));
    packet.extend_from_slice(&[0, 0]);
    packet
}

/// A host id in wire format. Settings with a larger id are refused.
fn host(id: NodeId) -> [u8; 2] {
    (id.get() as u16).to_be_bytes()
}

/// Builds a data packet.
pub(super) fn data(source: NodeId, data: &Data<'_>) -> Vec<u8> {
    let (number, of) = match data.piece {
        Piece::Whole => (0, 1),
        Piece::Fragment { number, of } => (number, of),
    };
    let mut packet = begin(DATA_LEN + data.payload.len(), DATA, source);
    packet.extend_from_slice(&data.seq.to_be_bytes());
    packet.extend_from_slice(&[data.compress, 0, u8::from(data.broadcast), of, number, data.channel]);
    packet.extend_from_slice(data.payload);
    packet
}

/// Builds a ping.
pub(super) fn ping(source: NodeId, ping: &Ping) -> Vec<u8> {
    let mut packet = begin(PING_LEN, PING, source);
    packet.push(ping.link);
    packet.extend_from_slice(&ping.stamp);
    packet.extend_from_slice(&ping.seq.to_be_bytes());
    packet.push(u8::from(ping.timed));
    packet
}

/// Builds the answer to a ping, which is given as received and was parsed as a ping.
pub(super) fn pong(source: NodeId, ping: &[u8]) -> Vec<u8> {
    answer(PONG, source, &ping[..PING_LEN])
}

/// Builds a probe of `len` bytes, at least [`PROBE_LEN`].
pub(super) fn probe(source: NodeId, probe: &Probe, len: usize) -> Vec<u8> {
    let mut packet = begin(len, PROBE, source);
    packet.push(probe.link);
    packet.extend_from_slice(&probe.size.to_ne_bytes());
    packet.resize(ROOM + len.max(PROBE_LEN), 0);
    packet
}

/// Builds the answer to a probe, which is given as received and was parsed as a probe.
pub(super) fn probe_reply(source: NodeId, probe: &[u8]) -> Vec<u8> {
    answer(PROBE_REPLY, source, &probe[..PROBE_LEN])
}

/// Builds a packet of another kind and source with the same content.
fn answer(kind: u8, source: NodeId, question: &[u8]) -> Vec<u8> {
    let mut packet = begin(question.len(), kind, source);
    packet.truncate(ROOM + 4);
    packet.extend_from_slice(&question[4..]);
    packet
}

#[cfg(test)]
mod tests;
