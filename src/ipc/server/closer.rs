//! Closes descriptors that came from clients, in threads of its own.
//!
//! The last close of a file may take as long as a client likes. Closing a client's socket also closes the descriptors
//! that the client sent and nobody received: among them may be a file of gigabytes, whose memory is freed page by
//! page, or a TCP socket with `SO_LINGER`, whose close blocks. The same holds for shared memory that a client has
//! enlarged. So the thread that runs the ring closes none of these, but hands them over here.
//!
//! A socket that carries descriptors gets a thread for itself, so that it delays nothing else. Until it is closed, it
//! counts for its user.
//!
//! The thread that runs the ring may have real-time priority, which these threads do not have, so it must never wait
//! for them, not even while one of them is preempted. It only tries locks, and there is no channel, as the ends of a
//! channel wait for each other. Memory is not unmapped here either, since that would delay a thread that maps some.

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

/// Most threads that close sockets with descriptors.
const MOST_APART: usize = 64;
/// Interval of checking whether one of these threads has ended.
const LOOK: Duration = Duration::from_millis(50);
/// Messages searched for descriptors; a socket with more of them is treated as one with descriptors.
const MESSAGES: usize = 1024;
/// Stack size of these threads, as it is locked in memory like everything else.
const STACK: usize = 128 << 10;
/// Longest wait for the threads when the server ends.
const LAST: Duration = Duration::from_secs(1);

/// Something to close.
pub(super) enum Remains {
    /// The socket, files and buffers of an accepted client.
    Connection(OwnedFd, Box<RingFiles>, Buffers),
    /// The socket of a client that was not accepted.
    Socket(OwnedFd),
    /// The zero-copy buffers of a connection.
    Buffers(Buffers),
    /// The file of one zero-copy buffer.
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

/// The user and the kind of client for which something is counted until it is closed.
pub(super) type Owner = (u32, Kind);

type Rest = (Remains, Option<Owner>);

/// Hands things over to be closed; see the module. The thread starts with the first of them.
#[derive(Default)]
pub(super) struct Closer {
    /// Not handed over yet.
    rests: VecDeque<Rest>,
    /// Closed, and fetched from the threads.
    closed: VecDeque<Owner>,
    shared: Arc<Shared>,
    thread: Option<Thread>,
}

#[derive(Default)]
struct Shared {
    rests: Mutex<VecDeque<Rest>>,
    closed: Mutex<VecDeque<Owner>>,
    /// Set when the server ends.
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
    /// Closes something soon; [`Self::closed`] then returns `owner`.
    pub(super) fn take(&mut self, remains: Remains, owner: Option<Owner>) {
        self.rests.push_back((remains, owner));
        self.hand_over();
    }

    /// Whether something could not be handed over yet because the thread held the lock.
    pub(super) fn has_rest(&self) -> bool {
        !self.rests.is_empty()
    }

    /// The owner of the next thing that has been closed.
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
            // If the thread cannot be started, everything is closed here.
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
        // Each thread holds a reference until it has nothing left to close.
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
    // The thread also takes locks in the kernel and the allocator that the ring's thread may want. On a busy host it
    // could hold them as long as it waits for a processor; a high priority, if allowed, shortens that.
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

/// Closes something in a new thread. The references to `apart` count these threads.
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

/// Whether there are descriptors among the data that was not received from a client. Receives the data before them.
fn carries_descriptors(socket: BorrowedFd<'_>) -> bool {
    // Disabled because credentials are control messages too.
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
