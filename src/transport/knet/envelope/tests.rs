//! Tests with datagrams captured from libknet 1.25, of every suite in both directions, key changes, and
//! invalid input.

use proptest::prelude::*;

use super::slot::Slot;
use super::{Cipher, Envelope, EnvelopeError, Hash, Refusal, Suite};
use crate::config::key::Key;
use crate::transport::knet::{Burst, Sizes};

const CIPHERS: [Cipher; 4] = [Cipher::None, Cipher::Aes128, Cipher::Aes192, Cipher::Aes256];
const HASHES: [Hash; 5] = [Hash::Md5, Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512];
const FULL: Suite = Suite { cipher: Cipher::Aes256, hash: Hash::Sha256 };
const HASHED: Suite = Suite { cipher: Cipher::None, hash: Hash::Sha256 };

fn suites() -> impl Iterator<Item = Suite> {
    CIPHERS.into_iter().flat_map(|cipher| HASHES.into_iter().map(move |hash| Suite { cipher, hash }))
}

/// A key of the bytes 0, 1, 2, ….
fn counting(length: usize) -> Key {
    Key::new(&(0..length).map(|at| at as u8).collect::<Vec<_>>()).unwrap()
}

fn other_key() -> Key {
    Key::new(&[0x5a; 200]).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// A packet with unused bytes in front.
fn roomy(plain: &[u8]) -> Vec<u8> {
    [&[0; Burst::ROOM], plain].concat()
}

fn sealed(envelope: &mut Envelope, plain: &[u8]) -> Vec<u8> {
    let mut packet = roomy(plain);
    let range = envelope.seal(&mut [&mut packet]).remove(0);
    packet[range].to_vec()
}

fn opened(envelope: &mut Envelope, datagram: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut datagram = datagram.to_vec();
    envelope.open(&mut [&mut datagram]).remove(0).map(|range| datagram[range].to_vec())
}

/// Checks that sealing produces the captured datagram, and that opening this returns the packet.
fn is_as_captured(suite: Suite, key: &Key, plain: &str, iv: &str, rest: &str) {
    let (plain, iv) = (bytes(plain), bytes(iv));
    let captured = [iv.clone(), bytes(rest)].concat();
    let mut packet = roomy(&plain);
    let slot = Slot::new(suite, key).unwrap();
    let range = slot.seal(&mut [&mut packet], || iv.clone().try_into().unwrap()).remove(0);
    assert_eq!(packet[range], captured);
    assert_eq!(captured.len(), suite.sizes().datagram(plain.len()));
    assert_eq!(opened(&mut Envelope::new(suite, key).unwrap(), &captured), Ok(plain));
}

const DATA: &str = "010000010000000100000101000070c003010001000000000000005b626970777e858c939aa1a8afb6bdc4cbd2d9e0\
                    e7eef5fc030a11";

#[test]
fn hash_without_cipher_matches_libknet() {
    let (key, ping) = (counting(128), "01810001 0000 00 0f0c000000000000 3521031b00000000 0000 01");
    let code = "b6dd03bd1ba3d72ebde5879db15052bf18ea796c586987f3edfcc67ecb464b62";
    is_as_captured(HASHED, &key, ping, "", &format!("{ping} {code}"));
    let code = "edb33507a2e0f8e36b844a754d0914f5ef656689da839fb11ebf447bada53d8d";
    is_as_captured(HASHED, &key, DATA, "", &format!("{DATA} {code}"));
}

#[test]
fn aes256_with_sha256_matches_libknet() {
    let key = counting(256);
    is_as_captured(
        FULL,
        &key,
        "01810001 0000 00 ff0b000000000000 4280df3900000000 0000 01",
        "f74639378e6743c6c64c47e547d97b12",
        "741fe788031408d0087441022b52784dc0ab53e94d726201fd6d55b908fcbcca
         2a6a4575b55435132ef532e0f6dad9aa2bb40a9d6f5e4917f0f120e46af4c4a8",
    );
    is_as_captured(
        FULL,
        &key,
        DATA,
        "0e24c0223b126329ad8f9c4fba7472de",
        "e505be4e39fbbe4923e853135629746e681e14baf98ef03864d4bc61f89a7cb5
         e7ca72f412c1440e04a9f02981b56ac612ccdcf459f8a3ad68642f55601a5cac
         4da584550dcb88f6d4f78bb72859825be44d03980dd7d933a1599c119045b668",
    );
    is_as_captured(
        FULL,
        &key,
        "01840002 0000 00 fcff",
        "9f4a8ff4cc0e6cdd370a1057be52f3ca",
        "4fe6c324d6edf12e67e6bed602d6b6d9
         db01414d939b60f4e2fd2cb859d52d7472fe760b54bb11f4f1e0fe32077ddd4e",
    );
}

#[test]
fn aes128_with_sha1_matches_libknet() {
    is_as_captured(
        Suite { cipher: Cipher::Aes128, hash: Hash::Sha1 },
        &counting(128),
        DATA,
        "d435432127142cabaeb66cb09d187901",
        "6552f84d34ac1ff3b95a9cd05aec27c3f9c275c08bb4949dd72647c8601a1c72
         063c57bfb8d318b58aa34e30a7673e2523310d816d8efd3511c1ddd2a7318105
         27bab80915827f79a741ba5eaeda001a56741b6a",
    );
}

#[test]
fn each_suite_opens_what_it_sealed_and_refuses_other_hashes_and_keys() {
    let key = counting(4096);
    let plain: Vec<u8> = (0..1400).map(|at| (at * 7) as u8).collect();
    for suite in suites() {
        let mut envelope = Envelope::new(suite, &key).unwrap();
        assert_eq!((envelope.suite(), envelope.sizes()), (suite, suite.sizes()));
        for length in [0, 1, 15, 16, 17, 26, 1400] {
            let datagram = sealed(&mut envelope, &plain[..length]);
            assert_eq!(datagram.len(), suite.sizes().datagram(length), "{suite} {length}");
            if datagram.len() > suite.sizes().mac {
                assert_eq!(opened(&mut envelope, &datagram).unwrap(), plain[..length], "{suite} {length}");
            }
            for other in suites().filter(|other| *other != suite) {
                let refused = opened(&mut Envelope::new(other, &key).unwrap(), &datagram);
                // With the same hash the code is correct whatever the cipher, as in libknet.
                if other.hash != suite.hash {
                    refused.unwrap_err();
                }
            }
            opened(&mut Envelope::new(suite, &other_key()).unwrap(), &datagram).unwrap_err();
        }
    }
}

#[test]
fn a_cipher_needs_a_hash() {
    let suite = Suite { cipher: Cipher::Aes256, hash: Hash::None };
    assert!(matches!(Envelope::new(suite, &counting(128)), Err(EnvelopeError::NoHash)));
}

#[test]
fn each_packet_has_its_own_initialisation_vector() {
    let mut envelope = Envelope::new(FULL, &counting(128)).unwrap();
    let datagrams: std::collections::BTreeSet<_> =
        (0..100).map(|_| sealed(&mut envelope, b"the same")).collect();
    assert_eq!(datagrams.len(), 100);
}

#[test]
fn clear_packets_are_accepted_only_without_encryption() {
    let mut clear = Envelope::clear().unwrap();
    assert_eq!((sealed(&mut clear, b"packet"), clear.sizes()), (b"packet".to_vec(), Sizes::CLEAR));
    assert_eq!(opened(&mut clear, b"packet"), Ok(b"packet".to_vec()));
    let mut full = Envelope::new(FULL, &counting(128)).unwrap();
    assert_eq!(opened(&mut full, b"packet"), Err(Refusal::Length));
    assert_eq!(opened(&mut full, &[1; 80]), Err(Refusal::Code));
    assert_eq!(opened(&mut full, b""), Err(Refusal::Length));
}

/// For every combination of the steps that two nodes may have reached: each understands the other at all
/// times.
fn changes(from: Option<(Suite, Key)>, to: Option<(Suite, Key)>) {
    let start = || match &from {
        Some((suite, key)) => Envelope::new(*suite, key).unwrap(),
        None => Envelope::clear().unwrap(),
    };
    let reached = |steps: u32| {
        let mut envelope = start();
        let (suite, key) = to.as_ref().map_or((Suite::CLEAR, None), |(suite, key)| (*suite, Some(key)));
        if steps >= 1 {
            envelope.prepare(suite, key).unwrap();
        }
        if steps >= 2 {
            envelope.switch();
        }
        if steps >= 3 {
            envelope.finish();
        }
        envelope
    };
    // All nodes have prepared before any switches; all have switched before any forgets the old key.
    for (one, other) in [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3), (3, 3)] {
        let (mut one, mut other) = (reached(one), reached(other));
        let (forth, back) = (sealed(&mut one, b"forth"), sealed(&mut other, b"back"));
        assert_eq!(opened(&mut other, &forth), Ok(b"forth".to_vec()), "{one:?} to {other:?}");
        assert_eq!(opened(&mut one, &back), Ok(b"back".to_vec()), "{other:?} to {one:?}");
    }
    let datagram = sealed(&mut start(), b"old");
    let old = opened(&mut reached(3), &datagram);
    if to.is_some() {
        assert!(old.is_err());
    } else {
        assert_ne!(old, Ok(b"old".to_vec()));
    }
    let mut back = reached(1);
    back.abandon();
    assert_eq!(format!("{:?}", back.suite()), format!("{:?}", start().suite()));
    let datagram = sealed(&mut reached(2), b"new");
    assert_ne!(opened(&mut back, &datagram), Ok(b"new".to_vec()));
}

