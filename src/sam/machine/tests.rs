//! Stories of a worker, each as a table: time, input, expected actions.

use super::*;
use Action::{Answer, Forget, Greet, Keep, Launch, Show, Signal, Touch};
use Command::{Heartbeat, Hello, MarkFailed, Start, Store, WarnWith};
use WorkerState::{Failed, Running, Stopped, WaitingForQuorum};

const TERM: Action = Signal(libc::SIGTERM);
const KILL: Action = Signal(libc::SIGKILL);
const OK: Action = Answer(Status::Ok);
const BAD: Action = Answer(Status::BadHandle);
const DIED: Input = Input::Exited { well: false };
const LEFT: Input = Input::Exited { well: true };
const CLEAN: Action = Action::End { failed: false };
const FAILED: Action = Action::End { failed: true };

fn says(command: Command) -> Input {
    Input::Command(command)
}

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1000)
}

/// A policy with an interval of 10 s and a grace period of 5 s.
fn checked() -> Policy {
    Policy::restart().interval(Duration::from_secs(10)).grace(Duration::from_secs(5))
}

/// What a story is about.
struct Subject(Machine);

impl Subject {
    fn begin(policy: &Policy, speaks: bool, expected: &[Action]) -> Self {
        let mut machine = Machine::new(policy, speaks);
        assert_eq!(machine.begin(at(0)), expected);
        Self(machine)
    }

    /// Plays a story from the first instant on; times are in ms.
    fn plays(self, story: &[(u64, Input, &[Action])]) -> Machine {
        let Self(mut machine) = self;
        for (line, (ms, input, expected)) in story.iter().enumerate() {
            assert_eq!(machine.step(at(*ms), *input), *expected, "line {line}: {input:?} at {ms} ms");
        }
        machine
    }
}

/// A worker that sends commands.
fn worker(policy: &Policy) -> Subject {
    Subject::begin(policy, true, &[Show(Stopped), Launch(1)])
}

/// Such a worker that has sent its first command.
fn greeted(policy: &Policy) -> Subject {
    Subject(worker(policy).plays(&[(0, says(Hello), &[Greet])]))
}

/// Such a worker that has started.
fn started(policy: &Policy) -> Subject {
    Subject(greeted(policy).plays(&[(0, says(Start), &[Touch, Show(Running), OK])]))
}

/// A program that is not written for supervision.
fn program(policy: &Policy) -> Subject {
    let running = [Show(Stopped), Launch(1), Show(Running)];
    Subject::begin(policy, false, if policy.quorum { &[Show(WaitingForQuorum)] } else { &running })
}

/// `sam_register(3)`, `sam_start(3)`: a worker that has not started may end.
#[test]
fn an_unstarted_worker_may_end() {
    for end in [LEFT, DIED] {
        worker(&checked()).plays(&[
            (1, says(Hello), &[Greet]),
            (60_000, Input::Time, &[]),
            (60_001, Input::Closed, &[]),
            (60_002, end, &[Forget, CLEAN]),
        ]);
    }
}

#[test]
fn a_stopped_worker_may_end() {
    worker(&checked()).plays(&[
        (1, says(Hello), &[Greet]),
        (2, says(Start), &[Touch, Show(Running), OK]),
        (3, says(Command::Stop), &[Touch, Show(Stopped), OK]),
        (99_000, Input::Time, &[]),
        (99_001, DIED, &[Forget, CLEAN]),
    ]);
}

#[test]
fn a_checked_worker_that_ends_is_restarted_whatever_its_status() {
    worker(&Policy::restart()).plays(&[
        (1, says(Hello), &[Greet]),
        (2, says(Start), &[Touch, Show(Running), OK]),
        (3, says(Heartbeat), &[Touch]),
        (5_000, LEFT, &[Show(Stopped), Launch(2)]),
        (5_001, says(Hello), &[Greet]),
        (5_002, says(Start), &[Touch, Show(Running), OK]),
        (9_000, DIED, &[Show(Stopped), Launch(3)]),
    ]);
}

