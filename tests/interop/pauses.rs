//! A daemon that is stopped for a while: it is taken back, says once what happened, and counts it.

use std::time::Duration;

use crate::lab::{Kind, Lab, PATIENCE, Settings, Transport, wait_until};
use crate::ready;

const LINE: &str = "This node did not run for";

/// The number that a statistic of host `k` holds.
fn statistic(lab: &Lab, k: usize, key: &str) -> f64 {
    let said = lab.must(k, &format!("corosync-cmapctl -m stats -g {key}"));
    said.trim()
        .rsplit(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{key}: {said}"))
}

fn lines(lab: &Lab, k: usize, part: &str) -> usize {
    lab.log(k).lines().filter(|line| line.contains(part)).count()
}

/// Host 2 of three is stopped until the others have formed a ring without it. It comes back without having been in a
/// ring of its own.
#[test]
fn a_stopped_daemon_says_once_what_happened_and_is_taken_back() {
    if !ready() {
        return;
    }
    let mut lab = Lab::shared(3);
    lab.configure_with(&Settings::new(Transport::Udpu, "token: 1000", 3));
    lab.start_all(Kind::Annulus);
    lab.wait_for_one_ring();
    let rings = |lab: &Lab, k| statistic(lab, k, "stats.srp.operational_entered");
    let before = [1, 2].map(|k| rings(&lab, k));
    lab.must(2, "corosync-cmapctl -m stats -s stats.clear.schedmiss u8 1");
    let said = lines(&lab, 2, LINE);
    if said > 0 {
        // A busy machine has caused a line, after which none is written for a while.
        std::thread::sleep(Duration::from_secs(25));
    }
    lab.pause(2);
    let without = wait_until(PATIENCE, || rings(&lab, 1) > before[0]);
    assert!(without.is_ok(), "host 2 is not given up\n{}", lab.log(1));
    std::thread::sleep(Duration::from_secs(2));
    lab.resume(2);
    lab.wait_for_one_ring();
    let text = lab.log(2);
    let line = text.lines().rfind(|line| line.contains(LINE)).unwrap_or_else(|| panic!("no line\n{text}"));
    for part in ["the others have given this node up", "(the token time-out is ", "CPU overcommit"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    println!("{line}");
    assert_eq!(lines(&lab, 2, LINE) - said, 1, "{text}");
    assert!(statistic(&lab, 2, "stats.annulus.pauses") >= 1.0);
    assert!(statistic(&lab, 2, "stats.annulus.longest_pause") > 2000.0);
    assert!(statistic(&lab, 2, "stats.schedmiss.0.delay") > 0.0);
    assert!(!text.contains("giving up nodes"), "it gave others up\n{text}");
    // On a busy machine the test itself may cause one more.
    assert!(rings(&lab, 2) - before[1] <= 2.0, "host 2 was in more rings\n{text}");
    lab.assert_alive(2);
}
