//! Settings of a supervisor: recovery, interval, quorum, keys in the registry.

use std::time::Duration;

use bytes::Bytes;

use super::registry::Name;

/// The greatest length of the data that a worker can store for its next instance, in bytes.
pub const MAX_DATA: usize = 16 * 1024 * 1024;

/// Default grace period between warning and SIGKILL for a policy without an interval.
const GRACE: Duration = Duration::from_secs(10);

/// The action after a worker has failed.
///
/// Source: `sam_initialize(3)`, `sam_recovery_policy_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// The supervisor ends too; the keys stay in the registry with the state `failed`.
    Quit,
    /// A new instance is started.
    Restart,
}

impl Recovery {
    /// The value of the key `recovery`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::Restart => "restart",
        }
    }
}

/// How one worker is supervised.
///
/// ```
/// use std::time::Duration;
/// use annulus::sam::Policy;
///
/// let policy = Policy::restart().interval(Duration::from_secs(2)).needs_quorum().in_registry();
/// ```
///
/// The flags of libsam: `SAM_RECOVERY_POLICY_QUIT` is [`Policy::quit`], `_RESTART` [`Policy::restart`],
/// `_QUORUM` [`Policy::needs_quorum`], and `_CMAP` (or `_CONFDB`) [`Policy::in_registry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(super) recovery: Recovery,
    pub(super) interval: Option<Duration>,
    pub(super) grace: Option<Duration>,
    pub(super) quorum: bool,
    pub(super) registry: Option<Name>,
    pub(super) limit: Option<Limit>,
    pub(super) data: Bytes,
}

/// More than this many restarts within this time are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) restarts: u16,
    pub(super) within: Duration,
}

impl Policy {
    /// A policy that does not restart a worker that fails.
    pub fn quit() -> Self {
        Self::new(Recovery::Quit)
    }

    /// A policy that restarts a worker that fails: at once, or after a pause that grows to 5 s while one instance
    /// after the other fails within its first second.
    pub fn restart() -> Self {
        Self::new(Recovery::Restart)
    }

    /// A policy with this recovery and without health checks, quorum or keys.
    pub fn new(recovery: Recovery) -> Self {
        Self {
            recovery,
            interval: None,
            grace: None,
            quorum: false,
            registry: None,
            limit: None,
            data: Bytes::new(),
        }
    }

    /// Sets the longest silence allowed to a worker between [`Worker::start`](super::Worker::start) and
    /// [`Worker::stop`](super::Worker::stop). After it comes the warning signal, and after the same time again (or
    /// [`Policy::grace`]) SIGKILL. Zero, the default: silence is no failure, only the end of the process is.
    ///
    /// Resolution: 1 ms. Source: `sam_initialize(3)`, `time_interval`.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = (!interval.is_zero()).then_some(interval);
        self
    }

    /// Sets the time between the warning and SIGKILL. Default: the interval; 10 s without one.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// Makes [`Worker::start`](super::Worker::start) wait until this node's part of the cluster is quorate, and loss
    /// of quorum a failure of the worker: it is warned, and killed after the grace period. A daemon that is gone
    /// counts as quorum lost.
    #[must_use]
    pub fn needs_quorum(mut self) -> Self {
        self.quorum = true;
        self
    }

    /// Writes the worker's state to the keys `resources.process.PID.*` of the daemon's configuration database, where
    /// watchdogs and tools look for it. PID is the supervisor's.
    #[must_use]
    pub fn in_registry(mut self) -> Self {
        self.registry = Some(Name::of_this_process());
        self
    }

    /// Like [`Policy::in_registry`], under another name than the process id, for a process with several supervisors.
    #[must_use]
    pub fn in_registry_as(mut self, name: Name) -> Self {
        self.registry = Some(name);
        self
    }

    /// Limits the restarts: more than `restarts` of them within this time end supervision as
    /// [`Worker::mark_failed`](super::Worker::mark_failed) does. Default: no limit.
    #[must_use]
    pub fn at_most(mut self, restarts: u16, within: Duration) -> Self {
        self.limit = Some(Limit { restarts, within });
        self
    }

    /// Sets the [stored data](super::Worker::data) of the first instance. Data longer than [`MAX_DATA`] is an error
    /// when supervision begins.
    #[must_use]
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// Time between warning and SIGKILL.
    pub(super) fn time_to_end(&self) -> Duration {
        self.grace.or(self.interval).unwrap_or(GRACE)
    }

    /// The interval in ms, for the key `poll_period`.
    pub(super) fn poll_period_ms(&self) -> u64 {
        self.interval.map_or(0, |interval| u64::try_from(interval.as_millis()).unwrap_or(u64::MAX))
    }
}
