//! Frames received on one ring, by sequence number, kept until every member has them.
//!
//! Corosync's counterpart: `include/corosync/sq.h`.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::ids::{Endian, Guarantee, NodeId, Seq};
use crate::totem::wire::{Encapsulated, Mcast, mcast};

/// Number of sequence numbers that a window spans. A frame must have been received by every member before the
/// ring may be this far past it.
pub const WINDOW: u32 = 16384;

/// Limit, in bytes, of the frames held past the ring's highest number that this node knows. Genuine frames of
/// this kind are those of one rotation, which flow control limits to about a twentieth of this.
pub const AHEAD_BYTES: usize = 64 * 1024 * 1024;

/// A frame in the window.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The whole frame, as received or sent, to answer retransmission requests.
    pub frame: Bytes,
    /// Node that is reported as the sender of its messages.
    pub from: NodeId,
    /// Node that originated it.
    pub system_from: NodeId,
    /// Plain or recovery frame.
    pub encapsulated: Encapsulated,
    /// Whether delivery must wait until all members have it.
    pub guarantee: Guarantee,
    /// Byte order of its payload.
    pub order: Endian,
}

impl Stored {
    /// The frame `bytes`, whose fixed part was parsed as `mcast`.
    pub fn new(mcast: &Mcast<'_>, bytes: Bytes, order: Endian) -> Self {
        Self {
            frame: bytes,
            from: mcast.from,
            system_from: mcast.system_from,
            encapsulated: mcast.encapsulated,
            guarantee: mcast.guarantee,
            order,
        }
    }

    /// The frame without its fixed part.
    pub fn payload(&self) -> Bytes {
        // Own frames and parsed ones both have a fixed part.
        self.frame.slice(mcast::FIXED..)
    }
}

#[derive(Clone, Debug, Default)]
struct Slot {
    stored: Option<Stored>,
    misses: u32,
}

/// The window: slots from the lowest sequence number that may still be stored.
#[derive(Clone, Debug)]
pub struct Window {
    head: Seq,
    slots: VecDeque<Slot>,
}

impl Window {
    /// Creates an empty window whose first sequence number is `head`.
    pub const fn new(head: Seq) -> Self {
        Self { head, slots: VecDeque::new() }
    }

    /// Whether `seq` lies in the window, so that a frame with it can be stored.
    pub const fn in_range(&self, seq: Seq) -> bool {
        seq.since(self.head) < WINDOW
    }

    /// The frame with this number, if it was received and not released yet.
    pub fn frame(&self, seq: Seq) -> Option<&Stored> {
        self.slots.get(seq.since(self.head) as usize)?.stored.as_ref()
    }

    /// Stores a frame. Returns whether it is new: `false` if it is out of range or was stored before.
    pub fn add(&mut self, seq: Seq, stored: Stored) -> bool {
        let Some(slot) = self.slot(seq) else { return false };
        if slot.stored.is_some() {
            return false;
        }
        *slot = Slot { stored: Some(stored), misses: 0 };
        true
    }

    /// Counts a token visit at which frame `seq` was missing. Returns the number of such visits; 0 if `seq`
    /// is out of range.
    pub fn miss(&mut self, seq: Seq) -> u32 {
        let Some(slot) = self.slot(seq) else { return 0 };
        slot.misses = slot.misses.saturating_add(1);
        slot.misses
    }

    /// Number of token visits at which frame `seq` was missing; 0 if it is there.
    pub fn misses(&self, seq: Seq) -> u32 {
        self.slots.get(seq.since(self.head) as usize).map_or(0, |slot| slot.misses)
    }

    /// Releases everything up to and including `seq`.
    pub fn release(&mut self, seq: Seq) {
        let count = seq.plus(1).since(self.head);
        if count > WINDOW {
            return; // before the head: already released
        }
        self.slots.drain(..self.slots.len().min(count as usize));
        self.head = seq.plus(1);
    }

    /// Drops everything after `seq`, which must not be before the released part.
    pub fn forget_after(&mut self, seq: Seq) {
        self.slots.truncate(seq.plus(1).since(self.head) as usize);
    }

    /// The number of frames held.
    pub fn len(&self) -> usize {
        self.slots.iter().filter(|slot| slot.stored.is_some()).count()
    }

    /// Whether no frame is held.
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.stored.is_none())
    }

    fn slot(&mut self, seq: Seq) -> Option<&mut Slot> {
        if !self.in_range(seq) {
            return None;
        }
        let index = seq.since(self.head) as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Slot::default);
        }
        self.slots.get_mut(index)
    }
}

/// What this node has received on one ring.
#[derive(Clone, Debug)]
pub struct Reception {
    /// The received frames that were not released yet.
    pub window: Window,
    /// All received up to this number, without a gap.
    pub aru: Seq,
    /// The highest number received or sent by this node.
    pub high_seen: Seq,
    /// Everything up to this number was released.
    pub last_released: Seq,
    /// Bytes of the frames received since [`Reception::confirm`] past the ring's then highest known number.
    ahead: usize,
}

impl Reception {
    /// Nothing received yet, on a ring whose first frame is `origin + 1`.
    pub const fn new(origin: Seq) -> Self {
        Self { window: Window::new(origin), aru: origin, high_seen: origin, last_released: origin, ahead: 0 }
    }

    /// Stores a frame. Returns whether it is new.
    pub fn take(&mut self, seq: Seq, stored: Stored) -> bool {
        if !self.window.add(seq, stored) {
            return false;
        }
        self.high_seen = self.high_seen.later(seq);
        self.advance();
        true
    }