#[test]
fn a_running_cluster_can_change_key_and_suite() {
    let old = Some((FULL, counting(128)));
    changes(old.clone(), Some((FULL, other_key())));
    changes(old.clone(), Some((Suite { cipher: Cipher::Aes128, hash: Hash::Sha512 }, counting(128))));
    changes(old.clone(), Some((HASHED, other_key())));
    changes(old.clone(), None);
    changes(None, old);
}

#[test]
fn the_key_can_change_many_times() {
    let mut envelope = Envelope::new(FULL, &counting(128)).unwrap();
    for step in 0..5_u8 {
        let key = Key::new(&[step; 128]).unwrap();
        envelope.prepare(FULL, Some(&key)).unwrap();
        envelope.switch();
        envelope.finish();
        let mut fresh = Envelope::new(FULL, &key).unwrap();
        let datagram = sealed(&mut envelope, b"x");
        assert_eq!(opened(&mut fresh, &datagram), Ok(b"x".to_vec()));
    }
}

#[test]
fn a_prepared_node_switches_on_a_packet_from_one_that_switched() {
    let (old, new) = (counting(128), other_key());
    let mut envelope = Envelope::new(FULL, &old).unwrap();
    envelope.prepare(FULL, Some(&new)).unwrap();
    let datagram = sealed(&mut Envelope::new(FULL, &old).unwrap(), b"x");
    opened(&mut envelope, &datagram).unwrap();
    assert!(envelope.is_prepared(), "the others have not switched");
    opened(&mut envelope, &[7; 80]).unwrap_err();
    assert!(envelope.is_prepared(), "anybody can send that");
    let datagram = sealed(&mut Envelope::new(FULL, &new).unwrap(), b"x");
    opened(&mut envelope, &datagram).unwrap();
    assert!(!envelope.is_prepared());
    let datagram = sealed(&mut envelope, b"y");
    assert_eq!(opened(&mut Envelope::new(FULL, &new).unwrap(), &datagram), Ok(b"y".to_vec()));
    // The command to switch arrives later and has no effect.
    envelope.switch();
    envelope.finish();
    let datagram = sealed(&mut envelope, b"y");
    assert_eq!(opened(&mut Envelope::new(FULL, &new).unwrap(), &datagram), Ok(b"y".to_vec()));

    let mut envelope = Envelope::new(FULL, &old).unwrap();
    envelope.prepare(Suite::CLEAR, None).unwrap();
    opened(&mut envelope, b"\x01\x81clear").unwrap();
    assert_eq!(sealed(&mut envelope, b"y"), b"y");
}

