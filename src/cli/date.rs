//! The date for people.

use jiff::civil::DateTime;

use crate::wall;

/// The present time in the host's time zone, as from C's `ctime`: `Sat Nov 21 00:52:49 2026`.
pub(super) fn now() -> String {
    written(wall::now())
}

fn written(time: DateTime) -> String {
    time.strftime("%a %b %e %H:%M:%S %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_padded_to_two_places() {
        let time = DateTime::constant(2026, 1, 7, 0, 0, 0, 0);
        assert_eq!(written(time), "Wed Jan  7 00:00:00 2026");
    }

    #[test]
    fn now_is_a_date() {
        let now = now();
        assert_eq!(now.len(), 24, "{now}");
        assert!(!now.contains('?'), "{now}");
    }
}
