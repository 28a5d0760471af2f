#![allow(unsafe_code, reason = "localtime_r has no safe wrapper")]
//! The date for people.

use std::time::{SystemTime, UNIX_EPOCH};

/// The present time in the host's time zone, as from C's `ctime`: `Sat Nov 21 00:52:49 2026`.
pub(super) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = libc::time_t::try_from(since.as_secs()).unwrap_or(0);
    // SAFETY: all-zero is a valid `tm`: numbers, and a zone pointer that may be null.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the right types. The function may read the environment
    // (TZ); the tools change none.
    if unsafe { libc::localtime_r(&raw const seconds, &raw mut tm) }.is_null() {
        return String::new();
    }
    written(&tm)
}

fn written(tm: &libc::tm) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let of = |names: &[&'static str], n: libc::c_int| {
        usize::try_from(n).ok().and_then(|n| names.get(n).copied()).unwrap_or("???")
    };
    format!(
        "{} {} {:2} {:02}:{:02}:{:02} {}",
        of(&DAYS, tm.tm_wday),
        of(&MONTHS, tm.tm_mon),
        tm.tm_mday,
        tm.tm_hour,
        tm.tm_min,
        tm.tm_sec,
        i64::from(tm.tm_year) + 1900
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_padded_to_two_places() {
        // SAFETY: as above.
        let mut tm: libc::tm = unsafe { std::mem::zeroed() };
        (tm.tm_wday, tm.tm_mon, tm.tm_mday, tm.tm_year) = (3, 0, 7, 126);
        assert_eq!(written(&tm), "Wed Jan  7 00:00:00 2026");
    }

    #[test]
    fn now_is_a_date() {
        let now = now();
        assert_eq!(now.len(), 24, "{now}");
        assert!(!now.contains('?'), "{now}");
    }
}
