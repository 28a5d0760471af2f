//! HMAC. What depends on the key alone is computed once; nothing is allocated for a packet.

use hmac::{Hmac, KeyInit};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use super::suite;

/// Bytes of the longest code.
pub(super) const LONGEST: usize = 64;

/// A hash with its key.
pub(super) enum Mac {
    Md5(Box<Hmac<Md5>>),
    Sha1(Box<Hmac<Sha1>>),
    Sha256(Box<Hmac<Sha256>>),
    Sha384(Box<Hmac<Sha384>>),
    Sha512(Box<Hmac<Sha512>>),
}

impl Mac {
    /// With all bytes of a key. `None`: there is no hash.
    pub(super) fn new(hash: suite::Hash, key: &[u8]) -> Option<Self> {
        fn keyed<M: KeyInit>(key: &[u8]) -> Option<Box<M>> {
            M::new_from_slice(key).ok().map(Box::new)
        }
        match hash {
            suite::Hash::None => None,
            suite::Hash::Md5 => keyed(key).map(Self::Md5),
            suite::Hash::Sha1 => keyed(key).map(Self::Sha1),
            suite::Hash::Sha256 => keyed(key).map(Self::Sha256),
            suite::Hash::Sha384 => keyed(key).map(Self::Sha384),
            suite::Hash::Sha512 => keyed(key).map(Self::Sha512),
        }
    }

    /// The code of these bytes, and how long it is.
    pub(super) fn code(&self, bytes: &[u8]) -> ([u8; LONGEST], usize) {
        fn of<M: hmac::Mac + Clone>(keyed: &M, bytes: &[u8]) -> ([u8; LONGEST], usize) {
            let mut mac = keyed.clone();
            mac.update(bytes);
            let code = mac.finalize().into_bytes();
            let mut padded = [0; LONGEST];
            padded[..code.len()].copy_from_slice(&code);
            (padded, code.len())
        }
        match self {
            Self::Md5(keyed) => of(keyed.as_ref(), bytes),
            Self::Sha1(keyed) => of(keyed.as_ref(), bytes),
            Self::Sha256(keyed) => of(keyed.as_ref(), bytes),
            Self::Sha384(keyed) => of(keyed.as_ref(), bytes),
            Self::Sha512(keyed) => of(keyed.as_ref(), bytes),
        }
    }

    /// Whether this is their code. Takes the same time whichever byte is wrong.
    pub(super) fn fits(&self, bytes: &[u8], code: &[u8]) -> bool {
        let (right, length) = self.code(bytes);
        right[..length].ct_eq(code).into()
    }
}
