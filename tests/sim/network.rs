//! Links between nodes: which datagrams are lost, delayed, duplicated, reordered, cut off or changed on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use annulus::ids::{Endian, NodeId};
use annulus::time::Instant;
use annulus::totem::wire::{self, Frame, Kind};
use bytes::{Bytes, BytesMut};
use zerocopy::byteorder::BE;

use crate::random::Random;

/// Number of past datagrams that may be replayed.
const ARCHIVE: usize = 64;

/// How a link behaves; shares are 0 to 1.
#[derive(Clone, Debug)]
pub(crate) struct Quality {
    pub(crate) delay: Range<Duration>,
    pub(crate) loss: f64,
    pub(crate) duplicate: f64,
    /// Share of datagrams that later ones may overtake: they are late by up to ten times the longest delay.
    pub(crate) reorder: f64,
}

impl Quality {
    /// A switched network: 20 to 80 µs, nothing lost.
    pub(crate) fn good() -> Self {
        Self {
            delay: Duration::from_micros(20)..Duration::from_micros(80),
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
        }
    }

    pub(crate) fn lossy(loss: f64) -> Self {
        Self { loss, ..Self::good() }
    }
}

/// A datagram on its way, as a filter sees it.
pub(crate) struct Parcel<'a> {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) kind: Option<Kind>,
    pub(crate) bytes: &'a Bytes,
}

impl Parcel<'_> {
    /// The frame, if the datagram is one.
    pub(crate) fn frame(&self) -> Option<Frame<'_>> {
        wire::parse(self.bytes).ok().map(|(frame, _)| frame)
    }
}

