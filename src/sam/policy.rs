//! What a supervisor does and when: recovery, interval, quorum, keys in the registry.

use std::time::Duration;

use bytes::Bytes;

use super::registry::Name;

/// The most that a worker may have kept for its next instance.
pub const MAX_DATA: usize = 16 * 1024 * 1024;

/// How long a worker that is not checked has between a warning and SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// What follows when a worker has failed.
///
/// Source: `sam_initialize(3)`, `sam_recovery_policy_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// The supervisor ends too; its keys stay in the registry with the state `failed`.
    Quit,
    /// A new instance is started.
    Restart,
}

impl Recovery {
    /// The word in the key `recovery`.
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

/// So many restarts in such a time are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) restarts: u16,
    pub(super) within: Duration,
}

impl Policy {
    /// A worker that fails is not started again.
    pub fn quit() -> Self {
        Self::new(Recovery::Quit)
    }

    /// A worker that fails is started again: at once, or after a pause that grows to 5 s while instance after
    /// instance fails within its first second.
    pub fn restart() -> Self {
        Self::new(Recovery::Restart)
    }

    /// With this recovery; no health checks, no quorum, no keys.
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

    /// The longest silence of a worker between [`Worker::start`](super::Worker::start) and
    /// [`Worker::stop`](super::Worker::stop). After it comes the warning signal, and after as long again
    /// (or [`Policy::grace`]) SIGKILL. Zero: silence is no failure, only the process's end is; the default.
    ///
    /// Resolution: 1 ms. Source: `sam_initialize(3)`, `time_interval`.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = (!interval.is_zero()).then_some(interval);
        self
    }

    /// How long a worker that was warned has until SIGKILL. Default: the interval; 10 s without one.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// [`Worker::start`](super::Worker::start) waits until this node's part of the cluster has quorum, and the
    /// loss of quorum is a failure of the worker: it is warned, and killed after the grace. A daemon that is
    /// gone counts as quorum lost.
    #[must_use]
    pub fn needs_quorum(mut self) -> Self {
        self.quorum = true;
        self
    }

    /// The worker's state is written to the keys `resources.process.PID.*` of the daemon's configuration
    /// database, PID being the supervisor's, where watchdogs and tools look for it.
    #[must_use]
    pub fn in_registry(mut self) -> Self {
        self.registry = Some(Name::of_this_process());
        self
    }

    /// The same under another name than the process id, for a process with several supervisors.
    #[must_use]
    pub fn in_registry_as(mut self, name: Name) -> Self {
        self.registry = Some(name);
        self
    }

    /// More restarts than this within this time are a failure for good, as if the worker had said so
    /// ([`Worker::mark_failed`](super::Worker::mark_failed)). Default: no limit.
    #[must_use]
    pub fn at_most(mut self, restarts: u16, within: Duration) -> Self {
        self.limit = Some(Limit { restarts, within });
        self
    }

    /// What the first instance finds as [stored data](super::Worker::data). Of more than [`MAX_DATA`] bytes the
    /// supervisor says so when it begins.
    #[must_use]
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// Between warning and SIGKILL.
    pub(super) fn time_to_end(&self) -> Duration {
        self.grace.or(self.interval).unwrap_or(GRACE)
    }

    /// The interval as the key `poll_period` has it.
    pub(super) fn poll_period_ms(&self) -> u64 {
        self.interval.map_or(0, |interval| u64::try_from(interval.as_millis()).unwrap_or(u64::MAX))
    }
}
