//! The envelope of packets: encryption and authentication as in libknet 1.25, byte for byte.
//!
//! | mode | datagram |
//! |---|---|
//! | clear | the packet |
//! | hash only | packet, code |
//! | cipher and hash | initialisation vector, ciphertext, code of both |
//!
//! The code is an HMAC with the whole key; the cipher is AES-CBC with the first bytes of the key and PKCS#7
//! padding. The code of a datagram is verified before anything else in it is used.
//!
//! A datagram does not say which key was used: there are two slots, and each datagram is tried with both. To
//! change the key of a running cluster, every node first fills its second slot ([`Envelope::prepare`]), then
//! sends with it ([`Envelope::switch`]), and forgets the first one when all nodes have switched
//! ([`Envelope::finish`]).
//!
//! A node that has prepared also switches when it receives a packet from a node that has switched: a Corosync
//! node forgets the old key without waiting for the others, and would not understand this node any more. By
//! then all nodes have prepared.
//!
//! | file | contents |
//! |---|---|
//! | `suite.rs` | [`Cipher`], [`enum@Hash`], [`Suite`]: their names and sizes |
//! | `slot.rs` | one suite with its key: seals and opens |
//! | `error.rs` | why a datagram is refused, and why there is no envelope |
//! | `cipher.rs`, `mac.rs` | AES-CBC, HMAC |
//! | `abreast.rs` | HMAC-SHA-256 of several packets at the same time |
//! | `salt.rs` | initialisation vectors |

mod abreast;
mod cipher;
mod error;
mod mac;
mod salt;
mod slot;
mod suite;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

pub use self::error::{EnvelopeError, Refusal};
use self::salt::Salts;
use self::slot::Slot;
pub use self::suite::{Cipher, Hash, Suite};
use crate::config::key::Key;
use crate::transport::knet::{Burst, Sizes};

/// First byte of every clear packet.
const VERSION: u8 = 1;

/// Seals outgoing packets and opens received ones, with up to two keys.
pub struct Envelope {
    slots: [Option<Slot>; 2],
    /// The slot with which packets are sealed; `None` if they are sent clear.
    sends: Option<usize>,
    /// The value of `sends` after [`Envelope::switch`], if a change is prepared.
    next: Option<Option<usize>>,
    /// Whether a datagram that no slot opens is accepted as a clear packet.
    lets_clear_in: bool,
    salts: Salts,
}

impl Envelope {
    /// Creates an envelope without encryption that accepts clear packets.
    ///
    /// # Errors
    /// If the kernel provides no random bytes, which encryption would need later.
    pub fn clear() -> Result<Self, EnvelopeError> {
        Ok(Self { slots: [None, None], sends: None, next: None, lets_clear_in: true, salts: Salts::new()? })
    }

    /// Creates an envelope that seals with this suite and key, and refuses datagrams sealed otherwise or not
    /// at all. The key of a clear suite is ignored.
    ///
    /// # Errors
    /// If the suite has a cipher without a hash, or the kernel provides no random bytes.
    pub fn new(suite: Suite, key: &Key) -> Result<Self, EnvelopeError> {
        let mut envelope = Self::clear()?;
        envelope.prepare(suite, Some(key))?;
        envelope.switch();
        envelope.finish();
        Ok(envelope)
    }

    /// What sealing currently adds to a packet.
    pub fn sizes(&self) -> Sizes {
        self.sending().map_or(Sizes::CLEAR, Slot::sizes)
    }

    /// The suite with which packets are sealed.
    pub fn suite(&self) -> Suite {
        self.sending().map_or(Suite::CLEAR, Slot::suite)
    }

    /// Seals packets, each of which lies behind [`Burst::ROOM`] unused bytes, and returns the position of the
    /// datagram in each. Sealing many at once takes less time than one after the other.
    ///
    /// Packets with enough capacity for padding and code ([`Sizes::datagram`]) are not reallocated.
    ///
    /// # Panics
    /// If a packet does not have the unused bytes in front.
    pub fn seal(&mut self, packets: &mut [&mut Vec<u8>]) -> Vec<Range<usize>> {
        assert!(packets.iter().all(|packet| packet.len() >= Burst::ROOM), "a packet without room in front");
        match self.sends.and_then(|at| self.slots[at].as_ref()) {
            Some(slot) => slot.seal(packets, || self.salts.next()),
            None => packets.iter().map(|packet| Burst::ROOM..packet.len()).collect(),
        }
    }