#[test]
fn wrong_padding_with_a_correct_code_is_refused() {
    use hmac::{Hmac, KeyInit, Mac};
    let key = counting(256);
    let aes = super::cipher::Aes::new(Cipher::Aes256, key.bytes()).unwrap();
    for (last, padding) in [(0, 16), (17, 16), (255, 16), (2, 1), (16, 15)] {
        let mut blocks = vec![last; 32];
        blocks[32 - padding] = last;
        if padding == 1 {
            blocks[30] = 7;
        }
        if padding == 15 {
            blocks[16] = 7;
        }
        let salt = [3; 16];
        aes.encrypt(&salt, &mut blocks);
        let mut datagram = [&salt[..], &blocks].concat();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.bytes()).unwrap();
        mac.update(&datagram);
        datagram.extend_from_slice(&mac.finalize().into_bytes());
        let mut envelope = Envelope::new(FULL, &key).unwrap();
        assert_eq!(opened(&mut envelope, &datagram), Err(Refusal::Padding), "{last} {padding}");
    }
}

#[test]
fn keys_are_neither_shown_nor_left_in_memory() {
    fn is_zeroed<T: zeroize::ZeroizeOnDrop>() {}
    is_zeroed::<aes::Aes128Enc>();
    is_zeroed::<aes::Aes192Dec>();
    is_zeroed::<aes::Aes256Dec>();
    is_zeroed::<md5::block_api::Md5Core>();
    is_zeroed::<sha1::block_api::Sha1Core>();
    is_zeroed::<sha2::block_api::Sha256VarCore>();
    is_zeroed::<sha2::block_api::Sha512VarCore>();
    is_zeroed::<zeroize::Zeroizing<Vec<u8>>>();
    let envelope = Envelope::new(FULL, &Key::new(&[0xab; 128]).unwrap()).unwrap();
    let shown = format!("{envelope:?}");
    assert!(!shown.contains("171") && !shown.contains("ab, ") && shown.contains("aes256/sha256"), "{shown}");
}

