use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const DUPLICATE: Result<u16, DropReason> = Err(DropReason::Duplicate);

/// A window that has received exactly these numbers, in this order.
fn window(had: impl IntoIterator<Item = u16>) -> Window {
    let mut window = Window::new();
    for seq in had {
        take(&mut window, seq).unwrap();
    }
    window
}

fn take(window: &mut Window, seq: u16) -> Result<u16, DropReason> {
    let moved = window.admit(seq)?;
    window.mark(seq);
    Ok(moved)
}

#[test]
fn the_counter_begins_with_1_and_skips_0_when_it_wraps() {
    let mut counter = Counter::default();
    assert_eq!(counter.last(), 0);
    assert_eq!(counter.advance(), (1, false));
    for _ in 1..65535 {
        counter.advance();
    }
    assert_eq!(counter.last(), 65535);
    assert_eq!(counter.advance(), (1, false));
    assert_eq!(counter.last(), 1);
}

#[test]
fn every_8191_messages_the_counter_asks_for_a_ping() {
    let mut counter = Counter::default();
    let told: Vec<u16> = (0..65535)
        .filter_map(|_| Some(counter.advance()).filter(|(_, ping)| *ping))
        .map(|(seq, _)| seq)
        .collect();
    assert_eq!(told, [8191, 16382, 24573, 32764, 40955, 49146, 57337, 65528]);
}

#[test]
fn any_first_number_is_accepted() {
    for seq in [1, 2, 4096, 32768, 65535] {
        assert_eq!(take(&mut Window::new(), seq), Ok(0));
    }
}

#[test]
fn a_number_is_accepted_once_within_the_window() {
    let mut window = window([10_000]);
    assert_eq!(take(&mut window, 10_000), DUPLICATE);
    assert_eq!(take(&mut window, 9999), Ok(0));
    assert_eq!(take(&mut window, 9999), DUPLICATE);
    // The oldest number in the window, and the first one behind it.
    assert_eq!(take(&mut window, 10_000 - 4095), Ok(0));
    assert_eq!(take(&mut window, 10_000 - 4095), DUPLICATE);
    assert_eq!(take(&mut window, 10_000 - 4096), DUPLICATE);
    // libknet's window has one slot more, which is that of the newest number.
    assert_eq!(take(&mut window, 10_000), DUPLICATE);
}

#[test]
fn a_number_of_an_incomplete_message_is_accepted_again() {
    let mut window = window([5]);
    assert_eq!(window.admit(6), Ok(1));
    assert_eq!(window.admit(6), Ok(0));
    window.mark(6);
    assert_eq!(window.admit(6), DUPLICATE);
}

#[test]
fn numbers_ahead_move_the_window_and_skipped_ones_stay_acceptable() {
    let mut window = window([100, 101]);
    assert_eq!(take(&mut window, 4196), Ok(4095));
    assert_eq!(take(&mut window, 101), DUPLICATE);
    assert_eq!(take(&mut window, 100), DUPLICATE);
    assert_eq!(take(&mut window, 102), Ok(0));
    assert_eq!(take(&mut window, 4195), Ok(0));
    // 8292 uses the slot of 4196 and of 100.
    assert_eq!(take(&mut window, 8292), Ok(4096));
    assert_eq!(take(&mut window, 4197), Ok(0));
    assert_eq!(take(&mut window, 4196), DUPLICATE);
}

#[test]
fn a_leap_ahead_begins_a_new_window() {
    for leap in [4097, 10_000, 32767, 32768] {
        let mut window = window([300, 299]);
        assert_eq!(take(&mut window, 300 + leap), Ok(leap));
        assert_eq!(take(&mut window, 300 + leap), DUPLICATE);
        assert_eq!(take(&mut window, 299 + leap), Ok(0));
    }
}

/// libknet resets its window and accepts the message, and after it recent ones a second time.
#[test]
fn a_number_far_behind_is_dropped_and_changes_nothing() {
    for behind in [4096, 4097, 20_000, 32767] {
        let mut window = window([40_000, 39_999]);
        assert_eq!(take(&mut window, 40_000 - behind), DUPLICATE);
        assert_eq!(take(&mut window, 40_000), DUPLICATE);
        assert_eq!(take(&mut window, 39_999), DUPLICATE);
        assert_eq!(take(&mut window, 39_998), Ok(0));
    }
}

#[test]
fn the_window_spans_the_wrap_around() {
    let mut window = window([65534, 65535]);
    assert_eq!(take(&mut window, 1), Ok(2));
    assert_eq!(take(&mut window, 65535), DUPLICATE);
    assert_eq!(take(&mut window, 65533), Ok(0));
    assert_eq!(take(&mut window, 65536_u32.wrapping_sub(4094) as u16), Ok(0));
    assert_eq!(take(&mut window, 65536_u32.wrapping_sub(4095) as u16), DUPLICATE);
    assert_eq!(take(&mut window, 4096), Ok(4095));
    assert_eq!(take(&mut window, 1), DUPLICATE);
    assert_eq!(take(&mut window, 2), Ok(0));
}

