//! The end of what came from clients, on threads of its own.
//!
//! The last close of a file may take as long as a client likes. Whoever closes a client's socket closes the descriptors
//! too that the client has sent and nobody has received: among them may be a file of gigabytes, whose memory is given
//! back page by page, or a TCP socket with `SO_LINGER`, whose close waits. The same holds for shared memory that a
//! client has grown. So the thread that owns the ring closes nothing of theirs: it hands it over here.
//!
//! What carries descriptors gets a thread for itself, so that it keeps nobody else waiting. Until something is closed,
//! it counts for its user.
//!
//! The thread that owns the ring may have real-time priority, and these have not: it must never wait for them, not even
//! for the moment in which one of them was interrupted. So it only tries locks, and there is no channel, whose ends
//! wait for each other. Nor is memory unmapped here, since that would hold up who maps some.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant as Clock};

use super::census::Kind;
use crate::ipc::buffers::Buffers;
use crate::ipc::credentials::{self, Arrived};
use crate::ipc::files::RingFiles;

/// Threads that close what carries descriptors.
const MOST_APART: usize = 64;
/// How often it is looked whether one of them is free again.
const LOOK: Duration = Duration::from_millis(50);
/// Messages looked at for descriptors; who has sent more without need is taken for one who sends them.
const MESSAGES: usize = 1024;
/// Their stack, which is locked in memory with all the rest.
const STACK: usize = 128 << 10;
/// How long the end of the server waits for the last ones.
const LAST: Duration = Duration::from_secs(1);

/// Something to be closed.
pub(super) enum Remains {
    /// An accepted client.
    Connection(OwnedFd, Box<RingFiles>, Buffers),
    /// A client that was not accepted.
    Socket(OwnedFd),
    /// A connection's zero-copy buffers.
    Buffers(Buffers),
    /// One of them.
    File(OwnedFd),
}

impl Remains {
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Connection(socket, ..) | Self::Socket(socket) => Some(socket.as_fd()),
            Self::Buffers(_) | Self::File(_) => None,
        }
    }

    fn close(self) {
        match self {
            Self::Connection(socket, files, buffers) => {
                drop(files);
                drop(buffers);
                drop(socket);
            }
            Self::Socket(socket) => drop(socket),
            Self::Buffers(buffers) => drop(buffers),
            Self::File(file) => drop(file),
        }
    }
}

/// Who had what is closed now.
pub(super) type Owner = (u32, Kind);

type Rest = (Remains, Option<Owner>);

/// See the module. The thread begins with the first thing to close.
#[derive(Default)]
pub(super) struct Closer {
    /// Not handed over yet.
    rests: VecDeque<Rest>,
    /// Taken from the threads.
    closed: VecDeque<Owner>,
    shared: Arc<Shared>,
    thread: Option<Thread>,
}

#[derive(Default)]
struct Shared {
    rests: Mutex<VecDeque<Rest>>,
    closed: Mutex<VecDeque<Owner>>,
    /// The server is gone.
    ends: AtomicBool,
}

impl Shared {
    fn close(&self, (remains, owner): Rest) {
        remains.close();
        if let Some(owner) = owner {
            lock(&self.closed).push_back(owner);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Closer {
    /// Closes something soon. `owner` is told by [`Self::closed`] when that is done.
    pub(super) fn take(&mut self, remains: Remains, owner: Option<Owner>) {
        self.rests.push_back((remains, owner));
        self.hand_over();
    }

    /// Whether something is not handed over yet, since a thread was looking just then.
    pub(super) fn has_rest(&self) -> bool {
        !self.rests.is_empty()
    }

    /// The owner of the next thing that is closed.
    pub(super) fn closed(&mut self) -> Option<Owner> {
        self.hand_over();
        if self.closed.is_empty()
            && let Some(mut closed) = try_lock(&self.shared.closed)
        {
            std::mem::swap(&mut *closed, &mut self.closed);
        }
        self.closed.pop_front()
    }

    fn hand_over(&mut self) {
        if self.rests.is_empty() {
            return;
        }
        if self.thread.is_none() {
            self.thread = start(&self.shared);
        }
        let Some(thread) = &self.thread else {
            // Without a thread there is nobody else.
            for rest in self.rests.drain(..) {
                self.shared.close(rest);
            }
            return;
        };
        if let Some(mut rests) = try_lock(&self.shared.rests) {
            rests.append(&mut self.rests);
            drop(rests);
            thread.unpark();
        }
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        let Some(thread) = &self.thread else { return };
        lock(&self.shared.rests).append(&mut self.rests);
        self.shared.ends.store(true, Ordering::Release);
        thread.unpark();
        // Each thread holds the other end until it has nothing left to close.
        let until = Clock::now() + LAST;
        while Arc::strong_count(&self.shared) > 1 && Clock::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn start(shared: &Arc<Shared>) -> Option<Thread> {
    let shared = Arc::clone(shared);
    match thread::Builder::new().name("annulus-closer".into()).stack_size(STACK).spawn(move || work(&shared))
    {
        Ok(handle) => Some(handle.thread().clone()),
        Err(error) => {
            tracing::warn!(%error, "cannot start the thread that closes what clients leave; their end may delay the ring");
            None
        }
    }
}

fn work(shared: &Arc<Shared>) {
    // There are locks in the kernel and the allocator too that it may hold while the ring's thread wants them. On a busy
    // host it would hold them for as long as it waits for a processor; with this it gets one soon, if that is allowed.
    let _ = rustix::process::setpriority_process(None, -20);
    let apart = Arc::new(());
    let mut odd = VecDeque::new();
    loop {
        let ends = shared.ends.load(Ordering::Acquire);
        let rests = std::mem::take(&mut *lock(&shared.rests));
        let idle = rests.is_empty();
        for rest in rests {
            if rest.0.socket().is_some_and(carries_descriptors) {
                odd.push_back(rest);
            } else {
                shared.close(rest);
            }
        }
        while Arc::strong_count(&apart) <= MOST_APART
            && let Some(rest) = odd.pop_front()
        {
            close_apart(rest, Arc::clone(shared), Arc::clone(&apart));
        }
        match (idle, odd.is_empty()) {
            (false, _) => {}
            (true, _) if ends => return,
            (true, true) => thread::park(),
            (true, false) => thread::park_timeout(LOOK),
        }
    }
}

/// Closes something on a thread of its own. `apart` counts them.
fn close_apart(rest: Rest, shared: Arc<Shared>, apart: Arc<()>) {
    let thread = thread::Builder::new().name("annulus-closer".into()).stack_size(STACK);
    let started = thread.spawn(move || {
        shared.close(rest);
        drop((shared, apart));
    });
    if let Err(error) = started {
        tracing::warn!(%error, "cannot start a thread that closes what a client has sent");
    }
}

/// Whether there are descriptors among what was not received from a client. What comes before them is received.
fn carries_descriptors(socket: BorrowedFd<'_>) -> bool {
    // Credentials are control messages too.
    let _ = rustix::net::sockopt::set_socket_passcred(socket, false);
    for _ in 0..MESSAGES {
        match credentials::discard(socket) {
            Arrived::Bytes(1..) => {}
            Arrived::Bytes(0) | Arrived::Nothing => return false,
            Arrived::Descriptors => return true,
        }
    }
    true
}