    /// Stores a frame that came from the network. It may lie past `known`, the ring's highest number that
    /// this node knows, but such frames are dropped once [`AHEAD_BYTES`] of them are held.
    pub fn take_from_network(&mut self, known: Seq, seq: Seq, stored: Stored) -> bool {
        let size = stored.frame.len();
        let ahead = known.is_before(seq);
        if ahead && self.ahead + size > AHEAD_BYTES {
            return false;
        }
        let new = self.take(seq, stored);
        if ahead && new {
            self.ahead += size;
        }
        new
    }

    /// Learns from the token that the ring's highest number is `seq`. Frames received past it were never sent
    /// and are dropped, except those delivered already, up to `delivered`.
    pub fn confirm(&mut self, seq: Seq, delivered: Seq) {
        self.ahead = 0;
        let end = seq.later(delivered).later(self.last_released);
        if end.is_before(self.high_seen) {
            self.window.forget_after(end);
            self.high_seen = end;
            self.aru = self.aru.earlier(end);
        }
    }

    /// Releases everything up to `seq`, which every member has.
    pub fn release(&mut self, seq: Seq) {
        if !seq.is_before(self.last_released) {
            self.window.release(seq);
            self.last_released = seq;
        }
    }

    /// Whether every frame known to have been sent was received.
    pub fn has_all(&self) -> bool {
        self.aru == self.high_seen
    }

    fn advance(&mut self) {
        while self.aru != self.high_seen && self.window.frame(self.aru.plus(1)).is_some() {
            self.aru = self.aru.plus(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(tag: u8) -> Stored {
        let node = NodeId::new(1).unwrap();
        Stored {
            frame: Bytes::copy_from_slice(&[tag; 46]),
            from: node,
            system_from: node,
            encapsulated: Encapsulated::Plain,
            guarantee: Guarantee::Agreed,
            order: Endian::Little,
        }
    }

    #[test]
    fn aru_stops_at_a_gap_and_advances_when_it_is_filled() {
        for origin in [Seq(0), Seq(u32::MAX - 1)] {
            let mut reception = Reception::new(origin);
            assert!(reception.take(origin.plus(1), stored(1)));
            assert!(reception.take(origin.plus(3), stored(3)));
            assert!(!reception.take(origin.plus(3), stored(3)), "a duplicate");
            assert_eq!((reception.aru, reception.high_seen), (origin.plus(1), origin.plus(3)));
            assert!(reception.take(origin.plus(2), stored(2)));
            assert_eq!(reception.aru, origin.plus(3));
            reception.release(origin.plus(2));
            assert!(reception.window.frame(origin.plus(2)).is_none());
            assert!(!reception.take(origin.plus(1), stored(1)), "released");
        }
    }

    #[test]
    fn frames_past_the_confirmed_number_are_dropped() {
        for origin in [Seq(0), Seq(u32::MAX - 1)] {
            let mut reception = Reception::new(origin);
            for seq in [1, 2, 4, 900] {
                assert!(reception.take_from_network(origin, origin.plus(seq), stored(1)));
            }
            reception.confirm(origin.plus(4), origin);
            assert_eq!((reception.aru, reception.high_seen), (origin.plus(2), origin.plus(4)));
            assert_eq!(reception.window.len(), 3);
            reception.confirm(origin.plus(1), origin);
            assert_eq!((reception.aru, reception.high_seen), (origin.plus(1), origin.plus(1)));
            assert!(reception.take(origin.plus(2), stored(2)), "its place is free");
            // Frames that were delivered or released stay counted.
            reception.confirm(origin, origin.plus(1));
            assert_eq!(reception.aru, origin.plus(1));
            reception.release(origin.plus(1));
            reception.confirm(origin, origin);
            assert_eq!((reception.aru, reception.high_seen), (origin.plus(1), origin.plus(1)));
        }
    }

    #[test]
    fn bytes_past_the_known_number_are_limited() {
        let mut reception = Reception::new(Seq(0));
        let large = Stored { frame: Bytes::from(vec![0; 1 << 16]), ..stored(0) };
        let held = (2..3000).filter(|seq| reception.take_from_network(Seq(0), Seq(*seq), large.clone()));
        assert_eq!(held.count(), AHEAD_BYTES >> 16);
        assert!(reception.take_from_network(Seq(3000), Seq(2999), large.clone()), "known to have been sent");
        reception.confirm(Seq(2), Seq(0));
        assert!(reception.take_from_network(Seq(2), Seq(3), large));
    }

    #[test]
    fn nothing_is_stored_beyond_the_window() {
        let mut window = Window::new(Seq(5));
        assert!(!window.add(Seq(5 + WINDOW), stored(0)));
        assert!(!window.add(Seq(4), stored(0)));
        assert!(window.add(Seq(4 + WINDOW), stored(0)));
        assert_eq!(window.len(), 1);
        window.release(Seq(4 + WINDOW));
        assert!(window.is_empty());
    }

    #[test]
    fn misses_are_counted_until_the_frame_comes() {
        let mut window = Window::new(Seq(0));
        assert_eq!([window.miss(Seq(2)), window.miss(Seq(2))], [1, 2]);
        assert!(window.add(Seq(2), stored(2)));
        assert!(window.frame(Seq(1)).is_none());
        assert_eq!(window.miss(Seq(1)), 1);
    }
}
