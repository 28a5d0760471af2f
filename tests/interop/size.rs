//! Large clusters on this machine: how long it takes until all hosts are on one ring when all start at once, how many
//! rings there are on the way, what the idle ring costs, how long it takes when one host leaves and returns, and whether a
//! group of other hosts is told of that.
//!
//! `scripts/interop.sh size` runs it. `ANNULUS_SIZE_HOSTS` (32,48,64) are the sizes, `ANNULUS_SIZE_SECONDS` (10) is the
//! time for which the idle ring is measured. Many hosts on few processors are slower than the same hosts on machines
//! of their own; what counts is the comparison.

use crate::idle::usage;
use crate::lab::{Kind, Lab, PATIENCE, Peer, Settings, Transport, wait_until};
use crate::{number, ready};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// For how long one ring of all hosts is waited for.
const LIMIT: Duration = Duration::from_secs(60);
/// The time between two looks at the logs. All hosts share the processors with this test.
const LOOK: Duration = Duration::from_millis(50);

/// Which daemons the hosts run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Annulus,
    Corosync,
    /// By turns, beginning with annulus.
    Mixed,
}

impl Who {
    /// The daemon of host `k`.
    const fn kind(self, k: usize) -> Kind {
        match self {
            Self::Annulus => Kind::Annulus,
            Self::Mixed if k % 2 == 1 => Kind::Annulus,
            Self::Corosync | Self::Mixed => Kind::Corosync,
        }
    }
}

/// A ring that a host was on, according to its log: when, in seconds of the day, and its id.
type Formed = (f64, String);

/// A line's time in seconds of the day; lines begin as `Nov 30 17:55:39.123`.
fn time_of(line: &str) -> Option<f64> {
    let parts: Vec<f64> =
        line.split_whitespace().nth(2)?.split(':').map_while(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds] = parts[..] else { return None };
    Some((hours * 60.0 + minutes) * 60.0 + seconds)
}

/// The rings that the log of a daemon of either kind tells of.
fn rings(log: &str) -> Vec<Formed> {
    let ring = |line: &str| {
        let rest = match line.split_once("A new membership (") {
            Some((_, rest)) => rest,
            None if line.contains("a new membership was formed") => line.split_once("ring=")?.1,
            None => return None,
        };
        let id = rest.split([')', ' ', ',']).next()?;
        Some((time_of(line)?, id.to_owned()))
    };
    log.lines().filter_map(ring).collect()
}

/// The ring that all these hosts are on, if they are on one.
fn common(lab: &Lab, hosts: &[usize]) -> Option<String> {
    let last: BTreeSet<Option<String>> =
        hosts.iter().map(|k| rings(&lab.log(*k)).pop().map(|(_, id)| id)).collect();
    last.into_iter().reduce(|_, _| None).flatten()
}

/// Waits until these hosts are on one ring that is not `old`. Returns it, and the time that it took.
fn wait_for_ring(lab: &Lab, hosts: &[usize], old: &str) -> Option<(String, Duration)> {
    let start = Instant::now();
    let mut found = None;
    let _ = wait_until(LIMIT, || {
        found = common(lab, hosts).filter(|ring| ring != old);
        if found.is_none() {
            std::thread::sleep(LOOK);
        }
        found.is_some()
    });
    found.map(|ring| (ring, start.elapsed()))
}

/// Starts `count` hosts together and prints what that took. Returns the ring, if there is one.
fn cold_start(lab: &mut Lab, who: Who, count: usize) -> Option<String> {
    let hosts: Vec<usize> = (1..=count).collect();
    lab.start_together(|k| who.kind(k));
    let found = wait_for_ring(lab, &hosts, "");
    let logs: Vec<String> = hosts.iter().map(|k| lab.log(*k)).collect();
    let starts: Vec<f64> = logs.iter().filter_map(|log| log.lines().find_map(time_of)).collect();
    let first = starts.iter().copied().fold(f64::MAX, f64::min);
    let last = starts.iter().copied().fold(0.0, f64::max);
    let formed: Vec<Vec<Formed>> = logs.iter().map(|log| rings(log)).collect();
    let all: BTreeSet<&str> = formed.iter().flatten().map(|(_, id)| id.as_str()).collect();
    let most = formed.iter().map(Vec::len).max().unwrap_or_default();
    // A ring of one lasts until another host is heard of; only the others have to be agreed on.
    let shared =
        all.iter().filter(|id| formed.iter().flatten().filter(|(_, of)| of == *id).count() > 1).count();
    let one = formed.iter().filter_map(|rings| rings.last()).map(|(at, _)| *at).fold(0.0, f64::max);
    let time = match &found {
        Some(_) => {
            format!("one ring {:.1} s after the first start, {:.1} s after the last", one - first, one - last)
        }
        None => format!("no ring of all within {LIMIT:?}"),
    };
    println!(
        "size {count} {who:?}: {time}; {shared} rings of more than one host, at most {most} at one host"
    );
    found.map(|(ring, _)| ring)
}

