//! Message numbers: modulo 65536 without 0, assigned by the sender, tracked by each receiver.
//!
//! For each host, a receiver knows the newest number, the *reference*, and which of the [`WINDOW`] numbers up
//! to it it has received. Source: libknet, `_seq_num_lookup`. Differs from it where its arithmetic is
//! inexact: a number farther behind than the window is dropped, where libknet resets the window and accepts
//! it.

use super::arrival::DropReason;

/// Number of message numbers that a receiver tracks.
const WINDOW: u16 = 4096;

/// Numbers less than this far behind are old; all others are taken to be ahead.
const HALF: u16 = 0x8000;

/// After this many messages a sender announces its number to every host, because a host that received none of
/// them would not know it.
const PROGRESS: u16 = 8191;

/// A host has restarted if its pings repeatedly contain a number at least this far behind the reference.
const ANEW: u16 = 64;

/// Assigns the numbers of this node's messages.
#[derive(Debug, Default)]
pub(super) struct Counter(u16);

impl Counter {
    /// The number of the last message; 0 before the first message.
    pub(super) const fn last(&self) -> u16 {
        self.0
    }

    /// Assigns the next number. Returns it, and whether it must be announced to all hosts first.
    pub(super) fn advance(&mut self) -> (u16, bool) {
        self.0 = self.0.checked_add(1).unwrap_or(1);
        (self.0, self.0.is_multiple_of(PROGRESS))
    }
}

/// What a receiver knows of one host's message numbers.
#[derive(Debug)]
pub(super) struct Window {
    /// The newest number; 0 if none is known.
    reference: u16,
    seen: [u64; WINDOW as usize / 64],
    /// Numbers in the last periodic ping, and in the last one that was sent because of many messages.
    timed: u16,
    untimed: u16,
    /// Whether data arrived since the last ping that was sent because of many messages.
    got_data: bool,
    /// A number far behind the reference from a ping, and the reference at that time.
    doubt: Option<(u16, u16)>,
}

/// What a ping reveals about the host's message numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The reference has advanced by this much, often 0.
    Moved(u16),
    /// The host has restarted its numbers, so everything received from it before is obsolete.
    Anew,
}

impl Window {
    pub(super) const fn new() -> Self {
        Self {
            reference: 0,
            seen: [0; WINDOW as usize / 64],
            timed: 0,
            untimed: 0,
            got_data: false,
            doubt: None,
        }
    }

    /// Handles the number of a data packet. Returns by how much the reference has advanced.
    ///
    /// # Errors
    /// If the number is a duplicate, or so far behind that it may be one.
    pub(super) fn admit(&mut self, seq: u16) -> Result<u16, DropReason> {
        self.got_data = true;
        let behind = self.behind(seq);
        if behind >= HALF || self.reference == 0 {
            return Ok(self.advance(seq));
        }
        if behind >= WINDOW || self.has(seq) {
            return Err(DropReason::Duplicate);
        }
        Ok(0)
    }

    /// How far this number is behind the newest one.
    pub(super) const fn behind(&self, seq: u16) -> u16 {
        self.reference.wrapping_sub(seq)
    }

    /// Marks a number as received: its message, which was admitted, is complete.
    pub(super) fn mark(&mut self, seq: u16) {
        let (word, bit) = slot(seq);
        self.seen[word] |= bit;
    }

    /// Handles the number in a ping.
    pub(super) fn ping(&mut self, seq: u16, timed: bool) -> Told {
        if timed { self.due(seq) } else { self.progress(seq) }
    }

    /// Resets the window, because the host cannot be reached any more.
    pub(super) fn wipe(&mut self) {
        self.reference = 0;
        self.seen.fill(0);
        self.doubt = None;
    }

    fn due(&mut self, seq: u16) -> Told {
        let before = std::mem::replace(&mut self.timed, seq);
        if (seq == 0 && before != 0) || self.began_anew(seq) {
            self.wipe();
            return Told::Anew;
        }
        Told::Moved(0)
    }

    /// Whether this is the second consecutive ping in which a host counts far behind the reference while none
    /// of its data was new. Then the host has restarted, and its first pings, which contained 0, were lost.
    /// (libknet accepts the data of such a host because it accepts all data that is far behind.)
    fn began_anew(&mut self, seq: u16) -> bool {
        if self.reference == 0 || !(ANEW..HALF).contains(&self.behind(seq)) {
            self.doubt = None;
            return false;
        }
        match self.doubt {
            Some((earlier, reference)) if reference == self.reference => {
                let progress = seq.wrapping_sub(earlier);
                (1..HALF).contains(&progress)
            }
            Some(_) | None => {
                self.doubt = Some((seq, self.reference));
                false
            }
        }
    }

    fn progress(&mut self, seq: u16) -> Told {
        if seq == 0 {
            return Told::Moved(0);
        }
        let mut anew = false;
        if seq != self.untimed {
            self.untimed = seq;
            if !std::mem::take(&mut self.got_data) {
                self.wipe();
                self.reference = seq;
                anew = true;
            }
        }
        let behind = self.behind(seq);
        let moved = if behind >= HALF || self.reference == 0 { self.advance(seq) } else { 0 };
        if anew { Told::Anew } else { Told::Moved(moved) }
    }

    /// Makes `seq`, which is ahead, the reference. Returns by how much it has advanced.
    fn advance(&mut self, seq: u16) -> u16 {
        if self.reference == 0 {
            self.reference = seq;
            return 0;
        }
        let ahead = seq.wrapping_sub(self.reference);
        if ahead >= WINDOW {
            self.seen.fill(0);
        } else {
            for step in 1..=ahead {
                let (word, bit) = slot(self.reference.wrapping_add(step));
                self.seen[word] &= !bit;
            }
        }
        self.reference = seq;
        ahead
    }

    fn has(&self, seq: u16) -> bool {
        let (word, bit) = slot(seq);
        self.seen[word] & bit != 0
    }
}

/// The position of a number's bit.
const fn slot(seq: u16) -> (usize, u64) {
    let index = seq % WINDOW;
    (index as usize / 64, 1 << (index % 64))
}

#[cfg(test)]
mod tests;