#[test]
fn a_too_long_datagram_is_refused_before_its_code_is_checked() {
    for suite in [FULL, HASHED] {
        let mut envelope = Envelope::new(suite, &counting(128)).unwrap();
        assert_eq!(opened(&mut envelope, &vec![0; 65536 + 16 + 32]), Err(Refusal::Length));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_packet_is_restored(plain in prop::collection::vec(any::<u8>(), 1..9000), at in 0..20_usize) {
        let suite = suites().nth(at).unwrap();
        let mut envelope = Envelope::new(suite, &counting(256)).unwrap();
        let datagram = sealed(&mut envelope, &plain);
        prop_assert_eq!(opened(&mut envelope, &datagram), Ok(plain));
    }

    #[test]
    fn a_changed_datagram_is_refused(
        plain in prop::collection::vec(any::<u8>(), 1..200),
        at in 0..20_usize,
        place in any::<prop::sample::Index>(),
        change in 1..=255_u8,
    ) {
        let suite = suites().nth(at).unwrap();
        let mut envelope = Envelope::new(suite, &counting(256)).unwrap();
        let mut datagram = sealed(&mut envelope, &plain);
        let place = place.index(datagram.len());
        datagram[place] ^= change;
        prop_assert_eq!(opened(&mut envelope, &datagram), Err(Refusal::Code));
        prop_assert!(opened(&mut envelope, &datagram[..place]).is_err());
        datagram.push(change);
        prop_assert!(opened(&mut envelope, &datagram).is_err());
    }

    /// Sealed by one of two nodes during a key change, or by none: opening several datagrams at once gives
    /// the same results as opening each alone.
    #[test]
    fn opening_several_datagrams_equals_opening_each_alone(
        packets in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..200), 0..4_u8), 0..40),
        at in 0..20_usize,
    ) {
        let suite = suites().nth(at).unwrap();
        let (old, new, stranger) = (counting(256), other_key(), counting(200));
        let mut senders = [&old, &new, &stranger].map(|key| Envelope::new(suite, key).unwrap());
        let mut datagrams: Vec<Vec<u8>> = packets
            .iter()
            .map(|(plain, from)| match senders.get_mut(usize::from(*from)) {
                Some(sender) => sealed(sender, plain),
                None => plain.clone(),
            })
            .collect();
        let mut receiver = Envelope::new(suite, &old).unwrap();
        receiver.prepare(suite, Some(&new)).unwrap();
        let results = receiver.open(&mut datagrams.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
        prop_assert_eq!(results.len(), packets.len());
        for (((plain, from), datagram), result) in packets.iter().zip(&datagrams).zip(results) {
            prop_assert_eq!(result.is_ok(), *from < 2);
            if let Ok(range) = result {
                prop_assert_eq!(&datagram[range], &plain[..]);
            }
        }
        prop_assert_eq!(receiver.is_prepared(), packets.iter().all(|(_, from)| *from != 1));
    }

    /// Sealing several packets at once gives the same datagrams as sealing each alone.
    #[test]
    fn packets_sealed_together_are_restored(
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..40),
        at in 0..20_usize,
    ) {
        let suite = suites().nth(at).unwrap();
        let mut envelope = Envelope::new(suite, &counting(256)).unwrap();
        let mut buffers: Vec<Vec<u8>> = packets.iter().map(|plain| roomy(plain)).collect();
        let places = envelope.seal(&mut buffers.iter_mut().collect::<Vec<_>>());
        prop_assert_eq!(places.len(), packets.len());
        for ((plain, sealed), place) in packets.into_iter().zip(&buffers).zip(places) {
            prop_assert_eq!(opened(&mut envelope, &sealed[place]), Ok(plain));
        }
    }

    #[test]
    fn arbitrary_input_is_handled(mut datagram in prop::collection::vec(any::<u8>(), 0..300), at in 0..20_usize) {
        let suite = suites().nth(at).unwrap();
        let mut envelope = Envelope::new(suite, &counting(256)).unwrap();
        envelope.prepare(FULL, Some(&other_key())).unwrap();
        prop_assert!(envelope.open(&mut [&mut datagram])[0].is_err());
        prop_assert_eq!(Envelope::clear().unwrap().open(&mut [&mut datagram]), [Ok(0..datagram.len())]);
    }
}
