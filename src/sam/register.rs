//! Supervision of the calling program itself: the process forks, the copy goes on as the worker, and the original
//! process supervises it.

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

/// Whether this process, or one that it was forked from, has registered.
static REGISTERED: AtomicBool = AtomicBool::new(false);

/// Forks this process, and returns in the new one, the worker. On every restart it returns again, in a new process
/// that is a copy of the supervisor as it was at the call.
///
/// The original process becomes the supervisor. The call does not return in it; it ends with the worker's exit status
/// (128 plus the signal, if one killed the worker). SIGTERM, SIGINT and SIGHUP, unless ignored, end the worker in
/// good order first: SIGTERM, and SIGKILL after the grace period. If the supervisor dies, the worker gets SIGTERM.
///
/// **Call this first in `main`**, before threads, a runtime, connections and locks. Descriptors open at the call are
/// shared by all instances, and every instance begins with a copy of the memory. For a program that cannot do this,
/// use a [`Supervisor`](super::Supervisor).
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
/// Nothing is started. [`Error::Threads`]: this is not the only thread; [`Error::Twice`]: the process has registered
/// before; [`Error::Desk`]: the policy needs the daemon, which cannot be reached or refuses; [`Error::System`].
///
/// Source: `sam_register(3)`.
pub fn register(policy: &Policy) -> Result<Worker, Error> {
    register_at(policy, Daemon::default())
}

/// Like [`register`], with another daemon than the usual one of this host, or with none.
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

/// When this returns in the worker, all resources of the supervisor have been released.
fn supervise(policy: &Policy, desks: &Arc<dyn Desks>) -> Result<Done, Error> {
    let control = Control::new()?;
    let signals = Held::new().map_err(Error::system("wait for signals"))?;
    Loop::new(policy, desks, &control, Some(&signals), true, Forks).run()
}

/// Launches instances by forking this process.
struct Forks;

impl Launcher for Forks {
    const ALONE: bool = true;

    fn launch(&mut self) -> Result<Launched, Error> {
        let (ours, theirs) = UnixStream::pair().map_err(Error::system("make a socket"))?;
        // Otherwise both processes would print what is buffered.
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
