//! Why a datagram is refused, and why there is no envelope.

use std::io;

/// Why a datagram is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Its length is impossible for a sealed datagram.
    #[error("its length is that of no encrypted packet")]
    Length,
    /// Its code is wrong: another key, another cipher or hash, not encrypted at all, or forged.
    #[error("not encrypted with this cluster's key, cipher and hash")]
    Code,
    /// Its code is correct, but its padding is not.
    #[error("encrypted with this cluster's key, but wrongly padded")]
    Padding,
}

/// Why an envelope could not be created.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// A cipher was given without a hash.
    #[error("crypto_cipher requires crypto_hash with value other than none")]
    NoHash,
    /// The kernel provides no random bytes for initialisation vectors.
    #[error("no random bytes from the kernel: {0}")]
    Random(#[from] io::Error),
}

/// Error: a suite without authentication cannot have a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyRequired;
