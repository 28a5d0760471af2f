//! Supervision of another program, or of this one started anew. For programs with threads, which cannot be forked
//! safely.

use std::fmt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;

use rustix::process::Pid;

use super::daemon::Daemon;
use super::error::Error;
use super::fork::Inherited;
use super::policy::Policy;
use super::process::Process;
use super::registry::Desks;
use super::supervise::{Control, Done, Launched, Launcher, Loop, Outcome};
use super::worker::VARIABLE;

/// Starts a program, and restarts it when it fails.
///
/// The program calls [`Worker::inherited`](super::Worker::inherited), or is any program at all
/// ([`Supervisor::of_any`]). It gets SIGTERM when the supervisor's thread ends.
///
/// ```no_run
/// use std::process::Command;
/// use std::time::Duration;
/// use annulus::sam::{Policy, Supervisor};
///
/// # fn main() -> Result<(), annulus::sam::Error> {
/// let policy = Policy::restart().interval(Duration::from_secs(2)).needs_quorum();
/// let outcome = Supervisor::new(policy, Command::new("my-service"))?.run()?;
/// println!("ended with {} after {} instances", outcome.exit.code(), outcome.instances);
/// # Ok(()) }
/// ```
pub struct Supervisor {
    policy: Policy,
    command: Command,
    speaks: bool,
    desks: Arc<dyn Desks>,
    control: Arc<Control>,
}

/// Ends a supervision from another thread or task.
#[derive(Clone, Debug)]
pub struct Handle {
    control: Arc<Control>,
}

impl Supervisor {
    /// A supervisor of a program that calls [`Worker::inherited`](super::Worker::inherited) and reports itself when
    /// it starts and stops. Its end before the first report is a failure too.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn new(policy: Policy, command: Command) -> Result<Self, Error> {
        let control = Arc::new(Control::new()?);
        Ok(Self { policy, command, speaks: true, desks: Arc::new(Daemon::default()), control })
    }

    /// A supervisor of a program that is not written for supervision. It counts as started while it runs, and is
    /// launched only when there is quorum if the policy needs quorum. Its end is a failure unless its status is 0. It
    /// gives no signs of life.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn of_any(policy: Policy, command: Command) -> Result<Self, Error> {
        Ok(Self { speaks: false, ..Self::new(policy, command)? })
    }

    /// Uses another daemon than the usual one of this host, or none.
    #[must_use]
    pub fn at(self, desks: impl Desks) -> Self {
        Self { desks: Arc::new(desks), ..self }
    }

    /// A handle that ends the supervision.
    pub fn handle(&self) -> Handle {
        Handle { control: Arc::clone(&self.control) }
    }

    /// Supervises until the worker ends in good order or fails for good, or [`Handle::stop`] is called. Blocks the
    /// calling thread; in asynchronous code, use a thread of its own.
    ///
    /// # Errors
    /// Nothing is started: the policy needs the daemon, which cannot be reached or refuses; the program cannot be
    /// started; the system refuses something. Later, such errors are retried or count as failures of the worker.
    pub fn run(mut self) -> Result<Outcome, Error> {
        let inherited = Inherited::default();
        inherited.prepare(&mut self.command);
        self.command.env_remove(VARIABLE);
        let programs = Programs { command: &mut self.command, speaks: self.speaks, inherited };
        match Loop::new(&self.policy, &self.desks, &self.control, None, self.speaks, programs).run()? {
            Done::Ended(outcome) => Ok(outcome),
            // Only the launcher that forks returns this.
            Done::Worker(_) => Err(Error::Protocol),
        }
    }
}

impl Handle {
    /// Ends the worker: SIGTERM, and SIGKILL after the policy's grace period. [`Supervisor::run`] then returns. If
    /// called before `run`, it ends the first instance.
    pub fn stop(&self) {
        self.control.stop();
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("policy", &self.policy)
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

/// Launches instances as processes of a command.
struct Programs<'a> {
    command: &'a mut Command,
    speaks: bool,
    inherited: Inherited,
}

impl Launcher for Programs<'_> {
    const ALONE: bool = false;

    fn launch(&mut self) -> Result<Launched, Error> {
        let line = if self.speaks {
            let (ours, theirs) = UnixStream::pair().map_err(Error::system("make a socket"))?;
            self.command.env(VARIABLE, self.inherited.set(&theirs).to_string());
            Some((ours, theirs))
        } else {
            None
        };
        let child = self.command.spawn().map_err(|source| Error::Launch {
            program: self.command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
        let process = Process::of(Pid::from_child(&child)).map_err(Error::system("watch the worker"))?;
        Ok(Launched::There(process, line.map(|(ours, _)| ours)))
    }
}
