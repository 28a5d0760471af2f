//! A worker's side: how a supervised process speaks with its supervisor.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::error::Error;
use super::fork;
use super::health::{Check, Rounds, keep_alive};
use super::policy::MAX_DATA;
use super::process::is_signal;
use super::wire::{ANSWER, Answer, Command};
use crate::error::Status;

/// Where a supervised program finds the number of its descriptor.
pub(super) const VARIABLE: &str = "ANNULUS_SAM_FD";

/// That of this process has been taken.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A supervised process's way to its supervisor. All calls may come from any thread.
///
/// It is supervised from [`start`](Worker::start) to [`stop`](Worker::stop). In between its end is a failure,
/// whatever its exit status, and so is dropping this; outside of it, its end ends the supervisor with the same status.
#[must_use = "a worker that drops this cannot be started"]
#[derive(Debug)]
pub struct Worker {
    inner: Arc<Inner>,
}

struct Inner {
    socket: UnixStream,
    instance: u32,
    interval: Option<Duration>,
    /// Held while a command is written.
    mouth: Mutex<()>,
    /// Held from a question to its answer.
    turn: Mutex<()>,
    /// As the supervisor has it.
    data: Mutex<Bytes>,
    check: Mutex<Option<Arc<Mutex<Check>>>>,
    started: AtomicBool,
    rounds: Rounds,
}

impl Worker {
    /// The worker that this process is, as a program that a [`Supervisor`](super::Supervisor) started.
    ///
    /// # Errors
    /// [`Error::NotSupervised`]: there is no supervisor, or it is not this process's parent;
    /// [`Error::Twice`]: this was called before.
    pub fn inherited() -> Result<Self, Error> {
        let number = std::env::var(VARIABLE)
            .map_err(|_| Error::NotSupervised("ANNULUS_SAM_FD is not set"))?
            .parse()
            .map_err(|_| Error::NotSupervised("ANNULUS_SAM_FD is not a number"))?;
        if TAKEN.swap(true, Ordering::AcqRel) {
            return Err(Error::Twice("Worker::inherited"));
        }
        Self::new(fork::inherited(number)?)
    }

    /// The worker at this end of the line.
    ///
    /// # Errors
    /// The supervisor does not answer as it should.
    pub(super) fn new(socket: UnixStream) -> Result<Self, Error> {
        let mut inner = Inner {
            socket,
            instance: 0,
            interval: None,
            mouth: Mutex::default(),
            turn: Mutex::default(),
            data: Mutex::default(),
            check: Mutex::default(),
            started: AtomicBool::new(false),
            rounds: Rounds::default(),
        };
        inner.say(Command::Hello, &[])?;
        let (answer, data) = inner.answer()?;
        inner.instance = answer.instance;
        inner.interval = Some(Duration::from_millis(answer.interval_ms)).filter(|time| !time.is_zero());
        inner.data = Mutex::new(data);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Which instance this is: 1 is the first, and every restart counts one up (0 comes after 2³¹ - 1).
    pub fn instance(&self) -> u32 {
        self.inner.instance
    }

    /// The longest silence that the policy allows.
    pub fn interval(&self) -> Option<Duration> {
        self.inner.interval
    }

    /// What was stored last, by this or an earlier instance; empty if nothing was.
    pub fn data(&self) -> Bytes {
        lock(&self.inner.data).clone()
    }

    /// Has the supervisor keep `data` in place of what it kept before; nothing, to forget it. When this returns, the
    /// next instance will have it.
    ///
    /// # Errors
    /// [`Error::TooLong`]: more than [`MAX_DATA`]. The supervisor is gone.
    pub fn store(&self, data: impl Into<Bytes>) -> Result<(), Error> {
        let data = data.into();
        if data.len() > MAX_DATA {
            return Err(Error::TooLong { got: data.len(), limit: MAX_DATA });
        }
        let _turn = lock(&self.inner.turn);
        self.inner.ask(Command::Store, &data, "store data")?;
        *lock(&self.inner.data) = data;
        Ok(())
    }

    /// Has health looked after from now on. With a policy that needs quorum, waits until there is, however
    /// long; other calls that need an answer wait with it.
    ///
    /// # Errors
    /// [`Error::State`]: it is started already. The supervisor is gone, or the system refuses a thread.
    pub fn start(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let _turn = lock(&inner.turn);
        if inner.started.load(Ordering::Acquire) {
            return Err(Error::State { call: "start", needs: "is not started" });
        }
        inner.ask(Command::Start, &[], "start")?;
        inner.started.store(true, Ordering::Release);
        let (Some(check), Some(interval)) = (lock(&inner.check).clone(), inner.interval) else {
            return Ok(());
        };
        let (round, thread) = (inner.rounds.next(), Arc::clone(inner));
        std::thread::Builder::new()
            .name("sam-health".into())
            .spawn(move || keep_alive(&thread.rounds, round, interval, &check, || thread.beat()))
            .map(drop)
            .map_err(Error::system("start a thread"))
    }

    /// Has health looked after no more: this process may end without being started again. Also the answer to a
    /// warning, if the process is about to end in good order.
    ///
    /// # Errors
    /// [`Error::State`]: it is not started. The supervisor is gone.
    pub fn stop(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let _turn = lock(&inner.turn);
        inner.must_be_started("stop")?;
        inner.rounds.next();
        inner.ask(Command::Stop, &[], "stop")?;
        inner.started.store(false, Ordering::Release);
        Ok(())
    }

    /// A sign of life; to be given at least once in every interval. Never waits.
    ///
    /// # Errors
    /// [`Error::State`]: the worker is not started. The supervisor is gone.
    pub fn heartbeat(&self) -> Result<(), Error> {
        self.inner.must_be_started("heartbeat")?;
        self.inner.beat()
    }

    /// Has a thread give the signs of life from [`Worker::start`] to [`Worker::stop`], four in an interval, and ask
    /// `check` after every fourth whether the application is well. If it says no, panics or does not return, there
    /// are no more signs of life, and the supervisor does what it does about silence.
    ///
    /// # Errors
    /// [`Error::NoInterval`]: the policy asks for no signs of life; [`Error::State`]: the worker is started.
    pub fn check_health(&self, check: impl FnMut() -> bool + Send + 'static) -> Result<(), Error> {
        self.set_check(Some(Box::new(check)))
    }

    /// Takes [`Worker::check_health`] back: the application gives the signs of life itself.
    ///
    /// # Errors
    /// As there.
    pub fn check_health_no_more(&self) -> Result<(), Error> {
        self.set_check(None)
    }

    /// The signal that warns of the end; SIGTERM if nothing is said. SIGKILL: without a warning.
    ///
    /// # Errors
    /// [`Error::Signal`]: there is no such signal. The supervisor is gone.
    pub fn warn_with(&self, signal: i32) -> Result<(), Error> {
        if !is_signal(signal) {
            return Err(Error::Signal(signal));
        }
        let _turn = lock(&self.inner.turn);
        self.inner.ask(Command::WarnWith(signal), &[], "change the signal")
    }

    /// Gives up: the supervisor kills this process without a warning and starts no other; the state in the
    /// registry is `failed`, for a watchdog to see.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub fn mark_failed(&self) -> Result<(), Error> {
        self.inner.say(Command::MarkFailed, &[])
    }

