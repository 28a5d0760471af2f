//! The date and time for people: log lines and the output of the tools.

use std::sync::LazyLock;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The host's time zone: the variable `TZ`, or else `/etc/localtime`. It is read once, as by the C library, so that no
/// later line of the log waits for a disk.
static ZONE: LazyLock<TimeZone> = LazyLock::new(zone);

/// The present date and time in the host's time zone.
pub(crate) fn now() -> DateTime {
    local(SystemTime::now(), &ZONE)
}

fn local(time: SystemTime, zone: &TimeZone) -> DateTime {
    // What cannot be expressed (years after 9999) is shown as 1970, which a reader recognises as wrong.
    zone.to_datetime(Timestamp::try_from(time).unwrap_or_default())
}

fn zone() -> TimeZone {
    TimeZone::try_system().ok().or_else(without_rule).unwrap_or(TimeZone::UTC)
}

/// The zone of a `TZ` that names a summer time and not the days of the change, such as `CET-1CEST`. POSIX leaves the
/// days to the system; the C library takes these, which are America's. The hour of the change depends on its version.
fn without_rule() -> Option<TimeZone> {
    let text = std::env::var("TZ").ok()?;
    TimeZone::posix(&format!("{text},M3.2.0,M11.1.0")).ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// Seconds since 1970: the beginning, winter, summer, and the hours around changes in Europe, in America and in
    /// Australia.
    const SECONDS: [u64; 9] = [
        0,
        1_767_225_599,
        1_783_000_000,
        1_774_745_999,
        1_774_746_000,
        1_772_953_199,
        1_772_953_200,
        1_793_494_800,
        4_102_444_800,
    ];

    const FORM: &str = "%a %b %e %H:%M:%S %Y";

    #[test]
    #[ignore = "runs with a zone of its own, started by times_are_those_of_the_c_library"]
    fn prints_times() {
        for seconds in SECONDS {
            println!("time {}", local(UNIX_EPOCH + Duration::from_secs(seconds), &ZONE).strftime(FORM));
        }
    }

    /// Compares the first `count` times in a zone with those of `date`, which asks the C library.
    fn compare(zone: Option<&str>, count: usize) {
        let run = |mut command: Command| {
            command.env("LC_ALL", "C").env_remove("TZ").envs(zone.map(|zone| ("TZ", zone)));
            String::from_utf8(command.output().unwrap().stdout).unwrap()
        };
        let mut ours = Command::new(std::env::current_exe().unwrap());
        ours.args(["--ignored", "--exact", "wall::tests::prints_times", "--nocapture"]);
        let ours = run(ours);
        // The first line may follow what the test harness says about the test.
        let ours: Vec<_> = ours.lines().filter_map(|line| Some(line.split_once("time ")?.1)).collect();
        let theirs = SECONDS.map(|seconds| {
            let mut date = Command::new("date");
            date.args(["-d", &format!("@{seconds}"), &format!("+{FORM}")]);
            run(date).trim_end().to_owned()
        });
        assert_eq!(ours.len(), SECONDS.len(), "{zone:?}");
        assert_eq!(ours[..count], theirs[..count], "{zone:?}");
    }

    #[test]
    fn times_are_those_of_the_c_library() {
        compare(None, SECONDS.len());
        for zone in [
            "UTC",
            "",
            "Europe/Berlin",
            ":America/New_York",
            "/usr/share/zoneinfo/Australia/Lord_Howe",
            "EST5EDT",
            "CET-1CEST,M3.5.0,M10.5.0/3",
            "<+0330>-3:30",
            "No/Where",
        ] {
            compare(Some(zone), SECONDS.len());
        }
    }

    #[test]
    fn a_zone_without_days_of_change_has_summer_and_winter() {
        compare(Some("CET-1CEST"), 3);
    }

    #[test]
    fn a_time_that_has_no_date_is_shown_as_1970() {
        let late = UNIX_EPOCH + Duration::from_secs(1 << 62);
        assert_eq!(local(late, &TimeZone::UTC).to_string(), "1970-01-01T00:00:00");
    }
}
