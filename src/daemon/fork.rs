#![allow(unsafe_code, reason = "fork has no safe wrapper")]
//! Puts the daemon into the background. The parent process waits until the child has started or failed, and then ends
//! with the child's status, so that the caller learns whether the daemon runs.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};

use rustix::process::setsid;

use super::exit::{Exit, Fatal};

/// The child's end of the pipe to the waiting parent.
#[derive(Debug)]
pub(super) struct Background {
    parent: File,
}

/// The side of the fork on which this process is.
#[derive(Debug)]
pub(super) enum Side {
    /// The child process, which becomes the daemon.
    Child(Background),
    /// The original process, which ends with this status.
    Parent(u8),
}

/// Forks the process. Call it while there is only one thread.
///
/// # Errors
/// The system refuses a pipe or a process.
pub(super) fn fork() -> Result<Side, Fatal> {
    let failed = |error: io::Error| Fatal::new(Exit::Fork, format!("Can't go into the background: {error}"));
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    // SAFETY: no other thread exists yet (no runtime, no log writer), so the child finds no lock held
    // that nobody will give back.
    match unsafe { libc::fork() } {
        -1 => Err(failed(io::Error::last_os_error())),
        0 => {
            drop(reader);
            setsid().map_err(|error| failed(error.into()))?;
            Ok(Side::Child(Background { parent: writer.into() }))
        }
        _child => {
            drop(writer);
            let mut status = [0];
            // No byte means that the child died without a report.
            match File::from(reader).read_exact(&mut status) {
                Ok(()) => Ok(Side::Parent(status[0])),
                Err(_) => Err(Fatal::new(Exit::Fork, "The daemon died while it started; see the log")),
            }
        }
    }
}

impl Background {
    /// Reports to the parent that the daemon runs, and detaches from the terminal.
    ///
    /// # Errors
    /// Standard input and output cannot be redirected.
    pub(super) fn started(self) -> Result<(), Fatal> {
        let failed = |error: io::Error| {
            Fatal::new(Exit::Stdio, format!("Can't redirect standard input and output to /dev/null: {error}"))
        };
        let null = OpenOptions::new().read(true).write(true).open("/dev/null").map_err(failed)?;
        let redirected = rustix::stdio::dup2_stdin(&null)
            .and_then(|()| rustix::stdio::dup2_stdout(&null))
            .and_then(|()| rustix::stdio::dup2_stderr(&null));
        redirected.map_err(|error| failed(error.into()))?;
        self.tell(Exit::Done);
        Ok(())
    }

    /// Reports to the parent that the daemon could not start.
    pub(super) fn failed(self, exit: Exit) {
        self.tell(exit);
    }

    fn tell(mut self, exit: Exit) {
        // The parent may be gone.
        let _ = self.parent.write_all(&[exit.status()]);
    }
}
