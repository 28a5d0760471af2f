use proptest::prelude::*;

use super::super::wire::Piece;
use super::*;

/// The packet of a fragment; number and count are passed separately, as `Inbound` does.
fn data(payload: &[u8]) -> Data<'_> {
    Data { seq: 1, compress: 0, broadcast: true, channel: 0, piece: Piece::Whole, payload }
}

fn message(len: usize) -> Vec<u8> {
    (0..len).map(|i| (7 * i + i / 256) as u8).collect()
}

/// Adds fragment `number` of a message that is cut into pieces of `size` bytes.
fn add(assemblies: &mut Assemblies, behind: u16, message: &[u8], size: usize, number: usize) -> Outcome {
    let of = message.len().div_ceil(size) as u8;
    let payload = message.chunks(size).nth(number - 1).unwrap();
    assemblies.add(behind, &data(payload), number as u8, of)
}

type Outcome = Result<Option<Vec<u8>>, DropReason>;

const REFUSED: Outcome = Err(DropReason::Fragment);
const DUPLICATE: Outcome = Err(DropReason::Duplicate);

#[test]
fn fragments_are_put_together_in_any_order() {
    let whole = message(3000);
    for order in [[1, 2, 3], [3, 2, 1], [3, 1, 2], [2, 3, 1], [1, 3, 2], [2, 1, 3]] {
        let mut assemblies = Assemblies::default();
        for number in &order[..2] {
            assert_eq!(add(&mut assemblies, 0, &whole, 1446, *number), Ok(None), "{order:?}");
        }
        assert_eq!(add(&mut assemblies, 0, &whole, 1446, order[2]), Ok(Some(whole.clone())), "{order:?}");
        assert!(assemblies.open.is_empty());
        // A late fragment does not begin the message again.
        assert_eq!(add(&mut assemblies, 0, &whole, 1446, 1), REFUSED);
    }
}

#[test]
fn a_fragment_that_comes_twice_counts_once() {
    let whole = message(100);
    let mut assemblies = Assemblies::default();
    for number in [4, 4, 1, 1, 4, 2] {
        let again = number == 4 && assemblies.open.iter().any(|a| a.there[0] & 8 != 0)
            || number == 1 && assemblies.open.iter().any(|a| a.there[0] & 1 != 0);
        let expected = if again { DUPLICATE } else { Ok(None) };
        assert_eq!(add(&mut assemblies, 0, &whole, 30, number), expected);
    }
    assert_eq!(add(&mut assemblies, 0, &whole, 30, 3), Ok(Some(whole)));
}

#[test]
fn fragments_that_contradict_the_first_one_are_refused() {
    let whole = message(100);
    for first in [1, 2, 4] {
        let mut assemblies = Assemblies::default();
        add(&mut assemblies, 0, &whole, 30, first).unwrap();
        // A different count, compression or channel.
        assert_eq!(assemblies.add(0, &data(&whole[30..60]), 2, 5), REFUSED);
        assert_eq!(assemblies.add(0, &Data { compress: 1, ..data(&whole[60..90]) }, 3, 4), REFUSED);
        assert_eq!(assemblies.add(0, &Data { channel: 1, ..data(&whole[60..90]) }, 3, 4), REFUSED);
        if first != 4 {
            // A different size; a last fragment that is longer than the others.
            assert_eq!(assemblies.add(0, &data(&whole[60..89]), 3, 4), REFUSED);
            assert_eq!(assemblies.add(0, &data(&whole[60..91]), 3, 4), REFUSED);
            assert_eq!(assemblies.add(0, &data(&whole[60..91]), 4, 4), REFUSED);
        } else {
            // A fragment shorter than the last one.
            assert_eq!(assemblies.add(0, &data(&whole[60..69]), 3, 4), REFUSED);
        }
        // None of these had any effect.
        let rest: Vec<usize> = (1..=4).filter(|number| *number != first).collect();
        assert_eq!(add(&mut assemblies, 0, &whole, 30, rest[0]), Ok(None));
        assert_eq!(add(&mut assemblies, 0, &whole, 30, rest[1]), Ok(None));
        assert_eq!(add(&mut assemblies, 0, &whole, 30, rest[2]), Ok(Some(whole.clone())));
    }
}

#[test]
fn no_message_grows_past_the_limit() {
    let longest = message(MESSAGE);
    let mut assemblies = Assemblies::default();
    // 16384 bytes each: four fit, and the last one may be as long as the others.
    for number in 1..4 {
        assert_eq!(add(&mut assemblies, 0, &longest, 16384, number), Ok(None));
    }
    assert_eq!(add(&mut assemblies, 0, &longest, 16384, 4), Ok(Some(longest.clone())));
    // One more byte in any of them does not fit, whichever arrives first.
    for (number, of, len) in [(1, 4, 21846), (4, 4, 16385), (1, 5, 16384), (5, 5, 13108), (1, 2, 65536)] {
        assemblies.advance(1);
        assert_eq!(assemblies.add(0, &data(&longest[..len]), number, of), REFUSED, "{number} {of} {len}");
        assert!(assemblies.open.is_empty());
    }
    // A last fragment that fits by itself, but not behind the others.
    assemblies.advance(1);
    assert_eq!(assemblies.add(0, &data(&longest[..16_400]), 2, 4), Ok(None));
    assert_eq!(assemblies.add(0, &data(&longest[..16_337]), 4, 4), REFUSED);
    assert_eq!(assemblies.add(0, &data(&longest[..16_336]), 4, 4), Ok(None));
    // Fragments that do not fit before the last one.
    assemblies.advance(1);
    assert_eq!(assemblies.add(0, &data(&longest[..10_000]), 4, 4), Ok(None));
    assert_eq!(assemblies.add(0, &data(&longest[..18_513]), 1, 4), REFUSED);
    assert_eq!(assemblies.add(0, &data(&longest[..18_512]), 1, 4), Ok(None));
}

