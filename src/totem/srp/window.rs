//! Frames received on one ring, by sequence number, until everybody has them.
//!
//! Corosync's counterpart: `include/corosync/sq.h`.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::ids::{Endian, Guarantee, NodeId, Seq};
use crate::totem::wire::{Encapsulated, Mcast, mcast};

/// Frames that a window spans at most. Every member must have received a frame before the ring may be
/// this far past it.
pub const WINDOW: u32 = 16384;

/// A frame in the window.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The whole frame, as it was received or sent, for those who ask for it.
    pub frame: Bytes,
    /// Whom its messages come from.
    pub from: NodeId,
    /// Who originated it.
    pub system_from: NodeId,
    /// Plain or recovery.
    pub encapsulated: Encapsulated,
    /// Whether delivery must wait until all have it.
    pub guarantee: Guarantee,
    /// Byte order of its payload.
    pub order: Endian,
}

impl Stored {
    /// The frame `bytes` whose fixed part says `mcast`.
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

    /// What the frame carries.
    pub fn payload(&self) -> Bytes {
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
    /// An empty window whose first frame will be `head`.
    pub const fn new(head: Seq) -> Self {
        Self { head, slots: VecDeque::new() }
    }

    /// Whether `seq` may be stored.
    pub const fn in_range(&self, seq: Seq) -> bool {
        seq.since(self.head) < WINDOW
    }

    /// The frame with this number, if it is here.
    pub fn frame(&self, seq: Seq) -> Option<&Stored> {
        self.slots.get(seq.since(self.head) as usize)?.stored.as_ref()
    }

    /// Stores a frame. Returns whether it is new; one that is out of range or here already is not.
    pub fn add(&mut self, seq: Seq, stored: Stored) -> bool {
        let Some(slot) = self.slot(seq) else { return false };
        if slot.stored.is_some() {
            return false;
        }
        *slot = Slot { stored: Some(stored), misses: 0 };
        true
    }

    /// Counts a token visit at which `seq`, in range, was missing. Returns how many that makes.
    pub fn miss(&mut self, seq: Seq) -> u32 {
        let Some(slot) = self.slot(seq) else { return 0 };
        slot.misses = slot.misses.saturating_add(1);
        slot.misses
    }

    /// Forgets everything up to and including `seq`.
    pub fn release(&mut self, seq: Seq) {
        let count = seq.plus(1).since(self.head);
        if count > WINDOW {
            return; // before the head: released already
        }
        self.slots.drain(..self.slots.len().min(count as usize));
        self.head = seq.plus(1);
    }

    /// The highest number not after `limit` whose frame is here.
    pub fn highest_up_to(&self, limit: Seq) -> Option<Seq> {
        if limit.is_before(self.head) {
            return None;
        }
        let count = self.slots.len().min(limit.plus(1).since(self.head) as usize);
        let index = self.slots.range(..count).rposition(|slot| slot.stored.is_some())?;
        Some(self.head.plus(index as u32))
    }

    /// How many frames are here.
    pub fn len(&self) -> usize {
        self.slots.iter().filter(|slot| slot.stored.is_some()).count()
    }

    /// Whether no frame is here.
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

/// What has been received on one ring.
#[derive(Clone, Debug)]
pub struct Reception {
    /// The frames.
    pub window: Window,
    /// All received up to here, without a gap.
    pub aru: Seq,
    /// The highest number received, or sent by this node.
    pub high_seen: Seq,
    /// Everything up to here was released.
    pub last_released: Seq,
}

impl Reception {
    /// Nothing received yet, on a ring whose first frame is `origin + 1`.
    pub const fn new(origin: Seq) -> Self {
        Self { window: Window::new(origin), aru: origin, high_seen: origin, last_released: origin }
    }

    /// Takes a frame in. Returns whether it is new.
    pub fn take(&mut self, seq: Seq, stored: Stored) -> bool {
        if !self.window.add(seq, stored) {
            return false;
        }
        self.high_seen = self.high_seen.later(seq);
        self.advance();
        true
    }

    /// Forgets everything up to `seq`, which every member has.
    pub fn release(&mut self, seq: Seq) {
        if !seq.is_before(self.last_released) {
            self.window.release(seq);
            self.last_released = seq;
        }
    }

    /// Whether everything known to have been sent was received.
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
    fn aru_stops_at_a_gap_and_goes_on_when_it_is_filled() {
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
            assert_eq!(reception.window.highest_up_to(origin.plus(9)), Some(origin.plus(3)));
            assert!(!reception.take(origin.plus(1), stored(1)), "released");
        }
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
