//! HMAC-SHA-256 of several messages at once, each in one lane of the processor's vector registers.
//!
//! A single message cannot be parallelised, because each of its blocks depends on the one before. But data
//! that is sent or received together consists of many packets: for the eleven fragments of one message, this
//! takes a fraction of the time needed one after the other; see ARCHITECTURE.md. Source of the construction:
//! RFC 2104.

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Block size of SHA-256 in bytes.
const BLOCK: usize = 64;

/// Length of an authentication code in bytes.
const LENGTH: usize = 32;

/// The two blocks derived from a key: one precedes the message, the other its hash.
pub(super) struct Abreast {
    inner: Zeroizing<[u8; BLOCK]>,
    outer: Zeroizing<[u8; BLOCK]>,
}

impl Abreast {
    /// Derives the blocks from all bytes of a key.
    pub(super) fn new(key: &[u8]) -> Self {
        let mut block = Zeroizing::new([0; BLOCK]);
        if key.len() > BLOCK {
            block[..LENGTH].copy_from_slice(&Sha256::digest(key));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let masked = |mask: u8| Zeroizing::new(block.map(|byte| byte ^ mask));
        Self { inner: masked(0x36), outer: masked(0x5c) }
    }

    /// The authentication code of each message, in order.
    pub(super) fn codes(&self, messages: &[&[u8]]) -> Vec<[u8; LENGTH]> {
        let mut hashes = vec![[0; LENGTH]; messages.len()];
        tape_sha256::hash_many_prefixed(&*self.inner, messages, &mut hashes);
        let inner: Vec<&[u8]> = hashes.iter().map(<[u8; LENGTH]>::as_slice).collect();
        let mut codes = vec![[0; LENGTH]; messages.len()];
        tape_sha256::hash_many_prefixed(&*self.outer, &inner, &mut codes);
        codes
    }
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use proptest::prelude::*;

    use super::*;

    /// Test cases 1, 2 and 6 of RFC 4231.
    #[test]
    fn codes_match_the_test_cases_of_the_rfc() {
        let hex = |code: &[u8]| code.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let of = |key: &[u8], message: &[u8]| hex(&Abreast::new(key).codes(&[message, b"another"])[0]);
        assert_eq!(
            of(&[0x0b; 20], b"Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            of(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            of(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        /// For any number of messages of any lengths.
        #[test]
        fn codes_equal_those_of_each_message_computed_alone(
            key in prop::collection::vec(any::<u8>(), 0..300),
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..70),
        ) {
            let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
            let codes = Abreast::new(&key).codes(&slices);
            prop_assert_eq!(codes.len(), messages.len());
            for (message, code) in slices.iter().zip(codes) {
                let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
                mac.update(message);
                prop_assert_eq!(code, <[u8; LENGTH]>::from(mac.finalize().into_bytes()));
            }
        }
    }
}
