//! The end of what came from clients, on threads of its own.
//!
//! The last close of a file may take as long as a client likes. Whoever closes a client's socket closes the descriptors
//! too that the client has sent and nobody has received: among them may be a file of gigabytes, whose memory is given
//! back page by page, or a TCP socket with `SO_LINGER`, whose close waits. The same holds for shared memory that a
//! client has grown. So the thread that owns the ring closes nothing of theirs: it hands it over here.
//!
//! What carries descriptors gets a thread for itself, so that it keeps nobody else waiting. Until something is closed,
//! it counts for its user.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant as Clock};

use super::census::Kind;
use super::table::Client;
use crate::ipc::buffers::Buffers;
use crate::ipc::credentials::{self, Arrived};

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
    /// A client, whether accepted or not.
    Client(Client),
    /// A socket of somebody who was turned away at once.
    Socket(OwnedFd),
    /// A connection's zero-copy buffers.
    Buffers(Buffers),
    /// One of them.
    File(OwnedFd),
}

impl Remains {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Client(client) => Some(client.socket().as_fd()),
            Self::Socket(socket) => Some(socket.as_fd()),
            Self::Buffers(_) | Self::File(_) => None,
        }
    }
}

/// Who had what is closed now.
pub(super) type Owner = (u32, Kind);

type Rest = (Remains, Option<Owner>);

/// See the module. The thread begins with the first thing to close.
#[derive(Debug, Default)]
pub(super) struct Closer(Option<Running>);

#[derive(Debug)]
struct Running {
    rests: Sender<Rest>,
    closed: Receiver<Owner>,
}

impl Closer {
    /// Closes something soon. `owner` is told by [`Self::closed`] when that is done.
    pub(super) fn take(&mut self, remains: Remains, owner: Option<Owner>) {
        if self.0.is_none() {
            self.0 = start();
        }
        if let Some(running) = &self.0 {
            // Without its thread, which never ends by itself, it is closed right here.
            let _ = running.rests.send((remains, owner));
        }
    }

    /// The owner of the next thing that is closed.
    pub(super) fn closed(&self) -> Option<Owner> {
        self.0.as_ref()?.closed.try_recv().ok()
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        let Some(Running { rests, closed }) = self.0.take() else { return };
        drop(rests);
        let until = Clock::now() + LAST;
        // Ends when the last thread has dropped its end.
        while closed.recv_timeout(until.saturating_duration_since(Clock::now())).is_ok() {}
    }
}

fn start() -> Option<Running> {
    let (rests, taken) = mpsc::channel();
    let (report, closed) = mpsc::channel();
    let thread = thread::Builder::new().name("annulus-closer".into()).stack_size(STACK);
    match thread.spawn(move || work(&taken, &report)) {
        Ok(_) => Some(Running { rests, closed }),
        Err(error) => {
            tracing::warn!(%error, "cannot start the thread that closes what clients leave; their end may delay the ring");
            None
        }
    }
}

fn work(rests: &Receiver<Rest>, report: &Sender<Owner>) {
    let apart = Arc::new(());
    let mut odd = VecDeque::new();
    loop {
        let next = if odd.is_empty() {
            rests.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            rests.recv_timeout(LOOK)
        };
        match next {
            Ok(rest) if rest.0.socket().is_some_and(|socket| carries_descriptors(socket)) => {
                odd.push_back(rest)
            }
            Ok(rest) => close(rest, report),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while Arc::strong_count(&apart) <= MOST_APART
            && let Some(rest) = odd.pop_front()
        {
            let (token, report) = (Arc::clone(&apart), report.clone());
            let thread = thread::Builder::new().name("annulus-closer".into()).stack_size(STACK);
            let started = thread.spawn(move || {
                close(rest, &report);
                drop(token);
            });
            if let Err(error) = started {
                tracing::warn!(%error, "cannot start a thread that closes what a client has sent");
            }
        }
    }
}

fn close((remains, owner): Rest, report: &Sender<Owner>) {
    match remains {
        Remains::Client(client) => drop(client),
        Remains::Socket(socket) => drop(socket),
        Remains::Buffers(buffers) => drop(buffers),
        Remains::File(file) => drop(file),
    }
    if let Some(owner) = owner {
        // The server may be gone.
        let _ = report.send(owner);
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
