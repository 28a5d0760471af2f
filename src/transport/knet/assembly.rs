//! Assembles the fragments of one host's messages, in whatever order they arrive.
//!
//! At most [`OPEN`] messages of at most [`MESSAGE`] bytes are incomplete at once. The one that has waited
//! longest for a fragment is dropped for a new one, and a message [`KEPT`] numbers behind the newest is given
//! up; no fragment of it is accepted afterwards. A fragment that contradicts earlier ones of its message is
//! dropped.

use super::arrival::DropReason;
use super::sizes::MESSAGE;
use super::wire::Data;

/// Limit of incomplete messages of one host. Source: libknet, `KNET_MAX_FRAG_BUFS`.
pub(super) const OPEN: usize = 32;

/// An incomplete message is kept until this many newer ones have begun.
const KEPT: u16 = 32;

/// Limit, in bytes, of the incomplete messages of one host.
#[cfg(test)]
pub(super) const MEMORY: usize = OPEN * MESSAGE;

/// The incomplete messages of one host.
#[derive(Debug, Default)]
pub(super) struct Assemblies {
    open: Vec<Assembly>,
    /// Bit n is set if the message n behind the newest was begun here before.
    begun: u64,
    /// Number of fragments accepted so far, from which the age of each message follows.
    taken: u64,
}

impl Assemblies {
    /// The newest message number has advanced by this much.
    pub(super) fn advance(&mut self, by: u16) {
        self.begun = self.begun.checked_shl(u32::from(by)).unwrap_or(0);
        if !self.open.is_empty() {
            self.open.retain_mut(|assembly| {
                assembly.behind = assembly.behind.saturating_add(by);
                assembly.behind <= KEPT
            });
        }
    }

    /// Drops all incomplete messages.
    pub(super) fn wipe(&mut self) {
        *self = Self::default();
    }

    /// Adds fragment `number` of `of` of the message that is `behind` the newest. Returns the message if it
    /// is complete.
    ///
    /// # Errors
    /// The reason why the fragment is dropped; the message stays as it was.
    pub(super) fn add(
        &mut self,
        behind: u16,
        data: &Data<'_>,
        number: u8,
        of: u8,
    ) -> Result<Option<Vec<u8>>, DropReason> {
        if behind > KEPT {
            return Err(DropReason::Fragment);
        }
        let at = match self.open.iter().position(|assembly| assembly.behind == behind) {
            Some(at) => at,
            None => self.begin(behind, data, number, of)?,
        };
        let assembly = &mut self.open[at];
        assembly.take(data, number, of)?;
        self.taken += 1;
        assembly.taken = self.taken;
        if assembly.missing > 0 {
            return Ok(None);
        }
        Ok(Some(self.open.swap_remove(at).bytes))
    }

    /// Makes room for the message to which this fragment belongs, which is its first to arrive. Returns its
    /// index.
    fn begin(&mut self, behind: u16, data: &Data<'_>, number: u8, of: u8) -> Result<usize, DropReason> {
        let bit = 1 << behind;
        if self.begun & bit != 0 {
            return Err(DropReason::Fragment);
        }
        let assembly = Assembly::new(behind, data, of);
        // Must be checked before another message is dropped for this one.
        assembly.fits(data, number, of)?;
        if self.open.len() == OPEN
            && let Some(oldest) = (0..OPEN).min_by_key(|at| self.open[*at].taken)
        {
            self.open.swap_remove(oldest);
        }
        self.begun |= bit;
        self.open.push(assembly);
        Ok(self.open.len() - 1)
    }

    /// Bytes that the incomplete messages occupy.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.open.iter().map(|a| a.bytes.capacity() + a.last.capacity()).sum()
    }
}

/// A message of which fragments are missing.
#[derive(Debug)]
struct Assembly {
    behind: u16,
    taken: u64,
    /// Number of fragments of the message; number of missing ones; bit n - 1 is set if fragment n is present.
    of: u8,
    missing: u8,
    there: [u64; 4],
    compress: u8,
    channel: u8,
    /// Length of every fragment but the last; 0 while only the last one is present.
    size: usize,
    /// The last fragment, while its position is not known yet.
    last: Vec<u8>,
    /// Ends with the furthest fragment that is present.
    bytes: Vec<u8>,
}

impl Assembly {
    const fn new(behind: u16, data: &Data<'_>, of: u8) -> Self {
        Self {
            behind,
            taken: 0,
            of,
            missing: of,
            there: [0; 4],
            compress: data.compress,
            channel: data.channel,
            size: 0,
            last: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// Checks that the fragment does not contradict those present.
    fn fits(&self, data: &Data<'_>, number: u8, of: u8) -> Result<(), DropReason> {
        let len = data.payload.len();
        let before = usize::from(of) - 1;
        let is_last = number == of;
        let size_agrees = if is_last {
            // The fragments before the last one are at least as long as it.
            self.size == 0 && len * usize::from(of) <= MESSAGE
                || self.size != 0 && len <= self.size && before * self.size + len <= MESSAGE
        } else {
            let last = self.last.len().max(1);
            (self.size == 0 || self.size == len) && last <= len && before * len + last <= MESSAGE
        };
        if of == self.of && data.compress == self.compress && data.channel == self.channel && size_agrees {
            Ok(())
        } else {
            Err(DropReason::Fragment)
        }
    }

    fn take(&mut self, data: &Data<'_>, number: u8, of: u8) -> Result<(), DropReason> {
        self.fits(data, number, of)?;
        let index = usize::from(number) - 1;
        let (word, bit) = (index / 64, 1 << (index % 64));
        if self.there[word] & bit != 0 {
            return Err(DropReason::Duplicate);
        }
        self.there[word] |= bit;
        self.missing -= 1;
        if number < of && self.size == 0 {
            self.size = data.payload.len();
            self.bytes.reserve_exact((self.size * usize::from(of)).min(MESSAGE));
            let last = std::mem::take(&mut self.last);
            if !last.is_empty() {
                self.put(usize::from(of) - 1, &last);
            }
        }
        if self.size == 0 {
            self.last = data.payload.to_vec();
        } else {
            self.put(index, data.payload);
        }
        Ok(())
    }

    fn put(&mut self, index: usize, payload: &[u8]) {
        let at = index * self.size;
        if self.bytes.len() <= at {
            self.bytes.resize(at, 0);
            self.bytes.extend_from_slice(payload);
        } else {
            self.bytes[at..at + payload.len()].copy_from_slice(payload);
        }
    }
}

#[cfg(test)]
mod tests;
