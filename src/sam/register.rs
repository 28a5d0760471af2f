//! Supervision of the calling program itself: the process forks, the copy goes on as the worker, and the process that
//! was there supervises it.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::daemon::Daemon;
use super::error::Error;
use super::fork::{self, Held, Side};
use super::policy::Policy;
use super::process::Process;
use super::registry::Desks;
use super::supervise::{Control, Done, Launched, Launcher, Loop};
use super::worker::Worker;

/// Whether this process, or the one that it was forked from, has registered.
static REGISTERED: AtomicBool = AtomicBool::new(false);

/// Splits this process in two, and returns in the new one, the worker. Every restart returns here again, in a
/// process of its own that is a copy of this one as it is now.
///
/// The process that was there is the supervisor. It does not return, and ends with the worker's exit status (128
/// and the signal, if that ended it). SIGTERM, SIGINT and SIGHUP that it does not ignore end the worker in good order
/// first: SIGTERM, and after the grace SIGKILL. If it dies, the worker gets SIGTERM.
///
/// **Call this first in `main`**, before threads, a runtime, connections and locks. What is open by then is
/// shared by all instances, and what is in memory is what every instance begins with. A program that cannot
/// do that is better supervised by a [`Supervisor`](super::Supervisor).
///
/// ```no_run
/// use annulus::sam::{self, Policy};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let worker = sam::register(&Policy::restart())?;
///     println!("instance {}", worker.instance());
///     worker.start()?;
///     // The work. Runtimes and threads begin here.
///     worker.stop()?;
///     Ok(())
/// }
/// ```
///
/// # Errors
/// Nothing was started: [`Error::Threads`]: this is not the only thread; [`Error::Twice`]: the process has
/// registered before; [`Error::Desk`]: the policy needs the daemon, and it cannot be asked; [`Error::System`].
///
/// Source: `sam_register(3)`.
pub fn register(policy: &Policy) -> Result<Worker, Error> {
    register_at(policy, Daemon::default())
}

/// The same with another daemon than this host's usual one, or with none.
///
/// # Errors
/// As [`register`].
pub fn register_at(policy: &Policy, desks: impl Desks) -> Result<Worker, Error> {
    fork::alone()?;
    if REGISTERED.swap(true, Ordering::AcqRel) {
        return Err(Error::Twice("register"));
    }
    let supervised = supervise(policy, &(Arc::new(desks) as Arc<dyn Desks>));
    if supervised.is_err() {
        REGISTERED.store(false, Ordering::Release);
    }
    match supervised? {
        Done::Worker(socket) => Worker::new(socket),
        Done::Ended(outcome) => std::process::exit(outcome.exit.code()),
    }
}

/// In the worker, everything of the supervisor's is gone when this returns.
fn supervise(policy: &Policy, desks: &Arc<dyn Desks>) -> Result<Done, Error> {
    let control = Control::new()?;
    let signals = Held::new().map_err(Error::system("wait for signals"))?;
    Loop::new(policy, desks, &control, Some(&signals), true, Forks).run()
}

/// Instances are copies of this process.
struct Forks;

impl Launcher for Forks {
    const ALONE: bool = true;

    fn launch(&mut self) -> Result<Launched, Error> {
        let (ours, theirs) = UnixStream::pair().map_err(Error::system("make a socket"))?;
        // Or both would print what waits in it.
        let _ = std::io::stdout().flush();
        match fork::fork()? {
            Side::Child => Ok(Launched::Here(theirs)),
            Side::Parent(pid) => {
                let process = Process::of(pid).map_err(Error::system("watch the worker"))?;
                Ok(Launched::There(process, Some(ours)))
            }
        }
    }
}