/// Decides whether a datagram is lost (`true`). Called in the order of sending, once for each destination.
pub(crate) type Filter = Box<dyn FnMut(&Parcel<'_>) -> bool>;

/// Given the sender and its datagram, returns what arrives instead; `None` leaves it unchanged.
pub(crate) type Change = Box<dyn FnMut(u32, &Bytes) -> Option<Bytes>>;

/// All links between the nodes.
pub(crate) struct Network {
    random: Random,
    pub(crate) quality: Quality,
    /// Links, by sender and receiver, that differ from `quality`.
    pub(crate) links: BTreeMap<(u32, u32), Quality>,
    /// Pairs of sender and receiver between which nothing passes.
    cuts: BTreeSet<(u32, u32)>,
    /// Datagrams for which it returns `true` are lost.
    pub(crate) filter: Option<Filter>,
    /// Changes datagrams on their way.
    pub(crate) change: Option<Change>,
    /// Whether unicast and multicast arrive through two sockets (transport udp), so that one may overtake the other.
    pub(crate) two_sockets: bool,
    /// Share of datagrams that arrive changed: with flipped bits, truncated, lengthened, spliced or replaced by an
    /// old one.
    pub(crate) mutate: f64,
    /// Share of datagrams with which an old one arrives as well.
    pub(crate) replay: f64,
    /// Nodes whose frames go out in the other byte order.
    pub(crate) big_endian: BTreeSet<u32>,
    archive: Vec<Bytes>,
    /// The last frame of each kind that was sent, for an outsider who listens.
    pub(crate) heard: BTreeMap<&'static str, Bytes>,
    last: BTreeMap<(u32, u32, bool), Instant>,
    /// Datagrams sent, by kind of frame.
    pub(crate) sent: BTreeMap<&'static str, u64>,
    /// Highest flow control count seen in any token.
    pub(crate) highest_fcc: u32,
    /// Longest retransmission request list seen in any token.
    pub(crate) most_missing: usize,
}

impl Network {
    pub(crate) fn new(random: Random, quality: Quality) -> Self {
        Self {
            random,
            quality,
            links: BTreeMap::new(),
            cuts: BTreeSet::new(),
            filter: None,
            change: None,
            two_sockets: false,
            mutate: 0.0,
            replay: 0.0,
            big_endian: BTreeSet::new(),
            archive: Vec::new(),
            heard: BTreeMap::new(),
            last: BTreeMap::new(),
            sent: BTreeMap::new(),
            highest_fcc: 0,
            most_missing: 0,
        }
    }

    /// Cuts the network in two: nothing passes between the two sides.
    pub(crate) fn cut(&mut self, one: &[u32], other: &[u32]) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// `to` no longer hears `from`, but `from` still hears `to`.
    pub(crate) fn cut_one_way(&mut self, from: &[u32], to: &[u32]) {
        self.cuts.extend(from.iter().flat_map(|a| to.iter().map(|b| (*a, *b))));
    }

    /// All links pass datagrams again, with the usual `quality`.
    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
        self.links.clear();
    }

    /// Loses the first `count` datagrams for which `which` returns `true`.
    pub(crate) fn lose_first(&mut self, mut count: usize, which: impl Fn(&Parcel<'_>) -> bool + 'static) {
        self.filter = Some(Box::new(move |parcel| {
            let lost = count > 0 && which(parcel);
            count -= usize::from(lost);
            lost
        }));
    }

    /// When a datagram arrives and with which bytes: never, once or several times.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        from: u32,
        to: u32,
        bytes: &Bytes,
        unicast: bool,
    ) -> Vec<(Instant, Bytes)> {
        let bytes = if self.big_endian.contains(&from) { turn_around(bytes) } else { bytes.clone() };
        let bytes = self.change.as_mut().and_then(|change| change(from, &bytes)).unwrap_or(bytes);
        let kind = wire::parse(&bytes).ok().map(|(frame, _)| self.look_at(&frame, &bytes));
        if let Some(filter) = &mut self.filter
            && filter(&Parcel { from, to, kind, bytes: &bytes })
        {
            return Vec::new();
        }
        let quality = self.links.get(&(from, to)).unwrap_or(&self.quality).clone();
        if self.cuts.contains(&(from, to)) || self.random.chance(quality.loss) {
            return Vec::new();
        }
        let mut arrivals = Vec::with_capacity(1);
        let copies = 1 + usize::from(self.random.chance(quality.duplicate));
        for _ in 0..copies {
            let mut at = now + self.random.duration(&quality.delay);
            if self.random.chance(quality.reorder) {
                at = at + self.random.duration(&(Duration::ZERO..quality.delay.end * 10));
            } else {
                let socket = (from, to, self.two_sockets && unicast);
                let last = self.last.entry(socket).or_default();
                at = at.max(*last);
                *last = at;
            }
            let copy = if self.random.chance(self.mutate) { self.mutated(&bytes) } else { bytes.clone() };
            arrivals.push((at, copy));
        }
        if self.mutate > 0.0 || self.replay > 0.0 {
            if self.random.chance(self.replay) && !self.archive.is_empty() {
                let old = self.archive[self.random.index(self.archive.len())].clone();
                arrivals.push((now + self.random.duration(&quality.delay), old));
            }
            if self.archive.len() < ARCHIVE {
                self.archive.push(bytes);
            } else if self.random.chance(0.02) {
                let at = self.random.index(ARCHIVE);
                self.archive[at] = bytes;
            }
        }
        arrivals
    }

    /// Takes note of a frame that is sent over other links than these.
    pub(crate) fn hear(&mut self, bytes: &Bytes) {
        if let Ok((frame, _)) = wire::parse(bytes) {
            self.look_at(&frame, bytes);
        }
    }

    /// Records what the checkers need to know of frames in flight.
    fn look_at(&mut self, frame: &Frame<'_>, bytes: &Bytes) -> Kind {
        let (kind, name) = match frame {
            Frame::Token(token) => {
                self.highest_fcc = self.highest_fcc.max(token.fcc);
                self.most_missing = self.most_missing.max(token.missing.len());
                (Kind::Token, "token")
            }
            Frame::Mcast(_) => (Kind::Mcast, "data"),
            Frame::MergeDetect(_) => (Kind::MergeDetect, "merge-detect"),
            Frame::Join(_) => (Kind::Join, "join"),
            Frame::Commit(_) => (Kind::Commit, "commit"),
            Frame::HoldCancel(_) => (Kind::HoldCancel, "hold-cancel"),
        };
        *self.sent.entry(name).or_default() += 1;
        self.heard.insert(name, bytes.clone());
        kind
    }

    /// The datagram with one fault; all classes of faults are equally likely.
    fn mutated(&mut self, bytes: &Bytes) -> Bytes {
        let mut out = BytesMut::from(&bytes[..]);
        match self.random.index(7) {
            0 => {
                let at = self.random.index(out.len());
                out[at] ^= 1 << self.random.index(8);
            }
            1 => out.truncate(self.random.index(out.len() + 1)),
            2 => out.extend_from_slice(&vec![self.random.number(0..256) as u8; self.random.index(64) + 1]),
            3 => {
                // Sets a count or an id to one of its extremes.
                if out.len() >= 17 {
                    let at = 13 + self.random.index(out.len() - 16);
                    let value = self.random.pick(&[0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff_u32]);
                    out[at..at + 4].copy_from_slice(&value.to_le_bytes());
                }
            }
            4 => {
                if out.len() > 3 {
                    out[3] = self.random.number(0..8) as u8; // another kind of frame
                }
            }
            5 => {
                if !self.archive.is_empty() {
                    let other = &self.archive[self.random.index(self.archive.len())];
                    let at = self.random.index(out.len().min(other.len()));
                    out.truncate(at);
                    out.extend_from_slice(&other[at..]);
                }
            }
            _ => {
                for byte in out.iter_mut() {
                    *byte = self.random.number(0..256) as u8;
                }
            }
        }
        out.freeze()
    }
}

