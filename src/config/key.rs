//! The secret key that the nodes of a cluster share. It is never printed, and its bytes are zeroed when the last copy
//! is dropped.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::secret::Secret;

/// Shortest key, in bytes. Source: corosync `include/corosync/totem/totem.h`, `TOTEM_PRIVATE_KEY_LEN_MIN`.
pub const LEAST: usize = 128;
/// Longest key, in bytes; the rest of a longer file is ignored. Source: as before, `TOTEM_PRIVATE_KEY_LEN_MAX`.
pub const MOST: usize = 4096;

/// Length of a new key in bytes, as from `corosync-keygen`.
pub const USUAL: usize = 256;

/// The input of a fingerprint besides the key, so that it never equals the authentication code of a packet.
const PRINT: &[u8] = b"annulus: fingerprint of a key";

/// A key for encryption and authentication. Copies share the bytes.
#[derive(Clone)]
pub struct Key(Arc<Secret>);

/// Why bytes cannot be used as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There are fewer than [`LEAST`] bytes: this many.
    #[error("a key has at least {LEAST} bytes, this one {0}")]
    Short(usize),
    /// There are more than [`MOST`] bytes: this many.
    #[error("a key has at most {MOST} bytes, this one {0}")]
    Long(usize),
}

impl Key {
    /// Makes a key of these bytes.
    ///
    /// # Errors
    /// There are too few or too many bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        match bytes.len() {
            0..LEAST => Err(KeyError::Short(bytes.len())),
            LEAST..=MOST => Ok(Self(Arc::new(Secret::new(bytes.to_vec())))),
            more => Err(KeyError::Long(more)),
        }
    }

    /// The secret itself.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// A short fingerprint that reveals nothing of the key. Operators compare it to see whether two hosts have the
    /// same key.
    pub fn fingerprint(&self) -> KeyPrint {
        // Never fails, as HMAC accepts keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.bytes()) else { return KeyPrint(0) };
        mac.update(PRINT);
        let code: [u8; 32] = mac.finalize().into_bytes().into();
        let mut first = [0; 8];
        first.copy_from_slice(&code[..8]);
        KeyPrint(u64::from_be_bytes(first))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.bytes().ct_eq(other.bytes()).into()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

/// The fingerprint of a key; see [`Key::fingerprint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPrint(pub u64);

impl fmt::Display for KeyPrint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_128_to_4096_bytes() {
        assert_eq!(Key::new(&[1; 127]), Err(KeyError::Short(127)));
        assert_eq!(Key::new(&[1; 4097]), Err(KeyError::Long(4097)));
        assert_eq!(Key::new(&[1; 128]).unwrap().bytes(), [1; 128]);
        Key::new(&[1; 4096]).unwrap();
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = Key::new(&[0xab; 128]).unwrap();
        assert_eq!(format!("{key:?}"), "Key(hidden)");
        let print = key.fingerprint().to_string();
        assert_eq!(print.len(), 16);
        assert!(!print.contains("abab"));
    }

    #[test]
    fn only_equal_keys_have_the_same_fingerprint() {
        let one = Key::new(&[7; 128]).unwrap();
        assert_eq!(one.fingerprint(), Key::new(&[7; 128]).unwrap().fingerprint());
        let mut other = [7; 128];
        other[127] = 8;
        assert_ne!(one.fingerprint(), Key::new(&other).unwrap().fingerprint());
        assert_ne!(one, Key::new(&other).unwrap());
    }
}