    /// Ends supervision in good order: stops if started. The process may go on; when it ends, so does the
    /// supervisor, with its status.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub fn finish(self) -> Result<(), Error> {
        match self.stop() {
            Ok(()) | Err(Error::State { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn set_check(&self, check: Option<Check>) -> Result<(), Error> {
        let _turn = lock(&self.inner.turn);
        if self.inner.started.load(Ordering::Acquire) {
            return Err(Error::State { call: "check_health", needs: "is not started" });
        }
        if self.inner.interval.is_none() {
            return Err(Error::NoInterval);
        }
        *lock(&self.inner.check) = check.map(|check| Arc::new(Mutex::new(check)));
        Ok(())
    }
}

/// Ends the thread that gives signs of life.
impl Drop for Worker {
    fn drop(&mut self) {
        self.inner.rounds.next();
    }
}

impl Inner {
    fn must_be_started(&self, call: &'static str) -> Result<(), Error> {
        if self.started.load(Ordering::Acquire) {
            Ok(())
        } else {
            Err(Error::State { call, needs: "is started" })
        }
    }

    /// Asks, and waits for the answer. To be called by whoever has the turn.
    fn ask(&self, command: Command, data: &[u8], what: &'static str) -> Result<(), Error> {
        self.say(command, data)?;
        match self.answer()?.0.status {
            Status::Ok => Ok(()),
            status => Err(Error::Refused { what, status }),
        }
    }

    fn say(&self, command: Command, data: &[u8]) -> Result<(), Error> {
        let _mouth = lock(&self.mouth);
        self.write(&command.to_bytes(data.len()), SendFlags::empty())?;
        self.write(data, SendFlags::empty())
    }

    fn beat(&self) -> Result<(), Error> {
        let _mouth = lock(&self.mouth);
        self.write(&Command::Heartbeat.to_bytes(0), SendFlags::DONTWAIT)
    }

    /// Writes all of it; with `DONTWAIT`, all or nothing. If the supervisor has so much unread that there is no room,
    /// it has signs of life enough.
    fn write(&self, mut bytes: &[u8], mut how: SendFlags) -> Result<(), Error> {
        while !bytes.is_empty() {
            match rustix::net::send(&self.socket, bytes, how | SendFlags::NOSIGNAL) {
                Ok(sent) => {
                    bytes = &bytes[sent..];
                    how.remove(SendFlags::DONTWAIT); // what was begun is completed
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(Error::Ended(error.into())),
            }
        }
        Ok(())
    }

    fn answer(&self) -> Result<(Answer, Bytes), Error> {
        let mut head = [0; ANSWER];
        (&self.socket).read_exact(&mut head).map_err(ended)?;
        let (answer, len) = Answer::read(&head).ok_or(Error::Protocol)?;
        let mut data = vec![0; len];
        (&self.socket).read_exact(&mut data).map_err(ended)?;
        Ok((answer, data.into()))
    }
}

fn ended(error: io::Error) -> Error {
    Error::Ended(error)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is complete before anything can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("instance", &self.instance).finish_non_exhaustive()
    }
}
