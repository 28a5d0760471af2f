//! The API of a supervised process: its connection to its supervisor.

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

/// The environment variable with the number of the inherited descriptor.
pub(super) const VARIABLE: &str = "ANNULUS_SAM_FD";

/// Whether the worker of this process has been taken.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The connection of a supervised process to its supervisor. All calls may come from any thread.
///
/// The process is checked from [`start`](Worker::start) to [`stop`](Worker::stop). In between, its end is a failure
/// whatever its exit status, and so is dropping this value. Outside of that time, the supervisor ends when the
/// process does, with the same status.
#[must_use = "a worker that drops this cannot be started"]
#[derive(Debug)]
pub struct Worker {
    inner: Arc<Inner>,
}

struct Inner {
    socket: UnixStream,
    instance: u32,
    interval: Option<Duration>,
    /// Held while a command is written, so that commands do not mix.
    mouth: Mutex<()>,
    /// Held from a command to its answer.
    turn: Mutex<()>,
    /// The stored data, as the supervisor has it.
    data: Mutex<Bytes>,
    check: Mutex<Option<Arc<Mutex<Check>>>>,
    started: AtomicBool,
    rounds: Rounds,
}

impl Worker {
    /// Returns the connection of this process to the [`Supervisor`](super::Supervisor) that started it.
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

    /// Makes the worker for this socket to the supervisor.
    ///
    /// # Errors
    /// The supervisor gives no valid answer.
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

    /// The number of this instance: 1 for the first, one more at each restart (0 follows 2³¹ - 1).
    pub fn instance(&self) -> u32 {
        self.inner.instance
    }

    /// The longest silence that the policy allows; `None` if it allows any.
    pub fn interval(&self) -> Option<Duration> {
        self.inner.interval
    }

    /// The data stored last by this or an earlier instance; empty if there is none.
    pub fn data(&self) -> Bytes {
        lock(&self.inner.data).clone()
    }

    /// Stores `data` at the supervisor in place of the earlier data; empty data removes it. When this returns, the
    /// next instance will get it.
    ///
    /// # Errors
    /// [`Error::TooLong`]: more than [`MAX_DATA`] bytes. Also fails if the supervisor is gone.
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

    /// Starts health checks. If the policy needs quorum, waits until there is quorum, however long that takes; other
    /// calls that need an answer wait with it.
    ///
    /// # Errors
    /// [`Error::State`]: already started. Also fails if the supervisor is gone, or the system refuses a thread.
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

    /// Stops health checks: the process may then end without being restarted. After a warning, this lets the process
    /// end in good order.
    ///
    /// # Errors
    /// [`Error::State`]: not started. Also fails if the supervisor is gone.
    pub fn stop(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let _turn = lock(&inner.turn);
        inner.must_be_started("stop")?;
        inner.rounds.next();
        inner.ask(Command::Stop, &[], "stop")?;
        inner.started.store(false, Ordering::Release);
        Ok(())
    }

    /// Gives a sign of life. Call it at least once in every interval. Never blocks.
    ///
    /// # Errors
    /// [`Error::State`]: the worker is not started. Also fails if the supervisor is gone.
    pub fn heartbeat(&self) -> Result<(), Error> {
        self.inner.must_be_started("heartbeat")?;
        self.inner.beat()
    }

    /// Lets a thread give the signs of life from [`Worker::start`] to [`Worker::stop`], four in an interval, and call
    /// `check` after every fourth. If `check` returns `false`, panics or does not return, the signs of life stop, and
    /// the supervisor treats that as silence.
    ///
    /// # Errors
    /// [`Error::NoInterval`]: the policy asks for no signs of life; [`Error::State`]: the worker is started.
    pub fn check_health(&self, check: impl FnMut() -> bool + Send + 'static) -> Result<(), Error> {
        self.set_check(Some(Box::new(check)))
    }

    /// Undoes [`Worker::check_health`]: the application gives the signs of life itself.
    ///
    /// # Errors
    /// As [`Worker::check_health`].
    pub fn check_health_no_more(&self) -> Result<(), Error> {
        self.set_check(None)
    }

    /// Sets the warning signal. Default: SIGTERM. With SIGKILL the worker is killed without a warning.
    ///
    /// # Errors
    /// [`Error::Signal`]: there is no such signal. Also fails if the supervisor is gone.
    pub fn warn_with(&self, signal: i32) -> Result<(), Error> {
        if !is_signal(signal) {
            return Err(Error::Signal(signal));
        }
        let _turn = lock(&self.inner.turn);
        self.inner.ask(Command::WarnWith(signal), &[], "change the signal")
    }

    /// Gives up: the supervisor kills this process without a warning and starts no other. The key `state` in the
    /// registry becomes `failed`, for a watchdog to see.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub fn mark_failed(&self) -> Result<(), Error> {
        self.inner.say(Command::MarkFailed, &[])
    }

    /// Ends supervision in good order, and stops health checks first if they run. The process may go on; when it
    /// ends, the supervisor ends with the same status.
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

    /// Sends a command and waits for the answer. The caller must hold `turn`.
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

    /// Writes all bytes; with `DONTWAIT`, all or nothing. If the socket is full, the supervisor has enough signs of
    /// life to read.
    fn write(&self, mut bytes: &[u8], mut how: SendFlags) -> Result<(), Error> {
        while !bytes.is_empty() {
            match rustix::net::send(&self.socket, bytes, how | SendFlags::NOSIGNAL) {
                Ok(sent) => {
                    bytes = &bytes[sent..];
                    how.remove(SendFlags::DONTWAIT); // a message that was begun is completed
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
    // Every change is complete before any code can panic, so the data of a poisoned lock is valid.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("instance", &self.instance).finish_non_exhaustive()
    }
}
