//! One suite with its key: turns packets into datagrams and back.

use std::ops::Range;

use super::cipher::{Aes, BLOCK};
use super::error::{KeyRequired, Refusal};
use super::mac::{Code, Mac};
use super::suite::Suite;
use crate::config::key::Key;
use crate::transport::knet::{Burst, Sizes};

/// Longest part of a datagram that can be covered by a code. Source: libknet, `KNET_MAX_PACKET_SIZE`.
const LONGEST: usize = 65536;

/// One suite with its key.
pub(super) struct Slot {
    suite: Suite,
    cipher: Option<Aes>,
    mac: Mac,
}

impl Slot {
    /// # Errors
    /// If the suite has no hash, without which a cipher is not secure.
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

    /// Seals packets, each of which lies behind [`Burst::ROOM`] bytes, and returns the position of the
    /// datagram in each. Only ciphers use the vectors.
    pub(super) fn seal(
        &self,
        packets: &mut [&mut Vec<u8>],
        mut salt: impl FnMut() -> [u8; BLOCK],
    ) -> Vec<Range<usize>> {
        let start = if self.cipher.is_some() { 0 } else { Burst::ROOM };
        if let Some(cipher) = &self.cipher {
            for packet in &mut *packets {
                let salt = salt();
                let padding = BLOCK - (packet.len() - Burst::ROOM) % BLOCK;
                packet.resize(packet.len() + padding, padding as u8);
                let (front, blocks) = packet.split_at_mut(Burst::ROOM);
                front.copy_from_slice(&salt);
                cipher.encrypt(&salt, blocks);
            }
        }
        let sealed: Vec<&[u8]> = packets.iter().map(|packet| &packet[start..]).collect();
        let codes = self.mac.codes(&sealed);
        let finish = |(packet, code): (&mut &mut Vec<u8>, Code)| {
            packet.extend_from_slice(code.bytes());
            start..packet.len()
        };
        packets.iter_mut().zip(codes).map(finish).collect()
    }

    /// Checks for each datagram whether it was sealed with this slot; they are not changed.
    ///
    /// # Errors
    /// [`Refusal::Length`] or [`Refusal::Code`] if it was not.
    pub(super) fn check(&self, datagrams: &[&[u8]]) -> Vec<Result<(), Refusal>> {
        let ends = datagrams.iter().map(|datagram| self.sealed(datagram.len()));
        let covered = datagrams.iter().zip(ends.clone()).filter_map(|(bytes, end)| Some(&bytes[..end?]));
        let sealed: Vec<&[u8]> = covered.collect();
        let mut codes = self.mac.codes(&sealed).into_iter();
        let verdict = |(datagram, end): (&&[u8], Option<usize>)| {
            let end = end.ok_or(Refusal::Length)?;
            let fits = codes.next().is_some_and(|right| right.is(&datagram[end..]));
            if fits { Ok(()) } else { Err(Refusal::Code) }
        };
        datagrams.iter().zip(ends).map(verdict).collect()
    }

    /// The part of a datagram of this length that its code covers; `None` if no datagram of this slot can
    /// have this length.
    fn sealed(&self, length: usize) -> Option<usize> {
        let sizes = self.sizes();
        let end = length.checked_sub(sizes.mac)?;
        let sealed = end.checked_sub(sizes.salt)?;
        let whole = self.cipher.is_none() || sealed % BLOCK == 0;
        (sealed != 0 && end <= LONGEST && whole).then_some(end)
    }

    /// Decrypts a datagram that [`Slot::check`] accepted. Returns the position of the packet in it.
    ///
    /// # Errors
    /// If the padding is wrong.
    pub(super) fn decrypt(&self, datagram: &mut [u8]) -> Result<Range<usize>, Refusal> {
        let end = self.sealed(datagram.len()).ok_or(Refusal::Length)?;
        let Some(cipher) = &self.cipher else { return Ok(0..end) };
        let Some((salt, blocks)) = datagram[..end].split_first_chunk_mut::<BLOCK>() else {
            return Err(Refusal::Length);
        };
        cipher.decrypt(salt, blocks);
        // Only a sender with the key gets this far, so nothing can be learned from how wrong padding is
        // refused.
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
