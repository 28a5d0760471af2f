//! The loop around [`Machine`]: waits for the worker's line and process, changes of quorum, a request to end, and
//! timers, and carries out the actions of the machine.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::desk::{self, Bell, Change, Desk, Picture};
use super::error::Error;
use super::fork::Held;
use super::line::{Heard, Line};
use super::machine::{Action, Input, Machine};
use super::policy::{MAX_DATA, Policy};
use super::process::{Exit, Process};
use super::registry::Desks;
use super::wire::Answer;
use crate::error::Status;
use crate::time::Instant;

/// Commands taken from the worker before other events are looked at again.
const AT_ONCE: usize = 64;

/// Most commands taken from a worker that has ended, as its children may go on writing.
const LAST_WORDS: usize = 4096;

/// If the loop wakes up late by this much, or by half an interval, the worker may not have run either.
const LATE: Duration = Duration::from_millis(100);

/// Longest wait at the end for the daemon to take the last changes.
const FAREWELL: Duration = Duration::from_secs(10);

/// How supervision ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The exit of the last instance.
    pub exit: Exit,
    /// Number of instances that were started.
    pub instances: u64,
    /// Whether the worker failed and was not to be started again: by its policy, by
    /// [`Worker::mark_failed`](super::Worker::mark_failed), or because it failed too often. The key `state` is then
    /// `failed`; otherwise the keys are removed.
    pub failed: bool,
}

/// The way in which instances of a worker are started.
pub(super) trait Launcher {
    /// Whether this process must have no other thread during a launch.
    const ALONE: bool;

    /// Starts an instance.
    ///
    /// # Errors
    /// The system refuses a process, or other threads run.
    fn launch(&mut self) -> Result<Launched, Error>;
}

/// The result of a launch.
pub(super) enum Launched {
    /// This process is the new instance; the socket leads to its supervisor.
    Here(UnixStream),
    /// The instance is another process, with the line to it if it has one.
    There(Process, Option<UnixStream>),
}

/// Why the loop returned.
pub(super) enum Done {
    /// Supervision is over.
    Ended(Outcome),
    /// This process is an instance, with its socket to the supervisor.
    Worker(UnixStream),
}

/// Why the loop ends before its turn is complete.
enum Over {
    Done(Done),
    Failed(Error),
}

impl From<Error> for Over {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Lets other threads end the loop.
#[derive(Debug)]
pub(super) struct Control {
    stop: AtomicBool,
    bell: Arc<Bell>,
}

impl Control {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self { stop: AtomicBool::new(false), bell: Arc::new(Bell::new()?) })
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.bell.ring();
    }
}

/// The state of one supervision.
pub(super) struct Loop<'a, L> {
    policy: &'a Policy,
    desks: &'a Arc<dyn Desks>,
    control: &'a Control,
    /// Signals that have the effect of [`Control::stop`].
    signals: Option<&'a Held>,
    launcher: L,
    machine: Machine,
    picture: Option<Picture>,
    desk: Option<Desk>,
    worker: Option<Process>,
    line: Option<Line>,
    /// The stored data, given to the next instance.
    data: Bytes,
    instance: u32,
    instances: u64,
    exit: Exit,
    quorate: bool,
}

impl<'a, L: Launcher> Loop<'a, L> {
    /// Makes the loop. `speaks`: whether the workers report when they start and stop.
    pub(super) fn new(
        policy: &'a Policy,
        desks: &'a Arc<dyn Desks>,
        control: &'a Control,
        signals: Option<&'a Held>,
        speaks: bool,
        launcher: L,
    ) -> Self {
        Self {
            policy,
            desks,
            control,
            signals,
            launcher,
            machine: Machine::new(policy, speaks),
            picture: Picture::of(policy),
            desk: None,
            worker: None,
            line: None,
            data: policy.data.clone(),
            instance: 0,
            instances: 0,
            exit: Exit::Unknown,
            quorate: false,
        }
    }

