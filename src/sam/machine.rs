//! The state machine of a supervisor: given the time and one input, it returns the actions to take. It does no IO;
//! [`supervise`](super::supervise) feeds it and carries out the actions.
//!
//! | phase | the worker | if it is silent | if it ends |
//! |---|---|---|---|
//! | `Resting`, `Held` | does not run: pause between instances; waiting for quorum | | |
//! | `Idle` | runs unchecked | ignored | in good order (before its first command: a failure) |
//! | `Waiting` | asked to be started, there is no quorum | ignored | in good order |
//! | `Checked` | is checked | a failure | a failure |
//! | `Warned` | failed or lost quorum, and has the grace period to end | SIGKILL | a failure |
//! | `Killed`, `Ending` | got SIGKILL; was told to end from outside | SIGKILL | as the reason says; in good order |

use std::collections::VecDeque;
use std::time::Duration;

use super::policy::{Limit, Policy, Recovery};
use super::process::is_signal;
use super::registry::WorkerState;
use super::wire::Command;
use crate::error::Status;
use crate::time::Instant;

/// An instance that fails within this time counts as a quick failure.
const QUICK: Duration = Duration::from_secs(1);

/// Pause after the second quick failure in a row; doubled for each further one.
const FIRST_REST: Duration = Duration::from_millis(50);

/// Upper limit of that pause.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// An input of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// The worker sent a command.
    Command(Command),
    /// A part of a long command has arrived, which counts as a sign of life.
    Murmur,
    /// The worker closed its end of the line, or sent invalid bytes.
    Closed,
    /// The worker's process has ended. All its commands were given before.
    Exited {
        /// Whether its exit status was 0.
        well: bool,
    },
    /// The process of a new instance could not be started.
    NotLaunched,
    /// The supervisor itself did not run for a while, and perhaps neither did the worker.
    Paused,
    /// Whether this part of the cluster is quorate.
    Quorum(bool),
    /// The worker and its supervision are to end, from outside.
    Stop,
    /// The time [`Machine::deadline`] has come.
    Time,
}

/// An action to take. Several are taken in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Start the instance with this number.
    Launch(u32),
    /// Answer the worker's `Hello`: instance, interval and stored data.
    Greet,
    /// Store the data that came with the command.
    Keep,
    /// Answer the worker's command with this status.
    Answer(Status),
    /// Send this signal to the worker.
    Signal(i32),
    /// Write the current time to the key `last_updated`.
    Touch,
    /// Write the worker's state to the key `state`.
    Show(WorkerState),
    /// Remove the worker's keys.
    Forget,
    /// End the supervision.
    End {
        /// Whether the worker failed and is not started again.
        failed: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Resting { until: Instant },
    Held,
    Idle { heard: bool },
    Waiting,
    Checked { due: Option<Instant> },
    Warned { until: Instant, cause: Cause },
    Killed { then: Then },
    Ending { until: Instant },
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Missing signs of life; a new one takes the warning back.
    Silence,
    /// Any other failure; nothing that the worker does takes the warning back.
    Final,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Recover,
    Fail,
    Finish,
}

/// The state of one supervision.
#[derive(Debug)]
pub(super) struct Machine {
    recovery: Recovery,
    interval: Option<Duration>,
    grace: Duration,
    needs_quorum: bool,
    limit: Option<Limit>,
    /// Whether the worker itself reports start and stop; otherwise it counts as started while it runs.
    speaks: bool,
    phase: Phase,
    quorate: bool,
    warning: i32,
    instance: u32,
    launched: Instant,
    /// Number of quick failures in a row.
    quick: u32,
    /// Times of the restarts within the period of [`Policy::at_most`].
    restarts: VecDeque<Instant>,
}

impl Machine {
    /// The state before the first instance.
    pub(super) fn new(policy: &Policy, speaks: bool) -> Self {
        Self {
            recovery: policy.recovery,
            interval: policy.interval,
            grace: policy.time_to_end(),
            needs_quorum: policy.quorum,
            limit: policy.limit,
            speaks,
            phase: Phase::Ended,
            quorate: false,
            warning: libc::SIGTERM,
            instance: 0,
            launched: Instant::ZERO,
            quick: 0,
            restarts: VecDeque::new(),
        }
    }

    /// Starts supervision. Call it once, before anything else.
    pub(super) fn begin(&mut self, now: Instant) -> Vec<Action> {
        let mut todo = Vec::new();
        self.launch(now, &mut todo);
        todo
    }

