//! Measures how many messages a process group carries, and how long one takes, through this crate's own client.
//!
//! Needs a running `annulusd` (or Corosync) on this host, and the permission to use it:
//!
//! ```sh
//! cargo run --release --example cpg_speed -- throughput [--size BYTES] [--members N] [--seconds S] [--group NAME]
//! cargo run --release --example cpg_speed -- latency [--size BYTES] [--seconds S] [--group NAME]
//! ```
//!
//! `throughput` sends at full speed and counts what is delivered. Started on several hosts with the same group,
//! `--members` makes each wait until all of them have joined. `latency` keeps one message in flight and measures the
//! time from the call to the delivery to the sender itself. Both print one line of JSON after a warm-up of a second.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use annulus::client::blocking::Client;
use annulus::cpg::{self, Event};
use bytes::Bytes;

/// Time before the measurement counts.
const WARM_UP: Duration = Duration::from_secs(1);
/// Longest wait for an event, after which the program looks at the time.
const PATIENCE: Duration = Duration::from_millis(20);
/// Longest wait for the other members.
const GATHERING: Duration = Duration::from_secs(60);

const USAGE: &str =
    "usage: cpg_speed throughput|latency [--size BYTES] [--members N] [--seconds S] [--group NAME]";

struct Options {
    latency: bool,
    size: usize,
    members: usize,
    seconds: f64,
    group: String,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("cpg_speed: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cpg_speed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let latency = match words.next().as_deref() {
        Some("throughput") => false,
        Some("latency") => true,
        _ => return Err("what is to be measured?".to_owned()),
    };
    let mut options = Options { latency, size: 64, members: 1, seconds: 5.0, group: "speed".to_owned() };
    while let Some(name) = words.next() {
        let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
        let wrong = || format!("{name} {value}: not a number in range");
        match name.as_str() {
            "--size" => options.size = value.parse().map_err(|_| wrong())?,
            "--members" => options.members = value.parse().map_err(|_| wrong())?,
            "--seconds" => {
                options.seconds = value.parse().map_err(|_| wrong())?;
                if !(0.001..=86_400.0).contains(&options.seconds) {
                    return Err(wrong());
                }
            }
            "--group" => options.group = value,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(options)
}

fn run(options: &Options) -> Result<String, cpg::Error> {
    let client = Client::connect()?;
    let group = Arc::new(client.cpg().join(&options.group)?);
    gather(&group, options.members)?;
    let payload = Bytes::from(vec![0x5a; options.size]);
    let length = Duration::from_secs_f64(options.seconds);
    if options.latency { latency(&group, &payload, length) } else { throughput(&group, &payload, length) }
}

/// Waits until the group has so many members. Their messages, which may come before the last one joins, are ignored.
fn gather(group: &cpg::blocking::Group, members: usize) -> Result<(), cpg::Error> {
    let until = Instant::now() + GATHERING;
    let mut most = 0;
    while most < members && Instant::now() < until {
        if let Some(Event::View(view)) = group.next(Some(PATIENCE))? {
            most = most.max(view.members.len());
        }
    }
    Ok(())
}

fn throughput(
    group: &Arc<cpg::blocking::Group>,
    payload: &Bytes,
    length: Duration,
) -> Result<String, cpg::Error> {
    let over = Arc::new(AtomicBool::new(false));
    let sender = thread::spawn({
        let (group, payload, over) = (Arc::clone(group), payload.clone(), Arc::clone(&over));
        move || -> Result<(), cpg::Error> {
            while !over.load(Ordering::Relaxed) {
                group.multicast(payload.clone())?;
            }
            Ok(())
        }
    });
    let counts = Arc::new(Counts::default());
    let receiver = thread::spawn({
        let (group, counts, over) = (Arc::clone(group), Arc::clone(&counts), Arc::clone(&over));
        move || receive(&group, &counts, &over)
    });
    thread::sleep(WARM_UP);
    let (begun, before) = (Instant::now(), counts.read());
    thread::sleep(length);
    let (seconds, after) = (begun.elapsed().as_secs_f64(), counts.read());
    over.store(true, Ordering::Relaxed);
    for thread in [sender, receiver] {
        thread.join().expect("the threads of this program do not panic")?;
    }
    let [all, own] = [after[0] - before[0], after[1] - before[1]];
    Ok(format!(
        "{{\"size\":{},\"seconds\":{seconds:.3},\"messages\":{all},\"msgs_per_s\":{:.1},\"own\":{own},\"all\":{}}}",
        payload.len(),
        all as f64 / seconds,
        counts.read()[0],
    ))
}

/// Messages that were delivered: all, and this member's own.
#[derive(Default)]
struct Counts([AtomicU64; 2]);

impl Counts {
    fn read(&self) -> [u64; 2] {
        [&self.0[0], &self.0[1]].map(|count| count.load(Ordering::Relaxed))
    }
}

fn receive(group: &cpg::blocking::Group, counts: &Counts, over: &AtomicBool) -> Result<(), cpg::Error> {
    while !over.load(Ordering::Relaxed) {
        if let Some(Event::Message { from, .. }) = group.next(Some(PATIENCE))? {
            counts.0[0].fetch_add(1, Ordering::Relaxed);
            counts.0[1].fetch_add(u64::from(from == group.me()), Ordering::Relaxed);
        }
    }
    Ok(())
}

fn latency(group: &cpg::blocking::Group, payload: &Bytes, length: Duration) -> Result<String, cpg::Error> {
    let mut samples = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < WARM_UP + length {
        let sent = Instant::now();
        group.multicast(payload.clone())?;
        // Messages of other members and views may come in between.
        while !matches!(group.next(None)?, Some(Event::Message { from, .. }) if from == group.me()) {}
        if begun.elapsed() >= WARM_UP {
            samples.push(sent.elapsed());
        }
    }
    samples.sort_unstable();
    let at = |share: f64| {
        let place = (samples.len().saturating_sub(1) as f64 * share) as usize;
        samples.get(place).map_or(0.0, |sample| sample.as_secs_f64() * 1e6)
    };
    Ok(format!(
        "{{\"size\":{},\"samples\":{},\"p50_us\":{:.1},\"p99_us\":{:.1},\"max_us\":{:.1}}}",
        payload.len(),
        samples.len(),
        at(0.5),
        at(0.99),
        at(1.0),
    ))
}
