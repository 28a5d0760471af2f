//! Three senders at full speed while the hosts, the network or the clock behave badly: no member that runs is put out.
//! Then a host is killed in the middle of it: it is out in time. Annulus with its defaults, and Corosync with
//! `token: 1000` beside it, by turns.
//!
//! `scripts/interop.sh steady` runs it. `ANNULUS_STEADY_SECONDS` (60) is the length of each phase, and the tenth of it the
//! time before. `ANNULUS_STEADY_ONLY` are words; conditions whose name contains none of them are left out. With
//! `ANNULUS_STEADY_ALONE` Corosync is left out. The clock is stepped only if `ANNULUS_STEADY_CLOCK` is set, because it is
//! the clock of the whole machine.

use crate::bad_network::senders;
use crate::counts::{Counts, grown};
use crate::lab::{Impairment, Kind, Lab, PATIENCE, Settings, Transport, wait_until};
use crate::side_by_side::field;
use crate::{number, ready};
use rustix::process::Signal;
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The hosts with senders, of which the last one is killed.
const SENDERS: usize = 3;
/// Time beyond a phase after which a client gives up, in seconds.
const DEADLINE: u64 = 60;

/// What behaves badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Nothing,
    /// Eight programs want the processors, and the daemons have no real-time priority.
    Busy,
    /// A program takes all memory but a little, touches it, and gives it back, over and over.
    Memory,
    Lost,
    Delayed,
    /// The disk of the first host's state directory does not answer for ten seconds.
    Disk,
    /// The second host's daemon is stopped for half of its token time-out every five seconds.
    Stopped,
    /// The clock is set hours ahead and back.
    Clock,
    /// Sixteen hosts share the machine's processors.
    Sixteen,
}

impl Condition {
    const ALL: [Self; 9] = [
        Self::Nothing,
        Self::Busy,
        Self::Memory,
        Self::Lost,
        Self::Delayed,
        Self::Disk,
        Self::Stopped,
        Self::Clock,
        Self::Sixteen,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Busy => "8 busy loops, no real-time priority",
            Self::Memory => "memory pressure",
            Self::Lost => "5 % of datagrams lost",
            Self::Delayed => "delay of 20 ms ± 20 ms",
            Self::Disk => "disk stalls for 10 s",
            Self::Stopped => "daemon stopped for half of its time-out",
            Self::Clock => "clock stepped by hours",
            Self::Sixteen => "16 hosts",
        }
    }

    const fn hosts(self) -> usize {
        if matches!(self, Self::Sixteen) { 16 } else { SENDERS }
    }

    fn settings(self, kind: Kind) -> Settings {
        let totem = if kind == Kind::Corosync { "token: 1000" } else { "" };
        let mut settings = Settings::new(Transport::Udpu, totem, self.hosts());
        if self == Self::Busy {
            "system {\n  sched_rr: no\n}".clone_into(&mut settings.more);
        }
        settings
    }

    /// Does something under this condition.
    fn during<T>(self, lab: &Lab, kind: Kind, work: impl FnOnce() -> T) -> T {
        match self {
            Self::Nothing | Self::Sixteen => work(),
            Self::Busy => {
                let _loops: Vec<Ended> = (0..8).map(|_| Ended::start("while :; do :; done")).collect();
                work()
            }
            Self::Memory => beside(press_memory, work),
            Self::Lost => lab.while_losing(5, work),
            Self::Delayed => {
                let jitter = Duration::from_millis(40);
                let _impaired = lab.impair(Impairment { jitter, seed: 1, ..Impairment::default() });
                work()
            }
            Self::Disk => beside(|end| stall_disk(lab, end), work),
            Self::Stopped => {
                let time = token_timeout(lab, 2, kind) / 2;
                beside(
                    |end| {
                        while wait(end, Duration::from_secs(5)) {
                            lab.pause(2);
                            std::thread::sleep(time);
                            lab.resume(2);
                        }
                    },
                    work,
                )
            }
            Self::Clock => beside(step_clock, work),
        }
    }
}

/// A shell program that is ended when this is dropped.
struct Ended(Child);

impl Ended {
    fn start(script: &str) -> Self {
        let child = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).spawn();
        Self(child.expect("start a shell"))
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Does one thing until the other is done.
fn beside<T>(trouble: impl FnOnce(&AtomicBool) + Send, work: impl FnOnce() -> T) -> T {
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let handle = scope.spawn(|| trouble(&end));
        let done = work();
        end.store(true, Ordering::Relaxed);
        handle.join().expect("what disturbs the hosts works");
        done
    })
}

/// Waits for a time, or until the end. Whether it is not the end.
fn wait(end: &AtomicBool, time: Duration) -> bool {
    let until = Instant::now() + time;
    while Instant::now() < until && !end.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
    }
    !end.load(Ordering::Relaxed)
}

fn press_memory(end: &AtomicBool) {
    /// Memory that is left to others.
    const LEFT: usize = 300 << 20;
    while wait(end, Duration::from_millis(200)) {
        let text = std::fs::read_to_string("/proc/meminfo").expect("/proc/meminfo");
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).expect("MemAvailable");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        let mut taken = vec![0u8; (kib << 10).saturating_sub(LEFT)];
        for page in taken.chunks_mut(4096) {
            page[0] = 1;
            if end.load(Ordering::Relaxed) {
                break;
            }
        }
        std::hint::black_box(&taken);
    }
}