    /// When to call [`Machine::step`] with [`Input::Time`], if no other input comes before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Resting { until } | Phase::Warned { until, .. } | Phase::Ending { until } => Some(until),
            Phase::Checked { due } => due,
            Phase::Held | Phase::Idle { .. } | Phase::Waiting | Phase::Killed { .. } | Phase::Ended => None,
        }
    }

    /// Takes one input and returns the actions that follow from it.
    pub(super) fn step(&mut self, now: Instant, input: Input) -> Vec<Action> {
        let mut todo = Vec::new();
        match input {
            Input::Command(command) => self.obey(now, command, &mut todo),
            Input::Murmur | Input::Paused => self.sign_of_life(now),
            Input::Closed => self.closed(now),
            Input::Exited { well } => self.exited(now, well, &mut todo),
            Input::NotLaunched => self.recover(now, &mut todo),
            Input::Quorum(quorate) => self.quorum(now, quorate, &mut todo),
            Input::Stop => self.stop(now, &mut todo),
            Input::Time => self.time(now, &mut todo),
        }
        todo
    }

    fn obey(&mut self, now: Instant, command: Command, todo: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Resting { .. } | Phase::Held | Phase::Ended) {
            return; // no worker runs
        }
        self.sign_of_life(now);
        if command != Command::Hello {
            todo.push(Action::Touch);
        }
        match command {
            Command::Hello => {
                if let Phase::Idle { heard } = &mut self.phase {
                    *heard = true;
                }
                todo.push(Action::Greet);
            }
            Command::Start if matches!(self.phase, Phase::Idle { .. }) => {
                if self.needs_quorum {
                    todo.push(Action::Show(WorkerState::WaitingForQuorum));
                }
                if self.needs_quorum && !self.quorate {
                    self.phase = Phase::Waiting;
                } else {
                    self.check(now);
                    todo.extend([Action::Show(WorkerState::Running), Action::Answer(Status::Ok)]);
                }
            }
            Command::Stop if matches!(self.phase, Phase::Checked { .. } | Phase::Warned { .. }) => {
                self.phase = Phase::Idle { heard: true };
                todo.extend([Action::Show(WorkerState::Stopped), Action::Answer(Status::Ok)]);
            }
            Command::Start | Command::Stop => todo.push(Action::Answer(Status::BadHandle)),
            Command::Heartbeat => {}
            Command::Store => todo.extend([Action::Keep, Action::Answer(Status::Ok)]),
            Command::WarnWith(signal) if !is_signal(signal) => {
                todo.push(Action::Answer(Status::InvalidParam));
            }
            Command::WarnWith(signal) => {
                self.warning = signal;
                todo.push(Action::Answer(Status::Ok));
            }
            Command::MarkFailed => self.kill(Then::Fail, todo),
        }
    }

    fn sign_of_life(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Checked { .. } | Phase::Warned { cause: Cause::Silence, .. }) {
            self.check(now);
        }
    }

    /// A checked worker that has closed its line has failed. It gets the grace period to end, as it may still have
    /// something to report to its user.
    fn closed(&mut self, now: Instant) {
        let until = match self.phase {
            Phase::Checked { .. } if self.speaks => now + self.grace,
            Phase::Warned { until, cause: Cause::Silence } => until,
            Phase::Checked { .. }
            | Phase::Resting { .. }
            | Phase::Held
            | Phase::Idle { .. }
            | Phase::Waiting
            | Phase::Warned { .. }
            | Phase::Killed { .. }
            | Phase::Ending { .. }
            | Phase::Ended => return,
        };
        self.phase = Phase::Warned { until, cause: Cause::Final };
    }

    fn exited(&mut self, now: Instant, well: bool, todo: &mut Vec<Action>) {
        match self.phase {
            Phase::Resting { .. } | Phase::Held | Phase::Ended => {}
            Phase::Idle { heard: true }
            | Phase::Waiting
            | Phase::Ending { .. }
            | Phase::Killed { then: Then::Finish } => self.finish(todo),
            Phase::Checked { .. } if well && !self.speaks => self.finish(todo),
            Phase::Killed { then: Then::Fail } => self.fail(todo),
            Phase::Idle { heard: false }
            | Phase::Checked { .. }
            | Phase::Warned { .. }
            | Phase::Killed { then: Then::Recover } => self.recover(now, todo),
        }
    }

    fn quorum(&mut self, now: Instant, quorate: bool, todo: &mut Vec<Action>) {
        self.quorate = quorate;
        match self.phase {
            Phase::Held if quorate => self.launch(now, todo),
            Phase::Waiting if quorate => {
                self.check(now);
                todo.extend([Action::Show(WorkerState::Running), Action::Answer(Status::Ok)]);
            }
            Phase::Checked { .. } if !quorate && self.needs_quorum => {
                self.warn(now, Cause::Final, todo);
            }
            Phase::Warned { until, cause: Cause::Silence } if !quorate && self.needs_quorum => {
                self.phase = Phase::Warned { until, cause: Cause::Final };
            }
            Phase::Resting { .. }
            | Phase::Held
            | Phase::Idle { .. }
            | Phase::Waiting
            | Phase::Checked { .. }
            | Phase::Warned { .. }
            | Phase::Killed { .. }
            | Phase::Ending { .. }
            | Phase::Ended => {}
        }
    }

    fn stop(&mut self, now: Instant, todo: &mut Vec<Action>) {
        match self.phase {
            Phase::Resting { .. } | Phase::Held => self.finish(todo),
            Phase::Idle { .. } | Phase::Waiting | Phase::Checked { .. } | Phase::Warned { .. } => {
                self.phase = Phase::Ending { until: now + self.grace };
                todo.push(Action::Signal(libc::SIGTERM));
            }
            Phase::Killed { then: Then::Recover } => self.phase = Phase::Killed { then: Then::Finish },
            Phase::Killed { then: Then::Fail | Then::Finish } | Phase::Ending { .. } | Phase::Ended => {}
        }
    }

    fn time(&mut self, now: Instant, todo: &mut Vec<Action>) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.phase {
            Phase::Resting { .. } => self.launch(now, todo),
            Phase::Checked { .. } => self.warn(now, Cause::Silence, todo),
            Phase::Warned { .. } => self.kill(Then::Recover, todo),
            Phase::Ending { .. } => self.kill(Then::Finish, todo),
            Phase::Held | Phase::Idle { .. } | Phase::Waiting | Phase::Killed { .. } | Phase::Ended => {}
        }
    }

    /// Starts, or restarts on a sign of life, the time within which a checked worker must give the next one.
    fn check(&mut self, now: Instant) {
        // A worker that never reports start and stop gives no signs of life either.
        let interval = self.interval.filter(|_| self.speaks);
        self.phase = Phase::Checked { due: interval.map(|interval| now + interval) };
    }

    fn warn(&mut self, now: Instant, cause: Cause, todo: &mut Vec<Action>) {
        if self.warning == libc::SIGKILL {
            return self.kill(Then::Recover, todo);
        }
        self.phase = Phase::Warned { until: now + self.grace, cause };
        todo.push(Action::Signal(self.warning));
    }

    fn kill(&mut self, then: Then, todo: &mut Vec<Action>) {
        // A stop that was requested before SIGKILL took effect still counts.
        self.phase = match self.phase {
            Phase::Killed { then: Then::Recover } => Phase::Killed { then },
            Phase::Killed { then: earlier } => Phase::Killed { then: earlier },
            Phase::Ending { .. } => Phase::Killed { then: Then::Finish },
            Phase::Resting { .. }
            | Phase::Held
            | Phase::Idle { .. }
            | Phase::Waiting
            | Phase::Checked { .. }
            | Phase::Warned { .. }
            | Phase::Ended => Phase::Killed { then },
        };
        todo.push(Action::Signal(libc::SIGKILL));
    }

    fn recover(&mut self, now: Instant, todo: &mut Vec<Action>) {
        if self.recovery == Recovery::Quit || self.is_too_often(now) {
            return self.fail(todo);
        }
        self.quick = if now.since(self.launched) < QUICK { self.quick.saturating_add(1) } else { 0 };
        match rest(self.quick) {
            Duration::ZERO => self.launch(now, todo),
            pause => {
                self.phase = Phase::Resting { until: now + pause };
                todo.push(Action::Show(WorkerState::Stopped));
            }
        }
    }

    fn is_too_often(&mut self, now: Instant) -> bool {
        let Some(limit) = self.limit else { return false };
        self.restarts.push_back(now);
        while self.restarts.front().is_some_and(|first| now.since(*first) > limit.within) {
            self.restarts.pop_front();
        }
        self.restarts.len() > usize::from(limit.restarts)
    }

    fn launch(&mut self, now: Instant, todo: &mut Vec<Action>) {
        if !self.speaks && self.needs_quorum && !self.quorate {
            self.phase = Phase::Held;
            todo.push(Action::Show(WorkerState::WaitingForQuorum));
            return;
        }
        self.launched = now;
        // libsam counts from 1, and continues with 0 after the largest int.
        self.instance = if self.instance >= i32::MAX.unsigned_abs() { 0 } else { self.instance + 1 };
        todo.extend([Action::Show(WorkerState::Stopped), Action::Launch(self.instance)]);
        if self.speaks {
            self.phase = Phase::Idle { heard: false };
        } else {
            self.check(now);
            todo.push(Action::Show(WorkerState::Running));
        }
    }

    fn finish(&mut self, todo: &mut Vec<Action>) {
        self.phase = Phase::Ended;
        todo.extend([Action::Forget, Action::End { failed: false }]);
    }

    fn fail(&mut self, todo: &mut Vec<Action>) {
        self.phase = Phase::Ended;
        todo.extend([Action::Show(WorkerState::Failed), Action::End { failed: true }]);
    }
}

/// The pause after this many quick failures in a row.
fn rest(quick: u32) -> Duration {
    let Some(doublings) = quick.checked_sub(2) else { return Duration::ZERO };
    FIRST_REST.saturating_mul(1 << doublings.min(16)).min(LONGEST_REST)
}

#[cfg(test)]
mod tests;
