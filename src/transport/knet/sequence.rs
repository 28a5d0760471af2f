//! Numbers of messages: modulo 65536 without 0, counted by the sender, remembered by each receiver.
//!
//! A receiver knows of each host the newest number, the *reference*, and which of the [`WINDOW`] numbers up to it
//! it had. Source: libknet, `_seq_num_lookup`; it differs where its arithmetic is inexact: a number further behind
//! than the window is dropped, where libknet forgets everything and takes it.

use super::arrival::DropReason;

/// Numbers that a receiver remembers.
const WINDOW: u16 = 4096;

/// Numbers less than this far behind are old; the others are taken to be ahead.
const HALF: u16 = 0x8000;

/// After as many messages a sender tells every host its number, which a host that got none of them would not know.
const PROGRESS: u16 = 8191;

/// A host whose pings name a number this far behind the reference, again and again, has begun anew.
const ANEW: u16 = 64;

/// Numbers the messages of this node.
#[derive(Debug, Default)]
pub(super) struct Counter(u16);

impl Counter {
    /// The number of the last message; 0 before the first.
    pub(super) const fn last(&self) -> u16 {
        self.0
    }

    /// The number of the next message, and whether all hosts are to be told of it first.
    pub(super) fn advance(&mut self) -> (u16, bool) {
        self.0 = self.0.checked_add(1).unwrap_or(1);
        (self.0, self.0.is_multiple_of(PROGRESS))
    }
}

/// What a receiver remembers of one host's numbers.
#[derive(Debug)]
pub(super) struct Window {
    /// 0: nothing is known.
    reference: u16,
    seen: [u64; WINDOW as usize / 64],
    /// Number of the last ping that was due, and of the last that was sent because of progress.
    timed: u16,
    untimed: u16,
    /// Data came since the last ping because of progress.
    got_data: bool,
    /// A number that a ping named far behind the reference, and the reference then.
    doubt: Option<(u16, u16)>,
}

/// What a ping says about the numbers that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The newest number is as much newer as this; often 0.
    Moved(u16),
    /// The host counts from the beginning: nothing that came before means anything.
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

    /// A data packet came. Says how far the reference has moved.
    ///
    /// # Errors
    /// A duplicate, or too far behind to tell.
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

    /// How far behind the newest number this one is.
    pub(super) const fn behind(&self, seq: u16) -> u16 {
        self.reference.wrapping_sub(seq)
    }

    /// The message with this number, which was admitted, is complete.
    pub(super) fn mark(&mut self, seq: u16) {
        let (word, bit) = slot(seq);
        self.seen[word] |= bit;
    }

    /// A ping came.
    pub(super) fn ping(&mut self, seq: u16, timed: bool) -> Told {
        if timed { self.due(seq) } else { self.progress(seq) }
    }

    /// Forgets the numbers: the host cannot be reached any more.
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

    /// Whether a ping is the second in a row that shows a host counting far behind what it is known for, though
    /// none of its data was news in between: its first pings, which named 0, were lost. (libknet takes such data
    /// because it takes all data that is far behind.)
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

    /// Makes a number that is ahead the reference.
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

/// Where a number's bit lies.
const fn slot(seq: u16) -> (usize, u64) {
    let index = seq % WINDOW;
    (index as usize / 64, 1 << (index % 64))
}

#[cfg(test)]
mod tests;