/// A file system of its own for the state directory of host 1, which is frozen for 10 of every 20 seconds.
fn stall_disk(lab: &Lab, end: &AtomicBool) {
    const DIR: &str = "/var/lib/corosync";
    while wait(end, Duration::from_secs(2)) {
        lab.must(1, &format!("fsfreeze -f {DIR}"));
        wait(end, Duration::from_secs(10));
        lab.must(1, &format!("fsfreeze -u {DIR}"));
        wait(end, Duration::from_secs(8));
    }
}

fn step_clock(end: &AtomicBool) {
    let step = |hours: i64| {
        let now = clock_gettime(ClockId::Realtime);
        let then = Timespec { tv_sec: now.tv_sec + 3600 * hours, ..now };
        clock_settime(ClockId::Realtime, then).expect("set the clock");
    };
    while wait(end, Duration::from_secs(3)) {
        for (there, back) in [(5, -5), (-7, 7)] {
            step(there);
            wait(end, Duration::from_secs(1));
            step(back);
            wait(end, Duration::from_secs(1));
        }
    }
}

/// The token time-out that the daemon of host `k` uses now.
pub(crate) fn token_timeout(lab: &Lab, k: usize, kind: Kind) -> Duration {
    let key = match kind {
        Kind::Annulus => "stats.annulus.token.timeout",
        Kind::Corosync | Kind::Trixie => "runtime.config.totem.token",
    };
    let map = if kind == Kind::Annulus { "-m stats" } else { "" };
    let said = lab.say(k, &format!("corosync-cmapctl {map} -g {key}")).out;
    let ms = said.trim().rsplit(' ').next().and_then(|word| word.parse().ok());
    Duration::from_millis(ms.unwrap_or_else(|| panic!("host {k}: {key}: {said:?}")))
}

/// What happened under one condition.
struct Phase {
    messages: Option<f64>,
    /// How often a host installed a ring while all ran.
    rings: u64,
    /// The token time-out in force when the host was killed.
    timeout: Duration,
    /// How long it took until the others were on a ring without it.
    out: Option<Duration>,
}

fn phase(lab: &Lab, condition: Condition, kind: Kind, seconds: u64) -> Phase {
    let patience = Duration::from_secs(seconds + DEADLINE) + PATIENCE;
    let before = Counts::of_all(lab);
    let lines: Vec<_> = condition.during(lab, kind, || {
        let mut peers = senders(lab, SENDERS, seconds, DEADLINE);
        peers.iter_mut().map(|peer| peer.result_if_any(patience)).collect()
    });
    let after = Counts::of_all(lab);
    let rings = grown(&before, &after, |counts| counts.rings);
    let (timeout, out) = condition.during(lab, kind, || {
        let _peers = senders(lab, SENDERS, 60, DEADLINE);
        std::thread::sleep(Duration::from_secs(5));
        let timeout = token_timeout(lab, 1, kind);
        let rings = Counts::of(lab, 1).rings;
        let begun = Instant::now();
        lab.cut(SENDERS);
        lab.signal(SENDERS, Signal::KILL);
        let out = wait_until(PATIENCE, || Counts::of(lab, 1).rings > rings).is_ok();
        (timeout, out.then(|| begun.elapsed()))
    });
    Phase { messages: lines[0].as_ref().map(|line| field(line, "msgs_per_s")), rings, timeout, out }
}

#[test]
#[ignore = "a measurement of many minutes: scripts/interop.sh steady runs it"]
fn members_that_run_stay_and_dead_ones_are_out_in_time() {
    if !ready() {
        return;
    }
    let seconds = number("ANNULUS_STEADY_SECONDS").unwrap_or(60);
    let only = std::env::var("ANNULUS_STEADY_ONLY").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only.split(' ').any(|word| name.contains(word));
    let clock = std::env::var_os("ANNULUS_STEADY_CLOCK").is_some();
    let alone = std::env::var_os("ANNULUS_STEADY_ALONE").is_some();
    let kinds: &[Kind] = if alone { &[Kind::Annulus] } else { &[Kind::Annulus, Kind::Corosync] };
    println!("| condition | daemon | msg/s | rings installed | time-out, ms | a dead host is out after, s |");
    println!("|---|---|---|---|---|---|");
    let mut wrong = Vec::new();
    for condition in Condition::ALL {
        let name = condition.name();
        if !wanted(name) || (condition == Condition::Clock && !clock) {
            continue;
        }
        for kind in kinds.iter().copied() {
            let mut lab = Lab::new(condition.hosts());
            lab.configure_with(&condition.settings(kind));
            if condition == Condition::Disk {
                let image = "dd if=/dev/zero of=/run/disk bs=1M count=32 status=none && mkfs.ext4 -q /run/disk && \
                             mount -o loop /run/disk /var/lib/corosync";
                lab.must(1, image);
            }
            lab.start_all(kind);
            lab.wait_for_one_ring();
            std::thread::sleep(Duration::from_secs(seconds / 10));
            let Phase { messages, rings, timeout, out } = phase(&lab, condition, kind, seconds);
            let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
            println!(
                "| {name} | {kind:?} | {} | {rings} | {} | {} |",
                or_none(messages.map(|messages| format!("{messages:.0}"))),
                timeout.as_millis(),
                or_none(out.map(|out| format!("{:.2}", out.as_secs_f64()))),
            );
            if kind == Kind::Annulus {
                // Loss of the token, agreement of the others, and as much again if the commit token is lost, besides
                // the formation of the ring.
                let bound = timeout.mul_f64(2.0 * 2.2) + Duration::from_secs(1);
                if rings > 0 || out.is_none_or(|out| out > bound) {
                    wrong.push(format!("{name}: {rings} rings; out after {out:?}, bound {bound:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
