//! What a daemon counts and uses, of either kind.

use crate::lab::Lab;

/// What a daemon's ring counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Frames sent, and sent again.
    pub(super) sent: u64,
    pub(super) again: u64,
    /// Times a membership was sought, and a ring installed.
    pub(super) gathers: u64,
    pub(super) rings: u64,
    /// Resident memory, in KiB.
    pub(super) memory: u64,
    /// Processor time, in ms.
    pub(super) busy: u64,
}

impl Counts {
    /// Asks the daemon of host `k`.
    pub(super) fn of(lab: &Lab, k: usize) -> Self {
        let text = lab.say(k, "corosync-cmapctl -m stats").out;
        let value = |key: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("stats.srp.{key} ")));
            line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
                .unwrap_or_else(|| panic!("host {k}: no stats.srp.{key} in {text:?}"))
        };
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", lab.daemon_pid(k))).unwrap_or_default();
        let memory = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
        Self {
            sent: value("mcast_tx"),
            again: value("mcast_retx"),
            gathers: value("gather_entered"),
            rings: value("operational_entered"),
            memory: memory.unwrap_or_default(),
            busy: busy(lab.daemon_pid(k)),
        }
    }
}

/// Processor time that a process has used, in ms.
fn busy(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the daemon runs");
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    // utime and stime, in ticks of 10 ms.
    fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks") * 10).sum()
}