    /// Opens datagrams. Returns for each the position of the plain packet in it, or why it is refused; the
    /// bytes of a refused one are undefined. Opening many at once takes less time than one after the other.
    pub fn open(&mut self, datagrams: &mut [&mut [u8]]) -> Vec<Result<Range<usize>, Refusal>> {
        let mut results = vec![Err(Refusal::Code); datagrams.len()];
        let first = self.sends.unwrap_or(0);
        let mut left: Vec<usize> = (0..datagrams.len()).collect();
        for at in [first, 1 - first] {
            let Some(slot) = &self.slots[at] else { continue };
            let sealed: Vec<&[u8]> = left.iter().map(|index| &*datagrams[*index]).collect();
            let verdicts = slot.check(&sealed);
            let mut opened = false;
            let mut refused = Vec::new();
            for (index, verdict) in left.into_iter().zip(verdicts) {
                results[index] = verdict.and_then(|()| slot.decrypt(datagrams[index]));
                opened |= results[index].is_ok();
                if verdict.is_err() {
                    refused.push(index);
                }
            }
            left = refused;
            if opened && self.next == Some(Some(at)) {
                self.switch();
            }
        }
        if self.lets_clear_in {
            for index in left {
                let datagram = &*datagrams[index];
                if self.next == Some(None) && datagram.first() == Some(&VERSION) {
                    self.switch();
                }
                results[index] = Ok(0..datagram.len());
            }
        }
        results
    }

    /// Whether a change is prepared that was not switched to yet.
    pub const fn is_prepared(&self) -> bool {
        self.next.is_some()
    }

    /// Fills the other slot, so that datagrams sealed with it are accepted from now on. Without a key, or
    /// with a suite that needs none, clear packets are accepted instead. An earlier prepared change is
    /// discarded.
    ///
    /// # Errors
    /// If the suite has a cipher without a hash. Nothing has changed then.
    pub fn prepare(&mut self, suite: Suite, key: Option<&Key>) -> Result<(), EnvelopeError> {
        let key = key.filter(|_| !suite.is_clear());
        let slot = key.map(|key| Slot::new(suite, key)).transpose().map_err(|_| EnvelopeError::NoHash)?;
        self.abandon();
        match slot {
            Some(slot) => {
                let at = self.sends.map_or(0, |at| 1 - at);
                self.slots[at] = Some(slot);
                self.next = Some(Some(at));
            }
            None => {
                self.lets_clear_in = true;
                self.next = Some(None);
            }
        }
        Ok(())
    }

    /// Seals with the prepared suite and key, if any; datagrams sealed with the previous ones are still
    /// accepted.
    pub fn switch(&mut self) {
        if let Some(next) = self.next.take() {
            self.sends = next;
        }
    }

    /// Forgets the key that is not used for sending, after [`Envelope::switch`]. Before it, does nothing.
    pub fn finish(&mut self) {
        if self.next.is_none() {
            self.forget();
        }
    }

    /// Discards a prepared change that was not switched to, if there is one.
    pub fn abandon(&mut self) {
        if self.next.take().is_some() {
            self.forget();
        }
    }

    fn forget(&mut self) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if self.sends != Some(at) {
                *slot = None;
            }
        }
        self.lets_clear_in = self.sends.is_none();
    }

    fn sending(&self) -> Option<&Slot> {
        self.sends.and_then(|at| self.slots[at].as_ref())
    }
}

/// Does not show any part of the keys.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suites = self.slots.each_ref().map(|slot| slot.as_ref().map(|slot| slot.suite().to_string()));
        f.debug_struct("Envelope")
            .field("slots", &suites)
            .field("sends", &self.sends)
            .field("next", &self.next)
            .field("lets_clear_in", &self.lets_clear_in)
            .finish_non_exhaustive()
    }
}