#[test]
fn a_periodic_ping_with_0_after_others_resets_the_window_once() {
    let mut window = window([5000, 5001]);
    assert_eq!(window.ping(5001, true), Told::Moved(0));
    assert_eq!(window.ping(0, true), Told::Anew);
    assert_eq!(take(&mut window, 5000), Ok(0));
    assert_eq!(window.ping(0, true), Told::Moved(0));
    assert_eq!(take(&mut window, 5000), DUPLICATE);
}

#[test]
fn periodic_pings_of_a_sending_host_change_nothing() {
    let mut window = window(1..=100);
    for seq in [90, 100, 100, 101, 95, 36, 100] {
        assert_eq!(window.ping(seq, true), Told::Moved(0));
    }
    assert_eq!(take(&mut window, 100), DUPLICATE);
    assert_eq!(take(&mut window, 101), Ok(1));
}

/// Otherwise the messages of the host would be dropped until it has counted up to its old number.
#[test]
fn a_restarted_host_whose_first_pings_were_lost_is_accepted_after_two_more() {
    let mut window = window([20_000]);
    assert_eq!(window.ping(20_000, true), Told::Moved(0));
    // The host restarts, and its pings with 0 are lost.
    assert_eq!(take(&mut window, 1), DUPLICATE);
    assert_eq!(window.ping(1, true), Told::Moved(0));
    assert_eq!(window.ping(1, true), Told::Moved(0));
    assert_eq!(take(&mut window, 2), DUPLICATE);
    assert_eq!(window.ping(2, true), Told::Anew);
    assert_eq!(take(&mut window, 3), Ok(0));
    assert_eq!(take(&mut window, 2), Ok(0));
}

#[test]
fn late_pings_of_a_slow_link_do_not_reset_the_window() {
    let mut window = window([20_000]);
    for step in 0..100 {
        // 1000 messages are sent between sending and receiving a ping, and more arrive.
        assert_eq!(window.ping(19_000 + step * 100, true), Told::Moved(0));
        assert_eq!(take(&mut window, 20_100 + step * 100), Ok(100));
    }
}

#[test]
fn an_untimed_ping_moves_the_window() {
    let mut window = window([8000, 7999]);
    assert_eq!(window.ping(8191, false), Told::Moved(191));
    // The ping marks no number as received, and its copies on other links change nothing.
    assert_eq!(window.ping(8191, false), Told::Moved(0));
    assert_eq!(take(&mut window, 8191), Ok(0));
    assert_eq!(take(&mut window, 8000), DUPLICATE);
    assert_eq!(take(&mut window, 7998), Ok(0));
}

#[test]
fn a_host_that_sends_only_to_others_is_tracked_across_the_wrap_around() {
    let mut window = window([100]);
    assert_eq!(window.ping(8191, false), Told::Moved(8091));
    for seq in [16382, 24573, 32764, 40955, 49146, 57337, 65528, 8191] {
        assert_eq!(window.ping(seq, false), Told::Anew);
    }
    // Without these pings, 101 would seem to be just ahead, and 100 to be a duplicate.
    assert_eq!(take(&mut window, 8192), Ok(1));
    assert_eq!(take(&mut window, 8190), Ok(0));
    assert_eq!(take(&mut window, 100), DUPLICATE);
}

#[test]
fn an_untimed_ping_with_0_changes_nothing() {
    let mut window = window([100]);
    assert_eq!(window.ping(0, false), Told::Moved(0));
    assert_eq!(take(&mut window, 100), DUPLICATE);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Compares with a model whose numbers never wrap: no number is accepted twice, and no new one refused,
    /// if packets are late by less than the window and gaps are smaller than half of the number range.
    #[test]
    fn each_message_is_accepted_exactly_once(
        start in 0..200_000_u64,
        steps in proptest::collection::vec((1..5000_u64, 0..4096_u64, 0..4096_u64), 1..200),
    ) {
        // The number on the wire; the sender skips 0.
        let wire = |count: u64| (count % 65535 + 1) as u16;
        let mut window = Window::new();
        let mut had = BTreeSet::new();
        let mut newest = start;
        prop_assert_eq!(take(&mut window, wire(newest)), Ok(0));
        had.insert(newest);
        for (leap, one, other) in steps {
            newest += leap;
            take(&mut window, wire(newest)).unwrap();
            had.insert(newest);
            for late in [one, other] {
                let Some(seq) = newest.checked_sub(late) else { continue };
                let in_window = window.behind(wire(seq)) < WINDOW;
                let expected = in_window && !had.contains(&seq);
                prop_assert_eq!(take(&mut window, wire(seq)).is_ok(), expected, "{} behind {}", late, newest);
                if expected {
                    had.insert(seq);
                }
            }
        }
    }

    /// The window is always consistent with its reference and the numbers marked since, whatever arrives.
    #[test]
    fn any_numbers_and_pings_leave_a_consistent_window(
        steps in proptest::collection::vec((0..3_u8, any::<u16>()), 0..300),
    ) {
        let mut window = Window::new();
        for (what, seq) in steps {
            match what {
                0 if seq != 0 => {
                    let fresh = window.admit(seq).is_ok();
                    window.mark(seq);
                    if fresh {
                        prop_assert!(window.behind(seq) < WINDOW);
                        prop_assert_eq!(window.admit(seq), DUPLICATE);
                    }
                }
                1 => drop(window.ping(seq, true)),
                _ => drop(window.ping(seq, false)),
            }
        }
    }
}
