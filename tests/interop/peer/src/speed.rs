//! Modes `throughput` and `latency`: the speed of the daemon for a client of libcpg.
//!
//! Throughput sends at full speed from one thread while another receives, as Corosync's cpgbench does, and counts the
//! deliveries during a fixed time. Latency keeps one message in flight and measures the time from the call to the
//! delivery to the sender itself, on one thread. Both print one line of JSON.

use crate::link::{Address, Callbacks, Link, NodeId, RingId};
use crate::options::Options;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The most members that the group has had.
static MEMBERS: AtomicUsize = AtomicUsize::new(0);
static MESSAGES: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static OWN: AtomicU64 = AtomicU64::new(0);
static NODE: AtomicU32 = AtomicU32::new(0);
static OVER: AtomicBool = AtomicBool::new(false);

fn on_message(node: u32, _: u32, bytes: &[u8]) {
    MESSAGES.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    if node == NODE.load(Ordering::Relaxed) {
        OWN.fetch_add(1, Ordering::Relaxed);
    }
}

fn on_members(members: &[Address], _: &[Address], _: &[Address]) {
    MEMBERS.fetch_max(members.len(), Ordering::Release);
}

fn on_ring(_: RingId, _: &[NodeId]) {}

fn join(options: &Options) -> Result<Link, String> {
    let callbacks = Callbacks { message: on_message, members: on_members, ring: on_ring };
    let link = Link::join(&options.group, options.retry, callbacks)?;
    NODE.store(link.node, Ordering::Relaxed);
    Ok(link)
}

fn wait_for_members(link: &Link, wanted: usize, deadline: Instant) -> Result<(), String> {
    while MEMBERS.load(Ordering::Acquire) < wanted {
        // One event at a time: others may send already, and their messages never stop coming.
        link.dispatch_next(Duration::from_millis(20))?;
        if Instant::now() > deadline {
            return Err(format!("the group did not reach {wanted} members"));
        }
    }
    Ok(())
}

/// Runs mode `throughput`.
pub fn throughput(options: &Options) -> Result<(), String> {
    let deadline = Instant::now() + options.deadline;
    let link = Arc::new(join(options)?);
    wait_for_members(&link, options.members, deadline)?;
    let receiver = {
        let link = Arc::clone(&link);
        std::thread::spawn(move || {
            while !OVER.load(Ordering::Relaxed) {
                link.dispatch(Duration::from_millis(20))?;
            }
            Ok::<(), String>(())
        })
    };
    let sender = options.send.then(|| {
        let link = Arc::clone(&link);
        let payload = vec![0x5a; options.max];
        std::thread::spawn(move || {
            let mut refusals = 0;
            while !OVER.load(Ordering::Relaxed) {
                refusals += link.send(&payload, deadline, &OVER)?;
            }
            Ok::<u64, String>(refusals)
        })
    });
    std::thread::sleep(Duration::from_secs_f64(options.warmup));
    let counts = || {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (Instant::now(), load(&MESSAGES), load(&BYTES), load(&OWN))
    };
    let before = counts();
    std::thread::sleep(Duration::from_secs_f64(options.seconds));
    let after = counts();
    let seconds = (after.0 - before.0).as_secs_f64();
    OVER.store(true, Ordering::Relaxed);
    println!(
        "{{\"size\":{},\"seconds\":{seconds:.3},\"messages\":{},\"msgs_per_s\":{:.1},\"mb_per_s\":{:.3},\
         \"own\":{},\"all\":{}}}",
        options.max,
        after.1 - before.1,
        (after.1 - before.1) as f64 / seconds,
        (after.2 - before.2) as f64 / seconds / 1e6,
        after.3 - before.3,
        MESSAGES.load(Ordering::Relaxed),
    );
    if let Some(sender) = sender {
        sender.join().map_err(|_| "the sending thread panicked".to_owned())??;
    }
    receiver.join().map_err(|_| "the receiving thread panicked".to_owned())?
}

/// Runs mode `latency`.
pub fn latency(options: &Options) -> Result<(), String> {
    let deadline = Instant::now() + options.deadline;
    let link = join(options)?;
    wait_for_members(&link, options.members, deadline)?;
    let payload = vec![0x5a; options.max];
    let mut samples = Vec::new();
    let start = Instant::now();
    let warm = start + Duration::from_secs_f64(options.warmup);
    let end = warm + Duration::from_secs_f64(options.seconds);
    let mut sent = 0;
    while (options.count == 0 && Instant::now() < end) || (samples.len() as u64) < options.count {
        let at = Instant::now();
        link.send(&payload, deadline, &OVER)?;
        sent += 1;
        while OWN.load(Ordering::Relaxed) < sent {
            link.dispatch_one()?;
        }
        if at >= warm {
            samples.push(at.elapsed().as_nanos());
        }
        if at > deadline {
            return Err("deadline reached".to_owned());
        }
    }
    if samples.is_empty() {
        return Err("no sample was taken".to_owned());
    }
    samples.sort_unstable();
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    println!(
        "{{\"size\":{},\"samples\":{},\"p50_us\":{:.1},\"p99_us\":{:.1},\"max_us\":{:.1}}}",
        options.max,
        samples.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}