#[test]
fn with_policy_quit_a_failure_ends_supervision() {
    worker(&Policy::quit()).plays(&[
        (1, says(Hello), &[Greet]),
        (2, says(Start), &[Touch, Show(Running), OK]),
        (3, DIED, &[Show(Failed), FAILED]),
    ]);
}

/// A program that never sends a command (because the loader does not find it, say) has not ended in good order.
#[test]
fn an_end_before_the_first_command_is_a_failure() {
    worker(&Policy::restart()).plays(&[(5_000, DIED, &[Show(Stopped), Launch(2)])]);
    worker(&Policy::quit()).plays(&[(1, LEFT, &[Show(Failed), FAILED])]);
}

/// `sam_overview(3)`: a warning signal first, then SIGKILL.
#[test]
fn a_silent_worker_is_warned_and_then_killed() {
    let machine = worker(&checked()).plays(&[
        (0, says(Hello), &[Greet]),
        (1_000, says(Start), &[Touch, Show(Running), OK]),
        (10_999, Input::Time, &[]),
        (11_000, Input::Time, &[TERM]),
        (15_999, Input::Time, &[]),
        (16_000, Input::Time, &[KILL]),
        (16_000, Input::Time, &[]),
        (90_000, DIED, &[Show(Stopped), Launch(2)]),
    ]);
    assert_eq!(machine.deadline(), None);
}

#[test]
fn every_command_or_part_of_one_is_a_sign_of_life() {
    let machine = started(&checked()).plays(&[
        (9_000, says(Heartbeat), &[Touch]),
        (18_000, Input::Murmur, &[]),
        (27_000, says(Store), &[Touch, Keep, OK]),
        (36_000, says(WarnWith(10)), &[Touch, OK]),
        (45_000, says(Hello), &[Greet]),
        (54_000, says(Start), &[Touch, BAD]),
        (63_999, Input::Time, &[]),
    ]);
    assert_eq!(machine.deadline(), Some(at(64_000)));
}

/// libsam would kill a worker at its second silence, even after signs of life in between.
#[test]
fn a_worker_heard_from_again_is_warned_again_at_its_next_silence() {
    started(&checked()).plays(&[
        (10_000, Input::Time, &[TERM]),
        (12_000, says(Heartbeat), &[Touch]),
        (21_999, Input::Time, &[]),
        (22_000, Input::Time, &[TERM]),
        (27_000, Input::Time, &[KILL]),
    ]);
}

#[test]
fn a_worker_that_stops_after_the_warning_may_end() {
    started(&checked()).plays(&[
        (10_000, Input::Time, &[TERM]),
        (11_000, says(Command::Stop), &[Touch, Show(Stopped), OK]),
        (50_000, Input::Time, &[]),
        (50_001, LEFT, &[Forget, CLEAN]),
    ]);
}

/// `sam_warn_signal_set(3)`; as in libsam, the signal also applies to later instances.
#[test]
fn the_warning_signal_can_be_chosen() {
    worker(&checked()).plays(&[
        (0, says(Hello), &[Greet]),
        (0, says(WarnWith(libc::SIGUSR1)), &[Touch, OK]),
        (0, says(WarnWith(99)), &[Touch, Answer(Status::InvalidParam)]),
        (0, says(Start), &[Touch, Show(Running), OK]),
        (10_000, Input::Time, &[Signal(libc::SIGUSR1)]),
        (11_000, DIED, &[Show(Stopped), Launch(2)]),
        (11_000, says(Hello), &[Greet]),
        (11_000, says(Start), &[Touch, Show(Running), OK]),
        (21_000, Input::Time, &[Signal(libc::SIGUSR1)]),
        (22_000, says(WarnWith(libc::SIGKILL)), &[Touch, OK]),
        (32_000, Input::Time, &[KILL]),
        (32_001, DIED, &[Show(Stopped), Launch(3)]),
    ]);
}

#[test]
fn without_an_interval_silence_is_no_failure() {
    let machine = started(&Policy::restart()).plays(&[(1_000_000, Input::Time, &[])]);
    assert_eq!(machine.deadline(), None);
}

