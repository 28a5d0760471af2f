//! The secret that the nodes of a cluster share. No form of it is printed, and its bytes are zeroed when the last
//! copy is dropped.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::secret::Secret;

/// Fewest bytes of a key. Source: corosync `include/corosync/totem/totem.h`, `TOTEM_PRIVATE_KEY_LEN_MIN`.
pub const LEAST: usize = 128;
/// Most bytes of a key; of a longer file the rest is not looked at. Source: the same, `TOTEM_PRIVATE_KEY_LEN_MAX`.
pub const MOST: usize = 4096;

/// Bytes of a key that is made, as many as `corosync-keygen` makes.
pub const USUAL: usize = 256;

/// What a fingerprint is made of beside the key, so that it is no code of any packet.
const PRINT: &[u8] = b"annulus: fingerprint of a key";

/// A key for encryption and authentication. Copies share the bytes.
#[derive(Clone)]
pub struct Key(Arc<Secret>);

/// Why bytes are no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Fewer than [`LEAST`]. How many there are.
    #[error("a key has at least {LEAST} bytes, this one {0}")]
    Short(usize),
    /// More than [`MOST`]. How many there are.
    #[error("a key has at most {MOST} bytes, this one {0}")]
    Long(usize),
}

impl Key {
    /// The key that these bytes are.
    ///
    /// # Errors
    /// Too few or too many.
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

    /// A short name for the key that tells nothing of it: by it operators see whether two hosts have the same one.
    pub fn fingerprint(&self) -> KeyPrint {
        // No key is refused: HMAC takes any length.
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

/// A name for a key; see [`Key::fingerprint`].
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
    fn nothing_of_a_key_is_printed() {
        let key = Key::new(&[0xab; 128]).unwrap();
        assert_eq!(format!("{key:?}"), "Key(hidden)");
        let print = key.fingerprint().to_string();
        assert_eq!(print.len(), 16);
        assert!(!print.contains("abab"));
    }

    #[test]
    fn a_fingerprint_is_the_same_for_equal_keys_alone() {
        let one = Key::new(&[7; 128]).unwrap();
        assert_eq!(one.fingerprint(), Key::new(&[7; 128]).unwrap().fingerprint());
        let mut other = [7; 128];
        other[127] = 8;
        assert_ne!(one.fingerprint(), Key::new(&other).unwrap().fingerprint());
        assert_ne!(one, Key::new(&other).unwrap());
    }
}