    /// Supervises until the supervision ends.
    ///
    /// # Errors
    /// The daemon is needed and cannot be reached, or the first instance cannot be started. Later, the same errors
    /// are retried or count as failures of the worker.
    pub(super) fn run(mut self) -> Result<Done, Error> {
        if self.data.len() > MAX_DATA {
            return Err(Error::TooLong { got: self.data.len(), limit: MAX_DATA });
        }
        desk::check(self.policy, &**self.desks)?;
        if !L::ALONE {
            self.open_desk()?;
        }
        let first = self.machine.begin(now());
        let over = match self.perform(first, Vec::new()) {
            Err(over) => over,
            Ok(()) => loop {
                if let Err(over) = self.round() {
                    break over;
                }
            },
        };
        match over {
            Over::Done(done) => Ok(done),
            Over::Failed(error) => Err(error),
        }
    }

    /// Waits for events and handles all that have occurred. Signs of life are handled before their deadline, and the
    /// last commands of a worker before its end.
    fn round(&mut self) -> Result<(), Over> {
        self.wait()?;
        self.control.bell.quiet();
        let quorate = self.desk.as_ref().is_some_and(Desk::quorate);
        if std::mem::replace(&mut self.quorate, quorate) != quorate {
            self.feed(Input::Quorum(quorate))?;
        }
        self.listen(AT_ONCE)?;
        if let Some(exit) = self.worker.as_ref().and_then(Process::ended) {
            self.listen(LAST_WORDS)?;
            let pid = self.worker.take().map(|worker| worker.id());
            tracing::info!(pid, instance = self.instance, ?exit, "worker ended");
            self.line = None;
            self.exit = exit;
            self.feed(Input::Exited { well: exit == Exit::Status(0) })?;
        }
        if self.control.stop.swap(false, Ordering::AcqRel) || self.signals.is_some_and(Held::take) {
            self.feed(Input::Stop)?;
        }
        self.feed(Input::Time)
    }