/// If the supervisor did not run for a while, the worker may not have run either.
#[test]
fn a_pause_is_not_silence() {
    let machine = started(&checked()).plays(&[(25_000, Input::Paused, &[]), (25_000, Input::Time, &[])]);
    assert_eq!(machine.deadline(), Some(at(35_000)));
}

/// A worker that closes the line while it is checked gets the grace period, but no more.
#[test]
fn a_closed_line_is_a_failure_for_good() {
    started(&checked()).plays(&[
        (1_000, Input::Closed, &[]),
        (2_000, Input::Paused, &[]),
        (5_999, Input::Time, &[]),
        (6_000, Input::Time, &[KILL]),
        (6_001, DIED, &[Show(Stopped), Launch(2)]),
    ]);
}

/// `sam_mark_failed(3)`: no warning and no further instance.
#[test]
fn a_worker_that_marks_itself_failed_is_killed_and_not_restarted() {
    for begun in [greeted(&checked()), started(&checked())] {
        begun.plays(&[
            (1, says(MarkFailed), &[Touch, KILL]),
            (2, Input::Stop, &[]),
            (3, DIED, &[Show(Failed), FAILED]),
            (4, DIED, &[]),
        ]);
    }
}

/// `sam_overview(3)`, Quorum integration: start waits. As in libsam, the state passes through `waiting for quorum`
/// even if there is quorum.
#[test]
fn start_waits_for_quorum() {
    let policy = Policy::restart().needs_quorum();
    worker(&policy).plays(&[
        (0, says(Hello), &[Greet]),
        (0, says(Start), &[Touch, Show(WaitingForQuorum)]),
        (1, says(Start), &[Touch, BAD]),
        (50_000, Input::Time, &[]),
        (50_000, Input::Quorum(true), &[Show(Running), OK]),
        (50_001, Input::Quorum(true), &[]),
        (50_002, says(Command::Stop), &[Touch, Show(Stopped), OK]),
        (50_003, says(Start), &[Touch, Show(WaitingForQuorum), Show(Running), OK]),
    ]);
    worker(&policy).plays(&[
        (0, says(Hello), &[Greet]),
        (0, says(Start), &[Touch, Show(WaitingForQuorum)]),
        (1, DIED, &[Forget, CLEAN]),
    ]);
}

/// Loss of quorum is a failure: neither signs of life nor regained quorum take the warning back.
#[test]
fn a_worker_without_quorum_is_warned_and_then_killed() {
    let policy = Policy::restart().needs_quorum();
    worker(&policy).plays(&[
        (0, says(Hello), &[Greet]),
        (0, Input::Quorum(true), &[]),
        (0, says(Start), &[Touch, Show(WaitingForQuorum), Show(Running), OK]),
        (5_000, Input::Quorum(false), &[TERM]),
        (6_000, says(Heartbeat), &[Touch]),
        (7_000, Input::Quorum(true), &[]),
        (8_000, Input::Quorum(false), &[]),
        (14_999, Input::Time, &[]),
        (15_000, Input::Time, &[KILL]),
        (15_001, DIED, &[Show(Stopped), Launch(2)]),
        (15_002, says(Hello), &[Greet]),
        (15_003, says(Start), &[Touch, Show(WaitingForQuorum)]),
    ]);
}

#[test]
fn a_silent_worker_that_also_loses_quorum_is_killed() {
    worker(&checked().needs_quorum()).plays(&[
        (0, says(Hello), &[Greet]),
        (0, Input::Quorum(true), &[]),
        (0, says(Start), &[Touch, Show(WaitingForQuorum), Show(Running), OK]),
        (10_000, Input::Time, &[TERM]),
        (11_000, Input::Quorum(false), &[]),
        (12_000, says(Heartbeat), &[Touch]),
        (15_000, Input::Time, &[KILL]),
    ]);
}

#[test]
fn a_policy_without_quorum_ignores_it() {
    started(&Policy::restart()).plays(&[(1, Input::Quorum(false), &[])]);
}

