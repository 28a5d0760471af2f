//! The worker's process, held by a pidfd: its id cannot be reused by another process while it is signalled, and its
//! end is noticed even if its own children keep the line open.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It exited with this status.
    Status(i32),
    /// This signal killed it.
    Signal(i32),
    /// Unknown, because other code in this process has already waited for it.
    Unknown,
}

impl Exit {
    /// The exit status for a supervisor that passes on the end of its worker: the worker's status, or 128 plus the
    /// signal as in shells. (libsam ends with 0 after a signal, which looks like success.)
    pub fn code(self) -> i32 {
        match self {
            Self::Status(status) => status,
            Self::Signal(signal) => 128 + signal,
            Self::Unknown => 1,
        }
    }
}

/// Whether a signal with this number exists and is not a real-time signal.
pub(super) fn is_signal(number: i32) -> bool {
    Signal::from_named_raw(number).is_some()
}

/// A child process of this process.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    descriptor: OwnedFd,
}

impl Process {
    /// Takes the child with this id, for which nobody has waited yet.
    ///
    /// # Errors
    /// The system has no more descriptors, or is older than Linux 5.4.
    pub(super) fn of(pid: Pid) -> io::Result<Self> {
        // The descriptor is closed on exec, as all pidfds are.
        Ok(Self { pid, descriptor: pidfd_open(pid, PidfdFlags::empty())? })
    }

    pub(super) fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Sends a signal; it has no effect on a process that has ended.
    pub(super) fn signal(&self, signal: i32) {
        let Some(signal) = Signal::from_named_raw(signal) else { return };
        if let Err(error) = pidfd_send_signal(&self.descriptor, signal)
            && error != Errno::SRCH
        {
            tracing::warn!(pid = self.id(), "the worker cannot be signalled: {error}");
        }
    }

    /// How the process ended, if it did; this call reaps it. Does not block.
    pub(super) fn ended(&self) -> Option<Exit> {
        match waitid(WaitId::PidFd(self.descriptor.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(None) | Err(Errno::INTR) => None,
            Ok(Some(status)) => Some(
                status
                    .exit_status()
                    .map(Exit::Status)
                    .or_else(|| status.terminating_signal().map(Exit::Signal))
                    .unwrap_or(Exit::Unknown),
            ),
            Err(_) => Some(Exit::Unknown),
        }
    }
}

/// Readable when the process has ended.
impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[allow(clippy::zombie_processes, reason = "waited for by its descriptor, which is what is tested")]
    fn run(script: &str) -> Process {
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        Process::of(Pid::from_child(&child)).unwrap()
    }

    fn wait(process: &Process) -> Exit {
        let mut wanted = [rustix::event::PollFd::new(process, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut wanted, None).unwrap();
        process.ended().unwrap()
    }

    #[test]
    fn exit_status_and_signal_are_told_apart() {
        assert_eq!(wait(&run("exit 3")), Exit::Status(3));
        let sleeper = run("exec sleep 1000");
        assert_eq!(sleeper.ended(), None);
        sleeper.signal(libc::SIGKILL);
        assert_eq!(wait(&sleeper), Exit::Signal(libc::SIGKILL));
        assert_eq!(sleeper.ended(), Some(Exit::Unknown), "waited for already");
        sleeper.signal(libc::SIGKILL); // has no effect
    }

    #[test]
    fn a_killed_worker_is_not_a_success() {
        assert_eq!(Exit::Status(5).code(), 5);
        assert_eq!(Exit::Signal(9).code(), 137);
        assert_ne!(Exit::Unknown.code(), 0);
    }
}
