//! The thread that talks to the daemon for a supervisor: it writes the worker's keys and receives changes of quorum.
//! A daemon that is busy, hangs or dies blocks this thread only, never the supervisor.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::error::Error;
use super::policy::{Policy, Recovery};
use super::registry::{DeskError, Desks, Key, Name, QuorumWatch, Registry, WorkerState};

/// Pause between two attempts to reach the daemon.
const RETRY: Duration = Duration::from_secs(1);

/// Changes that may wait for the daemon. Beyond this the oldest are dropped; the newest ones give the current state.
const CHANGES: usize = 64;

/// A wake-up for a thread that polls: an eventfd.
#[derive(Debug)]
pub(super) struct Bell(OwnedFd);

impl Bell {
    pub(super) fn new() -> Result<Self, Error> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        Ok(Self(descriptor.map_err(|error| Error::system("make an event descriptor")(error.into()))?))
    }

    pub(super) fn ring(&self) {
        // Fails only if the counter has reached 2^64 - 2.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Clears the wake-up.
    pub(super) fn quiet(&self) {
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The content of all keys of one worker.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    name: Name,
    recovery: Recovery,
    poll_period_ms: u64,
    state: WorkerState,
    /// Nanoseconds of the monotonic clock; `None` before the first sign of life.
    updated: Option<u64>,
}

impl Picture {
    /// The content before the first instance starts; `None` if the policy does not ask for keys.
    pub(super) fn of(policy: &Policy) -> Option<Self> {
        policy.registry.clone().map(|name| Self {
            name,
            recovery: policy.recovery,
            poll_period_ms: policy.poll_period_ms(),
            state: WorkerState::Stopped,
            updated: None,
        })
    }

    fn write(&self, registry: &mut dyn Registry) -> Result<(), DeskError> {
        registry.set_str(&self.name.key(Key::Recovery), self.recovery.word())?;
        registry.set_u64(&self.name.key(Key::PollPeriod), self.poll_period_ms)?;
        if let Some(updated) = self.updated {
            registry.set_u64(&self.name.key(Key::LastUpdated), updated)?;
        }
        registry.set_str(&self.name.key(Key::State), self.state.word())
    }

    /// Applies a change.
    pub(super) fn note(&mut self, change: Change) {
        match change {
            Change::State(state) => self.state = state,
            Change::Updated(at) => self.updated = Some(at),
            Change::Gone => {}
        }
    }

    fn write_change(&self, change: Change, registry: &mut dyn Registry) -> Result<(), DeskError> {
        match change {
            Change::State(state) => registry.set_str(&self.name.key(Key::State), state.word()),
            Change::Updated(at) => registry.set_u64(&self.name.key(Key::LastUpdated), at),
            Change::Gone => registry.remove(&self.name.prefix()),
        }
    }
}

/// A change to be written to the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    State(WorkerState),
    /// The new value of the key `last_updated`.
    Updated(u64),
    /// All keys of the worker are removed. No change follows.
    Gone,
}

/// Checks, in the calling thread, that the daemon can do what the policy needs: writes the keys and asks for quorum
/// once, so that supervision does not begin without them. The connections are closed on return.
///
/// # Errors
/// The daemon cannot be reached, or refuses.
pub(super) fn check(policy: &Policy, desks: &dyn Desks) -> Result<(), DeskError> {
    if policy.quorum {
        desks.quorum()?.quorate()?;
    }
    if let Some(picture) = Picture::of(policy) {
        picture.write(&mut *desks.registry()?)?;
    }
    Ok(())
}

/// Handle of the thread that talks to the daemon.
#[derive(Debug)]
pub(super) struct Desk {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    changes: Mutex<VecDeque<Change>>,
    closing: AtomicBool,
    quorate: AtomicBool,
    done: AtomicBool,
    /// Wakes the thread; signalled by the supervisor.
    work: Bell,
    /// Wakes the supervisor; signalled by the thread.
    news: Arc<Bell>,
}

impl Desk {
    /// Starts the thread. It signals `news` when [`Desk::quorate`] has changed and when it ends.
    ///
    /// # Errors
    /// The system refuses a thread or a descriptor.
    pub(super) fn open(
        desks: Arc<dyn Desks>,
        picture: Option<Picture>,
        quorum: bool,
        news: Arc<Bell>,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            changes: Mutex::default(),
            closing: AtomicBool::new(false),
            quorate: AtomicBool::new(false),
            done: AtomicBool::new(false),
            work: Bell::new()?,
            news,
        });
        let clerk = Clerk {
            shared: Arc::clone(&shared),
            desks,
            picture,
            registry: None,
            wants_quorum: quorum,
            quorum: None,
            last_try: None,
            told: false,
        };
        let thread = std::thread::Builder::new().name("sam-desk".into()).spawn(move || clerk.run());
        Ok(Self { shared, thread: thread.map_err(Error::system("start a thread"))? })
    }

    /// Whether this part of the cluster is quorate, by the last news. `false` while the quorum service cannot be
    /// reached.
    pub(super) fn quorate(&self) -> bool {
        self.shared.quorate.load(Ordering::Acquire)
    }

    /// Queues a change, to be written after those queued before.
    pub(super) fn write(&self, change: Change) {
        let mut changes = self.shared.changes();
        match (changes.back_mut(), change) {
            // Of several `last_updated` values that wait, only the newest matters.
            (Some(Change::Updated(waiting)), Change::Updated(at)) => *waiting = at,
            _ => changes.push_back(change),
        }
        if changes.len() > CHANGES {
            changes.pop_front();
        }
        drop(changes);
        self.shared.work.ring();
    }

    /// Tells the thread to end once it has written everything, or cannot reach the daemon.
    pub(super) fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.work.ring();
    }

    /// Whether the thread has ended.
    pub(super) fn is_done(&self) -> bool {
        self.shared.done.load(Ordering::Acquire)
    }

    /// Waits for the thread to end, which can take as long as the daemon blocks it.
    pub(super) fn join(self) {
        self.close();
        if self.thread.join().is_err() {
            tracing::error!("the thread that talks to the daemon has panicked");
        }
    }
}