#[test]
fn a_requested_end_is_not_a_failure() {
    for begun in [greeted(&checked()), started(&checked())] {
        begun.plays(&[
            (100, Input::Stop, &[TERM]),
            (200, Input::Stop, &[]),
            (300, says(Heartbeat), &[Touch]),
            (5_099, Input::Time, &[]),
            (5_100, Input::Time, &[KILL]),
            (5_200, DIED, &[Forget, CLEAN]),
        ]);
    }
}

#[test]
fn a_requested_end_prevents_the_restart_of_a_killed_worker() {
    started(&checked()).plays(&[
        (10_000, Input::Time, &[TERM]),
        (15_000, Input::Time, &[KILL]),
        (15_001, Input::Stop, &[]),
        (15_002, DIED, &[Forget, CLEAN]),
    ]);
}

/// libsam would restart it as fast as it can.
#[test]
fn pauses_grow_while_instances_fail_quickly() {
    worker(&Policy::restart()).plays(&[
        (10, DIED, &[Show(Stopped), Launch(2)]),
        (20, DIED, &[Show(Stopped)]),
        (30, says(Heartbeat), &[]),
        (69, Input::Time, &[]),
        (70, Input::Time, &[Show(Stopped), Launch(3)]),
        (80, Input::NotLaunched, &[Show(Stopped)]),
        (180, Input::Time, &[Show(Stopped), Launch(4)]),
        (5_000, DIED, &[Show(Stopped), Launch(5)]),
        (5_001, DIED, &[Show(Stopped), Launch(6)]),
        (5_002, DIED, &[Show(Stopped)]),
        (5_003, Input::Stop, &[Forget, CLEAN]),
    ]);
    assert_eq!(rest(0), Duration::ZERO);
    assert_eq!(rest(8), Duration::from_millis(3200));
    assert_eq!(rest(9), LONGEST_REST);
    assert_eq!(rest(u32::MAX), LONGEST_REST);
}

#[test]
fn too_many_restarts_end_supervision_as_failed() {
    worker(&Policy::restart().at_most(2, Duration::from_secs(60))).plays(&[
        (10_000, DIED, &[Show(Stopped), Launch(2)]),
        (40_000, DIED, &[Show(Stopped), Launch(3)]),
        (71_000, DIED, &[Show(Stopped), Launch(4)]),
        (80_000, DIED, &[Show(Failed), FAILED]),
    ]);
}

/// A program that is not written for supervision.
#[test]
fn any_program_is_checked_while_it_lives() {
    program(&checked())
        .plays(&[(60_000, Input::Time, &[]), (60_001, DIED, &[Show(Stopped), Launch(2), Show(Running)])]);
    program(&checked()).plays(&[(60_001, LEFT, &[Forget, CLEAN])]);
    program(&Policy::quit()).plays(&[(60_001, DIED, &[Show(Failed), FAILED])]);
}

#[test]
fn any_program_is_started_only_when_there_is_quorum() {
    program(&checked().needs_quorum()).plays(&[
        (1, Input::Quorum(true), &[Show(Stopped), Launch(1), Show(Running)]),
        (2, Input::Quorum(false), &[TERM]),
        (3, LEFT, &[Show(WaitingForQuorum)]),
        (4, Input::Time, &[]),
        (5, Input::Quorum(true), &[Show(Stopped), Launch(2), Show(Running)]),
        (6, Input::Stop, &[TERM]),
        (7, DIED, &[Forget, CLEAN]),
    ]);
    program(&checked().needs_quorum()).plays(&[(1, Input::Stop, &[Forget, CLEAN])]);
}

/// `sam_register(3)`: after the largest int, instances are counted from 0.
#[test]
fn instances_are_counted_as_libsam_does() {
    let mut machine = worker(&Policy::restart()).plays(&[]);
    machine.instance = i32::MAX.unsigned_abs() - 1;
    assert_eq!(machine.step(at(5_000), DIED), [Show(Stopped), Launch(i32::MAX.unsigned_abs())]);
    assert_eq!(machine.step(at(10_000), DIED), [Show(Stopped), Launch(0)]);
}
