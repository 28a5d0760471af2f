#![allow(unsafe_code, reason = "sched_setscheduler and mallopt have no safe wrapper")]
//! Demands on the system that keep the token from being late: locked memory and real-time scheduling. Each may be
//! refused, as is common in containers; then the daemon runs without it and logs that.
//!
//! Source: corosync `exec/main.c`, `corosync_tty_detach` and its neighbours; `sched(7)`, `mlockall(2)`.

use std::fs;
use std::io;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, getpid, getrlimit, setpriority_process, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// The demands of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    /// Round-robin real-time scheduling at the highest priority.
    pub(super) real_time: bool,
    /// Nice value without real-time scheduling; `None` leaves it unchanged.
    pub(super) nice: Option<i32>,
    /// Whether the process may leave its control group to get real-time scheduling.
    pub(super) leave_cgroup: LeaveCgroup,
}

/// When the process leaves its control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaveCgroup {
    /// Leave it in any case.
    Always,
    /// Stay in it.
    Never,
    /// Leave it if real-time scheduling is refused within it.
    IfRefused,
}

/// Applies the demands as far as the system allows. Returns what was refused and why, for the log.
pub(super) fn prepare(wishes: Wishes) -> Vec<String> {
    let mut refused = Vec::new();
    return_memory();
    if let Err(why) = lock_memory() {
        refused.push(why);
    }
    if wishes.leave_cgroup == LeaveCgroup::Always
        && let Err(why) = leave_cgroup()
    {
        refused.push(why);
    }
    if wishes.real_time {
        let retry = || {
            (wishes.leave_cgroup == LeaveCgroup::IfRefused && leave_cgroup().is_ok())
                .then(real_time)
                .is_some_and(|again| again.is_ok())
        };
        if let Err(error) = real_time()
            && !retry()
        {
            refused.push(format!(
                "Real-time scheduling was refused ({error}): it needs the capability SYS_NICE and a control group with \
                 real-time time (in a container: --cap-add SYS_NICE). The token may be late when this host is busy"
            ));
            if let Err(error) = setpriority_process(None, -20) {
                refused.push(format!("A higher priority (nice -20) was refused too ({error})"));
            }
        }
    } else if let Some(nice) = wishes.nice
        && let Err(error) = setpriority_process(None, nice)
    {
        refused
            .push(format!("Priority (nice {nice}) was refused ({error}): it needs the capability SYS_NICE"));
    }
    refused
}

/// Size in bytes from which an allocation is mapped separately and returned to the system when freed: full frames,
/// and the queues of slow readers.
#[cfg(target_env = "gnu")]
const OWN_MEMORY: libc::c_int = 32 << 10;
/// Free bytes at the end of the heap that the process keeps, as a smaller amount would be returned and requested
/// again with every rotation of a busy ring.
#[cfg(target_env = "gnu")]
const KEPT_FREE: libc::c_int = 512 << 10;

/// Makes the allocator return free memory to the system. By default glibc raises both limits with each long
/// allocation, so it would keep as much as the busiest moment needed, all of it locked.
fn return_memory() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [(libc::M_MMAP_THRESHOLD, OWN_MEMORY), (libc::M_TRIM_THRESHOLD, KEPT_FREE)] {
        // SAFETY: sets a number of the allocator; it refuses what it cannot use.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// Locks the process in memory: its present pages at once, later pages when they are first used, so that unused parts
/// of stacks and buffers do not count as resident.
fn lock_memory() -> Result<(), String> {
    let before = getrlimit(Resource::Memlock);
    let unlimited = Rlimit { current: None, maximum: None };
    let raised = setrlimit(Resource::Memlock, unlimited);
    let allowed = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    if let (Err(error), Some(limit), false) = (raised, before.current, allowed) {
        // Locking in spite of the limit would make a later allocation fail, which ends the process.
        return Err(format!(
            "Memory is not locked: the limit is {limit} bytes (ulimit -l, LimitMEMLOCK=) and may not be raised ({error}). \
             The token may be late when this host swaps"
        ));
    }
    mlockall(MlockAllFlags::CURRENT)
        .and_then(|()| mlockall(MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT))
        .map_err(|error| {
            format!("Memory could not be locked ({error}). The token may be late when this host swaps")
        })
}

/// Gives this thread the highest round-robin priority; threads that it starts get the normal priority.
fn real_time() -> io::Result<()> {
    // SAFETY: takes a number and returns one.
    let priority = unsafe { libc::sched_get_priority_max(libc::SCHED_RR) };
    if priority < 0 {
        return Err(io::Error::last_os_error());
    }
    let param = libc::sched_param { sched_priority: priority };
    // SAFETY: `param` outlives the call, which only reads it; 0 means the calling thread.
    let done =
        unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const param) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Moves the process to the root control group, where no group's limits apply.
fn leave_cgroup() -> Result<(), String> {
    let pid = getpid().as_raw_nonzero().to_string();
    // First the cpu controller of cgroup version 1, where a group needs its own real-time budget; then version 2.
    let groups = ["/sys/fs/cgroup/cpu/tasks", "/sys/fs/cgroup/cgroup.procs"];
    let mut last = None;
    for file in groups {
        match fs::OpenOptions::new()
            .write(true)
            .open(file)
            .and_then(|mut f| io::Write::write_all(&mut f, pid.as_bytes()))
        {
            Ok(()) => return Ok(()),
            Err(error) => last = Some(format!("Can't move to the root control group ({file}: {error})")),
        }
    }
    Err(last.unwrap_or_default())
}
