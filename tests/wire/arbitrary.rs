//! Arbitrary bytes: the parser never panics and never reads past their end.

use std::time::Duration;

use annulus::config::timeouts::{Given, Timeouts};
use annulus::ids::{Endian, NodeId, RingId, Seq};
use annulus::time::Instant;
use annulus::totem::wire::pack::{Packet, groups};
use annulus::totem::wire::{self, CommitToken, Join, Kind, LittleEndian, WireError};
use annulus::totem::{Input, Output, Params, Totem};
use proptest::prelude::*;

fn id(node: u32) -> NodeId {
    NodeId::new(node).expect("not 0")
}

/// A header that is accepted, followed by arbitrary bytes.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), 0u8..7, 0u8..4, any::<u32>(), proptest::collection::vec(any::<u8>(), 0..200)).prop_map(
        |(big, kind, encapsulated, node, rest)| {
            let mut out = if big { vec![0xc0, 0x70] } else { vec![0x70, 0xc0] };
            out.extend_from_slice(&[3, kind, encapsulated]);
            out.extend_from_slice(&(node % 5).to_le_bytes());
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&rest);
            out
        },
    )
}

/// Bytes with small values, so that counts, ids and numbers are often valid.
fn plausible() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![0u32..6, Just(u32::MAX), any::<u32>()];
    (0u8..7, proptest::collection::vec(word, 0..40)).prop_map(|(kind, words)| {
        let mut out = vec![0x70, 0xc0, 3, kind, if kind == 1 { 2 } else { 0 }];
        out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        out
    })
}

/// A node alone on its ring.
fn lone_node() -> (Totem, Instant) {
    let params = Params {
        me: id(1),
        timeouts: Timeouts::derive(&Given::default(), 3),
        netmtu: 1500,
        ring_seq: 1,
        stored: 100_000,
        life: 1,
        origin: Seq(0),
    };
    let mut now = Instant::from_micros(1);
    let mut totem = Totem::new(params, now);
    for _ in 0..50 {
        totem.handle_input(now, Input::Timeout);
        drain(&mut totem);
        now = now + Duration::from_micros(100);
    }
    assert_eq!(totem.members(), [id(1)]);
    (totem, now)
}

fn drain(totem: &mut Totem) {
    for _ in 0..10_000 {
        if matches!(totem.poll_output(), Output::Wait(_)) {
            return;
        }
    }
    panic!("the outputs have no end");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = wire::parse(&bytes);
        let _ = groups(&bytes, Endian::Little);
        let _ = groups(&bytes, Endian::Big);
        for order in [Endian::Little, Endian::Big] {
            if let Some(packet) = Packet::parse(bytes.clone().into(), order) {
                let held: usize = packet.pieces().map(|piece| piece.len()).sum();
                prop_assert!(held < bytes.len());
            }
        }
    }

    #[test]
    fn nearly_valid_bytes_never_panic(bytes in prop_oneof![frame(), plausible()]) {
        if let Ok((frame, _)) = wire::parse(&bytes) {
            prop_assert!(bytes.len() >= 25, "{frame:?} in {} bytes", bytes.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The whole core receives hostile datagrams one after the other, in whatever phase they bring it to.
    #[test]
    fn hostile_datagrams_never_panic(frames in proptest::collection::vec((prop_oneof![frame(), plausible()], 0u64..2_000_000), 1..60)) {
        let (mut totem, mut now) = lone_node();
        for (bytes, pause) in frames {
            totem.handle_input(now, Input::Datagram(&bytes));
            drain(&mut totem);
            now = now + Duration::from_micros(pause);
            totem.handle_input(now, Input::Timeout);
            drain(&mut totem);
        }
    }
}

/// Counts that make the C implementation crash are refused with the reason.
#[test]
fn counts_beyond_their_limits_are_refused() {
    let mut join = Join {
        from: id(1),
        leave: false,
        ring_seq: 1,
        proc: (1..=384).map(id).collect(),
        failed: Vec::new(),
    }
    .encode::<LittleEndian>()
    .to_vec();
    assert!(wire::parse(&join).is_ok());
    join.extend_from_slice(&[9; 400]);
    join[17..21].copy_from_slice(&385u32.to_le_bytes());
    assert_eq!(wire::parse(&join), Err(WireError::Count { kind: Kind::Join, count: 385, most: 384 }));

    let commit = CommitToken {
        from: id(1),
        token_seq: 1,
        ring: RingId { rep: id(1), seq: 5 },
        filled: 1,
        members: vec![(id(1), None), (id(2), None)],
    }
    .encode::<LittleEndian>();
    for index in [3i32, -1, i32::MAX, i32::MIN] {
        let mut bytes = commit.to_vec();
        bytes[33..37].copy_from_slice(&index.to_le_bytes());
        assert!(matches!(wire::parse(&bytes), Err(WireError::Count { .. })), "memb_index {index}");
    }
    for entries in [0i32, -1, 385, i32::MAX] {
        let mut bytes = commit.to_vec();
        bytes[37..41].copy_from_slice(&entries.to_le_bytes());
        assert!(wire::parse(&bytes).is_err(), "addr_entries {entries}");
    }
}