/// The same frame as a machine of the other byte order writes it. Data frames that hold a part of a longer message
/// stay as they are, as their group headers cannot be told from contents.
pub(crate) fn turn_around(bytes: &Bytes) -> Bytes {
    let Ok((frame, Endian::Little)) = wire::parse(bytes) else { return bytes.clone() };
    match frame {
        Frame::Token(token) => token.encode::<BE>(),
        Frame::Join(join) => join.encode::<BE>(),
        Frame::Commit(token) => token.encode::<BE>(),
        Frame::MergeDetect(probe) => probe.encode::<BE>(),
        Frame::HoldCancel(cancel) => cancel.encode::<BE>(),
        Frame::Mcast(mcast) => match mcast.encapsulated {
            wire::Encapsulated::Recovery => mcast.encode::<BE>().freeze(),
            wire::Encapsulated::Plain => turn_packet(mcast.payload).map_or_else(
                || bytes.clone(),
                |payload| wire::Mcast { payload: &payload, ..mcast }.encode::<BE>().freeze(),
            ),
        },
    }
}

/// A packet of whole messages, each to one group, with the byte order of its lengths swapped.
fn turn_packet(payload: &[u8]) -> Option<Vec<u8>> {
    let mut out = payload.to_vec();
    let count = usize::from(u16::from_le_bytes(payload.get(6..8)?.try_into().ok()?));
    if payload[4] != 0 || payload[5] != 0 {
        return None;
    }
    out[6..8].reverse();
    let mut at = 8 + 2 * count;
    for index in 0..count {
        let word = 8 + 2 * index;
        let length = u16::from_le_bytes(payload.get(word..word + 2)?.try_into().ok()?);
        out[word..word + 2].reverse();
        out.get_mut(at..at + 2)?.reverse();
        out.get_mut(at + 2..at + 4)?.reverse();
        at += usize::from(length);
    }
    Some(out)
}

/// A node id of the simulation.
pub(crate) fn id(node: u32) -> NodeId {
    NodeId::new(node).expect("nodes are numbered from 1")
}
