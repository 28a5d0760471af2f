//! Message authentication with HMAC. Everything that depends only on the key is computed once.

use hmac::{Hmac, KeyInit};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use super::abreast::Abreast;
use super::suite;

/// Length of the longest authentication code in bytes.
const LONGEST: usize = 64;

/// A hash function with its key.
pub(super) enum Mac {
    Md5(Box<Hmac<Md5>>),
    Sha1(Box<Hmac<Sha1>>),
    /// For a single message, and for several at once.
    Sha256(Box<(Hmac<Sha256>, Abreast)>),
    Sha384(Box<Hmac<Sha384>>),
    Sha512(Box<Hmac<Sha512>>),
}

/// A message's authentication code.
#[derive(Clone, Copy)]
pub(super) struct Code {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Code {
    /// Creates a code from these bytes, at most [`LONGEST`].
    fn new(code: &[u8]) -> Self {
        let mut bytes = [0; LONGEST];
        bytes[..code.len()].copy_from_slice(code);
        Self { bytes, length: code.len() }
    }

    /// The code as transmitted in a datagram.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Whether `code` is equal to this one. The time needed does not depend on which byte differs.
    pub(super) fn is(&self, code: &[u8]) -> bool {
        self.bytes().ct_eq(code).into()
    }
}

impl Mac {
    /// Creates the hash with all bytes of a key. `None` if `hash` is [`suite::Hash::None`].
    pub(super) fn new(hash: suite::Hash, key: &[u8]) -> Option<Self> {
        fn keyed<M: KeyInit>(key: &[u8]) -> Option<M> {
            M::new_from_slice(key).ok()
        }
        match hash {
            suite::Hash::None => None,
            suite::Hash::Md5 => keyed(key).map(Box::new).map(Self::Md5),
            suite::Hash::Sha1 => keyed(key).map(Box::new).map(Self::Sha1),
            suite::Hash::Sha256 => keyed(key).map(|one| Self::Sha256(Box::new((one, Abreast::new(key))))),
            suite::Hash::Sha384 => keyed(key).map(Box::new).map(Self::Sha384),
            suite::Hash::Sha512 => keyed(key).map(Box::new).map(Self::Sha512),
        }
    }

    /// The authentication code of each message, in order.
    pub(super) fn codes(&self, messages: &[&[u8]]) -> Vec<Code> {
        fn of<M: hmac::Mac + Clone>(keyed: &M, messages: &[&[u8]]) -> Vec<Code> {
            let code = |message: &&[u8]| {
                let mut mac = keyed.clone();
                mac.update(message);
                Code::new(&mac.finalize().into_bytes())
            };
            messages.iter().map(code).collect()
        }
        match self {
            Self::Md5(keyed) => of(keyed.as_ref(), messages),
            Self::Sha1(keyed) => of(keyed.as_ref(), messages),
            Self::Sha256(keyed) => match messages {
                [] | [_] => of(&keyed.0, messages),
                _ => keyed.1.codes(messages).iter().map(|code| Code::new(code)).collect(),
            },
            Self::Sha384(keyed) => of(keyed.as_ref(), messages),
            Self::Sha512(keyed) => of(keyed.as_ref(), messages),
        }
    }
}