#[test]
fn the_largest_number_of_fragments_is_assembled() {
    let whole = message(MESSAGE);
    let mut assemblies = Assemblies::default();
    for number in (2..=254).rev() {
        assert_eq!(add(&mut assemblies, 0, &whole, 259, number), Ok(None));
    }
    assert_eq!(add(&mut assemblies, 0, &whole, 259, 1), Ok(Some(whole)));
}

/// libknet's buffers behave in the same way.
#[test]
fn a_message_survives_32_newer_ones_and_not_33() {
    let whole = message(100);
    for (newer, survives) in [(32, true), (33, false), (40, false), (1000, false)] {
        let mut assemblies = Assemblies::default();
        add(&mut assemblies, 0, &whole, 50, 1).unwrap();
        assemblies.advance(newer);
        let expected = if survives { Ok(Some(whole.clone())) } else { REFUSED };
        assert_eq!(add(&mut assemblies, newer, &whole, 50, 2), expected, "{newer}");
        assert!(assemblies.open.is_empty());
    }
}

/// After the message numbers have wrapped around, the same number denotes another message.
#[test]
fn a_reused_number_finds_no_fragments_of_the_old_message() {
    let (old, new) = (message(100), vec![9; 100]);
    let mut assemblies = Assemblies::default();
    add(&mut assemblies, 0, &old, 50, 1).unwrap();
    assemblies.advance(32768);
    assemblies.advance(32767);
    assert_eq!(add(&mut assemblies, 0, &new, 50, 2), Ok(None));
    assert_eq!(add(&mut assemblies, 0, &new, 50, 1), Ok(Some(new)));
}

#[test]
fn the_message_that_waits_longest_is_dropped_and_not_begun_again() {
    let whole = message(100);
    let mut assemblies = Assemblies::default();
    for _ in 0..32 {
        assemblies.advance(1);
        add(&mut assemblies, 0, &whole, 30, 1).unwrap();
    }
    // The first two messages get another fragment, so that the third is the one that waits longest.
    assert_eq!(add(&mut assemblies, 31, &whole, 30, 2), Ok(None));
    assert_eq!(assemblies.open.len(), OPEN);
    assemblies.advance(1);
    // A refused fragment causes no other message to be dropped.
    assert_eq!(assemblies.add(0, &data(&vec![0; 60_000]), 1, 3), REFUSED);
    assert_eq!(add(&mut assemblies, 31, &whole, 30, 2), Ok(None));
    assert_eq!(add(&mut assemblies, 0, &whole, 30, 1), Ok(None));
    assert_eq!(assemblies.open.len(), OPEN);
    let given_up = (1..=32).filter(|behind| add(&mut assemblies, *behind, &whole, 30, 3) == REFUSED).count();
    assert_eq!(given_up, 1);
    assert_eq!(add(&mut assemblies, 30, &whole, 30, 3), REFUSED);
}

proptest! {
    /// Several messages at once, with shuffled and duplicated fragments: each is delivered unchanged, once.
    #[test]
    fn messages_are_assembled_unchanged(
        lens in proptest::collection::vec((2..3000_usize, 1..400_usize), 1..8),
        seed in any::<u64>(),
    ) {
        let mut fragments = Vec::new();
        let mut wholes = Vec::new();
        for (index, (len, size)) in lens.into_iter().enumerate() {
            let size = size.min(len - 1).max(len.div_ceil(254));
            let whole: Vec<u8> = message(len).iter().map(|byte| byte ^ index as u8).collect();
            let of = len.div_ceil(size);
            fragments.extend((1..=of).map(|number| (index, size, number)));
            wholes.push(whole);
        }
        let mut random = seed | 1;
        for at in (1..fragments.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            fragments.swap(at, (random >> 33) as usize % (at + 1));
        }
        let mut assemblies = Assemblies::default();
        let mut out = vec![0; wholes.len()];
        for (at, (index, size, number)) in fragments.iter().enumerate() {
            let outcome = add(&mut assemblies, *index as u16, &wholes[*index], *size, *number);
            if let Some(whole) = outcome.unwrap() {
                prop_assert_eq!(&whole, &wholes[*index]);
                out[*index] += 1;
            } else if at % 3 == 0 {
                let again = add(&mut assemblies, *index as u16, &wholes[*index], *size, *number);
                prop_assert_eq!(again, DUPLICATE);
            }
        }
        prop_assert!(out.iter().all(|count| *count == 1));
    }

    /// Fragments with false fields: memory stays within its limit, and no message exceeds the maximum length.
    #[test]
    fn false_fragments_take_no_more_memory_than_the_limit(
        steps in proptest::collection::vec(
            (0..40_u16, 2..=254_u8, 1..=254_u8, 0..3_u8, 1..60_000_usize, 0..3_u16), 1..200),
    ) {
        let bytes = message(60_000);
        let mut assemblies = Assemblies::default();
        for (behind, of, number, shape, len, moved) in steps {
            assemblies.advance(moved);
            let number = number.min(of);
            let len = match shape { 0 => len, 1 => MESSAGE / usize::from(of), _ => 300 };
            if let Ok(Some(whole)) = assemblies.add(behind, &data(&bytes[..len.min(60_000)]), number, of) {
                prop_assert!(whole.len() <= MESSAGE);
            }
            prop_assert!(assemblies.open.len() <= OPEN);
            prop_assert!(assemblies.memory() <= MEMORY, "{}", assemblies.memory());
        }
    }
}