impl Shared {
    fn changes(&self) -> MutexGuard<'_, VecDeque<Change>> {
        // No code panics while it holds this lock.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_quorate(&self, quorate: bool) {
        if self.quorate.swap(quorate, Ordering::AcqRel) != quorate {
            self.news.ring();
        }
    }
}

/// The state of the thread.
struct Clerk {
    shared: Arc<Shared>,
    desks: Arc<dyn Desks>,
    picture: Option<Picture>,
    registry: Option<Box<dyn Registry>>,
    wants_quorum: bool,
    quorum: Option<Box<dyn QuorumWatch>>,
    last_try: Option<Instant>,
    /// Whether it has been logged that the daemon cannot be reached.
    told: bool,
}

impl Clerk {
    fn run(mut self) {
        loop {
            // Read before the changes are taken, so that no change can follow once it is set.
            let closing = self.shared.closing.load(Ordering::Acquire);
            self.connect(closing);
            self.write();
            if closing {
                return;
            }
            self.hear();
            self.wait();
        }
    }

    fn is_connected(&self) -> bool {
        (self.picture.is_none() || self.registry.is_some()) && (!self.wants_quorum || self.quorum.is_some())
    }

    fn connect(&mut self, closing: bool) {
        let too_soon = self.last_try.is_some_and(|last| last.elapsed() < RETRY);
        if self.is_connected() || too_soon && !closing {
            return;
        }
        self.last_try = Some(Instant::now());
        let desks = Arc::clone(&self.desks);
        if let Some(picture) = self.picture.as_ref().filter(|_| self.registry.is_none()) {
            let connected = desks.registry().and_then(|mut registry| {
                picture.write(&mut *registry)?;
                Ok(registry)
            });
            self.registry = self.noted(connected);
        }
        if self.wants_quorum && self.quorum.is_none() && !closing {
            self.quorum = self.noted(desks.quorum());
        }
        self.told &= !self.is_connected();
    }

    fn write(&mut self) {
        let Some(mut picture) = self.picture.take() else { return };
        loop {
            let Some(change) = self.shared.changes().pop_front() else { break };
            picture.note(change);
            let Some(registry) = &mut self.registry else { continue };
            let written = picture.write_change(change, &mut **registry);
            if self.noted(written).is_none() {
                self.registry = None;
            }
        }
        self.picture = Some(picture);
    }

    fn hear(&mut self) {
        let quorate = match self.quorum.as_mut().map(|quorum| quorum.quorate()) {
            None => false,
            Some(heard) => self.noted(heard).unwrap_or_else(|| {
                self.quorum = None;
                false
            }),
        };
        self.shared.set_quorate(quorate);
    }

    fn wait(&mut self) {
        let patience = (!self.is_connected())
            .then(|| RETRY.saturating_sub(self.last_try.map_or(Duration::ZERO, |last| last.elapsed())))
            .and_then(|left| Timespec::try_from(left).ok());
        let mut wanted = vec![PollFd::new(&self.shared.work, PollFlags::IN)];
        wanted.extend(self.quorum.as_ref().map(|quorum| PollFd::new(quorum, PollFlags::IN)));
        let registry = self.registry.as_ref().and_then(|registry| registry.descriptor());
        let has_registry = registry.is_some();
        wanted.extend(registry.map(|registry| PollFd::from_borrowed_fd(registry, PollFlags::empty())));
        // Whatever poll returns, the next pass looks at everything.
        let _ = poll(&mut wanted, patience.as_ref());
        let hung_up = has_registry && wanted.last().is_some_and(|registry| !registry.revents().is_empty());
        if hung_up {
            self.registry = None;
        }
        self.shared.work.quiet();
    }

    /// Returns the value. An error is logged, but only once each time the daemon is lost.
    fn noted<T>(&mut self, result: Result<T, DeskError>) -> Option<T> {
        result
            .inspect_err(|error| {
                if !std::mem::replace(&mut self.told, true) {
                    tracing::warn!("keys or quorum are not to be had, supervision goes on: {error}");
                }
            })
            .ok()
    }
}

/// Whether the thread returns or panics, it signals its end and leaves no stale `quorate`.
impl Drop for Clerk {
    fn drop(&mut self) {
        self.registry = None;
        self.quorum = None;
        self.shared.quorate.store(false, Ordering::Release);
        self.shared.done.store(true, Ordering::Release);
        self.shared.news.ring();
    }
}

#[cfg(test)]
mod tests;