    /// Takes commands and parts of commands from the worker, at most `pieces`.
    fn listen(&mut self, pieces: usize) -> Result<(), Over> {
        for _ in 0..pieces {
            match self.line.as_mut().map_or(Heard::Nothing, Line::hear) {
                Heard::Nothing => break,
                Heard::Part => self.feed(Input::Murmur)?,
                Heard::Closed => self.feed(Input::Closed)?,
                Heard::Command(command, data) => {
                    let todo = self.machine.step(now(), Input::Command(command));
                    self.perform(todo, data)?;
                }
            }
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<(), Over> {
        let deadline = self.machine.deadline();
        let timeout = deadline.and_then(|deadline| Timespec::try_from(deadline.since(now())).ok());
        let mut wanted = vec![PollFd::new(&self.control.bell, PollFlags::IN)];
        wanted.extend(self.signals.map(|signals| PollFd::new(signals.descriptor(), PollFlags::IN)));
        wanted.extend(self.worker.as_ref().map(|worker| PollFd::new(worker, PollFlags::IN)));
        let line = self.line.as_ref().filter(|line| line.is_open());
        wanted.extend(line.map(|line| PollFd::from_borrowed_fd(line.as_fd(), line.wants())));
        match poll(&mut wanted, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Error::system("wait for the worker")(error.into()).into()),
        }
        let late = self.policy.interval.map_or(LATE, |interval| (interval / 2).max(LATE));
        if deadline.is_some_and(|deadline| now().since(deadline) > late) {
            self.feed(Input::Paused)?;
        }
        Ok(())
    }

    fn feed(&mut self, input: Input) -> Result<(), Over> {
        let todo = self.machine.step(now(), input);
        self.perform(todo, Vec::new())
    }

    /// Carries out the actions. `data` came with the command that they follow from.
    fn perform(&mut self, todo: Vec<Action>, mut data: Vec<u8>) -> Result<(), Over> {
        let mut todo = VecDeque::from(todo);
        while let Some(action) = todo.pop_front() {
            match action {
                Action::Launch(instance) => todo.extend(self.launch(instance)?),
                Action::Greet => {
                    let data = self.data.clone();
                    self.answer(Status::Ok, &data);
                }
                Action::Keep => self.data = std::mem::take(&mut data).into(),
                Action::Answer(status) => self.answer(status, &Bytes::new()),
                Action::Signal(signal) => {
                    if let Some(worker) = &self.worker {
                        let instance = self.instance;
                        tracing::info!(pid = worker.id(), instance, signal, "worker signalled");
                        worker.signal(signal);
                    }
                }
                Action::Touch => self.write(Change::Updated(monotonic_ns())),
                Action::Show(state) => self.write(Change::State(state)),
                Action::Forget => self.write(Change::Gone),
                Action::End { failed } => {
                    self.say_farewell();
                    let outcome = Outcome { exit: self.exit, instances: self.instances, failed };
                    return Err(Over::Done(Done::Ended(outcome)));
                }
            }
        }
        Ok(())
    }

    /// Starts an instance. Returns the actions that follow if that fails.
    fn launch(&mut self, instance: u32) -> Result<Vec<Action>, Over> {
        let mut todo = Vec::new();
        if L::ALONE
            && let Some(desk) = self.desk.take()
        {
            desk.join();
            // Unknown until the reopened desk reports it.
            self.quorate = false;
            todo = self.machine.step(now(), Input::Quorum(false));
        }
        let launched = self.launcher.launch();
        if let Ok(Launched::Here(socket)) = launched {
            return Err(Over::Done(Done::Worker(socket)));
        }
        if L::ALONE {
            self.open_desk()?;
        }
        match launched {
            Ok(Launched::Here(_)) => {}
            Ok(Launched::There(process, socket)) => {
                tracing::info!(pid = process.id(), instance, "worker started");
                self.worker = Some(process);
                self.line = socket.map(Line::new).transpose().map_err(Error::system("use the line"))?;
                self.instance = instance;
                self.instances += 1;
            }
            Err(error) if self.instances == 0 => {
                self.write(Change::Gone);
                self.say_farewell();
                return Err(error.into());
            }
            Err(error) => {
                tracing::error!(instance, "the worker cannot be started: {error}");
                todo.extend(self.machine.step(now(), Input::NotLaunched));
            }
        }
        Ok(todo)
    }

    fn answer(&mut self, status: Status, data: &Bytes) {
        let interval_ms = self.policy.poll_period_ms();
        if let Some(line) = &mut self.line {
            line.answer(Answer { status, instance: self.instance, interval_ms }, data);
        }
    }

    fn open_desk(&mut self) -> Result<(), Error> {
        let (picture, quorum) = (self.picture.clone(), self.policy.quorum);
        if picture.is_some() || quorum {
            let news = Arc::clone(&self.control.bell);
            self.desk = Some(Desk::open(Arc::clone(self.desks), picture, quorum, news)?);
        }
        Ok(())
    }

    fn write(&mut self, change: Change) {
        if let Some(picture) = &mut self.picture {
            picture.note(change);
            if let Some(desk) = &self.desk {
                desk.write(change);
            }
        }
    }

    /// Gives the daemon time to take the last changes.
    fn say_farewell(&mut self) {
        let Some(desk) = self.desk.take() else { return };
        desk.close();
        let end = now() + FAREWELL;
        while !desk.is_done() && now() < end {
            let left = Timespec::try_from(end.since(now())).ok();
            let _ = poll(&mut [PollFd::new(&self.control.bell, PollFlags::IN)], left.as_ref());
            self.control.bell.quiet();
        }
    }
}

/// A worker never outlives its supervision.
impl<L> Drop for Loop<'_, L> {
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            worker.signal(libc::SIGKILL);
        }
    }
}

fn now() -> Instant {
    Instant::from_micros(monotonic_ns() / 1000)
}

/// The monotonic clock in ns, as in the key `last_updated`.
fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0) * 1_000_000_000 + nanos.unwrap_or(0)
}