/// One host ends and starts again while three others are in a group; prints the times, and how often those were told of
/// another membership of their group.
fn leave_and_return(lab: &mut Lab, who: Who, count: usize, ring: &str) {
    let gone = count / 2;
    let rest: Vec<usize> = (1..=count).filter(|k| *k != gone).collect();
    let all: Vec<usize> = (1..=count).collect();
    let mut group = [1, 2, count].map(|k| lab.peer(k, &format!("group{k}"), "order", &["--count", "0"]));
    group.iter_mut().for_each(|peer| peer.wait_for_members(3, PATIENCE));
    let told = group.each_mut().map(Peer::views);
    let start = Instant::now();
    lab.end(gone, Signal::TERM);
    let Some((without, _)) = wait_for_ring(lab, &rest, ring) else {
        return println!("size {count} {who:?}: no ring within {LIMIT:?} after one host left");
    };
    let left = start.elapsed();
    let before = rings(&lab.log(1)).len();
    let start = Instant::now();
    lab.start(gone, who.kind(gone));
    let back = wait_for_ring(lab, &all, &without).map(|_| start.elapsed());
    let after = rings(&lab.log(1)).len() - before;
    // What the group is told comes after the ring.
    std::thread::sleep(Duration::from_secs(2));
    let told: usize = group.iter_mut().zip(told).map(|(peer, before)| peer.views() - before).sum();
    println!(
        "size {count} {who:?}: one host left in {left:.1?}, returned in {back:.1?} with {after} rings; a group of three \
         others was told of {told} changes"
    );
    assert_eq!(told, 0, "the group of others has not changed");
}

fn idle(lab: &Lab, who: Who, count: usize) {
    let seconds = number("ANNULUS_SIZE_SECONDS").unwrap_or(10);
    std::thread::sleep(Duration::from_secs(2));
    let used = usage(lab, Duration::from_secs(seconds));
    let share: f64 = used.iter().map(|one| one.share).sum();
    let resident: u64 = used.iter().map(|one| one.resident).sum();
    println!(
        "size {count} {who:?}: idle, {:.1} % of a core and {:.0} MB for all",
        share * 100.0,
        resident as f64 / 1e6
    );
}

/// Every size with annulus and, beside it, with Corosync, and with both by turns.
#[test]
#[ignore = "a measurement of half an hour: scripts/interop.sh size"]
fn many_hosts_start_at_once() {
    if !ready() {
        return;
    }
    let sizes = std::env::var("ANNULUS_SIZE_HOSTS").unwrap_or_else(|_| "32,48,64".to_owned());
    let alone = std::env::var_os("ANNULUS_SIZE_ALONE").is_some();
    let rows: &[Who] = if alone { &[Who::Annulus] } else { &[Who::Annulus, Who::Corosync, Who::Mixed] };
    for count in sizes.split(',').map(|word| word.parse::<usize>().expect("ANNULUS_SIZE_HOSTS are numbers")) {
        for who in rows.iter().copied() {
            let mut lab = Lab::new(count);
            lab.configure_with(&Settings::new(Transport::Udpu, "", count));
            let ring = cold_start(&mut lab, who, count);
            let Some(ring) = ring else {
                assert!(who != Who::Annulus, "annulus formed no ring of {count} hosts");
                continue;
            };
            idle(&lab, who, count);
            leave_and_return(&mut lab, who, count, &ring);
        }
    }
}
