//! Mode `database`: what the daemon offers a client of libcmap with many keys and many trackers.
//!
//! One connection writes `--keys` keys and reads them all. Another has `--trackers` trackers, half of them of single
//! keys, half of prefixes with a hundred keys each. Then the first sets keys for `--seconds`, at `--rate` per second,
//! and again without a pause. The program waits for every notification that must come, and prints one line of JSON.

use crate::options::Options;
use rust_corosync::cmap::{self, Data, Handle, Map, NotifyCallback, TrackHandle, TrackType};
use rust_corosync::{CsError, DispatchFlags};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Number of keys that share one prefix.
const GROUP: usize = 100;

static NOTIFIED: AtomicU64 = AtomicU64::new(0);
/// No value is written twice, as a set that changes nothing causes no notification.
static VALUES: AtomicU64 = AtomicU64::new(10_000_000);
static OVER: AtomicBool = AtomicBool::new(false);

fn on_change(_: &Handle, _: &TrackHandle, _: TrackType, _: &str, _: &Data, _: &Data, _: u64) {
    NOTIFIED.fetch_add(1, Ordering::Relaxed);
}

fn prefix(n: usize) -> String {
    format!("load.{:05}.", n / GROUP)
}

fn key(n: usize) -> String {
    format!("{}{:02}.value", prefix(n), n % GROUP)
}

/// Repeats a call while the daemon is busy.
fn patiently<T>(
    what: &str,
    deadline: Instant,
    call: impl Fn() -> rust_corosync::Result<T>,
) -> Result<T, String> {
    loop {
        match call() {
            Ok(value) => return Ok(value),
            Err(CsError::CsErrTryAgain | CsError::CsErrLibrary) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(format!("{what}: {error} (CS_ERR {})", error as u32)),
        }
    }
}

/// Passes notifications to their callback until the program ends.
fn listen(handle: Handle) -> Result<(), String> {
    let fd = cmap::fd_get(&handle).map_err(|error| format!("cmap_fd_get: {error}"))?;
    // SAFETY: the descriptor belongs to libcmap and is open as long as the handle, which lives to the end of the
    // process.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    while !OVER.load(Ordering::Relaxed) {
        let mut wait = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
        let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        match rustix::event::poll(&mut wait, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => match cmap::dispatch(&handle, DispatchFlags::All) {
                Ok(()) | Err(CsError::CsErrTryAgain) => {}
                Err(error) => return Err(format!("cmap_dispatch: {error}")),
            },
            Err(error) => return Err(format!("poll: {error}")),
        }
    }
    Ok(())
}

/// Sets keys for a time, at a rate or, with 0, without a pause. Returns sets per second, the 99th percentile and the
/// maximum of the time of one set in µs, and the number of notifications that must follow.
fn set(
    options: &Options,
    writer: &Handle,
    rate: u64,
    deadline: Instant,
) -> Result<(f64, u128, u128, u64), String> {
    let start = Instant::now();
    let (mut sets, mut expected) = (0_u64, 0);
    let mut times = Vec::new();
    while start.elapsed().as_secs_f64() < options.seconds {
        if rate > 0 {
            let due = Duration::from_secs_f64(sets as f64 / rate as f64);
            if let Some(early) = due.checked_sub(start.elapsed()).filter(|early| early.as_micros() > 500) {
                std::thread::sleep(early);
            }
        }
        // Goes through all keys, with a large distance from each to the next.
        let n = (sets as usize).wrapping_mul(7919) % options.keys;
        let before = Instant::now();
        patiently("cmap_set", deadline, || {
            cmap::set_u64(writer, &key(n), VALUES.fetch_add(1, Ordering::Relaxed))
        })?;
        times.push(before.elapsed().as_micros());
        expected += u64::from(n < options.trackers / 2) + u64::from(n / GROUP < options.trackers / 2);
        sets += 1;
    }
    let speed = sets as f64 / start.elapsed().as_secs_f64();
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    Ok((speed, p99, times[times.len() - 1], expected))
}

/// Runs mode `database`.
pub fn run(options: &Options) -> Result<(), String> {
    let deadline = Instant::now() + options.deadline;
    let writer = patiently("cmap_initialize", deadline, || cmap::initialize(Map::Icmap))?;
    let listener = patiently("cmap_initialize", deadline, || cmap::initialize(Map::Icmap))?;
    let start = Instant::now();
    for n in 0..options.keys {
        patiently("cmap_set", deadline, || cmap::set_u64(&writer, &key(n), n as u64))?;
    }
    let fill = options.keys as f64 / start.elapsed().as_secs_f64();
    let start = Instant::now();
    let listed = cmap::CmapIterStart::new(&writer, "load.")
        .map_err(|error| format!("cmap_iter_init: {error}"))?
        .into_iter()
        .count();
    let list = listed as f64 / start.elapsed().as_secs_f64();
    if listed != options.keys {
        return Err(format!("{listed} of {} keys are listed", options.keys));
    }
    let callback = NotifyCallback { notify_fn: Some(on_change) };
    // The type is not `Copy`, so it is made anew for each call.
    let all = || TrackType::ADD | TrackType::MODIFY | TrackType::DELETE;
    let track = |name: &str, kind: fn(TrackType) -> TrackType| {
        patiently("cmap_track_add", deadline, || cmap::track_add(&listener, name, kind(all()), &callback, 0))
    };
    for n in 0..options.trackers / 2 {
        track(&key(n), |all| all)?;
        track(&prefix(n * GROUP), |all| all | TrackType::PREFIX)?;
    }
    let thread = std::thread::spawn(move || listen(listener));
    let (paced, paced_p99, paced_worst, first) = set(options, &writer, options.rate, deadline)?;
    let (free, free_p99, free_worst, second) = set(options, &writer, 0, deadline)?;
    let expected = first + second;
    while NOTIFIED.load(Ordering::Relaxed) < expected {
        if Instant::now() > deadline {
            return Err(format!("{} of {expected} notifications came", NOTIFIED.load(Ordering::Relaxed)));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    OVER.store(true, Ordering::Relaxed);
    thread.join().map_err(|_| "the listener panicked".to_owned())??;
    let notified = NOTIFIED.load(Ordering::Relaxed);
    if notified != expected {
        return Err(format!("{notified} notifications came, {expected} were due"));
    }
    println!(
        "{{\"fill_per_s\":{fill:.0},\"list_per_s\":{list:.0},\"paced_per_s\":{paced:.0},\"paced_p99_us\":{paced_p99},\
         \"paced_worst_us\":{paced_worst},\"free_per_s\":{free:.0},\"free_p99_us\":{free_p99},\
         \"free_worst_us\":{free_worst},\"notifications\":{notified}}}"
    );
    Ok(())
}
