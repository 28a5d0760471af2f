//! One suite with its key: makes packets into datagrams and back.

use std::ops::Range;

use super::cipher::{Aes, BLOCK};
use super::mac::Mac;
use super::suite::Suite;
use super::{KeyRequired, Refusal};
use crate::config::key::Key;
use crate::transport::knet::{Burst, Sizes};

/// Longest part of a datagram that a code can be for. Source: libknet, `KNET_MAX_PACKET_SIZE`.
const LONGEST: usize = 65536;

/// See the module.
pub(super) struct Slot {
    suite: Suite,
    cipher: Option<Aes>,
    mac: Mac,
}

impl Slot {
    /// # Errors
    /// There is no hash, without which a cipher is not secure.
    pub(super) fn new(suite: Suite, key: &Key) -> Result<Self, KeyRequired> {
        let mac = Mac::new(suite.hash, key.bytes()).ok_or(KeyRequired)?;
        Ok(Self { suite, cipher: Aes::new(suite.cipher, key.bytes()), mac })
    }

    pub(super) const fn suite(&self) -> Suite {
        self.suite
    }

    pub(super) const fn sizes(&self) -> Sizes {
        self.suite.sizes()
    }

    /// Seals the packet that lies behind [`Burst::ROOM`] bytes, and says where the datagram lies. The vector is used
    /// by ciphers only.
    pub(super) fn seal(&self, packet: &mut Vec<u8>, salt: impl FnOnce() -> [u8; BLOCK]) -> Range<usize> {
        let start = match &self.cipher {
            None => Burst::ROOM,
            Some(cipher) => {
                let salt = salt();
                let padding = BLOCK - (packet.len() - Burst::ROOM) % BLOCK;
                packet.resize(packet.len() + padding, padding as u8);
                let (front, blocks) = packet.split_at_mut(Burst::ROOM);
                front.copy_from_slice(&salt);
                cipher.encrypt(&salt, blocks);
                0
            }
        };
        let (code, length) = self.mac.code(&packet[start..]);
        packet.extend_from_slice(&code[..length]);
        start..packet.len()
    }

    /// Where in a datagram the packet lies, which is then readable there. A refused datagram stays as it was.
    ///
    /// # Errors
    /// It was not sealed like this.
    pub(super) fn open(&self, datagram: &mut [u8]) -> Result<Range<usize>, Refusal> {
        let sizes = self.sizes();
        let end = datagram.len().checked_sub(sizes.mac).ok_or(Refusal::Length)?;
        let sealed = end.checked_sub(sizes.salt).ok_or(Refusal::Length)?;
        let whole = self.cipher.is_none() || sealed % BLOCK == 0;
        if sealed == 0 || end > LONGEST || !whole {
            return Err(Refusal::Length);
        }
        let (bytes, code) = datagram.split_at_mut(end);
        if !self.mac.fits(bytes, code) {
            return Err(Refusal::Code);
        }
        let Some(cipher) = &self.cipher else { return Ok(0..end) };
        let Some((salt, blocks)) = bytes.split_first_chunk_mut::<BLOCK>() else {
            return Err(Refusal::Length);
        };
        cipher.decrypt(salt, blocks);
        // Only who has the key gets so far: nothing can be learned from how the padding is refused.
        let padding = blocks.last().map_or(0, |last| usize::from(*last));
        let plain = blocks.len().checked_sub(padding).filter(|_| (1..=BLOCK).contains(&padding));
        match plain {
            Some(plain) if blocks[plain..].iter().all(|byte| usize::from(*byte) == padding) => {
                Ok(BLOCK..BLOCK + plain)
            }
            Some(_) | None => Err(Refusal::Padding),
        }
    }
}
