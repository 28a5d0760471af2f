//! Counters and resource use of a daemon of either kind.

use crate::lab::Lab;
use crate::usage::{processor_time, resident};
use std::time::Duration;

/// Counters of a daemon's ring, and the resources that its process uses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Frames sent for the first time, and retransmissions.
    pub(crate) sent: u64,
    pub(crate) again: u64,
    /// How often the node entered the gather phase, and how often it installed a ring.
    pub(crate) gathers: u64,
    pub(crate) rings: u64,
    /// Resident memory, in KiB.
    pub(crate) memory: u64,
    /// Processor time used so far.
    pub(crate) busy: Duration,
}

/// How much a count has grown on all hosts together.
pub(crate) fn grown(before: &[Counts], after: &[Counts], of: impl Fn(&Counts) -> u64) -> u64 {
    before.iter().zip(after).map(|(was, is)| of(is) - of(was)).sum()
}

impl Counts {
    /// Those of all hosts.
    pub(crate) fn of_all(lab: &Lab) -> Vec<Self> {
        (1..=lab.len()).map(|k| Self::of(lab, k)).collect()
    }

    /// Reads them from the daemon of host `k`.
    pub(crate) fn of(lab: &Lab, k: usize) -> Self {
        let text = lab.say(k, "corosync-cmapctl -m stats").out;
        let value = |key: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("stats.srp.{key} ")));
            line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
                .unwrap_or_else(|| panic!("host {k}: no stats.srp.{key} in {text:?}"))
        };
        Self {
            sent: value("mcast_tx"),
            again: value("mcast_retx"),
            gathers: value("gather_entered"),
            rings: value("operational_entered"),
            memory: resident(lab.daemon_pid(k)).0,
            busy: processor_time(lab.daemon_pid(k)),
        }
    }
}
