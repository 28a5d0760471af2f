#![allow(unsafe_code, reason = "fork, its neighbours and inherited descriptors have no safe wrapper")]
//! Forks this process and prepares programs to be started; holds the `unsafe` code that this needs.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use super::error::Error;

/// How long a joined thread may still be listed in `/proc` before it counts as running.
const LEAVING: Duration = Duration::from_millis(500);

/// The side of the fork on which this process is.
pub(super) enum Side {
    /// The new process.
    Child,
    /// The old process, with the id of the new one.
    Parent(Pid),
}

/// Forks this process. The new process gets SIGTERM when the old one ends.
///
/// # Errors
/// There is more than one thread, or the system refuses a process.
pub(super) fn fork() -> Result<Side, Error> {
    alone()?;
    let parent = getpid();
    // SAFETY: this is the only thread, so the child finds no lock held that nobody will give back.
    match unsafe { libc::fork() } {
        -1 => Err(Error::system("start a process")(io::Error::last_os_error())),
        0 => {
            if let Err(error) = end_with(parent) {
                tracing::warn!("a worker is without a supervisor: {error}");
            }
            Ok(Side::Child)
        }
        child => Pid::from_raw(child).map(Side::Parent).ok_or(Error::Protocol),
    }
}

/// Makes sure that this thread is the only one. A joined thread may still be listed for a moment; that is waited for.
///
/// # Errors
/// There are other threads.
pub(super) fn alone() -> Result<(), Error> {
    let end = Instant::now() + LEAVING;
    loop {
        let tasks = std::fs::read_dir("/proc/self/task").map_err(Error::system("count the threads"))?;
        match tasks.count() {
            1 => return Ok(()),
            count if Instant::now() > end => return Err(Error::Threads { count }),
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Asks the kernel for SIGTERM when the parent ends.
fn end_with(parent: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

/// Signals that end a supervisor, blocked and turned into a descriptor to poll. Dropping this restores the thread's
/// signal mask.
pub(super) struct Held {
    descriptor: OwnedFd,
    before: libc::sigset_t,
}

impl Held {
    /// Blocks SIGTERM, SIGINT and SIGHUP in this thread. Those that are ignored stay ignored.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: all-zero is a valid set of signals, and the calls below write to live sets only. The
        // descriptor is new and owned by nobody else.
        unsafe {
            let (mut set, mut before): (libc::sigset_t, libc::sigset_t) =
                (std::mem::zeroed(), std::mem::zeroed());
            libc::sigemptyset(&raw mut set);
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
                libc::sigaddset(&raw mut set, signal);
            }
            let descriptor = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            let descriptor = OwnedFd::from_raw_fd(descriptor);
            match libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before) {
                0 => Ok(Self { descriptor, before }),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }

    /// Readable when a signal has arrived.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// Whether a signal has arrived; consumes it.
    pub(super) fn take(&self) -> bool {
        rustix::io::read(&self.descriptor, &mut [0_u8; size_of::<libc::signalfd_siginfo>()]).is_ok()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: `before` is the mask that the system gave.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut()) };
    }
}

/// The one descriptor that a program inherits besides its standard ones. Its number differs at each start.
#[derive(Clone, Debug)]
pub(super) struct Inherited(Arc<AtomicI32>);

/// Stands for the number if the program inherits no descriptor.
const NONE: RawFd = -1;

impl Default for Inherited {
    fn default() -> Self {
        Self(Arc::new(AtomicI32::new(NONE)))
    }
}

impl Inherited {
    /// Makes every process started from this command inherit the descriptor, and get SIGTERM when the thread that
    /// started it ends. Call it once for each command.
    pub(super) fn prepare(&self, command: &mut Command) {
        let number = Arc::clone(&self.0);
        let parent = getpid();
        let hook = move || {
            end_with(parent)?;
            let number = number.load(Ordering::Relaxed);
            if number == NONE {
                return Ok(());
            }
            // SAFETY: not -1, and what `set` was given is open in the parent until after this.
            let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
            let flags = fcntl_getfd(descriptor)?;
            fcntl_setfd(descriptor, flags & !FdFlags::CLOEXEC)?;
            Ok(())
        };
        // SAFETY: between fork and exec, the hook makes four system calls and reads an atomic; it neither
        // allocates nor takes a lock.
        unsafe { command.pre_exec(hook) };
    }

    /// Sets the descriptor for the next process. It must stay open until that process has started.
    pub(super) fn set(&self, descriptor: &UnixStream) -> RawFd {
        self.0.store(descriptor.as_raw_fd(), Ordering::Relaxed);
        descriptor.as_raw_fd()
    }
}

/// Takes over the socket that this process inherited from its supervisor under this number. Call it once.
///
/// # Errors
/// There is no such descriptor, or its other end is not this process's parent.
pub(super) fn inherited(number: RawFd) -> Result<UnixStream, Error> {
    if number <= libc::STDERR_FILENO {
        return Err(Error::NotSupervised("the descriptor's number is one of the standard ones"));
    }
    // SAFETY: borrowed for as long as two system calls take, which fail if it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let peer =
        socket_peercred(borrowed).map_err(|_| Error::NotSupervised("the descriptor is no socket of ours"))?;
    if getppid() != Some(peer.pid) {
        return Err(Error::NotSupervised("the supervisor is not the parent of this process"));
    }
    let flags = fcntl_getfd(borrowed)
        .and_then(|flags| fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC))
        .map_err(|error| Error::system("keep the descriptor to this process")(error.into()));
    flags?;
    // SAFETY: open, as the calls above have shown; inherited from the supervisor, which made it for this one
    // taker, as it is the other end that says who made it. The caller takes it once.
    Ok(unsafe { UnixStream::from_raw_fd(number) })
}
